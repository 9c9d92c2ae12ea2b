"""The worker agent alone: values both ways, deadlines, what it says when its database goes."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import msgpack
import pytest

from agent_alone import (CALL, DDL, EXPLAIN, LOCKING_READ, NOT_READY, READ, UP, WRITE, Pair)
from harness import FLAVOR, wait_until


@pytest.fixture(scope="module")
def pair():
    one = Pair(threads=4)
    yield one
    one.close()


@pytest.fixture
def proxy(pair):
    return pair.proxy


@pytest.fixture(scope="module")
def semi_sync():
    one = Pair(replica=True, threads=4)
    yield one
    one.close()


def error(answer):
    assert not answer["ok"], answer
    return answer["error"]["code"], answer["error"]["retry"]


def end_sessions(database, user):
    for session in database.sql("SELECT id FROM information_schema.processlist "
                                f"WHERE user='{user}'").split():
        database.sql(f"KILL {session}", check=False)


DECIMAL = "12345678901234567890123456789012345.123456789012345678901234567890"
BIG = bytes(range(256)) * 300
# Column definition, value sent, value that comes back, MySQL's name of the type.
VALUES = [
    ("TINYINT", -128, -128, "TINYINT"),
    ("TINYINT UNSIGNED", 255, 255, "TINYINT"),
    ("SMALLINT", -32768, -32768, "SMALLINT"),
    ("MEDIUMINT", -8388608, -8388608, "MEDIUMINT"),
    ("MEDIUMINT UNSIGNED", 16777215, 16777215, "MEDIUMINT"),
    ("INT", -2147483648, -2147483648, "INT"),
    ("INT UNSIGNED", 4294967295, 4294967295, "INT"),
    ("BIGINT", -2**63, -2**63, "BIGINT"),
    ("BIGINT UNSIGNED", 2**64 - 1, 2**64 - 1, "BIGINT"),
    ("BOOL", True, 1, "TINYINT"),
    ("FLOAT", 1.1, 1.100000023841858, "FLOAT"),
    ("DOUBLE", 1.1, 1.1, "DOUBLE"),
    ("DOUBLE", 1e308, 1e308, "DOUBLE"),
    ("DECIMAL(65,30)", msgpack.ExtType(1, DECIMAL.encode()), DECIMAL, "DECIMAL"),
    ("DATE", msgpack.ExtType(2, b"2026-11-22"), "2026-11-22", "DATE"),
    ("DATE", "0000-00-00", "0000-00-00", "DATE"),
    ("TIME", msgpack.ExtType(2, b"-838:59:59"), "-838:59:59", "TIME"),
    ("TIME(6)", "-838:59:58.123456", "-838:59:58.123456", "TIME"),
    ("DATETIME", "2026-11-22 10:00:00", "2026-11-22 10:00:00", "DATETIME"),
    ("DATETIME(6)", msgpack.ExtType(2, b"2026-11-22T10:00:00.000001"),
     "2026-11-22 10:00:00.000001", "DATETIME"),
    ("DATETIME", "0000-00-00 00:00:00", "0000-00-00 00:00:00", "DATETIME"),
    ("TIMESTAMP(3) NULL", "2026-11-22 10:00:00.5", "2026-11-22 10:00:00.500", "TIMESTAMP"),
    ("YEAR", 2026, 2026, "YEAR"),
    ("CHAR(5)", "ab", "ab", "CHAR"),
    ("VARCHAR(100)", "ünï \U0001f512", "ünï \U0001f512", "VARCHAR"),
    ("TINYTEXT", "t", "t", "TINYTEXT"),
    ("TEXT", "", "", "TEXT"),
    ("MEDIUMTEXT", "m", "m", "MEDIUMTEXT"),
    ("LONGTEXT", "é" * 5000, "é" * 5000, "LONGTEXT"),
    ("BINARY(4)", b"\1\2", b"\1\2\0\0", "BINARY"),
    ("VARBINARY(20)", b"\0\xff", b"\0\xff", "VARBINARY"),
    ("TINYBLOB", b"", b"", "TINYBLOB"),
    ("BLOB", b"x" * 256, b"x" * 256, "BLOB"),
    ("BLOB", b"x" * 257, b"x" * 257, "BLOB"),
    ("LONGBLOB", BIG, BIG, "LONGBLOB"),
    ("BIT(10)", 0x2aa, b"\x02\xaa", "BIT"),
    ("ENUM('a','b')", "b", "b", "ENUM"),
    ("SET('x','y','z')", "x,z", "x,z", "SET"),
    ("JSON", '{"a": 1}', '{"a": 1}', "LONGTEXT" if FLAVOR == "mariadb" else "JSON"),
]


def test_every_type_goes_in_and_comes_out(proxy):
    columns = ", ".join(f"c{number} {row[0]}" for number, row in enumerate(VALUES))
    marks = ", ".join("?" for _ in VALUES)
    proxy.run(DDL, f"CREATE OR REPLACE TABLE types ({columns})" if FLAVOR == "mariadb"
              else f"CREATE TABLE types ({columns})")
    proxy.run(WRITE, f"INSERT INTO types VALUES ({marks})", [row[1] for row in VALUES])
    proxy.run(WRITE, "INSERT INTO types VALUES (" + marks + ")", [None] * len(VALUES))
    for _ in range(2):  # the second comes from the statement cache
        answer = proxy.run(READ, "SELECT * FROM types")
        for number, (definition, _, wanted, name) in enumerate(VALUES):
            got = answer["rows"][0][number]
            assert got == wanted and type(got) is type(wanted), definition
            assert answer["columns"][number][:2] == [f"c{number}", name], definition
            if "INT" in definition:
                is_unsigned = answer["columns"][number][2] & 32 != 0
                assert is_unsigned == ("UNSIGNED" in definition), definition
        assert answer["rows"][1] == [None] * len(VALUES)


def test_geometry_comes_as_octets(proxy):
    answer = proxy.run(READ, "SELECT ST_GeomFromText('POINT(1 2)')")
    assert answer["columns"][0][1] == "GEOMETRY"
    assert isinstance(answer["rows"][0][0], bytes) and len(answer["rows"][0][0]) == 25


def test_parameters_keep_their_types(proxy):
    sent = [None, True, -5, 2**64 - 1, 1.5, "s", b"b", msgpack.ExtType(1, b"1.50")]
    answer = proxy.run(READ, "SELECT ?,?,?,?,?,?,?,?", sent)
    assert answer["rows"] == [[None, 1, -5, 2**64 - 1, 1.5, "s", b"b", "1.50"]]


# Octets that are no UTF-8: MySQL takes a bare placeholder for text, whatever it is given.
TURNS = [7, "seven", b"\x00\xff", None, msgpack.ExtType(1, b"1.50"), 2.5, "", -2**63, 2**64 - 1,
         msgpack.ExtType(1, b"-12345678901234567890.000000000000000001"), "x" * 70000, True,
         msgpack.ExtType(1, b"0.1"), b"\xff", 1e300, "\U0001f512", b"\xfe" * 70000, 0]


def test_a_value_is_itself_whatever_came_before(proxy):
    """MySQL settles a parameter's type when the statement is first executed."""
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS told (id INT PRIMARY KEY, t LONGTEXT, b LONGBLOB)")
    for turn in range(50):
        for value in TURNS[turn % len(TURNS):] + TURNS[:turn % len(TURNS)]:
            wanted = value.data.decode() if isinstance(value, msgpack.ExtType) else value
            wanted = int(wanted) if wanted is True else wanted
            for sql, params in (("SELECT ? AS v", [value]), ("SELECT ?, 1 + ? AS v", [value, 1])):
                got = proxy.run(READ, sql, params)["rows"][0][0]
                assert got == wanted and type(got) is type(wanted), (turn, sql, value, got)
    for turn in range(12):
        # Settled for a date and a time, MySQL would give a date a time.
        for day in ("2026-11-22 10:00:00", "2026-11-22", msgpack.ExtType(2, b"2026-11-22")):
            got = [proxy.run(READ, "SELECT DATE_ADD(?, INTERVAL 1 DAY)" + note, [day])["rows"]
                   for note in ("", f" /* {turn} {day} */")]
            assert got[0] == got[1], day
        texts = ["text", 5, "", 1.5, "longer text"]
        for text in texts:
            proxy.run(WRITE, "REPLACE INTO told VALUES (?, ?, ?)", [1, text, b"\xff" * turn])
            row = proxy.run(READ, "SELECT t, b FROM told WHERE t = ?", [str(text)])["rows"]
            assert row == [[str(text), b"\xff" * turn]], (turn, text)


def test_a_wrong_number_of_parameters_is_named(proxy):
    for params in ([1, 2], None):
        answer = proxy.ask(READ, "SELECT ?", params)
        assert error(answer) == ("MALFORMED", "never")
        assert "1 placeholder" in answer["error"]["message"]


def test_columns_are_those_of_now(proxy):
    """A prepared SELECT after DDL: never the names or types of before."""
    for definition, wanted in [("a INT, b VARCHAR(9)", ["a", "b"]), ("a INT, bb VARCHAR(9)", None),
                               ("a BIGINT, c DECIMAL(5,2)", None), ("zz DOUBLE", None),
                               ("zz DOUBLE, b INT, c INT", None)]:
        wanted = [part.split()[0] for part in definition.split(", ")]
        types = [part.split()[1].split("(")[0] for part in definition.split(", ")]
        proxy.run(DDL, "DROP TABLE IF EXISTS changing")
        proxy.run(DDL, f"CREATE TABLE changing ({definition})")
        for _ in range(12):
            columns = proxy.run(READ, "SELECT * FROM changing")["columns"]
            assert [one[:2] for one in columns] == [list(x) for x in zip(wanted, types)]
    proxy.run(DDL, "ALTER TABLE changing CHANGE zz renamed DOUBLE")
    for _ in range(12):
        assert proxy.run(READ, "SELECT * FROM changing")["columns"][0][0] == "renamed"


def test_a_write_says_what_it_did(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS written (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    first = proxy.run(WRITE, "INSERT INTO written (n) VALUES (1), (2)")
    assert first["affected"] == 2 and first["insert_id"] >= 1 and first["warnings"] == 0
    second = proxy.run(WRITE, "UPDATE written SET n=3")
    assert second["affected"] == 2 and "insert_id" not in second
    assert first["token"] and second["token"] and first["token"] != second["token"]
    assert list(first) == ["v", "id", "ok", "affected", "insert_id", "warnings", "token", "route"]


def test_reads_cannot_write(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS untouched (n INT)")
    for sql in ("INSERT INTO untouched VALUES (1)", "SELECT * FROM untouched FOR UPDATE",
                "CREATE TABLE made (n INT)", "SELECT * FROM mysql.user",
                "SELECT * FROM portcullis.heartbeat"):
        assert error(proxy.ask(READ, sql)) == ("SQL", "never"), sql
    for sql in ("DELETE FROM portcullis.heartbeat", "DELETE FROM mysql.user",
                "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1; SELECT 2"):
        assert error(proxy.ask(WRITE, sql)) == ("SQL", "never"), sql
    assert proxy.run(READ, "SELECT COUNT(*) FROM untouched")["rows"] == [[0]]


def test_the_schema_of_one_request_is_not_the_next_ones(proxy):
    for _ in range(8):
        assert error(proxy.ask(READ, "SELECT 1", db="nowhere")) == ("SQL", "never")
        assert proxy.run(READ, "SELECT DATABASE()")["rows"] == [["demo"]]
        answer = proxy.run(READ, "SELECT DATABASE()", db="information_schema")
        assert answer["rows"] == [["information_schema"]]


def test_a_call_leaves_nothing_behind(proxy):
    proxy.run(DDL, "DROP PROCEDURE IF EXISTS leaves")
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS half (n INT)")
    proxy.run(DDL, "CREATE PROCEDURE leaves() BEGIN SET @left=1; START TRANSACTION; "
                   "INSERT INTO half VALUES (1); END")
    answer = proxy.ask(CALL, "CALL leaves()")
    assert error(answer)[0] == "SQL" and "transaction" in answer["error"]["message"]
    assert proxy.run(READ, "SELECT COUNT(*) FROM half")["rows"] == [[0]]
    for _ in range(8):
        assert proxy.run(LOCKING_READ, "SELECT @left FOR UPDATE")["rows"] == [[None]]


def test_a_result_that_does_not_fit_is_refused_and_costs_no_session(proxy):
    answer = proxy.ask(READ, "SELECT REPEAT('x', 9000000), REPEAT('y', 9000000)", budget_ms=20000)
    assert error(answer) == ("TOO_LARGE", "never")
    assert "LIMIT" in answer["error"]["message"]
    assert proxy.run(READ, "SELECT 1")["rows"] == [[1]]


def test_an_explained_route_has_the_time_of_each_hop(proxy):
    tail = msgpack.packb({"candidates": ["source"]})
    route = proxy.run(READ, "SELECT 1", flags=EXPLAIN, tail=tail)["route"]
    assert route["candidates"] == ["source"]
    assert list(route["us"]) == ["gatekeeper", "broker", "proxy", "queue", "exec"]
    assert [route["us"][hop] for hop in ("gatekeeper", "broker", "proxy")] == [11, 22, 33]


def test_a_read_ends_at_its_deadline(proxy):
    began = time.monotonic()
    assert error(proxy.ask(READ, "SELECT SLEEP(5)", budget_ms=300)) == ("DEADLINE", "safe")
    assert 0.28 < time.monotonic() - began < 0.6


def test_what_waited_too_long_never_starts(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS late (n INT)")
    assert error(proxy.ask(WRITE, "INSERT INTO late VALUES (1)", budget_ms=500,
                           waited_us=2000000)) == ("DEADLINE", "safe")
    slow = [proxy.send(READ, "SELECT SLEEP(0.6)") for _ in range(4)]
    queued = [proxy.send(WRITE, "INSERT INTO late VALUES (2)", budget_ms=200) for _ in range(4)]
    assert {error(proxy.reply(ticket)) for ticket in queued} == {("DEADLINE", "safe")}
    assert all(proxy.reply(ticket)["ok"] for ticket in slow)
    assert proxy.run(READ, "SELECT COUNT(*) FROM late")["rows"] == [[0]]


def test_a_kill_never_meets_the_next_statement(proxy):
    for turn in range(40):
        ends = [proxy.send(READ, "SELECT BENCHMARK(60000, MD5('x'))", budget_ms=3 + turn % 30)
                for _ in range(4)]
        after = [proxy.send(READ, f"SELECT {number}") for number in range(4)]
        for ticket in ends:
            proxy.reply(ticket)
        assert [proxy.reply(ticket)["rows"] for ticket in after] == [[[n]] for n in range(4)]


def test_a_statement_that_is_never_answered_gives_its_thread_back(proxy):
    """MySQL 9.7 forgets the error of a prepared SET GLOBAL without the right for it."""
    silent = [proxy.send(READ, "SET GLOBAL read_only=1", budget_ms=100) for _ in range(8)]
    assert not any(proxy.reply(ticket)["ok"] for ticket in silent)
    proxy.wait_for(lambda report: report.running == 0, what="all threads are back")
    assert proxy.run(READ, "SELECT @@read_only")["rows"] == [[0]]


def test_an_interrupted_write_may_have_come_half_way(proxy):
    """A table without transactions keeps what a KILL found done: to send it again would double."""
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS half_way (id INT PRIMARY KEY, n INT) ENGINE=MyISAM")
    proxy.run(WRITE, "REPLACE INTO half_way VALUES " + ", ".join(f"({n}, 0)" for n in range(60)))
    for sql in ("UPDATE half_way SET n = n + 1 + SLEEP(0.05)",
                "INSERT INTO half_way SELECT id + 100, SLEEP(0.05) FROM half_way"):
        assert error(proxy.ask(WRITE, sql, budget_ms=400)) == ("DEADLINE", "unsafe")
    assert proxy.run(READ, "SELECT COUNT(*) FROM half_way WHERE n > 0")["rows"][0][0] > 0


def test_a_lock_wait_is_safe_where_all_was_rolled_back(pair, proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS fought (id INT PRIMARY KEY, n INT)")
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS kept (n INT) ENGINE=MyISAM")
    proxy.run(WRITE, "REPLACE INTO fought VALUES (1, 0), (2, 0), (3, 0)")
    database = pair.source_database
    before = database.sql("SELECT @@GLOBAL.innodb_lock_wait_timeout")
    database.sql("SET GLOBAL innodb_lock_wait_timeout=1")
    end_sessions(database, "portcullis_write")
    try:
        with database.transaction("UPDATE demo.fought SET n=9 WHERE id=3"):
            for sql, params in (("UPDATE fought SET n=n+1", None), ("UPDATE fought SET n=?", [1])):
                answer = proxy.ask(WRITE, sql, params)
                assert answer["error"].get("errno") == 1205, answer
                assert error(answer) == ("SQL", "safe")
            if FLAVOR == "mariadb":  # MySQL refuses to write both kinds in one statement
                answer = proxy.ask(WRITE, "INSERT INTO kept SELECT id FROM fought FOR UPDATE")
                assert answer["error"].get("errno") == 1205, answer
                assert error(answer) == ("SQL", "unsafe")
                assert proxy.run(READ, "SELECT COUNT(*) FROM kept")["rows"] == [[2]]
    finally:
        database.sql(f"SET GLOBAL innodb_lock_wait_timeout={before}")
        end_sessions(database, "portcullis_write")


def test_the_watchdog_follows_a_session_that_is_replaced():
    """Where no schema is the default, one that was chosen is left with a new session."""
    pair = Pair(threads=2, schemas="app_% demo%")
    try:
        for _ in range(3):
            ends = [pair.proxy.send(READ, "SELECT SLEEP(0.05)", db="demo") for _ in range(4)]
            assert all(pair.proxy.reply(ticket)["ok"] for ticket in ends)
            slow = [pair.proxy.send(READ, "SELECT SLEEP(30)", budget_ms=300) for _ in range(2)]
            assert {error(pair.proxy.reply(ticket)) for ticket in slow} == {("DEADLINE", "safe")}
            pair.proxy.wait_for(lambda report: report.running == 0, 3, "all threads are back")
        assert pair.proxy.run(READ, "SELECT DATABASE()")["rows"] == [[None]]
    finally:
        pair.close()


def test_a_frozen_agent_starts_nothing_stale(pair, proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS frozen (n INT)")
    pair.source.process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)  # until each of its threads has stopped
    try:
        late = [proxy.send(WRITE, "INSERT INTO frozen VALUES (1)", budget_ms=300)
                for _ in range(8)]
        time.sleep(0.8)
    finally:
        pair.source.process.send_signal(signal.SIGCONT)
    assert {error(proxy.reply(ticket)) for ticket in late} == {("DEADLINE", "safe")}
    assert proxy.run(READ, "SELECT COUNT(*) FROM frozen")["rows"] == [[0]]


def test_a_lost_database_is_said_and_found_again(pair, proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS lost (n DOUBLE)")
    proxy.run(READ, "SELECT 1")
    reads = [proxy.send(READ, "SELECT SLEEP(5)") for _ in range(2)]
    write = proxy.send(WRITE, "INSERT INTO lost SELECT SLEEP(5)")
    proxy.pump_for(0.5)
    pair.source_database.kill()
    assert {error(proxy.reply(ticket)) for ticket in reads} == {("LOST", "safe")}
    assert error(proxy.reply(write)) == ("LOST", "unsafe")
    proxy.wait_for(lambda report: report.state == NOT_READY, what="the agent says so")
    assert error(proxy.ask(READ, "SELECT 1")) == ("NO_NODE", "safe")
    pair.source_database.start()
    proxy.wait_for(lambda report: report.state == UP and not report.read_only, what="up again")
    assert proxy.run(WRITE, "INSERT INTO lost VALUES (1)")["affected"] == 1


@pytest.mark.parametrize("sql_class, sql, account, harm", [
    (WRITE, "REPLACE INTO mended VALUES (1)", "portcullis_write",
     "ALTER USER {} IDENTIFIED BY 'x'"),
    (READ, "SELECT COUNT(*) FROM mended", "portcullis_read", "DROP USER {}"),
    (READ, "SELECT COUNT(*) FROM mended", "portcullis_read", "ALTER USER {} ACCOUNT LOCK"),
])
def test_an_account_that_was_spoiled_is_made_again(pair, proxy, sql_class, sql, account, harm):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS mended (n INT)")
    pair.source_database.sql("SET sql_log_bin=0; " + harm.format(f"{account}@localhost"))
    end_sessions(pair.source_database, account)
    answers = []

    def served():
        answers.append(proxy.ask(sql_class, sql))
        return answers[-1]["ok"]
    # Without a pause: whoever comes in meanwhile finds the account whole, or is not let in.
    wait_until(served, 5, "the account lets the agent in", every_s=0.001)
    assert len(answers) > 1
    for answer in answers[:-1]:
        assert error(answer) == ("NO_NODE", "safe"), answer
        assert account not in str(answer) and "localhost" not in str(answer)
    assert "event=connect_failed" in pair.source.log()
    assert pair.source.log().count("event=accounts_made_again") < 4


def test_no_secret_is_logged(pair):
    assert "only-a-test" not in pair.source.log()


def test_a_replica_follows_and_takes_no_write(semi_sync):
    source, replica = semi_sync.proxy, semi_sync.replica.proxy
    replica.wait_for(lambda report: report.replicating and report.lag_ms == 0,
                     what="the replica replicates")
    assert replica.report.read_only and not source.report.read_only
    source.run(DDL, "CREATE TABLE copied (n INT)")
    source.run(WRITE, "INSERT INTO copied VALUES (7)")
    wait_until(lambda: replica.ask(READ, "SELECT * FROM copied").get("rows") == [[7]])
    assert error(replica.ask(WRITE, "INSERT INTO copied VALUES (8)")) == ("NO_NODE", "safe")


def wait_semi_sync(pair):
    name = "master" if FLAVOR == "mariadb" else "source"
    wait_until(lambda: pair.source_database.sql(f"SELECT @@rpl_semi_sync_{name}_enabled") == "1",
               20, "semi-synchronous replication is on")


def wait_acknowledging(pair, count):
    """As the source's agent tells whoever has to be called."""
    name = "semi_sync_replicas"
    wait_until(lambda: pair.source.metrics()[name] == count, 20, f"{count} replicas acknowledge")


def test_commits_wait_for_the_replica_and_reads_do_not(semi_sync):
    source = semi_sync.proxy
    wait_semi_sync(semi_sync)
    wait_acknowledging(semi_sync, 1)
    source.pump()
    source.wait_for(lambda report: report.state == UP)
    source.run(DDL, "CREATE TABLE IF NOT EXISTS waited (n INT)")
    semi_sync.replica_database.stop_receiving()
    try:
        blocked = [source.send(WRITE, f"INSERT INTO waited VALUES ({n})", budget_ms=600)
                   for n in range(12)]
        source.pump_for(0.2)
        assert source.run(READ, "SELECT 1", budget_ms=1000)["rows"] == [[1]]
        answers = [source.reply(ticket) for ticket in blocked]
        # The replica may still acknowledge what it had received when it was told to stop.
        ends = [("acknowledged", "") if answer["ok"] else error(answer) for answer in answers]
        assert ("DEADLINE", "unsafe") in ends and set(ends) <= {
            ("DEADLINE", "unsafe"), ("DEADLINE", "safe"), ("acknowledged", "")}, ends
        wait_acknowledging(semi_sync, 0)
        assert "no replica acknowledges writes" in semi_sync.source.log()
    finally:
        semi_sync.replica_database.start_receiving()
    wait_until(lambda: source.ask(WRITE, "INSERT INTO waited VALUES (100)")["ok"], 20)
    # Of those that may stand all or some do; of those said to be safe none.
    safe = {n for n, end in enumerate(ends) if end[1] == "safe"}
    rows = {row[0] for row in source.run(READ, "SELECT n FROM waited")["rows"]}
    assert not rows & safe


def test_a_replica_that_somebody_started_without_acknowledging_acknowledges(semi_sync):
    """Its server's own start, or an administrator's: the source would count on one less."""
    database, source = semi_sync.replica_database, semi_sync.source_database
    ours, theirs = ("slave", "master") if FLAVOR == "mariadb" else ("replica", "source")
    status = f"SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{ours}_status'"
    wait_semi_sync(semi_sync)
    database.stop_receiving()
    database.sql(f"SET GLOBAL rpl_semi_sync_{ours}_enabled=0")
    # What waits for him already would wait on: the server tells nobody twice.
    source.sql(f"SET GLOBAL rpl_semi_sync_{theirs}_enabled=0")
    database.start_receiving()
    assert "ON" not in database.sql(status)
    wait_semi_sync(semi_sync)
    assert "ON" in database.sql(status)
    assert semi_sync.replica.log().count("event=semi_sync_mended") == 1


def test_a_replica_that_stands_still_falls_behind(semi_sync):
    """What it said last was true then: told again and again as new, it would pass for level."""
    replica = semi_sync.replica.proxy
    replica.pump_for(1)
    replica.wait_for(lambda report: report.state == UP and report.lag_ms == 0, what="it is level")
    told = []
    semi_sync.replica_database.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    try:
        while time.monotonic() < start + 1.7:  # from 2 s on it is not ready
            replica.pump_for(0.1)
            stood_ms = (time.monotonic() - start) * 1000
            report = replica.probe()
            if report.state == UP:
                told.append((round(stood_ms), report.lag_ms))
    finally:
        semi_sync.replica_database.process.send_signal(signal.SIGCONT)
    print(told)
    # One beat is no lag, nor are two since the look; how late all of it was is no matter.
    late = [lag_ms for stood_ms, lag_ms in told if stood_ms > 1000]
    assert not late or max(late) >= 300, told
    replica.wait_for(lambda report: report.state == UP and report.lag_ms == 0, what="it caught up")


def test_an_agent_that_starts_again_leaves_replication_alone(semi_sync):
    replica = semi_sync.replica
    assert replica.stop() == 0
    log = "SHOW SLAVE STATUS" if FLAVOR == "mariadb" else "SHOW REPLICA STATUS"
    before = semi_sync.replica_database.sql(log)
    replica.start()
    replica.proxy.wait_for(lambda report: report.replicating, what="it replicates")
    assert before.split("\t")[2:4] == semi_sync.replica_database.sql(log).split("\t")[2:4]


def test_sigterm_finishes_what_runs_and_says_goodbye():
    pair = Pair(threads=2)
    try:
        slow = [pair.proxy.send(READ, "SELECT SLEEP(0.5)") for _ in range(4)]
        pair.proxy.pump_for(0.2)
        os.kill(pair.source.process.pid, signal.SIGTERM)
        pair.proxy.pump_for(0.2)
        assert pair.proxy.said_bye
        assert error(pair.proxy.ask(READ, "SELECT 1")) == ("DRAINING", "safe")
        assert all(pair.proxy.reply(ticket)["ok"] for ticket in slow)
        assert pair.source.process.wait(10) == 0
    finally:
        pair.close()


@pytest.fixture
def over_tls(tmp_path):
    """An agent that reaches its database over TCP and TLS."""
    if FLAVOR != "mariadb":
        pytest.skip("libmysqlclient has no calls that do not wait, with TLS or without")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "no compiler: the client library cannot be made to want TLS"
    flags = subprocess.run(["mariadb_config", "--include"], capture_output=True, text=True,
                           check=True).stdout.split()
    shim, key, certificate = (tmp_path / name for name in ("tls_shim.so", "key.pem", "cert.pem"))
    subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", shim,
                    pathlib.Path(__file__).with_name("tls_shim.c"), *flags, "-ldl"], check=True,
                   timeout=60)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True, timeout=60)
    one = Pair(threads=4, tcp=True,
               database_options=[f"--ssl-key={key}", f"--ssl-cert={certificate}"],
               environment={"LD_PRELOAD": str(shim),
                            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"})
    yield one
    one.close()


def test_reads_over_tls_keep_nobody_waiting(over_tls):
    """Calls of the client library that do not wait do so over TLS."""
    proxy = over_tls.proxy
    sql = "SELECT SLEEP(?)"
    assert proxy.run(READ, "SHOW SESSION STATUS LIKE 'Ssl_cipher'")["rows"][0][1] != ""
    for _ in range(3):  # prepared, on a connection that lies ready
        proxy.run(READ, sql, [0])
    slow = [proxy.send_op("query", READ, sql=sql, params=[60], budget_ms=90000) for _ in range(2)]
    for _ in range(3):
        proxy.probe(timeout_s=50)
    assert not set(slow) & set(proxy.replies)
    for ticket in slow:
        proxy.cancel(ticket)
    for ticket in slow:
        assert error(proxy.reply(ticket, timeout_s=50)) == ("CANCELLED", "safe")
