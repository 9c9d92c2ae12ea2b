"""`portcullis shell`: at a terminal (a real one, of the kernel's) and in a pipe."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from harness import FLAVOR

PROMPT = re.compile(r"portcullis(:\w+)?(\*)?> $")
# What libedit sends to place the cursor, and the terminal's own words.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x07\x08\r]")


class Terminal:
    """The shell on a pseudo terminal of 24 rows and 120 columns."""

    def __init__(self, cluster, *arguments, history=""):
        environment = {**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle, "TERM": "xterm",
                       "PORTCULLIS_HISTORY": history, "PAGER": "cat", "LC_ALL": "C.UTF-8",
                       # libedit forgets the names of the functions that it was given.
                       "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        pid, self.fd = pty.fork()
        if pid == 0:
            command = cluster.info["command"]
            os.execvpe(command, [command, "shell", *arguments], environment)
        self.pid, self.seen = pid, ""
        subprocess.run(["stty", "rows", "24", "cols", "120"], stdin=self.fd, check=True)
        self.wait_prompt()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def wait_end(self, timeout_s=10):
        """Its exit code."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid != 0:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, "the shell does not end"

    def read(self, timeout_s):
        """What comes within the time; "" when nothing does or the shell has ended."""
        if not select.select([self.fd], [], [], timeout_s)[0]:
            return ""
        try:
            return CONTROL.sub("", os.read(self.fd, 65536).decode(errors="replace"))
        except OSError:
            return ""

    def wait(self, pattern, timeout_s=15):
        """Everything up to where the pattern matches at the end of what was seen."""
        deadline = time.monotonic() + timeout_s
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen!r}"
            self.seen += self.read(0.2)
        text, self.seen = self.seen, ""
        return text

    def wait_prompt(self):
        return self.wait(PROMPT.pattern)

    def type(self, text):
        os.write(self.fd, text.encode())

    def run(self, text):
        """Types a line, and returns what the shell wrote up to its next prompt."""
        self.type(text + "\n")
        return self.wait_prompt()


def test_a_statement_over_lines(cluster):
    with Terminal(cluster, "-d", "demo") as shell:
        shell.type("SELECT 'a;\n")
        shell.wait(r"'> $")
        shell.type("b' AS it,\n")
        shell.wait(r"-> $")
        answer = shell.run("6 * 7 AS n;")
        assert re.search(r"\| a;\\nb +\| +42 \|", answer), answer
        assert re.search(r"1 row \(\d+\.\d ms\)", answer), answer


def test_vertical_timing_and_format(cluster):
    with Terminal(cluster) as shell:
        assert re.search(r"\n *one: 1\n *two: 2\n", shell.run("SELECT 1 AS one, 2 AS two\\G"))
        assert "timing is off" in shell.run("\\timing off")
        assert "ms)" not in shell.run("SELECT 1;")
        shell.run("\\format csv")
        assert "\none,two\n1,2\n" in shell.run("SELECT 1 AS one, 2 AS two;")


def test_a_causal_shell_sees_what_it_has_written(cluster):
    cluster.sql(cluster.source(), "CREATE OR REPLACE TABLE demo.seen_by (n INT)"
                if FLAVOR == "mariadb" else
                "DROP TABLE IF EXISTS demo.seen_by; CREATE TABLE demo.seen_by (n INT)")
    cluster.wait_replicated()
    for replica in cluster.replicas():
        cluster.stop_applying(replica)
    try:
        script = "INSERT INTO seen_by VALUES (42); SELECT n FROM seen_by;"
        shown = cluster.command("shell", "-d", "demo", "-F", "csv", "--consistency", "causal",
                                text=script).stdout
        assert shown.splitlines()[-1] == "42"
        wrong = cluster.command("shell", "--consistency", "fresh", check=False)
        assert wrong.returncode == 64 and "max-lag" in wrong.stderr
    finally:
        for replica in cluster.replicas():
            cluster.start_applying(replica)


def test_strategy_route_and_explain(cluster):
    with Terminal(cluster) as shell:
        shell.run("\\route on")
        shell.run("\\strategy direct")
        assert f"node={cluster.source()} role=source strategy=direct" in shell.run("SELECT 1;")
        shell.run("\\strategy random")
        assert "role=replica strategy=random" in shell.run("SELECT 1;")
        shell.run("\\explain on")
        assert "candidates: node=" in shell.run("SELECT 1;")
        assert "must be one of" in shell.run("\\strategy best")


def test_errors_leave_the_shell(cluster):
    with Terminal(cluster) as shell:
        assert "SQL: " in shell.run("SELECT nothing;")
        assert "REFUSED: " in shell.run("SELECT 1; SELECT 1 INTO OUTFILE '/tmp/x';")
        assert "no command" in shell.run("\\nothing")
        assert "| 1 |" in shell.run("SELECT 1;")


def test_a_session_shows_in_the_prompt(cluster, table):
    with Terminal(cluster, "-d", "demo") as shell:
        shell.type("BEGIN;\n")
        assert shell.wait_prompt().endswith("portcullis:demo*> ")
        assert "1 row affected" in shell.run(f"INSERT INTO {table} (id) VALUES (1);")
        assert cluster.sql(cluster.source(), f"SELECT COUNT(*) FROM demo.{table}") == [["0"]]
        assert shell.run("COMMIT;").endswith("portcullis:demo> ")
        assert cluster.sql(cluster.source(), f"SELECT COUNT(*) FROM demo.{table}") == [["1"]]
        shell.run("START TRANSACTION;")
        shell.run(f"DELETE FROM {table};")
        shell.run("ROLLBACK;")
        assert cluster.sql(cluster.source(), f"SELECT COUNT(*) FROM demo.{table}") == [["1"]]


def test_state_needs_a_plain_session(cluster):
    with Terminal(cluster, "-d", "demo") as shell:
        assert "\\begin plain" in shell.run("SET @a = 7;")
        assert shell.run("\\begin plain").endswith("*> ")
        shell.run("SET @a = 7;")
        assert re.search(r"\| +7 \|", shell.run("SELECT @a;"))
        shell.run("CREATE TEMPORARY TABLE shell_t (a INT);")
        shell.run("INSERT INTO shell_t VALUES (3);")
        assert re.search(r"\| +3 \|", shell.run("SELECT a FROM shell_t;"))
        assert not shell.run("\\rollback").endswith("*> ")


def test_use_changes_the_schema(cluster):
    with Terminal(cluster) as shell:
        assert shell.run("USE demo;").endswith("portcullis:demo> ")
        assert "customers" in shell.run("\\tables")
        assert re.search(r"\| city +\|", shell.run("\\d customers"))


def test_tab_completes_tables_columns_and_commands(cluster):
    with Terminal(cluster, "-d", "demo") as shell:
        shell.type("\\strat\t")
        shell.wait(r"\\strategy ")
        shell.type("rand\t\n")
        shell.wait_prompt()
        shell.type("SELECT cit\t")
        shell.wait("SELECT cit")
        shell.type("\x15SELECT COUNT(*) FROM custo\t")
        shell.wait("FROM customers ")
        shell.type("WHERE customers.bal\t")
        shell.wait(r"customers\.balance ")
        answer = shell.run(">= 0;")
        assert "COUNT(*)" in answer, answer


def test_ctrl_c_cancels_the_statement_and_not_the_shell(cluster):
    with Terminal(cluster, "-d", "demo") as shell:
        began = time.monotonic()
        shell.type("SELECT SLEEP(20);\n")
        shell.wait(r"SLEEP\(20\);\n")
        time.sleep(0.5)
        shell.type("\x03")
        answer = shell.wait_prompt()
        assert "CANCELLED" in answer, answer
        assert time.monotonic() - began < 5
        shell.type("SELECT half")
        shell.wait(r"half$")  # the editor listens
        shell.type("\x03")
        shell.wait(r"\^C\n(.|\n)*> $")
        assert "| 1 |" in shell.run("SELECT 1;")


def test_ctrl_c_in_a_session_leaves_the_session(cluster, table):
    with Terminal(cluster, "-d", "demo") as shell:
        shell.run("BEGIN;")
        shell.run(f"INSERT INTO {table} (id) VALUES (5);")
        shell.type("SELECT SLEEP(20);\n")
        shell.wait(r"SLEEP\(20\);\n")
        time.sleep(0.5)
        shell.type("\x03")
        assert "CANCELLED" in shell.wait_prompt()
        assert re.search(r"\| +5 \|", shell.run(f"SELECT id FROM {table};"))
        shell.run("COMMIT;")
        assert cluster.sql(cluster.source(), f"SELECT id FROM demo.{table}") == [["5"]]


def test_long_results_page(cluster, table):
    values = ",".join(f"({number})" for number in range(2500))
    cluster.sql(cluster.source(), f"INSERT INTO demo.{table} (id) VALUES {values}")
    cluster.wait_replicated()
    with Terminal(cluster, "-d", "demo") as shell:
        shell.run("\\format csv")
        answer = shell.run(f"SELECT id FROM {table} ORDER BY id;")
        numbers = [int(line) for line in answer.splitlines() if line.strip().isdigit()]
        assert numbers == list(range(2500))


def test_history_is_kept_without_secrets(cluster, tmp_path):
    history = tmp_path / "history"
    with Terminal(cluster, history=str(history)) as shell:
        shell.run("SELECT 4711;")
        shell.run("SELECT 'x' /* IDENTIFIED BY */;")
    assert history.stat().st_mode & 0o777 == 0o600
    assert "4711" in history.read_text()
    assert "IDENTIFIED" not in history.read_text()
    with Terminal(cluster, history=str(history)) as shell:
        shell.type("\x1b[A\n")  # cursor up
        assert "4711" in shell.wait_prompt()


@pytest.mark.parametrize("farewell", ["\x04", "\\q\n", "\\quit\n"])
def test_it_ends(cluster, farewell):
    with Terminal(cluster) as shell:
        shell.run("SELECT nothing;")
        time.sleep(0.5)  # the prompt comes a little before the terminal is the editor's
        shell.type(farewell)
        assert shell.wait_end() == 0


@pytest.mark.parametrize("text, code, out, error", [
    ("SELECT 1 AS a; SELECT 2 AS a;\n", 0, "a\n1\na\n2\n", ""),
    ("SELECT 1 AS a", 0, "a\n1\n", ""),
    ("SELECT nothing;\nSELECT 2 AS a;\n", 1, "", "SQL: "),
    ("\\timing on\nUSE demo;\nSELECT DATABASE() AS d;\n", 0, "d\ndemo\n", ""),
    ("\\nonsense\n", 64, "", "no command"),
    ("BEGIN; SELECT 3 AS a; COMMIT;", 0, "a\n3\n", ""),
    ("BEGIN; SELECT 3 AS a;", 0, "a\n3\n", "rolled back"),
    ("", 0, "", ""),
])
def test_a_pipe(cluster, text, code, out, error):
    done = cluster.command("shell", "-F", "csv", text=text, check=False)
    assert (done.returncode, done.stdout) == (code, out), done.stderr
    assert error in done.stderr


def test_a_pipe_may_go_on_after_a_failure(cluster):
    done = cluster.command("shell", "-F", "csv", "--force", text="SELECT x;\nSELECT 2 AS a;\n",
                           check=False)
    assert (done.returncode, done.stdout) == (1, "a\n2\n")


def test_source_runs_a_file(cluster, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1 AS a;\nSELECT 2 AS a\\G\n")
    done = cluster.command("shell", "-F", "csv", text=f"\\source {script}\n\\source /nowhere\n",
                           check=False)
    assert done.stdout.startswith("a\n1\n") and "a: 2" in done.stdout
    assert done.returncode == 64 and "No such file" in done.stderr


@pytest.fixture
def table(cluster):
    """An empty table of one column, dropped afterwards."""
    name = f"shell_{os.getpid()}"
    cluster.sql(cluster.source(), f"DROP TABLE IF EXISTS demo.{name};"
                f"CREATE TABLE demo.{name} (id INT PRIMARY KEY)")
    cluster.wait_replicated()
    yield name
    cluster.sql(cluster.source(), f"DROP TABLE demo.{name}")
