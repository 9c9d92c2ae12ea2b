"""portcullis - a client of the cluster in pure Python (pyzmq and msgpack).

    import portcullis
    with portcullis.Client("var/client.bundle") as client:
        for row in client.query("SELECT name FROM city WHERE id = ?", [7]):
            print(row)

Every request has exactly one outcome: a Result, or a PortcullisError whose `code` says what
happened and whose `retry` says what may be done about it: "safe" (nothing ran: send it again),
"unsafe" (it may have run: look first), "never" (the same request will always fail).

Threads: a Client may be shared, but it takes one call at a time, the others wait their turn.
For many requests in flight use query_many(), or a Client for each thread.  After a fork the
child opens its own.
"""
import collections
import datetime
import decimal
import os
import pathlib
import random
import re
import threading
import time

import msgpack
import zmq
from zmq.utils.monitor import parse_monitor_message

__all__ = ["Client", "PortcullisError", "Result", "load_bundle"]
GRACE_S = 0.1          # the gatekeeper promises an answer within the deadline plus this
CONNECT_S = 2.0        # a request that finds no gatekeeper waits this long for one
REPLY_SIZE_MAX = 17 << 20
EXT_DECIMAL, EXT_TEMPORAL = 1, 2
EVENTS = (zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
          | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class PortcullisError(Exception):
    """code, message, retry ("safe", "unsafe", "never"), hop, errno, sqlstate, retry_after_ms."""

    def __init__(self, code, message, retry, hop="client", **more):
        super().__init__(f"{code}: {message} (hop {hop}, retry {retry})")
        self.code, self.message, self.retry, self.hop = code, message, retry, hop
        self.errno, self.sqlstate = more.get("errno", 0), more.get("sqlstate", "")
        self.retry_after_ms, self.id = more.get("retry_after_ms", 0), more.get("id")


class Result:
    """columns ([name, type, flags] each), rows, affected, insert_id, warnings, token, route,
    id; and reply, the whole map as it came."""

    def __init__(self, reply):
        self.reply, self.id = reply, reply.get("id")
        self.columns, self.rows = reply.get("columns", []), reply.get("rows", [])
        self.affected, self.insert_id = reply.get("affected", 0), reply.get("insert_id", 0)
        self.warnings, self.token = reply.get("warnings", 0), reply.get("token")
        self.route = reply.get("route", {})

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def dicts(self):
        """The rows as maps from column name to value."""
        names = [column[0] for column in self.columns]
        return [dict(zip(names, row)) for row in self.rows]


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


class _Gatekeeper:
    """One DEALER and what its monitor tells of the connection below it."""

    def __init__(self, context, endpoint, server_key, curve):
        self.endpoint, self.up, self.why = endpoint, False, "not connected yet"
        self.silent_until = 0.0  # after a deadline without any word: the others come first
        self.heard_at = 0.0
        self.socket = context.socket(zmq.DEALER)
        options = {zmq.LINGER: 0, zmq.IMMEDIATE: 1, zmq.SNDHWM: 10000, zmq.RCVHWM: 10000,
                   zmq.MAXMSGSIZE: REPLY_SIZE_MAX, zmq.HANDSHAKE_IVL: 3000,
                   zmq.HEARTBEAT_IVL: 500, zmq.HEARTBEAT_TIMEOUT: 1500,
                   zmq.HEARTBEAT_TTL: 3000, zmq.RECONNECT_IVL: 50, zmq.RECONNECT_IVL_MAX: 500}
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        if curve:
            self.socket.curve_publickey = curve["public-key"].encode()
            self.socket.curve_secretkey = curve["secret-key"].encode()
            self.socket.curve_serverkey = server_key.encode()
        self.monitor = self.socket.get_monitor_socket(EVENTS)
        self.socket.connect(endpoint)

    def notice(self):
        """Reads the monitor; True when the connection went away since the last look, and with
        it every answer that was to come over it."""
        gone = False
        while self.monitor.poll(0):
            event = parse_monitor_message(self.monitor.recv_multipart())["event"]
            self.up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            gone = gone or not self.up
            self.why = {zmq.EVENT_DISCONNECTED: "the connection was lost",
                        zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it refused this bundle's key",
                        zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected"}.get(event, "no handshake")
        return gone

    def close(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close(0)


class _Call:
    """One request on its way to its one outcome."""

    def __init__(self, request, idempotent, timeout_s, now):
        self.request, self.idempotent, self.born = request, idempotent, now
        self.deadline, self.connect_by = now + timeout_s, now + min(timeout_s, CONNECT_S)
        self.gatekeeper, self.sent_at, self.tried, self.outcome = None, 0.0, set(), None


class Client:
    """One principal's way into the cluster.

    bundle: path of a bundle file, by default $PORTCULLIS_BUNDLE or ./var/client.bundle.
    Instead of a bundle: endpoints, a list of (endpoint, public key), and keys, a pair
    (public, secret); endpoints without keys are for tests on ipc and inproc.
    timeout_ms: of a request that names none."""

    def __init__(self, bundle=None, *, endpoints=None, keys=None, timeout_ms=5000, context=None):
        curve = {"public-key": keys[0], "secret-key": keys[1]} if keys else None
        if endpoints is None:
            sections = load_bundle(
                bundle or os.environ.get("PORTCULLIS_BUNDLE", "var/client.bundle"))
            curve = next((keys for name, keys in sections if name == "curve"), None)
            endpoints = [(keys["endpoint"], keys.get("public-key", "")) for name, keys in sections
                         if name == "gatekeeper"]
        if not endpoints:
            raise ValueError("no gatekeeper to connect to")
        self.timeout_ms, self._lock = timeout_ms, threading.Lock()
        self._gatekeepers = [_Gatekeeper(context or zmq.Context.instance(), endpoint, key, curve)
                             for endpoint, key in endpoints]
        self._current = random.randrange(len(self._gatekeepers))
        self._ticket, self._calls, self._closed = random.getrandbits(62), {}, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """May be called twice; waits for a call that is under way."""
        with self._lock:
            for gatekeeper in [] if self._closed else self._gatekeepers:
                gatekeeper.close()
            self._closed = True

    def query(self, sql, params=None, **options):
        """Runs one statement, a Result.  Options: the request's keys (db, strategy,
        consistency, timeout_ms, explain_route, id ...) and idempotent=True, with which a request
        lost with its gatekeeper is sent to another."""
        return self._one(self._query_map(sql, params, options))

    def query_many(self, requests, **options):
        """Runs (sql, params) pairs all in flight together.  Returns one Result or
        PortcullisError (not raised) for each, in the order given."""
        return self._run([self._query_map(sql, params, dict(options)) for sql, params in requests])

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

    def _one(self, request):
        outcome = self._run([request])[0]
        if isinstance(outcome, PortcullisError):
            raise outcome
        return outcome

    def _run(self, requests):
        with self._lock:
            if self._closed:
                raise PortcullisError("UNAVAILABLE", "the client is closed", "safe")
            calls, now = [], time.monotonic()
            for request in requests:
                request = {key: value for key, value in request.items() if value is not None}
                idempotent = request.pop("idempotent", False)
                request = {"v": 1, "id": os.urandom(16), **request}
                timeout_ms = request.setdefault("timeout_ms", self.timeout_ms)
                msgpack.packb(request, default=_pack_more)  # a wrong value is the caller's error
                if not isinstance(timeout_ms, int) or timeout_ms < 1:
                    timeout_ms = self.timeout_ms  # for us; the gatekeeper shall say what is wrong
                calls.append(_Call(request, idempotent, timeout_ms / 1e3, now))
            try:
                self._drive(calls)
            finally:
                self._calls.clear()  # what comes later finds no ticket and is dropped
            return [call.outcome for call in calls]

    def _drive(self, calls):
        waiting = collections.deque(calls)
        while waiting or self._calls:
            now = time.monotonic()
            for gatekeeper in self._gatekeepers:
                gone = gatekeeper.notice()
                self._receive(gatekeeper, waiting, now)
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
            full = waiting and gatekeeper.up
            poller.register(gatekeeper.socket, zmq.POLLIN | (zmq.POLLOUT if full else 0))
            poller.register(gatekeeper.monitor, zmq.POLLIN)
        due = [call.deadline + GRACE_S for call in self._calls.values()]
        due += [min(call.deadline, call.connect_by) for call in waiting]
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
            gatekeeper.socket.send_multipart([ticket, b"", payload], zmq.DONTWAIT)
        except zmq.Again:
            return False
        call.gatekeeper, call.sent_at = gatekeeper, now
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
            if call is None or call.gatekeeper is not gatekeeper or len(frames) < 3 or frames[1]:
                continue  # late, twice, or never asked for
            outcome = self._outcome(call, frames[2])
            if outcome is None:
                continue
            del self._calls[frames[0]]
            refused = isinstance(outcome, PortcullisError) and outcome.hop == "gatekeeper" \
                and outcome.retry == "safe"
            if refused and outcome.code == "DRAINING":
                # It is about to close: what went to it now could be lost with the connection.
                gatekeeper.up, gatekeeper.why = False, "it is shutting down"
                call.connect_by, call.sent_at = now + CONNECT_S, 0.0  # as if never sent
                waiting.append(call)
            elif (refused and outcome.code == "UNAVAILABLE" and any(
                    other.up and other not in call.tried for other in self._gatekeepers)):
                waiting.append(call)  # it never left that gatekeeper, and another may do better
            else:
                call.outcome = outcome

    @staticmethod
    def _outcome(call, payload):
        """None: the reply is another's."""
        try:
            reply = msgpack.unpackb(payload, raw=False)
            if reply.get("id") != call.request["id"] and (reply["ok"] or reply.get("id")):
                return None
            error = None if reply["ok"] else dict(reply["error"])
            return Result(reply) if error is None else PortcullisError(
                error.pop("code"), error.pop("message", ""), error.pop("retry"),
                error.pop("hop", "?"), id=call.request["id"], **error)
        except (ValueError, KeyError, TypeError, AttributeError, msgpack.UnpackException) as error:
            return PortcullisError("INTERNAL", f"the reply does not parse: {error!r}", "unsafe",
                                   id=call.request["id"])

    def _lose(self, gatekeeper, waiting):
        for ticket, call in list(self._calls.items()):
            if call.gatekeeper is gatekeeper:
                del self._calls[ticket]
                if call.idempotent:
                    call.connect_by = time.monotonic() + CONNECT_S
                    waiting.append(call)
                else:
                    self._fail(
    call,
    "LOST",
    f"gatekeeper {gatekeeper.endpoint} went away",
     "unsafe")

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
                if call.gatekeeper.heard_at < call.sent_at:
                    call.gatekeeper.silent_until = now + 5.0
                self._fail(call, "DEADLINE", f"no answer from {call.gatekeeper.endpoint}",
                           "safe" if call.idempotent else "unsafe")

    @staticmethod
    def _fail(call, code, message, retry):
        call.outcome = PortcullisError(code, message, retry, id=call.request["id"])
