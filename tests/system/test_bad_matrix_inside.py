"""Rows B-18 and B-19 of the bad-input matrix: what a node's agent may send that is no answer, and
beats that are another's, too old, or far too many.

The agents are the test's, with the real ones' keys; gatekeeper, broker and proxy are real."""
import contextlib
import os
import queue
import re
import struct
import threading
import time

import msgpack
import pytest
import zmq

from agent_alone import BEAT, CANCEL, PONG, REPLY, REQUEST, messages_of, now_us, packed
from caller import Caller
from harness import SANITIZED, wait_until
from raw import Raw, request, resident_kib
from volume import volume

SOURCE, REPLICA = 1, 2
WRITE = "INSERT INTO customers (name) VALUES ('nobody')"


def head(kind, ticket=0, ident=bytes(16), boot=None, name=b"", code=0, retry=0, op=0, flags=0,
         version=2, signature=b"PC", reserved=0, sizes=None):
    """docs/rfc/2-hop-protocol.md, section 3, and all that may be wrong with it."""
    session = boot + bytes(8) if boot is not None else bytes(16)
    name_size, role_size = sizes or (len(name), 0)
    return struct.pack(">Q2s10BIQIIIIQ16s16sIBBH", ticket, signature, version, kind, op, 0, 0, 0, 0,
                       code, retry, flags, 0, now_us(), 0, 0, 0, 0, 0, ident, session, 0,
                       name_size, role_size, reserved) + name


class Report:
    """Section 5; what a test wants to be wrong, it sets."""

    def __init__(self, role):
        self.boot, self.seq, self.term = os.urandom(8), 0, 0
        self.role, self.lag_ms, self.gtid = role, 0, b"0-1-42"

    def octets(self, **wrong):
        value = {**vars(self), **wrong}
        if "seq" not in wrong:
            self.seq += 1
            value["seq"] = self.seq
        gtid = value["gtid"]
        return value["boot"] + struct.pack(
            ">QQ6BHIIIIIIQQfffffIIHHII16s", value["seq"], value["term"], value["role"],
            value.get("state", 1), 1, 3 if value["role"] == REPLICA else 2, 100, 0, 8,
            value["lag_ms"], 0, 0, 0, 1024, 1, 0, 0, 100.0, 10.0, 1.0, 100.0, 10.0, 10, 1, 3306,
            value.get("gtid_size", len(gtid)), 0, 0, bytes(16)) + gtid


class PlayedAgent(threading.Thread):
    """Beats as a node's agent and answers requests; `answer` makes other messages of them."""

    def __init__(self, cluster, node, role):
        super().__init__(daemon=True)
        config = open(cluster.part(cluster.agent_of(node))["config"], encoding="utf-8").read()

        def value(section, key):
            found = re.search(rf'^{section}$.*?^\s+{key} = "?([^"\n]+)', config, re.M | re.S)
            assert found, f"{section}/{key}"
            return found[1]

        keys = open(value("curve", "key_file"), encoding="utf-8").read()
        self.keys = [re.search(rf'{which}-key = "([^"]+)"', keys)[1].encode()
                     for which in ("public", "secret")]
        self.endpoint = value("proxy", "endpoint")
        self.server_key = value("proxy", "public_key").encode()
        self.node, self.report = node.encode(), Report(role)
        self.answer = self.good          # (octets of the head, payload) -> messages
        self.outbox = queue.Queue()      # messages to send as they are
        self.requests = []               # (ticket, id)
        self.cancels = self.pongs = 0
        self.mute = False
        self.ending = threading.Event()
        self.start()

    def connect(self):
        one = zmq.Context.instance().socket(zmq.DEALER)
        one.linger = 0
        one.sndhwm = one.rcvhwm = 100000
        one.curve_serverkey = self.server_key
        one.curve_publickey, one.curve_secretkey = self.keys
        one.connect(self.endpoint)
        return one

    def run(self):
        connection, due = self.connect(), 0.0
        while not self.ending.is_set():
            if time.monotonic() >= due and not self.mute:
                connection.send_multipart(self.beat())
                due = time.monotonic() + 0.1
            with contextlib.suppress(queue.Empty):
                while True:
                    message = self.outbox.get_nowait()
                    if message is None:  # another connection
                        connection.close()
                        connection = self.connect()
                    else:
                        connection.send_multipart(message)
            if connection.poll(5):
                for message in messages_of(connection.recv_multipart()):
                    self._take(*message)
        connection.close()

    def _take(self, octets, payload, _tail):
        if octets[11] == REQUEST:
            self.requests.append((struct.unpack(">Q", octets[:8])[0], octets[56:72]))
            for message in self.answer(octets, payload):
                self.outbox.put(message)
        elif octets[11] == CANCEL:
            self.cancels += 1
        elif octets[11] == PONG:
            self.pongs += 1

    def beat(self, **wrong):
        return [head(BEAT, boot=self.report.boot, name=wrong.pop("name", self.node)), b"",
                self.report.octets(**wrong)]

    def reply(self, ticket, ident, payload=None, report=None, **wrong):
        if payload is None:
            payload = msgpack.packb({"v": 1, "id": ident, "ok": True, "affected": 1,
                                     "insert_id": 0, "warnings": 0})
        return [head(REPLY, ticket, ident, **wrong), payload,
                self.report.octets() if report is None else report]

    def good(self, octets, _payload):
        return [self.reply(struct.unpack(">Q", octets[:8])[0], octets[56:72])]

    def restart(self):
        """Another run of the agent, on another connection."""
        self.report = Report(self.report.role)
        self.outbox.put(None)

    def end(self):
        self.ending.set()
        self.join(5)


@pytest.fixture(scope="module")
def inside(shared_cluster):
    """The shared cluster without its agents."""
    shared_cluster.heal()
    parts = [shared_cluster.agent_of(node) for node in shared_cluster.nodes()]
    for part in parts:
        shared_cluster.stop(part)
    yield shared_cluster
    for part in parts:
        shared_cluster.start(part, ready=False)
    shared_cluster.heal()


@pytest.fixture
def played(inside):
    """The source and one replica, played; up, as far as the proxy sees."""
    nodes = inside.nodes("source") + inside.nodes("replica")[:1]
    agents = [PlayedAgent(inside, nodes[0], SOURCE), PlayedAgent(inside, nodes[1], REPLICA)]
    pids = inside_pids(inside)
    try:
        wait_until(lambda: all(seen(inside, agent)["member"] == "up" for agent in agents), 15,
                   "the proxy sees them")
        yield inside, *agents
    finally:
        for agent in agents:
            agent.end()
        wait_until(lambda: all(seen(inside, agent)["member"] != "up" for agent in agents), 15,
                   "the proxy sees that they have gone")
    assert inside_pids(inside) == pids


def inside_pids(cluster):
    pids = {name: cluster.pid(name) for name in ("gatekeeper", "broker", "proxy")}
    assert all(pids.values()), pids
    return pids


def status(cluster):
    with Raw(cluster.bundle) as raw:
        reply = raw.ask(request(op="status"))
        assert reply is not None and reply["ok"], reply
        return reply["status"]


def seen(cluster, agent):
    """What the proxy thinks of the agent's node."""
    for node in status(cluster)["nodes"]:
        if node["name"] == agent.node.decode():
            return node
    return {"member": "unknown"}


def dropped(cluster, name="proxy"):
    return sum(value for series, value in cluster.metrics(name).items()
               if "dropped_total" in series)


def outcome(caller, timeout_ms=400, **keys):
    """The one reply to a write."""
    keys.setdefault("sql", WRITE)
    return caller.call(db="demo", timeout_ms=timeout_ms, **keys)


def serves(cluster, agent):
    agent.answer = agent.good
    with Caller(cluster.bundle) as caller:
        reply = outcome(caller, timeout_ms=3000)
        assert reply["ok"], reply["error"]


# --- B-18: replies that are none -----------------------------------------------------------

def _of(octets):
    return struct.unpack(">Q", octets[:8])[0], octets[56:72]


def _changed(**wrong):
    return lambda agent, octets: [agent.reply(*_of(octets), **wrong)]


def _head(change):
    def make(agent, octets):
        message = agent.reply(*_of(octets))
        return [[change(message[0])] + message[1:]]
    return make


def _other_ident(agent, octets):
    ticket, _ = _of(octets)
    return [agent.reply(ticket, os.urandom(16)), agent.reply(ticket, bytes(16))]


def _other_ticket(agent, octets):
    ticket, ident = _of(octets)
    return [agent.reply(other, ident) for other in
            (0, ticket + 1, ticket - 1, ticket ^ 1 << 63, 2**64 - 1)]


def _no_kind(agent, octets):
    ticket, ident = _of(octets)
    return [[head(kind, ticket, ident), b"", b""] for kind in (0, REQUEST, CANCEL, 8, 9, 255)]


def _other_frames(agent, octets):
    message = agent.reply(*_of(octets))
    return [message[:1], message[:2], message + [b"more"], [b""], [b"", b"", b""],
            [b"x"] * 50]


def _packed_badly(agent, octets):
    head_octets, payload, report = agent.reply(*_of(octets))
    size, tail = struct.pack(">I", len(payload)), struct.pack(">I", len(report))
    whole = packed([head_octets, payload, report])
    return [[head_octets + size[:3]], [head_octets + size], [head_octets + size + tail],
            [whole[:-1]], [head_octets + b"\xff\xff\xff\xff" + tail + payload + report],
            [head_octets + size + b"\xff\xff\xff\xff" + payload + report],
            [head_octets + tail + size + payload + report], [size + tail + payload + report],
            [b"x" + whole], [whole, b""], [bytes(len(whole))]]


NO_REPLIES = {
    "head cut short": _head(lambda octets: octets[:50]),
    "head with more": _head(lambda octets: octets + b"x"),
    "head of nothing": _head(lambda octets: b""),
    "another signature": _changed(signature=b"XX"),
    "version 1": _changed(version=1),
    "reserved is set": _changed(reserved=1),
    "a code that is not known": _changed(code=200),
    "a retry that is not known": _changed(retry=9),
    "an op that is not known": _changed(op=99),
    "names longer than the head": _changed(sizes=(63, 63)),
    "another request's id": _other_ident,
    "another ticket": _other_ticket,
    "another kind": _no_kind,
    "another number of frames": _other_frames,
    "packed, and not whole": _packed_badly,
    "half a report": lambda agent, octets: [
        agent.reply(*_of(octets), report=agent.report.octets()[:60])],
    "a report of garbage": lambda agent, octets: [agent.reply(*_of(octets), report=b"\xff" * 128)],
    "a GTID longer than the report": lambda agent, octets: [
        agent.reply(*_of(octets), report=agent.report.octets(gtid_size=1024))],
}


@pytest.mark.parametrize("make", NO_REPLIES.values(), ids=NO_REPLIES.keys())
def test_b18_what_is_no_reply_is_dropped_and_the_outcome_unknown(played, make):
    cluster, source, _ = played
    before = dropped(cluster)
    source.answer = lambda octets, payload: make(source, octets)
    with Caller(cluster.bundle) as caller:
        reply = outcome(caller)
        assert not reply["ok"] and reply["error"]["retry"] == "unsafe", reply
        assert reply["error"]["code"] in ("DEADLINE", "LOST"), reply
        assert dropped(cluster) > before, "nobody counts it"
        caller.pump(0.1)
    serves(cluster, source)


def test_b18_a_reply_among_bad_ones_in_its_frame_is_taken_once(played):
    """Who cannot say where the next one begins drops the rest, and nothing before it."""
    cluster, source, _ = played
    before = dropped(cluster)

    def among(octets, _payload):
        reply = source.reply(*_of(octets))
        bad = [head(99, *_of(octets)), b"x" * 50, b""]
        stale = source.reply(*_of(octets))
        return [[packed(bad, bad, reply, stale, bad) + b"the end"]]
    source.answer = among
    with Caller(cluster.bundle) as caller:
        reply = outcome(caller)
        assert reply["ok"], reply
        wait_until(lambda: dropped(cluster) >= before + 5, 10, "what was dropped is counted")
        assert dropped(cluster) == before + 5
    serves(cluster, source)


PAYLOADS = {
    "garbage": b"\xc1\xc1\xc1", "nothing": b"", "no map": b"\x90", "cut short": b"\x85\xa1v\x01",
    "a bomb": b"\xdd\xff\xff\xff\xff", "another id": msgpack.packb(
        {"v": 1, "id": b"x" * 16, "ok": True, "affected": 1, "insert_id": 0, "warnings": 0}),
    "octets after the end": msgpack.packb({"v": 1, "id": None, "ok": True}) + b"x",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_b18_a_payload_that_is_no_reply_is_nobodys_success(played, payload):
    """The client library tells that the outcome is unknown."""
    cluster, source, _ = played
    source.answer = lambda octets, _: [source.reply(*_of(octets), payload=payload)]
    done = cluster.command("sql", "--timeout", "1s", WRITE, check=False)
    assert done.returncode != 0, done.stdout
    with cluster.client(timeout_ms=800) as client:
        with pytest.raises(Exception) as caught:
            client.query(WRITE, db="demo")
    assert getattr(caught.value, "retry", "") == "unsafe", caught.value
    serves(cluster, source)


@pytest.mark.plain
@pytest.mark.parametrize("size", [(17 << 20) + 1, (18 << 20) + 1, 64 << 20])
def test_b18_an_oversized_reply_ends_at_most_its_connection(played, size):
    cluster, source, _ = played
    before = resident_kib(cluster.pid("proxy"))
    source.answer = lambda octets, _: [source.reply(*_of(octets), payload=bytes(size))]
    with Caller(cluster.bundle) as caller:
        reply = outcome(caller, timeout_ms=2000)
        assert not reply["ok"] and reply["error"]["retry"] in ("unsafe", "never"), reply
        assert reply["error"]["code"] in ("DEADLINE", "LOST", "TOO_LARGE"), reply
    source.answer = source.good
    wait_until(lambda: seen(cluster, source)["member"] == "up", 10, "it is back")
    serves(cluster, source)
    assert SANITIZED or resident_kib(cluster.pid("proxy")) - before < 48 * 1024


def test_b18_of_two_replies_the_second_is_dropped(played):
    cluster, source, _ = played
    before = dropped(cluster)
    source.answer = lambda octets, payload: source.good(octets, payload) * 3
    with Caller(cluster.bundle) as caller:
        for _ in range(20):
            assert outcome(caller)["ok"]
        caller.pump(0.2)  # fails on a reply to nothing that was asked
    wait_until(lambda: dropped(cluster) >= before + 40, 3, "they are counted")


def test_b18_a_late_reply_is_dropped(played):
    cluster, source, _ = played
    before = dropped(cluster)
    source.answer = lambda octets, payload: []
    with Caller(cluster.bundle) as caller:
        reply = outcome(caller, timeout_ms=200)
        assert reply["error"]["code"] == "DEADLINE" and reply["error"]["retry"] == "unsafe"
        source.outbox.put(source.reply(*source.requests[-1]))
        wait_until(lambda: dropped(cluster) > before, 3, "it is counted")
        caller.pump(0.1)
    serves(cluster, source)


def test_b18_what_an_earlier_run_was_asked_no_later_one_answers(played):
    """The agent comes back as another run: its work was lost at once, and an answer to it, true or
    not, goes to nobody."""
    cluster, source, _ = played
    before = dropped(cluster)
    source.answer = lambda octets, payload: []
    with Caller(cluster.bundle) as caller:
        asked = caller.post(WRITE, db="demo", timeout_ms=10000)
        wait_until(lambda: source.requests, 3, "it is asked")
        start = time.monotonic()
        source.restart()
        reply = caller.take(asked)
        assert reply["error"]["code"] == "LOST" and reply["error"]["retry"] == "unsafe", reply
        assert time.monotonic() - start < 3
        wait_until(lambda: seen(cluster, source)["member"] == "up", 10, "it is back")
        source.outbox.put(source.reply(*source.requests[-1]))
        wait_until(lambda: dropped(cluster) > before, 3, "it is counted")
        caller.pump(0.1)
    serves(cluster, source)


def test_b18_another_node_cannot_answer_for_it(played):
    cluster, source, replica = played
    before = dropped(cluster)
    source.answer = lambda octets, payload: []
    with Caller(cluster.bundle) as caller:
        asked = caller.post(WRITE, db="demo", timeout_ms=1500)
        wait_until(lambda: source.requests, 3, "it is asked")
        for _ in range(5):
            replica.outbox.put(replica.reply(*source.requests[-1]))
        wait_until(lambda: dropped(cluster) > before, 3, "it is counted")
        assert not caller.has(asked), "the replica spoke for the source"
        source.outbox.put(source.reply(*source.requests[-1]))
        assert caller.take(asked)["ok"]


# --- B-19: beats ----------------------------------------------------------------------------

@pytest.mark.parametrize("name", [b"", b"node", b"node99", "another", b"x" * 63,
                                  "n\u00f6de1".encode()],
                         ids=["none", "short", "unknown", "another node's", "long", "not ASCII"])
def test_b19_a_beat_under_another_name_than_the_keys_is_ignored_and_told(played, name):
    """Also one that comes with the key of another node: the key is the name."""
    cluster, source, replica = played
    name = source.node if name == "another" else name
    before, nodes = dropped(cluster), {node["name"] for node in status(cluster)["nodes"]}
    lines = cluster.log("proxy").count("dropped")

    def pretend(times):
        for _ in range(times):
            replica.outbox.put(replica.beat(name=name, role=SOURCE, lag_ms=0, state=2))

    pretend(20)
    wait_until(lambda: dropped(cluster) >= before + 20, 3, "they are counted")
    assert {node["name"] for node in status(cluster)["nodes"]} == nodes
    assert seen(cluster, source)["member"] == "up" and seen(cluster, source)["role"] == "source"
    # So many lines a second are enough.
    wait_until(lambda: pretend(1) or cluster.log("proxy").count("dropped") > lines, 5,
               "it is in the log", every_s=0.3)
    serves(cluster, source)


def test_b19_a_beat_that_is_older_than_the_last_is_ignored(played):
    cluster, source, replica = played
    wait_until(lambda: replica.report.seq > 3, 3, "it beats")
    replica.mute = True
    newest = replica.report.seq + 1000
    replica.outbox.put(replica.beat(seq=newest, lag_ms=7))
    wait_until(lambda: seen(cluster, replica).get("lag_ms", -1) in range(0, 500), 3, "it is heard")
    for seq in (1, newest - 1, newest, 0):
        replica.outbox.put(replica.beat(seq=seq, lag_ms=3_600_000, state=2))
    time.sleep(0.2)
    node = seen(cluster, replica)
    assert node["lag_ms"] < 3_000_000 and node["state"] == "up", node
    replica.report.seq = newest + 1
    replica.mute = False
    serves(cluster, source)


def test_b19_a_beat_of_an_earlier_run_is_ignored(played):
    cluster, source, replica = played
    earlier = replica.report.boot
    replica.restart()
    time.sleep(0.5)
    wait_until(lambda: seen(cluster, replica)["member"] == "up", 10, "it is back")
    before = dropped(cluster)
    for _ in range(10):
        replica.outbox.put([head(BEAT, boot=earlier, name=replica.node), b"",
                            replica.report.octets(boot=earlier, seq=10_000, lag_ms=3_600_000)])
    wait_until(lambda: dropped(cluster) > before, 3, "they are counted")
    assert seen(cluster, replica)["lag_ms"] < 3_000_000
    serves(cluster, source)


@pytest.mark.parametrize("gtid", [b"0-1-18446744073709551615", b"0-9-99999999999999",
                                  b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9223372036854775806",
                                  b"x" * 1024])
def test_b19_a_position_of_the_future_gets_no_reads_that_it_cannot_have(played, gtid):
    """A replica says that it has all and more.  Its agent, asked, has to say that it has not, and
    the source serves who wants to read after a write."""
    cluster, source, replica = played
    replica.answer = lambda octets, _: [replica.reply(*_of(octets), payload=b"\x80", code=21,
                                                      retry=1)]
    replica.report.gtid = gtid
    wait_until(lambda: seen(cluster, replica).get("gtid") == gtid.decode(), 3, "it is heard")
    asked, served = len(replica.requests), len(source.requests)
    with Caller(cluster.bundle) as caller:
        for _ in range(10):
            assert caller.call("SELECT 1", consistency={"after": cluster.token("0-1-42")})["ok"]
    assert len(source.requests) == served + 10
    assert len(replica.requests) <= asked + 10, "it was asked twice"


@pytest.mark.parametrize("wrong", [{"gtid": b"\xff\xfe"}, {"gtid": b"x" * 1025}, {"role": 3},
                                   {"state": 3}, {"gtid_size": 0}, {"lag_ms": 2**32 - 2}])
def test_b19_a_beat_with_a_report_that_is_none_is_dropped(played, wrong):
    cluster, source, replica = played
    before, role = dropped(cluster), seen(cluster, replica)["role"]
    for _ in range(5):
        replica.outbox.put(replica.beat(**wrong))
    wait_until(lambda: dropped(cluster) >= before + 5, 3, "they are counted")
    assert seen(cluster, replica)["role"] == role
    serves(cluster, source)


@pytest.mark.plain
def test_b19_a_flood_of_beats_costs_no_memory_and_nobodys_time(played):
    cluster, source, replica = played
    count, before = volume(20_000, 1_000_000), resident_kib(cluster.pid("proxy"))
    sent, pongs = 0, replica.pongs
    with Caller(cluster.bundle) as caller:
        outcome(caller, timeout_ms=3000)
        while sent < count:
            for _ in range(1000):
                replica.outbox.put(replica.beat())
            sent += 1000
            start = time.monotonic()
            assert outcome(caller, timeout_ms=3000)["ok"]
            assert time.monotonic() - start < 1.0
    replica.report.gtid = b"0-1-4711"  # comes after all of them
    wait_until(lambda: seen(cluster, replica).get("gtid") == "0-1-4711", 60, "all were read")
    assert replica.pongs > pongs
    assert seen(cluster, source)["member"] == "up"
    grown = resident_kib(cluster.pid("proxy")) - before
    print(f"{sent} beats, {grown} KiB grown")
    assert grown < (16 if not SANITIZED else 64) * 1024


def test_b19_a_key_that_is_no_nodes_is_not_let_in(played):
    cluster, source, replica = played
    stranger = PlayedAgent.__new__(PlayedAgent)
    stranger.__dict__.update({**replica.__dict__, "keys": list(zmq.curve_keypair())})
    nodes = {node["name"] for node in status(cluster)["nodes"]}
    connection = stranger.connect()
    for name in (source.node, replica.node, b"node77"):
        connection.send_multipart(replica.beat(name=name, lag_ms=3_600_000))
    assert not connection.poll(500), "somebody answers"
    connection.close()
    assert {node["name"] for node in status(cluster)["nodes"]} == nodes
    serves(cluster, source)
