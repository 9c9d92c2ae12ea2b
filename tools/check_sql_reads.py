#!/usr/bin/env python3
"""Ask a scratch MariaDB or MySQL server whether the classifier is right.

usage: check_sql_reads.py SOCKET [FILE_OR_FOLDER ...]

Never point it at a server whose data matter: it runs what it is given, as
root, on purpose.  The statements are those of tests/data/sql and of the files
and folders named (a fuzz corpus, for instance: one statement a file), and
variants of them, made as tests/unit/test_sql_evasion.c makes them, until
PCL_TEST_VARIANTS (default 20000) that are reads for us ran without an error.
PCL_TEST_SEED replays a run.  It fails when

  1. a read for us, run by the account for reads or by one that may write and has
     the right to files, changed something: a GTID, a row, a file, a lock, an open
     transaction, a variable of its session;
  2. a text that we accept is more than one statement to the server, or has other
     placeholders, which shows that it cuts the text elsewhere;
  3. a text whose form is no more than a write ends the transaction around it, or
     leaves a lock;
  4. a SET that we accept changed a variable that agents pin or go by;
  5. the server makes a stored program that we accept, and whose body, as the
     server found it, is one that must not be;
  6. an ordinary statement of an application (tests/data/sql/app_*.txt) is none to
     the server: then it shows nothing.

The classifier is compiled into a shared object on the spot ($CC, or cc).
"""
import ctypes
import itertools
import os
import pathlib
import random
import re
import sys
import tempfile
import time

from sql_scratch import (LOST, READ, REFUSED, ROOT, SCHEMA, WRITE, Classifier, Server,
                         function_table)

ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
PROGRAMS = 10000
SETTINGS = 20000
BATCH = 200
DATA = ROOT / "tests/data/sql"
READER, WRITER = "pcl_reader", "pcl_writer"
NOT_PREPARABLE, READ_ONLY = 1295, 1792
SLOW = re.compile(rb"(?i)sleep|benchmark|\+\)\+")  # MySQL has no limit of time but for reads
# What a session may set, and what changes by itself.
PASSING = ("timestamp|rand_seed[12]|last_gtid|warning_count|error_count|insert_id|identity|"
           "last_insert_id|pseudo_thread_id|gtid_(executed|binlog_pos|current_pos|binlog_state)|"
           "statement_id|in_transaction|innodb_purge.*|binlog_.*cache.*")


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


def prepare(server):
    for text in (f"DROP DATABASE IF EXISTS {SCHEMA}", f"CREATE DATABASE {SCHEMA}",
                 f"USE {SCHEMA}", "SET GLOBAL log_bin_trust_function_creators = 1"):
        server.must(text)
    columns = "a INT, b INT, c TEXT, d INT, doc TEXT, x INT"
    for table in ("t", "u", "v", "t1", "users", "log"):
        server.must(f"CREATE TABLE {table} (id INT PRIMARY KEY AUTO_INCREMENT, {columns})")
        server.must(f"INSERT INTO {table} (a, b, doc) VALUES (1, 2, '{{}}'), (3, 4, '[]')")
    server.must("CREATE FUNCTION f (p INT) RETURNS INT DETERMINISTIC "
                "BEGIN INSERT INTO log (a) VALUES (p); RETURN p; END")
    server.run(b"CREATE SEQUENCE s")
    for user, rights in ((READER, "SELECT, SHOW VIEW"), (WRITER, "ALL PRIVILEGES")):
        server.must(f"DROP USER IF EXISTS {user}@localhost")
        server.must(f"CREATE USER {user}@localhost")
        server.must(f"GRANT {rights} ON {SCHEMA}.* TO {user}@localhost")
    server.must(f"GRANT FILE ON *.* TO {WRITER}@localhost")
    server.schema = SCHEMA


def gtid_of(server):
    mariadb = server.flavor() == "mariadb"
    return server.must("SELECT @@global.gtid_" + ("binlog_pos" if mariadb else "executed"))


class World:
    """What a read must leave as it is."""

    def __init__(self, server, data):
        self.server, self.folders = server, [data, data / SCHEMA]
        self.mariadb = server.flavor() == "mariadb"

    def files(self):
        passing = re.compile(r"(bin|ib|aria|undo|relay|#|multi-master|ddl|tc\.log)")
        return [sorted(entry.name for entry in folder.iterdir() if not passing.match(entry.name))
                for folder in self.folders]

    def transactions(self, sessions):
        """Those that the sessions left open."""
        if self.mariadb:
            return [one.rows(b"SELECT @@in_transaction") for one in sessions]
        ids = ", ".join(one.must("SELECT CONNECTION_ID()") for one in sessions)
        return self.server.rows(b"SELECT COUNT(*) FROM information_schema.innodb_trx "
                                b"WHERE trx_mysql_thread_id IN (%s)" % ids.encode())

    def user_variables(self, sessions):
        if self.mariadb:
            return [one.rows(b"SELECT * FROM information_schema.user_variables")
                    for one in sessions]
        ids = ", ".join(one.must("SELECT CONNECTION_ID()") for one in sessions)
        return self.server.rows(b"SELECT variable_name FROM performance_schema.threads JOIN "
                                b"performance_schema.user_variables_by_thread USING (thread_id) "
                                b"WHERE processlist_id IN (%s)" % ids.encode())

    def sure(self, question):
        """The answer; MySQL's own limit on a SELECT may end one on a busy machine."""
        for _ in range(5):
            rows = self.server.rows(question)
            if rows is not None:
                return rows
        raise RuntimeError(f"{question}: {self.server.errno()}")

    def state(self, sessions):
        settings = (f"SHOW SESSION VARIABLES WHERE Variable_name NOT RLIKE '^({PASSING})$'"
                    .encode())
        tables = (b"SELECT (SELECT COUNT(*) FROM log), (SELECT COUNT(*) FROM t), "
                  b"(SELECT COUNT(*) FROM u)")
        return {"gtid": gtid_of(self.server), "rows": self.sure(tables),
                "files": self.files(), "transactions": self.transactions(sessions),
                "user variables": self.user_variables(sessions),
                "settings": [one.rows(settings) for one in sessions],
                "locks": [one.rows(b"SELECT RELEASE_ALL_LOCKS()") for one in sessions],
                "insert id": [one.rows(b"SELECT LAST_INSERT_ID()") for one in sessions]}


def unescape(text):
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)",
                  lambda m: ESCAPES.get(m[1]) or bytes([int(m[1][1:], 16)]), text)


def lines(path):
    """(class, text) of each statement."""
    for line in path.read_bytes().split(b"\n"):
        if line and not line.startswith(b"#"):
            name, _, text = line.partition(b"\t")
            yield name.decode(), unescape(text)


def statements(paths):
    for path in sorted(DATA.glob("*.txt")):
        yield from (text for _, text in lines(path))
    for path in map(pathlib.Path, paths):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file.read_bytes() for file in files if file.is_file())


def variants(classifier, seed):
    """For ever: the variants that are accepted."""
    library = classifier.library
    library.pcl_evasion_start.argtypes = [ctypes.c_uint64]
    library.pcl_evasion_add.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.pcl_evasion_make.restype = ctypes.POINTER(ctypes.c_ubyte)
    library.pcl_evasion_start(seed)
    kept = [text for _, text in lines(DATA / "evasion.txt")]
    for text in kept:
        library.pcl_evasion_add(text, len(text), classifier.class_of(text))
    size = ctypes.c_size_t()
    seen = set()
    while True:
        made = library.pcl_evasion_make(len(seen) % 4 == 0, ctypes.byref(size))
        text = bytes(made[:size.value])
        if text in seen:
            continue
        seen.add(text)
        if classifier.class_of(text) != REFUSED:
            yield text


def function_calls(choose):
    """Each function that we know, with arguments of all sorts."""
    values = ("1", "0", "-1", "NULL", "'a'", "'{}'", "'$'", "'x'", "NOW()", "1.5", "a", "doc",
              "ST_GeomFromText('POINT(1 2)')", "'POLYGON((0 0,0 1,1 1,0 0))'", "(SELECT 1)",
              "X'0101'", "'2024-01-01 10:00:00'", "'[1, 2]'", "@@datadir", "'UTC'")
    for name in function_table():
        for count in (0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5):
            arguments = ", ".join(choose(values) for _ in range(count))
            yield f"SELECT {name}({arguments}) FROM t".encode()
            yield f"SELECT {name}({arguments}) OVER () FROM t".encode()


class Reads:
    """Runs reads by both accounts, in batches, and looks for what they changed."""

    def __init__(self, socket, world, classifier, limit_ms):
        self.world, self.classifier = world, classifier
        self.sessions = [Server(socket, user, SCHEMA, several=True) for user in (READER, WRITER)]
        # MariaDB may call a stored function when it prepares a text that names one.
        self.parser = Server(socket, "root", SCHEMA)
        self.parser.must("SET autocommit = 0")
        self.limit_ms = limit_ms
        self.waiting = []
        self.counts = {"accepted": 0, "prepared": 0, "reads": 0, "reads that ran": 0, "lost": 0,
                       "wrong": 0}
        self.before = self.look()

    def look(self):
        """The state, without the time limit that holds for reads."""
        self.parser.must("ROLLBACK")
        self.sessions[0].must("SET SESSION TRANSACTION READ ONLY")
        for session in self.sessions:
            session.limit(10000)
        state = self.world.state(self.sessions)
        for session in self.sessions:
            session.limit(self.limit_ms)
        return state

    def wrong(self, what, text):
        self.counts["wrong"] += 1
        print(f"{what}: {text!r}")

    def add(self, text):
        verdict = self.classifier.judge(text)
        if verdict.sql_class == REFUSED:
            return
        self.counts["accepted"] += 1
        error, count = self.parser.prepare(text)
        if error in LOST:
            self.counts["lost"] += 1
            self.parser.must("SET autocommit = 0")
        if error == 0:
            self.counts["prepared"] += 1
            if count != verdict.placeholder_count:
                self.wrong(f"placeholders {count}, not {verdict.placeholder_count}", text)
        if verdict.sql_class == READ:
            self.counts["reads"] += 1
            self.waiting.append(text)
            if len(self.waiting) >= BATCH:
                self.flush()

    def run(self, text):
        for session in self.sessions:
            rows = session.rows(text)
            if rows is None and session.lost():
                self.counts["lost"] += 1
                session.limit(self.limit_ms)
            elif rows is not None and session is self.sessions[1]:
                self.counts["reads that ran"] += 1
            elif rows is None and session.errno() == READ_ONLY:
                self.wrong("a read that the server takes for a write", text)
            if session.has_more():
                self.wrong("more than one statement", text)

    def changed(self, texts):
        for text in texts:
            self.run(text)
        after = self.look()
        if after == self.before:
            return False
        self.difference = differences(self.before, after)
        if len(texts) == 1:
            self.wrong("a read that changes something", texts[0])
            print(self.difference)
        for session in self.sessions:
            session.reconnect()
        self.before = self.look()
        return True

    def flush(self):
        texts, self.waiting = self.waiting, []
        if texts and self.changed(texts):
            difference = self.difference
            if not any([self.changed([text]) for text in texts]):
                self.wrong("reads that change something together", texts)
                print(difference)


def differences(before, after):
    """What differs, in the smallest pieces."""
    if isinstance(before, dict):
        return "".join(f"  {name}:\n{differences(before[name], after[name])}"
                       for name in before if before[name] != after[name])
    if isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and \
            len(before) == len(after):
        return "".join(differences(one, two) for one, two in zip(before, after) if one != two)
    return f"    {str(before)[:300]}\n    {str(after)[:300]}\n"


def check_transactions(socket, classifier, texts, most):
    """A text whose form is no more than a write neither ends the transaction around it nor
    leaves a lock."""
    session = Server(socket, WRITER, SCHEMA)
    session.limit(100)
    count = ran = wrong = 0
    for text in texts:
        if classifier.judge(text).statement_class > WRITE or SLOW.search(text):
            continue
        count += 1
        session.must("START TRANSACTION")
        session.must("SAVEPOINT pcl_mark")
        ran += session.rows(text) is not None
        if session.lost():
            session.limit(100)
            continue
        ended = session.run(b"RELEASE SAVEPOINT pcl_mark")[0]
        session.must("ROLLBACK")
        locks = session.must("SELECT RELEASE_ALL_LOCKS()")
        if ended or locks != "0":
            wrong += 1
            print(f"it ends the transaction or leaves {locks} locks: {text!r}")
        if count >= most:
            break
    session.close()
    return f"forms in transactions: {count}, {ran} ran, {wrong} wrong", wrong


# --- SET -------------------------------------------------------------------------

SPELLINGS = ("SET {n} = {v}", "SET SESSION {n} = {v}", "SET LOCAL {n} := {v}", "SET @@{n} = {v}",
             "SET @@session.{n} := {v}", "SET @@local.{n} = {v}", "SET `{n}` = {v}",
             "SET SESSION `{n}` = {v}", "SET @@`{n}` = {v}", "SET @@session.`{n}` = {v}",
             "SET @a = 1, {n} = {v}", "SET @a = (1 = 1), @@{n} := {v}", "SET {n} = {v}, @b = 2",
             "SET autocommit = 1, SESSION {n} = {v}", "SET/**/{n}/**/=/**/{v}",
             "SET @a = IF(1, 2, 3), LOCAL {n} = {v}", "SET session . {n} = {v}",
             "SET @@session . {n} = {v}", "SET NAMES utf8mb4, {n} = {v}", "SET {n} {v}",
             "SET @@`session`.{n} = {v}", "SET @a := @b := 1, {n} := {v}",
             "SET {n} = (SELECT {v})", "SET @c = '{n}', {n} = {v}", "SET default.{n} = {v}")
VALUES = ("0", "1", "2", "''", "'ANSI_QUOTES'", "ANSI_QUOTES", "latin1", "'latin1'", "DEFAULT",
          "OFF", "ON", "'OFF'", "ucs2", "gbk", "latin1_swedish_ci", "'utf8mb4_bin'",
          "utf8mb4_unicode_ci", "STATE", "'*'", "@x", "CONCAT('la', 'tin1')", "RELEASE", "1000",
          "utf8mb4_general_ci", "NULL", "@@sql_mode", "'AUTOMATIC'", "STATEMENT", "NONE")
STATEMENTS = ("SET NAMES {v}", "SET CHARACTER SET {v}", "SET CHARSET {v}", "SET CHAR SET {v}",
              "SET NAMES utf8mb4 COLLATE {v}", "SET @a = 1, NAMES {v}",
              "SET NAMES {v} COLLATE utf8mb4_bin", "SET CHARACTER SET DEFAULT",
              "SET TRANSACTION READ ONLY, sql_mode = {v}")
PINNED = ("sql_mode|character_set_(client|connection|results)|session_track_.*|sql_log_bin|"
          "gtid_(next|domain_id|seq_no)|server_id|pseudo_(slave|replica)_mode|binlog_.*|wsrep_.*|"
          "skip_(parallel_)?replication|completion_type|resultset_metadata|idle_.*|net_.*|"
          "max_(execution|statement)_time|wait_timeout|interactive_timeout|original_.*|"
          "immediate_.*|sql_select_limit|max_session_mem_used")


def spell(choose, name):
    """A name as the server may know it: other cases, and letters that fold."""
    if choose(range(6)) == 0:
        letter = choose("aeiosk")
        name = name.replace(letter, {"a": "\u00e4", "e": "\u00e9", "i": "\u0131", "o": "\u00f6",
                                     "s": "\u017f", "k": "\u212a"}[letter], 1)
    return choose((str, str.upper, str.title))(name)


def check_settings(server, classifier, choose):
    """As root, who may set what the accounts may not."""
    listed = [row[0].decode() for row in server.rows(b"SHOW SESSION VARIABLES")]
    pinned = [name for name in listed if re.fullmatch(PINNED, name)]
    question = ("SELECT " + ", ".join(f"@@{name}" for name in pinned)).encode()
    one = Server(server.socket.decode(), "root", SCHEMA)
    before = one.rows(question)
    accepted = done = wrong = 0
    for index in range(SETTINGS):
        name = spell(choose, choose(pinned if index % 2 else listed))
        form = choose(STATEMENTS if index % 10 == 0 else SPELLINGS)
        value = choose(VALUES if choose((0, 1)) else ("0", "1", "DEFAULT", "1000"))
        text = form.format(n=name, v=value).encode()
        if classifier.class_of(text) >= 8:
            continue
        accepted += 1
        done += one.run(text)[0] is None
        after = one.rows(question)
        if after != before:
            wrong += 1
            print(f"a SET that changes what is pinned: {text.decode()!r}")
            print(differences(before, after))
            one.reconnect()
    one.close()
    return f"{SETTINGS} settings, {accepted} accepted, {done} done, {wrong} wrong", wrong


# --- Stored programs -----------------------------------------------------------------

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


def check_programs(server, classifier, choose):
    accepted = wrong = 0
    for _ in range(PROGRAMS):
        text = program(choose).encode()
        if classifier.class_of(text) == REFUSED:
            continue
        accepted += 1
        if server.run(text)[0] is None:
            wrong += 1
            print(f"a stored program that must not be: {text!r}")
            for sort in ("PROCEDURE", "FUNCTION", "TRIGGER"):
                server.must(f"DROP {sort} IF EXISTS zz")
    return f"{PROGRAMS} stored programs, {accepted} accepted, {wrong} wrong", wrong


# --- What applications send ------------------------------------------------------------


def check_applications(server, classifier):
    """Each file begins with the tables it needs, as comments `# schema: SQL`; `# only:
    FLAVOR` holds for the lines up to the next such comment."""
    count = wrong = 0
    for path in sorted(DATA.glob("app_*.txt")):
        server.must(f"DROP DATABASE IF EXISTS {SCHEMA}_app")
        server.must(f"CREATE DATABASE {SCHEMA}_app")
        server.must(f"USE {SCHEMA}_app")
        only, gtid = "", None
        for line in path.read_bytes().split(b"\n"):
            if line.startswith(b"# schema: "):
                server.must(line[10:].decode())
            elif line.startswith(b"# only: "):
                only = line[8:].decode().strip()
            if not line or line.startswith(b"#") or only not in ("", "all", server.flavor()):
                continue
            gtid = gtid or gtid_of(server)
            name, _, text = line.partition(b"\t")
            text = unescape(text)
            count += 1
            error, _ = server.prepare(text)
            if name == b"read" and not classifier.judge(text).placeholder_count:
                server.run(text)
            if error not in (0, NOT_PREPARABLE):
                wrong += 1
                print(f"{path.name}: not valid here ({error}): {text.decode()}")
            if classifier.class_of(text) != classifier.class_named(name.decode()):
                wrong += 1
                print(f"{path.name}: not {name.decode()}: {text.decode()}")
        if gtid != gtid_of(server):
            wrong += 1
            print(f"{path.name}: a read wrote something")
    server.must(f"DROP DATABASE IF EXISTS {SCHEMA}_app")
    server.must(f"USE {SCHEMA}")
    return f"{count} statements of applications, {wrong} wrong", wrong


def check_reads(name, socket, world, classifier, texts, limit_ms, most=None):
    reads = Reads(socket, world, classifier, limit_ms)
    for text in texts:
        reads.add(text)
        if most is not None and reads.counts["reads that ran"] >= most:
            break
    reads.flush()
    for session in [reads.parser, *reads.sessions]:
        session.close()
    counts = ", ".join(f"{value} {what}" for what, value in reads.counts.items())
    return f"{name}: {counts}", reads.counts["wrong"]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    socket = sys.argv[1]
    seed = int(os.environ.get("PCL_TEST_SEED", "0"), 0) or random.randrange(1, 1 << 32)
    count = int(os.environ.get("PCL_TEST_VARIANTS", "20000"), 0)
    print(f"PCL_TEST_SEED={seed}")
    choose = random.Random(seed).choice
    server = Server(socket)
    prepare(server)
    world = World(server, pathlib.Path(server.must("SELECT @@datadir")))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        classifier = Classifier(folder, server.flavor())
        for check in (lambda: check_applications(server, classifier),
                      lambda: check_reads("statements", socket, world, classifier,
                                          statements(sys.argv[2:]), 500),
                      lambda: check_reads("calls of functions", socket, world, classifier,
                                          function_calls(choose), 20),
                      lambda: check_reads("variants", socket, world, classifier,
                                          variants(classifier, seed), 20, count),
                      lambda: check_transactions(
                          socket, classifier, itertools.chain(
                              statements([]), variants(classifier, seed + 1)), 10000),
                      lambda: check_settings(server, classifier, choose),
                      lambda: check_programs(server, classifier, choose)):
            start = time.monotonic()
            report, found = check()
            wrong += found
            print(f"{report} ({time.monotonic() - start:.0f} s)", flush=True)
    server.must(f"DROP DATABASE {SCHEMA}")
    for user in (READER, WRITER):
        server.must(f"DROP USER {user}@localhost")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
