"""Statements of every kind out of one seed, over a small schema of all sorts of columns.

A template's {words} are replaced by what the grammar makes of them; a value is written into the
text or becomes a parameter.  Nothing here depends on the time, on chance or on the session, so
that the same statement says the same twice.  Statements that fail are as welcome as others.
"""
import collections
import datetime
import decimal
import re

from differential import CALL, DDL, READ, TEXT, WRITE, Script, Statement
from harness import ROOT

TABLES = {
    "numbers": {"id": "int", "tiny": "int", "utiny": "int", "small": "int", "medium": "int",
                "i": "int", "ui": "int", "b": "int", "ub": "int", "f": "num", "d": "num",
                "dec1": "num", "dec2": "num", "bits": "num"},
    "texts": {"id": "int", "c": "str", "v": "str", "latin": "str", "folded": "str", "vb": "bin",
              "bn": "bin", "tx": "str", "bl": "bin", "e": "str", "s": "str", "j": "json"},
    "times": {"id": "int", "d": "date", "t": "time", "t6": "time", "dt": "date", "dt6": "date",
              "ts": "date", "y": "int"},
    "dept": {"id": "int", "name": "str", "budget": "num"},
    "emp": {"id": "int", "dept_id": "int", "boss": "int", "name": "str", "salary": "num",
            "hired": "date", "notes": "json"},
    "counts": {"id": "int", "k": "str", "n": "int", "note": "str"},
    "jobs": {"id": "int", "dept_id": "int", "part": "num"},
}
WRITABLE = {"numbers": "tiny utiny small medium i ui b ub f d dec1 dec2 bits",
            "texts": "c v latin folded vb bn tx bl e s j", "times": "d t t6 dt dt6 ts y",
            "dept": "name budget", "emp": "dept_id boss name salary hired notes",
            "counts": "k n note", "jobs": "dept_id part"}
# A foreign key stands only where no number is drawn and no key is met twice: whether a row that
# breaks it takes a number, and which error comes first, depends on MySQL 9.7 on whether the session
# was ever reset.
SCHEMA = """
CREATE TABLE numbers (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, tiny TINYINT,
  utiny TINYINT UNSIGNED, small SMALLINT, medium MEDIUMINT UNSIGNED, i INT, ui INT UNSIGNED,
  b BIGINT, ub BIGINT UNSIGNED, f FLOAT, d DOUBLE, dec1 DECIMAL(20,6), dec2 DECIMAL(65,30),
  bits BIT(10), KEY (i), KEY (tiny, small)) STATS_AUTO_RECALC=0;
CREATE TABLE texts (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, c CHAR(10), v VARCHAR(60),
  latin VARCHAR(30) CHARACTER SET latin1, folded VARCHAR(30) COLLATE utf8mb4_bin,
  vb VARBINARY(40), bn BINARY(6), tx TEXT, bl BLOB, e ENUM('red','green','blue'),
  s SET('a','b','c','d'), j JSON, KEY (v), KEY (c)) STATS_AUTO_RECALC=0;
CREATE TABLE times (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, d DATE, t TIME, t6 TIME(6),
  dt DATETIME, dt6 DATETIME(6), ts TIMESTAMP NULL DEFAULT NULL, y YEAR, KEY (dt))
  STATS_AUTO_RECALC=0;
CREATE TABLE dept (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(30) NOT NULL UNIQUE,
  budget DECIMAL(12,2) NOT NULL DEFAULT 0) STATS_AUTO_RECALC=0;
CREATE TABLE emp (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, dept_id INT, boss INT,
  name VARCHAR(40) NOT NULL, salary DECIMAL(10,2) NOT NULL DEFAULT 100, hired DATE, notes JSON,
  KEY (dept_id, salary), KEY (boss), CONSTRAINT salary_is_positive CHECK (salary >= 0))
  STATS_AUTO_RECALC=0;
CREATE TABLE counts (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, k VARCHAR(20) UNIQUE,
  n INT NOT NULL DEFAULT 0, note VARCHAR(12)) STATS_AUTO_RECALC=0;
CREATE TABLE jobs (id INT NOT NULL PRIMARY KEY, dept_id INT, part DECIMAL(5,2),
  CONSTRAINT jobs_dept FOREIGN KEY (dept_id) REFERENCES dept (id) ON DELETE SET NULL)
  STATS_AUTO_RECALC=0;
CREATE TABLE more_x.far (id INT PRIMARY KEY, word VARCHAR(20), n INT);
CREATE VIEW staff AS SELECT e.id, e.name, d.name AS dept, e.salary FROM emp AS e
  LEFT JOIN dept AS d ON d.id = e.dept_id;
CREATE PROCEDURE staff_of(IN dept INT) SELECT id, name, salary FROM emp
  WHERE dept_id = dept ORDER BY id;
CREATE PROCEDURE raise_all(IN percent INT) UPDATE emp SET salary = salary + percent WHERE id < 20;
CREATE PROCEDURE count_staff(IN least DECIMAL(10,2), OUT found INT)
  SELECT COUNT(*) INTO found FROM emp WHERE salary >= least;
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE TRIGGER counts_grow BEFORE INSERT ON counts FOR EACH ROW SET NEW.note = LOWER(NEW.note)
"""
INTS = [0, 1, 2, 3, 5, 7, -1, 10, 100, 127, -128, 255, 256, 1000, 32767, 65535, 8388607, 2**31 - 1,
        -2**31, 2**32 - 1, 2**63 - 1, -2**63, 2**64 - 1]
SMALL = [0, 1, 2, 3, 4, 5, -1, 8]
REALS = [0.0, 0.5, -1.5, 1e10, 1e-10, 3.14159265358979, 1e300, -2.5e-300, 123456.789, 1e15]
DECIMALS = ["0.0", "1.10", "-99.99", "12345678901234.123456", "0.000000000000000000000000000001",
            "99999999999999999999999999999999999.5", "2.50", "3.005"]
TEXTS = ["", "a", "abc", "A", "red", "green", "a,b", "  padded ", "it's", 'say "hi"', "back\\slash",
         "100%", "_x", "grüße", "Žluťoučký", "\U0001f40c snail", "日本語", "12", "12abc", "-7.5e2",
         "2026-11-22", "2026-02-30", "23:59:59", "x" * 70, "line\nbreak", "tab\there", "; --", "/*",
         "null", "{\"a\": 1}", "[1, 2, {\"b\": null}]", "no json", "%d", "1e400"]
BYTES = [b"", b"\x00", b"\x00\xff\x80", b"abc", b"'\"\\\n", bytes(range(30)), b"\xf0\x9f\x90\x8c"]
DATES = ["2026-11-22", "2024-02-29", "1999-12-31 23:59:59", "2026-11-22 10:11:12.345678",
         "1000-01-01", "9999-12-31", "2000-01-01 00:00:00", "2038-01-19 03:14:07", "1970-01-02"]
TIMES = ["10:11:12", "-838:59:59", "838:59:59", "00:00:00", "-01:02:03.000004", "23:59:59.999999",
         "100:00:00"]
DOCS = ['{"a": 1, "b": [1, 2.5, "x", null, true]}', "[]", "[1, [2, [3]]]", '"text"', "null", "17",
        '{"name": "Ada", "tags": ["x", "y"], "deep": {"er": {"est": -1.25}}}', '{"ü": "\\u00fc"}']
PATHS = ["$", "$.a", "$.b[0]", "$.b[3]", "$.name", "$.tags[1]", "$.deep.er", "$[0]", "$.none"]
UNITS = ["MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"]
PAIRS = {"DAY_HOUR": "'1 2'", "MINUTE_SECOND": "'3:4'", "YEAR_MONTH": "'1-2'",
         "DAY_SECOND": "'1 02:03:04'", "HOUR_MICROSECOND": "'1:2:3.4'"}


def _read_sections(path):
    """{section: its lines}."""
    found, lines = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"\[\w+\]", line):
            lines = found.setdefault(line[1:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


TEMPLATES = _read_sections(ROOT / "tests" / "data" / "differential" / "grammar.txt")
TEMPLATES["int"] = TEMPLATES["num"]


class Grammar:
    """Makes Statements for one flavor from a random.Random."""

    def __init__(self, rng, flavor):
        self.rng, self.flavor, self.mysql = rng, flavor, flavor == "mysql"
        self.values, self.scope, self.bound_part = [], [], 0.0
        self.serial, self.fresh = 0, 0
        self.earlier, self.texts = collections.deque(maxlen=60), set()
        makers = [(50, self.select), (6, self.set_operation), (5, self.common_table),
                  (4, self.show), (3, self.explain), (14, self.insert), (9, self.update),
                  (5, self.delete), (5, self.upsert), (3, self.definition), (2, self.call),
                  (3, self.mistake), (1, self.refusal), (2, self.elsewhere), (2, self.catalog),
                  (8, self.repeated)]
        self.makers = [maker for _, maker in makers]
        self.weights = [weight for weight, _ in makers]

    # --- Whole statements ------------------------------------------------------------

    def setup(self):
        """What stands before the first statement: tables, programs, rows."""
        made = [Statement(text.strip()) for text in SCHEMA.split(";\n")]
        self.bound_part = 0.5
        for _ in range(25):
            for table in TABLES:
                self.scope, self.values = [], []
                made.append(self._finish(self._insert_into(table), WRITE))
        # Estimates of empty tables would leave plans to chance.
        return made + [Statement(f"ANALYZE TABLE {table}") for table in TABLES]

    def next(self):
        """The next statement."""
        self.values, self.scope, self.serial = [], [], self.serial + 1
        self.bound_part = self.rng.choice([0, 0, 0.3, 0.8])
        made = self.rng.choices(self.makers, self.weights)[0]()
        made = made if isinstance(made, Statement) else self._finish(made)
        if made.kind in (READ, WRITE) and not made.sql.startswith(("EXPLAIN", "DESC")):
            self.earlier.append(made)
        made.repeats = made.sql in self.texts
        self.texts.add(made.sql)
        return made

    def repeated(self):
        """One of before, which an agent keeps prepared."""
        if not self.earlier:
            return "SELECT 1"
        earlier = self.rng.choice(self.earlier)
        return Statement(earlier.sql, earlier.params, earlier.kind, earlier.db, earlier.refused)

    def read(self):
        """One that looks at tables, and is the same on each node."""
        self.values, self.scope = [], []
        return self._finish(self.rng.choice([self.select, self.set_operation,
                                             self.common_table])())

    def _finish(self, text, kind=None, **more):
        """Parameters in the order in which they stand in the text."""
        params = []

        def place(match):
            value, literal = self.values[int(match[1])]
            if self.rng.random() < self.bound_part:
                params.append(value)
                return "?"
            return literal

        return Statement(re.sub("\0(\\d+)\0", place, text), params, kind, **more)

    # --- Values ------------------------------------------------------------------------

    def _keep(self, value, literal):
        self.values.append((value, literal))
        return f"\0{len(self.values) - 1}\0"

    def _text_literal(self, text):
        escaped = text.replace("\\", "\\\\").replace("'", self.rng.choice(["''", "\\'"]))
        return f"'{escaped}'".replace("\n", "\\n")

    def value(self, kind):
        """A constant of a kind; text or parameter is decided at the end."""
        rng = self.rng
        if rng.random() < 0.06:
            return self._keep(None, "NULL")
        if kind == "small":
            number = rng.choice(SMALL)
            return self._keep(number, str(number))
        if kind == "int" or (kind == "num" and rng.random() < 0.5):
            number = rng.choice(INTS) if rng.random() < 0.6 else rng.randrange(-50, 50)
            return self._keep(number, str(number))
        if kind == "num" and rng.random() < 0.5:
            number = rng.choice(REALS)
            return self._keep(number, f"{number!r}" if "e" in repr(number) else f"{number!r}e0")
        if kind == "num":
            text = rng.choice(DECIMALS)
            return self._keep(decimal.Decimal(text), text)
        if kind == "bin":
            data = rng.choice(BYTES)
            return self._keep(data, f"x'{data.hex()}'")
        if kind in ("date", "time"):
            text = rng.choice(DATES if kind == "date" else TIMES)
            return self._keep(self._temporal(text), f"'{text}'")
        if kind == "json":
            text = rng.choice(DOCS)
            return self._keep(text, self._text_literal(text))
        text = rng.choice(TEXTS)
        return self._keep(text, self._text_literal(text))

    def _temporal(self, text):
        """As its text, or as a value of the client's language where that has one."""
        if self.rng.random() < 0.5:
            return text
        for form in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"):
            try:
                return datetime.datetime.strptime(text, form)
            except ValueError:
                pass
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.date.fromisoformat(text)
        sign, hours, minutes, seconds = re.fullmatch(r"(-?)(\d+):(\d+):([\d.]+)", text).groups()
        length = datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
        return -length if sign else length

    # --- Expressions ---------------------------------------------------------------------

    def column(self, kind):
        """A column in scope of about that kind; a value where there is none."""
        fitting = [f"{alias}.{name}" for alias, table in self.scope
                   for name, sort in table.items()
                   if kind == "any" or sort == kind or (kind == "num" and sort == "int")]
        return self.rng.choice(fitting) if fitting else self.value(kind)

    def expression(self, kind, depth):
        rng = self.rng
        if kind == "any":
            kind = rng.choice(["num", "num", "str", "str", "date", "time", "bin", "json", "bool"])
        if kind == "small":
            return self.value("small")
        if depth <= 0 or rng.random() < 0.25:
            if kind == "bool":
                return f"{self.column('num')} > {self.value('int')}"
            return self.column(kind) if rng.random() < 0.65 else self.value(kind)
        text = self.fill(rng.choice(TEMPLATES[kind]), depth - 1)
        return f"({text})" if depth < 2 and kind != "json" else text

    def fill(self, template, depth):
        return re.sub(r"\{(\w+)\}", lambda match: self._word(match[1], depth), template)

    def _word(self, word, depth):
        if word == "unit":
            return self.rng.choice(UNITS)
        if word == "pair":
            unit = self.rng.choice(list(PAIRS))
            return f"{PAIRS[unit]} {unit}"
        if word == "path":
            return f"'{self.rng.choice(PATHS)}'"
        if word == "table":
            return self.rng.choice([*TABLES, "staff", "missing"])
        if word == "fresh":
            self.fresh += 1
            return str(self.fresh)
        if word == "col":
            return self.column("any")
        if word == "id":
            return f"{self.scope[0][0]}.id" if self.scope else "1"
        if word in ("sub_num", "sub_list", "exists"):
            return self._subquery(word)
        return self.expression(word, depth)

    def _subquery(self, word):
        if len(self.scope) > 3:
            return "EXISTS (SELECT 1)" if word == "exists" else "SELECT 1" if word == "sub_list" \
                else "(SELECT 1)"
        table, alias, outer = self.rng.choice(list(TABLES)), f"q{len(self.scope)}", self.scope
        self.scope = [(alias, TABLES[table])] + outer
        where = self.expression("bool", 1)
        if word == "sub_num":  # MAX() of an outer column would make one row of the outer query
            self.scope = self.scope[:1]
        what = self.column("num")
        self.scope = outer
        body = f"FROM {table} AS {alias} WHERE {where}"
        if word == "exists":
            return f"EXISTS (SELECT 1 {body})"
        return f"SELECT {what} {body}" if word == "sub_list" else f"(SELECT MAX({what}) {body})"

    # --- Reads -------------------------------------------------------------------------

    def _sources(self):
        """A FROM with its joins; sets the scope."""
        rng, names = self.rng, list(TABLES)
        first = rng.choice(names)
        self.scope, text = [("a", TABLES[first])], f"{first} AS a"
        for alias in "bc"[:rng.choice([0, 0, 0, 1, 1, 2])]:
            name = rng.choice(names)
            join = rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "CROSS JOIN", ",", "JOIN LATERAL"
                               if self.mysql else "JOIN"])
            on = f"a.id = {alias}.id" if rng.random() < 0.7 else f"a.id < {alias}.id"
            self.scope.append((alias, TABLES[name]))
            if join == ",":
                text = f"({text}) CROSS JOIN {name} AS {alias}"
            elif join == "CROSS JOIN":
                text += f" CROSS JOIN {name} AS {alias}"
            elif join == "JOIN LATERAL":
                text += (f" JOIN LATERAL (SELECT * FROM {name} AS l WHERE l.id <= a.id) AS {alias}"
                         f" ON {on}")
            elif rng.random() < 0.15:
                text += f" {join} (SELECT * FROM {name} WHERE id < 12) AS {alias} ON {on}"
            else:
                text += f" {join} {name} AS {alias} ON {on}"
        return text

    def select(self):
        rng = self.rng
        if rng.random() < 0.12:
            return "SELECT " + ", ".join(self.expression("any", 3) for _ in range(3))
        source, depth = self._sources(), rng.choice([1, 2, 2, 3])
        items = [self.expression("any", depth) for _ in range(rng.randint(1, 4))]
        where = f" WHERE ({self.expression('bool', 2)})" if rng.random() < 0.6 else ""
        if len(self.scope) > 1:  # products are not to grow beyond a reply
            few = " AND ".join(f"{alias}.id < 12" for alias, _ in self.scope)
            where += f" AND {few}" if where else f" WHERE {few}"
        form = rng.random()
        if form < 0.15:
            return self._grouped(source, where)
        if form < 0.25:
            items.append(self.fill(rng.choice(TEMPLATES["window"]), 1))
        if form < 0.32:
            items = [self.fill(rng.choice(TEMPLATES["aggregate"]), 2) for _ in range(3)]
            return f"SELECT {', '.join(items)} FROM {source}{where}"
        head = "SELECT DISTINCT" if form > 0.92 else "SELECT"
        if form > 0.9 and rng.random() < 0.3:
            return f"SELECT * FROM {source}{where} ORDER BY a.id"
        items = [f"{item} AS c{at}" if rng.random() < 0.8 else item
                 for at, item in enumerate(items)]
        keys = ", ".join(str(at + 1) for at in range(len(items)))
        tail = rng.choice([f" ORDER BY {keys}", "", " ORDER BY a.id DESC" if form < 0.9 else ""])
        if tail == f" ORDER BY {keys}" and form <= 0.92 and rng.random() < 0.4:
            tail += self._ids() + rng.choice([" LIMIT 7", " LIMIT 5 OFFSET 3", " LIMIT 2, 6",
                                              " LIMIT 0"])
        return f"{head} {', '.join(items)} FROM {source}{where}{tail}"

    def _ids(self):
        """What makes an order total.  Texts that differ only in their case or in the blanks at
        their end are equal to ORDER BY, and which of them a LIMIT cuts off is left open."""
        return "".join(f", {alias}.id" for alias, _ in self.scope)

    def _grouped(self, source, where):
        rng, key = self.rng, self.column("any")
        items = [self.fill(rng.choice(TEMPLATES["aggregate"]), 1) for _ in range(rng.randint(1, 3))]
        having = f" HAVING COUNT(*) > {self.value('small')}" if rng.random() < 0.4 else ""
        roll = " WITH ROLLUP" if rng.random() < 0.2 and not having else ""
        order = "" if roll else " ORDER BY 1"
        return f"SELECT {key} AS k, {', '.join(items)} FROM {source}{where} GROUP BY {key}" \
               f"{roll}{having}{order}"

    def set_operation(self):
        rng, kinds = self.rng, [self.rng.choice(["num", "str", "date"]) for _ in range(2)]
        operation = rng.choice(["UNION", "UNION ALL", "UNION", "INTERSECT", "EXCEPT"])
        parts = []
        for _ in range(rng.choice([2, 2, 3])):
            source = self._sources()
            items = ", ".join(self.expression(kind, 1) for kind in kinds)
            parts.append((f"SELECT {items} FROM {source} WHERE a.id < {self.value('int')}",
                          self._ids()))
        cut = rng.random() < 0.3
        parts = [f"({part} ORDER BY 1, 2{ids} LIMIT 4)" if cut else part for part, ids in parts]
        return f" {operation} ".join(parts) + rng.choice(["", " ORDER BY 1, 2"])

    def common_table(self):
        rng = self.rng
        if rng.random() < 0.4:
            top, step = rng.randint(2, 40), rng.randint(1, 5)
            return (f"WITH RECURSIVE series (n, x) AS (SELECT 1, CAST(1 AS DECIMAL(30,5)) "
                    f"UNION ALL SELECT n + {step}, x * 1.5 FROM series WHERE n < {top}) "
                    f"SELECT n, x, SUM(n) OVER (ORDER BY n) FROM series ORDER BY n")
        table = rng.choice(list(TABLES))
        self.scope = [("t", TABLES[table])]
        inner = f"SELECT t.id AS id, {self.expression('num', 2)} AS n FROM {table} AS t"
        self.scope = [("w", {"id": "int", "n": "num"})]
        return (f"WITH w AS ({inner}), v AS (SELECT COUNT(*) AS all_of_it FROM w) "
                f"SELECT w.id, {self.expression('any', 2)}, v.all_of_it FROM w CROSS JOIN v "
                f"ORDER BY w.id, 2")

    def show(self):
        return self.fill(self.rng.choice(TEMPLATES["show"]), 0)

    def explain(self):
        form = self.rng.choice(["EXPLAIN ", "EXPLAIN FORMAT=JSON ", "DESCRIBE ", "EXPLAIN "])
        table = self.rng.choice(list(TABLES))
        body = self.rng.choice([
            self.select, self.set_operation,
            lambda: f"SELECT * FROM {table} WHERE id = {self.value('small')}",
            lambda: "SELECT d.name, COUNT(*) FROM emp e JOIN dept d ON d.id = e.dept_id GROUP BY 1",
            lambda: f"UPDATE {table} SET id = id WHERE id < 4"])()
        if isinstance(body, str) and body.startswith("UPDATE"):
            return self._finish(form + body, WRITE)
        # MariaDB forgets covering indexes in a prepared statement whose tables were opened anew
        # since: a text that was not prepared before has the plan that it has directly.
        return f"{form}{body} /* {self.serial} */"

    def catalog(self):
        return self.rng.choice(TEMPLATES["catalog"])

    # --- Writes ------------------------------------------------------------------------

    def _row_for(self, table, columns):
        kinds = TABLES[table]
        values = []
        for name in columns:
            kind = kinds[name]
            if name in ("dept_id", "boss") or name in ("tiny", "utiny", "y"):
                values.append(self.value("small"))
            elif self.rng.random() < 0.12:
                values.append(self.expression(self.rng.choice(["num", "str", "any"]), 1))
            else:
                values.append(self.value("num" if kind == "int" else kind))
        return f"({', '.join(values)})"

    def _columns_of(self, table):
        names = WRITABLE[table].split()
        return self.rng.sample(names, self.rng.randint(1, min(6, len(names))))

    def _insert_into(self, table):
        """Mostly values that fit."""
        rng, names = self.rng, WRITABLE[table].split()
        self.fresh += 1
        row = {"numbers": lambda: [rng.randrange(-128, 128), rng.randrange(256),
                                   rng.randrange(-32768, 32768), rng.randrange(2**24),
                                   rng.choice(INTS[:17]), rng.randrange(2**32),
                                   rng.choice(INTS[:21]), abs(rng.choice(INTS)),
                                   rng.choice(REALS[:6]), rng.choice(REALS),
                                   decimal.Decimal(rng.choice(DECIMALS[:4])),
                                   decimal.Decimal(rng.choice(DECIMALS)), rng.randrange(1024)],
               "texts": lambda: [rng.choice(TEXTS)[:10], rng.choice(TEXTS)[:60],
                                 rng.choice(["", "caf\u00e9", "plain", "A b"]),
                                 rng.choice(TEXTS)[:30], rng.choice(BYTES), rng.choice(BYTES)[:6],
                                 rng.choice(TEXTS) * 3, rng.choice(BYTES) * 5,
                                 rng.choice(["red", "green", "blue"]),
                                 rng.choice(["", "a", "a,c", "b,d"]), rng.choice(DOCS)],
               "times": lambda: [rng.choice(DATES)[:10], rng.choice(TIMES), rng.choice(TIMES),
                                 rng.choice(DATES), rng.choice(DATES), rng.choice(DATES[:4]),
                                 rng.randrange(1901, 2156)],
               "dept": lambda: [f"dept {rng.randrange(60)}", decimal.Decimal(rng.randrange(9999))],
               "emp": lambda: [rng.choice([None, *range(1, 15)]), rng.choice([None, *range(1, 9)]),
                               rng.choice(TEXTS)[:40], decimal.Decimal(rng.randrange(1, 9999)) / 4,
                               rng.choice(DATES)[:10], rng.choice(DOCS)],
               "counts": lambda: [f"key {rng.randrange(80)}", rng.randrange(100),
                                  rng.choice(TEXTS)[:12]],
               "jobs": lambda: [rng.choice([None, *range(1, 25)]),
                                decimal.Decimal(rng.randrange(9999)) / 100, self.fresh]}[table]()
        names += ["id"] if table == "jobs" else []
        texts = [self._keep(value, self._literal(value)) for value in row]
        return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(texts)})"

    def _literal(self, value):
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        return self._text_literal(value) if isinstance(value, str) else str(value)

    def insert(self):
        rng, table = self.rng, self.rng.choice(list(TABLES))
        form = rng.random()
        if form < 0.5:
            return self._insert_into(table)
        columns = self._columns_of(table)
        head = rng.choice(["INSERT INTO", "INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO",
                           "INSERT"])
        if form < 0.62:
            other = rng.choice(list(TABLES))
            self.scope = [("o", TABLES[other])]
            items = ", ".join(self.expression(TABLES[table][name], 1) for name in columns)
            return (f"{head} {table} ({', '.join(columns)}) SELECT {items} FROM {other} AS o "
                    f"WHERE o.id < {rng.randrange(6)} ORDER BY o.id")
        if form < 0.7 and head != "REPLACE INTO":
            sets = ", ".join(f"{name} = {self._row_for(table, [name])[1:-1]}" for name in columns)
            return f"{head} {table} SET {sets}"
        rows = ", ".join(self._row_for(table, columns) for _ in range(rng.choice([1, 1, 2, 4])))
        returning = " RETURNING id, id * 2 AS twice" if not self.mysql and form > 0.94 else ""
        return f"{head} {table} ({', '.join(columns)}) VALUES {rows}{returning}"

    def upsert(self):
        rng = self.rng
        key, number = f"key {rng.randrange(80)}", rng.randrange(100)
        row = f"({self._keep(key, repr(key))}, {self._keep(number, str(number))}, 'Up')"
        change = rng.choice(["n = n + 1", "n = n + VALUES(n)", "note = 'again', n = 0", "n = n",
                             "n = n / 0", "k = NULL", "id = LAST_INSERT_ID(id), n = n + 1"])
        if self.mysql and rng.random() < 0.4:
            return (f"INSERT INTO counts (k, n, note) VALUES {row} AS fresh "
                    f"ON DUPLICATE KEY UPDATE n = counts.n + fresh.n")
        return f"INSERT INTO counts (k, n, note) VALUES {row} ON DUPLICATE KEY UPDATE {change}"

    def update(self):
        rng, table = self.rng, self.rng.choice(list(TABLES))
        if rng.random() < 0.15:
            return ("UPDATE emp AS e JOIN dept AS d ON d.id = e.dept_id SET e.salary = "
                    f"e.salary + {self.value('small')}, d.budget = d.budget + 1 "
                    f"WHERE d.id < {self.value('small')}")
        self.scope = [(table, TABLES[table])]
        ignore = rng.choice(["", "", "", "IGNORE "])
        sets = ", ".join(f"{name} = {self._change(table, name)}"
                         for name in self._columns_of(table)[:3])
        where = f"{table}.id {rng.choice(['=', '<', '>'])} {rng.randrange(30)}"
        if rng.random() < 0.3:
            where += f" AND {self.expression('bool', 1)}"
        tail = f" ORDER BY id LIMIT {rng.randrange(4)}" if rng.random() < 0.3 else ""
        return f"UPDATE {ignore}{table} SET {sets} WHERE {where}{tail}"

    def _change(self, table, name):
        kind = TABLES[table][name]
        if self.rng.random() < 0.5:
            return self._row_for(table, [name])[1:-1]
        self.scope = [(table, TABLES[table])]
        return self.expression("num" if kind == "int" else kind, 2)

    def delete(self):
        rng, table = self.rng, self.rng.choice(list(TABLES))
        if rng.random() < 0.15:
            return (f"DELETE e FROM emp AS e LEFT JOIN dept AS d ON d.id = e.dept_id "
                    f"WHERE d.id IS NULL AND e.id % 7 = {rng.randrange(7)}")
        if rng.random() < 0.1 and self.mysql:
            return f"WITH old AS (SELECT {rng.randrange(30)} AS n) " \
                   f"DELETE FROM counts WHERE id IN (SELECT n FROM old)"
        self.scope = [(table, TABLES[table])]
        where = f"id = {self._keep(9, '9')}" if rng.random() < 0.4 else \
            f"id % 11 = {rng.randrange(11)} AND {self.expression('bool', 1)}"
        returning = " RETURNING id" if not self.mysql and rng.random() < 0.2 else ""
        limit = "" if returning else f" ORDER BY id LIMIT {rng.randrange(1, 3)}"
        return f"DELETE FROM {table} WHERE {where}{limit}{returning}"

    # --- Definitions, programs -----------------------------------------------------------

    def definition(self):
        rng, name = self.rng, f"made_{self.rng.randrange(6)}"
        sort = rng.choice(["INT", "VARCHAR(20) NOT NULL DEFAULT 'x'", "DATETIME(3)", "TEXT", "JSON",
                           "DECIMAL(8,3) UNSIGNED", "BLOB", "ENUM('p','q')", "TIMESTAMP(2) NULL"])
        text = rng.choice([
            f"CREATE TABLE {name} (id INT PRIMARY KEY, v {sort})",
            f"CREATE TABLE IF NOT EXISTS {name} (id INT PRIMARY KEY, v {sort})",
            f"CREATE TABLE {name} LIKE counts", f"DROP TABLE {name}",
            f"DROP TABLE IF EXISTS {name}",
            f"CREATE TABLE {name} AS SELECT id, name FROM dept WHERE id < 5 ORDER BY id",
            f"ALTER TABLE {name} ADD COLUMN extra {sort}", f"ALTER TABLE {name} DROP COLUMN extra",
            f"ALTER TABLE {name} MODIFY COLUMN v {sort}", f"CREATE INDEX by_id ON {name} (id)",
            f"ALTER TABLE {name} RENAME TO made_{rng.randrange(6)}", f"TRUNCATE TABLE {name}",
            f"DROP INDEX by_id ON {name}", f"RENAME TABLE {name} TO made_{rng.randrange(6)}",
            f"CREATE OR REPLACE VIEW seen_{rng.randrange(3)} AS SELECT id, name FROM dept",
            f"DROP VIEW seen_{rng.randrange(3)}", "CREATE TABLE broken (id INT, id INT)",
            "CREATE TABLE broken (id FOO)", "ALTER TABLE dept ADD UNIQUE KEY again (name, name)",
            f"CHECKSUM TABLE {rng.choice(list(TABLES))}", f"ANALYZE TABLE {name}",
            f"CHECK TABLE {name}", f"ALTER TABLE {name} COMMENT = 'changed {self.serial}'"])
        return self._finish(text, DDL)

    def call(self):
        rng = self.rng
        return self._finish(rng.choice([
            f"CALL staff_of({self.value('small')})", f"CALL raise_all({rng.randrange(5)})",
            "CALL staff_of()", "CALL no_such(1)", f"CALL staff_of({self.value('str')})",
            "CALL raise_all('many')"]), CALL)

    # --- What fails, and what is refused -----------------------------------------------------

    def mistake(self):
        return self.fill(self.rng.choice(TEMPLATES["mistake"]), 0)

    def refusal(self):
        """What may not pass, with the code that says so."""
        code, sql = self.rng.choice(TEMPLATES["refused"]).split("\t")
        return Statement(sql, [1] if "?" in sql else [], READ, refused=code)

    def elsewhere(self):
        """Other schemas: by name, by default, and none that exists."""
        rng = self.rng
        number = rng.randrange(60)
        word = f"word {number}"
        return rng.choice([
            Statement("INSERT INTO far VALUES (?, ?, ?)", [number, word, -number], db="more_x"),
            Statement(f"INSERT INTO more_x.far VALUES ({number}, '{word}', {number})"),
            Statement("SELECT * FROM far ORDER BY id", db="more_x"),
            Statement("SELECT f.word, e.name FROM more_x.far AS f JOIN emp AS e ON e.id = f.id "
                      "ORDER BY f.id"),
            Statement("SELECT e.name FROM diff_x.emp AS e ORDER BY e.id LIMIT 3", db="more_x"),
            Statement("SELECT * FROM emp", db="more_x"),
            Statement("SELECT DATABASE()", db="more_x"),
            Statement(f"UPDATE far SET n = n + 1 WHERE id < {number}", db="more_x"),
            Statement("SELECT 1", db="diff_x_missing"), Statement("SELECT far.n FROM more_x.far"),
            Statement(f"DELETE FROM far WHERE id = {number}", db="more_x")])

    # --- Sessions ----------------------------------------------------------------------------

    def session(self):
        """What one connection remembers: transactions, variables, temporary tables, locks."""
        rng = self.rng
        read_only = rng.random() < 0.2
        kinds = [self.select, self.set_operation, self.remembered] if read_only else [
            self.select, self.insert, self.insert, self.update, self.delete, self.upsert,
            self.mistake, self.remembered, self.remembered, self.remembered, self.set_operation]
        found = [Statement("SELECT 1")]  # an agent's own statements came before
        for _ in range(rng.randint(4, 20)):
            self.values, self.scope, self.serial = [], [], self.serial + 1
            self.bound_part = rng.choice([0, 0.5])
            made = rng.choice(kinds)()
            made = made if isinstance(made, Statement) else self._finish(made)
            made.db = None  # the session's own, which USE changes
            stateful = re.search(r"@|LAST_INSERT_ID\(\)", made.sql)
            if read_only and made.kind in (WRITE, DDL, CALL) and not stateful:
                made.refused = "REFUSED"  # what has state too is left to the database
            found.append(made)
        return Script(found, rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]), read_only)

    def remembered(self):
        """Statements of state and of the transaction, one from the list of their section."""
        form, sql = self.rng.choice(TEMPLATES["session"]).split("\t")
        kind = {"text": TEXT, "prepared": None}[form]
        return self._finish(self.fill(sql, 1), kind)
