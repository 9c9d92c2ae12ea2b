"""What the checks against scratch servers share: the classifier, compiled on the
spot ($CC, or cc), and a connection through the client library, since the servers'
command-line clients would cut the text themselves."""
import ctypes
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
(READ, LOCKING_READ, WRITE, CALL, DDL, TRANSACTION, STATE, ADMIN, REFUSED) = range(1, 10)
FLAVORS = {"both": 0, "mariadb": 1, "mysql": 2}
SQL_MODE = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"
SCHEMA = "pcl_oracle"
EMPTY_QUERY = 1065
READ_TIMEOUT_OPTION = 11
LOST = (2006, 2013)  # the connection, or an answer that did not come
NO_COUNT = (1 << 64) - 1


def function_table():
    """name: (kind, servers)"""
    text = (ROOT / "sql/functions.def").read_text()
    return {name: (kind, servers)
            for name, kind, servers in re.findall(r'^FUNCTION\("(\w+)", (\w+), (\w+)\)', text,
                                                  re.M)}


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Rules(ctypes.Structure):
    _fields_ = [("flavor", ctypes.c_int), ("extra_count", ctypes.c_uint32),
                ("extra_ends", ctypes.c_uint16 * 256), ("extra_text", ctypes.c_char * 4096)]


class Verdict(ctypes.Structure):
    _fields_ = [("sql_class", ctypes.c_int), ("statement_class", ctypes.c_int),
                ("prepared_class", ctypes.c_int), ("effect_class", ctypes.c_int),
                ("rule", ctypes.c_char_p), ("offset", ctypes.c_uint32),
                ("placeholder_count", ctypes.c_uint32)]


class Classifier:
    def __init__(self, folder, flavor="both"):
        path = pathlib.Path(folder) / "classifier.so"
        if not path.exists():
            sources = sorted(str(source) for part in ("sql", "common")
                             for source in (ROOT / part).glob("*.c"))
            sources.append(str(ROOT / "tests/lib/sql_evasion.c"))
            subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-O1", "-shared", "-fPIC",
                            "-D_POSIX_C_SOURCE=200809L", f"-I{ROOT}", "-o", str(path), *sources],
                           check=True)
        self.library = ctypes.CDLL(str(path))
        self.library.pcl_sql_classify_by.restype = Verdict
        self.library.pcl_sql_classify_by.argtypes = [ctypes.POINTER(Rules), Bytes]
        self.library.pcl_sql_class_text.restype = ctypes.c_char_p
        self.rules = Rules(flavor=FLAVORS[flavor])

    def judge(self, text):
        return self.library.pcl_sql_classify_by(self.rules, Bytes(text, len(text)))

    def class_of(self, text):
        return self.judge(text).sql_class

    def class_named(self, name):
        for index in range(1, 10):
            if self.library.pcl_sql_class_text(index).decode() == name:
                return index
        raise ValueError(name)


class Server:
    """One connection; `user` is root or another without a password."""

    def __init__(self, socket, user="root", schema=None, several=False):
        """`several`: the server may run more than one statement of a text."""
        for name in ("libmariadb.so.3", "libmysqlclient.so.24", "libmysqlclient.so.21"):
            try:
                self.c = ctypes.CDLL(name)
                break
            except OSError:
                continue
        pointer = ctypes.c_void_p
        for function in ("mysql_init", "mysql_real_connect", "mysql_store_result",
                         "mysql_fetch_row", "mysql_stmt_init"):
            getattr(self.c, function).restype = pointer
        for function in ("mysql_error", "mysql_stmt_error", "mysql_get_server_info"):
            getattr(self.c, function).restype = ctypes.c_char_p
        self.c.mysql_stmt_param_count.restype = ctypes.c_ulong
        self.c.mysql_affected_rows.restype = ctypes.c_uint64
        self.socket, self.user, self.schema = str(socket).encode(), user.encode(), schema
        self.flags = 1 << 16 if several else 0
        self.connect()

    def connect(self):
        """As agents pin it (docs/sql.md, section 1)."""
        self.db = ctypes.c_void_p(self.c.mysql_init(None))
        self.c.mysql_options(self.db, READ_TIMEOUT_OPTION, ctypes.byref(ctypes.c_uint(10)))
        if not self.c.mysql_real_connect(self.db, None, self.user, None, None, 0, self.socket,
                                         ctypes.c_ulong(self.flags)):
            sys.exit(self.c.mysql_error(self.db).decode())
        self.must("SET NAMES utf8mb4")
        self.must(f"SET sql_mode = '{SQL_MODE}'")
        self.limit(500)
        if self.schema:
            self.must(f"USE {self.schema}")

    def limit(self, limit_ms):
        """The longest time of a query; each flavor has a variable of its own for it."""
        self.run(f"SET max_statement_time = {limit_ms / 1000}".encode())
        self.run(f"SET max_execution_time = {limit_ms}".encode())

    def reconnect(self):
        self.close()
        self.connect()

    def close(self):
        self.c.mysql_close(self.db)

    def flavor(self):
        return "mariadb" if b"MariaDB" in self.c.mysql_get_server_info(self.db) else "mysql"

    def errno(self):
        return self.c.mysql_errno(self.db)

    def rows(self, text):
        """The rows of the first result, each a tuple of octets or None; None when it fails."""
        if self.c.mysql_real_query(self.db, text, ctypes.c_ulong(len(text))):
            return None
        rows = []
        result = ctypes.c_void_p(self.c.mysql_store_result(self.db))
        if result:
            columns = range(self.c.mysql_num_fields(result))
            row = self.c.mysql_fetch_row(result)
            while row:
                values = ctypes.cast(row, ctypes.POINTER(ctypes.c_char_p))
                rows.append(tuple(values[index] for index in columns))
                row = self.c.mysql_fetch_row(result)
            self.c.mysql_free_result(result)
        elif self.errno():  # the server gave up after it had begun to answer
            return None
        return rows

    def lost(self):
        """Whether the last error was the end of the connection; then there is a new one."""
        if self.errno() not in LOST:
            return False
        self.reconnect()
        return True

    def has_more(self):
        """Whether the text held another statement; takes the results off.  A comment
        behind a semicolon is an empty one, which does nothing."""
        more = False
        while self.c.mysql_more_results(self.db):
            if self.c.mysql_next_result(self.db):
                return more or self.errno() != EMPTY_QUERY
            columns = self.c.mysql_field_count(self.db)
            more = more or columns > 0 or self.c.mysql_affected_rows(self.db) not in (0, NO_COUNT)
            self.c.mysql_free_result(ctypes.c_void_p(self.c.mysql_store_result(self.db)))
        return more

    def run(self, text):
        """(error or None, first value of the first row or None)"""
        rows = self.rows(text)
        if rows is None:
            return self.c.mysql_error(self.db).decode(errors="replace"), None
        value = rows[0][0] if rows and rows[0] else None
        return None, value.decode(errors="replace") if value is not None else None

    def must(self, text):
        error, value = self.run(text.encode())
        if error:
            sys.exit(f"{text}: {error}")
        return value

    def prepare(self, text):
        """(errno or 0, placeholders that the server counts)"""
        statement = ctypes.c_void_p(self.c.mysql_stmt_init(self.db))
        try:
            if self.c.mysql_stmt_prepare(statement, text, ctypes.c_ulong(len(text))):
                error = self.c.mysql_stmt_errno(statement)
                if error in LOST:
                    self.c.mysql_stmt_close(statement)
                    statement = None
                    self.reconnect()
                return error, 0
            return 0, self.c.mysql_stmt_param_count(statement)
        finally:
            if statement is not None:
                self.c.mysql_stmt_close(statement)
