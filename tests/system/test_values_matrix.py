"""Every column type of both servers: what went in comes out, as a literal and as a parameter, and
what came out can go in again."""
import decimal
import math
import re
import struct

import portcullis
import pytest

from harness import FLAVOR, wait_until
from mysql_wire import Connection, type_name

MIB = 1 << 20
MINUS_ZERO = -0.0 if FLAVOR == "mysql" else 0.0  # MariaDB has none, neither in rows nor in CAST


def single(value):
    """The FLOAT that is nearest."""
    return struct.unpack("f", struct.pack("f", value))[0]


def point(x, y):
    """As both servers keep a POINT: the number of its reference system, then WKB."""
    return struct.pack("<IBIdd", 0, 1, 1, x, y)


def integers(name, bits):
    """Both signs of an integer type, with their limits."""
    top = 1 << bits
    return [(name, name, [str(n) for n in (-top // 2, -1, 0, 1, top // 2 - 1)],
             [-top // 2, -1, 0, 1, top // 2 - 1]),
            (f"{name} UNSIGNED", name, ["0", "1", str(top // 2), str(top - 1)],
             [0, 1, top // 2, top - 1])]


def texts(kind, name, values):
    """A text type; a quote and a backslash in a literal are doubled."""
    literals = ["'" + value.replace("\\", "\\\\").replace("'", "''") + "'" for value in values]
    return kind, name, literals, values


def octets(kind, name, values):
    return kind, name, [f"x'{value.hex()}'" for value in values], values


# Column type, its name in a reply, literals, what comes back for each.  NULL is tried with all.
COLUMNS = [
    *integers("TINYINT", 8), *integers("SMALLINT", 16), *integers("MEDIUMINT", 24),
    *integers("INT", 32), *integers("BIGINT", 64),
    ("BOOLEAN", "TINYINT", ["TRUE", "FALSE", "-7"], [1, 0, -7]),
    ("INT(5) UNSIGNED ZEROFILL", "INT", ["42", "4294967295"], [42, 4294967295]),
    ("DECIMAL(65,30)", "DECIMAL",
     ["-99999999999999999999999999999999999.999999999999999999999999999999", "0", "1e-30",
      "0.1", "-0.0"],
     ["-99999999999999999999999999999999999.999999999999999999999999999999", "0." + "0" * 30,
      "0." + "0" * 29 + "1", "0.1" + "0" * 29, "0." + "0" * 30]),
    ("DECIMAL(65,0)", "DECIMAL", ["9" * 65, "-" + "9" * 65], ["9" * 65, "-" + "9" * 65]),
    ("DECIMAL(10,2) UNSIGNED", "DECIMAL", ["99999999.99", "0.005"], ["99999999.99", "0.01"]),
    ("DECIMAL(1,1)", "DECIMAL", ["-0.9", "0.5"], ["-0.9", "0.5"]),
    ("FLOAT", "FLOAT", ["3.402823466e38", "-3.402823466e38", "1.17549435e-38", "1.401298464e-45",
                        "-0.0e0", "0e0", "0.1", "16777217"],
     [single(3.402823466e38), single(-3.402823466e38), single(1.17549435e-38), single(1.4e-45),
      MINUS_ZERO, 0.0, single(0.1), 16777216.0]),
    ("DOUBLE", "DOUBLE", ["1.7976931348623157e308", "-1.7976931348623157e308",
                          "2.2250738585072014e-308", "4.9406564584124654e-324", "-0.0e0", "0.1",
                          "9007199254740993", "3.0000000000000004"],
     [1.7976931348623157e308, -1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, MINUS_ZERO,
      0.1, 9007199254740992.0, 3.0000000000000004]),
    ("DATE", "DATE", ["'2026-11-22'", "'1000-01-01'", "'9999-12-31'", "'0000-00-00'",
                      "'0000-01-01'", "'2024-02-29'", "'2026-00-00'"],
     ["2026-11-22", "1000-01-01", "9999-12-31", "0000-00-00", "0000-01-01", "2024-02-29",
      "2026-00-00"]),
    ("TIME", "TIME", ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'", "'25:00:00'"],
     ["-838:59:59", "838:59:59", "00:00:00", "-00:00:01", "25:00:00"]),
    *[(f"TIME({n})", "TIME", [f"'-102:03:04.{'987654'[:n]}'", "'0:0:0'"],
       [f"-102:03:04.{'987654'[:n]}", f"00:00:00.{'000000'[:n]}"]) for n in range(1, 7)],
    ("DATETIME", "DATETIME", ["'2026-11-22 23:59:59'", "'0000-00-00 00:00:00'",
                              "'9999-12-31 23:59:59'", "'0000-01-01 00:00:00'", "'2026-11-22'"],
     ["2026-11-22 23:59:59", "0000-00-00 00:00:00", "9999-12-31 23:59:59", "0000-01-01 00:00:00",
      "2026-11-22 00:00:00"]),
    *[(f"DATETIME({n})", "DATETIME", [f"'1000-01-01 01:02:03.{'123456'[:n]}'", "'2026-01-01'"],
       [f"1000-01-01 01:02:03.{'123456'[:n]}", f"2026-01-01 00:00:00.{'000000'[:n]}"])
      for n in range(1, 7)],
    ("TIMESTAMP", "TIMESTAMP", ["'2026-11-22 10:00:00'", "'1971-01-01 00:00:00'",
                                "'2037-12-31 23:59:59'"],
     ["2026-11-22 10:00:00", "1971-01-01 00:00:00", "2037-12-31 23:59:59"]),
    ("TIMESTAMP(6)", "TIMESTAMP", ["'2026-11-22 10:00:00.000001'", "'2026-11-22 10:00:00'"],
     ["2026-11-22 10:00:00.000001", "2026-11-22 10:00:00.000000"]),
    ("YEAR", "YEAR", ["1901", "2155", "0", "'0000'", "'26'"], [1901, 2155, 0, 0, 2026]),
    *[(f"BIT({n})", "BIT", ["0", f"b'{'1' * n}'", "1"],
       [bytes((n + 7) // 8), ((1 << n) - 1).to_bytes((n + 7) // 8, "big"),
        (1).to_bytes((n + 7) // 8, "big")]) for n in (1, 7, 8, 9, 31, 32, 33, 63, 64)],
    texts("CHAR(20)", "CHAR", ["", "abc", "\U0001f40c grüße", "quote ' and \\"]),
    texts("CHAR(0)", "CHAR", [""]),
    texts("VARCHAR(200)", "VARCHAR", ["", "a ", "日本語", "\U0001f9ff" * 200, "tab\tnew\nline"]),
    texts("VARCHAR(20) CHARACTER SET latin1", "VARCHAR", ["", "café", "½ ÿ"]),
    texts("VARCHAR(20) CHARACTER SET utf16", "VARCHAR", ["", "ab", "\U0001f40c"]),
    texts("VARCHAR(20) CHARACTER SET ucs2", "VARCHAR", ["", "日本"]),
    texts("VARCHAR(20) CHARACTER SET sjis", "VARCHAR", ["日本語", "ソ表"]),
    texts("CHAR(10) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin", "CHAR", ["äöü", ""]),
    texts("VARCHAR(9) CHARACTER SET ascii", "VARCHAR", ["ascii", ""]),
    texts("TINYTEXT", "TINYTEXT", ["", "tiny", "ü" * 127]),
    texts("TEXT", "TEXT", ["", "text", "\U0001f40c" * 16383]),
    texts("MEDIUMTEXT", "MEDIUMTEXT", ["", "x" * 70000]),
    texts("LONGTEXT", "LONGTEXT", ["", "y" * 300000]),
    octets("BINARY(4)", "BINARY", [b"\0\0\0\0", b"\xff\0\x27\x5c"]),
    octets("VARBINARY(40)", "VARBINARY", [b"", b"\0", b"text", bytes(range(40)), b"\xff\xfe"]),
    octets("TINYBLOB", "TINYBLOB", [b"", bytes(range(255))]),
    octets("BLOB", "BLOB", [b"", b"\0" * 65535]),
    octets("MEDIUMBLOB", "MEDIUMBLOB", [b"", b"\xf0\x9f" * 40000]),
    octets("LONGBLOB", "LONGBLOB", [b"", b"\x80" * 100000]),
    ("ENUM('a','b ''c''','ü','')", "ENUM", ["'a'", "2", "'ü'", "''"], ["a", "b 'c'", "ü", ""]),
    ("SET('x','y','ü')", "SET", ["''", "'x,ü'", "7"], ["", "x,ü", "x,y,ü"]),
    ("POINT", "GEOMETRY", ["POINT(1.5, -2)"], [point(1.5, -2)]),
    ("GEOMETRY", "GEOMETRY", ["ST_GeomFromText('LINESTRING(0 0,1 1)')", "POINT(0, 0)"],
     [struct.pack("<IBIIdddd", 0, 1, 2, 2, 0, 0, 1, 1), point(0, 0)]),
]
if FLAVOR == "mysql":
    COLUMNS += [
        ("JSON", "JSON", ["'{\"b\": 1, \"a\": [1.50, null, \"ü\"]}'", "'[]'", "'null'",
                          "'18446744073709551615'", "'\"\U0001f40c\"'"],
         ['{"a": [1.5, null, "ü"], "b": 1}', "[]", "null", "18446744073709551615",
          '"\U0001f40c"']),
        ("VECTOR(3)", "VECTOR", ["TO_VECTOR('[1, -2.5, 0]')"], [struct.pack("<3f", 1, -2.5, 0)]),
        ("POINT SRID 4326", "GEOMETRY", ["ST_SRID(POINT(7, 8), 4326)"],
         [struct.pack("<IBIdd", 4326, 1, 1, 7, 8)]),
    ]
else:
    COLUMNS += [
        ("JSON", "LONGTEXT", ["'{\"b\": 1,  \"a\": [1.50]}'", "'null'", "'\"\U0001f40c\"'"],
         ['{"b": 1,  "a": [1.50]}', "null", '"\U0001f40c"']),
        ("UUID", "CHAR", ["'123E4567-e89b-12d3-a456-426655440000'"],
         ["123e4567-e89b-12d3-a456-426655440000"]),
        ("INET6", "CHAR", ["'::1'", "'2001:DB8::ffff'", "'::ffff:10.0.0.1'"],
         ["::1", "2001:db8::ffff", "::ffff:10.0.0.1"]),
        ("INET4", "CHAR", ["'10.0.0.1'", "'255.255.255.255'"], ["10.0.0.1", "255.255.255.255"]),
    ]


@pytest.fixture
def client(cluster):
    with portcullis.Client(cluster.bundle, timeout_ms=30000) as own:
        yield own


def alike(one, other):
    """The same value of the same type; the zeros differ."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other and type(one) is type(other)


def make(client, table, kind):
    client.query(f"DROP TABLE IF EXISTS {table}", db="demo")
    client.query(f"CREATE TABLE {table} (id INT PRIMARY KEY, v {kind} NULL)", db="demo")


@pytest.mark.parametrize("kind, name, literals, expected", COLUMNS,
                         ids=[re.sub(r"\W+", " ", column[0]) for column in COLUMNS])
def test_what_goes_in_comes_out_and_goes_in_again(client, kind, name, literals, expected):
    make(client, "matrix", kind)
    rows = ", ".join(f"({at}, {literal})" for at, literal in enumerate([*literals, "NULL"]))
    client.query(f"INSERT INTO matrix VALUES {rows}", db="demo")
    result = client.query("SELECT v FROM matrix ORDER BY id", db="demo", consistency="source",
                          page_bytes=8 * MIB)
    assert result.columns[0][:2] == ["v", name]
    got = [row[0] for row in result.rows]
    assert len(got) == len(expected) + 1 and got[-1] is None
    for at, value in enumerate(expected):
        assert alike(got[at], value), (kind, literals[at][:60], got[at], value)
    for at, value in enumerate(got):
        client.query("INSERT INTO matrix VALUES (?, ?)", [1000 + at, value], db="demo")
    again = client.query("SELECT v FROM matrix WHERE id >= 1000 ORDER BY id", db="demo",
                         consistency="source", page_bytes=8 * MIB)
    assert all(map(alike, [row[0] for row in again.rows], got)), (got, again.rows)
    inside = client.query("SELECT COUNT(*) FROM matrix AS a JOIN matrix AS b ON b.id = a.id + 1000 "
                          "WHERE HEX(a.v) <=> HEX(b.v)", db="demo", consistency="source")
    assert inside.rows == [[len(got)]], "the server keeps something else"


@pytest.mark.parametrize("kind, name, literals, expected", COLUMNS[::4],
                         ids=[re.sub(r"\W+", " ", column[0]) for column in COLUMNS[::4]])
def test_a_replica_has_the_same(cluster, client, kind, name, literals, expected):
    make(client, "matrix", kind)
    for at, literal in enumerate(literals):
        client.query(f"INSERT INTO matrix VALUES ({at}, {literal})", db="demo")
    cluster.wait_replicated()
    result = client.query("SELECT v FROM matrix ORDER BY id", db="demo", strategy="random",
                          page_bytes=8 * MIB)
    assert result.route["role"] == "replica" and result.columns[0][1] == name
    assert all(alike(row[0], value) for row, value in zip(result.rows, expected))


PARAMS = [
    (True, "SIGNED", 1), (-2**63, "SIGNED", -2**63), (2**63 - 1, "SIGNED", 2**63 - 1),
    (2**63, "UNSIGNED", 2**63), (2**64 - 1, "UNSIGNED", 2**64 - 1),
    (5e-324, "DOUBLE", 5e-324), (-0.0, "DOUBLE", MINUS_ZERO),
    (1.7976931348623157e308, "DOUBLE", 1.7976931348623157e308),
    (decimal.Decimal("-" + "9" * 35 + "." + "9" * 30), "DECIMAL(65,30)",
     "-" + "9" * 35 + "." + "9" * 30),
    (decimal.Decimal("1E+3"), "DECIMAL(10,2)", "1000.00"),
    ("", "CHAR", ""), ("with \0 NUL", "CHAR", "with \0 NUL"), ("\U0001f40c", "CHAR", "\U0001f40c"),
    (b"", "BINARY", b""), (b"\0\xff", "BINARY", b"\0\xff"), (b"text", "BINARY", b"text"),
    ("-838:59:59.000000", "TIME(6)", "-838:59:59.000000"),
    ("0000-00-00", "DATE", None), (None, "CHAR", None), (None, "SIGNED", None),
]


@pytest.mark.parametrize("value, kind, expected", PARAMS, ids=[repr(row[0])[:30] for row in PARAMS])
def test_a_parameter_is_what_it_was(client, value, kind, expected):
    got = client.query(f"SELECT CAST(? AS {kind}) AS v", [value]).rows[0][0]
    if value == "0000-00-00":
        assert got in (None, "0000-00-00")  # MySQL casts no zero date
    else:
        assert alike(got, expected), (got, expected)


def test_a_text_of_every_character_passes_both_ways(client):
    make(client, "matrix", "LONGTEXT")
    whole = "".join(map(chr, [*range(0xd800), *range(0xe000, 0x110000)]))
    client.query("INSERT INTO matrix VALUES (1, ?)", [whole], db="demo")
    got = client.query("SELECT v FROM matrix", db="demo", consistency="source").rows[0][0]
    assert got == whole


def test_octets_of_every_value_pass_both_ways(client):
    make(client, "matrix", "LONGBLOB")
    whole = bytes(range(256)) * 4096
    client.query("INSERT INTO matrix VALUES (1, ?)", [whole], db="demo")
    got = client.query("SELECT v FROM matrix", db="demo", consistency="source").rows[0][0]
    assert got == whole


def resident_kib(cluster):
    return {name: cluster.resident_kib(name) for name in cluster.daemons()}


@pytest.mark.parametrize("kind, value", [("LONGBLOB", b"\xa5" * (16 * MIB)),
                                         ("LONGTEXT", "z" * (16 * MIB)),
                                         ("MEDIUMBLOB", b"\0" * (16 * MIB - 1))],
                         ids=["LONGBLOB", "LONGTEXT", "MEDIUMBLOB"])
def test_sixteen_mebibytes_pass_both_ways_and_leave_no_memory_behind(cluster, client, kind, value):
    make(client, "matrix", kind)
    before = resident_kib(cluster)
    for turn in range(3):
        client.query("REPLACE INTO matrix VALUES (1, ?)", [value], db="demo")
        result = client.query("SELECT v FROM matrix", db="demo", consistency="source")
        assert result.rows == [[value]]
    length = client.query("SELECT LENGTH(v) FROM matrix", db="demo", consistency="source").rows
    assert length == [[len(value)]]
    client.query("DROP TABLE matrix", db="demo")

    def given_back():
        client.query("SELECT 1")
        now = resident_kib(cluster)
        return all(now[name] < max(before[name] + 8 * 1024, 64 * 1024) for name in now)

    wait_until(given_back, 10, f"memory to be given back: {before}, {resident_kib(cluster)}")
    cluster.wait_replicated(60)


def test_what_is_over_the_bounds_is_refused_and_nothing_breaks(client):
    make(client, "matrix", "LONGBLOB")
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query("INSERT INTO matrix VALUES (1, ?)", [b"\0" * (17 * MIB)], db="demo")
    # The gatekeeper says so by itself, without a seal: its "never" is not believed.
    assert caught.value.code == "TOO_LARGE" and caught.value.retry == "unsafe"
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query("SELECT REPEAT('x', 18000000)", db="demo")
    assert caught.value.code == "TOO_LARGE"
    assert client.query("SELECT COUNT(*) FROM matrix", db="demo").rows == [[0]]


def direct_columns(cluster, sql):
    """What the server itself says of the columns."""
    password = (cluster.var / "secrets" / "read.password").read_text().strip()
    with Connection(cluster.node(cluster.source())["socket"], "portcullis_read", password,
                    FLAVOR) as session:
        session.use("demo")
        return session.execute(sql)[0].columns


@pytest.mark.parametrize("kind", [column[0] for column in COLUMNS],
                         ids=[re.sub(r"\W+", " ", column[0]) for column in COLUMNS])
def test_metadata_is_what_the_server_says(cluster, client, kind):
    make(client, "matrix", kind)
    sql = "SELECT m.v AS seen FROM matrix AS m"
    result = client.query(sql, db="demo", consistency="source", metadata=True)
    column = direct_columns(cluster, sql)[0]
    assert result.columns == [["seen", type_name(column), column.flags & 0x7fff]]
    assert result.reply["metadata"] == [["demo", "m", "matrix", "v", column.charset,
                                         column.length, column.decimals]]
    assert "metadata" not in client.query(sql, db="demo", consistency="source").reply


@pytest.mark.parametrize("size", [1, 64, 249, 250, 251, 252, 255, 256, 400])
@pytest.mark.parametrize("letter", ["x", "\u00e4", "\U0001f40c"])
def test_a_long_name_of_a_column_comes_whole(cluster, client, letter, size):
    """As whole as the server sends it, which cuts one that it makes up itself."""
    word = (letter * size).encode()[:size].decode(errors="ignore") or "x"
    alias = word[:60].replace("\U0001f40c", "e")  # MariaDB takes no such character in a name
    for sql in (f"SELECT '{word}', 1 AS b", f"SELECT 0 AS a, CONCAT('{word}', 1), 2 AS c FROM "
                "customers GROUP BY 2 ORDER BY 2", f"SELECT 1 AS `{alias}`, '{word}' AS d"):
        result = client.query(sql, db="demo", consistency="source", metadata=True)
        columns = direct_columns(cluster, sql)
        assert [column[0] for column in result.columns] == [column.name for column in columns]
        assert [column[3] for column in result.reply["metadata"]] == [
            column.org_name for column in columns]
