"""bench/sysbench: stock sysbench runs its workloads through the cluster, and what they do there is
what they do at a database."""
import re
import shutil
import subprocess

import pytest

from harness import BUILD, ROOT, wait_until

# libportcullis would be a sanitizer's, and its runtime has to be the program's first.
pytestmark = [pytest.mark.plain("sysbench cannot load a sanitizer's build"),
              pytest.mark.skipif(shutil.which("sysbench") is None,
                                 reason="sysbench is not installed")]

ROWS = 300
# Reads, writes and others of an event, by sysbench's own scripts.
WORKLOADS = {
    "oltp_point_select": (1, 0, 0),
    "oltp_read_only": (14, 0, 2),
    "oltp_read_write": (14, 4, 2),
    "oltp_write_only": (0, 4, 2),
    "oltp_insert": (0, 1, 0),
    "oltp_update_index": (0, 1, 0),
    "oltp_update_non_index": (0, 1, 0),
    "select_random_points": (1, 0, 0),
    "select_random_ranges": (1, 0, 0),
    "oltp_delete": None,  # what it does not find it has not written
}


def script(cluster, name, *arguments, check=True):
    done = subprocess.run(
        [str(ROOT / "bench" / "sysbench" / name), "--var", str(cluster.var), *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=120, check=False)
    assert not check or done.returncode == 0, f"{name} {arguments}:\n{done.stdout}"
    return done


def through(cluster, workload, *arguments, check=True):
    """Through the cluster; what sysbench printed."""
    return script(cluster, "run.sh", "--build-dir", str(BUILD), workload,
                  f"--table-size={ROWS}", *arguments, check=check)


def directly(cluster, workload, *arguments):
    return script(cluster, "nodes.sh", workload, f"--table-size={ROWS}", *arguments)


def number(text, label):
    found = re.search(rf"^\s*{label}:\s+(\d+)", text, re.M)
    assert found, f"no '{label}' in:\n{text}"
    return int(found[1])


def checksums(cluster, node):
    return cluster.sql(node, "CHECKSUM TABLE demo.sbtest1")


@pytest.fixture(scope="module")
def filled(shared_cluster):
    shared_cluster.heal()
    through(shared_cluster, "oltp_read_write", "prepare")
    yield shared_cluster
    shared_cluster.heal()
    through(shared_cluster, "oltp_read_write", "cleanup")
    assert shared_cluster.sql(shared_cluster.source(), "SHOW TABLES IN demo LIKE 'sbtest%'") == []


def test_prepare_ends_when_every_replica_has_it(filled):
    for node in filled.nodes():
        assert filled.sql(node, "SELECT COUNT(*) FROM demo.sbtest1") == [[str(ROWS)]], node


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_workload_runs_and_is_counted_as_at_a_database(filled, workload):
    said = through(filled, workload, "--threads=1", "--time=0", "--events=8", "run").stdout
    assert number(said, "transactions") == 8, said
    if WORKLOADS[workload] is not None:
        reads, writes, others = (8 * each for each in WORKLOADS[workload])
        assert (number(said, "read"), number(said, "write"), number(said, "other")) \
            == (reads, writes, others), said
    assert number(said, "ignored errors") == 0 and number(said, "reconnects") == 0, said


def test_what_it_leaves_is_what_it_leaves_at_a_database(filled):
    """The same rows before and the same seed, so the same SQL, so the same rows after: on every
    node, as sessions and as requests, and by sysbench's own driver."""
    source, left = filled.source(), {}
    filled.sql(source, "CREATE TABLE demo.pristine LIKE demo.sbtest1; "
               "INSERT INTO demo.pristine SELECT * FROM demo.sbtest1")
    load = ("oltp_read_write", "--rand-seed=12", "--time=0", "--events=5")
    for how in ("session", "txn", "text", "directly"):
        filled.sql(source, "TRUNCATE demo.sbtest1; "
                   "INSERT INTO demo.sbtest1 SELECT * FROM demo.pristine")
        if how == "directly":
            directly(filled, *load, "run")
        else:
            filled.wait_replicated()
            through(filled, *load, "--db-ps-mode=disable" if how == "text" else
                    f"--portcullis-transactions={how}", "run")
        filled.wait_replicated()
        left[how] = [checksums(filled, node) for node in filled.nodes()]
    before = filled.sql(source, "CHECKSUM TABLE demo.pristine; DROP TABLE demo.pristine")
    assert left["session"][0][0][1] != before[0][1], "nothing was written"
    assert all(one == left["directly"][0] for how in left for one in left[how]), left


def test_many_threads_share_a_connection_or_have_their_own(filled):
    for connections in ("1", "3", "0"):
        said = through(filled, "oltp_read_only", "--threads=12", "--time=0", "--events=36",
                       f"--portcullis-connections={connections}",
                       "--portcullis-transactions=read-only", "run").stdout
        assert number(said, "transactions") == 36, said
        assert number(said, "read") == 36 * 14, said


def test_an_error_ends_the_run_unless_it_is_to_be_ignored(filled):
    done = through(filled, "oltp_point_select", "--tables=2", "--rand-seed=1", "--time=0",
                   "--events=30", "run", check=False)
    assert done.returncode != 0 and "errno = 1146" in done.stdout, done.stdout
    said = through(filled, "oltp_point_select", "--tables=2", "--rand-seed=1", "--time=0",
                   "--events=30", "--mysql-ignore-errors=1146", "run").stdout
    assert number(said, "transactions") == 30 and number(said, "ignored errors") > 0, said


SCRIPT = """
require("oltp_common")

function prepare_statements()
end

function event()
   con:query("SELECT SLEEP(0.1)") -- so there is always one under way
   io.open("{seen}", "w"):close()
   local file = io.open("{stop}")
   if file then
      file:close()
      return true -- ends the run
   end
end
"""


def test_a_gatekeeper_that_comes_back_is_a_reconnect(filled, tmp_path):
    """As of a database that comes back, if its errors are to be ignored.  The script is one's own,
    so that the run ends when enough was seen, however long that takes."""
    text, seen, stop = tmp_path / "until.lua", tmp_path / "seen", tmp_path / "stop"
    text.write_text(SCRIPT.replace("{seen}", str(seen)).replace("{stop}", str(stop)))
    command = [str(ROOT / "bench" / "sysbench" / "run.sh"), "--var", str(filled.var),
               "--build-dir", str(BUILD), str(text), "--threads=6", "--time=120",
               "--mysql-ignore-errors=2003,2013", "run"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as running:
        wait_until(seen.exists, 60, "the load is there")
        filled.kill("gatekeeper")
        filled.start("gatekeeper")
        seen.unlink()
        wait_until(seen.exists, 60, "the load is there again")
        stop.touch()
        said = running.communicate(timeout=60)[0]
    assert running.returncode == 0, said
    assert number(said, "reconnects") > 0 and number(said, "transactions") > 0, said


def test_each_node_is_measured_directly(filled):
    said = directly(filled, "oltp_point_select", "--time=0", "--events=10", "run").stdout
    for node in filled.nodes():
        assert f"== {node}" in said, said
    assert re.search(r"^node\s+events/s", said, re.M), said
    said = directly(filled, "oltp_write_only", "--time=0", "--events=2", "run").stdout
    assert re.findall(r"^== (\S+)$", said, re.M) == [filled.source()], said


def test_what_is_not_sysbenchs_workload_is_refused(filled):
    done = script(filled, "run.sh", "bulk_insert", "run", check=False)
    assert done.returncode == 64 and "unknown workload" in done.stdout
    done = through(filled, "oltp_point_select", "--portcullis-transactions=maybe", "run",
                   check=False)
    assert done.returncode != 0 and "wants session, read-only or txn" in done.stdout
