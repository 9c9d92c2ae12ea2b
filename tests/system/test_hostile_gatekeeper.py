"""What a gatekeeper that was broken into gains: nothing but what passes through it.  Each trick is
refused by the broker or noticed by the client, and no write is done twice or believed wrongly."""
import contextlib
import pathlib
import threading
import time

import msgpack
import pytest
import zmq

import portcullis
from harness import Cluster, wait_until
from hostile import Answer, Asked, Hostile
from portcullis import PortcullisError


@pytest.fixture(scope="module")
def sealed_cluster():
    """One node, and a role that is served with a seal only."""
    with Cluster.running("hostile", nodes=1) as one:
        policy = pathlib.Path(one.info["policy"])
        text = policy.read_text()
        assert 'seal = "' not in text, "say here how the role's seal is set now"
        lines = []
        for line in text.splitlines():
            lines.append(line)
            if line.strip() == "app":
                lines.append('        seal = "required"')
        before = one.log("broker").count("event=policy_loaded")
        policy.write_text("\n".join([*lines, ""]))
        wait_until(lambda: one.log("broker").count("event=policy_loaded") > before, 5)
        one.command("query", "CREATE TABLE demo.done (n INT NOT NULL)")
        yield one


@pytest.fixture
def hostile(sealed_cluster):
    """An honest one at first; .cluster, .rows(n): how often a write was done, .client."""
    sealed_cluster.sql("node1", "TRUNCATE demo.done")
    one = Hostile(sealed_cluster)
    one.cluster = sealed_cluster
    one.rows = lambda n: int(sealed_cluster.sql(
        "node1", f"SELECT COUNT(*) FROM demo.done WHERE n = {n}")[0][0])
    with portcullis.Client(str(one.bundle)) as one.client:
        assert one.client.query("SELECT 1").sealed
        yield one
    one.end()


def insert(hostile, n, **options):
    return hostile.client.query("INSERT INTO demo.done VALUES (?)", [n], **options)


def fails(hostile, n, **options):
    """The error that the client gets for the write."""
    with pytest.raises(PortcullisError) as caught:
        insert(hostile, n, **options)
    return caught.value


def changed(payload, **keys):
    return msgpack.packb({**msgpack.unpackb(payload), **keys})


def settle():
    """Longer than a request takes that was let through."""
    time.sleep(0.3)


def test_an_honest_one_is_served(hostile):
    assert insert(hostile, 1).sealed
    assert hostile.rows(1) == 1
    assert hostile.cluster.command("ping", "--bundle", str(hostile.bundle)).returncode == 0


# --- What it does to requests ---------------------------------------------------------------

CHANGES = {
    "the statement": {"sql": "INSERT INTO demo.done VALUES (? + 100)"},
    "the parameters": {"params": [102]},
    "the strategy": {"strategy": "random"},
    "the deadline": {"timeout_ms": 59999},
    "the schema": {"db": "mysql"},
    "the id": {"id": bytes(range(16))},
    "the operation": {"op": "txn", "statements": [{"sql": "INSERT INTO demo.done VALUES (102)"}]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_altered_never_runs(hostile, what):
    def down(asked, way):
        payload = changed(asked.payload, **CHANGES[what])
        keys = msgpack.unpackb(payload)
        return [Asked(payload, asked.seal, {"request_id": keys["id"],
                                            "op": keys.get("op", way.op)})]
    hostile.down = down
    error = fails(hostile, 2, timeout_ms=1500)
    settle()
    # To the client, the refusal under another id is another's answer.
    codes = ("DEADLINE",) if what == "the id" else ("FORBIDDEN", "MALFORMED")
    assert error.code in codes and error.retry == "unsafe", error
    assert (hostile.rows(2), hostile.rows(102)) == (0, 0)


def test_a_request_without_its_seal_never_runs(hostile):
    hostile.down = lambda asked, _: [Asked(asked.payload, b"", {})]
    error = fails(hostile, 3)
    settle()
    assert (error.code, hostile.rows(3)) == ("FORBIDDEN", 0)
    assert "seal" in str(error)


@pytest.mark.parametrize("said", [{"principal": b"another"}, {"budget_us": 600000000},
                                  {"request_id": bytes(16)}, {"op": "begin"}, {"principal": b""}])
def test_a_head_that_says_another_thing_is_refused(hostile, said):
    hostile.down = lambda asked, _: [Asked(asked.payload, asked.seal, said)]
    error = fails(hostile, 4, timeout_ms=1500)
    settle()
    assert hostile.rows(4) == 0, error
    assert error.retry == "unsafe"


def test_it_cannot_speak_for_a_client(hostile):
    """With its own key, with seals of others, with none."""
    other = [key.decode() for key in zmq.curve_keypair()]
    hostile.cluster.admit("other", other[0])
    time.sleep(1.2)
    own = [key.decode() for key in hostile._keys("gatekeeper")]
    broker = hostile._keys("broker")[0].decode()
    payload = msgpack.packb({"v": 1, "id": b"i" * 16,
                             "sql": "INSERT INTO demo.done VALUES (5)"})
    forged = portcullis._Seals(own[0], own[1], broker).seal((7, 1), payload)
    others = portcullis._Seals(other[0], other[1], broker).seal((7, 1), payload)

    def down(asked, way):
        none = way._replace(ident=b"i" * 16, op="query")
        for seal in (b"", forged, others, asked.seal, bytes(64)):
            hostile.count += 1  # as ask() does, but for nobody
            hostile.ask(Asked(payload, seal, {}), none)
            hostile.ways[hostile.count] = None
        return [asked]
    hostile.down = down
    assert insert(hostile, 6).affected == 1
    wait_until(lambda: len(hostile.refused) == 5, 5, "five answers")
    for answer in hostile.refused:
        assert not msgpack.unpackb(answer.payload)["ok"]
        assert answer.seal == b"", "a refused seal is answered with a seal"
    settle()
    assert (hostile.rows(5), hostile.rows(6)) == (0, 1)


def test_the_same_request_again_is_refused(hostile):
    """At once, later, and by a broker that was started again; and no answer to a copy carries a
    seal, which could be passed for the answer to the original."""
    seen = []
    hostile.down = lambda asked, way: [seen.append((asked, way)) or asked, asked]
    answers = []

    def up(answer, way):
        answers.append(answer)
        return [answer] if msgpack.unpackb(answer.payload)["ok"] else []
    hostile.up = up
    assert insert(hostile, 7).affected == 1
    wait_until(lambda: len(answers) == 2, 5, "both answers")
    sealed = [answer for answer in answers if answer.seal]
    assert len(sealed) == 1 and msgpack.unpackb(sealed[0].payload)["ok"]

    def replay(_, way):
        hostile.ask(seen[0][0], way._replace(ident=seen[0][1].ident))
        return []
    hostile.down = replay
    for again in range(2):
        answers.clear()
        with contextlib.suppress(PortcullisError):
            hostile.client.query("SELECT 1", timeout_ms=600)
        assert len(answers) == 1 and not msgpack.unpackb(answers[0].payload)["ok"], again
        assert answers[0].seal == b""
        if again == 0:
            hostile.cluster.restart("broker")
            hostile.cluster.wait_ready("broker")
            time.sleep(1.2)
    settle()
    assert hostile.rows(7) == 1


def test_the_refusal_of_a_copy_is_not_believed(hostile):
    """The write runs; the client is shown only what the broker says to its copy."""
    def up(answer, _):
        return [] if msgpack.unpackb(answer.payload)["ok"] else [answer]
    hostile.down, hostile.up = (lambda asked, _: [asked, asked]), up
    error = fails(hostile, 8)
    assert error.retry == "unsafe", "the client was made to believe that nothing ran"
    # The refusal of the copy may be here before the write is done.
    wait_until(lambda: hostile.rows(8) == 1, 5, "the write")


def test_another_order_is_refused(hostile):
    """Two writes of one connection, the second first: what the client is told is what happened."""
    waiting = []

    def down(asked, way):
        waiting.append((asked, way))
        if len(waiting) == 2:
            for one, its_way in reversed(waiting):
                hostile.ask(one, its_way)
        return []
    hostile.down = down
    outcomes = hostile.client.query_many([("INSERT INTO demo.done VALUES (?)", [9]),
                                          ("INSERT INTO demo.done VALUES (?)", [10])])
    settle()
    assert isinstance(outcomes[0], PortcullisError) and outcomes[0].retry == "unsafe"
    assert outcomes[1].affected == 1
    assert (hostile.rows(9), hostile.rows(10)) == (0, 1)


def test_what_is_held_back_beyond_its_time_never_runs(hostile):
    held = []
    hostile.down = lambda asked, way: held.append((asked, way)) or []
    error = fails(hostile, 11, timeout_ms=200)
    assert (error.code, error.retry) == ("DEADLINE", "unsafe")
    time.sleep(1.6)  # its time, and the second that clocks may differ
    done = threading.Event()

    def late(_, __):
        hostile.ask(*held[0])
        done.set()
        return []
    hostile.down = late
    with contextlib.suppress(PortcullisError):
        hostile.client.query("SELECT 1", timeout_ms=600)
    assert done.is_set()
    assert hostile.rows(11) == 0


# --- What it does to replies ----------------------------------------------------------------

def lie(**keys):
    return lambda answer, way: [Answer.made_up(way.ident, **keys)]


def error_of(code, retry):
    return {"ok": False, "error": {"code": code, "message": "m", "hop": "gatekeeper",
                                   "retry": retry}}


@pytest.mark.parametrize("said, code", [
    ({"affected": 1, "warnings": 0}, "FORGED"),
    (error_of("OVERLOADED", "safe"), "OVERLOADED"),
    (error_of("REFUSED", "never"), "REFUSED"),
    (error_of("UNAVAILABLE", "safe"), "UNAVAILABLE"),
    (error_of("SQL", "never"), "FORGED"),
    (error_of("ABORTED", "never"), "FORGED"),
    (error_of("EXPECT", "never"), "FORGED"),
])
def test_its_own_answer_to_a_write_is_not_believed(hostile, said, code):
    """The write has run; whatever the gatekeeper says, the client does not take it for undone."""
    hostile.up = lie(**said)
    error = fails(hostile, 12)
    assert (error.code, error.retry) == (code, "unsafe")
    assert hostile.rows(12) == 1


def test_its_own_answer_to_a_read_is_not_believed(hostile):
    hostile.up = lie(columns=[["1", "BIGINT", 0]], rows=[[666]])
    with pytest.raises(PortcullisError) as caught:
        hostile.client.query("SELECT 1")
    assert caught.value.code == "FORGED"


def test_an_ok_without_a_broker_is_not_believed(hostile):
    """It does not even ask."""
    def down(_, way):
        hostile.say(way, Answer.made_up(way.ident, affected=1, warnings=0))
        return []
    hostile.down = down
    assert fails(hostile, 13).code == "FORGED"
    assert hostile.rows(13) == 0


def test_an_altered_reply_is_not_believed(hostile):
    def up(answer, _):
        return [Answer(changed(answer.payload, rows=[[666]]), answer.seal)]
    hostile.up = up
    with pytest.raises(PortcullisError) as caught:
        hostile.client.query("SELECT 1")
    assert caught.value.code == "FORGED"


@pytest.mark.parametrize("ident", ["its own", "the other's"])
def test_the_reply_to_another_request_is_not_believed(hostile, ident):
    """Two reads at a time, each gets the other's rows, which the broker has sealed."""
    waiting = []

    def up(answer, way):
        waiting.append((answer, way))
        if len(waiting) == 2:
            (one, one_way), (other, other_way) = waiting
            if ident == "its own":
                one = Answer(changed(one.payload, id=other_way.ident), one.seal)
                other = Answer(changed(other.payload, id=one_way.ident), other.seal)
            hostile.say(one_way, other)
            hostile.say(other_way, one)
        return []
    hostile.up = up
    outcomes = hostile.client.query_many([("SELECT 1", []), ("SELECT 2", [])], timeout_ms=1500)
    assert all(isinstance(one, PortcullisError) for one in outcomes), outcomes
    assert {one.code for one in outcomes} <= {"FORGED", "DEADLINE"}


def test_an_old_reply_is_not_believed(hostile):
    """The same statement, the broker's own answer, from before."""
    kept = []
    hostile.up = lambda answer, _: kept.append(answer) or [answer]
    assert insert(hostile, 14, id=b"x" * 16).affected == 1
    hostile.down = lambda _, way: hostile.say(way, kept[0]) or []
    error = fails(hostile, 14, id=b"x" * 16)
    assert (error.code, error.retry) == ("FORGED", "unsafe")
    assert hostile.rows(14) == 1


def test_a_silent_one_leaves_the_write_in_doubt(hostile):
    hostile.up = lambda *_: []
    error = fails(hostile, 15, timeout_ms=700)
    assert (error.code, error.retry, hostile.rows(15)) == ("DEADLINE", "unsafe", 1)


@pytest.mark.parametrize("said, code", [({"affected": 1, "warnings": 0}, "FORGED"),
                                        (error_of("OVERLOADED", "safe"), "OVERLOADED"),
                                        (error_of("SQL", "never"), "FORGED")])
def test_the_c_library_does_not_believe_it_either(hostile, said, code):
    hostile.up = lie(**said)
    done = hostile.cluster.command("query", "--bundle", str(hostile.bundle),
                                   "INSERT INTO demo.done VALUES (16)", check=False)
    assert done.returncode != 0 and code in done.stderr, done.stderr
    assert "unsafe" in done.stderr or "may have" in done.stderr, done.stderr
    assert hostile.rows(16) == 1


def test_nothing_of_it_is_left(hostile):
    """After all of it the honest gatekeeper serves, and the audit holds."""
    assert hostile.cluster.command("query", "SELECT COUNT(*) FROM demo.done").returncode == 0
    assert hostile.cluster.command("audit", "verify", hostile.cluster.info["audit"]).returncode == 0
