"""Rows B-09 to B-12 of the bad-input matrix: who is let in, under which id, for how long, and in
which envelope a request may come.

The usual wrong envelopes, and what they are answered, are in test_bad_input.py."""
import contextlib
import pathlib
import shutil
import signal
import struct
import subprocess
import time

import msgpack
import pytest

import zmtp
from gate_alone import Gate
from harness import SANITIZED, wait_until
from raw import request
from volume import FULL, allow_descriptors, seeded, volume

INTERVAL_S = 2.0  # ZMQ_HANDSHAKE_IVL
SLACK_S = 1.5
OWN_ID = b"own routing id"
# What the heaps of two threads keep before they are trimmed is no growth.
GROWTH_KIB_MAX = (8 if not SANITIZED else 64) * 1024


@pytest.fixture(scope="module")
def gate():
    allow_descriptors(4096)
    one = Gate(settings={"clients/handshakes_max": 1000000,
                         "clients/handshakes_address_max": 1000000})
    yield one
    assert one.lives(), one.log()
    one.end()


@pytest.fixture(autouse=True)
def nothing_held(gate):
    """What a test that fails has held back is not kept from the next."""
    yield
    gate.broker.hold.clear()


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """zap_shim.c as a library."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "no compiler: the handler cannot be made to misbehave"
    library = tmp_path_factory.mktemp("shim") / "zap_shim.so"
    source = pathlib.Path(__file__).with_name("zap_shim.c")
    subprocess.run([compiler, "-std=gnu17", "-shared", "-fPIC", "-o", library, source, "-ldl"],
                   check=True, timeout=60)
    return library


class Shimmed(Gate):
    """A gatekeeper whose ZAP handler does what `says` was told."""

    def __init__(self, shim, folder, word="", **options):
        self.word, self.routes = folder / "word", folder / "routes"
        self.word.write_text(word)
        self.routes.unlink(missing_ok=True)
        super().__init__(environment={
            "LD_PRELOAD": str(shim), "ZAP_SHIM": str(self.word), "ZAP_SHIM_ROUTES":
            str(self.routes),
            # libzmq itself loses a message when what its handler says is no answer.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}, **options)

    def says(self, word):
        self.word.write_text(word)

    def route(self, which=-1):
        """A routing id that the ROUTER made up: by default that of who spoke last."""
        lines = wait_until(lambda: self.routes.exists() and self.routes.read_text().split(), 2,
                           "somebody has spoken")
        return int(lines[which], 16)


@contextlib.contextmanager
def shimmed(*arguments, **options):
    one = Shimmed(*arguments, **options)
    try:
        yield one
    finally:
        one.end()


# --- B-09: a ZAP handler that is not there, is slow, or talks nonsense ------------------

# What stands in the handler's place, and whether the gatekeeper may go on without it.
HANDLERS = {
    "status 300": "status=300", "status 400": "status=400", "status 500": "status=500",
    "status 000": "status=000", "status 201": "status=201", "status 2000": "status=2000",
    "status 20": "status=20", "status is empty": "status=", "status is a word": "status=yes",
    "status 200 with a blank": "status=200 ", "version 2.0": "version=2.0",
    "version is empty": "version=", "garbage": "garbage", "wrong request id": "wrong-id",
    "no request id": "no-id", "half an answer": "short", "an answer and more": "long",
    "silent": "silent", "slow": "slow", "fails": "fail", "leaves its address": "leave",
}


def gets_in(gate, keys):
    """Whether a handshake with these keys succeeds, and what is asked then is served."""
    try:
        with gate.peer(keys=keys) as peer:
            peer.handshake()
            peer.send_message(b"", request(sql="SELECT 1"))
            return b"rows" in peer.receive(2)[-1]
    except (zmtp.Closed, zmtp.Refused, TimeoutError, OSError):
        return False


@pytest.mark.parametrize("word", HANDLERS.values(), ids=HANDLERS.keys())
def test_b09_a_handler_that_goes_wrong_lets_nobody_in(shim, tmp_path, word):
    """Neither a stranger nor one whose key is known; and who was in before is served on, while the
    process lives."""
    with shimmed(shim, tmp_path) as gate:
        with gate.client() as client:
            assert client.served()
            passed = len(gate.broker.requests)
            gate.says(word)
            if word == "leave":  # it hears the next one out, and goes
                gets_in(gate, zmtp.keypair())
            assert not gets_in(gate, zmtp.keypair()), "a stranger is in"
            assert not gets_in(gate, None), "it let somebody in without a word for him"
            assert len(gate.broker.requests) == passed
            if client.served(1.0):
                return
        wait_until(lambda: not gate.lives(), 3, "it serves nobody, and does not end")
        assert gate.process.poll() != 0 and "zap" in gate.log()


STARTS = {"absent": "absent", **{name: word for name, word in HANDLERS.items()
                                 if FULL or word != "slow"}}  # that one takes 20 s


@pytest.mark.parametrize("word", STARTS.values(), ids=STARTS.keys())
def test_b09_a_gatekeeper_that_cannot_prove_its_handler_does_not_start(shim, tmp_path, word):
    with shimmed(shim, tmp_path, word, start=False) as gate:
        gate.launch()
        deadline = time.monotonic() + 30
        while gate.process.poll() is None and time.monotonic() < deadline:
            with pytest.raises(OSError):  # nobody may so much as connect
                gate.peer().close()
            time.sleep(0.02)
        assert gate.process.poll() not in (0, None), "it runs"
        assert "zap" in gate.log() and "broker" not in gate.log().split("event=ready")[-1]


def test_b09_a_handler_that_dies_takes_the_process_with_it_within_a_second(shim, tmp_path):
    with shimmed(shim, tmp_path) as gate:
        assert gets_in(gate, None)
        gate.says("fail")
        start = time.monotonic()
        assert not gets_in(gate, None)
        wait_until(lambda: not gate.lives(), 10, "it ends")
        took = time.monotonic() - start
        assert gate.process.returncode not in (0, None) and "zap" in gate.log()
        print(f"ended {took:.2f} s after the handler")
        # The one who asked was held until the end of his own patience, at most.
        assert took < 1.0 + SLACK_S, took


# --- B-10: routing ids ---------------------------------------------------------------

def identity(octets):
    return zmtp.metadata(identity=octets)


def strange_identity(rng, number):
    return [b"", b"\0", b"twin", b"twin", b"i" * 255, b"i" * 256, rng.randbytes(5),
            b"\0" + rng.randbytes(4), b"\0" + struct.pack(">I", number),
            b"\0" + rng.randbytes(rng.randrange(20)), b"\xff" * 8,
            b"alice"][rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0])]


def test_b10_ids_of_every_kind_end_nothing_and_bring_nobody_anothers_reply(gate):
    """Alice waits for replies; bob connects under ids of every kind, asks, and stays for a while.
    She gets all hers; he gets what he asked for himself, or nothing."""
    rng, count, each = seeded(), volume(2000, 100_000), 1000
    answered = sum(strange_ids(gate, rng, start, each) for start in range(0, count, each))
    assert answered > count // 10, "nobody was answered: nothing was tested"
    print(f"{count} connections, {answered} were answered")


def strange_ids(gate, rng, start, count):
    """While fifty requests of alice's are held; how many of bob's were answered."""
    passed = len(gate.broker.requests)
    gate.broker.hold.set()
    with gate.client("alice") as alice:
        tags = {alice.post(timeout_ms=60000) for _ in range(50)}
        wait_until(lambda: len(gate.broker.requests) >= passed + 50, 5, "they are held")
        window, answered = [], 0
        for number in range(start, start + count):
            peer = introduced(gate, f"127.0.4.{number % 250 + 1}", strange_identity(rng, number))
            window.append(peer)
            peer.send_message(b"bob", b"", request(sql="SELECT 2", timeout_ms=60000))
            if len(window) > 60:
                answered += bobs_replies(window.pop(0))
        gate.broker.hold.clear()
        while tags:
            assert alice.socket.poll(5000), f"{len(tags)} replies are lost"
            frames = alice.socket.recv_multipart()
            tags.remove(frames[0])
            assert msgpack.unpackb(frames[-1])["ok"]
        answered += sum(bobs_replies(peer, 0.05) for peer in window)
        assert alice.served()
    return answered


def introduced(gate, source, name):
    """Bob, under this id.  A busy machine may need longer for a handshake than it may take."""
    for _ in range(5):
        peer = gate.peer("bob", source=source)
        try:
            return peer.handshake(identity(name))
        except zmtp.Closed:
            peer.close()
    raise AssertionError(f"no handshake comes to its end: {name}")


def bobs_replies(peer, patience_s=0.0):
    """How many replies came to a connection of bob's, each of which must be his; ends it."""
    replies = 0
    with contextlib.suppress(TimeoutError, zmtp.Closed):
        while True:
            frames = peer.receive(patience_s)
            assert frames[0] == b"bob" and len(frames) == 3, frames
            replies += 1
    peer.close()
    assert replies <= 1
    return replies


def test_b10_the_id_of_a_live_client_is_taken_by_nobody(shim, tmp_path):
    with shimmed(shim, tmp_path) as gate, gate.client("alice") as alice:
        assert alice.served()
        route = b"\0" + struct.pack(">I", gate.route())
        gate.broker.hold.set()
        tag = alice.post()
        wait_until(lambda: len(gate.broker.requests) >= 2, 5, "it is held")
        with gate.peer("bob") as bob:
            bob.handshake(identity(route))
            bob.send_message(b"bob", b"", request(sql="SELECT 2"))
            time.sleep(0.2)
            gate.broker.hold.clear()
            assert alice.socket.poll(3000) and alice.socket.recv_multipart()[0] == tag
            with pytest.raises((zmtp.Closed, TimeoutError)):
                bob.receive(0.5)
        assert alice.served() and gate.lives()


def test_b10_the_id_of_a_client_that_left_brings_no_reply_of_his(shim, tmp_path):
    with shimmed(shim, tmp_path) as gate:
        alice = gate.client("alice")
        assert alice.served()
        route = b"\0" + struct.pack(">I", gate.route())
        gate.broker.hold.set()
        for _ in range(20):
            alice.post()
        wait_until(lambda: len(gate.broker.requests) >= 21, 5, "they are held")
        alice.close()
        wait_until(lambda: gate.broker.cancels >= 20, 5, "they are cancelled")
        with gate.peer("bob") as bob:
            bob.handshake(identity(route))
            gate.broker.hold.clear()
            with pytest.raises((zmtp.Closed, TimeoutError)):
                print(bob.receive(1))
        assert gate.lives()


def test_b10_the_next_id_cannot_be_told_from_earlier_starts(shim, tmp_path):
    """libzmq counts its ids up from a number that must not be guessed: whoever holds an id when the
    count comes to it would end the process."""
    first = []
    for _ in range(volume(5, 50)):
        with shimmed(shim, tmp_path) as gate, gate.client() as client:
            assert client.served()
            first.append(gate.route(0))
            assert f"{first[-1]:08x}" not in gate.log().lower(), "the log tells it"
    print([f"{route:08x}" for route in first])
    first.sort()
    assert all(later - earlier > 1000 for earlier, later in zip(first, first[1:])), first


@pytest.mark.parametrize("octets", [b"alice", b"i" * 255, b"\x01", b"\0", b"\0\0\0\0\0\0"])
def test_b10_whoever_has_set_an_id_is_told_and_not_served(gate, octets):
    passed = len(gate.broker.requests)
    with gate.peer() as peer:
        peer.handshake(identity(octets))
        peer.send_message(b"", request(sql="SELECT 1"))
        assert OWN_ID in peer.receive()[-1]
        with gate.peer("bob") as twin:  # the second of that id is not heard at all
            twin.handshake(identity(octets))
            twin.send_message(b"", request(sql="SELECT 1"))
            with pytest.raises((zmtp.Closed, TimeoutError)):
                twin.receive(0.3)
    assert len(gate.broker.requests) == passed


# --- B-11: a key that is taken off the list, with a connection that lives -----------------

@pytest.fixture
def short_lived():
    one = Gate(principals=("alice", "bob", "carol"))
    yield one
    assert one.lives(), one.log()
    one.end()


@pytest.mark.parametrize("told", [False, True], ids=["the file changes", "SIGHUP, too"])
def test_b11_a_revoked_key_loses_its_connection_within_a_second(short_lived, told):
    """What it had in flight is cancelled, what it held is released, and nobody else notices."""
    gate = short_lived
    gate.broker.held_session = b"boot-id." + b"handle" + b"\0\0"
    with gate.peer("alice") as alice, gate.peer("alice") as idle, gate.peer("bob") as bob:
        for peer in (alice, idle, bob):
            peer.handshake()
            peer.send_message(b"", request(op="begin"))
            assert b"session" in peer.receive()[-1]
        gate.broker.hold.set()
        alice.send_message(b"", request(sql="SELECT 1", timeout_ms=60000))
        wait_until(lambda: len(gate.broker.requests) == 4, 5, "it is held")
        gate.write_keys({name: pair for name, pair in gate.keys.items() if name != "alice"})
        start = time.monotonic()
        if told:
            gate.process.send_signal(signal.SIGHUP)
        for peer in (alice, idle):
            assert peer.wait_closed(1.0 - (time.monotonic() - start) + 0.05), "it lives on"
        print(f"closed after {time.monotonic() - start:.3f} s")
        wait_until(lambda: gate.broker.cancels >= 1 and gate.broker.releases >= 1, 2,
                   "its work is cancelled and its session released")
        with pytest.raises(zmtp.Refused, match="400"):
            gate.peer("alice").handshake()
        gate.broker.hold.clear()
        bob.send_message(b"", request(sql="SELECT 1"))
        assert b"rows" in bob.receive()[-1]


def test_b11_a_revoked_key_that_never_spoke_is_not_served_either(short_lived):
    gate = short_lived
    with gate.peer("alice") as alice, gate.client("bob") as bob:
        alice.handshake()
        gate.write_keys({"bob": gate.keys["bob"]})
        time.sleep(1.0)
        passed = len(gate.broker.requests)
        with contextlib.suppress(zmtp.Closed):
            alice.send_message(b"", request(sql="SELECT 1"))
            assert b"FORBIDDEN" in alice.receive()[-1]
        assert alice.wait_closed(1.0)
        assert len(gate.broker.requests) == passed
        assert bob.served()


def test_b11_a_name_with_another_key_is_another(short_lived):
    """Alice gets a new key: connections with the old one end, with the new one begin."""
    gate = short_lived
    with gate.peer("alice") as alice:
        alice.handshake()
        alice.send_message(b"", request(sql="SELECT 1"))
        alice.receive()
        fresh = zmtp.keypair()
        keys = tuple(zmtp.z85.encode(key) for key in fresh)
        gate.write_keys({**gate.keys, "alice": keys})
        assert alice.wait_closed(1.05)
        wait_until(lambda: gets_in(gate, fresh), 2, "the new key is in")
        assert not gets_in(gate, gate.keys["alice"])


def test_b11_a_list_that_is_wrong_changes_nothing(short_lived):
    """Half a file, as of an editor that died: the old list stays in force, and the log says so."""
    gate = short_lived
    with gate.peer("alice") as alice:
        alice.handshake()
        gate.key_list.write_text("alice not-a-key\n")
        wait_until(lambda: "clients.keys" in gate.log() and "error" in gate.log(), 3, "it is told")
        alice.send_message(b"", request(sql="SELECT 1"))
        assert b"rows" in alice.receive()[-1]
        assert gets_in(gate, gate.keys["bob"])


# --- B-12: envelopes --------------------------------------------------------------------

GOOD = request(sql="SELECT 1")
ACCEPTED = {
    "REQ": [b"", GOOD],
    "REQ with a number": [b"\0\0\0\x07", b"", GOOD],
    "four frames of its own": [b"a", b"b", b"c", b"d" * 255, b"", GOOD],
}
DROPPED = {
    "no delimiter": [GOOD],
    "no delimiter, two frames": [b"a", GOOD],
    "one empty frame": [b""],
    "two empty frames": [b"", b""],
    "a hundred empty frames": [b""] * 100,
    "one frame of one octet": [b"x"],
    "two of one octet": [b"x", b"y"],
    "a hundred of one octet": [b"x"] * 100,
    "ten to the fifth of one octet": [b"x"] * 100_000,
    "ten to the fifth before the delimiter": [b"x"] * 100_000 + [b"", GOOD],
    "ten to the fifth that are empty": [b""] * 100_000,
    "five frames of its own": [b"a", b"b", b"c", b"d", b"e", b"", GOOD],
    "a frame of 256": [b"a" * 256, b"", GOOD],
    "three after the delimiter": [b"", GOOD, bytes(64), b"more"],
    "a seal of one octet": [b"", GOOD, b"x"],
    "a seal that is empty": [b"", GOOD, b""],
    "payload is empty": [b"", b""],
    "two delimiters": [b"", b"", GOOD],
    "the payload first": [GOOD, b""],
}


@pytest.mark.parametrize("frames", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_b12_the_two_forms_of_req_are_accepted_and_answered_in_kind(gate, frames):
    with gate.peer() as peer:
        peer.handshake()
        peer.send_message(*frames)
        answer = peer.receive()
        assert answer[:-1] == frames[:-1] and msgpack.unpackb(answer[-1])["ok"]


@pytest.mark.plain
@pytest.mark.parametrize("frames", DROPPED.values(), ids=DROPPED.keys())
def test_b12_another_envelope_is_counted_and_goes_nowhere(gate, frames):
    """One error for whom it can reach; nothing for the broker; and the connection serves on."""
    passed, counted = len(gate.broker.requests), gate.metric("refusals_total")
    before = octets = None
    with gate.peer() as peer:
        peer.handshake()
        for number in range(1, 4):
            octets = peer.encode(*frames)
            peer.send(octets)
            reply = msgpack.unpackb(peer.receive(15)[-1])
            assert reply["error"]["code"] == "MALFORMED", reply
            assert gate.metric("refusals_total") == counted + number
            before = before if number > 1 else gate.resident_kib()
        assert len(gate.broker.requests) == passed
        peer.send_message(b"", GOOD)
        assert msgpack.unpackb(peer.receive()[-1])["ok"]
        with pytest.raises(TimeoutError):
            peer.receive(0.05)
    grown = gate.resident_kib() - before
    assert grown < GROWTH_KIB_MAX, f"{grown} KiB, of a message of {len(octets)} octets"


def test_b12_a_message_of_no_frame_at_all_is_none(gate):
    """Nothing comes of the octets of a message that has not begun; of one that has no end, nothing
    comes to anybody else."""
    with gate.peer() as peer, gate.client("bob") as bob:
        peer.handshake()
        peer.send(zmtp.frame(peer.curve.message(b"x", more=True)))
        with pytest.raises(TimeoutError):
            peer.receive(0.2)
        assert bob.served()
