"""portcullis - a client of the cluster in pure Python (pyzmq and msgpack).

    import portcullis
    with portcullis.Client("var/client.bundle") as client:
        for row in client.query("SELECT name FROM city WHERE id = ?", [7]):
            print(row)

Every request has exactly one outcome: a Result, or a PortcullisError whose `code` says what
happened and whose `retry` says what may be done about it: "safe" (nothing ran: send it again),
"unsafe" (it may have run: look first), "never" (the same request will always fail).

A Result has all its rows, however many pages they came in; more than max_rows are an error and
never a part.  For results of any length there is stream(), with a page in memory at a time:

        with client.stream("SELECT * FROM log") as rows:
            for row in rows: ...

A transaction over several statements, and one in a single request:

        with client.begin() as session:         # commits at the end, rolls back on an exception
            n = session.query("SELECT n FROM t WHERE id = 1 FOR UPDATE").rows[0][0]
            session.query("UPDATE t SET n = ? WHERE id = 1", [n + 1])
        client.txn([("UPDATE t SET n = n - 1 WHERE id = 1 AND n > 0", [], 1),   # expects 1 row
                    ("INSERT INTO log (id) VALUES (?)", [1])])

A session and the unread part of a stream belong to the connection that they were opened over:
when it is lost they are GONE.  They belong to one thread at a time.

A replica may lack what was written a moment ago.  Client(causal=True) reads from nodes that have
all that it has written and read until then, whichever they are: its own writes are seen, and no
read shows an older state than one before it.  What it has seen is client.tokens, a text, which
another client, in another process too, takes over with client.add_tokens(text).  A call that sets
consistency itself gets that instead ({"after": token}: both).  Where a source that was lost has
taken writes with it, such reads are BEHIND until client.forget_tokens().

With a broker's key (in the bundle it has a section of its own) every request is sealed for that
broker, and an answer without its seal is FORGED: a gatekeeper that was broken into can read and
refuse, but neither change a request nor make up an answer.  A refusal without a seal may be the
gatekeeper's own; its retry is then "unsafe", or "safe" where running the request twice does no
harm, whatever it says.  This needs PyNaCl or libsodium.

Ctrl-C (KeyboardInterrupt) during a call cancels what it sent.

Threads: a Client may be shared, but it takes one call at a time, the others wait their turn;
only cancel() does not wait.  For many requests in flight use query_many(), or a Client for each
thread.  After a fork the child opens its own; a call of the parent's is a RuntimeError there.
"""
import collections
import ctypes
import ctypes.util
import datetime
import decimal
import hashlib
import hmac
import os
import pathlib
import random
import re
import struct
import threading
import time

import msgpack
import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

__all__ = ["Client", "PortcullisError", "Result", "Session", "Stream", "load_bundle"]
TOKENS_MAX = 8         # that a request may name
GRACE_S = 0.1          # the gatekeeper promises an answer within the deadline plus this
CONNECT_S = 2.0        # a request that finds no gatekeeper waits this long for one
REDIAL_S, REDIAL_S_MAX = 1.0, 2.0  # from one try to the next of a gatekeeper that refuses our key
QUIET_S = 5.0          # without a word of libzmq's, before it is made to connect anew
MAX_ROWS = 1000000     # of a Result, unless the call says otherwise
END_MS = 5000          # the timeout of what nobody waits for
REPLY_SIZE_MAX = 17 << 20
SILENCE_MS = 3000  # what the heartbeats mean: RFC 1, section 2.2
SILENCE = b"X-Silence-Max-Ms:%d" % SILENCE_MS
EXT_DECIMAL, EXT_TEMPORAL = 1, 2
SEAL_HEAD = struct.Struct(">BB6xQQQ")  # version, kind, time_us, channel, sequence
SEAL_REQUEST, SEAL_REPLY, SEAL_SIZE = 1, 2, 64
# What gatekeepers, and brokers that refuse a seal, say by themselves.
UNSEALED_CODES = {"MALFORMED", "VERSION", "TOO_LARGE", "UNSUPPORTED", "FORBIDDEN", "REFUSED",
                  "OVERLOADED", "UNAVAILABLE", "DEADLINE", "LOST", "DRAINING", "NO_MEMORY",
                  "INTERNAL"}
UNSEALED_HOPS = {"gatekeeper", "broker"}
# What does no harm when it is done twice.
HARMLESS = {"ping", "status", "cancel", "begin", "rollback", "close"}
# Without HANDSHAKE_FAILED_PROTOCOL, in telling of which libzmq 4.3 forgets to end the connection.
EVENTS = (zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
          | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)


class PortcullisError(Exception):
    """code, message, retry ("safe", "unsafe", "never"), hop, errno, sqlstate, retry_after_ms, id;
    and of a failed transaction statement, the index of the one that failed.  sealed: the broker
    has sealed it."""

    def __init__(self, code, message, retry, hop="client", **more):
        super().__init__(f"{code}: {message} (hop {hop}, retry {retry})")
        self.code, self.message, self.retry, self.hop = code, message, retry, hop
        self.errno, self.sqlstate = more.get("errno", 0), more.get("sqlstate", "")
        self.retry_after_ms, self.id = more.get("retry_after_ms", 0), more.get("id")
        self.statement, self.sealed = more.get("statement"), more.get("sealed", False)


class Result:
    """columns ([name, type, flags] each), rows (all of them), affected, insert_id, warnings, token
    (of a write, and of a read with consistency={"monotonic": True, ...}), route, id, metadata
    (with metadata=True: [schema, table, org_table, org_name, charset, length, decimals] of each
    column); reply, the whole map of the first page as it came; and sealed: the broker has sealed
    all of it."""

    def __init__(self, reply, way=None, sealed=False):
        self.reply, self.id, self.sealed = reply, reply.get("id"), sealed
        self.columns, self.rows = reply.get("columns", []), reply.get("rows", [])
        self.affected, self.insert_id = reply.get("affected", 0), reply.get("insert_id", 0)
        self.warnings, self.token = reply.get("warnings", 0), reply.get("token")
        self.route, self.metadata = reply.get("route", {}), reply.get("metadata", [])
        self._way = way  # the connection that it came over
        self._seen_mark = None  # of a causal client's begin: replies in its session have a token

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def dicts(self):
        """The rows as maps from column name to value."""
        names = [column[0] for column in self.columns]
        return [dict(zip(names, row)) for row in self.rows]


class Stream:
    """The rows of a result one by one, with one page of them in memory.  columns, route, id and
    metadata are there from the beginning.  What is not read to its end is to be closed: by close(),
    by `with`, or when it is collected."""

    def __init__(self, client, result, terms):
        self.columns, self.route, self.id = result.columns, result.route, result.id
        self.metadata, self.warnings = result.metadata, result.warnings
        self._client, self._terms = client, terms
        self._page, self._at = result, 0

    def __iter__(self):
        return self

    def __next__(self):
        while self._at >= len(self._page.rows):
            if not self._turn():
                raise StopIteration
        self._at += 1
        return self._page.rows[self._at - 1]

    def _turn(self):
        """To the next page; False: there is none."""
        cursor = self._page.reply.pop("cursor", None)
        if cursor is None:
            return False
        self._page, self._at = self._client._fetch(cursor, self._page, self._terms), 0
        self.warnings = max(self.warnings, self._page.warnings)
        return True

    def close(self):
        """Gives up what is unread; may be called twice."""
        cursor = self._page.reply.pop("cursor", None)
        if cursor is not None:
            self._client._end({"op": "close", "cursor": cursor}, self._page._way)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        # Collection may strike in the middle of a call of the same thread: no more than a note.
        cursor = self._page.reply.get("cursor") if hasattr(self, "_page") else None
        if cursor is not None:
            self._client._unended.append(({"op": "close", "cursor": cursor}, self._page._way))


class Session:
    """Statements on one connection to one database, in one transaction, until commit() or
    rollback().  As `with` it commits at the end, and rolls back when an exception leaves it."""

    def __init__(self, client, result, timeout_ms):
        self.id, self.route, self.is_open = result.reply["session"], result.route, True
        self._client, self._way, self._timeout_ms = client, result._way, timeout_ms
        self._seen_mark = result._seen_mark

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.is_open:
            self.commit()
        elif self.is_open:
            try:
                self.rollback()
            except PortcullisError:
                pass  # the exception that is on its way says more; the session ends by itself

    def query(self, sql, params=None, max_rows=MAX_ROWS, **options):
        """As Client.query."""
        return self._do(self._client.query, sql, params, max_rows=max_rows, **options)

    def stream(self, sql, params=None, **options):
        """As Client.stream; the session's next statement ends it (GONE)."""
        return self._do(self._client.stream, sql, params, **options)

    def commit(self):
        """A Result, whose token names what was written."""
        return self._do(self._client.request, op="commit", timeout_ms=self._timeout_ms)

    def rollback(self):
        return self._do(self._client.request, op="rollback", timeout_ms=self._timeout_ms)

    def _do(self, what, *arguments, **options):
        try:
            result = what(*arguments, session=self.id, _way=self._way, _seen_mark=self._seen_mark,
                          **options)
        except PortcullisError as error:
            lost = error.code == "LOST" and error.hop == "client"
            self.is_open = self.is_open and not lost and error.code != "GONE"
            raise
        self.is_open = self.is_open and options.get("op") is None
        return result


def load_bundle(path):
    """The bundle as a list of (section, {key: value}), in the order of the file."""
    sections = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        pair = re.fullmatch(r"""([\w/-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'#]+)\s*(#.*)?""", text)
        if line[0] not in " \t" and re.fullmatch(r"[\w-]+\s*(#.*)?", text):
            sections.append((text.split()[0], {}))
        elif sections and pair and line[0] in " \t":
            sections[-1][1][pair[1]] = pair[2].strip("\"'")
        else:
            raise ValueError(f"{path}:{number}: neither a section nor `key = value` in one")
    return sections


def _pack_more(value):
    """What msgpack has no type for: exact decimals and times travel as text."""
    if isinstance(value, decimal.Decimal):
        return msgpack.ExtType(EXT_DECIMAL, f"{value:f}".encode())
    if isinstance(value, datetime.timedelta):
        micros = abs(value) // datetime.timedelta(microseconds=1)
        seconds, sign = micros // 1000000, "-" if value < datetime.timedelta() else ""
        text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return msgpack.ExtType(EXT_TEMPORAL, f"{text}.{micros % 1000000:06}".encode())
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            raise TypeError("a datetime with a time zone: the database's type has none")
        return msgpack.ExtType(EXT_TEMPORAL, value.isoformat(" ").encode())
    if isinstance(value, (datetime.date, datetime.time)):
        return msgpack.ExtType(EXT_TEMPORAL, value.isoformat().encode())
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _x25519(secret, public):
    """What only the owners of the two keys come to."""
    try:
        from nacl.bindings import crypto_scalarmult
    except ImportError:
        try:
            library = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
        except OSError:
            raise ImportError("sealing needs PyNaCl (python3-nacl) or libsodium, and neither is "
                              "there") from None

        def crypto_scalarmult(secret, public):
            shared = ctypes.create_string_buffer(32)
            if library.crypto_scalarmult(shared, secret, public) != 0:
                raise RuntimeError
            return shared.raw
    try:
        shared = crypto_scalarmult(secret, public)
    except RuntimeError:
        shared = bytes(32)
    if not any(shared):
        raise ValueError("nothing can be sealed with the broker's public key")
    return shared


def _key_octets(text):
    octets = z85.decode(text.encode()) if len(text) == 40 else b""
    if len(octets) != 32:
        raise ValueError("a key must be 40 characters of Z85")
    return octets


class _Seals:
    """Seals what a client sends, and tells which replies the broker has sealed (docs/rfc/1,
    section 9).  A mark is the channel and the sequence of a request."""

    def __init__(self, public, secret, broker):
        public, secret, broker = map(_key_octets, (public, secret, broker))
        self._key = hashlib.blake2b(b"portcullis seal 1" + public + broker,
                                    key=_x25519(secret, broker), digest_size=32).digest()

    def _mac(self, head, payload):
        mac = hashlib.blake2b(head, key=self._key, digest_size=32)
        mac.update(payload)
        return mac.digest()

    def seal(self, mark, payload):
        head = SEAL_HEAD.pack(1, SEAL_REQUEST, time.time_ns() // 1000, *mark)
        return head + self._mac(head, payload)

    def fault(self, mark, frames):
        """What is wrong with the seal of a reply, [payload, seal]; None: it is the broker's word on
        the request of that mark."""
        if len(frames) != 2:
            return "is missing"
        payload, seal = frames
        if len(seal) != SEAL_SIZE:
            return "must have 64 octets"
        if not hmac.compare_digest(self._mac(seal[:32], payload), seal[32:]):
            return "does not fit the payload and the key"
        version, kind, _, *named = SEAL_HEAD.unpack(seal[:32])
        if (version, kind) != (1, SEAL_REPLY):
            return "is of another version or kind"
        return None if tuple(named) == mark else "is that of another request's reply"


class _Seen:
    """Which tokens a causal client keeps; the rules are client/seen.h's."""

    def __init__(self, turns=0):
        self.tokens, self.source, self.turns = [], False, turns

    @staticmethod
    def _covers(token, other):
        """Is a read after token one after the other, too?"""
        try:
            positions = []
            for text in (token, other):
                items = re.fullmatch(r"1\.[^.]*\.(.+)", text)[1].split(",")
                pairs = [item.rpartition(":" if ":" in item else "-") for item in items]
                positions.append({origin: int(number) for origin, _, number in pairs})
        except (TypeError, ValueError):
            return token == other  # of another version: what it says is for others to know
        have, want = positions
        return all(have.get(origin, -1) >= number for origin, number in want.items())

    def mark(self):
        return self.turns if self.source else 0

    def note(self, token, mark=0):
        if self.source and mark == self.turns:
            self.source = False  # the source had all that was given up before the request went
        if any(self._covers(kept, token) for kept in self.tokens):
            return
        self.tokens = [kept for kept in self.tokens if not self._covers(token, kept)]
        if len(self.tokens) == TOKENS_MAX:
            self.miss()
        else:
            self.tokens.append(token)

    def take(self, word):
        """A word of the text of another."""
        if word == "source":
            self.miss()
        else:
            self.note(word)

    def text(self):
        return " ".join((["source"] if self.source else []) + self.tokens)

    def miss(self):
        """A token did not come, or cannot be kept: the source has it all."""
        self.source, self.turns = True, self.turns + 1

    def note_outcome(self, request, outcome, mark, session_mark=None):
        """session_mark: of the begin of the request's session."""
        consistency = request.get("consistency")
        asked = isinstance(consistency, dict) and "monotonic" in consistency
        if not isinstance(outcome, Result) or not (asked or "session" in request):
            return
        if "session" in request:
            asked, mark = session_mark is not None, session_mark or 0
        elif "source" not in consistency:
            mark = 0
        begins = request.get("op") == "begin"
        if begins:
            outcome._seen_mark = mark
        if outcome.token:
            self.note(outcome.token, mark)
        elif asked and not begins and not request.get("dry_run"):
            self.miss()

    def put(self, request):
        """Has the request name what was seen, and its reply say what it saw."""
        asked = request.get("consistency")
        if request.get("op", "query") not in ("query", "begin", "txn") or "session" in request \
                or asked == "any" or not isinstance(asked, (type(None), str, dict)):
            return
        asked = {"source": True} if asked == "source" else asked
        if isinstance(asked, str):
            return  # the gatekeeper shall say what is wrong with it
        asked = dict(asked or {})
        if not asked or "after" in asked:
            after = asked.pop("after", [])
            both = _Seen()
            for token in self.tokens + (after.split() if isinstance(after, str) else list(after)):
                both.take(token)
            if self.source or both.source:
                asked["source"] = True
            elif both.tokens:
                asked["after"] = both.tokens
        request["consistency"] = {**asked, "monotonic": True}


class _Gatekeeper:
    """One DEALER and what its monitor tells of the connection below it."""

    def __init__(self, context, endpoint, server_key, curve):
        self.endpoint, self.up, self.why = endpoint, False, "not connected yet"
        self.refused = False  # the last event said why, and the end of the connection follows it
        self.connected, self.generation = False, 0  # each connection is another
        self.channel, self.sequence = 0, 0  # of the seals of what goes over it
        self.silent_until = 0.0  # after a deadline without any word: the others come first
        self.heard_at = 0.0
        self.notice_later = False  # the connection went away, and its losses are not counted yet
        self.socket = context.socket(zmq.DEALER)
        options = {zmq.LINGER: 0, zmq.IMMEDIATE: 1, zmq.SNDHWM: 10000, zmq.RCVHWM: 10000,
                   zmq.MAXMSGSIZE: REPLY_SIZE_MAX, zmq.HANDSHAKE_IVL: 3000,
                   zmq.HEARTBEAT_IVL: 500, zmq.TCP_MAXRT: 3000,
                   zmq.HEARTBEAT_TIMEOUT: 5000,  # its answer waits behind a reply of up to 17 MiB
                   zmq.RECONNECT_IVL: 50, zmq.RECONNECT_IVL_MAX: 500}
        known = hasattr(zmq, "METADATA")  # pyzmq before 23 knows the other one only
        if known:
            options[zmq.METADATA] = SILENCE
        if not known or endpoint.startswith("ipc:"):  # where no kernel tells the silence
            options[zmq.HEARTBEAT_TTL] = SILENCE_MS
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        if curve:
            self.socket.curve_publickey = curve["public-key"].encode()
            self.socket.curve_secretkey = curve["secret-key"].encode()
            self.socket.curve_serverkey = server_key.encode()
        self.monitor = self.socket.get_monitor_socket(EVENTS)
        self.redial_s = REDIAL_S  # after the next refusal, at most
        self._dial()

    def _dial(self):
        self.socket.connect(self.endpoint)
        self.dialed_at = time.monotonic()
        self.redial_at = self.dialed_at + QUIET_S

    def redial(self, now):
        """Connects anew when that is due: libzmq gives a peer up for good that has refused our key
        or broke the protocol, and only of the first does it say so."""
        if now >= self.redial_at:
            self.socket.disconnect(self.endpoint)
            self._dial()

    def _plan_redial(self, event):
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.redial_s, self.redial_at = REDIAL_S, float("inf")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            # At once if it happened between two calls, and is long ago.
            self.redial_at = self.dialed_at + self.redial_s * random.uniform(0.75, 1)
            self.redial_s = REDIAL_S_MAX
        else:
            self.redial_at = time.monotonic() + QUIET_S

    def notice(self):
        """Reads the monitor; True when the connection went away since the last look, and with
        it every answer that was to come over it."""
        gone = False
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())["event"]
            if event == zmq.EVENT_DISCONNECTED and self.refused:
                self.refused = False  # why is known already
                continue
            # A second success: it came up in the moment when it was connected anew.
            gone = gone or self.connected or event != zmq.EVENT_HANDSHAKE_SUCCEEDED
            self._plan_redial(event)
            self.refused = event not in (zmq.EVENT_DISCONNECTED, zmq.EVENT_HANDSHAKE_SUCCEEDED)
            self.connected = self.up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self.generation += self.up
            if self.up:
                self.channel, self.sequence = int.from_bytes(os.urandom(8), "big"), 0
            self.why = {zmq.EVENT_DISCONNECTED: "the connection was lost",
                        zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the gatekeeper refuses this client's key",
                        zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected"}.get(event, "no handshake")
        return gone

    def close(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


class _Call:
    """One request on its way to its one outcome.  pin: the only connection that it may go over."""

    def __init__(self, request, idempotent, pin, timeout_s, now, session_mark):
        self.request, self.idempotent, self.pin, self.born = request, idempotent, pin, now
        self.deadline = now + timeout_s
        self.connect_by = self.deadline if pin else min(self.deadline, now + CONNECT_S)
        self.gatekeeper, self.way, self.sent_at, self.mark = None, None, 0.0, None
        self.tried, self.outcome, self.session_mark = set(), None, session_mark

    def retry_unknown(self):
        """When it is not known whether it was done."""
        return "safe" if self.idempotent or self.request.get("op") in HARMLESS else "unsafe"

    def retry(self):
        """When no answer will come."""
        # The cursor of a fetch may be used up, and is good for no other page.
        return "never" if self.request.get("op") == "fetch" else self.retry_unknown()


class Client:
    """One principal's way into the cluster.

    bundle: path of a bundle file, by default $PORTCULLIS_BUNDLE or ./var/client.bundle.
    Instead of a bundle: endpoints, a list of (endpoint, public key), and keys, a pair
    (public, secret); endpoints without keys are for tests on ipc and inproc; and broker_key, the
    broker's public key, with which everything is sealed.
    timeout_ms: of a request that names none.
    causal: what it reads is never older than what it has written and read before."""

    def __init__(self, bundle=None, *, endpoints=None, keys=None, broker_key=None, timeout_ms=5000,
                 context=None, causal=False):
        curve = {"public-key": keys[0], "secret-key": keys[1]} if keys else None
        if endpoints is None:
            sections = load_bundle(
                bundle or os.environ.get("PORTCULLIS_BUNDLE", "var/client.bundle"))
            curve = next((keys for name, keys in sections if name == "curve"), None)
            broker = next((keys for name, keys in sections if name == "broker"), None)
            broker_key = broker and broker["public-key"]
            endpoints = [(keys["endpoint"], keys.get("public-key", "")) for name, keys in sections
                         if name == "gatekeeper"]
        if not endpoints:
            raise ValueError("no gatekeeper to connect to")
        if broker_key and not curve:
            raise ValueError("to seal, the client needs keys of its own")
        self._seals = broker_key and _Seals(curve["public-key"], curve["secret-key"], broker_key)
        self.timeout_ms, self._lock = timeout_ms, threading.Lock()
        self._process = os.getpid()
        self._seen = _Seen() if causal else None
        self._same = {"endpoints": endpoints, "timeout_ms": timeout_ms, "context": context,
                      "keys": curve and (curve["public-key"], curve["secret-key"]),
                      "broker_key": broker_key}
        self._unended = collections.deque()  # requests that only end something, to be sent
        self._late = collections.deque(maxlen=256)  # (ticket, mark) of calls that were given up
        # Own keys may be there for seals only: on a plain connection nobody shows keys.
        self._gatekeepers = [_Gatekeeper(context or zmq.Context.instance(), endpoint, key,
                                         curve if key or not broker_key else None)
                             for endpoint, key in endpoints]
        self._current = random.randrange(len(self._gatekeepers))
        self._ticket, self._calls, self._closed = random.getrandbits(62), {}, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """May be called twice; waits for a call that is under way."""
        if self._is_forked():
            return  # the sockets are the parent's
        with self._lock:
            for gatekeeper in [] if self._closed else self._gatekeepers:
                gatekeeper.close()
            self._closed = True

    @property
    def tokens(self):
        """What a causal client has seen, as a text; "" of nothing."""
        return self._seen.text() if self._seen else ""

    def add_tokens(self, tokens):
        """What this causal client reads is from now on no older than what those name, too."""
        if self._seen is None:
            raise ValueError("the client is not causal")
        with self._lock:
            for token in tokens.split():
                if not re.fullmatch("[!-~]{1,512}", token):
                    raise ValueError(f"{token!r} is no token")
                self._seen.take(token)

    def forget_tokens(self):
        """Begins anew, as if nothing had been seen."""
        with self._lock:
            if self._seen is not None:
                self._seen = _Seen(self._seen.turns)  # a session's reply ends no later turn

    def query(self, sql, params=None, max_rows=MAX_ROWS, **options):
        """Runs one statement, a Result with all rows; TOO_LARGE when they are more than max_rows.
        Options: the request's keys (db, strategy, consistency, timeout_ms, page_rows, metadata,
        explain_route, id ...) and idempotent=True, with which a request lost with its gatekeeper
        is sent to another."""
        request = self._query_map(sql, params, options)
        return self._whole(self._one(request), request, max_rows)

    def query_many(self, requests, max_rows=MAX_ROWS, **options):
        """Runs (sql, params) pairs all in flight together.  Returns one Result or
        PortcullisError (not raised) for each, in the order given.  Each result of more than a page
        holds a cursor until its turn, of which a node allows a principal 32: beyond that they are
        OVERLOADED, unless page_rows and page_bytes are large enough for one page."""
        maps = [self._query_map(sql, params, dict(options)) for sql, params in requests]
        outcomes = self._run(maps)
        for index, outcome in enumerate(outcomes):
            try:
                if isinstance(outcome, Result):
                    self._whole(outcome, maps[index], max_rows)
            except PortcullisError as error:
                outcomes[index] = error
        return outcomes

    def stream(self, sql, params=None, **options):
        """Runs one statement, a Stream of its rows.  Options as of query()."""
        request = self._query_map(sql, params, options)
        return Stream(self, self._one(request), self._terms(request))

    def explain(self, sql, params=None, **options):
        """Which node the statement would go to, and why no other: the route as docs/rfc/1 has it
        for a dry run, a map.  Nothing runs.  Options as of query()."""
        return self._one(self._query_map(sql, params, {**options, "dry_run": True})).route

    def begin(self, read_only=None, **options):
        """Opens a Session, on the source or with read_only=True on a replica.  Options: db,
        strategy, consistency, timeout_ms, explain_route."""
        result = self._one({"op": "begin", "read_only": read_only, **options})
        return Session(self, result, options.get("timeout_ms"))

    def txn(self, statements, **options):
        """Runs statements in one transaction in one request, all or none; a list with the Result
        of each.  A statement is (sql, params, expect), where params and expect may be left out, or
        a str.  expect: the number of rows that it must return or change, or a pair (least, most)
        of which either may be None; where it does not, all is rolled back (EXPECT, and
        error.statement is its index)."""
        maps = [self._statement_map(*([each] if isinstance(each, str) else each))
                for each in statements]
        result = self._one({"op": "txn", "statements": maps, **options})
        common = {key: value for key, value in result.reply.items() if key != "results"}
        return [Result({**common, **part}, sealed=result.sealed)
                for part in result.reply["results"]]

    def cancel(self, id, timeout_ms=None):
        """Stops the request with this id; how many were found.  While another thread's call is
        under way it goes over a connection of its own, and does not wait for that call."""
        request = {"op": "cancel", "id": id, "timeout_ms": timeout_ms, "idempotent": True}
        if not self._lock.locked():
            return self._one(request).affected
        with Client(**self._same) as other:
            return other._one(request).affected

    def request(self, **keys):
        """Any request, key by key as docs/rfc/1 has them."""
        return self._one(dict(keys))

    def ping(self, timeout_ms=None):
        """Milliseconds to the proxy and back."""
        start = time.monotonic()
        self.request(op="ping", timeout_ms=timeout_ms, idempotent=True)
        return (time.monotonic() - start) * 1e3

    def status(self, timeout_ms=None):
        """The cluster as the proxy sees it, a map."""
        return self.request(op="status", timeout_ms=timeout_ms, idempotent=True).reply["status"]

    @staticmethod
    def _query_map(sql, params, options):
        return {"sql": sql, **({} if params is None else {"params": list(params)}), **options}

    @staticmethod
    def _statement_map(sql, params=None, expect=None):
        statement = {"sql": sql, **({"params": list(params)} if params else {})}
        if isinstance(expect, int):
            statement["expect"] = {"rows": expect}
        elif expect is not None:
            pairs = zip(("min_rows", "max_rows"), expect)
            statement["expect"] = {key: rows for key, rows in pairs if rows is not None}
        return statement

    @staticmethod
    def _terms(request):
        """What is asked for each page of a result."""
        return {key: request.get(key) for key in ("timeout_ms", "page_rows", "page_bytes")}

    def _fetch(self, cursor, page, terms):
        """The page behind this one."""
        return self._one({"op": "fetch", "id": page.id, "cursor": cursor, "_way": page._way,
                          **terms})

    def _whole(self, result, request, max_rows):
        """Adds all further pages to the first."""
        page = result
        cursor = page.reply.pop("cursor", None)
        while cursor is not None and len(result.rows) <= max_rows:
            page = self._fetch(cursor, page, self._terms(request))
            result.rows += page.rows
            result.warnings = max(result.warnings, page.warnings)
            cursor = page.reply.get("cursor")
        if cursor is not None:
            self._end({"op": "close", "cursor": cursor}, page._way)
        if len(result.rows) > max_rows:
            raise PortcullisError("TOO_LARGE", f"more than max_rows, {max_rows}, rows: stream() "
                                  "has no limit", "never", id=result.id)
        return result

    def _end(self, request, way):
        """Sends what needs no answer: now, or, when a call is under way, with the next one."""
        if self._is_forked():
            return
        self._unended.append((request, way))
        if self._lock.acquire(blocking=False):
            try:
                self._send_ends()
            finally:
                self._lock.release()

    def _send_ends(self):
        """With the lock.  What finds its connection gone has ended with it."""
        while self._unended and not self._closed:
            request, way = self._unended.popleft()
            gatekeeper, generation = way
            gatekeeper.notice_later = gatekeeper.notice() or gatekeeper.notice_later
            if gatekeeper.connected and gatekeeper.generation == generation:
                self._throw(gatekeeper, request)

    def _throw(self, gatekeeper, request):
        """Sends a request whose answer will find no ticket, if it goes at once."""
        self._ticket += 1
        request = {"v": 1, "id": os.urandom(16), "timeout_ms": END_MS, **request}
        try:
            self._put(gatekeeper, self._ticket.to_bytes(8, "big"), msgpack.packb(request))
        except zmq.Again:
            pass  # then it ends when it was idle for long enough

    def _put(self, gatekeeper, ticket, payload):
        """Sends, sealed where the client seals; the mark that the reply's seal must have."""
        frames, mark = [ticket, b"", payload], None
        if self._seals:  # now, so that sequences rise in the order of sending
            gatekeeper.sequence += 1
            mark = (gatekeeper.channel, gatekeeper.sequence)
            frames.append(self._seals.seal(mark, payload))
        gatekeeper.socket.send_multipart(frames, zmq.DONTWAIT)
        return mark

    def _one(self, request):
        outcome = self._run([request])[0]
        if isinstance(outcome, PortcullisError):
            raise outcome
        return outcome

    def _is_forked(self):
        """In a child there is no thread behind the sockets: every wait would be for ever."""
        return self._process != os.getpid()

    def _run(self, requests):
        if self._is_forked():
            raise RuntimeError("the client is another process's: open one after a fork")
        with self._lock:
            if self._closed:
                raise PortcullisError("UNAVAILABLE", "the client is closed", "safe")
            calls, now = [], time.monotonic()
            seen_mark = self._seen.mark() if self._seen is not None else 0
            for request in requests:
                request = {key: value for key, value in request.items() if value is not None}
                pin, session_mark = request.pop("_way", None), request.pop("_seen_mark", None)
                idempotent = request.pop("idempotent", False) and pin is None
                request = {"v": 1, "id": os.urandom(16), **request}
                timeout_ms = request.setdefault("timeout_ms", self.timeout_ms)
                if self._seen is not None:
                    self._seen.put(request)
                msgpack.packb(request, default=_pack_more)  # a wrong value is the caller's error
                if not isinstance(timeout_ms, int) or timeout_ms < 1:
                    timeout_ms = self.timeout_ms  # for us; the gatekeeper shall say what is wrong
                calls.append(_Call(request, idempotent, pin, timeout_ms / 1e3, now, session_mark))
            try:
                self._send_ends()
                self._drive(calls)
            except BaseException:  # KeyboardInterrupt, above all
                for ticket, call in self._calls.items():
                    self._throw(call.gatekeeper, {"op": "cancel", "id": call.request["id"]})
                    self._late.append((ticket, call.mark))
                raise
            finally:
                self._calls.clear()  # what comes later finds no ticket
            for call in calls if self._seen is not None else []:
                self._seen.note_outcome(call.request, call.outcome, seen_mark, call.session_mark)
            return [call.outcome for call in calls]

    def _drive(self, calls):
        waiting = collections.deque(calls)
        while waiting or self._calls:
            now = time.monotonic()
            for gatekeeper in self._gatekeepers:
                gone = gatekeeper.notice() or gatekeeper.notice_later
                gatekeeper.notice_later = False
                self._receive(gatekeeper, waiting, now)
                gatekeeper.redial(now)
                if gone:
                    self._lose(gatekeeper, waiting)
            self._expire(waiting, now)
            while waiting and self._send(waiting[0], now):
                waiting.popleft()
            if waiting or self._calls:
                self._sleep(waiting, now)

    def _sleep(self, waiting, now):
        poller = zmq.Poller()
        for gatekeeper in self._gatekeepers:
            full = waiting and gatekeeper.connected
            poller.register(gatekeeper.socket, zmq.POLLIN | (zmq.POLLOUT if full else 0))
            poller.register(gatekeeper.monitor, zmq.POLLIN)
        due = [call.deadline + GRACE_S for call in self._calls.values()]
        due += [min(call.deadline, call.connect_by) for call in waiting]
        due += [gatekeeper.redial_at for gatekeeper in self._gatekeepers]
        poller.poll(max(1, min(1000, (min(due) - now) * 1e3 + 1)))

    def _choose(self, call, now):
        count = len(self._gatekeepers)
        ring = [self._gatekeepers[(self._current + step) % count] for step in range(count)]
        usable = [gatekeeper for gatekeeper in ring if gatekeeper.up]
        usable.sort(key=lambda gatekeeper: (gatekeeper.silent_until > now,
                                            gatekeeper in call.tried))
        return usable[0] if usable else None

    def _send(self, call, now):
        """False: not now."""
        if call.pin is not None:
            gatekeeper, generation = call.pin
            if not gatekeeper.connected or gatekeeper.generation != generation:
                self._gone(call, gatekeeper)
                return True
        else:
            gatekeeper = self._choose(call, now)
            if gatekeeper is None:
                return False
            self._current = self._gatekeepers.index(gatekeeper)
        self._ticket += 1
        ticket = self._ticket.to_bytes(8, "big")
        request = dict(call.request)
        if now - call.born > 0.005:  # what it waited here is gone from its budget
            request["timeout_ms"] = max(1, round((call.deadline - now) * 1e3))
        payload = msgpack.packb(request, default=_pack_more)
        try:
            call.mark = self._put(gatekeeper, ticket, payload)
        except zmq.Again:
            return False
        call.gatekeeper, call.sent_at = gatekeeper, now
        call.way = (gatekeeper, gatekeeper.generation)
        call.tried.add(gatekeeper)
        self._calls[ticket] = call
        return True

    def _receive(self, gatekeeper, waiting, now):
        while True:
            try:
                frames = gatekeeper.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            gatekeeper.heard_at, gatekeeper.silent_until = now, 0.0
            call = self._calls.get(frames[0])
            if len(frames) < 3 or frames[1]:
                continue
            for late in [late for late in self._late if late[0] == frames[0]]:
                self._late.remove(late)
                if not self._seal_fault(late[1], frames):  # what somebody made up ends nothing
                    self._give_back(gatekeeper, frames[2])
            if call is None or call.gatekeeper is not gatekeeper:
                continue  # late, twice, or never asked for
            outcome = self._outcome(call, frames)
            if outcome is None:
                continue
            del self._calls[frames[0]]
            if getattr(outcome, "code", "") == "FORGED":
                gatekeeper.silent_until = now + 5.0  # others come first
            refused = isinstance(outcome, PortcullisError) and outcome.hop == "gatekeeper"
            if refused and outcome.code == "DRAINING":
                # It is about to close: what went to it now could be lost with the connection.
                gatekeeper.up, gatekeeper.why = False, "it is shutting down"
            refused = refused and outcome.retry == "safe"
            if call.pin is not None or (self._seals and not call.idempotent):
                # It has no other gatekeeper, or the refusal may be a lie to have it run twice.
                call.outcome = outcome
            elif refused and outcome.code == "DRAINING":
                call.connect_by = now + CONNECT_S
                call.sent_at = call.sent_at if self._seals else 0.0  # 0: as if never sent
                waiting.append(call)
            elif (refused and outcome.code == "UNAVAILABLE" and any(
                    other.up and other not in call.tried for other in self._gatekeepers)):
                waiting.append(call)  # it never left that gatekeeper, and another may do better
            else:
                call.outcome = outcome

    def _seal_fault(self, mark, frames):
        return self._seals.fault(mark, frames[2:]) if self._seals else None

    def _outcome(self, call, frames):
        """None: the reply is another's."""
        try:
            reply = msgpack.unpackb(frames[2], raw=False)
            fault = self._seal_fault(call.mark, frames)
            if fault:
                return self._unsealed(call, reply, fault)
            if reply.get("id") != call.request["id"] and (reply["ok"] or reply.get("id")):
                return None
            error = None if reply["ok"] else dict(reply["error"])
            sealed = bool(self._seals)
            return Result(reply, call.way, sealed) if error is None else PortcullisError(
                error.pop("code"), error.pop("message", ""), error.pop("retry"),
                error.pop("hop", "?"), **{**error, "id": call.request["id"], "sealed": sealed})
        except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
            return PortcullisError("INTERNAL", f"the reply does not parse: {error!r}", "unsafe",
                                   id=call.request["id"])

    @staticmethod
    def _unsealed(call, reply, fault):
        """What is left of a reply that the broker has not sealed; None: it is another's."""
        error = None if reply["ok"] else reply["error"]
        if not error or error["code"] not in UNSEALED_CODES or error["hop"] not in UNSEALED_HOPS:
            return PortcullisError("FORGED", f"the reply of {call.gatekeeper.endpoint} is not "
                                   f"believed, since its seal {fault}", "unsafe",
                                   id=call.request["id"])
        if reply.get("id") not in (None, call.request["id"]):
            return None
        return PortcullisError(error["code"], str(error.get("message", "")), call.retry_unknown(),
                               error["hop"], id=call.request["id"],
                               retry_after_ms=error.get("retry_after_ms", 0))

    def _give_back(self, gatekeeper, payload):
        """Ends what a reply that came too late has opened."""
        try:
            reply = msgpack.unpackb(payload, raw=False)
            way = (gatekeeper, gatekeeper.generation)
            if reply.get("cursor"):
                self._unended.append(({"op": "close", "cursor": reply["cursor"]}, way))
            if reply.get("session"):
                self._unended.append(({"op": "rollback", "session": reply["session"]}, way))
        except (ValueError, AttributeError, msgpack.UnpackException):
            pass  # it is nothing that could be given back

    def _gone(self, call, gatekeeper):
        what = "the session, which is rolled back" if "session" in call.request \
            else "the rest of the result"
        self._fail(call, "GONE", f"the connection to gatekeeper {gatekeeper.endpoint} was lost, "
                   f"and with it {what}", "never")

    def _lose(self, gatekeeper, waiting):
        for ticket, call in list(self._calls.items()):
            if call.gatekeeper is not gatekeeper:
                continue
            del self._calls[ticket]
            if call.idempotent:
                call.connect_by = time.monotonic() + CONNECT_S
                waiting.append(call)
            elif call.request.get("op") == "fetch":
                self._gone(call, gatekeeper)
            else:
                self._fail(call, "LOST", f"gatekeeper {gatekeeper.endpoint} went away",
                           call.retry())

    def _expire(self, waiting, now):
        for call in [call for call in waiting if now >= min(call.deadline, call.connect_by)]:
            why = "; ".join(f"{each.endpoint}: {each.why}" for each in self._gatekeepers)
            waiting.remove(call)
            if call.sent_at:
                self._fail(call, "LOST", f"no other gatekeeper took it over: {why}", "safe")
            elif now >= call.deadline and any(each.up for each in self._gatekeepers):
                self._fail(call, "DEADLINE", "not sent in time", "safe")
            else:
                self._fail(call, "UNAVAILABLE", f"no gatekeeper is there: {why}", "safe")
        for ticket, call in list(self._calls.items()):
            if now >= call.deadline + GRACE_S:
                del self._calls[ticket]
                self._late.append((ticket, call.mark))
                if call.gatekeeper.heard_at < call.sent_at:
                    call.gatekeeper.silent_until = now + 5.0
                self._fail(call, "DEADLINE", f"no answer from {call.gatekeeper.endpoint}",
                           call.retry())

    @staticmethod
    def _fail(call, code, message, retry):
        call.outcome = PortcullisError(code, message, retry, id=call.request["id"])
