"""Cancel: what waits is taken out, what runs is killed, and nothing else ever is (docs/rfc/1,
section 3.7)."""
import collections
import os
import random
import secrets
import threading
import time

import pytest

from caller import (GONE, SLACK_S, Asked, Caller, connections, fate, make_numbers,
                    make_table, memory_kib, statements, stranger_keys, timed,
                    wait_nothing_held)
from harness import SANITIZED, wait_until

STOPPED_IN_S = 1.0 + SLACK_S


@pytest.fixture
def caller(cluster):
    with Caller(cluster.bundle) as one:
        yield one
    wait_nothing_held(cluster)


@pytest.fixture
def few(small):
    with Caller(small.bundle) as one:
        yield one
    wait_nothing_held(small)


def wait_running(cluster, like, node=None):
    nodes = [node] if node else cluster.nodes()
    wait_until(lambda: any(statements(cluster, one, like) for one in nodes), 5, f"{like} to run")


def test_a_running_read_ends_at_once(cluster, caller):
    for strategy in ("direct", "random"):
        running = caller.post("SELECT SLEEP(20), 'cancel me'", strategy=strategy, timeout_ms=30000)
        wait_running(cluster, "cancel me")
        with timed() as took:
            assert caller.cancel(running) == 1
            assert fate(caller.take(running)["error"]) == ("CANCELLED", "safe")
        print(f"{took[0] * 1000:.0f} ms")
        assert took[0] < STOPPED_IN_S, took
        wait_until(lambda: not any(statements(cluster, node, "cancel me")
                                   for node in cluster.nodes()), 2, "the statement to end")
        assert caller.cancel(running) == 0, "it is over"


def test_a_running_write_leaves_nothing_or_all(cluster, caller):
    make_table(cluster, "slow", "n INT PRIMARY KEY, pause INT")
    make_numbers(cluster, "few", 100)
    running = caller.post("INSERT INTO demo.slow SELECT n, SLEEP(0.2) FROM demo.few",
                          timeout_ms=40000)
    wait_running(cluster, "demo.slow", cluster.source())
    time.sleep(0.5)
    with timed() as took:
        assert caller.cancel(running) == 1
        error = caller.take(running)["error"]
    assert error["code"] == "CANCELLED" and error["retry"] in ("unsafe", "safe"), error
    assert took[0] < STOPPED_IN_S, took
    wait_until(lambda: not statements(cluster, cluster.source(), "demo.slow"), 3, "it to end")
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.slow") == [["0"]]


def test_what_waits_in_the_queue_never_runs(small, few):
    make_table(small, "waited", "n INT PRIMARY KEY")
    # Four threads are for all; one more is for who has no other write below.
    sleepers = [few.post("SELECT SLEEP(20), 'in the way'" + how, timeout_ms=30000)
                for how in ["", "", "", "", " FOR UPDATE"]]
    wait_until(lambda: len(statements(small, "node1", "in the way")) == 5, 5, "a full pool")
    waiting = [few.post("INSERT INTO demo.waited VALUES (?)", [number], timeout_ms=30000)
               for number in range(10)]
    time.sleep(0.3)
    with timed() as took:
        for number in range(0, 10, 2):
            assert few.cancel(waiting[number]) == 1
            assert fate(few.take(waiting[number])["error"]) == ("CANCELLED", "safe")
    assert took[0] < STOPPED_IN_S, took
    assert small.sql("node1", "SELECT COUNT(*) FROM demo.waited") == [["0"]]
    for sleeper in sleepers:
        assert few.cancel(sleeper) == 1
        assert few.take(sleeper)["error"]["code"] == "CANCELLED"
    assert all(few.take(waiting[number])["ok"] for number in range(1, 10, 2))
    assert small.sql("node1", "SELECT n FROM demo.waited ORDER BY n") == \
        [[str(number)] for number in range(1, 10, 2)]


def test_another_principals_request_is_not_found(cluster, caller):
    running = caller.post("SELECT SLEEP(1.5), 'not yours'", timeout_ms=30000)
    wait_running(cluster, "not yours")
    with Caller(cluster.bundle, keys=stranger_keys(cluster)) as stranger:
        assert stranger.cancel(running) == 0
    assert caller.take(running)["rows"][0][1] == "not yours"


def test_any_connection_of_the_principal_will_do(cluster, caller):
    running = caller.post("SELECT SLEEP(20), 'from elsewhere'", timeout_ms=30000)
    wait_running(cluster, "from elsewhere")
    with Caller(cluster.bundle) as other:
        assert other.cancel(running) == 1
    assert fate(caller.take(running)["error"]) == ("CANCELLED", "safe")


def test_what_is_not_there_is_not_found(caller):
    assert caller.cancel(Asked(b"", secrets.token_bytes(16))) == 0
    done = caller.post("SELECT 1")
    assert caller.take(done)["ok"]
    assert caller.cancel(done) == 0
    session = caller.begin()
    assert caller.cancel(Asked(b"", session.ident)) == 0, "a session's id is no request's"
    session.rollback()


def test_a_session_outlives_its_cancelled_statements(cluster, caller):
    make_table(cluster, "kept", "n INT PRIMARY KEY")
    session = caller.begin()
    session.run("SET @kept = 'kept'")
    connection = session.value("SELECT CONNECTION_ID()")
    for number in range(20):
        session.run("INSERT INTO demo.kept VALUES (?)", [number])
        running = session.post("SELECT SLEEP(20), 'in a session'", timeout_ms=30000)
        wait_running(cluster, "in a session", cluster.source())
        assert caller.cancel(running) == 1
        assert fate(caller.take(running)["error"]) == ("CANCELLED", "safe")
        # What follows at once is what a kill that comes late would hit.
        for _ in range(3):
            assert session.value("SELECT ? + SLEEP(0.002)", [number]) == number
    assert session.value("SELECT @kept") == "kept"
    assert session.value("SELECT CONNECTION_ID()") == connection
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.kept") == [["0"]]
    session.commit()
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.kept") == [["20"]]


def test_what_waits_for_its_session_never_runs(cluster, caller):
    make_table(cluster, "kept", "n INT PRIMARY KEY")
    session = caller.begin()
    slow = session.post("SELECT SLEEP(1)")
    waiting = [session.post("INSERT INTO demo.kept VALUES (?)", [number]) for number in range(4)]
    for number in (0, 2):
        with timed() as took:
            assert caller.cancel(waiting[number]) == 1
            assert fate(caller.take(waiting[number])["error"]) == ("CANCELLED", "safe")
        assert took[0] < 0.8, "it waited for the one before"
    assert caller.take(slow)["ok"]
    assert caller.take(waiting[1])["ok"] and caller.take(waiting[3])["ok"]
    assert session.rows("SELECT n FROM demo.kept ORDER BY n") == [[1], [3]]
    session.rollback()


def test_a_cancelled_fetch_ends_its_cursor(cluster, caller):
    make_numbers(cluster, "few", 100)
    first = caller.run("SELECT n, REPEAT('w', 20000), SLEEP(IF(n < 11, 0, 5)) FROM demo.few "
                       "ORDER BY n", page_rows=5, strategy="direct")
    fetch = caller.post(op="fetch", cursor=first["cursor"], page_rows=50, timeout_ms=30000)
    time.sleep(0.5)
    with timed() as took:
        assert caller.cancel(fetch) == 1
        error = caller.take(fetch)["error"]
    # The page cannot be had again, whatever was read of it.
    assert error["code"] == "CANCELLED" and error["retry"] in ("safe", "never"), error
    assert took[0] < STOPPED_IN_S
    assert fate(caller.fail(op="fetch", cursor=first["cursor"])) == GONE
    wait_until(lambda: not statements(cluster, cluster.source(), "20000"), 3, "it to end")


def test_a_cancelled_txn_leaves_nothing(cluster, caller):
    make_table(cluster, "kept", "n INT PRIMARY KEY")
    running = caller.post(op="txn", timeout_ms=30000, statements=[
        {"sql": "INSERT INTO demo.kept VALUES (1)"}, {"sql": "SELECT SLEEP(20), 'in a txn'"},
        {"sql": "INSERT INTO demo.kept VALUES (2)"}])
    wait_running(cluster, "in a txn", cluster.source())
    with timed() as took:
        assert caller.cancel(running) == 1
        assert caller.take(running)["error"]["code"] == "CANCELLED"
    assert took[0] < STOPPED_IN_S
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.kept") == [["0"]]
    assert caller.run("INSERT INTO demo.kept VALUES (1)")["affected"] == 1


def test_a_write_behind_a_lock_is_cancelled(cluster, caller):
    make_table(cluster, "kept", "n INT PRIMARY KEY", ["1"])
    with cluster.open_transaction(cluster.source(), "DELETE FROM demo.kept"):
        running = caller.post("UPDATE demo.kept SET n = 5 WHERE n = 1", timeout_ms=30000)
        wait_running(cluster, "SET n = 5", cluster.source())
        assert caller.cancel(running) == 1
        assert caller.take(running)["error"]["code"] == "CANCELLED"
    time.sleep(0.2)
    assert cluster.sql(cluster.source(), "SELECT n FROM demo.kept") == [["1"]]


# --- A thousand at random moments under load ----------------------------------------------------


class Striker(threading.Thread):
    """Sends statements that carry a nonce, a few at a time, cancels some at any moment, and judges
    each reply."""

    def __init__(self, cluster, number, seed, stop, chance):
        super().__init__(daemon=True)
        self.bundle, self.number, self.stop_flag, self.chance = \
            cluster.bundle, number, stop, chance
        self.random = random.Random(seed * 100 + number)
        self.counts = collections.Counter()
        self.there, self.absent = set(), set()
        self.wrong, self.broken, self.found = [], None, 0

    def run(self):
        try:
            with Caller(self.bundle) as self.caller:
                turn = 0
                while not self.stop_flag.is_set() and not self.wrong:
                    turn += 1
                    if self.number % 2 == 0:
                        self._round(f"{self.number}-{turn}", self.caller.post, self.there)
                    else:
                        self._session(f"{self.number}-{turn}")
        except Exception as error:  # shown by the test, which joins this thread
            self.broken = error

    def _session(self, name):
        session = self.caller.begin()
        session.run("SET @name = ?", [name])
        stood, begun = set(), self.random.random() < 0.5
        for turn in range(4):
            self._round(f"{name}-{turn}", session.post, stood)
        if self.wrong:
            return
        assert session.value("SELECT @name") == name, "the session is another's"
        session.run(op="commit" if begun else "rollback")
        self.counts["sessions"] += 1
        if begun:
            self.there |= stood
        else:
            self.absent |= stood

    def _statement(self, nonce):
        pause = self.random.choice([0, 0.001, 0.004, 0.015])
        kind = self.random.randrange(4)
        if kind == 0:
            return "INSERT INTO demo.struck (nonce, pause) VALUES (?, SLEEP(?))", [nonce, pause]
        if kind == 1:
            return "SELECT ?", [nonce]
        return "SELECT ?, SLEEP(?)", [nonce, pause]

    def _round(self, name, post, there):
        asked, cancels = {}, {}
        for number in range(3):
            nonce = f"{name}-{number}"
            sql, params = self._statement(nonce)
            asked[nonce] = (sql.startswith("INSERT"), post(sql, params))
        for nonce in self.random.sample(sorted(asked), 3):
            if self.random.random() < self.chance:
                self.caller.pump(self.random.choice([0, 0, 0.001, 0.003, 0.008]))
                cancels[nonce] = self.caller.post(op="cancel", id=asked[nonce][1].ident)
        for nonce, (is_write, one) in asked.items():
            reply = self.caller.take(one)
            found = None
            if nonce in cancels:
                answer = self.caller.take(cancels[nonce])
                found = answer["affected"] if answer["ok"] else answer
                self.counts["cancels"] += 1
                self.found += found == 1
            self._judge(nonce, is_write, reply, found, there)

    def _judge(self, nonce, is_write, reply, found, there):
        if found not in (None, 0, 1):
            self.wrong.append((nonce, "cancel", found))
        if reply["ok"]:
            self.counts["ok"] += 1
            if is_write:
                there.add(nonce)
            if reply.get("affected", 1) != 1 or not is_write and reply["rows"][0][0] != nonce:
                self.wrong.append((nonce, reply))
            return
        error = reply["error"]
        self.counts[error["code"] + " " + error["retry"]] += 1
        if error["code"] != "CANCELLED" or found != 1:
            self.wrong.append((nonce, f"cancel found {found}", error))
        if is_write and error["retry"] == "safe":
            self.absent.add(nonce)


def _strike(cluster, strikers, stop, wanted, limit_s):
    """Lets them strike until `wanted` cancels have found their request; memory after a fifth of
    it."""
    for striker in strikers:
        striker.start()
    memory, deadline = None, time.monotonic() + limit_s
    try:
        while time.monotonic() < deadline and sum(one.found for one in strikers) < wanted:
            if any(one.wrong or one.broken for one in strikers):
                break
            if memory is None and sum(one.found for one in strikers) > wanted / 5:
                memory = memory_kib(cluster)
            time.sleep(0.1)
    finally:
        stop.set()
        for striker in strikers:
            striker.join(timeout=30)
    return memory


@pytest.mark.plain
def test_a_thousand_cancels_at_random_moments_hit_nothing_else(cluster, caller):
    seed = int(os.environ.get("PCL_TEST_SEED", time.time()))
    print(f"PCL_TEST_SEED={seed}")
    make_table(cluster, "struck", "nonce VARCHAR(40) PRIMARY KEY, pause INT")
    before = {node: len(connections(cluster, node)) for node in cluster.nodes()}
    stop = threading.Event()
    # The last two cancel nothing: whatever of theirs is killed was killed wrongly.
    strikers = [Striker(cluster, number, seed, stop, 0.6 if number < 6 else 0)
                for number in range(8)]
    memory = _strike(cluster, strikers, stop, 1000, 50)
    broken = [one.broken or one.wrong[:3] for one in strikers
              if one.broken or one.wrong or one.is_alive()]
    assert not broken, broken
    counts = sum((one.counts for one in strikers), collections.Counter())
    found = sum(one.found for one in strikers)
    print(f"{dict(counts)}, {found} cancels found their request")
    assert found >= 1000 and counts["CANCELLED safe"] >= 100 and counts["sessions"] >= 20
    _check_rows(cluster, strikers)
    _check_pools(cluster, caller, before)
    if memory is not None and not SANITIZED:
        grown = {name: now - memory[name] for name, now in memory_kib(cluster).items()}
        print(f"memory since the first fifth, KiB: {grown}")
        assert max(grown.values()) < 8192, grown


def _check_rows(cluster, strikers):
    rows = {row[0] for row in cluster.sql(cluster.source(), "SELECT nonce FROM demo.struck")}
    there = set().union(*(one.there for one in strikers))
    absent = set().union(*(one.absent for one in strikers))
    assert there <= rows, f"answered ok and not there: {sorted(there - rows)[:5]}"
    assert not absent & rows, f"said not to have run, and there: {sorted(absent & rows)[:5]}"
    print(f"{len(there)} writes are there, {len(absent)} are not, as they should")


def _check_pools(cluster, caller, before):
    """Nothing runs or waits, and every connection serves."""
    wait_nothing_held(cluster)
    for node in cluster.nodes():
        part = cluster.agent_of(node)
        wait_until(lambda part=part: cluster.metrics(part)["portcullis_agent_running"] == 0 and
                   cluster.metrics(part)["portcullis_agent_queued"] == 0, 5, f"{part} is idle")
    asked = [caller.post("SELECT ?, SLEEP(0.002)", [number], strategy=strategy)
             for number in range(100) for strategy in ("direct", "random")]
    for number, one in enumerate(asked):
        reply = caller.take(one)
        assert reply["ok"] and reply["rows"][0] == [number // 2, 0], reply
    after = {node: len(connections(cluster, node)) for node in cluster.nodes()}
    bound = cluster.setting(cluster.agent_of(cluster.source()), "pool/threads") * 2 + 16
    print(f"connections before {before}, after {after}")
    assert all(count <= max(before[node], bound) for node, count in after.items())
