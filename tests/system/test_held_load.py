"""Much of what is held: a result of a gigabyte, a thousand sessions that nobody ends."""
import json
import pathlib
import subprocess
import sys
import time

import msgpack
import pytest
import zmq

import doomed
from caller import (Caller, connections, held, make_numbers, make_table, memory_kib,
                    temporary_files, wait_nothing_held)
from harness import SANITIZED, Cluster, wait_until
from raw import Raw, request

GIB = 1 << 30
MEMORY_KIB_MAX = 64 * 1024


@pytest.fixture(scope="module")
def fresh():
    """A cluster whose daemons have done nothing else: their memory is of this alone."""
    sets = ["agent:sessions/max=256", "agent:sessions/principal_max=200",
            "agent:sessions/idle_ms=3000"]
    with Cluster.running("held", nodes=1, sets=sets) as one:
        yield one


def _fetch_all(cluster, sql, **keys):
    """Pages a result to a REQ socket; yields each page's rows."""
    with Raw(cluster.bundle, kind=zmq.REQ) as raw:
        raw.socket.send(request(sql=sql, **keys))
        while True:
            assert raw.socket.poll(15000), "silence"
            reply = msgpack.unpackb(raw.socket.recv())
            assert reply["ok"], reply
            yield reply["rows"]
            if "cursor" not in reply:
                return
            raw.socket.send(request(op="fetch", cursor=reply["cursor"], **keys))


@pytest.mark.plain("a sanitizer's memory is not the product's")
@pytest.mark.parametrize("keys", [{}, {"page_rows": 100000, "page_bytes": 8388608}],
                         ids=["pages as they come", "pages as large as can be"])
def test_a_gigabyte_passes_through_little_memory(fresh, keys):
    """16 KiB a row, made by the server from a table of numbers; every octet is compared."""
    make_numbers(fresh, "many", 100000)
    size, rows_wanted = 16384, GIB // 16384 + 1
    sql = f"SELECT n, REPEAT(LPAD(n, 16, '0'), {size // 16}) FROM demo.many " \
        f"WHERE n <= {rows_wanted} ORDER BY n"
    count = octets = pages = 0
    begun = time.monotonic()
    for rows in _fetch_all(fresh, sql, timeout_ms=10000, **keys):
        pages += 1
        for number, text in rows:
            count += 1
            assert number == count, "a gap"
            assert text == f"{number:016}" * (size // 16), number
            octets += len(text)
    took_s = time.monotonic() - begun
    most = memory_kib(fresh, "VmHWM")
    print(f"{octets / 1e9:.2f} GB in {pages} pages, {took_s:.1f} s, {octets / took_s / 1e6:.0f} "
          f"MB/s; memory at most, KiB: {most}")
    assert count == rows_wanted and octets >= GIB and pages > 100
    assert set(most) == set(fresh.daemons())
    assert all(kib < MEMORY_KIB_MAX for kib in most.values()), most
    wait_nothing_held(fresh)


INSIDE = ["SET @left = {}", "INSERT INTO demo.left_open (n) VALUES ({})",
          "CREATE TEMPORARY TABLE demo.aside (n INT) ENGINE = MyISAM", "DO GET_LOCK('left {}', 1)",
          "PREPARE leftover FROM 'SELECT 1'"]
BY_DEATH, BY_IDLE = 100, 100


def _abandon_by_death(cluster):
    """A process opens sessions and is killed."""
    script = pathlib.Path(doomed.__file__)
    plan = {"sessions": BY_DEATH, "inside": INSIDE}
    with subprocess.Popen([sys.executable, script, cluster.bundle, json.dumps(plan)],
                          stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline(), "it did not open its sessions"
            last = f"SELECT IS_USED_LOCK('left {BY_DEATH - 1}')"
            assert cluster.sql("node1", last) != [["NULL"]]
            assert temporary_files(cluster, "node1")
        finally:
            process.kill()


def _abandon_by_idling(cluster, caller):
    """A client opens sessions and does nothing more with them."""
    opened = doomed.open_all(caller, {"sessions": BY_IDLE, "inside": INSIDE})
    assert len(opened["sessions"]) == BY_IDLE


@pytest.mark.plain
def test_a_thousand_abandoned_sessions_leave_nothing(fresh):
    make_table(fresh, "left_open", "id INT AUTO_INCREMENT PRIMARY KEY, n INT")
    # The first of both kinds make what stays: threads, buffers, spare connections.
    with Caller(fresh.bundle) as caller:
        _abandon_by_idling(fresh, caller)
        _abandon_by_death(fresh)
        wait_nothing_held(fresh, 15)
        before, memory = len(connections(fresh, "node1")), memory_kib(fresh)
        abandoned, begun = 0, time.monotonic()
        while abandoned < 1000:
            if abandoned % 300 == 200:
                _abandon_by_idling(fresh, caller)
                abandoned += BY_IDLE
            else:
                _abandon_by_death(fresh)
                abandoned += BY_DEATH
            wait_nothing_held(fresh, 15)
        time.sleep(1)  # what is said to be held may be of before the last ones opened anything
        wait_nothing_held(fresh, 30)
    took_s = time.monotonic() - begun
    after = len(connections(fresh, "node1"))
    grown = {name: kib - memory[name] for name, kib in memory_kib(fresh).items()}
    print(f"{abandoned} sessions abandoned in {took_s:.1f} s; connections {before} before, {after} "
          f"after; memory, KiB: {memory}, grown by {grown}")
    assert held(fresh) == (0, 0)
    assert fresh.sql("node1", "SELECT COUNT(*) FROM demo.left_open") == [["0"]]
    wait_until(lambda: not temporary_files(fresh, "node1"), 5, "temporary tables to go")
    locked = fresh.sql("node1", " UNION ALL ".join(
        f"SELECT IS_USED_LOCK('left {number}')" for number in range(BY_DEATH)))
    assert locked == [["NULL"]] * BY_DEATH
    assert after <= before + 8
    if not SANITIZED:
        assert max(grown.values()) < 8192, grown
    with Caller(fresh.bundle) as caller:
        sessions = [caller.begin() for _ in range(40)]
        for number, session in enumerate(sessions):
            assert session.rows("SELECT @left, ?", [number]) == [[None, number]]
            session.rollback()
