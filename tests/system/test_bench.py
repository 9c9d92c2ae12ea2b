"""portcullis-bench on a real cluster: what it tells, and that it says when it is not believed."""
import contextlib
import csv
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from harness import BUILD, ROOT, wait_until

sys.path.insert(0, str(ROOT / "bench"))
from outcome import Outcome  # noqa: E402  (its folder must be on the path first)

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


def answers(cluster):
    return sum(value for series, value in cluster.metrics("gatekeeper").items()
               if series.startswith("portcullis_gatekeeper_replies_total"))


@contextlib.contextmanager
def measuring(cluster, *arguments):
    """A driver that has begun to measure, without warm-up: some of its requests were answered."""
    before = answers(cluster)
    with subprocess.Popen(
            [DRIVER, *arguments, "--warmup", "0", "--json", "-", "--quiet"],
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle}) as running:
        try:
            wait_until(lambda: answers(cluster) > before + 20, 20, "requests of the driver")
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            if running.poll() is None:
                running.kill()


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
    # One that another test took away a while ago gets less yet.
    assert all(node["share"] > 0.1 for node in shares.values()), shares
    whole, rows = measured(cluster, "range", "--rows", "1200", "--clients", "4", "--time", "1",
                           "--warmup", "0.2", "--span", "10")
    assert whole["loop"] == "closed" and rows["default"]["failed"] == 0
    assert rows["default"]["requests"] >= 4  # one of each client, however slow the machine is


def test_a_mix_is_told_by_its_parts_and_over_time(cluster, tmp_path):
    text, table = tmp_path / "benchmark_results.txt", tmp_path / "result.csv"
    assert bench(cluster, "fill", "--rows", "1000").returncode == 0
    cluster.wait_replicated()
    whole, rows = measured(cluster, "mixed", "--rows", "1000", "--shares",
                           "point:60,range:10,update:15,insert:10,txn:5", "--span", "10",
                           "--rate", "100", "--time", "1", "--warmup", "0.2", "--rounds", "2",
                           "--strategies", "custom,random", "--label", "condition=healthy",
                           "--label", "nodes=3", "--text", str(text), "--csv", str(table))
    assert whole["workload"] == "mixed" and whole["sql"] is None
    assert whole["labels"] == {"condition": "healthy", "nodes": "3"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", whole["started"])
    names = [statement["name"] for statement in whole["statements"]]
    assert names == ["point", "range", "update", "insert", "txn"]
    assert [statement["transaction"] for statement in whole["statements"]] == [False] * 4 + [True]
    assert len(whole["statements"][4]["sql"]) == 18
    for row in rows.values():
        assert row["failed"] == 0, row["errors"]
        assert [part["name"] for part in row["parts"]] == names
        assert sum(part["requests"] for part in row["parts"]) == row["requests"]
        assert all(part["p50_us"] <= part["p99_us"] for part in row["parts"])
        assert row["parts"][0]["requests"] > row["requests"] / 3  # 60 of 100
        assert sum(point["ok"] for point in row["series"]) == row["ok"]
        assert {point["round"] for point in row["series"]} == {1, 2}
        assert row["series"][0]["second"] == 0 and row["series_seconds"] == 1
        first, second = row["rounds"]
        assert (first["round"], second["round"]) == (1, 2) and second["start_s"] > first["start_s"]
    # Equal load for all, as the seed has it.
    assert ([part["requests"] for part in rows["custom"]["parts"]] ==
            [part["requests"] for part in rows["random"]["parts"]])
    with open(table, encoding="utf-8") as lines:
        told = {(line["strategy"], line["round"]): line for line in csv.DictReader(lines)}
    assert len(told) == 6
    assert int(told["random", "0"]["requests"]) == rows["random"]["requests"]
    assert int(told["random", "0"]["p99_us"]) == rows["random"]["latency_us"]["p99"]
    written = text.read_text()
    assert "condition healthy" in written and "custom" in written and "txn" in written


def test_transactions_of_a_file_are_done_whole(cluster, tmp_path):
    script = tmp_path / "move.sql"
    script.write_text("""
-- @weight 3
-- @name read
-- @param int:1..20
SELECT k FROM bench_moves WHERE id = ?;
-- @name move
BEGIN;
-- @param int:1..20
UPDATE bench_moves SET k = k + 1 WHERE id = ?;
-- @param same:1
UPDATE bench_moves SET k = k + 1000 WHERE id = ?;
COMMIT;
""")
    assert bench(cluster, "fill", "--table", "bench_moves", "--rows", "20").returncode == 0
    with cluster.client() as client:
        sum_sql = "SELECT CAST(SUM(k) AS SIGNED) FROM bench_moves"
        before = client.query(sum_sql, db="demo", consistency="source").rows[0][0]
        whole, rows = measured(cluster, "file", str(script), "--db", "demo", "--clients", "4",
                               "--time", "1", "--warmup", "0")
        after = client.query(sum_sql, db="demo", consistency="source").rows[0][0]
    row = rows["default"]
    assert row["failed"] == 0, row["errors"]
    read, move = row["parts"]
    assert read["requests"] > move["requests"] > 0
    assert after - before == 1001 * move["requests"]
    assert row["latency_corrected_us"]["count"] >= row["requests"]
    assert row["latency_corrected_us"]["max"] == row["latency_us"]["max"]
    outcome = Outcome()  # the report's own correction is the driver's
    outcome.add(row)
    for key, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}.items():
        assert outcome.corrected_us(share) == row["latency_corrected_us"][key], key
    assert whole["loop"] == "closed" and "rate" not in whole


def test_the_document_has_the_keys_of_the_json(cluster):
    text = (pathlib.Path(__file__).parents[2] / "docs" / "bench.md").read_text()
    table = text[text.index("\n| key | meaning |"):]
    documented = set()
    for line in table[:table.index("\n\n", 2)].splitlines()[3:]:
        documented.update(re.findall(r"`(\w+)`", line.split("|")[1]))
    assert len(documented) > 15
    whole, rows = measured(cluster, "sql", "SELECT 1", "--clients", "2", "--time", "0.3",
                           "--warmup", "0")
    row = rows["default"]
    assert documented == set(row) - {"series_seconds"}
    for key in list(whole) + list(row) + [name for item in (
            row["rounds"][0], row["series"][0], row["parts"][0], whole["statements"][0])
                                          for name in item]:
        assert f"`{key}`" in text, f"docs/bench.md does not tell of {key}"


def test_a_ramp_rises(cluster):
    whole, rows = measured(cluster, "sql", "SELECT 1", "--rate", "20..180", "--arrivals", "fixed",
                           "--time", "2", "--warmup", "0.5")
    assert (whole["rate"], whole["rate_end"]) == (20, 180)
    row = rows["default"]
    assert row["requests"] == pytest.approx(200, abs=3)  # 100 a second on average
    # 60 are due in the first second and 140 in the other; a loaded machine answers later.
    assert row["series"][0]["ok"] <= 65, row["series"]


def test_a_terminal_sees_a_bar_and_a_file_lines(cluster):
    command = [DRIVER, "sql", "SELECT 1", "--rate", "50", "--time", "2", "--warmup", "0",
               "--strategies", "custom", "--bundle", cluster.bundle]
    master, terminal = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal) as running:
        os.close(terminal)
        seen = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            seen += piece
        running.communicate(timeout=30)
    os.close(master)
    assert re.search(rb"\[#*-+\] +\d+% \d:\d\d left  custom 1/1", seen), seen
    assert re.search(rb"\d+/s  p50 \d", seen), seen
    done = bench(cluster, "sql", "SELECT 1", "--time", "0.3", "--warmup", "0", "--rounds", "2")
    assert done.stderr.count("\n") == 2 and "round 2/2 default: " in done.stderr
    done = bench(cluster, "sql", "SELECT 1", "--time", "0.2", "--warmup", "0", "--quiet",
                 "--strategies", "all")
    assert done.stderr == ""
    for name in ("direct", "random", "least-inflight", "custom", "prequal"):
        assert re.search(rf"^{name} +\d+ ", done.stdout, re.M), done.stdout


def test_latency_runs_from_when_a_request_was_due(cluster):
    """Eight threads that serve 0.1 s each make 16 replies in 0.2 s: at 400 requests a second a
    queue grows, and every latency has to show it, as would not be if sending waited."""
    _, rows = measured(cluster, "sql", "SELECT SLEEP(0.1)", "--rate", "400", "--arrivals", "fixed",
                       "--time", "2", "--warmup", "0", "--strategies", "direct")
    row = rows["direct"]
    assert row["requests"] == pytest.approx(800, abs=2), row
    assert row["latency_us"]["p99"] > 1_000_000, row["latency_us"]


def test_a_driver_that_stood_still_says_so(cluster):
    """What was due meanwhile is sent late, and its wait counts: nothing is left out."""
    with measuring(cluster, "sql", "SELECT 1", "--rate", "100", "--arrivals", "fixed", "--time",
                   "8") as running:
        running.send_signal(signal.SIGSTOP)
        time.sleep(2)
        running.send_signal(signal.SIGCONT)
        row = json.loads(running.communicate(timeout=30)[0])["strategies"][0]
    assert running.returncode == 3 and "after they were due" in row["doubt"], row["doubt"]
    assert row["requests"] == pytest.approx(800, abs=2)
    assert row["send_lag_us"]["max"] > 1_500_000 and row["latency_us"]["p90"] > 200_000, row


def test_a_closed_loop_tells_what_it_left_out(cluster):
    """One client and a proxy that stands still: a single wait is slow, and many would have been."""
    with measuring(cluster, "sql", "SELECT 1", "--clients", "1", "--time", "8") as running:
        cluster.pause("proxy")
        try:
            time.sleep(0.8)  # the broker misses it after a second
        finally:
            cluster.resume("proxy")
        row = json.loads(running.communicate(timeout=30)[0])["strategies"][0]
    told, corrected = row["latency_us"], row["latency_corrected_us"]
    assert corrected["count"] > told["count"] and corrected["max"] == told["max"]
    assert told["max"] > 600_000
    if row["doubt"] or row["failed"]:
        pytest.skip("it stood still for longer than was asked of it, or the machine did: "
                    f"{row['doubt']}, {row['errors']}")
    assert corrected["p99"] > 200_000 and corrected["p99"] > told["p99"], (told, corrected)


def test_failures_count_their_timeout_and_are_told_by_code(cluster):
    done = bench(cluster, "sql", "SELECT nothing", "--rate", "50", "--time", "0.5", "--warmup", "0",
                 "--timeout", "20000", "--json", "-")
    assert done.returncode == 1, done
    row = json.loads(done.stdout)["strategies"][0]
    assert row["ok"] == 0 and row["errors"] == {"SQL": row["requests"]}
    assert "nothing" in row["error_messages"]["SQL"]
    assert row["latency_us"]["p50"] >= 20_000_000  # and nobody waited so long


def test_an_interrupt_keeps_what_was_measured(cluster):
    with measuring(cluster, "sql", "SELECT 1", "--rate", "50", "--time", "600", "--strategies",
                   "random,custom") as running:
        running.send_signal(signal.SIGINT)
        whole = json.loads(running.communicate(timeout=20)[0])
    assert running.returncode == 130 and whole["interrupted"] is True
    random, custom = whole["strategies"]
    assert random["requests"] > 10 and custom["requests"] == 0
    assert sum(point["ok"] for point in random["series"]) == random["ok"] > 0
    assert custom["series"] == custom["rounds"] == []


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
    (["sql", "SELECT ?"], "has 1 `?`, and values were given for 0"),
    (["point", "--rate", "5..0"], "--rate must be a number from"),
    (["point", "--rate", "5..6..7"], "--rate must be a number from"),
    (["point", "--label", "healthy"], "--label must be NAME=VALUE"),
    (["point", "--csv", "/nonexistent/x"], "--csv: cannot write"),
    (["mixed", "--shares", "point:50,delete:50"], '"delete" is none of'),
    (["txn", "--points", "60"], "at most 64 together"),
    (["file"], "name the file"),
    (["file", "/nonexistent"], "/nonexistent: No such file"),
    (["file", os.devnull], "there is no statement"),
])
def test_a_wrong_argument_is_named(cluster, arguments, complaint):
    done = bench(cluster, *arguments)
    assert done.returncode == 64 and complaint in done.stderr, done
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_without_a_cluster_it_says_so(cluster, tmp_path):
    done = bench(cluster, "sql", "SELECT 1", "--bundle", str(tmp_path / "none"))
    assert done.returncode == 78 and "none" in done.stderr, done
