"""What a replica has received and not executed: a write was acknowledged on the strength of it, so
it outlives any restart, also where the source is gone."""
import subprocess

import pytest

from agent_alone import DDL, UP, WRITE, Pair
from harness import FLAVOR, wait_until

ROWS = 40
STATUS = "SHOW SLAVE STATUS" if FLAVOR == "mariadb" else "SHOW REPLICA STATUS"
STOP = "STOP SLAVE" if FLAVOR == "mariadb" else "STOP REPLICA"


def _field(database, *names):
    command = database.command(STATUS)[:-2] + ["--vertical", "-e", STATUS]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        name, _, value = line.strip().partition(": ")
        if name in names:
            return value
    return ""


def _count(database):
    return int(database.sql("SELECT COUNT(*) FROM demo.received", check=False) or 0)


def _all_is_received(pair):
    show = "SHOW MASTER STATUS" if FLAVOR == "mariadb" else "SHOW BINARY LOG STATUS"
    return pair.source_database.sql(show).split("\t")[:2] == [
        _field(pair.replica_database, "Master_Log_File", "Source_Log_File"),
        _field(pair.replica_database, "Read_Master_Log_Pos", "Read_Source_Log_Pos")]


@pytest.fixture
def behind():
    """A source whose last writes stand in the relay logs of its replica alone, and is gone."""
    pair = Pair(replica=True, threads=2)
    try:
        pair.proxy.run(DDL, "CREATE TABLE demo.received (id INT PRIMARY KEY, blob_of BLOB)")
        wait_until(lambda: pair.replica_database.sql("SELECT COUNT(*) FROM demo.received",
                                                     check=False) == "0", 20, "the table")
        pair.replica_database.sql(f"{STOP} SQL_THREAD")
        for number in range(ROWS):
            pair.proxy.run(WRITE, "INSERT INTO demo.received VALUES (?, REPEAT('x', 2000))",
                           [number])
        pair.source.process.kill()
        wait_until(lambda: _all_is_received(pair), 20, "all to be received")
        pair.source_database.kill()
        yield pair
    finally:
        pair.close()


def _source_comes_back(pair):
    pair.source_database.start()
    pair.source.start()
    pair.proxy.run(WRITE, "INSERT INTO demo.received VALUES (?, '')", [ROWS])
    wait_until(lambda: _count(pair.replica_database) == ROWS + 1, 30, "the replica to follow again")
    assert _field(pair.replica_database, "Using_Gtid", "Auto_Position") in ("Slave_Pos", "1")


def test_the_replicas_server_is_killed(behind):
    behind.replica_database.kill()
    behind.replica_database.start()
    wait_until(lambda: _count(behind.replica_database) == ROWS, 30, "what was received")
    behind.replica.proxy.wait_for(lambda report: report.state == UP, what="the node is ready")
    _source_comes_back(behind)


def test_its_server_and_its_agent_are_killed(behind):
    behind.replica.process.kill()
    behind.replica_database.kill()
    behind.replica_database.start()
    behind.replica.start()
    wait_until(lambda: _count(behind.replica_database) == ROWS, 30, "what was received")
    _source_comes_back(behind)


def test_its_agent_alone_is_killed(behind):
    behind.replica.process.kill()
    behind.replica.start()
    wait_until(lambda: _count(behind.replica_database) == ROWS, 30, "what was received")
    _source_comes_back(behind)


def test_replication_was_stopped_by_hand(behind):
    """Both threads, as an operator does; the agent starts anew."""
    behind.replica.process.kill()
    behind.replica_database.sql(STOP)
    behind.replica.start()
    wait_until(lambda: _count(behind.replica_database) == ROWS, 30, "what was received")
    _source_comes_back(behind)


def test_the_end_of_a_relay_log_is_cut_off(behind):
    """What was written half is no acknowledged write; all before it is kept."""
    behind.replica_database.kill()
    logs = sorted((behind.replica_database.folder / "data").glob("relay.[0-9]*"))
    last = logs[-1].read_bytes()
    logs[-1].write_bytes(last[:-700])
    behind.replica_database.start()
    wait_until(lambda: _count(behind.replica_database) == ROWS - 1, 30, "what was received whole")
    behind.replica.proxy.wait_for(lambda report: report.state == UP, what="the node is ready")
    _source_comes_back(behind)
