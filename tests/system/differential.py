"""One statement, two ways: through the whole pipeline, and by a session of our own to the same
server under the same account, set up as an agent sets its sessions up.

Reads see the same tables both ways.  What changes tables goes to two schemas that were made alike,
one for each way, and their contents are compared from time to time.  Texts name the schemas
`diff_x` and `more_x`; x becomes p for the pipeline and d for the direct way, and x again in what
comes back.
"""
import datetime
import decimal
import json
import re

import portcullis
from harness import FLAVOR
from mysql_wire import UNSIGNED, Connection, ServerError

SCHEMAS = ("diff_x", "more_x")
SQL_MODE = ("STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
            "NO_DIR_IN_CREATE")
ER_UNSUPPORTED_PS = 1295
MESSAGE_SIZE_MAX = 1024
ESTIMATES_MAX = 5
ROWS_MAX = 10**7  # of a result; three tables joined without a condition have a million
READ, WRITE, DDL, CALL = "read", "write", "ddl", "call"
TEXT = "text"  # of a session: what cannot be prepared, or would lose what it asks for
KINDS = {"INSERT": WRITE, "UPDATE": WRITE, "DELETE": WRITE, "REPLACE": WRITE, "DO": WRITE,
         "CALL": CALL, "CREATE": DDL, "ALTER": DDL, "DROP": DDL, "TRUNCATE": DDL, "RENAME": DDL,
         "ANALYZE": DDL, "CHECK": DDL, "CHECKSUM": DDL, "OPTIMIZE": DDL}


class Statement:
    """kind says under which account it runs; refused: the code of a refusal that must come from
    the pipeline alone."""

    def __init__(self, sql, params=(), kind=None, db="diff_x", refused=None):
        self.sql, self.params, self.db, self.refused = sql, list(params), db, refused
        self.kind = kind or kind_of(sql)
        self.repeats = False  # it was run before

    def __repr__(self):
        params = f" with {self.params!r}" if self.params else ""
        return f"[{self.kind}, db {self.db}] {self.sql}{params}"


class Script:
    """The statements of one session, which ends with COMMIT or ROLLBACK."""

    def __init__(self, statements, ending="COMMIT", read_only=False):
        self.statements, self.ending, self.read_only = statements, ending, read_only

    def before(self, statement):
        return self.statements[max(0, self.statements.index(statement) - 6):
                               self.statements.index(statement)]


def kind_of(sql):
    """As far as the first words tell."""
    words = re.sub(r"--[^\n]*\n|#[^\n]*\n|/\*.*?\*/|\(", " ", sql, flags=re.S).upper().split()
    first = words[0] if words else ""
    if first in ("EXPLAIN", "DESCRIBE", "DESC") and len(words) > 1:
        verb = next((word for word in words[1:] if word in KINDS), "")
        return KINDS[verb] if verb in ("INSERT", "UPDATE", "DELETE", "REPLACE") else READ
    locks = re.search(r"\bFOR (UPDATE|SHARE)\b|\bLOCK IN SHARE MODE\b", sql, re.I)
    if first == "WITH" and re.search(r"\)\s*(UPDATE|DELETE)\b", sql, re.I):
        return WRITE
    return KINDS.get(first, WRITE if locks else READ)


def _param(value):
    """JSON has no decimals, times and octets: {"decimal": "1.5"}, {"hex": "00ff"} ..."""
    if not isinstance(value, dict):
        return value
    (kind, text), = value.items()
    if kind == "temporal":
        return datetime.datetime.fromisoformat(text)
    return decimal.Decimal(text) if kind == "decimal" else bytes.fromhex(text)


def read_file(path, flavor):
    """The Statements of a file: each ends with a semicolon at the end of a line; comments before
    one may give its parameters (`-- params: [...]`), the only flavor that has it (`-- on: mysql`),
    its kind where the first words do not tell, and the default schema of all that follow."""
    found, lines, params, only, kind, db = [], [], [], flavor, None, SCHEMAS[0]
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(": ")
        if word == "-- params":
            params = list(map(_param, json.loads(rest)))
        elif word == "-- on":
            only = rest
        elif word == "-- kind":
            kind = rest
        elif word == "-- db":
            db = rest
        elif line and not line.startswith("-- "):
            lines.append(line)
            if line.endswith(";"):
                if only == flavor:
                    found.append(Statement("\n".join(lines)[:-1], params, kind, db))
                lines, params, only, kind = [], [], flavor, None
    assert not lines, f"{path}: the last statement does not end"
    return found


def _named(value, way):
    """A text with the names of one way's schemas."""
    if value is None:
        return None
    for schema in SCHEMAS:
        value = value.replace(schema, schema[:-1] + way)
    return value


def _unnamed(text):
    for schema in SCHEMAS:
        text = text.replace(schema[:-1] + "p", schema).replace(schema[:-1] + "d", schema)
    return text


class Outcome:
    """What came of a statement, in one shape whichever way it went."""

    def __init__(self):
        self.refused = self.error = self.columns = self.rows = self.metadata = None
        self.affected = self.insert_id = self.warnings = 0
        self.node, self.cursor = "", None

    def parts(self):
        """What must be the same, as texts by name; texts tell -0.0 from 0.0 and 1 from True."""
        if self.refused:
            return {"refused": self.refused}
        if self.error:
            return {"error": _unnamed(repr(self.error))}
        if self.columns is None:
            return {"affected": repr(self.affected), "insert_id": repr(self.insert_id),
                    "warnings": repr(self.warnings)}
        return {"columns": _unnamed(repr(self.columns)), "warnings": repr(self.warnings),
                "metadata": _unnamed(repr(self.metadata)),
                "rows": _unnamed("\n".join(map(repr, self.rows)))}


class DirectWay:
    """Two sessions of our own, as an agent's: one to read with, one to write with."""

    def __init__(self, cluster, node):
        self.socket = cluster.node(node)["socket"]
        self.secrets = cluster.var / "secrets"
        self.sessions = {}

    def close(self):
        for session in self.sessions.values():
            session.close()
        self.sessions = {}

    def open(self, account):
        """A new session under portcullis_read or portcullis_write, set up as an agent does."""
        password = (self.secrets / f"{account}.password").read_text().strip()
        session = Connection(self.socket, f"portcullis_{account}", password, FLAVOR)
        session.query(f"SET SESSION sql_mode='{SQL_MODE}', autocommit=1")
        if account == READ:
            session.query("SET SESSION TRANSACTION READ ONLY")
        session.schema = None
        return session

    def _session(self, statement):
        account = READ if statement.kind == READ else WRITE
        if account not in self.sessions:
            self.sessions[account] = self.open(account)
        return self.sessions[account]

    @staticmethod
    def answers(session, statement, sql):
        """DDL goes as text, all else is prepared, unless it cannot be."""
        if statement.kind in (DDL, TEXT) and not statement.params:
            return session.query(sql)
        try:
            return session.execute(sql, statement.params)
        except ServerError as error:
            if error.errno != ER_UNSUPPORTED_PS or statement.params:
                raise
            return session.query(sql)

    def run(self, statement):
        way = "p" if statement.kind == READ else "d"
        outcome = self.run_in(self._session(statement), statement, way)
        if statement.kind in (CALL, DDL):  # a new session's state, and no schema that has gone
            self.sessions.pop(WRITE).close()
        return outcome

    def run_in(self, session, statement, way):
        """On a session that stays as the statement leaves it."""
        schema, outcome = _named(statement.db, way), Outcome()
        try:
            if schema is not None and session.schema != schema:
                session.schema = None
                session.use(schema)
                session.schema = schema
            outcome = shape(self.answers(session, statement, _named(statement.sql, way)))
        except ServerError as error:
            message = error.message.encode()[:MESSAGE_SIZE_MAX].decode(errors="ignore")
            outcome.error = (error.errno, error.sqlstate, message)
        return outcome


def shape(answers):
    """Of several results the first with columns counts, else the last."""
    outcome = Outcome()
    with_columns = next((answer for answer in answers if answer.columns is not None), None)
    plain = [answer for answer in answers if answer.columns is None]
    if with_columns is not None:
        outcome.columns, outcome.rows = with_columns.shown(), with_columns.rows
        outcome.metadata = with_columns.metadata()
    elif plain:
        outcome.affected, outcome.insert_id = plain[-1].affected, plain[-1].insert_id
    outcome.warnings = answers[-1].warnings
    return outcome


def shape_reply(call):
    """What a client's call came to."""
    outcome = Outcome()
    try:
        result = call()
    except portcullis.PortcullisError as error:
        if error.code == "SQL" and error.errno:
            outcome.error = (error.errno, error.sqlstate, error.message)
        else:
            outcome.refused = f"{error.code}: {error.message}"
        return outcome
    outcome.node = result.route.get("node", "")
    if "columns" in result.reply:
        outcome.columns, outcome.rows = result.columns, result.rows
    outcome.affected, outcome.insert_id = result.affected, result.insert_id
    outcome.warnings = result.warnings
    outcome.cursor, outcome.metadata = result.reply.get("cursor"), result.reply.get("metadata")
    return outcome


class PipelineWay:
    """The whole path, from a client to the database."""

    def __init__(self, client):
        self.client = client

    def run(self, statement, **options):
        sql, params = _named(statement.sql, "p"), statement.params or None
        if "session" not in options:
            options.setdefault("consistency", "source")
        outcome = shape_reply(lambda: self.client.query(
            sql, params, timeout_ms=20000, max_rows=ROWS_MAX, db=_named(statement.db, "p"),
            **options))
        while outcome.cursor is not None:  # the rest of a long result
            page = shape_reply(lambda: self.client.request(op="fetch", cursor=outcome.cursor))
            if page.error or page.refused:
                return page
            outcome.rows = outcome.rows + page.rows
            outcome.cursor, outcome.warnings = page.cursor, page.warnings
        return outcome


class Difference:
    """A statement and what the two ways made of it."""

    def __init__(self, statement, direct, pipeline):
        self.statement, self.direct, self.pipeline = statement, direct, pipeline
        self.before = []

    def __str__(self):
        one, other = self.direct.parts(), self.pipeline.parts()
        lines = [f"    after {earlier}" for earlier in self.before] + [repr(self.statement)]
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                lines += [f"    {name}, direct:   {_short(one.get(name), other.get(name))}",
                          f"    {name}, pipeline: {_short(other.get(name), one.get(name))}"]
        return "\n".join(lines)


def _short(text, other):
    """A long text from a little before where it differs."""
    if text is None or len(text) < 300:
        return text
    at = next((at for at, (a, b) in enumerate(zip(text, other or "")) if a != b), 0)
    return "..." + text[max(0, at - 60):at + 200]


PLAN = re.compile(r"(EXPLAIN|DESCRIBE) ")
RETURNING = re.compile(r" RETURNING ")
SUMS = re.compile(r"\b(SUM|AVG|STDDEV_POP|VAR_SAMP)\(")
PART_KEY = 16384
BINARY = 128
FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")
INTEGERS = ("TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT")
LOOSE_TYPES = {"CHAR": "VARCHAR", "BINARY": "VARBINARY"}
ONE_OF_EQUALS = re.compile(r"\b(GROUP BY|DISTINCT|UNION|INTERSECT|EXCEPT|MIN|MAX)\b")


def _loosened(statement, outcome, twins):
    """The parts without what the servers leave open.  Rows that a query does not order come in any
    order; a sum of floats depends in its last digits on the order of the rows below it, and so does
    which of two texts that are equal but for their case stands for both.  The number of the row in
    MariaDB's error about an argument of a CALL is whatever the session's last statement left, and
    in the text of 1690 a column stands with its schema or without, as the optimizer made it.
    A plan follows estimates, which are each schema's own, and so does whether MariaDB finds out
    beforehand that nothing is to be returned.
    twins: the tables are not the same ones but alike, so that plans may differ, and with them how
    often something was evaluated that warns, and whether a column is one of a table, with that
    one's flags, or of a temporary table, in which a text has no fixed length; or the statement was
    run before, when MariaDB says less of what its columns are."""
    parts = outcome.parts()
    if RETURNING.search(statement.sql) and not (outcome.rows or outcome.error or outcome.refused):
        return {"warnings": outcome.warnings}  # of a condition found impossible, no rows at all
    if twins and statement.kind == READ and "columns" in parts:
        parts["columns"] = repr([[name, LOOSE_TYPES.get(kind, kind),
                                  kind in INTEGERS and flags & UNSIGNED]
                                 for name, kind, flags in outcome.columns])
        parts["warnings"] = parts["metadata"] = ""
    elif FLAVOR == "mysql" and "columns" in parts:
        # Now and then, as it was prepared: that a text is unsigned, or a part of some key.
        loose = [PART_KEY | (0 if kind in INTEGERS else UNSIGNED) for _, kind, _ in outcome.columns]
        parts["columns"] = repr([[name, kind, flags & ~mask] for (name, kind, flags), mask
                                 in zip(outcome.columns, loose)])
    elif "columns" in parts:
        # MariaDB calls a number binary as its optimizer came by it.
        parts["columns"] = repr([[name, kind, flags & ~(BINARY if kind in FRACTIONS else 0)]
                                 for name, kind, flags in outcome.columns])
    if "rows" in parts:
        rows = outcome.rows
        if SUMS.search(statement.sql):
            rows = [[float(f"{cell:.12g}") if isinstance(cell, float) else cell for cell in row]
                    for row in rows]
        lines = [_unnamed(repr(row)) for row in rows]
        if PLAN.match(statement.sql):
            lines = [str(len(lines))]
        if statement.sql == "SELECT ROW_COUNT()":
            # After some errors the agent asks whether a transaction is left, which clears it.
            lines = [line.replace("-1", "0") for line in lines]
        if ONE_OF_EQUALS.search(statement.sql):
            lines = [line.casefold() for line in lines]
        parts["rows"] = sorted(lines)
    if "error" in parts and FLAVOR == "mariadb":
        if statement.kind == CALL:
            parts["error"] = re.sub(r"at row \d+", "at row", parts["error"])
        parts["error"] = re.sub(r"`\w+`\.(?=`\w+`\.`)", "", parts["error"])
    return parts


class Pair:
    """Both ways and what was found between them."""

    def __init__(self, cluster, client):
        self.cluster, self.admin_node = cluster, cluster.source()
        self.direct = DirectWay(cluster, self.admin_node)
        self.pipeline = PipelineWay(client)
        self.differences, self.ran, self.loose, self.kinds, self.errors = [], 0, 0, {}, {}

    def run(self, statement, twins=False, **options):
        """Both ways; remembers a difference, and returns whether there was none.  twins: the
        pipeline looks at other tables, a replica's, or has the statement prepared from before,
        where MariaDB tells less of its columns."""
        pipeline = self.pipeline.run(statement, **options)
        if PLAN.match(statement.sql):
            # Estimates change while the server cleans up behind what was deleted.
            for _ in range(ESTIMATES_MAX):
                direct = self.direct.run(statement)
                if direct.rows == pipeline.rows:
                    break
                pipeline = self.pipeline.run(statement, **options)
        return self._judge(statement, pipeline, lambda: self.direct.run(statement), twins)

    def _judge(self, statement, pipeline, run_directly, twins):
        """Compares what the pipeline said with what run_directly() says."""
        self.ran += 1
        if statement.refused:
            direct = Outcome()
            direct.refused = statement.refused
            fine = (pipeline.refused or "").startswith(statement.refused)
        else:
            direct = run_directly()
            if pipeline.metadata is None:
                direct.metadata = None  # it was not asked for
            fine = self._agree(statement, direct, pipeline, twins)
        return self._note(fine, statement, direct, pipeline)

    def _agree(self, statement, direct, pipeline, twins):
        if direct.error:
            self.errors[direct.error[0]] = self.errors.get(direct.error[0], 0) + 1
        if direct.parts() == pipeline.parts():
            return True
        fine = _loosened(statement, direct, twins) == _loosened(statement, pipeline, twins)
        self.loose += fine
        return fine

    def _note(self, fine, statement, direct, pipeline):
        self.kinds[statement.kind] = self.kinds.get(statement.kind, 0) + 1
        if not fine:
            self.differences.append(Difference(statement, direct, pipeline))
        return fine

    def run_session(self, script):
        """A session's statements in turn; those of a read-only one see the same tables."""
        read_only = script.read_only
        begun = self.pipeline.client.request(op="begin", read_only=read_only or None,
                                             db=_named(SCHEMAS[0], "p"))
        way, name = "p" if read_only else "d", begun.reply["session"]
        with self.direct.open(READ if read_only else WRITE) as session:
            session.use(_named(SCHEMAS[0], way))
            session.query("START TRANSACTION" + (" READ ONLY" if read_only else ""))
            for statement in script.statements:
                pipeline = self.pipeline.run(statement, session=name)
                if not self._judge(statement, pipeline, lambda statement=statement:
                                   self.direct.run_in(session, statement, way), twins=True):
                    self.differences[-1].before = script.before(statement)
            session.query(script.ending)
            self.pipeline.client.request(op=script.ending.lower(), session=name)

    def contents(self, way):
        """Everything that the schemas of one way hold, read as the administrator."""
        password = (self.cluster.var / "secrets" / "admin.password").read_text().strip()
        socket, held = self.cluster.node(self.admin_node)["socket"], {}
        with Connection(socket, "root", password, FLAVOR) as session:
            for schema in SCHEMAS:
                name = _named(schema, way)
                tables = session.query(f"SHOW FULL TABLES FROM {name}")[0].rows
                for table, kind in tables:
                    made = session.query(f"SHOW CREATE TABLE {name}.`{table}`")[0].rows[0][1]
                    held[f"{schema}.{table}"] = _unnamed(made)
                    if kind == "BASE TABLE":
                        rows = session.query(f"SELECT * FROM {name}.`{table}`")[0].rows
                        held[f"rows of {schema}.{table}"] = sorted(map(repr, rows))
        return held

    def compare_contents(self):
        """What differs between the schemas of the two ways: a list of texts."""
        one, other = self.contents("d"), self.contents("p")
        found = []
        for name in sorted({*one, *other}):
            a, b = one.get(name), other.get(name)
            if a != b and isinstance(a, list) and isinstance(b, list):
                found.append(f"{name}: only direct {sorted(set(a) - set(b))[:3]}, "
                             f"only pipeline {sorted(set(b) - set(a))[:3]}")
            elif a != b:
                found.append(f"{name}: direct {a!r}, pipeline {b!r}")
        return found

    def report(self):
        """Numbers of what ran."""
        errors = sum(self.errors.values())
        return (f"{self.ran} statements {self.kinds}, {errors} of them refused by the server with "
                f"{len(self.errors)} different errors; {self.loose} the same but for what the "
                f"servers leave open; {len(self.differences)} differences")


def prepare(cluster):
    """Both pairs of schemas, empty, on a cluster whose agents allow them."""
    for schema in SCHEMAS:
        for way in "dp":
            name = _named(schema, way)
            cluster.sql(cluster.source(), f"DROP DATABASE IF EXISTS {name}; "
                                          f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
