#!/usr/bin/env python3
"""Ask a scratch MariaDB or MySQL server whether the classifier is right.

usage: check_sql_reads.py SOCKET [FILE_OR_FOLDER ...]

Never point it at a server whose data matter: it runs what it is given, as
root, on purpose.  The statements are those of tests/data/sql and of the files
and folders named (a fuzz corpus, for instance: one statement a file).  It
fails when

  1. a statement that is a read for us changed something: a new GTID, a row, a
     file that the server wrote, a lock, an open transaction;
  2. the server counts other placeholders than we do, which shows that it cuts
     the text elsewhere;
  3. a server calls a stored function for a name that we take for a harmless
     built-in, unless it is one that some versions build in and others do not:
     clients cannot make a function of such a name;
  4. the server makes a stored program that we accept, and whose body, as the
     server found it, is one that must not be: which shows that we looked for
     the body elsewhere.  PCL_TEST_SEED replays a run.

The classifier is compiled into a shared object on the spot ($CC, or cc).
"""
import ctypes
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
READ, REFUSED = 1, 9
ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
ABSENT = {"md5", "sha", "sha1"}  # a component's since MySQL 9.6, and free names without it
PROGRAMS = 10000
SQL_MODE = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"


TYPES = ("INT", "VARCHAR(9)", "CHAR CHARSET utf8mb4", "CHAR CHARACTER SET latin1",
         "TEXT COLLATE utf8mb4_bin", "SET('a','b')", "ENUM('a')", "DECIMAL(10,2) UNSIGNED ZEROFILL",
         "DOUBLE PRECISION", "NATIONAL CHAR VARYING(3)", "LONG VARCHAR", "DATE", "JSON",
         "CHAR BYTE", "CHAR(3) BINARY", "CHAR ASCII", "LONG", "BIT(3)", "YEAR", "POINT",
         "TIMESTAMP(3)")
TRAITS = ("COMMENT 'x'", "LANGUAGE SQL", "DETERMINISTIC", "NOT DETERMINISTIC", "NO SQL",
          "CONTAINS SQL", "READS SQL DATA", "MODIFIES SQL DATA", "SQL SECURITY INVOKER",
          "SQL SECURITY DEFINER", "/* c */", "-- c\n")
NOISE = ("(", "(", ")", "'s'", "charset", "collate", "set", "=", ",", ".", "binary", "x", ":",
         "returns", "as", "is", "comment", "character", "data", "date", "long", "int")
BODIES = ("KILL 5", "SET @z = 1", "SET PASSWORD = 'x'", "GRANT ALL ON pcl_oracle.* TO a",
          "FLUSH TABLES", "SET GLOBAL read_only = 0", "EXECUTE x", "PREPARE x FROM 'SELECT 1'",
          "SET NAMES latin1", "START TRANSACTION", "COMMIT", "SHUTDOWN", "RESET MASTER",
          "ALTER USER root@localhost ACCOUNT LOCK", "CREATE USER zz", "XA RECOVER",
          "DEALLOCATE PREPARE x", "SIGNAL SQLSTATE '45000'", "SHOW PROCESSLIST",
          "DO GET_LOCK('x', 1)", "SELECT @x", "HANDLER t OPEN", "SET autocommit = 0",
          "EXECUTE IMMEDIATE 'SELECT 1'", "BEGIN END", "SET NEW.a = 1, autocommit = 0",
          "LOCK TABLES t READ")


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Verdict(ctypes.Structure):
    _fields_ = [("sql_class", ctypes.c_int), ("statement_class", ctypes.c_int),
                ("rule", ctypes.c_char_p), ("offset", ctypes.c_uint32),
                ("placeholder_count", ctypes.c_uint32)]


def classifier(folder):
    path = folder / "classifier.so"
    sources = sorted(str(source) for part in ("sql", "common")
                     for source in (ROOT / part).glob("*.c"))
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-O1", "-shared", "-fPIC",
                    f"-I{ROOT}", "-o", str(path), *sources], check=True)
    library = ctypes.CDLL(str(path))
    library.pcl_sql_classify.restype = Verdict
    library.pcl_sql_classify.argtypes = [Bytes]
    library.pcl_sql_function_name.restype = ctypes.c_char_p
    library.pcl_sql_function_name.argtypes = [ctypes.c_size_t]
    return library


class Server:
    """One connection through the client library: its command-line client would
    cut the text itself."""

    def __init__(self, socket):
        for name in ("libmariadb.so.3", "libmysqlclient.so.24", "libmysqlclient.so.21"):
            try:
                self.c = ctypes.CDLL(name)
                break
            except OSError:
                continue
        pointer = ctypes.c_void_p
        for function in ("mysql_init", "mysql_real_connect", "mysql_store_result",
                         "mysql_fetch_row", "mysql_fetch_lengths", "mysql_stmt_init"):
            getattr(self.c, function).restype = pointer
        for function in ("mysql_error", "mysql_stmt_error"):
            getattr(self.c, function).restype = ctypes.c_char_p
        self.c.mysql_stmt_param_count.restype = ctypes.c_ulong
        self.socket = socket.encode()
        self.connect()

    def connect(self):
        self.db = ctypes.c_void_p(self.c.mysql_init(None))
        if not self.c.mysql_real_connect(self.db, None, b"root", None, None, 0, self.socket,
                                         ctypes.c_ulong(0)):
            sys.exit(self.c.mysql_error(self.db).decode())
        self.must("SET NAMES utf8mb4")
        self.must(f"SET sql_mode = '{SQL_MODE}'")
        for limit in ("max_statement_time = 0.5", "max_execution_time = 500"):
            self.run(f"SET {limit}".encode())
        self.run(b"USE pcl_oracle")

    def close(self):
        self.c.mysql_close(self.db)

    def run(self, text):
        """(error or None, first value of the first row or None)"""
        if self.c.mysql_real_query(self.db, text, ctypes.c_ulong(len(text))):
            return self.c.mysql_error(self.db).decode(errors="replace"), None
        value = None
        result = self.c.mysql_store_result(self.db)
        if result:
            row = self.c.mysql_fetch_row(ctypes.c_void_p(result))
            if row:
                first = ctypes.cast(row, ctypes.POINTER(ctypes.c_char_p))[0]
                value = first.decode(errors="replace") if first is not None else None
            self.c.mysql_free_result(ctypes.c_void_p(result))
        return None, value

    def must(self, text):
        error, value = self.run(text.encode())
        if error:
            sys.exit(f"{text}: {error}")
        return value

    def placeholder_count(self, text):
        """What the server counts when it prepares the text, None when it will not."""
        statement = ctypes.c_void_p(self.c.mysql_stmt_init(self.db))
        try:
            if self.c.mysql_stmt_prepare(statement, text, ctypes.c_ulong(len(text))):
                return None
            return self.c.mysql_stmt_param_count(statement)
        finally:
            self.c.mysql_stmt_close(statement)


def prepare(server):
    for text in ("DROP DATABASE IF EXISTS pcl_oracle", "CREATE DATABASE pcl_oracle",
                 "USE pcl_oracle", "SET GLOBAL log_bin_trust_function_creators = 1"):
        server.must(text)
    columns = "a INT, b INT, c TEXT, d INT, doc TEXT, x INT"
    for table in ("t", "u", "v", "t1", "users", "log"):
        server.must(f"CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, {columns})")
        server.must(f"INSERT INTO {table} (a, b, doc) VALUES (1, 2, '{{}}'), (3, 4, '[]')")
    server.must("CREATE FUNCTION f (p INT) RETURNS INT DETERMINISTIC "
                "BEGIN INSERT INTO log (a) VALUES (p); RETURN p; END")
    server.run(b"CREATE SEQUENCE s")


def state(server, folder):
    gtid = server.run(b"SELECT @@global.gtid_binlog_pos")
    if gtid[0]:
        gtid = server.run(b"SELECT @@global.gtid_executed")
    probes = [b"SELECT COUNT(*) FROM pcl_oracle.log", b"SELECT COUNT(*) FROM pcl_oracle.t",
              b"SELECT COUNT(*) FROM information_schema.innodb_trx",
              b"SELECT IS_USED_LOCK('x')"]
    files = sorted(entry.name for entry in folder.glob("*"))
    return [gtid] + [server.run(probe) for probe in probes] + [files]


def unescape(text):
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)",
                  lambda m: ESCAPES.get(m[1]) or bytes([int(m[1][1:], 16)]), text)


def statements(paths):
    for path in sorted((ROOT / "tests/data/sql").glob("*.txt")):
        for line in path.read_bytes().split(b"\n"):
            if line and not line.startswith(b"#"):
                yield unescape(line.partition(b"\t")[2])
    for path in map(pathlib.Path, paths):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file.read_bytes() for file in files if file.is_file())


def check_statements(server, library, paths, folder):
    counts = {"statements": 0, "reads": 0, "reads run": 0, "prepared": 0, "wrong": 0}
    before = state(server, folder)
    for text in statements(paths):
        verdict = library.pcl_sql_classify(Bytes(text, len(text)))
        counts["statements"] += 1
        if verdict.sql_class == REFUSED:
            continue
        prepared = server.placeholder_count(text)
        if prepared is not None:
            counts["prepared"] += 1
            if prepared != verdict.placeholder_count:
                counts["wrong"] += 1
                print(f"placeholders {prepared}, not {verdict.placeholder_count}: {text!r}")
        if verdict.sql_class != READ:
            continue
        counts["reads"] += 1
        error, _ = server.run(text)
        counts["reads run"] += error is None
        if error and "gone away" in error:
            server.connect()
        after = state(server, folder)
        if after != before:
            counts["wrong"] += 1
            print(f"a read that changes something: {text!r}\n  {before}\n  {after}")
            before = after
            server.close()
            server.connect()
    return counts


def check_functions(server, library):
    wrong = 0
    names = []
    while library.pcl_sql_function_name(len(names)) is not None:
        names.append(library.pcl_sql_function_name(len(names)).decode())
    for name in names:
        for arity in range(6):
            parameters = ", ".join(f"p{index} INT" for index in range(arity))
            values = ", ".join(str(index + 1) for index in range(arity))
            server.must(f"CREATE FUNCTION `{name}` ({parameters}) RETURNS VARCHAR(9) "
                        "DETERMINISTIC RETURN 'STORED'")
            for call in (f"{name}({values})", f"{name} ({values})", f"{name}((SELECT 1))"):
                text = f"SELECT {call}".encode()
                verdict = library.pcl_sql_classify(Bytes(text, len(text)))
                stored = verdict.sql_class == READ and server.run(text)[1] == "STORED"
                if stored and name not in ABSENT:
                    wrong += 1
                    print(f"a stored function may stand for it: {call}")
            server.must(f"DROP FUNCTION `{name}`")
        made = f"CREATE FUNCTION {name}() RETURNS INT RETURN 1".encode()
        if library.pcl_sql_classify(Bytes(made, len(made))).sql_class != REFUSED:
            wrong += 1
            print(f"a client may make a stored function of this name: {name}")
    return len(names), wrong


def some(choose, texts, most):
    return " ".join(choose(texts) for _ in range(choose(range(most + 1))))


def program(choose):
    """A definition whose body is none of those that may be, sometimes with words
    between that belong nowhere."""
    name = choose(("zz", "`zz`", "pcl_oracle.zz", "pcl_oracle . `zz`", "IF NOT EXISTS zz"))
    noise = some(choose, NOISE, 2) if choose(range(3)) == 0 else ""
    tail = f"{some(choose, TRAITS, 3)} {noise} {choose(BODIES)}"
    sort = choose(("PROCEDURE", "FUNCTION", "TRIGGER"))
    if sort == "TRIGGER":
        return (f"CREATE TRIGGER {name} {choose(('BEFORE', 'AFTER'))} "
                f"{choose(('INSERT', 'UPDATE', 'DELETE'))} ON t FOR EACH ROW {noise} "
                f"{choose(BODIES)}")
    modes = ("", "IN ", "OUT ", "INOUT ") if sort == "PROCEDURE" else ("",)
    parameters = ", ".join(f"{choose(modes)}{parameter} {choose(TYPES)}"
                           for parameter in "abc"[:choose(range(4))])
    returns = f"RETURNS {choose(TYPES)}" if sort == "FUNCTION" else ""
    return f"CREATE {sort} {name} ({parameters}) {returns} {tail}"


def check_programs(server, library):
    seed = int(os.environ.get("PCL_TEST_SEED", "0"), 0) or random.randrange(1, 1 << 32)
    print(f"PCL_TEST_SEED={seed}")
    choose = random.Random(seed).choice
    accepted = wrong = 0
    for _ in range(PROGRAMS):
        text = program(choose).encode()
        if library.pcl_sql_classify(Bytes(text, len(text))).sql_class == REFUSED:
            continue
        accepted += 1
        if server.run(text)[0] is None:
            wrong += 1
            print(f"a stored program that must not be: {text!r}")
            for sort in ("PROCEDURE", "FUNCTION", "TRIGGER"):
                server.must(f"DROP {sort} IF EXISTS zz")
    return accepted, wrong


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        library = classifier(pathlib.Path(folder))
        server = Server(sys.argv[1])
        prepare(server)
        server.connect()
        written = pathlib.Path(server.must("SELECT @@datadir")) / "pcl_oracle"
        counts = check_statements(server, library, sys.argv[2:], written)
        functions, wrong = check_functions(server, library)
        accepted, wrong_programs = check_programs(server, library)
        server.must("DROP DATABASE pcl_oracle")
    print(", ".join(f"{value} {name}" for name, value in counts.items()))
    print(f"{functions} functions, {wrong} wrong")
    print(f"{PROGRAMS} stored programs, {accepted} accepted, {wrong_programs} wrong")
    sys.exit(bool(counts["wrong"] or wrong or wrong_programs))


if __name__ == "__main__":
    main()
