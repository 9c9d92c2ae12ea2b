"""bench/compare.py in small: one turn of each kind, and what it tells of it.  How fast anything is
is not looked at."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from harness import BUILD, FLAVOR, ROOT, SANITIZED, Cluster, wait_until

sys.path.insert(0, str(pathlib.Path(ROOT) / "bench"))
import compare  # noqa: E402  (its folder must be on the path first)
import compare_report  # noqa: E402

needs_sysbench = pytest.mark.skipif(
    not shutil.which("sysbench") or FLAVOR != "mariadb",
    reason="sysbench is not installed here (apt-get install sysbench), or does not speak MySQL 9")


@pytest.fixture(scope="module")
def alone():
    """A node for these tests alone, since a comparison leaves a table, an account and settings of
    its own there."""
    with Cluster.running("compare", nodes=1, demo=False) as one:
        wait_until(one.whole, 30, "the proxy sees the node")
        yield one


@pytest.fixture
def comparison(alone):
    """With as many of its peers as are installed."""
    one = compare.Comparison(compare.read_options(["--seconds", "2", "--rows", "100"]))
    one.cluster = alone
    try:
        yield one
    finally:
        one.cluster = None  # not this one's to end
        one.stop()


@pytest.mark.plain
@needs_sysbench
def test_every_path_has_figures_and_a_cost(comparison):
    comparison.load()
    for kind in compare.PEERS[:1]:
        comparison.add_peer(kind)
    peers = [peer.name for peer in comparison.peers]
    assert peers or set(comparison.whole["missing"]) == {"haproxy"}
    # A sanitizer's library is not for sysbench to load.
    ours = [] if SANITIZED else ["apart"]
    for path in ["direct", *peers, *ours, "apart-mux"]:
        found = comparison.measure(path, compare_report.POINT, 2)
        assert not found.get("failed"), (path, found)
        assert found["qps"] > 0 and found["p50_ms"] > 0 and not found["errors"], (path, found)
        assert found["cpu_us"]["client"] > 0 and found["memory_kib"]["node1"]["rss"] > 0
        shown = {"node1", "client", *([path] if path in peers else [])}
        shown |= set(comparison.cluster.daemons()) if path.startswith("apart") else set()
        assert set(found["cpu_us"]) == shown, path


@needs_sysbench
def test_a_database_that_refuses_is_a_failure_and_no_figure(comparison):
    comparison.password = "wrong"
    found = comparison.measure("direct", compare_report.POINT, 1)
    assert "denied" in found["failed"], found


def test_bare_hops_come_back():
    done = subprocess.run([BUILD / "bench/bare_hops", "-n", "300", "-i", "4", "-h", "2", "-c"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["requests"] == 300 and found["curve"] is True and found["hops"] == 2
    assert 0 < found["p50_us"] <= found["p99_us"]
    wrong = subprocess.run([BUILD / "bench/bare_hops", "-n", "0"], capture_output=True, text=True,
                           timeout=60, check=False)
    assert wrong.returncode == 64 and "usage" in wrong.stderr
