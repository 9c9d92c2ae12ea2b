"""What bad input gets: one error reply that names the field and the rule, and nothing else."""
import contextlib

import msgpack
import portcullis
import pytest
import zmq
from raw import Raw, request


# name, payload, code, words that the message must hold
BAD = [
    ("empty", b"", "MALFORMED", []),
    ("not a map", msgpack.packb([1, 2]), "MALFORMED", ["map"]),
    ("0xc1", b"\xc1", "MALFORMED", []),
    ("truncated", request(sql="SELECT 1")[:-3], "MALFORMED", []),
    ("trailing octet", request(sql="SELECT 1") + b"\x00", "MALFORMED", []),
    ("array32 bomb", b"\xdd\xff\x00\x00\x00", "MALFORMED", []),
    ("map32 bomb", b"\xdf\x00\xff\xff\xff", "MALFORMED", []),
    ("array32 bomb inside", msgpack.packb({"v": 1})[
     :-2] + b"\xa1v\xdd\x00\xff\xff\xff", "MALFORMED", []),
    ("31 nested bombs", b"\xdd\x00\xff\xff\xff" * 31, "MALFORMED", []),
    ("depth 10,000", b"\x91" * 10000 + b"\xc0", "MALFORMED", []),
    ("str32 of 4 GiB", b"\xdb\xff\xff\xff\xffab", "MALFORMED", []),
    ("key twice", b"\x83\xa1v\x01\xa3sql\xa8SELECT 1\xa3sql\xa8SELECT 2", "MALFORMED", ["sql"]),
    ("unknown key", request(sql="SELECT 1", colour="red"), "MALFORMED", ["colour"]),
    ("no version", request(v=..., sql="SELECT 1"), "MALFORMED", ["v"]),
    ("version 2", request(v=2, sql="SELECT 1"), "VERSION", ["v"]),
    ("version as text", request(v="1", sql="SELECT 1"), "MALFORMED", ["v"]),
    ("unknown op", request(op="dance"), "MALFORMED", ["op"]),
    ("unknown strategy", request(sql="SELECT 1", strategy="fastest"), "MALFORMED", ["strategy"]),
    ("query without sql", request(), "MALFORMED", ["sql"]),
    ("sql as bin", request(sql=b"SELECT 1"), "MALFORMED", ["sql"]),
    ("sql not UTF-8", b"\x82\xa1v\x01\xa3sql\xa9SELECT \xff1", "MALFORMED", []),
    ("id of 15 octets", request(id=b"x" * 15, sql="SELECT 1"), "MALFORMED", ["id"]),
    ("id as text", request(id="x" * 16, sql="SELECT 1"), "MALFORMED", ["id"]),
    ("timeout 0", request(sql="SELECT 1", timeout_ms=0), "MALFORMED", ["timeout_ms"]),
    ("timeout negative", request(sql="SELECT 1", timeout_ms=-1), "MALFORMED", ["timeout_ms"]),
    ("timeout of a year", request(sql="SELECT 1",
     timeout_ms=31536000000), "MALFORMED", ["timeout_ms"]),
    ("timeout as text", request(sql="SELECT 1", timeout_ms="1s"), "MALFORMED", ["timeout_ms"]),
    ("params as map", request(sql="SELECT ?", params={"a": 1}), "MALFORMED", ["params"]),
    ("params nested", request(sql="SELECT ?", params=[[1]]), "MALFORMED", ["params"]),
    ("param NaN", request(sql="SELECT ?", params=[float("nan")]), "MALFORMED", ["params"]),
    ("param of unknown ext", request(sql="SELECT ?", params=[msgpack.ExtType(99, b"")]),
     "MALFORMED",
     ["params"]),
    ("10,000 params", request(sql="SELECT 1", params=[0] * 10000), "TOO_LARGE", ["params"]),
    ("schema name of 65", request(sql="SELECT 1", db="x" * 65), "TOO_LARGE", ["db"]),
    ("consistency unknown", request(sql="SELECT 1", consistency="eventually"), "MALFORMED",
     ["consistency"]),
    ("consistency of two", request(sql="SELECT 1", consistency={"max_lag_ms": 1, "after": "x"}),
     "MALFORMED", ["consistency"]),
    ("explain_route as int", request(sql="SELECT 1",
     explain_route=1), "MALFORMED", ["explain_route"]),
    ("sql too long", request(sql="SELECT '" + "x" * 600000 + "'"), "TOO_LARGE", ["sql"]),
    # What the statement itself is refused for.
    ("two statements", request(sql="SELECT 1; DELETE FROM customers"),
     "REFUSED", ["sql", "offset"]),
    ("executable comment", request(sql="SELECT 1 /*!50000 + 1 */"), "REFUSED", ["comment"]),
    ("unfinished quote", request(sql="SELECT 'abc"), "REFUSED", []),
    ("outfile", request(sql="SELECT 1 INTO OUTFILE '/tmp/x'"), "REFUSED", []),
    ("load_file", request(sql="SELECT LOAD_FILE('/etc/passwd')"), "REFUSED", []),
    ("our schema", request(sql="SELECT * FROM portcullis.heartbeat"), "REFUSED", []),
    ("our schema as default", request(
        sql="SELECT * FROM heartbeat", db="portcullis"), "REFUSED", ["db"]),
    ("empty sql", request(sql=" "), "REFUSED", []),
    ("NUL", request(sql="SELECT 1\0"), ("REFUSED", "MALFORMED"), []),
    ("grant", request(sql="GRANT ALL ON *.* TO x"), "FORBIDDEN", []),
    ("begin", request(sql="BEGIN"), "UNSUPPORTED", ["session"]),
    ("set", request(sql="SET @a = 1"), "UNSUPPORTED", ["session"]),
    ("txn with ddl", request(op="txn", statements=[{"sql": "SELECT 1"},
                                                   {"sql": "DROP TABLE customers"}]),
     "UNSUPPORTED", ["statements[1].sql"]),
    ("txn with two in one", request(op="txn", statements=[{"sql": "SELECT 1; SELECT 2"}]),
     "REFUSED", ["statements[0].sql", "offset"]),
    ("admin", request(op="admin", command="drain"), "UNSUPPORTED", ["admin"]),
    ("once", request(sql="DELETE FROM customers", once=True), "UNSUPPORTED", ["once"]),
]


@pytest.mark.parametrize("payload, code, words", [row[1:]
                         for row in BAD], ids=[row[0] for row in BAD])
def test_one_error_reply_that_names_field_and_rule(cluster, payload, code, words):
    with Raw(cluster.bundle) as raw:
        reply = raw.ask(payload)
        assert reply is not None, "silence"
        assert reply["v"] == 1 and reply["ok"] is False
        error = reply["error"]
        assert error["code"] in ((code,) if isinstance(code, str) else code), error
        assert error["retry"] == "never" and error["hop"] in ("gatekeeper", "broker")
        assert len(error["message"]) > 5
        for word in words:
            assert word in error["message"], error
        assert raw.receive(0.2) is None, "a second reply"
        assert raw.ask(request(sql="SELECT 1"))["ok"], "the connection serves on"


def test_the_refusal_carries_the_id_where_it_can_be_read(cluster):
    with Raw(cluster.bundle) as raw:
        ident = b"0123456789abcdef"
        assert raw.ask(request(id=ident, sql="SELECT 1", colour=1))["id"] == ident
        assert raw.ask(b"\xc1")["id"] is None


ENVELOPES = [
    ("no delimiter", [request(sql="SELECT 1")]),
    ("no payload", [b""]),
    ("five frames before it", [b"a", b"b", b"c", b"d", b"e", b"", request(sql="SELECT 1")]),
    ("a long frame before it", [b"x" * 300, b"", request(sql="SELECT 1")]),
    ("three frames after it", [b"", request(sql="SELECT 1"), b"seal", b"more"]),
    ("a hundred frames", [b"f"] * 100),
]


@pytest.mark.parametrize("frames", [row[1] for row in ENVELOPES], ids=[row[0] for row in ENVELOPES])
def test_a_wrong_envelope_gets_one_error_reply(cluster, frames):
    with Raw(cluster.bundle) as raw:
        raw.send(*frames)
        answer = raw.receive()
        assert answer is not None, "silence"
        reply = msgpack.unpackb(answer[-1])
        assert reply["ok"] is False and reply["error"]["code"] == "MALFORMED"
        assert any(word in reply["error"]["message"] for word in ("envelope", "delimiter"))
        assert raw.receive(0.2) is None
        assert raw.ask(request(sql="SELECT 1"))["ok"]


def test_what_stands_before_the_delimiter_comes_back(cluster):
    with Raw(cluster.bundle) as raw:
        before = [b"one", b"two", b"\x00\x01", b"four"]
        raw.send(*before, b"", request(sql="SELECT 1"))
        answer = raw.receive()
        assert answer[:5] == before + [b""] and msgpack.unpackb(answer[5])["ok"]


@pytest.mark.parametrize("correlate", [False, True])
def test_a_plain_req_socket_works(cluster, correlate):
    with Raw(cluster.bundle, kind=zmq.REQ) as raw:
        if correlate:
            raw.close()
            raw.socket = _correlating(cluster)
        for number in range(20):
            raw.socket.send(request(sql="SELECT ?", params=[number]))
            assert raw.socket.poll(3000)
            assert msgpack.unpackb(raw.socket.recv())["rows"] == [[number]]


def _correlating(cluster):
    raw = Raw(cluster.bundle, kind=zmq.REQ)
    endpoint = raw.bundle["gatekeepers"][0][0]
    raw.socket.disconnect(endpoint)
    raw.socket.setsockopt(zmq.REQ_CORRELATE, 1)
    raw.socket.setsockopt(zmq.REQ_RELAXED, 1)
    raw.socket.connect(endpoint)
    return raw.socket


def test_two_requests_with_one_id_each_get_their_own_answer(cluster):
    ident = b"the same id twice"[:16]
    with Raw(cluster.bundle) as raw:
        for number in range(10):
            raw.send(bytes([number]), b"", request(id=ident, sql="SELECT ?", params=[number]))
        for _ in range(10):
            answer = raw.receive()
            assert msgpack.unpackb(answer[-1])["rows"] == [[answer[0][0]]]


def test_an_unknown_key_never_gets_in(cluster):
    stranger = zmq.curve_keypair()
    with Raw(cluster.bundle, keys=[key.decode() for key in stranger]) as raw:
        raw.send(b"", request(sql="SELECT 1"))
        assert raw.receive(1.0) is None
    with Raw(cluster.bundle, curve=False) as raw:
        with contextlib.suppress(zmq.Again):  # refused before it could be sent
            raw.send(b"", request(sql="SELECT 1"))
        assert raw.receive(1.0) is None


def test_a_database_error_comes_back_as_mysql_said_it(cluster):
    with portcullis.Client(cluster.bundle) as client:
        with pytest.raises(portcullis.PortcullisError) as caught:
            client.query("SELECT nothing FROM nowhere", db="demo")
    error = caught.value
    assert (error.code, error.errno, error.sqlstate) == ("SQL", 1146, "42S02")
    assert error.retry == "never" and error.hop == "agent" and "nowhere" in error.message
