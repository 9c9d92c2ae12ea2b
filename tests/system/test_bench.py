"""portcullis-bench on a real cluster: what it tells, and that it says when it is not believed."""
import json
import os
import signal
import subprocess
import time

import pytest

from harness import BUILD

DRIVER = str(BUILD / "bench" / "driver" / "portcullis-bench")


def bench(cluster, *arguments):
    return subprocess.run([DRIVER, *arguments], capture_output=True, text=True, timeout=60,
                          check=False,
                          env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle})


def measured(cluster, *arguments):
    """The rows of a measurement by strategy.  A loaded machine may well be doubted."""
    done = bench(cluster, *arguments, "--json", "-")
    assert done.returncode in (0, 3), done.stderr
    whole = json.loads(done.stdout)
    return whole, {row["strategy"]: row for row in whole["strategies"]}


def test_it_compares_strategies_on_a_table_of_its_own(cluster):
    filled = bench(cluster, "fill", "--rows", "1200")
    assert filled.returncode == 0 and "1200 rows" in filled.stdout, filled.stderr
    cluster.wait_replicated()
    whole, rows = measured(cluster, "point", "--rows", "1200", "--rate", "100", "--rounds",
                           "2", "--time", "1", "--warmup", "0.2", "--strategies",
                           "random,round-robin,direct")
    assert list(rows) == ["random", "round-robin", "direct"] and whole["interrupted"] is False
    for row in rows.values():
        assert 100 <= row["requests"] <= 320 and row["failed"] == 0, row
        assert row["requests"] == row["ok"] == sum(count for _, count in row["latency_buckets"])
        assert len(row["rounds"]) == 2
        latency = row["latency_us"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"], latency
        assert row["send_lag_us"]["count"] == row["requests"]
    # The same load for each.
    assert len({row["requests"] for row in rows.values()}) == 1
    assert set(rows["direct"]["nodes"]) == {cluster.source()}
    shares = rows["round-robin"]["nodes"]
    assert set(shares) == set(cluster.replicas())
    assert all(0.4 < node["share"] < 0.6 for node in shares.values()), shares
    whole, rows = measured(cluster, "range", "--rows", "1200", "--clients", "4", "--time", "1",
                           "--warmup", "0.2", "--span", "10")
    assert whole["loop"] == "closed" and rows["default"]["failed"] == 0
    assert rows["default"]["requests"] > 50


def test_latency_runs_from_when_a_request_was_due(cluster):
    """Eight threads that serve 0.1 s each make 16 replies in 0.2 s: at 400 requests a second a
    queue grows, and every latency has to show it, as would not be if sending waited."""
    _, rows = measured(cluster, "sql", "SELECT SLEEP(0.1)", "--rate", "400", "--arrivals", "fixed",
                       "--time", "2", "--warmup", "0", "--strategies", "direct")
    row = rows["direct"]
    assert row["requests"] == pytest.approx(800, abs=2), row
    assert row["latency_us"]["p99"] > 1_000_000, row["latency_us"]


def test_failures_count_their_timeout_and_are_told_by_code(cluster):
    done = bench(cluster, "sql", "SELECT nothing", "--rate", "50", "--time", "0.5", "--warmup", "0",
                 "--timeout", "700", "--json", "-")
    assert done.returncode == 1, done
    row = json.loads(done.stdout)["strategies"][0]
    assert row["ok"] == 0 and row["errors"] == {"SQL": row["requests"]}
    assert row["latency_us"]["p50"] >= 700_000


def test_an_interrupt_keeps_what_was_measured(cluster):
    with subprocess.Popen(
            [DRIVER, "sql", "SELECT 1", "--rate", "50", "--time", "600", "--warmup", "0",
             "--strategies", "random,custom", "--json", "-"], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle}) as running:
        time.sleep(1.5)
        running.send_signal(signal.SIGINT)
        whole = json.loads(running.communicate(timeout=20)[0])
    assert running.returncode == 130 and whole["interrupted"] is True
    random, custom = whole["strategies"]
    assert random["requests"] > 10 and custom["requests"] == 0


@pytest.mark.parametrize("arguments, complaint", [
    (["sql"], "name the statement"),
    (["sql", "SELECT 1", "--strategies", "random,best"], 'no strategy "best"'),
    (["sql", "SELECT 1", "--strategies", "random,"], 'no strategy ""'),
    (["sql", "SELECT ?", "--param", "int:5..1"], "--param must be int:MIN..MAX"),
    (["sql", "SELECT 1", "--clients", "5", "--rate", "5"], "--clients is a closed loop"),
    (["point", "--rate", "0"], "--rate must be a number from"),
    (["point", "--time", "nan"], "--time must be a number from"),
    (["point", "--table", "a; DROP"], "--table must be a name"),
    (["point", "--rounds", "0"], "--rounds must be a whole number from 1"),
    (["point", "--json", "/nonexistent/x"], "--json: cannot write"),
    (["measure"], "there is no command measure"),
    (["fill", "--rows", "x"], "--rows must be a whole number"),
])
def test_a_wrong_argument_is_named(cluster, arguments, complaint):
    done = bench(cluster, *arguments)
    assert done.returncode == 64 and complaint in done.stderr, done
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_without_a_cluster_it_says_so(cluster, tmp_path):
    done = bench(cluster, "sql", "SELECT 1", "--bundle", str(tmp_path / "none"))
    assert done.returncode == 78 and "none" in done.stderr, done
