"""Values of every kind, out of columns and in through parameters, exactly."""
import datetime
import decimal
import struct

import msgpack
import portcullis
import pytest


# SQL type, literal, expected value, expected type name
COLUMNS = [
    ("TINYINT", "-128", -128, "TINYINT"),
    ("TINYINT UNSIGNED", "255", 255, "TINYINT"),
    ("SMALLINT", "-32768", -32768, "SMALLINT"),
    ("MEDIUMINT", "8388607", 8388607, "MEDIUMINT"),
    ("INT UNSIGNED", "4294967295", 4294967295, "INT"),
    ("BIGINT", "-9223372036854775808", -9223372036854775808, "BIGINT"),
    ("BIGINT UNSIGNED", "18446744073709551615", 18446744073709551615, "BIGINT"),
    ("DECIMAL(65,30)", "-12345678901234567890123456789012345.123456789012345678901234567890",
     "-12345678901234567890123456789012345.123456789012345678901234567890", "DECIMAL"),
    ("FLOAT", "3.4028e38", struct.unpack("f", struct.pack("f", 3.4028e38))[0], "FLOAT"),
    ("DOUBLE", "1.7976931348623157e308", 1.7976931348623157e308, "DOUBLE"),
    ("DOUBLE", "-0.1", -0.1, "DOUBLE"),
    ("BIT(64)", "b'1" + "0" * 62 + "1'", b"\x80" + b"\0" * 6 + b"\x01", "BIT"),
    ("DATE", "'2026-11-22'", "2026-11-22", "DATE"),
    ("DATE", "'1000-01-01'", "1000-01-01", "DATE"),
    ("TIME", "'-838:59:59'", "-838:59:59", "TIME"),
    ("TIME(6)", "'-00:00:00.000001'", "-00:00:00.000001", "TIME"),
    ("TIME(3)", "'12:34:56.789'", "12:34:56.789", "TIME"),
    ("DATETIME(6)", "'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999", "DATETIME"),
    ("DATETIME", "'2026-11-22 01:02:03'", "2026-11-22 01:02:03", "DATETIME"),
    ("YEAR", "2026", 2026, "YEAR"),
    ("CHAR(10)", "'abc'", "abc", "CHAR"),
    ("VARCHAR(40) CHARACTER SET utf8mb4", "'grüße \U0001f40c'", "grüße \U0001f40c", "VARCHAR"),
    ("VARCHAR(10) CHARACTER SET latin1", "'é'", "é", "VARCHAR"),
    ("TEXT", "REPEAT('t', 60000)", "t" * 60000, None),
    ("BINARY(4)", "x'00ff00ff'", b"\x00\xff\x00\xff", None),
    ("VARBINARY(10)", "x'27005c22'", b"'\x00\\\"", None),
    ("LONGBLOB", "REPEAT(x'00', 3000000)", b"\0" * 3000000, None),
    ("ENUM('a','b')", "'b'", "b", "ENUM"),
    ("SET('x','y','z')", "'x,z'", "x,z", "SET"),
    ("JSON", "'{\"a\": [1, 2]}'", '{"a": [1, 2]}', None),
    ("INT", "NULL", None, "INT"),
]


@pytest.fixture
def client(cluster):
    with portcullis.Client(cluster.bundle, timeout_ms=20000) as own:
        yield own


@pytest.mark.parametrize("sql_type, literal, expected, name", COLUMNS,
                         ids=[f"{row[0]} {row[1][:20]}" for row in COLUMNS])
def test_a_column_comes_back_exactly(client, sql_type, literal, expected, name):
    client.query("DROP TABLE IF EXISTS valued", db="demo")
    client.query(f"CREATE TABLE valued (v {sql_type} NULL)", db="demo")
    client.query(f"INSERT INTO valued VALUES ({literal})", db="demo")
    result = client.query("SELECT v FROM valued", db="demo", consistency="source")
    value = result.rows[0][0]
    assert value == expected and type(value) is type(expected)
    column, type_name, flags = result.columns[0]
    assert column == "v" and isinstance(flags, int)
    if name is not None:
        assert type_name == name
    assert bool(flags & 32) == ("UNSIGNED" in sql_type or sql_type in ("YEAR", "BIT(64)")), flags


PARAMS = [
    (None, None), (True, 1), (False, 0), (-2**63, -2**63), (2**64 - 1, 2**64 - 1),
    (0, 0), (1.5, 1.5), (-1e308, -1e308),
    ("", ""), ("\U0001f9ff", "\U0001f9ff"),
    ("text with ' \" \\ \0 and ; --", "text with ' \" \\ \0 and ; --"),
    (b"\x00\x01\xff", b"\x00\x01\xff"),
    (decimal.Decimal("12345678901234567890.000000000000000001"),
     "12345678901234567890.000000000000000001"),
]


@pytest.mark.parametrize("value, expected", PARAMS, ids=[repr(row[0])[:30] for row in PARAMS])
def test_a_parameter_goes_in_exactly(client, value, expected):
    result = client.query("SELECT ? AS v", [value])
    got = result.rows[0][0]
    if isinstance(expected, str) and isinstance(got, str):
        assert got == expected
    else:
        assert got == expected, (got, result.columns)


def test_a_parameter_is_itself_whatever_came_before(client):
    """The same text on the same connections, with a value of another type each time."""
    for turn in range(50):
        for value, expected in PARAMS[turn % len(PARAMS):] + PARAMS[:turn % len(PARAMS)]:
            expected = int(expected) if isinstance(expected, bool) else expected
            got = client.query("SELECT ? AS v", [value], strategy="direct").rows[0][0]
            assert got == expected and type(got) is type(expected), (turn, value, got)


def test_temporal_parameters(client):
    client.query("DROP TABLE IF EXISTS timed", db="demo")
    client.query("CREATE TABLE timed (d DATE, t TIME(6), dt DATETIME(6))", db="demo")
    client.query("INSERT INTO timed VALUES (?, ?, ?)",
                 [datetime.date(2026, 11, 22), datetime.timedelta(hours=-3, microseconds=-7),
                  datetime.datetime(2026, 11, 22, 23, 59, 59, 999999)], db="demo")
    rows = client.query("SELECT d, t, dt FROM timed", db="demo", consistency="source").rows
    assert rows == [["2026-11-22", "-03:00:00.000007", "2026-11-22 23:59:59.999999"]]


def test_write_replies(client):
    client.query("DROP TABLE IF EXISTS wrote", db="demo")
    client.query("CREATE TABLE wrote (id INT AUTO_INCREMENT PRIMARY KEY, v INT)", db="demo")
    first = client.query("INSERT INTO wrote (v) VALUES (1), (2), (3)", db="demo")
    assert (first.affected, first.insert_id) == (3, 1) and first.token
    changed = client.query("UPDATE wrote SET v = v + 1 WHERE v > ?", [1], db="demo")
    assert changed.affected == 2 and changed.token != first.token
    assert client.query("DELETE FROM wrote", db="demo").affected == 3


def test_the_plan_of_a_cached_statement_follows_the_table(client):
    client.query("DROP TABLE IF EXISTS shaped", db="demo")
    client.query("CREATE TABLE shaped (a INT)", db="demo")
    client.query("INSERT INTO shaped VALUES (1)", db="demo")
    for turn in range(24):  # every connection of the pool has prepared it
        assert client.query("SELECT * FROM shaped", db="demo", strategy="direct").rows == [[1]]
    client.query("ALTER TABLE shaped ADD COLUMN b VARCHAR(10) DEFAULT 'new'", db="demo")
    for turn in range(24):
        result = client.query("SELECT * FROM shaped", db="demo", strategy="direct")
        assert result.rows == [[1, "new"]] and [c[0] for c in result.columns] == ["a", "b"]


def test_a_schema_does_not_stick_to_a_connection(client):
    for _ in range(16):
        client.query("SELECT COUNT(*) FROM customers", db="demo", strategy="direct")
    outcomes = set()
    for _ in range(16):
        outcomes.add(str(client.query("SELECT DATABASE()", strategy="direct").rows))
    assert len(outcomes) == 1, outcomes


def test_a_row_too_large_is_refused_and_the_agent_lives(client):
    row = ", ".join(["REPEAT('x', 1000000)"] * 20)
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query(f"SELECT {row}")
    assert caught.value.code == "TOO_LARGE"
    assert client.query("SELECT 1").rows == [[1]]
    rows = client.query("SELECT REPEAT('x', 1000000) FROM information_schema.columns LIMIT 40")
    assert [len(row[0]) for row in rows] == [1000000] * 40  # of rows there may be any number


def test_statements_that_cannot_be_prepared_run_too(client):
    rows = client.query("SHOW DATABASES").rows
    assert ["demo"] in rows
    assert client.query("EXPLAIN SELECT * FROM customers", db="demo").rows
    assert client.query("SHOW CREATE TABLE customers", db="demo").rows[0][0] == "customers"


def test_too_few_parameters_are_refused_with_the_count(client):
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query("SELECT ?, ?", [1])
    assert caught.value.retry == "never" and "params" in caught.value.message


def test_the_reader_account_cannot_write_whatever_the_class_says(cluster):
    """The class is a claim, the database the judge."""
    grants = str(cluster.sql(cluster.source(), "SHOW GRANTS FOR portcullis_read@localhost"))
    for word in (
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "SUPER",
    "FILE",
    "PROCESS",
     "ALL PRIVILEGES"):
        assert word not in grants.upper().replace("CREATE_", ""), grants
    assert "SELECT" in grants


def test_reply_is_plain_msgpack(client):
    reply = client.query("SELECT 1 AS one, 'x' AS two").reply
    assert list(reply)[:3] == ["v", "id", "ok"]
    assert msgpack.unpackb(msgpack.packb(reply)) == reply
