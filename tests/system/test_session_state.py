"""What a database connection remembers, at the agent alone: it is all there inside a session, none
of it is there for whoever gets the connection next, and nothing changes how a text is read."""
import contextlib
import time

import pytest

from agent_alone import (CALL, DDL, LOCKING_READ, READ, STATE, TRANSACTION, WRITE, Pair)
from harness import FLAVOR, wait_until

MARIADB = FLAVOR == "mariadb"
NUMBERS = ("WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {}) "
           "SELECT n{} FROM c")


@pytest.fixture(scope="module")
def pair():
    one = Pair(threads=4)
    proxy = one.proxy
    proxy.run(DDL, "CREATE TABLE kept (id INT PRIMARY KEY AUTO_INCREMENT, n INT, f FLOAT)")
    proxy.run(DDL, "CREATE TABLE loose (n INT) ENGINE=MyISAM")
    one.source_database.sql("SET GLOBAL cte_max_recursion_depth=1000000"
                            if not MARIADB else "SET GLOBAL max_recursive_iterations=4294967295")
    yield one
    ended, log = one.source.process.poll(), one.source.log()
    one.close()
    assert ended is None, log[-9000:]


@pytest.fixture
def proxy(pair):
    pair.proxy.run(WRITE, "DELETE FROM kept")
    pair.proxy.run(WRITE, "INSERT INTO kept (id, n, f) VALUES (1, 10, 3.14159274), (2, 20, 2)")
    yield pair.proxy


class Session:
    """One session at the agent, as a proxy speaks to it."""

    def __init__(self, proxy, **keys):
        self.proxy = proxy
        answer = proxy.ask_op("begin", READ if keys.get("read_only") else WRITE, **keys)
        assert answer["ok"], answer
        self.id = answer["session"]
        self.over = False

    def ask(self, sql_class, sql, **keys):
        return self.proxy.ask_op("query", sql_class, self.id, sql=sql, **keys)

    def run(self, sql_class, sql, **keys):
        answer = self.ask(sql_class, sql, **keys)
        assert answer["ok"], (sql, answer)
        return answer

    def value(self, sql_class, sql):
        return self.run(sql_class, sql)["rows"][0][0]

    def connection(self):
        return self.value(READ, "SELECT CONNECTION_ID()")

    def end(self, op="rollback"):
        self.over = True
        return self.proxy.ask_op(op, TRANSACTION, self.id)


@contextlib.contextmanager
def session(proxy, **keys):
    one = Session(proxy, **keys)
    try:
        yield one
    finally:
        answer = {"ok": True} if one.over else one.end()
    assert answer["ok"] or answer["error"]["code"] == "GONE", answer


def code(answer):
    assert not answer["ok"], answer
    return answer["error"]["code"], answer["error"]["retry"]


# --- Inside ------------------------------------------------------------------------------


def test_each_statement_sees_what_the_one_before_left(proxy):
    with session(proxy) as one:
        one.run(WRITE, "INSERT INTO kept (n) VALUES (30), (31)")
        assert one.value(STATE, "SELECT ROW_COUNT()") == 2
        first = one.value(STATE, "SELECT LAST_INSERT_ID()")
        assert one.run(STATE, "SELECT n FROM kept WHERE id = LAST_INSERT_ID()")["rows"] == [[30]]
        assert one.value(STATE, "SELECT LAST_INSERT_ID()") == first
        one.run(READ, "SELECT id FROM kept LIMIT 3")
        assert one.value(STATE, "SELECT FOUND_ROWS()") == 3
        assert one.run(READ, "SELECT CAST('x' AS SIGNED)")["warnings"] == 1
        assert one.run(STATE, "SHOW WARNINGS")["rows"][0][1] == 1292
        assert code(one.ask(WRITE, "INSERT INTO kept (id) VALUES (1)")) == ("SQL", "never")
        assert one.run(STATE, "SHOW ERRORS")["rows"][0][1] == 1062
        one.run(STATE, "GET DIAGNOSTICS CONDITION 1 @number = MYSQL_ERRNO")
        assert one.value(STATE, "SELECT @number") == 1062
        assert code(one.ask(WRITE, "INSERT INTO kept (id) VALUES (1)")) == ("SQL", "never")
        assert one.value(STATE, "SELECT @@error_count") == 1
        assert code(one.ask(WRITE, "INSERT INTO kept (id) VALUES (1)")) == ("SQL", "never")
        assert one.value(STATE, "SELECT ROW_COUNT()") == -1


def test_variables_temporary_tables_and_prepared_texts_work_inside(proxy):
    with session(proxy) as one:
        one.run(STATE, "SET @a = 5, SESSION time_zone = '+03:00'")
        assert one.run(STATE, "SELECT @a, f FROM kept WHERE id = 1")["rows"] == [
            [5, 3.1415927410125732]]
        assert one.value(READ, "SELECT @@time_zone") == "+03:00"
        one.run(STATE, "CREATE TEMPORARY TABLE own (n INT)")
        one.run(WRITE, "INSERT INTO own VALUES (?), (2)", params=[1])
        assert one.run(READ, "SELECT n FROM own")["rows"] == [[1], [2]]
        one.run(STATE, "PREPARE p FROM 'SELECT n FROM kept WHERE id = ?'")
        one.run(STATE, "SET @id = 2")
        assert one.run(STATE, "EXECUTE p USING @id")["rows"] == [[20]]


def test_a_use_counts_for_what_follows_and_not_for_others(proxy):
    proxy.run(DDL, "CREATE OR REPLACE VIEW v AS SELECT 'demo' AS place")
    with session(proxy) as one:
        assert one.value(READ, "SELECT DATABASE()") == "demo"
        assert one.value(READ, "SELECT place FROM v") == "demo"
        answer = one.ask(STATE, "USE information_schema")
        assert answer["ok"] or answer["error"]["code"] == "SQL"
        if answer["ok"]:
            assert one.value(READ, "SELECT DATABASE()") == "information_schema"
            assert code(one.ask(READ, "SELECT place FROM v"))[0] == "SQL"
            assert one.run(READ, "SELECT place FROM v", db="demo")["rows"] == [["demo"]]
    assert proxy.run(READ, "SELECT DATABASE()")["rows"] == [["demo"]]
    with session(proxy) as one:
        assert one.value(READ, "SELECT DATABASE()") == "demo"


def test_savepoints_and_sql_of_transactions_work(proxy):
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = 11 WHERE id = 1")
        one.run(TRANSACTION, "SAVEPOINT here")
        one.run(WRITE, "UPDATE kept SET n = 12 WHERE id = 1")
        one.run(TRANSACTION, "ROLLBACK TO SAVEPOINT here")
        assert one.run(TRANSACTION, "COMMIT")["token"]
        assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"] == [[11]]
        one.run(WRITE, "UPDATE kept SET n = 13 WHERE id = 1")  # in autocommit
        assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"] == [[13]]
        one.run(STATE, "SET autocommit = 0")
        one.run(WRITE, "UPDATE kept SET n = 14 WHERE id = 1")
    assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"] == [[13]]


def test_a_read_only_session_cannot_write_whatever_it_says(proxy):
    with session(proxy, read_only=True) as one:
        assert code(one.ask(WRITE, "UPDATE kept SET n = 0"))[0] in ("REFUSED", "FORBIDDEN", "SQL")
        # Judged as a read by mistake, it is the database that refuses.
        assert code(one.ask(READ, "UPDATE kept SET n = 0")) == ("SQL", "never")
        one.run(TRANSACTION, "COMMIT")
        assert code(one.ask(READ, "UPDATE kept SET n = 0")) == ("SQL", "never")
        one.run(TRANSACTION, "START TRANSACTION READ WRITE")
        assert code(one.ask(READ, "UPDATE kept SET n = 0")) == ("SQL", "never")
    assert proxy.run(READ, "SELECT n FROM kept")["rows"] == [[10], [20]]


# --- Afterwards ---------------------------------------------------------------------------

# What a session does, and what shows it; each probe must answer as in a connection just opened.
TRACES = {
    "user variable": ([(STATE, "SET @left = 5")], STATE, "SELECT @left"),
    "last insert id": ([(WRITE, "INSERT INTO kept (n) VALUES (1)")], STATE,
                       "SELECT LAST_INSERT_ID()"),
    "set last insert id": ([(STATE, "SELECT LAST_INSERT_ID(77)")], STATE,
                           "SELECT @@last_insert_id"),
    "row count": ([(WRITE, "UPDATE kept SET n = n + 1")], STATE, "SELECT ROW_COUNT()"),
    "found rows": ([(READ, "SELECT id FROM kept")], STATE, "SELECT FOUND_ROWS()"),
    "warnings": ([(READ, "SELECT CAST('x' AS SIGNED)")], STATE, "SHOW WARNINGS"),
    "warning count": ([(READ, "SELECT CAST('x' AS SIGNED)")], STATE, "SELECT @@warning_count"),
    "errors": ([(WRITE, "INSERT INTO nowhere VALUES (1)")], STATE, "SHOW ERRORS"),
    "isolation of the session": (
        [(STATE, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")], READ,
        "SELECT @@tx_isolation" if MARIADB else "SELECT @@transaction_isolation"),
    "isolation of one transaction": (
        [(TRANSACTION, "COMMIT"), (STATE, "SET TRANSACTION READ ONLY")], WRITE,
        "INSERT INTO kept (id, n) VALUES (900, 0) ON DUPLICATE KEY UPDATE n = 1"),
    "autocommit": ([(STATE, "SET autocommit = 0")], READ, "SELECT @@autocommit"),
    "statement time": ([(STATE, "SET SESSION max_statement_time = 0.5" if MARIADB else
                         "SET SESSION max_execution_time = 500")], READ,
                       "SELECT @@max_statement_time" if MARIADB else
                       "SELECT @@max_execution_time"),
    "time zone": ([(STATE, "SET time_zone = '+05:00'")], READ, "SELECT @@time_zone"),
    "time": ([(STATE, "SET timestamp = 1000000000")], READ,
             "SELECT UNIX_TIMESTAMP() > 1500000000"),
    "limit": ([(STATE, "SET sql_select_limit = 1")], READ, "SELECT id FROM kept"),
    "collation": ([(STATE, "SET collation_connection = utf8mb4_bin")], READ,
                  "SELECT 'a' = 'A', @@collation_connection"),
    "foreign keys": ([(STATE, "SET foreign_key_checks = 0, unique_checks = 0")], READ,
                     "SELECT @@foreign_key_checks, @@unique_checks"),
    "schema": ([(STATE, "USE information_schema")], READ, "SELECT DATABASE()"),
    "prepared text": ([(STATE, "PREPARE p FROM 'SELECT 1'")], STATE, "EXECUTE p"),
    "temporary table": ([(STATE, "CREATE TEMPORARY TABLE hidden (n INT)")], READ,
                        "SELECT * FROM hidden"),
    "shadowing table": ([(STATE, "CREATE TEMPORARY TABLE kept (n INT)")], READ,
                        "SELECT id FROM kept"),
    "handler": ([(STATE, "HANDLER kept OPEN AS h")], STATE, "HANDLER h READ FIRST"),
    "savepoint": ([(TRANSACTION, "SAVEPOINT s")], TRANSACTION, "ROLLBACK TO SAVEPOINT s"),
    "named lock": ([(STATE, "SELECT GET_LOCK('mine', 0)")], STATE, "SELECT IS_USED_LOCK('mine')"),
    "locked table": ([(STATE, "LOCK TABLES kept READ")], WRITE, "DELETE FROM loose"),
    "transaction": ([(WRITE, "UPDATE kept SET n = 5")], READ, "SELECT n FROM kept WHERE id = 1"),
    "random numbers": ([(STATE, "SET rand_seed1 = 1, rand_seed2 = 2")], STATE,
                       "SELECT @@rand_seed1 = 1 OR RAND() = 0.5"),
}


def shown(answer):
    if answer["ok"]:
        return answer.get("rows", answer.get("affected"))
    return answer["error"]["errno"]


@pytest.mark.parametrize("op", ["rollback", "commit"])
@pytest.mark.parametrize("trace", TRACES)
def test_nothing_is_left_for_the_next(proxy, pair, trace, op):
    todo, probe_class, probe = TRACES[trace]
    database = pair.source_database
    for line in database.sql("SELECT id FROM information_schema.processlist WHERE user="
                             "'portcullis_write'").split():
        database.sql(f"KILL {line}", check=False)
    with session(proxy) as one:
        clean = shown(one.ask(probe_class, probe))
        first = one.connection()
    if probe_class == WRITE:
        proxy.run(WRITE, "DELETE FROM kept WHERE id = 900")
    with session(proxy) as one:
        assert one.connection() == first, "the connection is used again"
        for sql_class, sql in todo:
            one.ask(sql_class, sql)
        one.end(op)
    if op == "commit":
        proxy.run(WRITE, "UPDATE kept SET n = id * 10")
        proxy.run(WRITE, "DELETE FROM kept WHERE id > 2")
    with session(proxy) as one:
        assert shown(one.ask(probe_class, probe)) == clean
        assert one.connection() == first
    proxy.run(WRITE, "DELETE FROM kept WHERE id = 900")


def settings(proxy):
    with session(proxy) as one:
        rows = one.run(READ, "SHOW SESSION VARIABLES")["rows"]
        assert len(rows) > 300
        passing = ("timestamp", "rand_seed1", "rand_seed2", "pseudo_thread_id", "last_gtid",
                   "error_count", "statement_id", "gtid_binlog_pos", "gtid_current_pos",
                   "gtid_executed", "gtid_binlog_state")
        return {name: value for name, value in rows if name not in passing}, one.connection()


def test_all_settings_are_as_before(proxy):
    before, first = settings(proxy)
    with session(proxy) as one:
        assert one.connection() == first
        tried = 0
        for name, value in before.items():
            for new in ("1", "0", "'x'", "2"):
                if new.strip("'") != value:
                    # As a write, so that nothing but the database judges it.
                    tried += one.ask(STATE, f"SET SESSION {name} = {new}")["ok"]
        assert tried > 100
    after, second = settings(proxy)
    assert {name: (before[name], after[name]) for name in before
            if before[name] != after.get(name)} == {}
    assert second == first or second > first


def test_a_transaction_in_one_request_sees_no_one_elses_state(proxy):
    def txn(*texts):
        answer = proxy.ask_op("txn", WRITE, statements=[{"sql": sql} for sql in texts])
        assert answer["ok"], answer
        return answer["results"]
    for _ in range(6):
        proxy.run(WRITE, "INSERT INTO kept (n) VALUES (1)")
        results = txn("SELECT @seen, LAST_INSERT_ID()", "SELECT @seen := 3",
                      "INSERT INTO kept (n) VALUES (@seen)", "SELECT LAST_INSERT_ID(), @seen")
        assert results[0]["rows"] == [[None, 0]]
        assert results[3]["rows"][0] == [results[2]["insert_id"], 3]


# --- How a text is read ----------------------------------------------------------------------

MODES = {
    "character set": "SET NAMES gbk",
    "quotes": "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "both": "SET SESSION character_set_client = sjis, sql_mode = 'ANSI_QUOTES'",
}


def assert_read_as_ever(run):
    # The lead octet of gbk and sjis would take the backslash; the quotes would be a name.
    assert run(READ, "SELECT \"it's\", 'a\\'b', '\u00bf\\'', HEX('\u00e9')")["rows"] == [
        ["it's", "a'b", "\u00bf'", "C3A9"]]


@pytest.mark.parametrize("mode", MODES)
def test_no_procedure_changes_how_texts_are_read(proxy, pair, mode):
    pair.source_database.sql("DROP PROCEDURE IF EXISTS demo.sly")
    pair.source_database.sql("DELIMITER //\nCREATE PROCEDURE demo.sly() BEGIN "
                             f"{MODES[mode]}; END//")
    with session(proxy) as one:
        one.run(CALL, "CALL sly()")
        assert one.value(STATE, "SELECT ROW_COUNT()") == 0  # asked before anything is pinned
        assert_read_as_ever(one.run)
        one.run(STATE, "PREPARE p FROM 'CALL sly()'")
        one.run(STATE, "EXECUTE p")
        assert_read_as_ever(one.run)
    proxy.run(CALL, "CALL sly()")
    for _ in range(8):
        assert_read_as_ever(lambda _, sql: proxy.run(LOCKING_READ, sql))


@pytest.mark.parametrize("mode", MODES)
def test_no_trigger_or_function_changes_how_texts_are_read(proxy, pair, mode):
    database = pair.source_database
    for kind, name in (("TRIGGER", "sly"), ("FUNCTION", "slyly")):
        database.sql(f"DROP {kind} IF EXISTS demo.{name}")
    trigger = (f"DELIMITER //\nCREATE TRIGGER demo.sly BEFORE INSERT ON demo.loose FOR EACH ROW "
               f"BEGIN {MODES[mode]}; END//")
    function = (f"DELIMITER //\nCREATE FUNCTION demo.slyly() RETURNS INT DETERMINISTIC "
                f"BEGIN {MODES[mode]}; RETURN 1; END//")
    try:
        database.sql("SET GLOBAL log_bin_trust_function_creators=1")
        database.sql(trigger)
        database.sql(function)
        with session(proxy) as one:
            one.run(WRITE, "INSERT INTO loose VALUES (1)")
            assert_read_as_ever(one.run)
            one.run(WRITE, "UPDATE kept SET n = slyly()")
            assert_read_as_ever(one.run)
        for _ in range(4):
            proxy.run(WRITE, "INSERT INTO loose VALUES (1)")
            proxy.run(WRITE, "UPDATE kept SET n = slyly()")
        for _ in range(8):
            assert_read_as_ever(lambda _, sql: proxy.run(LOCKING_READ, sql))
    finally:
        database.sql("DROP TRIGGER IF EXISTS demo.sly")
        database.sql("DROP FUNCTION IF EXISTS demo.slyly")


# --- What the database ends ------------------------------------------------------------------


def hold_row(proxy, row, weight=0):
    one = Session(proxy)
    for _ in range(weight):
        one.run(WRITE, "INSERT INTO kept (n) VALUES (1), (2), (3)")
    one.run(WRITE, "UPDATE kept SET n = n + 100 WHERE id = ?", params=[row])
    return one


def test_a_deadlock_aborts_the_session_until_rollback(proxy):
    heavy, light = hold_row(proxy, 1, weight=20), hold_row(proxy, 2)
    waits = proxy.send_op("query", WRITE, heavy.id, sql="UPDATE kept SET n = 0 WHERE id = 2")
    time.sleep(0.3)
    answer = light.ask(WRITE, "UPDATE kept SET n = 0 WHERE id = 1")
    assert (answer["error"]["errno"], code(answer)) == (1213, ("SQL", "never"))
    assert proxy.reply(waits)["ok"]
    for sql_class, sql in ((READ, "SELECT 1"), (WRITE, "UPDATE kept SET n = 1"),
                           (TRANSACTION, "ROLLBACK TO SAVEPOINT s"), (STATE, "SELECT @a")):
        assert code(light.ask(sql_class, sql)) == ("ABORTED", "never")
    assert code(proxy.ask_op("commit", TRANSACTION, light.id)) == ("ABORTED", "never")
    light.run(TRANSACTION, "ROLLBACK")  # SQL's own will do
    assert light.run(READ, "SELECT 1")["rows"] == [[1]]
    assert light.end("commit")["ok"]
    assert heavy.end()["ok"]
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[10], [20]]


def test_a_wait_for_a_lock_ends_the_statement_only(proxy):
    holder = hold_row(proxy, 1)
    with session(proxy) as one:
        one.run(STATE, "SET innodb_lock_wait_timeout = 1")
        one.run(WRITE, "UPDATE kept SET n = 21 WHERE id = 2")
        answer = one.ask(WRITE, "UPDATE kept SET n = 0 WHERE id = 1")
        assert (answer["error"]["errno"], code(answer)) == (1205, ("SQL", "safe"))
        assert one.value(READ, "SELECT n FROM kept WHERE id = 2") == 21
        holder.end()
        one.run(WRITE, "UPDATE kept SET n = 11 WHERE id = 1")
        assert one.end("commit")["ok"]
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[11], [21]]


def test_an_error_leaves_the_transaction_and_ddl_ends_it(proxy):
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = 12 WHERE id = 1")
        assert code(one.ask(READ, "SELECT nothing FROM kept")) == ("SQL", "never")
        assert one.value(READ, "SELECT n FROM kept WHERE id = 1") == 12
        assert code(one.ask(DDL, "CREATE TABLE kept (n INT)")) == ("SQL", "never")
        # As MySQL has it: the attempt has committed, and the session goes on without.
        assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"] == [[12]]
        assert one.run(READ, "SELECT 1")["rows"] == [[1]]


def test_a_lost_connection_ends_the_session(proxy, pair):
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = 12 WHERE id = 1")
        ident = one.connection()
        pair.source_database.sql(f"KILL {ident}")
        time.sleep(0.2)
        assert code(one.ask(WRITE, "UPDATE kept SET n = 13 WHERE id = 1")) == ("LOST", "safe")
        wait_until(lambda: code(one.ask(READ, "SELECT 1"))[0] == "GONE", 3, "the session is over")
        one.over = True
    with session(proxy) as one:
        ticket = proxy.send_op("query", WRITE, one.id, sql="UPDATE kept SET n = SLEEP(9) + n")
        ident = None

        def running():
            nonlocal ident
            ident = pair.source_database.sql("SELECT id FROM information_schema.processlist WHERE "
                                             "info LIKE 'UPDATE kept%'").split()
            return ident
        wait_until(running, 5, "the statement runs")
        pair.source_database.sql(f"KILL {ident[0]}")
        assert code(proxy.reply(ticket)) == ("LOST", "unsafe")
        wait_until(lambda: code(one.ask(READ, "SELECT 1"))[0] == "GONE", 3, "the session is over")
        one.over = True
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[10], [20]]


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_a_statement_that_is_killed_leaves_its_session(proxy, how):
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = 12 WHERE id = 1")
        for _ in range(10):
            if how == "deadline":
                answer = one.ask(READ, "SELECT SLEEP(9)", budget_ms=60)
                assert code(answer) == ("DEADLINE", "safe")
            else:
                ticket = proxy.send_op("query", READ, one.id, sql="SELECT SLEEP(9)")
                time.sleep(0.05)
                proxy.cancel(ticket)
                assert code(proxy.reply(ticket)) == ("CANCELLED", "safe")
            assert one.value(READ, "SELECT n FROM kept WHERE id = 1") == 12
        ticket = proxy.send_op("query", WRITE, one.id,
                               sql="UPDATE kept SET n = n + SLEEP(9) + 1", budget_ms=300)
        assert code(proxy.reply(ticket)) == ("DEADLINE", "unsafe")
        assert one.end("commit")["ok"]
    assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"][0][0] in (12, 13)


# --- Transactions in one request ---------------------------------------------------------------


def test_a_deadlock_is_run_again_where_all_was_rolled_back(proxy):
    holder = hold_row(proxy, 1, weight=20)
    ticket = proxy.send_op("txn", WRITE, budget_ms=8000, statements=[
        {"sql": "UPDATE kept SET n = n + 1 WHERE id = ?", "params": [2]},
        {"sql": "UPDATE kept SET n = n + 1 WHERE id = ?", "params": [1]}])
    time.sleep(0.3)
    holder.run(WRITE, "UPDATE kept SET n = 200 WHERE id = 2")  # the txn has done less: it gives way
    assert holder.end("commit")["ok"]
    assert proxy.reply(ticket)["ok"]
    assert proxy.run(READ, "SELECT n FROM kept WHERE id < 3 ORDER BY id")["rows"] == [[111], [201]]


def test_a_write_alone_that_met_a_deadlock_is_run_again(proxy):
    holder = hold_row(proxy, 1, weight=20)
    ticket = proxy.send_op("query", WRITE, budget_ms=8000,
                           sql="UPDATE kept SET n = n + 1 WHERE id < 3 ORDER BY id DESC")
    time.sleep(0.3)
    holder.run(WRITE, "UPDATE kept SET n = 200 WHERE id = 2")
    assert holder.end("commit")["ok"]
    assert proxy.reply(ticket)["ok"]
    assert proxy.run(READ, "SELECT n FROM kept WHERE id < 3 ORDER BY id")["rows"] == [[111], [201]]


def test_a_txn_that_waits_in_vain_is_rolled_back_and_says_so(proxy):
    holder = hold_row(proxy, 1)
    answer = proxy.ask_op("txn", WRITE, budget_ms=700, statements=[
        {"sql": "UPDATE kept SET n = 0 WHERE id = 2"},
        {"sql": "UPDATE kept SET n = 0 WHERE id = 1"}])
    assert code(answer)[0] == "DEADLINE"
    if "errno" in answer["error"]:  # else it was answered before the rollback had come back
        assert code(answer)[1] == "safe"
    holder.end()
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[10], [20]]


def test_a_txn_over_tables_without_transactions_is_unsafe_when_it_fails(proxy):
    answer = proxy.ask_op("txn", WRITE, statements=[
        {"sql": "INSERT INTO loose VALUES (1)"}, {"sql": "UPDATE kept SET n = 1 WHERE id = 99",
                                                  "expect": {"rows": 1}}])
    assert (code(answer), answer["error"]["statement"]) == (("EXPECT", "unsafe"), 1)


@pytest.mark.parametrize("first, retry", [("SELECT n FROM kept", "safe"),
                                          ("UPDATE kept SET n = 0", "unsafe")])
def test_a_txn_that_loses_its_connection_is_unsafe_where_it_had_written(proxy, pair, first, retry):
    mark = f"lost {retry}"
    ticket = proxy.send_op("txn", WRITE, statements=[
        {"sql": first}, {"sql": f"SELECT SLEEP(9), '{mark}' FROM kept WHERE id = 1"}])
    ident = wait_until(lambda: pair.source_database.sql(
        "SELECT id FROM information_schema.processlist WHERE user = 'portcullis_write' AND "
        f"info LIKE '%{mark}%'"), 5, "it runs")
    pair.source_database.sql(f"KILL {ident}")
    answer = proxy.reply(ticket)
    assert (code(answer), answer["error"]["statement"]) == (("LOST", retry), 1)
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[10], [20]]


@pytest.mark.parametrize("sql", ["CREATE TABLE x (n INT)", "COMMIT", "SET @a = 1", "CALL p()",
                                 "LOCK TABLES kept WRITE", "SELECT GET_LOCK('a', 0)",
                                 "CREATE TEMPORARY TABLE x (n INT)", "USE demo"])
def test_a_txn_takes_nothing_that_could_outlive_it(proxy, sql):
    answer = proxy.ask_op("txn", WRITE, statements=[
        {"sql": "UPDATE kept SET n = 0"}, {"sql": sql}])
    assert (code(answer), answer["error"]["statement"]) == (("REFUSED", "never"), 1)
    assert proxy.run(READ, "SELECT n FROM kept ORDER BY id")["rows"] == [[10], [20]]


# --- Pages ----------------------------------------------------------------------------------


def pages(proxy, answer, **keys):
    """Sizes of all pages, and all rows."""
    sizes, rows = [], []
    while True:
        assert answer["ok"], answer
        assert answer["columns"]
        sizes.append(len(answer["rows"]))
        rows += answer["rows"]
        if "cursor" not in answer:
            return sizes, rows
        assert "warnings" not in answer
        answer = proxy.ask_op("fetch", READ, answer["cursor"], **keys)


@pytest.mark.parametrize("held", ["session", "alone"])
@pytest.mark.parametrize("count, asked, expected", [
    (0, 10, [0]), (1, 10, [1]), (9, 10, [9]), (10, 10, [10]), (11, 10, [10, 1]),
    (30, 10, [10, 10, 10]), (3, 1, [1, 1, 1]), (2500, None, [1000, 1000, 500])])
def test_pages_hold_what_was_asked_for(proxy, held, count, asked, expected):
    keys = {} if asked is None else {"page_rows": asked}
    sql = NUMBERS.format(max(count, 1), "") + (" WHERE n > 1" if count == 0 else "")
    if held == "session":
        with session(proxy, read_only=True) as one:
            sizes, rows = pages(proxy, one.run(READ, sql, **keys), **keys)
    else:
        sizes, rows = pages(proxy, proxy.ask_op("query", READ, sql=sql, **keys), **keys)
    assert sizes == expected
    assert rows == [[number] for number in range(1, count + 1)]


def test_pages_are_bounded_by_octets_and_hold_one_row_at_least(proxy):
    sql = NUMBERS.format(50, ", REPEAT('x', 1000)")
    sizes, rows = pages(proxy, proxy.ask_op("query", READ, sql=sql, page_bytes=5500),
                        page_bytes=5500)
    assert sizes == [5] * 10 and len(rows) == 50
    sizes, rows = pages(proxy, proxy.ask_op("query", READ, sql=sql, page_bytes=10), page_bytes=10)
    assert sizes == [1] * 50


def test_what_cannot_be_prepared_pages_too(proxy):
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = n + 1")
        sql = NUMBERS.format(25, ", ROW_COUNT()")
        sizes, rows = pages(proxy, one.run(STATE, sql, page_rows=10), page_rows=10)
        assert sizes == [10, 10, 5]
        assert [row[0] for row in rows] == list(range(1, 26))


def test_warnings_come_with_the_last_page(proxy):
    sql = NUMBERS.format(5, ", CAST(CONCAT('x', n) AS SIGNED)")
    answer = proxy.ask_op("query", READ, sql=sql, page_rows=3)
    assert "warnings" not in answer
    last = proxy.ask_op("fetch", READ, answer["cursor"], page_rows=3)
    assert last["warnings"] == 5


def test_metadata_comes_where_it_is_asked_for(proxy):
    answer = proxy.ask_op("query", READ, sql="SELECT k.id AS number, 1 FROM kept k", metadata=True,
                          page_rows=1)
    assert answer["metadata"][0][:4] == ["demo", "k", "kept", "id"]
    assert answer["metadata"][1][:3] == ["", "", ""]
    assert len(answer["metadata"][0]) == 7
    page = proxy.ask_op("fetch", READ, answer["cursor"])
    assert "metadata" not in page and page["rows"] == [[2, 1]]
    plain = proxy.ask_op("query", READ, sql="SELECT 1")
    assert "metadata" not in plain


def test_a_page_is_fetched_once(proxy):
    answer = proxy.ask_op("query", READ, sql=NUMBERS.format(30, ""), page_rows=10)
    first = answer["cursor"]
    answer = proxy.ask_op("fetch", READ, first, page_rows=10)
    assert answer["rows"][0] == [11] and answer["cursor"] != first
    assert code(proxy.ask_op("fetch", READ, first, page_rows=10)) == ("GONE", "never")
    assert proxy.ask_op("fetch", READ, answer["cursor"], page_rows=10)["rows"][0] == [21]


def test_the_next_statement_ends_a_sessions_cursor(proxy):
    big = NUMBERS.format(300000, ", REPEAT('x', 500)")
    with session(proxy) as one:
        one.run(WRITE, "UPDATE kept SET n = 12 WHERE id = 1")
        for sql in (NUMBERS.format(30, ""), big):
            answer = one.run(READ, sql, page_rows=10)
            assert one.value(READ, "SELECT n FROM kept WHERE id = 1") == 12
            assert code(proxy.ask_op("fetch", READ, answer["cursor"])) == ("GONE", "never")
        answer = one.run(READ, big, page_rows=10)
        assert proxy.ask_op("close", READ, answer["cursor"])["ok"]
        answer = one.run(READ, big, page_rows=10)
        assert one.end("commit")["ok"]
    assert proxy.run(READ, "SELECT n FROM kept WHERE id = 1")["rows"] == [[12]]


@pytest.mark.parametrize("held", ["session", "alone"])
def test_a_fetch_past_its_deadline_ends_the_cursor(proxy, held):
    # Wide, since the server sends what has come together in its buffer.
    sql = NUMBERS.format(30, ", REPEAT('x', 20000), IF(n > 15, SLEEP(9), 0)")
    with session(proxy) as one:
        if held == "session":
            answer = one.run(READ, sql, page_rows=10)
        else:
            answer = proxy.ask_op("query", READ, sql=sql, page_rows=10)
        fetched = proxy.ask_op("fetch", READ, answer["cursor"], page_rows=10, budget_ms=300)
        assert code(fetched) == ("DEADLINE", "never")
        assert code(proxy.ask_op("fetch", READ, answer["cursor"])) == ("GONE", "never")
        assert one.run(READ, "SELECT 1")["rows"] == [[1]]
