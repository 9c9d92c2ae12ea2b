"""Sessions, pages, transactions and cancel as clients have them: the command, the Python client,
the plain REQ example, and the example of the library."""
import csv
import io
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

import pytest

from caller import make_numbers, make_table, statements, wait_nothing_held
from harness import BUILD, ROOT, SANITIZED, portcullis, wait_until

ROWS = 10000
ALL = "SELECT n, word FROM demo.listed ORDER BY n"
# Enough that no buffer on the way holds it all: 100,000 rows of about 100 octets.
MANY = "SELECT a.n, b.n, a.word FROM demo.listed a JOIN demo.listed b ON b.n <= 10"


@pytest.fixture(scope="module")
def listed(shared_cluster):
    shared_cluster.heal()
    make_numbers(shared_cluster, "listed", ROWS, word="CONCAT('row ', {n}, REPEAT(' filler', 12))")


@pytest.fixture
def account(cluster):
    make_table(cluster, "account", "id INT PRIMARY KEY, cents INT NOT NULL", ["1, 100", "2, 0"])
    return lambda: [int(row[0]) for row in cluster.sql(
        cluster.source(), "SELECT cents FROM demo.account ORDER BY id")]


@pytest.fixture
def start(cluster, listed):
    """A function that starts the command; whatever still runs at the end is killed."""
    started = []

    def call(*arguments, **options):
        process = subprocess.Popen(
            [cluster.info["command"], "--bundle", cluster.bundle, *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            **options)
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()
    wait_nothing_held(cluster)


@pytest.fixture
def run(start):
    def call(*arguments):
        process = start(*arguments)
        out, error = process.communicate(timeout=60)
        return process.returncode, out, error
    return call


# --- The command -----------------------------------------------------------------------


def test_the_command_prints_every_row(run):
    for asked in ([], ["--page-rows", 777]):
        code, out, error = run("query", ALL, "-F", "csv", *asked)
        assert code == 0, error
        rows = list(csv.reader(io.StringIO(out)))
        assert rows[0] == ["n", "word"] and len(rows) == ROWS + 1
        assert [int(row[0]) for row in rows[1:]] == list(range(1, ROWS + 1))
    code, out, error = run("query", ALL, "-F", "json")
    assert [row["n"] for row in json.loads(out)] == list(range(1, ROWS + 1))
    code, out, error = run("query", ALL)
    lines = out.splitlines()
    assert len([line for line in lines if line.startswith("| ") and "filler" in line]) == ROWS
    assert len([line for line in lines if "word" in line]) == 1  # one head


@pytest.mark.plain
def test_the_command_holds_a_page(start):
    process = start("query", MANY, "-F", "csv", "--timeout", 60000)
    size, lines, most_kib = 0, 0, 0
    for line in process.stdout:
        size, lines = size + len(line), lines + 1
        if lines % ROWS == 0:
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            resident = re.search(r"VmHWM:\s+(\d+) kB", text)  # none of one that has just ended
            most_kib = int(resident[1]) if resident else most_kib
    assert process.wait(10) == 0 and lines == 10 * ROWS + 1 and size > 9e6
    print(f"{size} octets with {most_kib} KiB resident at most")
    assert SANITIZED or 0 < most_kib < 16 * 1024


def test_a_reader_that_goes_away_takes_the_result_with_it(cluster, start):
    process = start("query", MANY, "-F", "csv")
    assert process.stdout.readline() == "n,n,word\n"
    process.stdout.close()
    process.stdout = None
    assert process.wait(10) == -signal.SIGPIPE
    wait_nothing_held(cluster, 3)


def test_ctrl_c_cancels_the_statement(cluster, start):
    process = start("query", "SELECT SLEEP(20) AS ctrl_c", "--timeout", "30000", "--strategy",
                    "direct")
    wait_until(lambda: statements(cluster, cluster.source(), "ctrl_c"), what="it runs")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert "CANCELLED" in process.stderr.read()
    assert time.monotonic() - began < 2
    wait_until(lambda: not statements(cluster, cluster.source(), "ctrl_c"), 2, "it is killed")


def test_ctrl_c_between_pages_stops_and_leaves_json_without_its_end(cluster, start):
    process = start("query", MANY, "-F", "json")
    out = process.stdout.read(5000)
    process.send_signal(signal.SIGINT)
    out += process.stdout.read()
    assert process.wait(10) == 130
    assert out.startswith("[\n{") and not out.rstrip().endswith("]")
    wait_nothing_held(cluster, 3)


def test_cancel_by_id(cluster, start, run):
    ident = secrets.token_hex(16)
    dashed = f"{ident[:8]}-{ident[8:12]}-{ident[12:16]}-{ident[16:20]}-{ident[20:]}"
    process = start("query", "SELECT SLEEP(20) AS by_id", "--timeout", "30000", "--id", ident,
                    "--strategy", "direct")
    wait_until(lambda: statements(cluster, cluster.source(), "by_id"), what="it runs")
    assert run("cancel", dashed) == (0, "1 request told to stop\n", "")
    assert process.wait(5) == 3 and "CANCELLED" in process.stderr.read()
    code, out, error = run("cancel", ident)
    assert (code, out) == (2, "") and "nothing" in error
    assert run("cancel", "no-id")[0] == 64


def test_a_transaction_is_all_or_none(run, account):
    both = ("UPDATE account SET cents = cents - 30 WHERE id = 1; SELECT cents FROM account "
            "ORDER BY id; UPDATE account SET cents = cents + 30 WHERE id = 2;")
    code, out, error = run("query", "--txn", "-d", "demo", "-F", "csv", both)
    assert code == 0, error
    assert out == "cents\n70\n0\n" and account() == [70, 30]
    code, out, error = run("query", "--txn", "-d", "demo", both + "INSERT INTO account VALUES (1)")
    assert code == 1 and "statement 4" in error and account() == [70, 30]
    code, out, error = run("query", "--txn", "-d", "demo", "-F", "json", both)
    writes = [json.loads(line) for line in out.splitlines() if "affected" in line]
    assert [write["affected"] for write in writes] == [1, 1] and account() == [40, 60]
    assert writes[0]["token"] and writes[0]["token"] == writes[1]["token"]
    assert run("query", "--txn", "-s", "random", both)[0] == 64
    code, out, error = run("query", "--txn", "-d", "demo", "SET @x = 1")
    assert code == 2, error


def test_metadata_is_told(run):
    code, out, error = run("query", "-m", "-F", "csv", "SELECT w.word AS text FROM demo.listed w "
                           "WHERE n = 1")
    assert code == 0 and out.startswith("text\nrow 1 filler")
    for part in ("name=text", "schema=demo", "table=w", "org_table=listed", "org_name=word"):
        assert part in error


# --- The Python client -----------------------------------------------------------------


def test_python_gets_all_rows_or_an_error(cluster, client, listed):
    result = client.query(ALL)
    assert [row[0] for row in result] == list(range(1, ROWS + 1)) and len(result) == ROWS
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query(ALL, max_rows=ROWS - 1)
    assert caught.value.code == "TOO_LARGE"
    with client.stream(ALL, page_rows=100) as rows:
        assert [next(rows)[0] for _ in range(250)] == list(range(1, 251))
    with client.stream(ALL) as rows:
        assert sum(1 for _ in rows) == ROWS
    outcomes = client.query_many([(ALL, None)] * 3)
    assert [len(outcome) for outcome in outcomes] == [ROWS] * 3
    wait_nothing_held(cluster)


def test_python_sessions(cluster, client, account):
    with client.begin(db="demo") as session:
        cents = session.query("SELECT cents FROM account WHERE id = 1 FOR UPDATE").rows[0][0]
        session.query("UPDATE account SET cents = ? WHERE id = 1", [cents - 1])
        assert account() == [100, 0]
    assert account() == [99, 0]
    with pytest.raises(ZeroDivisionError):
        with client.begin(db="demo") as session:
            session.query("UPDATE account SET cents = 0")
            print(1 // 0)
    assert account() == [99, 0]
    with client.begin(read_only=True, strategy="random", db="demo") as session:
        assert session.query("SELECT @x := 5").rows
        assert len(session.query(ALL)) == ROWS
        with pytest.raises(portcullis.PortcullisError) as caught:
            session.query("DELETE FROM account")
        assert caught.value.code == "REFUSED" and session.is_open
        rows = session.stream(ALL)
        next(rows)
        session.query("SELECT 1")
        with pytest.raises(portcullis.PortcullisError) as caught:
            list(rows)
        assert caught.value.code == "GONE" and session.is_open
    assert not session.is_open
    with pytest.raises(portcullis.PortcullisError) as caught:
        session.query("SELECT 1")
    assert caught.value.code == "GONE"
    wait_nothing_held(cluster)


def test_python_transactions(client, account):
    results = client.txn([
        ("UPDATE account SET cents = cents - ? WHERE id = 1 AND cents >= ?", [60, 60], 1),
        "SELECT cents FROM account WHERE id = 1",
        ("UPDATE account SET cents = cents + ? WHERE id = 2", [60], (1, None))], db="demo")
    assert [result.affected for result in results] == [1, 0, 1]
    assert results[1].rows == [[40]] and account() == [40, 60]
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.txn([("UPDATE account SET cents = cents + 60 WHERE id = 2", [], 1),
                    ("UPDATE account SET cents = cents - 60 WHERE id = 1 AND cents >= 60", [], 1)],
                   db="demo")
    assert (caught.value.code, caught.value.statement) == ("EXPECT", 1)
    assert account() == [40, 60]


def test_python_cancels_from_another_thread(cluster, client):
    ident, found = secrets.token_bytes(16), []

    def cancel():
        wait_until(lambda: statements(cluster, cluster.source(), "from_thread"), what="it runs")
        found.append(client.cancel(ident))
    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query("SELECT SLEEP(20) AS from_thread", id=ident, timeout_ms=30000,
                     strategy="direct")
    thread.join()
    assert (caught.value.code, found) == ("CANCELLED", [1])


def test_python_is_interrupted(cluster):
    script = ("import portcullis, signal, sys\n"
              # Whoever runs in the background is born with it ignored.
              "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
              "client = portcullis.Client(sys.argv[1])\n"
              "try:\n"
              "    client.query('SELECT SLEEP(20) AS by_ctrl_c', timeout_ms=30000, "
              "strategy='direct')\n"
              "except KeyboardInterrupt:\n"
              "    print(client.query('SELECT 7').rows)\n")
    process = subprocess.Popen([sys.executable, "-c", script, cluster.bundle], text=True,
                               stdout=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(ROOT / "client/python")})
    wait_until(lambda: statements(cluster, cluster.source(), "by_ctrl_c"), what="it runs")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: not statements(cluster, cluster.source(), "by_ctrl_c"), 8, "it is killed")
    assert process.communicate(timeout=10)[0] == "[[7]]\n"


def test_a_session_goes_with_its_gatekeeper(cluster, account):
    with cluster.client() as client:
        session = client.begin(db="demo")
        session.query("UPDATE account SET cents = 7 WHERE id = 1")
        rows = client.stream("SELECT n FROM demo.listed", page_rows=10)
        cluster.kill("gatekeeper" if "gatekeeper" in cluster.parts() else "portcullisd")
        for what in (lambda: session.query("SELECT 1"), lambda: list(rows), session.commit):
            with pytest.raises(portcullis.PortcullisError) as caught:
                what()
            assert caught.value.code in ("GONE", "LOST"), caught.value
        assert caught.value.code == "GONE" and not session.is_open
        cluster.heal()
        with pytest.raises(portcullis.PortcullisError) as caught:
            session.query("SELECT 1")
        assert caught.value.code == "GONE"
        assert client.query("SELECT cents FROM demo.account WHERE id = 1",
                            timeout_ms=10000).rows == [[100]]
    wait_nothing_held(cluster, 40)


# --- Examples --------------------------------------------------------------------------


def test_a_plain_req_socket_pages(cluster, listed):
    example = ROOT / "client/python/req_paging.py"
    answer = subprocess.run([sys.executable, example, cluster.bundle, ALL], capture_output=True,
                            text=True, timeout=30, check=False)
    assert answer.returncode == 0, answer.stderr
    assert [int(line.split("\t")[0]) for line in answer.stdout.splitlines()] == list(
        range(1, ROWS + 1))


def test_the_librarys_example_transfers(cluster, account):
    cluster.sql(cluster.source(), "INSERT INTO demo.account SELECT n, 0 FROM demo.listed "
                                  "WHERE n > 2")
    cluster.wait_replicated()
    example = pathlib.Path(BUILD) / "client" / "portcullis-example-transfer"
    answer = subprocess.run([example, cluster.bundle], capture_output=True, text=True, timeout=30,
                            check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{ROWS} accounts, 100 cents\n"
    assert account()[:2] == [90, 10]
    wait_nothing_held(cluster)
