"""A client of bare ZeroMQ and msgpack for requests that are in flight together, and looks past the
daemons at what their sessions, cursors and statements leave in the databases."""
import collections
import contextlib
import json
import pathlib
import secrets
import time

import msgpack
import zmq

from harness import wait_until
from raw import Raw, request

# What a test adds to a promised time for Python and a busy machine.
SLACK_S = 0.4
# The agents' own accounts, but not what replication and the agents' observers hold for good.
ACCOUNTS = "user IN ('portcullis_read', 'portcullis_write')"


class Asked(collections.namedtuple("Asked", "tag ident")):
    """A request that was sent: the frame that its reply brings back, and its id."""


class Caller(Raw):
    """A DEALER with any number of requests in flight; a frame of its own before the delimiter
    tells replies apart, since a cancel has the id of another request.  No reply comes twice."""

    def __init__(self, bundle, keys=None):
        super().__init__(bundle, keys=keys)
        self.count = 0
        self.waiting, self.replies, self.sizes = {}, {}, {}

    def post(self, sql=None, params=None, **keys):
        """Sends a request."""
        keys.setdefault("id", secrets.token_bytes(16))
        if sql is not None:
            keys["sql"] = sql
        if params is not None:
            keys["params"] = params
        self.count += 1
        asked = Asked(self.count.to_bytes(4, "big"), keys["id"])
        self.waiting[asked.tag] = asked.ident
        self.send(asked.tag, b"", request(**keys))
        return asked

    def pump(self, timeout_s=0.0):
        """Takes in what has come, after waiting for the first of it."""
        while self.socket.poll(int(timeout_s * 1000)):
            tag, _, payload = self.socket.recv_multipart()
            reply = msgpack.unpackb(payload, strict_map_key=False)
            assert tag in self.waiting, f"a reply to nothing that was asked: {reply}"
            assert reply["id"] == self.waiting.pop(tag), f"another request's reply: {reply}"
            self.replies[tag], self.sizes[tag] = reply, len(payload)
            timeout_s = 0.0

    def take(self, asked, timeout_s=15.0):
        """The reply to a request, whenever it comes."""
        deadline = time.monotonic() + timeout_s
        while asked.tag not in self.replies:
            left = deadline - time.monotonic()
            assert left > 0, f"no reply within {timeout_s} s"
            self.pump(min(left, 0.1))
        return self.replies.pop(asked.tag)

    def has(self, asked):
        """Has the reply come?"""
        self.pump()
        return asked.tag in self.replies

    def call(self, sql=None, params=None, timeout_s=15.0, **keys):
        """The reply, whatever it says."""
        return self.take(self.post(sql, params, **keys), timeout_s)

    def run(self, sql=None, params=None, **keys):
        """The reply, which must be ok."""
        reply = self.call(sql, params, **keys)
        assert reply["ok"], (sql or keys.get("op"), reply["error"])
        return reply

    def fail(self, sql=None, params=None, **keys):
        """The error, which there must be."""
        return refusal(self.call(sql, params, **keys))

    def cancel(self, asked):
        """How many requests a cancel found."""
        return self.run(op="cancel", id=asked.ident)["affected"]

    def begin(self, **keys):
        return Session(self, self.run(op="begin", **keys))


class Session:
    """A session of a caller."""

    def __init__(self, caller, reply):
        self.caller, self.reply = caller, reply
        self.ident, self.route = reply["session"], reply["route"]
        assert isinstance(self.ident, bytes) and len(self.ident) == 16, reply

    def post(self, sql=None, params=None, **keys):
        return self.caller.post(sql, params, session=self.ident, **keys)

    def call(self, sql=None, params=None, **keys):
        return self.caller.call(sql, params, session=self.ident, **keys)

    def run(self, sql=None, params=None, **keys):
        return self.caller.run(sql, params, session=self.ident, **keys)

    def fail(self, sql=None, params=None, **keys):
        return self.caller.fail(sql, params, session=self.ident, **keys)

    def rows(self, sql, params=None, **keys):
        return self.run(sql, params, **keys)["rows"]

    def value(self, sql, params=None, **keys):
        return self.rows(sql, params, **keys)[0][0]

    def commit(self, **keys):
        return self.run(op="commit", **keys)

    def rollback(self, **keys):
        return self.run(op="rollback", **keys)


def refusal(reply):
    assert not reply["ok"], reply
    return reply["error"]


def fate(error):
    return error["code"], error["retry"]


GONE = ("GONE", "never")


def wait_gone(caller, sql=None, **keys):
    """What names a session or cursor that is nobody's is told GONE; a proxy that has not heard of
    all nodes yet says that it does not know, and nothing else."""
    def is_gone():
        told = fate(caller.fail(sql, **keys))
        assert told in (GONE, ("NO_NODE", "safe")), told
        return told == GONE

    wait_until(is_gone, 15, f"GONE for {keys}", 0.1)


def pages(caller, first, **keys):
    """All pages of a result from its first reply on."""
    yield first
    while "cursor" in first:
        first = caller.run(op="fetch", cursor=first["cursor"], **keys)
        yield first


# --- The other principal -----------------------------------------------------------


def stranger_keys(cluster):
    """A second principal's key pair, known to gatekeeper and broker."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    cluster.admit("stranger", public)

    def known():
        with Raw(cluster.bundle, keys=(public, secret)) as raw:
            answer = raw.ask(request(sql="SELECT 1"), timeout_s=0.5)
            return answer is not None and answer["ok"]

    wait_until(known, 10, "the stranger to be known")
    return public, secret


# --- What a database sees ------------------------------------------------------------


def statements(cluster, node, like):
    """Statements of clients that run on a node and have these words."""
    return cluster.sql(node, "SELECT id, info FROM information_schema.processlist WHERE "
                             f"{ACCOUNTS} AND info LIKE '%{like}%'")


def transactions(cluster, node):
    """Open transactions of clients on a node."""
    return int(cluster.sql(node, "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN "
                                 "information_schema.processlist p ON p.id = "
                                 f"t.trx_mysql_thread_id WHERE p.{ACCOUNTS}")[0][0])


def connections(cluster, node):
    """Ids of the connections that clients' statements run on."""
    rows = cluster.sql(node, f"SELECT id FROM information_schema.processlist WHERE {ACCOUNTS}")
    return {int(row[0]) for row in rows}


def temporary_files(cluster, node):
    """Files of temporary tables (those of MyISAM have some on both flavors)."""
    return [path.name for path in (pathlib.Path(cluster.var) / node / "tmp").rglob("*.MYI")]


def held(cluster):
    """(sessions, cursors) that the proxy knows of on all nodes, by the agents' last words."""
    name = "proxy" if "proxy" in cluster.parts() else "portcullisd"
    status, text = cluster.get(name, "/api/cluster", "proxy")
    assert status == 200, text
    nodes = json.loads(text)["nodes"]
    return sum(node["sessions"] for node in nodes), sum(node["cursors"] for node in nodes)


def wait_nothing_held(cluster, timeout_s=10.0):
    """Until no session, cursor or transaction of a client is left anywhere."""
    wait_until(lambda: held(cluster) == (0, 0), timeout_s, "sessions and cursors to end", 0.1)
    for node in cluster.nodes():
        wait_until(lambda node=node: transactions(cluster, node) == 0, timeout_s,
                   f"transactions on {node} to end", 0.1)


def row_is_free(cluster, node, table, where):
    """Could anybody change the row at once?"""
    done = cluster.sql(node, "SET SESSION innodb_lock_wait_timeout = 1; BEGIN; "
                             f"SELECT 'free' FROM {table} WHERE {where} FOR UPDATE; ROLLBACK",
                       check=False)
    return ["free"] in done


def make_table(cluster, name, columns, rows=()):
    """A table in the schema demo, made past the daemons, there on all nodes."""
    text = f"DROP TABLE IF EXISTS demo.{name}; CREATE TABLE demo.{name} ({columns})"
    for row in rows:
        text += f"; INSERT INTO demo.{name} VALUES ({row})"
    cluster.sql(cluster.source(), text)
    if cluster.replicas():
        cluster.wait_replicated()


def make_numbers(cluster, name, count, word="CONCAT('word ', {n})"):
    """demo.NAME (n, word) with n from 1 to count, which is a power of ten."""
    digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL " \
        "SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 " \
        "UNION ALL SELECT 9)"
    power = len(str(count)) - 1
    number = "1 + " + " + ".join(f"{10 ** place} * t{place}.d" for place in range(power))
    tables = ", ".join(f"{digits} t{place}" for place in range(power))
    cluster.sql(cluster.source(),
                f"DROP TABLE IF EXISTS demo.{name}; CREATE TABLE demo.{name} (n INT PRIMARY KEY, "
                f"word TEXT NOT NULL); INSERT INTO demo.{name} SELECT {number}, "
                f"{word.format(n='(' + number + ')')} FROM {tables}")
    if cluster.replicas():
        cluster.wait_replicated()


# --- Processes -------------------------------------------------------------------------


def memory_kib(cluster, field="VmRSS"):
    """{daemon: KiB} of all daemons, now (VmRSS) or at most (VmHWM)."""
    found = {}
    for name, pid in cluster.pids().items():
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                found[name] = int(line.split()[1])
    return found


@contextlib.contextmanager
def timed():
    """A list whose one element is the seconds that the with block took."""
    took = []
    begun = time.monotonic()
    yield took
    took.append(time.monotonic() - begun)
