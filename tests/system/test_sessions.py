"""Sessions: begin, commit, rollback, what they keep inside, what they leave behind (nothing), and
how they end (docs/rfc/1, section 3.5)."""
import secrets
import time

import pytest

from caller import (GONE, SLACK_S, Caller, connections, fate, held, make_numbers, make_table,
                    row_is_free, statements, stranger_keys, timed, transactions, wait_gone,
                    wait_nothing_held)
from harness import FLAVOR, wait_until

IS_USED = "SELECT IS_USED_LOCK('{}')"


@pytest.fixture
def caller(cluster):
    make_table(cluster, "held", "id INT PRIMARY KEY, n INT NOT NULL", ["1, 10", "2, 20", "3, 30"])
    with Caller(cluster.bundle) as one:
        yield one
    wait_nothing_held(cluster)


@pytest.fixture
def few(small):
    make_table(small, "held", "id INT PRIMARY KEY, n INT NOT NULL", ["1, 10", "2, 20", "3, 30"])
    with Caller(small.bundle) as one:
        yield one
    wait_nothing_held(small)


def outside(caller, where="id = 1"):
    return caller.run(f"SELECT n FROM demo.held WHERE {where}", strategy="direct")["rows"]


# --- Transactions ----------------------------------------------------------------------


def test_nothing_shows_before_commit_and_all_after(cluster, caller):
    session = caller.begin()
    assert session.route["role"] == "source" and session.route["node"] == cluster.source()
    assert session.run("UPDATE demo.held SET n = n + 1 WHERE id = 1")["affected"] == 1
    assert session.run("INSERT INTO demo.held VALUES (?, ?)", [7, 70])["affected"] == 1
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == 11
    assert outside(caller) == [[10]] and outside(caller, "id = 7") == []
    # The server keeps what it shows of its transactions for 0.1 s.
    wait_until(lambda: transactions(cluster, cluster.source()) == 1, 3, "the transaction to show")
    wait_until(lambda: held(cluster) == (1, 0), 3, "the session to be counted")
    session.commit()
    assert outside(caller) == [[11]] and outside(caller, "id = 7") == [[70]]
    for end in ("commit", "rollback"):
        assert fate(caller.fail(op=end, session=session.ident)) == GONE
    assert fate(session.fail("SELECT 1")) == GONE


def test_rollback_leaves_nothing(cluster, caller):
    session = caller.begin()
    session.run("DELETE FROM demo.held")
    assert session.value("SELECT COUNT(*) FROM demo.held") == 0
    session.rollback()
    assert len(outside(caller, "1 = 1")) == 3
    assert row_is_free(cluster, cluster.source(), "demo.held", "id = 1")
    assert fate(session.fail("SELECT 1")) == GONE


def test_a_commit_names_the_write_for_readers_elsewhere(caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 99 WHERE id = 2")
    reply = session.commit()
    assert "token" in reply, reply
    read = caller.run("SELECT n FROM demo.held WHERE id = 2",
                      consistency={"after": reply["token"]})
    assert read["rows"] == [[99]]


def test_a_statement_that_fails_leaves_the_transaction(caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 12 WHERE id = 1")
    error = session.fail("INSERT INTO demo.held VALUES (2, 0)")
    assert error["code"] == "SQL" and error["errno"] == 1062 and error["sqlstate"] == "23000"
    assert session.fail("SELECT nothing FROM nowhere", db="demo")["errno"] == 1146
    session.run("UPDATE demo.held SET n = 22 WHERE id = 2")
    session.commit()
    assert outside(caller) == [[12]] and outside(caller, "id = 2") == [[22]]


def test_what_sql_says_of_transactions_works_inside(caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 11 WHERE id = 1")
    session.run("SAVEPOINT here")
    session.run("UPDATE demo.held SET n = 12 WHERE id = 1")
    session.run("ROLLBACK TO SAVEPOINT here")
    session.run("COMMIT")
    assert outside(caller) == [[11]]
    session.run("UPDATE demo.held SET n = 13 WHERE id = 1")
    assert outside(caller) == [[13]], "after SQL's COMMIT it is in autocommit"
    session.run("BEGIN")
    session.run("UPDATE demo.held SET n = 14 WHERE id = 1")
    assert outside(caller) == [[13]]
    session.run("ROLLBACK")
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == 13
    session.run("START TRANSACTION")
    session.run("UPDATE demo.held SET n = 15 WHERE id = 1")
    session.commit()
    assert outside(caller) == [[15]]


def test_a_read_only_session_is_on_a_replica_and_refuses_the_rest(cluster, caller):
    session = caller.begin(read_only=True, strategy="random")
    assert session.route["role"] == "replica"
    before = session.value("SELECT n FROM demo.held WHERE id = 1")
    caller.run("UPDATE demo.held SET n = n + 100 WHERE id = 1")
    cluster.wait_replicated()
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == before, "one snapshot"
    for sql in ("INSERT INTO demo.held VALUES (8, 8)", "UPDATE demo.held SET n = 0",
                "DELETE FROM demo.held", "SELECT n FROM demo.held FOR UPDATE",
                "CREATE TABLE demo.never (n INT)", "DROP TABLE demo.held", "CALL demo.nothing()",
                "GRANT SELECT ON demo.* TO nobody"):
        error = session.fail(sql)
        assert error["code"] in ("REFUSED", "FORBIDDEN") and error["retry"] == "never", (sql, error)
    session.run("SET @mine = 5")
    assert session.value("SELECT @mine") == 5
    session.run("COMMIT")
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == before + 100
    # What hides from a look at its text meets an account that has SELECT alone.
    for sql in ("CREATE TEMPORARY TABLE demo.hidden (n INT)",
                "PREPARE hidden FROM 'DELETE FROM demo.held'"):
        reply = session.call(sql)
        if reply["ok"]:
            assert not session.call("EXECUTE hidden")["ok"], sql
    session.commit()
    assert len(outside(caller, "1 = 1")) == 3


def test_a_read_only_session_is_counted_where_it_is(cluster, caller):
    nodes = set()
    for _ in range(20):
        session = caller.begin(read_only=True, strategy="round-robin")
        assert session.value("SELECT 1") == 1
        nodes.add(session.route["node"])
        session.rollback()
    assert nodes == set(cluster.replicas())
    direct = caller.begin(read_only=True, strategy="direct")
    assert direct.route["node"] == cluster.source()
    assert direct.fail("DELETE FROM demo.held")["code"] in ("REFUSED", "FORBIDDEN")
    direct.rollback()


# --- State inside --------------------------------------------------------------------------


def test_state_lives_inside(cluster, caller):
    make_table(cluster, "counted", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    session = caller.begin(db="demo")
    assert session.value("SELECT DATABASE()") == "demo"
    session.run("SET @a = 5, @b = 'text'")
    assert session.rows("SELECT @a, @b") == [[5, "text"]]
    assert session.rows("SELECT @a := @a + 1") == [[6]]
    session.run("SET SESSION innodb_lock_wait_timeout = 7")
    assert session.value("SELECT @@innodb_lock_wait_timeout") == 7
    session.run("CREATE TEMPORARY TABLE aside (n INT)")
    session.run("INSERT INTO aside VALUES (1), (2)")
    assert session.value("SELECT SUM(n) FROM aside") == "3"
    assert session.run("INSERT INTO counted (n) VALUES (1)")["insert_id"] == 1
    assert session.value("SELECT LAST_INSERT_ID()") == 1
    assert session.value("SELECT GET_LOCK('mine', 1)") == 1
    assert cluster.sql(cluster.source(), IS_USED.format("mine")) != [["NULL"]]
    session.run("PREPARE twice FROM 'SELECT 2 * ?'")
    session.run("SET @p = 21")
    assert int(session.value("EXECUTE twice USING @p")) == 42
    session.run("DEALLOCATE PREPARE twice")
    assert session.value("SELECT RELEASE_LOCK('mine')") == 1
    session.run("USE demo")
    session.run("DROP TEMPORARY TABLE aside")
    session.commit()


def test_state_does_not_live_outside(caller):
    for sql in ("SET @a = 1", "BEGIN", "COMMIT", "CREATE TEMPORARY TABLE demo.x (n INT)",
                "SELECT GET_LOCK('mine', 0)", "PREPARE p FROM 'SELECT 1'", "LOCK TABLES x READ"):
        error = caller.fail(sql)
        assert error["retry"] == "never" and error["code"] != "SQL", (sql, error)


@pytest.mark.parametrize("sql", [
    "SET sql_mode = 'ANSI_QUOTES'", "SET SESSION sql_mode = ''", "SET @@sql_mode = ''",
    "SET @@session.sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET NAMES gbk", "SET CHARACTER SET latin1",
    "SET character_set_client = latin1", "SET @a = 1, sql_mode = 'ORACLE'",
    "SET GLOBAL max_connections = 1", "SELECT 1; SELECT 2", "SET collation_connection = 'x'"])
def test_what_changes_the_reading_of_texts_is_refused(caller, sql):
    session = caller.begin()
    error = session.fail(sql)
    assert error["code"] in ("REFUSED", "FORBIDDEN", "UNSUPPORTED"), error
    assert error["retry"] == "never"
    assert session.value("SELECT 'it\\'s', \"quoted\"") == "it's"
    session.rollback()


def _nothing_is_left(session):
    """Of whatever an earlier session has set."""
    assert session.rows("SELECT @a, @b") == [[None, None]]
    assert session.value("SELECT LAST_INSERT_ID()") == 0
    assert session.value("SELECT @@innodb_lock_wait_timeout") != 7
    assert session.value("SELECT @@autocommit") == 1
    isolation = session.value("SELECT @@tx_isolation" if FLAVOR == "mariadb"
                              else "SELECT @@transaction_isolation")
    assert isolation == "REPEATABLE-READ"
    assert session.fail("SELECT * FROM demo.aside")["errno"] == 1146
    assert session.fail("EXECUTE leftover")["errno"] == 1243
    assert session.value("SELECT IS_USED_LOCK('mine')") is None
    assert session.value("SELECT COUNT(*) FROM demo.held") == 3
    assert session.value("SELECT DATABASE()") == "demo"
    assert session.value("SELECT @@sql_mode LIKE '%ANSI%'") == 0
    assert session.value("SELECT @@character_set_client") == "utf8mb4"
    assert session.rows("SELECT ROW_COUNT(), FOUND_ROWS()")[0][1] in (0, 1)


def _make_a_mess(session, number):
    session.run("SET @a = 5, @b = 'text'")
    session.run("SET SESSION innodb_lock_wait_timeout = 7")
    session.run("CREATE TEMPORARY TABLE demo.aside (n INT)")
    session.run("INSERT INTO demo.messed (n) VALUES (1)")
    session.run("INSERT INTO demo.held VALUES (50, 50)")
    session.run("PREPARE leftover FROM 'SELECT 1'")
    assert session.value("SELECT GET_LOCK('mine', 5)") == 1
    if number % 3 == 0:
        session.run("SET autocommit = 0")
    if number % 4 == 0:
        session.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    if number % 5 == 0:
        session.run("SELECT a.id FROM demo.held a", page_rows=1)  # an open cursor
    session.run("USE demo")


def test_the_next_session_finds_nothing_of_the_last(cluster, caller):
    make_table(cluster, "messed", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    seen = set()
    for number in range(40):
        session = caller.begin()
        seen.add(session.value("SELECT CONNECTION_ID()"))
        _nothing_is_left(session)
        _make_a_mess(session, number)
        session.rollback()
        assert cluster.sql(cluster.source(), IS_USED.format("mine")) == [["NULL"]]
        assert transactions(cluster, cluster.source()) == 0
    print(f"40 sessions on {len(seen)} connections")
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.messed") == [["0"]]


def test_a_commit_after_state_leaves_nothing_either(cluster, caller):
    make_table(cluster, "messed", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    for number in range(10):
        session = caller.begin()
        _nothing_is_left(session)
        _make_a_mess(session, number + 1)
        session.run("DELETE FROM demo.held WHERE id = 50")
        session.commit()
        assert cluster.sql(cluster.source(), IS_USED.format("mine")) == [["NULL"]]
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.messed") == [["10"]]


# --- Whose, and in which order ------------------------------------------------------------


def test_another_principal_cannot_use_a_session(cluster, caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 77 WHERE id = 1")
    with Caller(cluster.bundle, keys=stranger_keys(cluster)) as stranger:
        assert fate(stranger.fail("SELECT 1", session=session.ident)) == GONE
        for op in ("commit", "rollback"):
            assert fate(stranger.fail(op=op, session=session.ident)) == GONE
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == 77
    session.commit()
    assert outside(caller) == [[77]]


def test_sessions_that_nobody_gave(caller):
    session = caller.begin()
    real = session.ident
    for ident in (secrets.token_bytes(16), bytes(16), b"\xff" * 16,
                  real[:8] + secrets.token_bytes(6) + real[14:], secrets.token_bytes(8) + real[8:],
                  real[:14] + b"\x00\x01"):
        wait_gone(caller, "SELECT 1", session=ident)
        wait_gone(caller, op="commit", session=ident)
    assert session.value("SELECT 1") == 1
    session.rollback()


@pytest.mark.parametrize("key, value", [("strategy", "direct"), ("consistency", "source"),
                                        ("once", True)])
def test_what_does_not_go_with_a_session_is_refused(caller, key, value):
    session = caller.begin()
    error = caller.fail("SELECT 1", session=session.ident, **{key: value})
    assert error["code"] == "MALFORMED" and error["retry"] == "never"
    session.rollback()


def test_requests_of_a_session_keep_their_order(cluster, caller):
    make_table(cluster, "ordered", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    session = caller.begin()
    session.run("SET @x = 1")
    wanted = 1
    for turn in range(10):
        asked = []
        for number in range(turn * 5, turn * 5 + 5):
            asked.append(session.post("INSERT INTO demo.ordered (n) VALUES (?)", [number]))
            asked.append(session.post(f"SELECT @x := @x * 3 MOD 1000003 + {number}"))
            wanted = wanted * 3 % 1000003 + number
        replies = [caller.take(one) for one in asked]
        assert all(reply["ok"] for reply in replies), replies
        assert int(replies[-1]["rows"][0][0]) == wanted
    rows = session.rows("SELECT n FROM demo.ordered ORDER BY id")
    assert rows == [[number] for number in range(50)]
    session.commit()


def test_a_pipeline_with_its_commit(cluster, caller):
    make_table(cluster, "ordered", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    session = caller.begin()
    asked = [session.post("INSERT INTO demo.ordered (n) VALUES (?)", [number])
             for number in range(10)]
    asked.append(session.post(op="commit"))
    after = session.post("INSERT INTO demo.ordered (n) VALUES (99)")
    assert all(caller.take(one)["ok"] for one in asked)
    assert fate(caller.take(after)["error"]) == GONE
    assert cluster.sql(cluster.source(), "SELECT COUNT(*), MAX(n) FROM demo.ordered") == \
        [["10", "9"]]


def test_a_deadline_ends_the_statement_and_not_the_session(cluster, caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 55 WHERE id = 1")
    session.run("SET @kept = 'kept'")
    for number in range(10):
        with timed() as took:
            error = session.fail("SELECT SLEEP(10), 'too long'", timeout_ms=300)
        assert error["code"] == "DEADLINE", error
        assert took[0] < 0.4 + SLACK_S, took
        for _ in range(3):
            assert session.value("SELECT ? + SLEEP(0.01)", [number]) == number
    assert not statements(cluster, cluster.source(), "too long")
    assert session.value("SELECT @kept") == "kept"
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == 55
    session.commit()
    assert outside(caller) == [[55]]


def test_a_deadline_counts_the_wait_for_the_one_before(cluster, caller):
    session = caller.begin()
    slow = session.post("SELECT SLEEP(2)")
    with timed() as took:
        error = session.fail("UPDATE demo.held SET n = 66 WHERE id = 1", timeout_ms=400)
    assert fate(error) == ("DEADLINE", "safe"), "it had not started"
    assert took[0] < 0.5 + SLACK_S, took
    assert caller.take(slow)["ok"]
    assert session.value("SELECT n FROM demo.held WHERE id = 1") == 10
    session.commit()
    assert outside(caller) == [[10]]


def test_a_write_killed_by_its_deadline_is_undone_alone(caller):
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 11 WHERE id = 1")
    error = session.fail("UPDATE demo.held SET n = n + 1000 + SLEEP(1) WHERE id > 1",
                         timeout_ms=500)
    assert error["code"] == "DEADLINE"
    assert session.rows("SELECT n FROM demo.held ORDER BY id") == [[11], [20], [30]]
    session.commit()
    assert outside(caller, "1 = 1 ORDER BY id") == [[11], [20], [30]]


# --- What the database does ----------------------------------------------------------------


def test_a_deadlock_aborts_until_rollback(cluster, caller):
    one, two = caller.begin(), caller.begin()
    one.run("UPDATE demo.held SET n = 111 WHERE id = 1")
    one.run("UPDATE demo.held SET n = 111 WHERE id = 3")
    two.run("UPDATE demo.held SET n = 222 WHERE id = 2")
    crossing = {one: one.post("UPDATE demo.held SET n = 111 WHERE id = 2", timeout_ms=8000)}
    time.sleep(0.3)
    crossing[two] = two.post("UPDATE demo.held SET n = 222 WHERE id = 1", timeout_ms=8000)
    replies = {session: caller.take(asked) for session, asked in crossing.items()}
    victims = [session for session, reply in replies.items() if not reply["ok"]]
    assert len(victims) == 1, replies
    victim, winner = victims[0], one if victims[0] is two else two
    error = replies[victim]["error"]
    assert error["code"] == "SQL" and error["errno"] == 1213 and error["sqlstate"] == "40001"
    for _ in range(2):
        assert fate(victim.fail("UPDATE demo.held SET n = 333 WHERE id = 3")) == \
            ("ABORTED", "never")
        assert fate(victim.fail("SELECT 1")) == ("ABORTED", "never")
        assert fate(caller.fail(op="commit", session=victim.ident)) == ("ABORTED", "never")
    victim.rollback()
    assert fate(victim.fail("SELECT 1")) == GONE
    winner.commit()
    wanted = [[111], [111], [111]] if winner is one else [[222], [222], [30]]
    assert outside(caller, "1 = 1 ORDER BY id") == wanted, "something of the victim stands"


@pytest.mark.parametrize("how, row", [("fetch", 9000), ("next", 1500), ("close", 1500)])
def test_a_deadlock_in_the_middle_of_a_result_aborts_too(cluster, caller, how, row):
    """Rows are locked as they are read: behind the first page, or as the rest is given up."""
    make_table(cluster, "lone", "n INT NOT NULL", ["10"])
    make_numbers(cluster, "locked", 10000, word="REPEAT('filler ', 50)")
    make_numbers(cluster, "weight", 10000)
    session = caller.begin()
    session.run("UPDATE demo.lone SET n = n + 1")
    page = session.run("SELECT n, word FROM demo.locked ORDER BY n FOR UPDATE", page_rows=10)
    with Caller(cluster.bundle) as other:
        heavy = other.begin()  # the one that has changed less is the deadlock's victim
        heavy.run("UPDATE demo.weight SET word = 'more'", timeout_ms=15000)
        heavy.run(f"UPDATE demo.locked SET word = '' WHERE n = {row}")
        waits = heavy.post("UPDATE demo.lone SET n = 100", timeout_ms=15000)
        time.sleep(0.3)
        while how == "fetch" and page["ok"]:
            page = caller.call(op="fetch", cursor=page["cursor"], page_rows=500)
        assert page["ok"] or page["error"]["errno"] == 1213
        if how == "close":
            caller.run(op="close", cursor=page["cursor"])
        reply = session.call("UPDATE demo.lone SET n = n + 1000")
        if how == "fetch" or not reply["ok"]:
            assert fate(reply["error"]) == ("ABORTED", "never")
            assert fate(session.fail(op="commit")) == ("ABORTED", "never")
        session.rollback()  # else the rest was cut short of that row, and the transaction stands
        assert other.take(waits)["ok"]
        heavy.rollback()
    assert cluster.sql(cluster.source(), "SELECT n FROM demo.lone") == [["10"]]


def test_a_lock_wait_that_runs_out_leaves_the_transaction(cluster, caller):
    one, two = caller.begin(), caller.begin()
    one.run("UPDATE demo.held SET n = 111 WHERE id = 1")
    two.run("SET SESSION innodb_lock_wait_timeout = 1")
    two.run("UPDATE demo.held SET n = 222 WHERE id = 2")
    error = two.fail("UPDATE demo.held SET n = 222 WHERE id = 1")
    assert error["errno"] == 1205, error
    assert two.value("SELECT n FROM demo.held WHERE id = 2") == 222
    two.commit()
    one.commit()
    assert outside(caller, "1 = 1 ORDER BY id") == [[111], [222], [30]]


# --- What dies ---------------------------------------------------------------------------------


def test_a_session_goes_with_its_agent(cluster, caller):
    source = cluster.source()
    part = cluster.agent_of(source)
    idle, busy = caller.begin(), caller.begin()
    idle.run("UPDATE demo.held SET n = 88 WHERE id = 1")
    idle.value("SELECT GET_LOCK('mine', 1)")
    running = busy.post("UPDATE demo.held SET n = 89 + SLEEP(20) WHERE id = 2", timeout_ms=30000)
    wait_until(lambda: statements(cluster, source, "SLEEP(20)"), 5, "the statement to run")
    cluster.kill(part)
    try:
        with timed() as took:
            assert fate(caller.take(running)["error"]) == ("LOST", "unsafe")
        assert took[0] < 3, took
        for session in (idle, busy):
            # Nobody knows yet that the same run does not come back.
            assert fate(session.fail("SELECT 1")) in (GONE, ("NO_NODE", "safe"))
            error = caller.fail(op="commit", session=session.ident)
            assert fate(error) in (GONE, ("NO_NODE", "safe")), error
        wait_until(lambda: transactions(cluster, source) == 0, 5, "the transactions to end")
    finally:
        cluster.start(part)
        cluster.heal()
    for session in (idle, busy):
        assert fate(session.fail("SELECT 1")) == GONE
        assert fate(caller.fail(op="rollback", session=session.ident)) == GONE
    assert cluster.sql(source, IS_USED.format("mine")) == [["NULL"]]
    assert row_is_free(cluster, source, "demo.held", "id = 1")
    assert outside(caller, "1 = 1 ORDER BY id") == [[10], [20], [30]]


def test_a_session_goes_with_its_database(cluster, caller):
    source = cluster.source()
    wait_until(lambda: caller.call("SELECT 1", strategy="direct")["ok"], 5, "the source to serve")
    idle, busy = caller.begin(), caller.begin()
    idle.run("UPDATE demo.held SET n = 88 WHERE id = 1")
    running = busy.post("UPDATE demo.held SET n = 89 + SLEEP(20) WHERE id = 2", timeout_ms=30000)
    wait_until(lambda: statements(cluster, source, "SLEEP(20)"), 5, "the statement to run")
    cluster.kill(source)
    try:
        with timed() as took:
            reply = caller.take(running)
        assert not reply["ok"] and reply["error"]["code"] == "LOST", reply
        assert took[0] < 3, took
        for session in (idle, busy):
            assert session.fail("SELECT 1")["code"] in ("GONE", "LOST", "ABORTED")
            assert session.fail(op="commit")["code"] in ("GONE", "ABORTED")
            caller.call(op="rollback", session=session.ident)
    finally:
        cluster.start(source)
        cluster.heal()
    for session in (idle, busy):
        assert fate(session.fail("SELECT 1")) == GONE
    assert cluster.sql(source, "SELECT n FROM demo.held ORDER BY id") == [["10"], ["20"], ["30"]]
    wait_until(lambda: cluster.sql(source, "SELECT @@read_only") == [["0"]], 10, "a source again")
    fresh = caller.begin()
    assert fresh.run("UPDATE demo.held SET n = 11 WHERE id = 1")["affected"] == 1
    fresh.commit()


def _kill_and_go_on(cluster, caller, part, ask_end):
    """Kills a hop under an open session and uses the session afterwards: it goes on, or it is gone
    and nothing of it is left."""
    session = caller.begin()
    session.run("UPDATE demo.held SET n = 44 WHERE id = 1")
    cluster.kill(part)
    cluster.start(part)
    cluster.heal()

    def definite():
        reply = session.call("SELECT n FROM demo.held WHERE id = 1", timeout_ms=2000)
        return reply if reply["ok"] or reply["error"]["code"] == "GONE" else None

    with Caller(cluster.bundle) as fresh:
        # The old connection may have lost what was sent while nobody listened.
        session.caller = fresh
        reply = wait_until(definite, 10, f"a definite answer after {part} died", 0.2)
        print(f"after {part} died: {'it goes on' if reply['ok'] else reply['error']['code']}")
        if reply["ok"]:
            assert reply["rows"] == [[44]]
            assert session.run(op=ask_end)["ok"]
            assert outside(fresh) == ([[44]] if ask_end == "commit" else [[10]])
        else:
            assert fate(reply["error"]) == GONE
            assert outside(fresh) == [[10]]
    source = cluster.source()
    wait_until(lambda: row_is_free(cluster, source, "demo.held", "id = 1"), 10, "its row")
    assert transactions(cluster, cluster.source()) == 0


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("part", ["gatekeeper", "broker", "proxy"])
def test_a_hop_that_dies_leaves_no_doubt(cluster, caller, part, end):
    _kill_and_go_on(cluster, caller, part, end)


@pytest.mark.parametrize("part", ["gatekeeper", "broker", "proxy"])
def test_what_a_dead_hop_cannot_release_ends_by_itself(small, few, part):
    """The client and a hop are gone: the session's idle limit is the last word."""
    with Caller(small.bundle) as doomed:
        session = doomed.begin()
        session.run("UPDATE demo.held SET n = 44 WHERE id = 1")
        cursor = session.run("SELECT GET_LOCK('mine', 1)")
        assert cursor["rows"] == [[1]]
        small.kill(part)
    small.start(part)
    small.heal()
    wait_nothing_held(small, 10)
    assert row_is_free(small, "node1", "demo.held", "id = 1")
    assert small.sql("node1", IS_USED.format("mine")) == [["NULL"]]


# --- Limits ---------------------------------------------------------------------------------------


def test_an_idle_session_is_rolled_back(small, few):
    session = few.begin()
    session.run("UPDATE demo.held SET n = 55 WHERE id = 1")
    assert session.value("SELECT GET_LOCK('mine', 1)") == 1
    for _ in range(2):
        time.sleep(1.5)  # half of what it may be idle
        assert session.value("SELECT n FROM demo.held WHERE id = 1") == 55
    assert session.value("SELECT SLEEP(4)", timeout_ms=10000) == 0, "busy is not idle"
    time.sleep(4)
    assert transactions(small, "node1") == 0
    assert row_is_free(small, "node1", "demo.held", "id = 1")
    assert small.sql("node1", IS_USED.format("mine")) == [["NULL"]]
    for op in ("commit", "rollback"):
        assert fate(few.fail(op=op, session=session.ident)) == GONE
    assert fate(session.fail("SELECT 1")) == GONE
    assert outside(few) == [[10]]


def test_an_old_session_is_rolled_back(small, few):
    begun = time.monotonic()
    session = few.begin()
    reply = session.run("UPDATE demo.held SET n = 55 WHERE id = 1")
    while reply["ok"]:
        assert time.monotonic() - begun < 12, "older than sessions/age_ms allows"
        time.sleep(0.3)
        reply = session.call("SELECT n FROM demo.held WHERE id = 1")
    assert fate(reply["error"]) == GONE
    assert time.monotonic() - begun > 7.9
    assert outside(few) == [[10]]
    wait_until(lambda: row_is_free(small, "node1", "demo.held", "id = 1"), 3, "the row")


def test_a_principal_and_an_agent_have_their_sessions_counted(small, few):
    keys = stranger_keys(small)
    mine = [few.begin() for _ in range(4)]
    error = few.fail(op="begin")
    assert fate(error) == ("OVERLOADED", "safe") and error["retry_after_ms"] > 0
    with Caller(small.bundle, keys=keys) as stranger:
        theirs = [stranger.begin(), stranger.begin()]
        assert fate(stranger.fail(op="begin")) == ("OVERLOADED", "safe")
        mine.pop().rollback()
        theirs.append(stranger.begin())
        assert all(session.value("SELECT 1") == 1 for session in mine + theirs)
        assert few.run("SELECT 2")["rows"] == [[2]], "what needs no session is served"
        for session in theirs:
            session.rollback()
    for session in mine:
        session.rollback()


def test_a_session_has_a_bounded_queue(small, few):
    make_table(small, "ordered", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    session = few.begin()
    slow = session.post("SELECT SLEEP(1.5)")
    asked = [session.post("INSERT INTO demo.ordered (n) VALUES (?)", [number])
             for number in range(12)]
    with timed() as took:
        refused = [number for number in range(12) if number >= 6 and
                   not few.take(asked[number])["ok"]]
    assert refused == list(range(6, 12)) and took[0] < 1.4, "a full queue is said at once"
    replies = [few.take(one) for one in asked[:6]]
    done = [number for number, reply in enumerate(replies) if reply["ok"]]
    assert 3 <= len(done) <= 5 and done == list(range(len(done))), replies
    assert all(fate(reply["error"]) == ("OVERLOADED", "safe") for reply in replies
               if not reply["ok"])
    assert few.take(slow)["ok"]
    rows = session.rows("SELECT n FROM demo.ordered ORDER BY id")
    assert rows == [[number] for number in done]
    session.rollback()


def test_a_commit_is_not_stuck_behind_who_waits_for_it(small, few):
    """Statements that wait for a session's locks, more than the pool has threads, and sessions that
    wait for them, too."""
    holder = few.begin()
    holder.run("UPDATE demo.held SET n = 100 WHERE id = 1")
    others = [few.begin() for _ in range(3)]
    waiting = [few.post("UPDATE demo.held SET n = n + 1 WHERE id = 1", timeout_ms=20000)
               for _ in range(12)]
    in_sessions = [session.post("UPDATE demo.held SET n = n + 1 WHERE id = 1", timeout_ms=20000)
                   for session in others]
    # Whether reads keep a thread of the pool to themselves is the agent's own affair.
    wait_until(lambda: len(statements(small, "node1", "n = n + 1")) >= 6, 3, "all to wait", 0.1)
    with timed() as took:
        assert holder.value("SELECT n FROM demo.held WHERE id = 1") == 100
        holder.commit()
    assert took[0] < 1.5, f"the commit took {took[0]:.2f} s behind those that wait for it"
    print(f"a statement and the commit took {took[0] * 1000:.0f} ms")
    pending = dict(zip(in_sessions, others))

    def commit_who_has_the_lock():
        for asked in [asked for asked in pending if few.has(asked)]:
            assert few.take(asked)["ok"]
            pending.pop(asked).commit()
        return not pending

    wait_until(commit_who_has_the_lock, 10, "the sessions' turns")
    assert all(few.take(asked, 20)["ok"] for asked in waiting)
    assert outside(few) == [[115]]


def test_sessions_in_turn_leave_no_connection(small, few):
    before = len(connections(small, "node1"))
    for number in range(100):
        session = few.begin(read_only=number % 2 == 0)
        assert session.value("SELECT ?", [number]) == number
        session.run(op="commit" if number % 3 else "rollback")
    wait_nothing_held(small)
    after = len(connections(small, "node1"))
    print(f"connections: {before} before, {after} after 100 sessions")
    assert after <= before + 8
