"""A client that goes takes with it what it has in flight and what it holds, and nothing else
(docs/rfc/1, sections 3.5 to 3.7)."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import doomed
from caller import (GONE, Caller, fate, held, make_numbers, make_table, row_is_free, statements,
                    transactions, wait_nothing_held)
from harness import portcullis, wait_until

# From the end of the client's connection to the end of all of its work.
GONE_IN_S = 2.5
ENDLESS = {"timeout_ms": 50000}
ALL = "SELECT n, word FROM demo.abandoned ORDER BY n"


@pytest.fixture(scope="module")
def numbers(shared_cluster):
    shared_cluster.heal()
    make_numbers(shared_cluster, "abandoned", 10000,
                 word="CONCAT('row ', {n}, REPEAT(' filler', 40))")


@pytest.fixture
def caller(cluster, numbers):
    make_table(cluster, "left_by", "id INT PRIMARY KEY, n INT", ["1, 10", "2, 20", "3, 30"])
    with Caller(cluster.bundle) as one:
        yield one
    wait_nothing_held(cluster)


@contextlib.contextmanager
def client_that_dies(cluster, plan, how):
    """Opens what a plan says, in a process that is killed at the end of the with block or on a
    socket that is closed then; the ids."""
    if how == "closed":
        with Caller(cluster.bundle) as caller:
            yield doomed.open_all(caller, plan)
        return
    script = pathlib.Path(doomed.__file__)
    with subprocess.Popen([sys.executable, script, cluster.bundle, json.dumps(plan)],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line, "it did not open what it should"
            yield json.loads(line)
        finally:
            process.kill()


HOW = pytest.mark.parametrize("how", ["killed", "closed"])


@HOW
def test_all_that_it_had_ends(cluster, caller, how):
    source = cluster.source()
    plan = {"sessions": 2, "cursors": [ALL, ALL],
            "inside": ["UPDATE demo.left_by SET n = n + 1 WHERE id = 1 + {}",
                       "DO GET_LOCK('left {}', 1)"],
            "sql": [["SELECT SLEEP(45), 'left'", ENDLESS], ["SELECT SLEEP(44), 'left'", ENDLESS],
                    ["UPDATE demo.left_by SET n = 30 + SLEEP(45) WHERE id = 3", ENDLESS]]}

    with client_that_dies(cluster, plan, how) as opened:
        # Of a read that is late a second copy may run, where hedging may.
        wait_until(lambda: len({text for _, text in _words(cluster, "SLEEP(4_)")}) == 3, 5,
                   "three statements to run")
        wait_until(lambda: held(cluster) == (2, 2), 5, "sessions and cursors to be counted")
        assert transactions(cluster, source) >= 2
        assert len(_words(cluster, "demo.abandoned")) == 2
        assert not row_is_free(cluster, source, "demo.left_by", "id = 1")
    begun = time.monotonic()
    wait_until(lambda: not _words(cluster, "SLEEP(4_)") and not _words(cluster, "demo.abandoned"),
               GONE_IN_S, "its statements to end")
    wait_nothing_held(cluster, GONE_IN_S)
    print(f"all of it ended within {time.monotonic() - begun:.2f} s")
    for number in (1, 2, 3):
        assert row_is_free(cluster, source, "demo.left_by", f"id = {number}")
    for number in (0, 1):
        assert cluster.sql(source, f"SELECT IS_USED_LOCK('left {number}')") == [["NULL"]]
    assert cluster.sql(source, "SELECT n FROM demo.left_by ORDER BY id") == \
        [["10"], ["20"], ["30"]]
    for ident in opened["sessions"]:
        assert fate(caller.fail("SELECT 1", session=bytes.fromhex(ident))) == GONE
    for ident in opened["cursors"]:
        assert fate(caller.fail(op="fetch", cursor=bytes.fromhex(ident))) == GONE


def _words(cluster, like):
    return [row for node in cluster.nodes() for row in statements(cluster, node, like)]


@HOW
def test_what_it_had_queued_never_runs(small, how):
    make_table(small, "queued", "n INT PRIMARY KEY")
    with Caller(small.bundle) as caller:
        # Four threads are for all; one more is for who has no other write below.
        sleepers = [caller.post("SELECT SLEEP(4), 'in the way'" + how, timeout_ms=20000)
                    for how in ["", "", "", "", " FOR UPDATE"]]
        wait_until(lambda: len(statements(small, "node1", "in the way")) == 5, 5, "a full pool")
        plan = {"sql": [[f"INSERT INTO demo.queued VALUES ({number})", ENDLESS]
                        for number in range(20)]}
        with client_that_dies(small, plan, how):
            wait_until(lambda: small.metrics("agent-node1")["portcullis_agent_queued"] >= 20, 3,
                       "its statements to wait")
        assert all(caller.take(sleeper)["ok"] for sleeper in sleepers)
        assert caller.run("SELECT 1")["rows"] == [[1]]
    time.sleep(0.3)
    assert small.sql("node1", "SELECT COUNT(*) FROM demo.queued") == [["0"]]


@HOW
def test_what_others_of_the_same_principal_have_goes_on(cluster, caller, how):
    session = caller.begin()
    session.run("UPDATE demo.left_by SET n = 31 WHERE id = 3")
    page = caller.run(ALL, page_rows=5)
    running = caller.post("SELECT SLEEP(3), 'stays'", timeout_ms=20000)
    plan = {"sessions": 3, "inside": ["UPDATE demo.left_by SET n = 0 WHERE id = 1 AND {} = 0"],
            "cursors": [ALL], "sql": [["SELECT SLEEP(45), 'goes'", ENDLESS]] * 5}
    with client_that_dies(cluster, plan, how):
        wait_until(lambda: len(_words(cluster, "SLEEP(45)")) == 5, 5, "its statements to run")
        wait_until(lambda: held(cluster) == (4, 2), 5, "all to be counted")
    wait_until(lambda: held(cluster) == (1, 1), GONE_IN_S + 1, "only its own to end")
    wait_until(lambda: not _words(cluster, "SLEEP(45)"), GONE_IN_S, "its statements to end")
    assert caller.take(running)["rows"][0][1] == "stays"
    assert session.value("SELECT n FROM demo.left_by WHERE id = 3") == 31
    session.commit()
    assert caller.run(op="fetch", cursor=page["cursor"])["rows"][0][0] == 6
    assert cluster.sql(cluster.source(), "SELECT n FROM demo.left_by ORDER BY id") == \
        [["10"], ["20"], ["31"]]


@HOW
def test_what_another_connection_used_goes_with_its_owner(cluster, caller, how):
    """A session belongs to the connection that opened it, whoever of its principal uses it."""
    with client_that_dies(cluster, {"sessions": 1}, how) as opened:
        ident = bytes.fromhex(opened["sessions"][0])
        assert caller.run("SELECT 5", session=ident)["rows"] == [[5]]
        wait_until(lambda: held(cluster) == (1, 0), 5, "the session to be counted")
    wait_until(lambda: held(cluster) == (0, 0), GONE_IN_S + 1, "the session to end")
    assert fate(caller.fail("SELECT 5", session=ident)) == GONE


@HOW
def test_a_session_that_opens_while_its_client_goes_is_not_left(cluster, caller, how):
    """The reply to `begin` finds nobody."""
    for _ in range(5):
        with client_that_dies(cluster, {"sql": [["SELECT SLEEP(0.1)", ENDLESS]]}, how):
            pass
    for _ in range(30):
        with Caller(cluster.bundle) as one:
            one.run(op="ping")
            for _ in range(3):
                one.post(op="begin")
                one.post(ALL, page_rows=5)
    # Far less than the time for which they may be idle.
    wait_nothing_held(cluster, 8)
    assert not _words(cluster, "demo.abandoned")


# What their heartbeats mean (docs/rfc/1, section 2.2), and time for those who look at it.
FROZEN_IN_S = 20
FREEZE = """
import portcullis, sys, time
client = portcullis.Client(sys.argv[1])
session = client.begin()
session.query("UPDATE demo.left_by SET n = 11 WHERE id = 1")
time.sleep(120)
"""


@contextlib.contextmanager
def frozen_client(cluster, library):
    """A process that holds a row's lock in a session, and stands still then."""
    if library == "python":
        command, say = [sys.executable, "-c", FREEZE, cluster.bundle], ""
    else:
        command = [cluster.info["command"], "shell", "--bundle", cluster.bundle]
        say = "BEGIN;\nUPDATE demo.left_by SET n = 11 WHERE id = 1;\n"
    path = str(pathlib.Path(portcullis.__file__).parent)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": path}) as process:
        try:
            process.stdin.write(say)
            process.stdin.flush()
            wait_until(lambda: not row_is_free(cluster, cluster.source(), "demo.left_by", "id = 1"),
                       10, "the row to be locked")
            process.send_signal(signal.SIGSTOP)
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("library", ["python", "c"])
def test_who_stands_still_loses_what_it_holds(cluster, caller, library):
    with frozen_client(cluster, library):
        wait_until(lambda: row_is_free(cluster, cluster.source(), "demo.left_by", "id = 1"),
                   FROZEN_IN_S, "its lock to go")
        assert cluster.sql(cluster.source(), "SELECT n FROM demo.left_by WHERE id = 1") == [["10"]]
