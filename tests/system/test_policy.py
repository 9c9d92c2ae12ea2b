"""The policy at work: each rule by what a client gets, reloads, rules on trial, digest lists."""
import contextlib
import os
import pathlib
import threading
import time

import pytest

from harness import Cluster, wait_until
import portcullis

TABLE = "CREATE TABLE IF NOT EXISTS demo.policy_t (id INT PRIMARY KEY, n INT)"


class Gate:
    """A cluster of one node, whose policy a test writes."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.file = pathlib.Path(cluster.info["policy"])
        self.key = next(line.split("=", 1)[1].split()[1].rstrip('"')
                        for line in self.file.read_text().splitlines()
                        if line.strip().startswith("local ="))

    def loads(self):
        return self.cluster.log("broker").count("event=policy_loaded")

    def put(self, text):
        """Replaces the file, as an editor does."""
        made = self.file.with_suffix(".new")
        made.write_text(text)
        os.replace(made, self.file)

    def role(self, *keys):
        """The policy has one role, with these keys, and one principal; returns when that counts."""
        before = self.loads()
        lines = ["policy", '    version = "1"', "roles", "    app",
                 *(f"        {key}" for key in keys), "principals",
                 f'    local = "app {self.key}"', f"# {time.monotonic_ns()}", ""]
        self.put("\n".join(lines))
        wait_until(lambda: self.loads() > before, 5, "the policy is loaded")

    def dry_runs(self, rule):
        return self.cluster.metrics("broker")[f'portcullis_broker_dry_runs_total{{rule="{rule}"}}']


@pytest.fixture(scope="module")
def one_node():
    with Cluster.running("policy", nodes=1) as one:
        with one.client() as client:
            client.query(TABLE)
            client.query("REPLACE INTO demo.policy_t VALUES (1, 1), (2, 2), (3, 3)")
        yield one


@pytest.fixture
def gate(one_node):
    one_node.heal()
    made = Gate(one_node)
    made.role()
    yield made
    made.role()


@pytest.fixture
def client(one_node):
    with one_node.client() as one:
        yield one


@contextlib.contextmanager
def refused(code, part, **more):
    with pytest.raises(portcullis.PortcullisError) as caught:
        yield caught
    error = caught.value
    assert error.code == code and part in str(error), f"{error.code}: {error}"
    for name, value in more.items():
        assert getattr(error, name) == value, f"{name}: {getattr(error, name)}"


def test_a_role_runs_its_classes_only(gate, client):
    gate.role('classes = "read"')
    assert client.query("SELECT COUNT(*) FROM demo.policy_t").rows == [[3]]
    with refused("FORBIDDEN", "sql: the role may not run a write statement", retry="never"):
        client.query("UPDATE demo.policy_t SET n = 9")
    with refused("FORBIDDEN", "op: the role may not open a session"):
        client.begin()
    with refused("FORBIDDEN", "statements[1].sql: the role may not run a write statement"):
        client.txn([("SELECT 1",), ("UPDATE demo.policy_t SET n = 9",)])
    gate.role('classes = "read state"')
    with client.begin() as session:
        session.query("SET @a = 1")
        with refused("FORBIDDEN", "may not run a write statement"):
            session.query("UPDATE demo.policy_t SET n = @a")
    assert client.query("SELECT MAX(n) FROM demo.policy_t").rows == [[3]]


def test_a_role_uses_its_schemas_and_strategies_only(gate, client):
    gate.role('schemas = "shop_% de_o"', 'strategies = "direct"')
    assert client.query("SELECT COUNT(*) FROM policy_t", db="demo").rows == [[3]]
    with refused("FORBIDDEN", "db: the role may not use this schema"):
        client.query("SELECT 1", db="other")
    assert client.query("SELECT 1", strategy="direct").rows == [[1]]
    with refused("FORBIDDEN", "strategy: the role may not choose random"):
        client.query("SELECT 1", strategy="random")


def test_time_and_rows_are_cut(gate, client):
    gate.role('timeout_ms_max = "400"', 'rows_max = "2"')
    started = time.monotonic()
    with refused("DEADLINE", ""):
        client.query("SELECT SLEEP(3)", timeout_ms=5000)
    assert time.monotonic() - started < 2
    assert len(client.query("SELECT id FROM demo.policy_t LIMIT 2").rows) == 2
    with refused("TOO_LARGE", "rows: more than 2", retry="never"):
        client.query("SELECT id FROM demo.policy_t")


def test_a_rate_answers_at_once_and_keeps_its_word(gate, client):
    gate.role('rate = "5"', 'burst = "3"')
    refusals = []
    started = time.monotonic()
    while not refusals:
        try:
            client.query("SELECT 1")
        except portcullis.PortcullisError as error:
            refusals.append(error)
    assert time.monotonic() - started < 2
    error = refusals[0]
    assert error.code == "OVERLOADED" and error.retry == "safe" and "rate: " in str(error)
    assert 1 <= error.retry_after_ms <= 200
    time.sleep(error.retry_after_ms / 1000 + 0.02)
    assert client.query("SELECT 1").rows == [[1]]


def test_no_more_than_allowed_are_in_flight(gate, client, one_node):
    gate.role('concurrency_max = "1"')
    outcome = []

    def sleep():
        with one_node.client() as other:
            outcome.append(other.query("SELECT SLEEP(1)").rows)

    thread = threading.Thread(target=sleep)
    thread.start()
    time.sleep(0.4)
    started = time.monotonic()
    with refused("OVERLOADED", "concurrency: ", retry="safe") as caught:
        client.query("SELECT 1")
    assert time.monotonic() - started < 0.3 and caught.value.retry_after_ms >= 1
    thread.join()
    assert outcome == [[[0]]]
    assert client.query("SELECT 1").rows == [[1]]


def test_a_long_result_needs_no_more_than_is_allowed(gate, one_node):
    """The command asks for pages before their turn, which this role may not."""
    tables = ", ".join(f"demo.policy_t t{number}" for number in range(8))
    for allowed in (1, 2, 3):
        gate.role(f'concurrency_max = "{allowed}"')
        asked = one_node.command("query", "--page-rows", "100", f"SELECT t0.id FROM {tables}",
                                 check=False)
        assert asked.returncode == 0, asked.stderr
        assert asked.stdout.count("|  ") == 3 ** 8


def test_rules_on_trial_only_tell(gate, client, one_node):
    before = {rule: gate.dry_runs(rule) for rule in ("class", "schema", "rate")}
    gate.role('classes = "read"', 'schemas = "other"', 'rate = "1"', 'burst = "1"',
              'dry_run = "class schema rate"')
    client.query("UPDATE policy_t SET n = 4 WHERE id = 1", db="demo")
    client.query("UPDATE policy_t SET n = 1 WHERE id = 1", db="demo")
    assert gate.dry_runs("class") == before["class"] + 2
    assert gate.dry_runs("schema") == before["schema"] + 2
    assert gate.dry_runs("rate") >= before["rate"] + 1
    assert "the role may not run a write statement" in one_node.log("broker")
    with refused("FORBIDDEN", "admin"):
        client.query("KILL 1")


def test_a_policy_with_a_mistake_changes_nothing(gate, client, one_node):
    gate.role('classes = "read"')
    loads = gate.loads()
    gate.put(f'policy\n    version = "1"\nroles\n    app\n        rate = "x"\n'
             f'        clases = "write"\nprincipals\n    local = "nobody {gate.key}"\n')
    wait_until(lambda: "roles/app/clases: there is no such setting" in one_node.log("broker"), 5,
               "the mistakes are told")
    said = one_node.log("broker")
    assert "policy.cfg:5: roles/app/rate: must be a number from 0 to 1000000" in said
    assert "policy.cfg:8: principals/local: there is no such role" in said
    assert gate.loads() == loads
    assert client.query("SELECT 1").rows == [[1]]
    with refused("FORBIDDEN", "may not run a write statement"):
        client.query("DELETE FROM demo.policy_t")


def test_whoever_is_taken_out_is_refused_within_a_second(gate, client):
    assert client.query("SELECT 1").rows == [[1]]
    text = gate.file.read_text()
    gate.put("".join(line for line in text.splitlines(True) if "local =" not in line))
    started = time.monotonic()

    def out():
        try:
            client.query("SELECT 1")
        except portcullis.PortcullisError as error:
            assert error.code == "FORBIDDEN", error
            return True
        return False

    wait_until(out, 5, "the principal is out")
    assert time.monotonic() - started < 1.5
    gate.role()
    assert client.query("SELECT 1").rows == [[1]]


def test_a_digest_list_is_learned_looked_at_and_held_to(gate, client, one_node):
    listed = gate.file.parent / "app.list"
    seen = gate.file.parent / "app.list.seen"
    for file in (listed, seen):
        file.unlink(missing_ok=True)
    digests = ("--policy", str(gate.file), "--role", "app")
    gate.role('digests = "detect"', 'digest_list = "app.list"')
    for value in (1, 2, 3):
        client.query("SELECT n FROM demo.policy_t WHERE id = ?", [value])
    client.query("SELECT n FROM demo.policy_t WHERE id = 3")
    client.query("SELECT MAX(id) FROM demo.policy_t")
    lines = seen.read_text().splitlines()
    assert len(lines) == 2 and all("  seen  select " in line for line in lines), lines

    one_node.command("digests", "learn", *digests)
    assert not seen.exists()
    learned = one_node.command("digests", "list", *digests, "--state", "seen").stdout
    by_id = next(line.split()[0] for line in learned.splitlines() if "where id = ?" in line)
    other = next(line.split()[0] for line in learned.splitlines() if "max(id)" in line)
    one_node.command("digests", "allow", *digests, by_id)

    gate.role('digests = "protect"', 'digest_list = "app.list"')
    assert client.query("SELECT n FROM demo.policy_t WHERE id = 2").rows == [[2]]
    with refused("FORBIDDEN", f"sql: digest {other} is not on the list", retry="never"):
        client.query("SELECT MAX(id) FROM demo.policy_t")
    with refused("FORBIDDEN", "sql: digest "):
        client.query("SELECT n FROM demo.policy_t WHERE id = 2 OR 1 = 1")
    assert not seen.exists()

    loads = gate.loads()  # the command touches the policy: nobody has to reload
    one_node.command("digests", "allow", *digests, other)
    wait_until(lambda: gate.loads() > loads, 5, "the list is read again")
    assert client.query("SELECT MAX(id) FROM demo.policy_t").rows == [[3]]


def test_the_command_says_what_the_broker_does(gate, client, one_node):
    gate.role('classes = "read state"', 'schemas = "demo"', 'strategies = "direct"')
    statements = ["SELECT 1", "DELETE FROM policy_t", "SET @a = 1", "KILL 1", "SELECT 1; SELECT 2",
                  "SELECT n FROM policy_t FOR UPDATE", "CALL p()"]
    for sql in statements:
        for db in ("demo", "mysql"):
            said = one_node.command("policy", "explain", "--policy", str(gate.file),
                                    "--principal", "local", "--db", db, sql, check=False)
            try:
                client.query(sql, db=db)
                code, message = "may run", ""
            except portcullis.PortcullisError as error:
                code, message = error.code, error.message
            assert said.stdout.splitlines()[0].split(None, 1)[1] == code, (sql, db, said.stdout)
            assert message in said.stdout, (message, said.stdout)
