"""Rows B-13 to B-17 of the bad-input matrix: the octets of a request, its fields, parameters and
statement, and the pace at which it comes.

What each of the common mistakes is answered stands in test_bad_input.py; here are the bounds on
both sides, and that nothing of it comes further than the gatekeeper or the broker.  The decoders
are fuzzed by tests/fuzz (fuzz_mp, fuzz_request, fuzz_envelope, fuzz_admission)."""
import struct
import time

import msgpack
import pytest

from gate_alone import Gate, Peak
from harness import wait_until
from raw import Raw, request
from volume import volume

IDENT = b"0123456789abcdef"
MIB = 1 << 20
BEFORE_AGENTS = ("gatekeeper", "broker")


@pytest.fixture(scope="module")
def gate():
    one = Gate()
    yield one
    assert one.lives(), one.log()
    one.end()


@pytest.fixture(autouse=True)
def nothing_held(gate):
    """What a test that fails has held back is not kept from the next."""
    yield
    gate.broker.hold.clear()


@pytest.fixture(scope="module")
def asked(gate):
    """asked(payload): the reply of a gatekeeper whose broker answers all that comes."""
    with gate.peer() as peer:
        peer.handshake()

        def ask(payload):
            peer.send_message(b"", payload)
            reply = msgpack.unpackb(peer.receive(10)[-1], strict_map_key=False)
            assert reply["v"] == 1
            return reply
        yield ask


def refusal(gate, asked, payload, codes=("MALFORMED", "TOO_LARGE"), word=""):
    """The error that a payload gets; nothing of it may reach the broker."""
    passed = len(gate.broker.requests)
    reply = asked(payload)
    assert not reply["ok"], "it was taken"
    assert len(gate.broker.requests) == passed, "it came through"
    error = reply["error"]
    assert error["code"] in codes and error["retry"] == "never", error
    assert word in error["message"] and len(error["message"]) < 300, error
    return error


def with_octets(key, octets):
    """A request in which `octets` stand as the value of a key."""
    pairs = {"v": b"\x01", "id": b"\xc4\x10" + IDENT, "sql": b"\xa8SELECT 1", key: octets}
    return bytes([0x80 | len(pairs)]) + b"".join(
        msgpack.packb(name) + value for name, value in pairs.items())


# --- B-13: msgpack ------------------------------------------------------------------

@pytest.mark.parametrize("depth", [8, 9, 32, 33, 10_000, 1_000_000])
@pytest.mark.parametrize("opener, end", [(b"\x91", b"\xc0"), (b"\x81\xa1a", b"\xc0"),
                                         (b"\xdd\0\0\0\1", b"\xc0"), (b"\x91", b"")],
                         ids=["arrays", "maps", "arrays of 32 bits", "arrays without an end"])
def test_b13_nesting(gate, asked, depth, opener, end):
    refusal(gate, asked, opener * depth + end)
    refusal(gate, asked, with_octets("params", opener * (depth - 1) + end))


BOMBS = {f"{name} of {count:#x}": code + count.to_bytes(size, "big")
         for name, code, size in [("array16", b"\xdc", 2), ("array32", b"\xdd", 4),
                                  ("map16", b"\xde", 2), ("map32", b"\xdf", 4),
                                  ("str16", b"\xda", 2), ("str32", b"\xdb", 4),
                                  ("bin16", b"\xc5", 2), ("bin32", b"\xc6", 4),
                                  ("ext16", b"\xc8", 2), ("ext32", b"\xc9", 4)]
         for count in (0xff, 0xffff, 0xffffff, 0x40000000, 0xff000000, 0xffffffff)
         if count < 1 << 8 * size}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_b13_counts_that_are_not_there(gate, asked, bomb):
    for octets in (bomb, bomb + b"\x01", bomb * 31, bomb + bytes(100)):
        refusal(gate, asked, octets)
        for key in ("params", "sql", "id", "consistency", "statements"):
            refusal(gate, asked, with_octets(key, octets))


WHOLE = request(id=IDENT, sql="SELECT ?, ?", params=[1, "text"], db="demo", timeout_ms=100,
                consistency={"max_lag_ms": 100}, strategy="random", explain_route=True,
                trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


def test_b13_truncated_at_every_octet(gate, asked):
    assert asked(WHOLE)["ok"]
    for size in range(len(WHOLE)):
        refusal(gate, asked, WHOLE[:size])


def test_b13_octets_after_the_end(gate, asked):
    for more in (b"\0", b"\xc0", b"\xc1", b"\x80", WHOLE, bytes(1000)):
        refusal(gate, asked, WHOLE + more)


def test_b13_the_octet_that_is_never_used_at_every_place(gate, asked):
    """0xc1 is no msgpack, and no UTF-8 either: only in the id may it stand."""
    at = WHOLE.index(IDENT)
    for place in range(len(WHOLE)):
        changed = WHOLE[:place] + b"\xc1" + WHOLE[place + 1:]
        if at <= place < at + len(IDENT):
            assert asked(changed)["ok"]
        else:
            refusal(gate, asked, changed)


@pytest.mark.parametrize("key", ["v", "id", "sql", "params", "db", "timeout_ms", "consistency"])
def test_b13_a_key_twice(gate, asked, key):
    fields = msgpack.unpackb(WHOLE)
    pair = msgpack.packb(key) + msgpack.packb(fields[key])
    for octets in (pair + WHOLE[1:], WHOLE[1:] + pair):
        refusal(gate, asked, bytes([0x80 | len(fields) + 1]) + octets)


def test_b13_keys_that_are_not_known(gate, asked):
    for key in ("", "V", "sql ", "SQL", "sql\0", "x" * 5000, b"sql", 1, None, True, 1.5, "id\0"):
        refusal(gate, asked, msgpack.packb({"v": 1, "sql": "SELECT 1", key: 1}))
    for octets in (b"\x90", b"\x80", b"\xc7\x00\x05"):  # an array, a map, an ext as a key
        refusal(gate, asked, b"\x83\xa1v\x01\xa3sql\xa8SELECT 1" + octets + b"\x01")


WRONG = [None, True, False, -1, 2**31, 2**32, 2**53, 2**63, 2**64 - 1, -2**63, 1.5, 0.0,
         float("nan"), float("inf"), "", "x", "1", b"", b"x", b"y" * 16, [], [1], {}, {"a": 1},
         msgpack.ExtType(1, b"9"), msgpack.Timestamp(1, 1)]
RIGHT = {  # of WRONG, what a key does take
    "v": [], "id": [b"y" * 16], "sql": ["x", "1"], "params": [[], [1]], "db": ["x", "1"],
    "timeout_ms": [], "strategy": [], "consistency": [], "explain_route": [True, False],
    "dry_run": [True, False],
    "metadata": [True, False], "op": [], "trace": ["", "x", "1"], "once": [True, False],
    "page_rows": [], "page_bytes": [], "session": [b"y" * 16], "cursor": [], "statements": [],
    "command": [],
}


@pytest.mark.parametrize("key", RIGHT.keys())
def test_b13_wrong_types(gate, asked, key):
    for value in WRONG:
        if any(type(value) is type(one) and value == one for one in RIGHT[key]):
            continue
        fields = {"v": 1, "id": IDENT, "sql": "SELECT 1", key: value}
        refusal(gate, asked, msgpack.packb(fields), ("MALFORMED", "TOO_LARGE", "VERSION"))


NO_UTF8 = [b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80",
           b"\xc3", b"\xf0\x9f\x98", b"ok\xfe", b"\xf8\x88\x80\x80\x80"]


@pytest.mark.parametrize("key", ["sql", "db", "strategy", "trace", "params", "consistency"])
def test_b13_text_that_is_not_utf8(gate, asked, key):
    for octets in NO_UTF8:
        for text in (octets, b"a" + octets, octets + b"a", b"a" * 40 + octets):
            value = b"\xd9" + bytes([len(text)]) + text
            if key == "params":
                value = b"\x91" + value
            elif key == "consistency":
                value = b"\x81\xa5after" + value
            refusal(gate, asked, with_octets(key, value), ("MALFORMED",))


def test_b13_exts_and_timestamps(gate, asked):
    kinds = [msgpack.ExtType(code, b"9") for code in (0, 3, 4, 64, 127)]
    octets = [msgpack.packb(kind) for kind in kinds]
    octets += [b"\xd4\xff9", b"\xd4\x809", b"\xd6\xff\0\0\0\1", b"\xd7\xff" + bytes(8),
               b"\xc7\x0c\xff" + bytes(12), b"\xc7\x00\x01", b"\xc7\x00\x02"]
    for one in octets:
        refusal(gate, asked, with_octets("params", b"\x91" + one))


def test_b13_floats_that_are_no_numbers(gate, asked):
    for octets in (b"\xca\x7f\xc0\0\0", b"\xca\x7f\x80\0\0", b"\xca\xff\x80\0\0",
                   b"\xcb\x7f\xf8" + bytes(6), b"\xcb\x7f\xf0" + bytes(6),
                   b"\xcb\xff\xf0" + bytes(6), b"\xcb\x7f\xf0" + bytes(5) + b"\1"):
        refusal(gate, asked, with_octets("params", b"\x91" + octets))
    for octets in (b"\xca\x80\0\0\0", b"\xcb\x80" + bytes(7), b"\xcb" + bytes(7) + b"\1"):
        payload = with_octets("params", b"\x91" + octets).replace(b"SELECT 1", b"SELECT ?")
        assert asked(payload)["ok"]  # -0, and the least one


def test_b13_longer_encodings_than_need_be_are_the_same_request(gate, asked):
    """They pass as they are: nobody writes a request anew."""
    def text(value):
        return b"\xdb" + struct.pack(">I", len(value)) + value

    for version in (b"\xcc\1", b"\xcd\0\1", b"\xce\0\0\0\1", b"\xcf" + bytes(7) + b"\1",
                    b"\xd0\1", b"\xd3" + bytes(7) + b"\1"):
        payload = (b"\xdf\0\0\0\4" + text(b"v") + version
                   + text(b"id") + b"\xc6\0\0\0\x10" + IDENT
                   + text(b"sql") + text(b"SELECT ?")
                   + text(b"params") + b"\xdd\0\0\0\1\xd3" + bytes(8))
        reply = asked(payload)
        assert reply["ok"] and reply["id"] == IDENT
        assert gate.broker.requests[-1] == payload


@pytest.mark.plain("its memory is the sanitizer's")
@pytest.mark.parametrize("make", [
    lambda size: b"\xdd" + struct.pack(">I", size) + b"\xc0" * size,
    lambda size: b"\xdf" + struct.pack(">I", size // 6) + b"".join(
        b"\xa4%04x\xc0" % (number & 0xffff) for number in range(size // 6)),
    lambda size: b"\x91" * size,
    lambda size: b"\xdb" + struct.pack(">I", size) + b"x" * size,
    lambda size: with_octets("params", b"\xdd" + struct.pack(">I", size) + b"\x01" * size),
    lambda size: with_octets("sql", b"\xdb" + struct.pack(">I", size) + b"'" * size),
], ids=["array", "map", "depth", "text", "params", "sql"])
def test_b13_a_great_payload_takes_at_most_four_times_its_size(gate, asked, make):
    payload = make(16 * MIB)
    asked(WHOLE)
    peak = Peak(gate)
    refusal(gate, asked, payload)
    grown = peak.grown()
    assert grown * 1024 <= 4 * len(payload), f"{grown} KiB for {len(payload)} octets"
    wait_until(lambda: peak.left() < 4 * 1024, 3, "it is free again")


def test_b13_whole_numbers_come_back_as_they_went(cluster):
    numbers = [0, 1, -1, 2**31 - 1, 2**31, -2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1,
               2**63 - 1, 2**63, 2**64 - 1, -2**63, -2**63 + 1]
    with Raw(cluster.bundle) as raw:
        for number in numbers:
            reply = raw.ask(request(sql="SELECT ?", params=[number]))
            assert reply["rows"] == [[number]], (number, reply)
        reply = raw.ask(request(sql="SELECT ?", params=[-0.0]))
        assert reply["rows"] == [[0.0]], reply


# --- B-14: fields --------------------------------------------------------------------------

def test_b14_an_id_has_sixteen_octets(gate, asked):
    for size in (0, 1, 8, 15, 17, 32, 255):
        refusal(gate, asked, request(id=bytes(size), sql="SELECT 1"), ("MALFORMED",), "id")
    refusal(gate, asked, request(id="x" * 16, sql="SELECT 1"), ("MALFORMED",), "id")


def test_b14_a_missing_id_is_made_up_and_never_twice(gate, asked):
    made = [asked(request(id=..., sql="SELECT 1"))["id"] for _ in range(50)]
    assert len(set(made)) == 50 and all(len(one) == 16 and any(one) for one in made)


def test_b14_an_id_of_zeroes_names_nothing_else(gate):
    """It is an id like another: two in flight have a reply each."""
    gate.broker.hold.set()
    passed = len(gate.broker.requests)
    with gate.client() as alice:
        tags = {alice.post(id=bytes(16)) for _ in range(2)}
        wait_until(lambda: len(gate.broker.requests) == passed + 2, 5, "they are held")
        gate.broker.hold.clear()
        for _ in range(2):
            assert alice.socket.poll(3000)
            frames = alice.socket.recv_multipart()
            tags.remove(frames[0])
            assert msgpack.unpackb(frames[-1])["id"] == bytes(16)


@pytest.mark.parametrize("timeout_ms", [0, -1, -2**63, 600001, 2**31, 2**32, 2**63, 2**64 - 1,
                                        32503680000000, 1.5, "5000", None])
def test_b14_a_deadline_that_is_past_or_never_comes(gate, asked, timeout_ms):
    refusal(gate, asked, request(sql="SELECT 1", timeout_ms=timeout_ms), ("MALFORMED",),
            "timeout_ms")


@pytest.mark.parametrize("token", ["", "x" * 513, "x" * 70000, 1, None, b"0-1-42", [],
                                   [["0-1-42"]], ["x"] * 9, {"x": "0-1-42"}])
def test_b14_a_token_that_is_none(gate, asked, token):
    refusal(gate, asked, request(sql="SELECT 1", consistency={"after": token}), word="consistency")


@pytest.mark.parametrize("token", ["0-1-18446744073709551615", "0-4294967295-99999999999", "forged",
                                   "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9223372036854775806",
                                   "' OR 1=1 -- ", "x" * 512, "\u2018\u2019", "a\0b"])
def test_b14_a_forged_token_opens_nothing_and_holds_nobody_up(cluster, token):
    """It is refused, by name, before it costs anybody anything."""
    with Raw(cluster.bundle) as raw:
        start = time.monotonic()
        reply = raw.ask(request(sql="SELECT 1", consistency={"after": token}))
        assert time.monotonic() - start < 2
        assert not reply["ok"] and reply["error"]["hop"] in BEFORE_AGENTS, reply
        assert reply["error"]["message"].startswith("consistency"), reply["error"]
        assert raw.ask(request(sql="SELECT 1"))["ok"]


def test_b14_a_schema_has_1_to_64_octets(gate, asked):
    assert asked(request(sql="SELECT 1", db="x" * 64))["ok"]
    for name in ("", "x" * 65, "\u00e9" * 33, "x" * 70000, "a\0b"):
        refusal(gate, asked, request(sql="SELECT 1", db=name), word="db")


# --- B-15: parameters ----------------------------------------------------------------------

def before_agents(cluster, raw, payload, codes):
    """The refusal, which must not have cost an agent anything.  (A direct read has no second copy,
    which could be counted late.)"""
    assert raw.ask(request(sql="SELECT 1", strategy="direct"))["ok"]
    served = statements(cluster)
    reply = raw.ask(payload, timeout_s=10)
    assert reply is not None and not reply["ok"], reply
    error = reply["error"]
    assert error["hop"] in BEFORE_AGENTS and error["code"] in codes, error
    assert error["retry"] == "never" and len(error["message"]) > 5
    assert statements(cluster) == served, "an agent has seen it"
    return error


def statements(cluster):
    """What the agents have been asked of clients.  One that was asked nothing shows none."""
    found = [value for node in cluster.nodes()
             for series, value in cluster.metrics(cluster.agent_of(node)).items()
             if series.startswith("portcullis_agent_statements_total")]
    assert found, "agents do not count statements"
    return sum(found)


@pytest.mark.parametrize("count", [4097, 65535, 65536, 1_000_000])
def test_b15_too_many_parameters(cluster, count):
    with Raw(cluster.bundle) as raw:
        before_agents(cluster, raw, request(sql="SELECT 1", params=[0] * count), ["TOO_LARGE"])


@pytest.mark.parametrize("octets", [b"\xc6\x40\0\0\0abc", b"\xdb\x40\0\0\0abc",
                                    b"\xc9\x40\0\0\0\x01123", b"\xc6\xff\xff\xff\xff",
                                    b"\xdd\x40\0\0\0\xc0"],
                         ids=["bin", "str", "ext", "bin of 4 GiB", "array"])
def test_b15_a_claim_of_a_gibibyte(cluster, octets):
    with Raw(cluster.bundle) as raw:
        before_agents(cluster, raw, with_octets("params", b"\x91" + octets), ["MALFORMED"])


@pytest.mark.parametrize("sql, params", [
    ("SELECT ?", []), ("SELECT ?", ...), ("SELECT ?", [1, 2]), ("SELECT 1", [1]),
    ("SELECT ?, ?", [1]), ("SELECT '?'", [1]), ("SELECT 1 -- ?\n", [1]),
    ("INSERT INTO customers (id, name) VALUES (?, ?)", [1]),
    ("SELECT ?" + ", ?" * 4095, [1] * 4095)])
def test_b15_more_or_fewer_parameters_than_places(cluster, sql, params):
    with Raw(cluster.bundle) as raw:
        error = before_agents(cluster, raw, request(sql=sql, params=params),
                              ["REFUSED", "MALFORMED"])
        assert "params" in error["message"]


@pytest.mark.parametrize("ext", [
    (1, b""), (1, b"-"), (1, b"."), (1, b"1."), (1, b".5"), (1, b"+1"), (1, b"1e3"), (1, b"abc"),
    (1, b"9" * 66), (1, b"1 "), (1, b"1\0"), (1, b"NaN"), (2, b""), (2, b"yesterday"),
    (2, b"2026-11-2"), (2, b"2026-11-22 "), (2, b"2026-11-22T10:00"), (2, b"10:00:00.1234567"),
    (2, b"10:00:00'; --"), (2, b"2026-11-22 10:00:00\0")])
def test_b15_a_value_that_is_not_of_its_type(cluster, ext):
    with Raw(cluster.bundle) as raw:
        before_agents(cluster, raw, request(sql="SELECT ?", params=[msgpack.ExtType(*ext)]),
                      ["MALFORMED", "TOO_LARGE"])


def test_b15_null_has_no_type(cluster):
    with Raw(cluster.bundle) as raw:
        reply = raw.ask(request(sql="SELECT ?, ? IS NULL, COALESCE(?, 7)", params=[None] * 3))
        assert reply["rows"] == [[None, 1, 7]], reply


# --- B-16: the statement -------------------------------------------------------------------

NO_STATEMENTS = {
    "empty": "", "a blank": " ", "white space": " \t\r\n\f\v ", "semicolon": ";",
    "semicolons": ";;;", "blank and semicolon": " ; ", "comment": "/* SELECT 1 */",
    "line comment": "-- SELECT 1", "hash comment": "# SELECT 1", "comment without an end": "/* ",
    "comment and semicolon": "/**/;", "NUL": "SELECT 1\0", "NUL first": "\0SELECT 1",
    "NUL in text": "SELECT 'a\0b'", "two statements": "SELECT 1; SELECT 2",
    "text without an end": "SELECT 'x", "name without an end": "SELECT `x",
    "byte order mark": "\ufeff", "a word alone": "portcullis",
}


@pytest.mark.parametrize("sql", NO_STATEMENTS.values(), ids=NO_STATEMENTS.keys())
def test_b16_what_is_no_statement_is_refused_before_the_agents(cluster, sql):
    with Raw(cluster.bundle) as raw:
        before_agents(cluster, raw, request(sql=sql),
                      ["REFUSED", "MALFORMED", "FORBIDDEN", "UNSUPPORTED"])


def test_b16_a_statement_that_is_not_utf8(cluster):
    with Raw(cluster.bundle) as raw:
        for octets in NO_UTF8:
            text = b"SELECT '" + octets + b"'"
            payload = b"\x82\xa1v\x01\xa3sql\xd9" + bytes([len(text)]) + text
            before_agents(cluster, raw, payload, ["MALFORMED"])


@pytest.mark.parametrize("size, fits", [(65535, True), (65536, True), (65537, True),
                                        (524287, True), (524288, True), (524289, False),
                                        (1 << 20, False), (16 << 20, False)])
def test_b16_how_long_a_statement_may_be(cluster, size, fits):
    sql = "SELECT LENGTH('" + "x" * (size - 17) + "')"
    assert len(sql) == size
    with Raw(cluster.bundle) as raw:
        if fits:
            assert raw.ask(request(sql=sql), timeout_s=10)["rows"] == [[size - 17]]
        else:
            before_agents(cluster, raw, request(sql=sql), ["TOO_LARGE"])


# --- B-17: pace -----------------------------------------------------------------------------

@pytest.mark.parametrize("handshake_too", [False, True], ids=["the request", "everything"])
def test_b17_a_request_in_segments_of_one_octet_is_served_and_delays_nobody(gate, handshake_too):
    with gate.peer() as peer, gate.client("bob") as bob:
        bob.times_ms(20)
        if handshake_too:
            send, peer.send = peer.send, lambda octets: [send(octets[at:at + 1])
                                                         for at in range(len(octets))]
        peer.handshake()
        octets = peer.encode(b"", request(sql="SELECT 1"))
        for at in range(len(octets)):
            peer.socket.sendall(octets[at:at + 1])
            time.sleep(0.001)
            if at % 40 == 0:
                assert bob.served(1.0)
        assert msgpack.unpackb(peer.receive()[-1])["ok"]


def test_b17_ten_thousand_at_once_from_one_key(gate):
    """As many as its share are taken, the others are told at once when to come again, every one has
    one answer, and another key is served meanwhile."""
    count, share = volume(10_000, 100_000), gate.setting("limits/inflight_principal_max")
    assert share < 10_000
    passed = len(gate.broker.requests)
    gate.broker.hold.set()
    try:
        with gate.peer() as peer:
            peer.handshake()
            peer.socket.settimeout(60)
            answers, taken, refused = set(), 0, 0
            for start in range(0, count, 100):
                peer.send(b"".join(peer.encode(struct.pack(">I", number), b"",
                                               request(sql="SELECT 1", timeout_ms=60000))
                                   for number in range(start, start + 100)))
                while start + 100 - len(answers) > share:
                    tag, _, payload = peer.receive(10)
                    reply = msgpack.unpackb(payload)
                    assert tag not in answers, "answered twice"
                    answers.add(tag)
                    assert reply["error"]["code"] == "OVERLOADED", reply
                    assert reply["error"]["retry"] == "safe"
                    assert 0 < reply["error"]["retry_after_ms"] <= 10_000
                    refused += 1
            assert len(gate.broker.requests) - passed == share
            gate.broker.hold.clear()
            with gate.client("bob") as bob:
                assert bob.served(2.0), "another key waits"
            while len(answers) < count:
                tag, _, payload = peer.receive(20)
                assert tag not in answers and msgpack.unpackb(payload)["ok"]
                answers.add(tag)
                taken += 1
            print(f"{taken} of {count} were taken, {refused} refused")
            assert taken == share and refused == count - share
            with pytest.raises(TimeoutError):
                peer.receive(0.2)
    finally:
        gate.broker.hold.clear()
    assert gate.lives()
