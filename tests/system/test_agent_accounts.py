"""The worker agent alone: several pairs of database accounts, and the bound on a result's rows.

What one role's connections remember, may see or have prepared never meets another role."""
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from agent_alone import (CALL, DDL, LOCKING_READ, READ, RELEASED, STATE, TRANSACTION, WRITE, Pair)
from harness import BUILD, FLAVOR, wait_until

ROLES = {b"app": ("portcullis_read", "portcullis_write"),
         b"shop": ("shop_read", "shop_write"),
         b"night": ("night_read", "night_write")}
SCHEMAS = {b"app": "demo", b"shop": "shop_% shop", b"night": "night demo"}
# 5 GB, which nobody reads to the end in the time of a test.  Two tables only: of more, MySQL makes
# hash tables that are as large before it sends a row.
ENDLESS = "SELECT a.id, REPEAT('x', 200) FROM demo.many a, demo.many b"


def accounts_file(folder, without=(), **changes):
    lines = ["accounts"]
    for role in (b"shop", b"night"):
        if role in without:
            continue
        name = role.decode()
        for kind in ("read", "write"):
            password = folder / f"{name}-{kind}.password"
            password.write_text(f"only-a-test's \\ \"{name} {kind}\"\n")
            password.chmod(0o600)
        lines += [f"    {name}", f"        read_user = {name}_read",
                  f"        read_password_file = {name}-read.password",
                  f"        write_user = {name}_write",
                  f"        write_password_file = \"{folder}/{name}-write.password\"",
                  f"        schemas = \"{changes.get(name, SCHEMAS[role])}\""]
    (folder / "accounts.zpl").write_text("\n".join(lines) + "\n")


class Roles(Pair):
    """An agent with three pairs of accounts and a database with what each of them has."""

    def __init__(self, **settings):
        super().__init__(threads=4, accounts=accounts_file, **settings)
        database = self.source_database
        database.sql("CREATE DATABASE shop; CREATE DATABASE shop_1; CREATE DATABASE night; "
                     "CREATE TABLE shop.own (n INT); INSERT INTO shop.own VALUES (1); "
                     "CREATE TABLE night.own (n INT); INSERT INTO night.own VALUES (2), (3); "
                     "CREATE TABLE demo.many (id INT PRIMARY KEY)")
        for first in range(0, 5000, 1000):
            rows = ",".join(f"({number})" for number in range(first, first + 1000))
            database.sql(f"INSERT INTO demo.many VALUES {rows}")


@pytest.fixture(scope="module")
def pair():
    one = Roles(idle_ms=600000, sections={"cursors": {"max": 12, "principal_max": 12},
                                          "sessions": {"max": 12, "principal_max": 12}})
    yield one
    one.close()


@pytest.fixture
def proxy(pair):
    yield pair.proxy
    wait_until(lambda: is_whole(pair), 10, "nothing is left open")


def is_whole(pair):
    pair.proxy.pump()
    seen = pair.source.metrics()
    return (seen['held_open{kind="session"}'] == seen['held_open{kind="cursor"}'] == 0 and
            seen["held_ending"] == seen["held_running"] == 0)


def fault(answer):
    assert not answer["ok"], answer
    return answer["error"]["code"], answer["error"]["retry"]


def grants(pair, user):
    return pair.source_database.sql(f"SHOW GRANTS FOR {user}@localhost")


def connections(pair, user):
    return pair.source_database.sql("SELECT id FROM information_schema.processlist "
                                    f"WHERE user = '{user}'").split()


def begin(proxy, role, read_only=False, **options):
    keys = {"read_only": True} if read_only else {}
    answer = proxy.ask_op("begin", READ if read_only else WRITE, role=role, **keys, **options)
    assert answer["ok"], answer
    return answer["session"]


def end(proxy, session, role, **options):
    assert proxy.ask_op("rollback", TRANSACTION, session, role=role, **options)["ok"]


# --- Who one is ----------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_the_head_says_whose_accounts(proxy, role):
    read, write = (f"{user}@localhost" for user in ROLES[role])
    user = "SELECT CURRENT_USER()"
    assert proxy.run(READ, user, role=role)["rows"] == [[read]]
    assert proxy.run(LOCKING_READ, user, role=role)["rows"] == [[write]]
    session = begin(proxy, role)
    assert proxy.ask_op("query", READ, session, role=role, sql=user)["rows"] == [[write]]
    end(proxy, session, role)
    session = begin(proxy, role, read_only=True)
    assert proxy.ask_op("query", READ, session, role=role, sql=user)["rows"] == [[read]]
    end(proxy, session, role)
    txn = proxy.ask_op("txn", WRITE, role=role, statements=[{"sql": user}])
    assert txn["results"][0]["rows"] == [[write]]
    first = proxy.ask_op("query", READ, role=role, page_rows=1,
                         sql=f"{user} UNION ALL SELECT 'second'")
    assert first["rows"] == [[read]]
    proxy.ask_op("close", READ, first["cursor"], role=role)


@pytest.mark.parametrize("role", [b"", b"nobody", b"App", b"app ", b"shop_read", b"root",
                                  "näch".encode()])
def test_accounts_that_are_not_there_run_nothing(pair, proxy, role):
    for sql_class, sql in ((READ, "SELECT 1"), (WRITE, "DELETE FROM demo.many"),
                           (DDL, "DROP TABLE demo.many"), (CALL, "CALL x()")):
        ticket = proxy.send(sql_class, sql, role=role)
        answer = proxy.reply(ticket)
        assert fault(answer) == ("FORBIDDEN", "never")
        assert proxy.heads[ticket] == (0, 0, b"")
    for op, sql_class, keys in (("begin", WRITE, {}), ("txn", WRITE, {"statements": [
            {"sql": "DELETE FROM demo.many"}]})):
        assert fault(proxy.ask_op(op, sql_class, role=role, **keys)) == ("FORBIDDEN", "never")
    assert proxy.run(READ, "SELECT COUNT(*) FROM demo.many")["rows"] == [[5000]]
    assert "event=accounts_unknown" in pair.source.log()


def test_no_use_of_many_roles_at_once_mixes_them(pair, proxy):
    """Reads, writes, transactions, sessions and cursors of three roles on four threads: each answer
    comes from the account that the head named."""
    seed = int(os.environ.get("PCL_TEST_SEED", time.time_ns() % 2**32))
    print("seed", seed)
    rng = random.Random(seed)
    user = "SELECT CURRENT_USER(), CONNECTION_ID(), DATABASE()"
    owners, held, asked, turns = {}, [], {}, 0
    first_schema = {b"app": "demo", b"shop": "shop", b"night": "night"}

    def check(role, kind, row, schema=True):
        name, connection, database = row
        expected = ROLES[role][kind] + "@localhost"
        assert name == expected, (role, kind, row)
        assert owners.setdefault(connection, expected) == expected, "a connection changed hands"
        assert not schema or database == first_schema[role], (role, row)

    def take(ticket):
        what, role, keep = asked.pop(ticket)
        answer = proxy.reply(ticket)
        if not answer["ok"]:
            assert fault(answer)[0] in ("OVERLOADED", "GONE"), answer
            return
        if what == "begin":
            held.append((answer["session"], role, keep))
        elif what == "txn":
            check(role, 1, answer["results"][0]["rows"][0])
        elif what == "cursor":
            check(role, 0, answer["rows"][0])
            proxy.ask_op("close", READ, answer["cursor"], role=role)
        elif what in ("read", "write"):
            check(role, 0 if what == "read" else 1, answer["rows"][0])
        elif what == "session":
            check(role, keep, answer["rows"][0])

    while turns < 1500 or asked:
        if turns < 1500 and len(asked) < 16:
            turns += 1
            role = rng.choice(list(ROLES))
            what = rng.choice(["read"] * 4 + ["write"] * 3 + ["txn", "begin", "cursor"] +
                              ["session"] * 3 + ["end"])
            if what == "read":
                ticket, keep = proxy.send(READ, user, role=role), None
            elif what == "write":
                ticket, keep = proxy.send(LOCKING_READ, user, role=role), None
            elif what == "txn":
                ticket = proxy.send_op("txn", WRITE, role=role, statements=[{"sql": user}])
                keep = None
            elif what == "cursor":
                ticket = proxy.send_op("query", READ, role=role, page_rows=1,
                                       sql=f"{user} UNION ALL SELECT 'x', 1, 'y'")
                keep = None
            elif what == "begin":
                keep = rng.randrange(2)
                ticket = proxy.send_op("begin", WRITE if keep else READ, role=role,
                                       **({} if keep else {"read_only": True}))
            elif held and what == "session":
                session, role, keep = rng.choice(held)
                ticket = proxy.send_op("query", READ, session, role=role, sql=user)
            elif held:
                session, role, keep = held.pop(rng.randrange(len(held)))
                ticket = proxy.send_op(rng.choice(["commit", "rollback"]), TRANSACTION, session,
                                       role=role)
            else:
                continue
            asked[ticket] = (what, role, keep)
        else:
            take(rng.choice(list(asked)))
    for session, role, _ in held:
        end(proxy, session, role)
    assert len(set(owners.values())) == 6
    print(f"{len(owners)} connections for {turns} requests")
    for role, users in ROLES.items():
        for name in users:
            for connection in connections(pair, name):
                assert owners.get(int(connection), f"{name}@localhost") == f"{name}@localhost", role


# --- What one may --------------------------------------------------------------------


def test_each_pair_has_rights_on_its_own_schemas_only(pair, proxy):
    for role, (read, write) in ROLES.items():
        patterns = set(SCHEMAS[role].split())
        for user in (read, write):
            # How a server writes the text of a pattern differs: with or without backslashes.
            text = grants(pair, user).replace("\\", "")
            assert set(re.findall(r"ON `([^`]+)`\.\*", text)) == patterns, text
            assert re.search(r"GRANT USAGE ON \*\.\*", text), text
        assert "INSERT" not in grants(pair, read) and "INSERT" in grants(pair, write)
    refused = {1142, 1044}
    for role, table in ((b"app", "shop.own"), (b"app", "night.own"), (b"shop", "demo.many"),
                        (b"shop", "night.own"), (b"night", "shop.own")):
        for sql_class, sql in ((READ, f"SELECT * FROM {table}"),
                               (WRITE, f"DELETE FROM {table}"),
                               (DDL, f"DROP TABLE {table}")):
            answer = proxy.ask(sql_class, sql, role=role)
            assert fault(answer) == ("SQL", "never") and answer["error"]["errno"] in refused, answer
    assert proxy.run(READ, "SELECT * FROM own", role=b"shop")["rows"] == [[1]]
    assert proxy.run(READ, "SELECT * FROM own", role=b"night")["rows"] == [[2], [3]]
    assert fault(proxy.ask(READ, "SELECT 1", role=b"shop", db="demo"))[0] == "SQL"


def test_the_schema_of_one_is_not_the_schema_of_another(proxy):
    database = "SELECT DATABASE()"
    for _ in range(3):
        for role, schema in ((b"night", "night"), (b"shop", "shop"), (b"app", "demo")):
            assert proxy.run(READ, database, role=role)["rows"] == [[schema]]
        assert proxy.run(READ, database, role=b"night", db="demo")["rows"] == [["demo"]]
        assert proxy.run(READ, database, role=b"shop", db="shop_1")["rows"] == [["shop_1"]]


def test_a_prepared_statement_is_nobody_elses(proxy):
    """The same text means each role's own table, though it stays prepared on a connection."""
    for _ in range(6):
        assert proxy.run(READ, "SELECT SUM(n) FROM own", role=b"shop")["rows"][0][0] in (1, "1")
        assert proxy.run(READ, "SELECT SUM(n) FROM own", role=b"night")["rows"][0][0] in (5, "5")
        answer = proxy.ask(READ, "SELECT SUM(n) FROM own", role=b"app")
        assert fault(answer) == ("SQL", "never")


def test_nothing_of_a_session_meets_another_role(proxy):
    session = begin(proxy, b"night")
    for sql_class, sql in ((STATE, "SET @secret = 42"),
                           (STATE, "PREPARE stolen FROM 'SELECT 1'"),
                           (STATE, "CREATE TEMPORARY TABLE night.t (n INT)")):
        proxy.ask_op("query", sql_class, session, role=b"night", sql=sql)
    end(proxy, session, b"night")
    for role in ROLES:
        session = begin(proxy, role)
        answer = proxy.ask_op("query", STATE, session, role=role, sql="SELECT @secret")
        assert answer["rows"] == [[None]], answer
        assert not proxy.ask_op("query", STATE, session, role=role, sql="EXECUTE stolen")["ok"]
        end(proxy, session, role)


def test_statements_of_other_roles_are_not_seen(pair, proxy):
    """What runs under other accounts stands in no list that a role can read."""
    slow = proxy.send(READ, "SELECT SLEEP(1), 'of-the-night'", role=b"night")
    proxy.pump_for(0.3)
    listed = proxy.run(READ, "SELECT COUNT(*) FROM information_schema.processlist "
                             "WHERE user LIKE 'night%'", role=b"shop")
    assert listed["rows"] == [[0]]
    assert proxy.reply(slow)["ok"]


# --- Sessions and cursors ---------------------------------------------------------------


@pytest.mark.parametrize("op, sql_class, keys", [
    ("query", READ, {"sql": "SELECT 1"}), ("query", WRITE, {"sql": "DELETE FROM demo.many"}),
    ("commit", TRANSACTION, {}), ("rollback", TRANSACTION, {})])
def test_a_session_ends_where_its_principal_has_other_accounts(pair, proxy, op, sql_class, keys):
    session = begin(proxy, b"night", principal=b"ann")
    assert proxy.ask_op("query", WRITE, session, role=b"night", principal=b"ann",
                        sql="INSERT INTO night.own VALUES (9)")["affected"] == 1
    ticket = proxy.send_op(op, sql_class, session, role=b"shop", principal=b"ann", **keys)
    assert fault(proxy.reply(ticket)) == ("FORBIDDEN", "never")
    assert proxy.notes[ticket] == (RELEASED, session)
    again = proxy.ask_op("query", READ, session, role=b"night", principal=b"ann", sql="SELECT 1")
    assert fault(again) == ("GONE", "never")
    assert proxy.run(READ, "SELECT COUNT(*) FROM own", role=b"night")["rows"] == [[2]]


def test_a_cursor_ends_where_its_principal_has_other_accounts(proxy):
    cursor = proxy.ask_op("query", READ, role=b"night", sql="SELECT id FROM demo.many",
                          page_rows=10)["cursor"]
    assert fault(proxy.ask_op("fetch", READ, cursor, role=b"shop")) == ("FORBIDDEN", "never")
    assert fault(proxy.ask_op("fetch", READ, cursor, role=b"night")) == ("GONE", "never")


def test_another_principal_ends_nothing_by_other_accounts(proxy):
    session = begin(proxy, b"night", principal=b"ann")
    for role in ROLES:
        answer = proxy.ask_op("query", READ, session, role=role, principal=b"bob", sql="SELECT 1")
        assert fault(answer) == ("GONE", "never")
    end(proxy, session, b"night", principal=b"ann")


@pytest.mark.parametrize("role", ROLES)
def test_cancel_and_deadline_end_what_runs_under_any_accounts(proxy, role):
    endless = "SELECT SLEEP(20)"
    ticket = proxy.send_op("query", READ, role=role, sql=endless)
    proxy.pump_for(0.2)
    proxy.cancel(ticket)
    assert fault(proxy.reply(ticket, 5)) == ("CANCELLED", "safe")
    began = time.monotonic()
    assert fault(proxy.ask(READ, endless, role=role, budget_ms=200)) == ("DEADLINE", "safe")
    assert time.monotonic() - began < 3
    assert proxy.run(READ, "SELECT CURRENT_USER()", role=role)["rows"] == [
        [ROLES[role][0] + "@localhost"]]


# --- How many connections -----------------------------------------------------------------


def open_connections(pair):
    names = ", ".join(f"'{user}'" for users in ROLES.values() for user in users)
    return int(pair.source_database.sql("SELECT COUNT(*) FROM information_schema.processlist "
                                        f"WHERE user IN ({names})"))


def test_connections_are_bounded_and_idle_ones_are_closed():
    """Of any number of roles no more than one would keep, and none when nobody asks."""
    pair = Roles(idle_ms=400)
    try:
        proxy = pair.proxy
        wait_until(lambda: open_connections(pair) == 0, 5, "the one that made the schema")
        tickets = [proxy.send(sql_class, "SELECT SLEEP(0.02)", role=role)
                   for _ in range(40) for role in ROLES for sql_class in (READ, LOCKING_READ)]
        proxy.pump_for(0.5)
        seen = open_connections(pair)
        assert 6 <= seen <= 3 * 4 + 32, seen
        for ticket in tickets:
            assert proxy.reply(ticket)["ok"]
        wait_until(lambda: open_connections(pair) == 0, 5, "idle ones are closed")
        assert pair.source.metrics()['connections{use="spare"}'] == 0
        for role, (read, _) in ROLES.items():
            answer = proxy.run(READ, "SELECT CURRENT_USER()", role=role)
            assert answer["rows"] == [[f"{read}@localhost"]]
    finally:
        pair.close()


def test_a_replica_has_all_accounts_too():
    pair = Pair(replica=True, threads=4, accounts=accounts_file)
    try:
        proxy, replica = pair.proxy, pair.replica.proxy
        pair.source_database.sql("CREATE DATABASE shop; CREATE TABLE shop.own (n INT); "
                                 "INSERT INTO shop.own VALUES (1)")
        sql = "SELECT n FROM own"
        wait_until(lambda: replica.ask(READ, sql, role=b"shop").get("rows") == [[1]], 10,
                   "the replica has it")
        assert fault(replica.ask(WRITE, "DELETE FROM own", role=b"shop")) == ("NO_NODE", "safe")
        assert fault(replica.ask(READ, "SELECT n FROM shop.own"))[0] == "SQL"
        assert proxy.run(WRITE, "INSERT INTO own VALUES (2)", role=b"shop")["affected"] == 1
        gtids = pair.replica_database.sql("SELECT @@gtid_current_pos" if FLAVOR == "mariadb"
                                          else "SELECT @@gtid_executed")
        assert gtids, "accounts stay out of the binary log, so no node has a history of its own"
        if FLAVOR == "mariadb":
            assert all(part.split("-")[1] == "1" for part in gtids.split(",")), gtids
    finally:
        pair.close()


# --- Rows ---------------------------------------------------------------------------------


LIMIT = "rows: more than {}, which is the role's limit"
ALL = "SELECT id FROM demo.many"


def over(answer, limit, retry="never"):
    assert fault(answer) == ("TOO_LARGE", retry), answer
    assert answer["error"]["message"] == LIMIT.format(limit), answer
    return True


@pytest.mark.parametrize("rows, limit, fits", [
    (9, 10, True), (10, 10, True), (11, 10, False), (1, 1, True), (0, 1, True), (2, 1, False),
    (999, 1000, True), (1000, 1000, True), (1001, 1000, False), (1000, 2**32 - 1, True)])
@pytest.mark.parametrize("sql_class", [READ, LOCKING_READ])
def test_a_result_has_no_more_rows_than_may_be(proxy, rows, limit, fits, sql_class):
    ticket = proxy.send(sql_class, f"{ALL} LIMIT {rows}", rows=limit)
    answer = proxy.reply(ticket)
    if fits:
        assert len(answer["rows"]) == rows and "cursor" not in answer
        assert proxy.heads[ticket][1:] == (rows, b"source")
    else:
        assert over(answer, limit, "never" if sql_class == READ else "unsafe")
        assert proxy.heads[ticket][1:] == (0, b"source")


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("rows, page, limit, pages", [
    (50, 20, 50, [20, 20, 10]), (51, 20, 50, [20, 20, None]), (60, 20, 60, [20, 20, 20]),
    (61, 20, 60, [20, 20, None]), (61, 20, 20, [None]), (4999, 100, 250, [100, 100, None])])
def test_the_limit_is_of_all_pages(pair, proxy, alone, rows, page, limit, pages):
    session = bytes(16) if alone else begin(proxy, b"app")
    ticket = proxy.send_op("query", READ, session, sql=f"{ALL} LIMIT {rows}", page_rows=page,
                           rows=limit)
    answer = proxy.reply(ticket)
    for number, size in enumerate(pages):
        if size is None:
            assert over(answer, limit)
            assert proxy.heads[ticket][1] == 0
        else:
            assert len(answer["rows"]) == size
            assert proxy.heads[ticket][1:] == (size, b"source")
        if number + 1 < len(pages):
            cursor = answer["cursor"]
            ticket = proxy.send_op("fetch", READ, cursor, page_rows=page, rows=limit)
            answer = proxy.reply(ticket)
    assert "cursor" not in answer
    if pages[-1] is None and len(pages) > 1:
        again = proxy.ask_op("fetch", READ, cursor, page_rows=page, rows=limit)
        assert fault(again)[0] == "GONE"
    if not alone:
        one = proxy.ask_op("query", READ, session, sql="SELECT 7", rows=limit)
        assert one["rows"] == [[7]], "the session goes on"
        end(proxy, session, b"app")


def test_a_read_over_the_limit_runs_once(pair, proxy):
    """Whoever has it, also one whose statement lies prepared on a connection that is ready."""
    count = "SHOW GLOBAL STATUS LIKE 'Com_stmt_execute'"
    sql = f"{ALL} LIMIT 30"
    for _ in range(3):
        proxy.run(READ, sql, rows=100)
        before = int(pair.source_database.sql(count).split()[1])
        assert over(proxy.ask(READ, sql, rows=10), 10)
        assert int(pair.source_database.sql(count).split()[1]) == before + 1


def test_a_limit_that_was_lowered_counts_from_the_next_page(proxy):
    first = proxy.ask_op("query", READ, sql=ALL, page_rows=100, rows=1000)
    second = proxy.ask_op("fetch", READ, first["cursor"], page_rows=100, rows=1000)
    assert over(proxy.ask_op("fetch", READ, second["cursor"], page_rows=100, rows=150), 150)
    first = proxy.ask_op("query", READ, sql=ALL, page_rows=100, rows=150)
    assert over(proxy.ask_op("fetch", READ, first["cursor"], page_rows=100, rows=0), 150)


def running(pair, text):
    return [line for line in pair.source_database.sql("SHOW FULL PROCESSLIST").splitlines()
            if text in line and "SHOW FULL" not in line]


@pytest.mark.parametrize("where", ["alone", "session", "page", "txn"])
def test_what_has_too_many_rows_is_stopped_and_its_connection_used_on(pair, proxy, where):
    """A result without an end: it is not read, and the database does not go on with it."""
    connection = "SELECT CONNECTION_ID()"
    began = time.monotonic()
    session = begin(proxy, b"app") if where == "session" else None
    if where == "txn":
        before = proxy.run(LOCKING_READ, connection)["rows"]
        answer = proxy.ask_op("txn", WRITE, rows=1000, budget_ms=9000, statements=[
            {"sql": "UPDATE demo.many SET id = id WHERE id = 1"}, {"sql": ENDLESS}])
    elif where == "page":
        first = proxy.ask_op("query", READ, sql=ENDLESS, page_rows=500, rows=1000, budget_ms=9000)
        answer = proxy.ask_op("fetch", READ, first["cursor"], page_rows=5000, budget_ms=9000)
    elif where == "session":
        before = proxy.ask_op("query", READ, session, sql=connection)["rows"]
        answer = proxy.ask_op("query", READ, session, sql=ENDLESS, rows=1000, budget_ms=9000,
                              page_rows=5000)
    else:
        before = proxy.run(READ, connection)["rows"]
        answer = proxy.ask_op("query", READ, sql=ENDLESS, rows=1000, budget_ms=9000,
                              page_rows=5000)
    assert over(answer, 1000)
    assert time.monotonic() - began < 5
    wait_until(lambda: not running(pair, "demo.many a"), 3, "the database has stopped it")
    if where == "session":
        assert proxy.ask_op("query", READ, session, sql=connection)["rows"] == before
        end(proxy, session, b"app")
    elif where == "txn":
        assert answer["error"]["statement"] == 1
        assert proxy.run(LOCKING_READ, connection)["rows"] == before
    elif where != "page":
        assert proxy.run(READ, connection)["rows"] == before


def test_a_text_is_bounded_as_what_is_prepared(pair, proxy):
    """ROW_COUNT() would be another's if the text were prepared."""
    session = begin(proxy, b"app")
    sql = "SELECT id, ROW_COUNT() FROM demo.many"
    assert over(proxy.ask_op("query", STATE, session, sql=sql, rows=10), 10, "unsafe")
    first = proxy.ask_op("query", STATE, session, sql=sql, rows=30, page_rows=20)
    assert over(proxy.ask_op("fetch", READ, first["cursor"], page_rows=20, rows=30), 30)
    assert over(proxy.ask_op("query", STATE, session, page_rows=90000, page_bytes=8_000_000,
                             rows=20000, budget_ms=9000,
                             sql=ENDLESS.replace("a.id", "ROW_COUNT()", 1)), 20000, "unsafe")
    assert not running(pair, "demo.many a")
    assert proxy.ask_op("query", READ, session, sql="SELECT 7")["rows"] == [[7]]
    end(proxy, session, b"app")


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("rows", [11, 4000, None])
def test_a_call_is_bounded_by_the_result_that_is_its_answer(pair, proxy, alone, rows):
    query = ENDLESS if rows is None else f"{ALL} LIMIT {rows}"
    pair.source_database.sql("DROP PROCEDURE IF EXISTS demo.many_rows")
    pair.source_database.sql("DELIMITER //\nCREATE PROCEDURE demo.many_rows() BEGIN "
                             f"{query}; SELECT 'more'; SELECT 'even more'; END//")
    session = bytes(16) if alone else begin(proxy, b"app")
    for _ in range(2):
        answer = proxy.ask_op("query", CALL, session, sql="CALL demo.many_rows()", rows=10,
                              budget_ms=9000)
        assert over(answer, 10, "unsafe")
        wait_until(lambda: not running(pair, "demo.many a"), 3, "it is stopped")
        if not alone:
            one = proxy.ask_op("query", READ, session, sql="SELECT 7")
            assert one["ok"] and one["rows"] == [[7]], one
    if not alone:
        end(proxy, session, b"app")
    assert proxy.run(LOCKING_READ, "SELECT 7")["rows"] == [[7]]
    if rows is not None:
        answer = proxy.ask_op("query", CALL, sql="CALL demo.many_rows()", rows=rows)
        assert len(answer["rows"]) == rows


@pytest.mark.skipif(FLAVOR != "mariadb", reason="MySQL has no RETURNING")
def test_a_write_that_returns_too_much_is_unsafe(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS demo.returned (n INT)")
    insert = "INSERT INTO demo.returned SELECT id FROM demo.many LIMIT {} RETURNING n"
    assert over(proxy.ask(WRITE, insert.format(11), rows=10), 10, "unsafe")
    assert len(proxy.run(WRITE, insert.format(10), rows=10)["rows"]) == 10


def test_a_txn_over_the_limit_leaves_nothing(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS demo.left_over (n INT)")
    answer = proxy.ask_op("txn", WRITE, rows=10, statements=[
        {"sql": "INSERT INTO demo.left_over VALUES (1)"}, {"sql": f"{ALL} LIMIT 11"}])
    assert over(answer, 10)
    assert proxy.run(READ, "SELECT COUNT(*) FROM demo.left_over")["rows"] == [[0]]
    ticket = proxy.send_op("txn", WRITE, rows=10, statements=[
        {"sql": "INSERT INTO demo.left_over VALUES (1), (2)"}, {"sql": f"{ALL} LIMIT 10"},
        {"sql": f"{ALL} LIMIT 10"}])
    assert proxy.reply(ticket)["ok"]
    assert proxy.heads[ticket][1:] == (22, b"source")


def test_changed_rows_have_no_limit(proxy):
    proxy.run(DDL, "CREATE TABLE IF NOT EXISTS demo.changed (n INT)")
    ticket = proxy.send(WRITE, "INSERT INTO demo.changed SELECT id FROM demo.many", rows=3)
    assert proxy.reply(ticket)["affected"] == 5000
    assert proxy.heads[ticket][1:] == (5000, b"source")


# --- The head of a reply --------------------------------------------------------------------


def test_a_reply_says_how_long_it_waited_for_a_thread(proxy):
    slow = [proxy.send(READ, "SELECT SLEEP(0.4)") for _ in range(4)]
    late = proxy.send(READ, "SELECT 1")
    assert proxy.reply(late)["ok"]
    assert 100_000 < proxy.heads[late][0] < 3_000_000
    for ticket in slow:
        proxy.reply(ticket)
        assert proxy.heads[ticket][0] < 200_000
    quick = proxy.send(READ, "SELECT 1")
    proxy.reply(quick)
    assert proxy.heads[quick][0] < 100_000


def test_only_what_ran_names_its_node(proxy):
    for sql_class, sql in ((READ, "SELECT 1"), (READ, "SELECT nothing FROM nowhere")):
        ticket = proxy.send(sql_class, sql)
        proxy.reply(ticket)
        assert proxy.heads[ticket][2] == b"source"
    ticket = proxy.send(READ, "SELECT 1", waited_us=6_000_000, budget_ms=1)
    assert fault(proxy.reply(ticket)) == ("DEADLINE", "safe")
    assert proxy.heads[ticket][1:] == (0, b"")
    ticket = proxy.send(READ, "SELECT SLEEP(20)", budget_ms=100)
    assert fault(proxy.reply(ticket)) == ("DEADLINE", "safe")
    assert proxy.heads[ticket][1:] == (0, b"source")


# --- Set-up -------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["ALTER USER {} IDENTIFIED BY 'x'", "DROP USER {}"])
@pytest.mark.parametrize("kind, sql_class", [(0, READ), (1, LOCKING_READ)])
def test_accounts_of_a_role_that_were_spoiled_are_made_again(pair, proxy, harm, kind, sql_class):
    user = ROLES[b"shop"][kind]
    pair.source_database.sql("SET sql_log_bin=0; " + harm.format(f"{user}@localhost"))
    for connection in connections(pair, user):
        pair.source_database.sql(f"KILL {connection}", check=False)

    def served():
        answer = proxy.ask(sql_class, "SELECT n FROM own", role=b"shop")
        if not answer["ok"]:
            assert fault(answer) == ("NO_NODE", "safe"), answer
            assert user not in str(answer)
        time.sleep(0.05)
        return answer["ok"]
    wait_until(served, 8, "the account lets the agent in")


def restarted(pair, **options):
    agent = pair.source
    agent.stop()
    accounts_file(agent.folder, **options)
    agent.start()


def test_a_schema_that_is_named_no_more_is_taken_back(pair, proxy):
    assert proxy.run(READ, "SELECT COUNT(*) FROM demo.many", role=b"night")["rows"] == [[5000]]
    restarted(pair, night="night")
    try:
        for user in ROLES[b"night"]:
            assert "demo" not in grants(pair, user)
        answer = proxy.ask(READ, "SELECT COUNT(*) FROM demo.many", role=b"night")
        assert fault(answer) == ("SQL", "never")
        assert proxy.run(READ, "SELECT COUNT(*) FROM own", role=b"night")["rows"] == [[2]]
        assert proxy.run(READ, "SELECT COUNT(*) FROM demo.many")["rows"] == [[5000]]
    finally:
        restarted(pair)
    assert proxy.run(READ, "SELECT COUNT(*) FROM demo.many", role=b"night")["rows"] == [[5000]]


def test_a_name_that_is_gone_from_the_file_is_gone(pair, proxy):
    restarted(pair, without=[b"shop"])
    try:
        assert fault(proxy.ask(READ, "SELECT 1", role=b"shop")) == ("FORBIDDEN", "never")
        assert connections(pair, "shop_read") == []
        assert proxy.run(READ, "SELECT 1 AS one", role=b"night")["ok"]
    finally:
        restarted(pair)
    assert proxy.run(READ, "SELECT 1 AS one", role=b"shop")["ok"]


def test_secrets_of_all_accounts_stay_out_of_log_and_process(pair):
    assert "only-a-test" not in pair.source.log()
    with open(f"/proc/{pair.source.process.pid}/environ", "rb") as one:
        assert b"only-a-test" not in one.read()


@pytest.mark.parametrize("change, said", [
    (lambda text: text.replace("shop_read", "night_write"), "is an account of shop already"),
    (lambda text: text.replace("shop_read", "portcullis_write"), "is an account that is not for"),
    (lambda text: text.replace("shop-read.password", "none.password"), "/none.password: No such"),
    (lambda text: text.replace("night demo", "night mysql"), "mysql covers the schema mysql"),
    (lambda text: text + "    more\n    app\n", "accounts/more/write_user: must be given"),
    (lambda text: text + "    more\n    app\n", "accounts/app: is what accounts/name calls")])
def test_a_mistake_in_the_file_is_named_and_nothing_starts(pair, tmp_path, change, said):
    for path in pair.source.folder.glob("*.password"):
        shutil.copy(path, tmp_path)
    text = (pair.source.folder / "accounts.zpl").read_text()
    (tmp_path / "accounts.zpl").write_text(change(text))
    (tmp_path / "agent.cfg").write_text(pair.source.config.read_text())
    command = [BUILD / "worker-agent" / "portcullis-worker-agent", "--config",
               tmp_path / "agent.cfg"]
    for extra in ([], ["--check-config"]):
        done = subprocess.run(command + extra, capture_output=True, text=True, timeout=20,
                              check=False)
        assert done.returncode == 78 and said in done.stderr + done.stdout, done
        assert "only-a-test" not in done.stderr + done.stdout


def test_a_password_that_others_may_read_is_refused(pair, tmp_path):
    accounts_file(tmp_path)
    (tmp_path / "night-read.password").chmod(0o640)
    (tmp_path / "agent.cfg").write_text(pair.source.config.read_text())
    done = subprocess.run([BUILD / "worker-agent" / "portcullis-worker-agent", "--check-config",
                           "--config", tmp_path / "agent.cfg"], capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 78 and "night-read.password" in done.stderr + done.stdout, done


def test_passwords_may_be_credentials_of_the_service(pair, tmp_path):
    accounts_file(tmp_path)
    names = tmp_path / "accounts.zpl"
    names.write_text(names.read_text().replace("night-read.password", "credential:night.read"))
    folder = tmp_path / "credentials"
    folder.mkdir()
    (tmp_path / "agent.cfg").write_text(pair.source.config.read_text())
    command = [BUILD / "worker-agent" / "portcullis-worker-agent", "--check-config", "--config",
               tmp_path / "agent.cfg"]
    for place, written, code in ((folder, False, 78), ("", True, 78), (folder, True, 0)):
        if written:
            (folder / "night.read").write_text("only-a-test's\n")
            (folder / "night.read").chmod(0o400)
        environment = {key: value for key, value in os.environ.items()
                       if key != "CREDENTIALS_DIRECTORY"}
        if place:
            environment["CREDENTIALS_DIRECTORY"] = str(place)
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False,
                              env=environment)
        assert done.returncode == code, done
        assert code == 0 or "night.read" in done.stderr + done.stdout, done
