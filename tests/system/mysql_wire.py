"""The client/server protocol of MySQL and MariaDB, spoken from its description and without any
client library, so that tests have a second opinion on what a server says: its rows, the types of
its columns, its warnings and errors.

Values come as section 5 of docs/rfc/1-client-protocol.md wants them in a reply; this module says
what that section means in words of its own, and shares no code with the agent.
"""
import collections
import datetime
import decimal
import hashlib
import socket
import struct

# Capabilities of the protocol: long password, long flag, 4.1, transactions, 4.1 authentication,
# results of several statements (CALL), the same prepared, authentication plugins, OK in the place
# of EOF.  Not: several statements in one text, local files.
CAPABILITIES = (1 | 1 << 2 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 24)
WITH_SCHEMA = 1 << 3
MORE_RESULTS = 8
UNSIGNED, ENUM, SET = 32, 256, 2048
BINARY_CHARSET = 63
UTF8MB4 = {"mariadb": 45, "mysql": 255}  # what each flavor's own client library asks for
NUMBERS = {1: "b", 2: "h", 13: "h", 3: "i", 9: "i", 8: "q"}
FLOAT, DOUBLE, DATE, TIME, DATETIME, TIMESTAMP, YEAR = 4, 5, 10, 11, 12, 7, 13
OCTETS = {16: "BIT", 255: "GEOMETRY", 242: "VECTOR"}
NAMES = {1: "TINYINT", 2: "SMALLINT", 9: "MEDIUMINT", 3: "INT", 8: "BIGINT", YEAR: "YEAR",
         FLOAT: "FLOAT", DOUBLE: "DOUBLE", 0: "DECIMAL", 246: "DECIMAL", DATE: "DATE", 14: "DATE",
         TIME: "TIME", DATETIME: "DATETIME", TIMESTAMP: "TIMESTAMP", 245: "JSON", 6: "NULL",
         247: "ENUM", 248: "SET", **OCTETS}
BLOBS = (("TINY", 255), ("", 65535), ("MEDIUM", 16777215), ("LONG", 1 << 64))

Column = collections.namedtuple("Column", "schema table org_table name org_name charset length "
                                "type flags decimals")


class ServerError(Exception):
    """What the server refused: errno, sqlstate, message."""

    def __init__(self, errno, sqlstate, message):
        super().__init__(f"{errno} ({sqlstate}): {message}")
        self.errno, self.sqlstate, self.message = errno, sqlstate, message


class Answer:
    """columns (Column each; None when there are none), rows, affected, insert_id, warnings."""

    def __init__(self):
        self.columns, self.rows = None, []
        self.affected = self.insert_id = self.warnings = self.status = 0

    def shown(self):
        """The columns as a reply has them: [name, type, flags]."""
        return [[column.name, type_name(column), column.flags & 0x7fff]
                for column in self.columns]

    def metadata(self):
        """The columns as a reply's `metadata` has them."""
        return [[column.schema, column.table, column.org_table, column.org_name, column.charset,
                 column.length, column.decimals] for column in self.columns]


def is_binary(column):
    return column.charset == BINARY_CHARSET and not column.flags & (ENUM | SET)


def type_name(column):
    """MySQL's own name of a column's type."""
    if column.type in NAMES:
        return NAMES[column.type]
    if column.flags & ENUM:
        return "ENUM"
    if column.flags & SET:
        return "SET"
    if 249 <= column.type <= 252:
        octets = 1 if is_binary(column) else 4  # a text's length counts utf8mb4's longest
        size = next(size for size, most in BLOBS if column.length <= most * octets)
        return size + ("BLOB" if is_binary(column) else "TEXT")
    if column.type == 254:
        return "BINARY" if is_binary(column) else "CHAR"
    return "VARBINARY" if is_binary(column) else "VARCHAR"


def _octets(column, data):
    if column.type in OCTETS or (is_binary(column) and column.type not in NAMES):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _from_text(column, data):
    """A cell of the text protocol."""
    if column.type in NUMBERS:
        return int(data)
    if column.type == FLOAT:
        return struct.unpack("<f", struct.pack("<f", float(data)))[0]
    return float(data) if column.type == DOUBLE else _octets(column, data)


def _fraction(column, micros):
    if column.decimals <= 6:
        return f".{micros:06}"[:column.decimals + 1] if column.decimals else ""
    return f".{micros:06}" if micros else ""


class Reader:
    """One packet, from its front to its end."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, size):
        assert self.at + size <= len(self.data), "a packet is cut short"
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def length(self):
        """A length-encoded integer; None for NULL."""
        first = self.number(1)
        if first < 0xfb:
            return first
        return None if first == 0xfb else self.number({0xfc: 2, 0xfd: 3, 0xfe: 8}[first])

    def text(self):
        """A length-encoded string; None for NULL."""
        size = self.length()
        return None if size is None else bytes(self.take(size))

    def until_nul(self):
        end = self.data.index(b"\0", self.at)
        return bytes(self.take(end + 1 - self.at)[:-1])

    def rest(self):
        return bytes(self.take(len(self.data) - self.at))

    def number_of(self, column):
        if column.type == YEAR:
            return self.number(2)
        form = NUMBERS[column.type]
        form = form.upper() if column.flags & UNSIGNED else form
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def day_of(self, column):
        """DATE, DATETIME, TIMESTAMP: as many of their parts are sent as are not zero."""
        size = self.number(1)
        part = Reader(self.take(size) + bytes(11 - size))
        year, month, day = part.number(2), part.number(1), part.number(1)
        text = f"{year:04}-{month:02}-{day:02}"
        if column.type == DATE:
            return text
        clock = [part.number(1) for _ in range(3)]
        return "{} {:02}:{:02}:{:02}{}".format(text, *clock, _fraction(column, part.number(4)))

    def time_of(self, column):
        size = self.number(1)
        part = Reader(self.take(size) + bytes(12 - size))
        sign, days = ("-" if part.number(1) else ""), part.number(4)
        hour, minute, second = (part.number(1) for _ in range(3))
        return (f"{sign}{days * 24 + hour:02}:{minute:02}:{second:02}"
                f"{_fraction(column, part.number(4))}")

    def value_of(self, column):
        """A cell of the binary protocol that is not NULL."""
        if column.type in NUMBERS:
            return self.number_of(column)
        if column.type == FLOAT:
            return struct.unpack("<f", self.take(4))[0]
        if column.type == DOUBLE:
            return struct.unpack("<d", self.take(8))[0]
        if column.type in (DATE, DATETIME, TIMESTAMP):
            return self.day_of(column)
        if column.type == TIME:
            return self.time_of(column)
        return _octets(column, self.text())


def _size(number):
    if number < 0xfb:
        return bytes([number])
    for first, size in ((0xfc, 2), (0xfd, 3), (0xfe, 8)):
        if number < 1 << 8 * size:
            return bytes([first]) + number.to_bytes(size, "little")
    raise AssertionError(number)


def _temporal(value):
    if isinstance(value, datetime.timedelta):
        micros = abs(value) // datetime.timedelta(microseconds=1)
        seconds, sign = micros // 1000000, "-" if value < datetime.timedelta() else ""
        return (f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
                f".{micros % 1000000:06}")
    return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()


def _bound(value):
    """(type, unsigned, octets) of a parameter, as the RFC says what becomes of it."""
    if value is None:
        return 6, 0, b""
    if isinstance(value, int):
        wide = value > 2**63 - 1
        return 8, 0x80 if wide else 0, struct.pack("<Q" if wide else "<q", value)
    if isinstance(value, float):
        return DOUBLE, 0, struct.pack("<d", value)
    if isinstance(value, bytes):
        return 252, 0, _size(len(value)) + value
    kind = 246 if isinstance(value, decimal.Decimal) else 254
    if isinstance(value, decimal.Decimal):
        text = f"{value:f}"
    else:
        text = value if isinstance(value, str) else _temporal(value)
    return kind, 0, _size(len(text.encode())) + text.encode()


def _native_answer(password, scramble):
    inner = hashlib.sha1(password).digest()
    outer = hashlib.sha1(scramble + hashlib.sha1(inner).digest()).digest()
    return bytes(a ^ b for a, b in zip(inner, outer))


def _sha2_answer(password, scramble):
    inner = hashlib.sha256(password).digest()
    outer = hashlib.sha256(hashlib.sha256(inner).digest() + scramble).digest()
    return bytes(a ^ b for a, b in zip(inner, outer))


PROOFS = {b"mysql_native_password": _native_answer, b"caching_sha2_password": _sha2_answer}


class Connection:
    """One session over a server's local socket.  Not for more than one thread."""

    def __init__(self, path, user, password, flavor="mariadb", timeout_s=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self.incoming = self.socket.makefile("rb", buffering=1 << 16)
        self.sequence = 0
        self._log_in(user, password.encode(), flavor)

    def close(self):
        self.incoming.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- Packets -------------------------------------------------------------------

    def _receive(self):
        whole = b""
        while True:
            head = self.incoming.read(4)
            if len(head) < 4:
                raise ConnectionError("the server closed the connection")
            size, self.sequence = int.from_bytes(head[:3], "little"), head[3] + 1
            whole += self.incoming.read(size)
            if size < 0xffffff:
                break
        if whole[:1] == b"\xff":
            reader = Reader(whole, 1)
            errno = reader.number(2)
            state = reader.take(6)[1:].decode() if whole[3:4] == b"#" else "HY000"
            raise ServerError(errno, state, reader.rest().decode(errors="replace"))
        return whole

    def _send(self, data):
        while True:
            part, data = data[:0xffffff], data[0xffffff:]
            head = len(part).to_bytes(3, "little") + bytes([self.sequence & 0xff])
            self.socket.sendall(head + part)
            self.sequence += 1
            if len(part) < 0xffffff:
                return

    def _command(self, data):
        self.sequence = 0
        self._send(data)

    def _log_in(self, user, password, flavor):
        hello = Reader(self._receive())
        assert hello.number(1) == 10, "protocol version"
        self.version = hello.until_nul().decode()
        self.id = hello.number(4)
        scramble = bytes(hello.take(8))
        hello.take(1 + 2 + 1 + 2 + 2 + 1 + 10)
        scramble += bytes(hello.take(12))
        hello.take(1)
        plugin = hello.until_nul()
        proof = PROOFS[plugin](password, scramble) if plugin in PROOFS else b""
        self._send(struct.pack("<IIB23x", CAPABILITIES, 1 << 30, UTF8MB4[flavor]) + user.encode() +
                   b"\0" + _size(len(proof)) + proof + plugin + b"\0")
        self._prove(password, scramble)

    def _prove(self, password, scramble):
        packet = Reader(self._receive())
        kind = packet.number(1)
        if kind == 0xfe:  # another method than the server's default
            plugin = packet.until_nul()
            scramble = packet.rest()[:20]
            self._send(PROOFS[plugin](password, scramble))
            packet = Reader(self._receive())
            kind = packet.number(1)
        if kind == 1:  # caching_sha2_password: 3, the server knew it; 4, it wants to see it
            if packet.number(1) == 4:
                self._send(password + b"\0")  # a local socket hides it
            kind = self._receive()[0]
        assert kind == 0, kind

    # --- Results -------------------------------------------------------------------

    @staticmethod
    def _finish(answer, packet):
        packet.take(1)
        affected, insert_id = packet.length(), packet.length()
        answer.status, answer.warnings = packet.number(2), packet.number(2)
        if answer.columns is None:
            answer.affected, answer.insert_id = affected, insert_id
        return answer

    def _column(self):
        packet = Reader(self._receive())
        packet.text()  # the catalog
        schema, table, org_table, name, org_name = (
            packet.text().decode(errors="ignore") for _ in range(5))  # may be cut in a character
        packet.length()
        charset, length, kind = packet.number(2), packet.number(4), packet.number(1)
        return Column(schema, table, org_table, name, org_name, charset, length, kind,
                      packet.number(2), packet.number(1))

    def _rows(self, answer, binary):
        while True:
            packet = self._receive()
            if packet[0] == 0xfe and len(packet) < 0xffffff:
                return self._finish(answer, Reader(packet))
            if not binary:
                reader = Reader(packet)
                cells = [reader.text() for _ in answer.columns]
                answer.rows.append([None if data is None else _from_text(column, data)
                                    for column, data in zip(answer.columns, cells)])
                continue
            reader = Reader(packet, 1)
            nulls = int.from_bytes(reader.take((len(answer.columns) + 9) // 8), "little") >> 2
            answer.rows.append([None if nulls >> index & 1 else reader.value_of(column)
                                for index, column in enumerate(answer.columns)])

    def _one(self, binary):
        answer, packet = Answer(), Reader(self._receive())
        if packet.data[0] == 0:
            return self._finish(answer, packet)
        answer.columns = [self._column() for _ in range(packet.length())]
        return self._rows(answer, binary)

    def _all(self, binary):
        """Every result of one statement; a CALL has several."""
        answers = [self._one(binary)]
        while answers[-1].status & MORE_RESULTS:
            answers.append(self._one(binary))
        return answers

    # --- Commands ------------------------------------------------------------------

    def use(self, schema):
        self._command(b"\x02" + schema.encode())
        self._receive()

    def query(self, sql):
        """In the text protocol; a list of Answer."""
        self._command(b"\x03" + sql.encode())
        return self._all(False)

    def prepare(self, sql):
        """(statement, number of its parameters)."""
        self._command(b"\x16" + sql.encode())
        packet = Reader(self._receive(), 1)
        statement, columns, params = packet.number(4), packet.number(2), packet.number(2)
        for _ in range(columns + params):
            self._receive()
        return statement, params

    def forget(self, statement):
        self._command(b"\x19" + struct.pack("<I", statement))

    def run(self, statement, params):
        """Executes a prepared statement; a list of Answer."""
        bound = [_bound(value) for value in params]
        packet = b"\x17" + struct.pack("<IBI", statement, 0, 1)
        if bound:
            nulls = sum(1 << index for index, value in enumerate(params) if value is None)
            packet += nulls.to_bytes((len(bound) + 7) // 8, "little") + b"\x01"
            packet += b"".join(bytes([kind, sign]) for kind, sign, _ in bound)
            packet += b"".join(octets for _, _, octets in bound)
        self._command(packet)
        return self._all(True)

    def execute(self, sql, params=()):
        """Prepares, executes once and forgets; a list of Answer."""
        statement, count = self.prepare(sql)
        try:
            if count != len(params):
                raise ValueError(f"{count} placeholders, {len(params)} parameters")
            return self.run(statement, params)
        finally:
            self.forget(statement)
