"""Transactions in one request: all or nothing, whatever fails or dies (docs/rfc/1, section 3.4)."""
import collections
import os
import random
import threading
import time

import pytest

from caller import (SLACK_S, Caller, fate, make_table, refusal, row_is_free, statements, timed,
                    transactions)
from harness import FLAVOR, wait_until


@pytest.fixture
def caller(cluster):
    make_table(cluster, "sums", "id INT PRIMARY KEY, n INT NOT NULL", ["1, 10", "2, 20", "3, 30"])
    make_table(cluster, "made", "id INT AUTO_INCREMENT PRIMARY KEY, parent INT, word VARCHAR(40)")
    with Caller(cluster.bundle) as one:
        yield one


def txn(*texts, **keys):
    """The keys of a txn: each statement is a text, or (text, params), or (text, params, expect)."""
    made = []
    for one in texts:
        sql, params, expect = (*((one,) if isinstance(one, str) else one), None, None)[:3]
        made.append({"sql": sql, **({"params": params} if params is not None else {}),
                     **({"expect": expect} if expect is not None else {})})
    return {"op": "txn", "statements": made, **keys}


def sums(cluster):
    return [int(line[0]) for line in
            cluster.sql(cluster.source(), "SELECT n FROM demo.sums ORDER BY id")]


def test_all_statements_and_their_results(cluster, caller):
    reply = caller.run(**txn(
        ("UPDATE sums SET n = n - ? WHERE id = ?", [3, 1], {"rows": 1}),
        ("UPDATE sums SET n = n + ? WHERE id = ?", [3, 2], {"min_rows": 1}),
        ("SELECT id, n FROM sums WHERE id < 3 ORDER BY id", None, {"min_rows": 1, "max_rows": 2}),
        "INSERT INTO made (word) VALUES ('parent')",
        "INSERT INTO made (parent, word) VALUES (LAST_INSERT_ID(), 'child')",
        "SELECT n FROM sums WHERE id = 3 FOR UPDATE", "DELETE FROM sums WHERE id > 100",
        db="demo", metadata=True))
    results = reply["results"]
    assert len(results) == 7 and reply["route"]["role"] == "source"
    assert [result.get("affected") for result in results] == [1, 1, None, 1, 1, None, 0]
    assert results[2]["rows"] == [[1, 7], [2, 23]]
    assert [column[:2] for column in results[2]["columns"]] == [["id", "INT"], ["n", "INT"]]
    assert results[2]["metadata"][0][:4] == ["demo", "sums", "sums", "id"]
    assert (results[3]["insert_id"], results[4]["insert_id"]) == (1, 2)
    assert results[5]["rows"] == [[30]] and "columns" not in results[0]
    assert sums(cluster) == [7, 23, 30]
    assert cluster.sql(cluster.source(), "SELECT id, parent, word FROM demo.made ORDER BY id") == \
        [["1", "NULL", "parent"], ["2", "1", "child"]]
    token = reply["token"]
    read = caller.run("SELECT n FROM demo.sums WHERE id = 1", consistency={"after": token})
    assert read["rows"] == [[7]]


def test_user_variables_go_from_one_statement_to_the_next(caller):
    for _ in range(3):
        reply = caller.run(**txn("SELECT @v IS NULL", "SELECT @v := n FROM demo.sums WHERE id = 1",
                                 "UPDATE demo.sums SET n = n + @v WHERE id = 2"))
        assert reply["results"][0]["rows"] == [[1]], "left by an earlier transaction"
        assert reply["results"][2]["affected"] == 1


def test_results_come_whole(caller):
    texts = [("INSERT INTO made (word) VALUES " + ", ".join(["('w')"] * 500))] * 5
    reply = caller.run(**txn(*texts, "SELECT word FROM made", db="demo"))
    assert len(reply["results"][5]["rows"]) == 2500 and "cursor" not in reply
    assert all(result["affected"] == 500 for result in reply["results"][:5])


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_first_that_fails_is_named_and_nothing_stands(cluster, caller, at):
    texts = ["UPDATE sums SET n = n + 1", "INSERT INTO made (word) VALUES ('x')"]
    texts.insert(at, "INSERT INTO sums VALUES (1, 1)")
    error = caller.fail(**txn(*texts, db="demo"))
    assert (error["code"], error["errno"], error["sqlstate"]) == ("SQL", 1062, "23000")
    assert error["statement"] == at and error["retry"] == "never"
    assert sums(cluster) == [10, 20, 30]
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.made") == [["0"]]
    assert transactions(cluster, cluster.source()) == 0
    assert row_is_free(cluster, cluster.source(), "demo.sums", "id = 1")


@pytest.mark.parametrize("text, expect, met", [
    ("UPDATE sums SET n = n + 1 WHERE id < 3", {"rows": 2}, True),
    ("UPDATE sums SET n = n + 1 WHERE id < 3", {"rows": 1}, False),
    ("UPDATE sums SET n = n + 1 WHERE id > 99", {"rows": 0}, True),
    ("UPDATE sums SET n = n + 1 WHERE id > 99", {"min_rows": 1}, False),
    ("UPDATE sums SET n = n + 1", {"max_rows": 2}, False),
    ("UPDATE sums SET n = n + 1", {"max_rows": 3, "min_rows": 3}, True),
    ("SELECT n FROM sums", {"rows": 3}, True), ("SELECT n FROM sums", {"rows": 0}, False),
    ("SELECT n FROM sums WHERE id = 9", {"max_rows": 0}, True),
    ("SELECT n FROM sums WHERE id = 1 FOR UPDATE", {"min_rows": 2}, False),
    ("DELETE FROM sums WHERE id = 3", {"rows": 1}, True)])
def test_expect(cluster, caller, text, expect, met):
    reply = caller.call(**txn("INSERT INTO made (word) VALUES ('before')", (text, None, expect),
                              "INSERT INTO made (word) VALUES ('after')", db="demo"))
    rows = cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.made")
    if met:
        assert reply["ok"] and rows == [["2"]], reply
    else:
        error = refusal(reply)
        assert fate(error) == ("EXPECT", "never") and error["statement"] == 1
        assert rows == [["0"]] and sums(cluster) == [10, 20, 30]


@pytest.mark.parametrize("text", [
    "CREATE TABLE never (n INT)", "ALTER TABLE sums ADD COLUMN x INT", "DROP TABLE sums",
    "TRUNCATE TABLE sums", "CALL nothing()", "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK",
    "SAVEPOINT s", "SET @a = 1", "SET autocommit = 1", "USE demo", "LOCK TABLES sums WRITE",
    "UNLOCK TABLES", "CREATE TEMPORARY TABLE aside (n INT)", "SELECT GET_LOCK('mine', 1)",
    "DO GET_LOCK('mine', 1)", "PREPARE p FROM 'SELECT 1'", "GRANT SELECT ON demo.* TO x",
    "KILL 1", "SELECT 1; SELECT 2", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT * FROM mysql.user",
    "SELECT * FROM portcullis.heartbeat"])
def test_what_could_outlive_the_transaction_is_refused(cluster, caller, text):
    for texts in ((text, "UPDATE sums SET n = 0"), ("UPDATE sums SET n = 0", text)):
        error = caller.fail(**txn(*texts, db="demo"))
        assert error["retry"] == "never", error
        assert error["code"] in ("REFUSED", "FORBIDDEN", "UNSUPPORTED") or \
            error["code"] == "SQL" and "mysql.user" in text, error
        assert sums(cluster) == [10, 20, 30]
    assert cluster.sql(cluster.source(), "SELECT IS_USED_LOCK('mine')") == [["NULL"]]
    assert cluster.sql(cluster.source(), "SHOW TABLES FROM demo LIKE 'never'") == []


def test_keys_that_do_not_go_with_a_txn(caller):
    for keys in ({"page_rows": 10}, {"session": bytes(16)}, {"sql": "SELECT 1"},
                 {"strategy": "direct"}, {"read_only": True}):
        error = caller.fail(**{**txn("SELECT 1"), **keys})
        assert fate(error) == ("MALFORMED", "never"), (keys, error)
    assert fate(caller.fail(op="txn", statements=[]))[0] in ("MALFORMED", "TOO_LARGE")
    assert caller.fail(op="txn", statements=[{"sql": "SELECT 1"}] * 257)["retry"] == "never"
    assert len(caller.run(**txn(*["SELECT 1"] * 256))["results"]) == 256


def test_a_deadlock_between_two_ends_well_for_both(cluster, caller):
    def crossing(first, second, by):
        return txn(f"UPDATE sums SET n = n + {by} WHERE id = {first}", "SELECT SLEEP(0.15)",
                   f"UPDATE sums SET n = n + {by} WHERE id = {second}", db="demo",
                   timeout_ms=10000)
    before = _deadlocks(cluster)
    for _ in range(5):
        asked = [caller.post(**crossing(1, 2, 1)), caller.post(**crossing(2, 1, 100))]
        replies = [caller.take(one) for one in asked]
        assert all(reply["ok"] for reply in replies), replies
    assert sums(cluster)[:2] == [10 + 505, 20 + 505]
    met = _deadlocks(cluster) - before
    print(f"{met} deadlocks behind 10 transactions that all were done")
    assert met > 0, "nothing was tested"


@pytest.mark.skipif(FLAVOR == "mysql", reason="with GTIDs MySQL lets no transaction write both")
def test_a_deadlock_runs_nothing_again_that_could_not_be_undone(cluster, caller):
    source = cluster.source()
    cluster.sql(source, "CREATE OR REPLACE TABLE demo.kept (word VARCHAR(10)) ENGINE=MyISAM")
    cluster.wait_replicated()

    def crossing(first, second):
        return txn("INSERT INTO kept VALUES ('once')", f"UPDATE sums SET n = 1 WHERE id = {first}",
                   "SELECT SLEEP(0.15)", f"UPDATE sums SET n = 2 WHERE id = {second}", db="demo",
                   timeout_ms=10000)
    before = _deadlocks(cluster)
    for turn in range(1, 4):
        asked = [caller.post(**crossing(1, 2)), caller.post(**crossing(2, 1))]
        errors = [reply["error"] for reply in map(caller.take, asked) if not reply["ok"]]
        assert all((error["errno"], error["retry"]) == (1213, "unsafe") for error in errors), errors
        assert cluster.sql(source, "SELECT COUNT(*) FROM demo.kept") == [[str(2 * turn)]]
    assert _deadlocks(cluster) > before, "nothing was tested"


def _deadlocks(cluster):
    # InnoDB's own counter: a metric that is on by default on both flavors.
    rows = cluster.sql(cluster.source(), "SELECT count FROM information_schema.innodb_metrics "
                                         "WHERE name = 'lock_deadlocks'")
    return int(rows[0][0])


def test_a_lock_that_is_never_given_ends_at_the_deadline(cluster, caller):
    source = cluster.source()
    with cluster.open_transaction(source, "UPDATE demo.sums SET n = 99 WHERE id = 2"):
        with timed() as took:
            error = caller.fail(**txn("UPDATE sums SET n = 0 WHERE id = 1",
                                      "UPDATE sums SET n = 0 WHERE id = 2", db="demo",
                                      timeout_ms=800))
        # The kill comes before the COMMIT was ever sent: nothing was committed.
        assert fate(error) == ("DEADLINE", "safe")
        assert took[0] < 0.9 + SLACK_S, took
        wait_until(lambda: row_is_free(cluster, source, "demo.sums", "id = 1"), 3, "its row")
    assert sums(cluster) == [10, 20, 30]


def test_a_slow_one_ends_at_its_deadline_and_nothing_stands(cluster, caller):
    with timed() as took:
        error = caller.fail(**txn("UPDATE demo.sums SET n = 0", "SELECT SLEEP(20), 'slow txn'",
                                  timeout_ms=600))
    assert fate(error) == ("DEADLINE", "safe")
    assert took[0] < 0.7 + SLACK_S, took
    assert sums(cluster) == [10, 20, 30]
    assert not statements(cluster, cluster.source(), "slow txn")


def test_nothing_of_one_is_found_by_the_next(caller):
    for _ in range(20):
        caller.run(**txn("INSERT INTO made (word) VALUES ('w')", "SELECT @left := 5", db="demo"))
        reply = caller.run(**txn("SELECT @left", "SELECT LAST_INSERT_ID()", "SELECT DATABASE()"))
        assert [result["rows"] for result in reply["results"]] == [[[None]], [[0]], [["demo"]]]


# --- Money under random kills ------------------------------------------------------------------

ACCOUNTS = 20
START = 1000


class Bank(threading.Thread):
    """Moves money between accounts, each time with a line in the book that has a nonce."""

    def __init__(self, bundle, number, seed, stop):
        super().__init__(daemon=True)
        self.bundle, self.number, self.stop_flag = bundle, number, stop
        self.random = random.Random(seed * 100 + number)
        self.outcomes = collections.Counter()
        self.acked, self.unknown, self.nothing = set(), set(), set()
        self.slowest_s, self.broken = 0.0, None

    def run(self):
        try:
            with Caller(self.bundle) as caller:
                count = 0
                while not self.stop_flag.is_set():
                    count += 1
                    self._move(caller, f"{self.number}-{count}")
        except Exception as error:  # shown by the test, which joins this thread
            self.broken = error

    def _move(self, caller, nonce):
        source, target = self.random.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.random.randint(1, 50)
        begun = time.monotonic()
        reply = caller.call(timeout_ms=4000, timeout_s=10, **txn(
            ("UPDATE accounts SET n = n - ? WHERE id = ?", [amount, source], {"rows": 1}),
            ("INSERT INTO book (nonce, source, target, amount) VALUES (?, ?, ?, ?)",
             [nonce, source, target, amount], {"rows": 1}),
            ("UPDATE accounts SET n = n + ? WHERE id = ?", [amount, target], {"rows": 1}),
            db="demo"))
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        if reply["ok"]:
            self.outcomes["ok"] += 1
            self.acked.add(nonce)
            return
        error = reply["error"]
        self.outcomes[error["code"] + " " + error["retry"]] += 1
        (self.unknown if error["retry"] == "unsafe" else self.nothing).add(nonce)
        time.sleep(0.02)


def _check_the_book(cluster, banks):
    lines = cluster.sql(cluster.source(), "SELECT nonce, source, target, amount FROM demo.book")
    balance = dict.fromkeys(range(1, ACCOUNTS + 1), START)
    for _, source, target, amount in lines:
        balance[int(source)] -= int(amount)
        balance[int(target)] += int(amount)
    nonces = [line[0] for line in lines]
    acked, unknown, nothing = (set().union(*(getattr(bank, kind) for bank in banks))
                               for kind in ("acked", "unknown", "nothing"))
    assert len(nonces) == len(set(nonces)), "done twice"
    assert acked <= set(nonces), f"acknowledged and missing: {sorted(acked - set(nonces))[:5]}"
    assert not nothing & set(nonces), f"refused and there: {sorted(nothing & set(nonces))[:5]}"
    assert set(nonces) <= acked | unknown
    cluster.wait_replicated()
    for node in cluster.nodes():
        found = {int(line[0]): int(line[1])
                 for line in cluster.sql(node, "SELECT id, n FROM demo.accounts")}
        assert sum(found.values()) == ACCOUNTS * START, f"{node}: money made or lost"
        assert found == balance, f"{node}: half of a transfer"
    return len(acked), len(unknown), len(nothing)


def test_no_half_transfer_whatever_is_killed(cluster):
    seed = int(os.environ.get("PCL_TEST_SEED", time.time()))
    print(f"PCL_TEST_SEED={seed}")
    make_table(cluster, "accounts", "id INT PRIMARY KEY, n INT NOT NULL",
               [f"{number}, {START}" for number in range(1, ACCOUNTS + 1)])
    make_table(cluster, "book", "nonce VARCHAR(40) PRIMARY KEY, source INT, target INT, amount INT")
    source = cluster.source()
    stop = threading.Event()
    banks = [Bank(cluster.bundle, number, seed, stop) for number in range(8)]
    for bank in banks:
        bank.start()
    dice, faults = random.Random(seed), 0
    try:
        time.sleep(1)
        for part in [cluster.agent_of(source)] * 4 + [source, "proxy", cluster.agent_of(source)]:
            cluster.kill(part)
            time.sleep(0.2)
            cluster.start(part)
            cluster.heal()
            faults += 1
            time.sleep(dice.uniform(0.3, 1.2))
    finally:
        stop.set()
        for bank in banks:
            bank.join(timeout=15)
    cluster.heal()
    broken = [bank.broken for bank in banks if bank.broken or bank.is_alive()]
    assert not broken, broken
    outcomes = sum((bank.outcomes for bank in banks), collections.Counter())
    acked, unknown, nothing = _check_the_book(cluster, banks)
    print(f"{dict(outcomes)}, {faults} faults, acked {acked}, unknown {unknown}, nothing "
          f"{nothing}, slowest {max(bank.slowest_s for bank in banks):.2f} s")
    assert acked >= 200 and faults == 7 and unknown + nothing > 0
    assert transactions(cluster, source) == 0
