"""The report of a comparison: bench/conditions.py measures in short, bench/report.py draws it, a
browser shows it; run_all.sh leaves nothing behind.  With PORTCULLIS_TEST_BAR=1 all of
`run_all.sh --quick` within its time."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from browser import Browser, NoBrowser
from harness import BUILD, FLAVOR, ROOT, wait_until
from volume import FULL

sys.path.insert(0, str(ROOT / "bench"))
import plot  # noqa: E402  (their folder must be on the path first)
from outcome import Outcome  # noqa: E402

REPORT = ROOT / "bench" / "report.py"
RUN_ALL = ROOT / "run_all.sh"


# --- Results without a cluster ---------------------------------------------------------

def row(strategy, seed, slower=1.0, errors=None):
    """What the driver would tell of 400 requests in four seconds."""
    chance = random.Random(seed)
    times = sorted(int(chance.lognormvariate(9.5, 0.6) * slower) for _ in range(400))
    told = {share: times[int(share * 400) - 1] for share in (0.5, 0.9, 0.99, 0.999)}
    errors = errors or {}
    latency = {"count": 400, "mean": sum(times) / 400, "p50": told[0.5], "p90": told[0.9],
               "p99": told[0.99], "p999": times[-1], "max": times[-1]}
    series = [{"round": 1, "second": second, "ok": 100, "failed": 0, "p50_us": told[0.5],
               "p99_us": told[0.99]} for second in range(4)]
    series.append({"round": 1, "second": 4, "ok": 0, "failed": 0, "p50_us": None, "p99_us": None})
    return {"strategy": strategy, "requests": 400, "ok": 400 - sum(errors.values()),
            "failed": sum(errors.values()), "unsent": 0, "retries": 3, "hedged": 1, "seconds": 4.0,
            "throughput": 100.0, "latency_us": latency,
            "latency_buckets": [[edge, times.count(edge)] for edge in sorted(set(times))],
            "nodes": {"node2": {"count": 100, "share": 0.25, "mean_us": 1.0},
                      "node3": {"count": 300, "share": 0.75, "mean_us": 1.0}},
            "errors": errors, "doubt": None, "rounds": [], "series": series}


def result(*rows, **more):
    return {"program": "portcullis-bench", "sql": "SELECT </script><b>1", "workload": "sql",
            "loop": "open", "arrivals": "poisson", "rate": 100, "rate_end": 100, "seconds": 4,
            "interrupted": False, "labels": {}, "strategies": list(rows), **more}


def report(*arguments, check=True):
    done = subprocess.run([sys.executable, REPORT, *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def cells(page):
    """{(condition, strategy, key): value} of a page's text."""
    found = re.findall(r'data-condition="([^"]*)" data-strategy="([^"]*)" data-key="([^"]*)" '
                       r'data-value="([^"]*)"', page)
    return {tuple(key): float(value) for *key, value in found}


@pytest.fixture
def drawn(tmp_path):
    """(results by condition, page) of files without a cluster."""
    results = {
        "healthy": result(row("random", 1), row("custom", 2)),
        "slow": result(row("random", 3, 20, {"DEADLINE": 5}), row("custom", 4, 1.02)),
    }
    for name, whole in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(whole))
    page = tmp_path / "report.html"
    report(*(tmp_path / f"{name}.json" for name in results), "--html", page, "--text",
           tmp_path / "results.txt")
    return results, page


def test_a_page_has_the_values_of_its_files(drawn):
    results, page = drawn
    values = cells(page.read_text())
    for condition, whole in results.items():
        for one in whole["strategies"]:
            for key in ("requests", "failed", "retries", "hedged"):
                assert values[condition, one["strategy"], key] == one[key], key
            for key in ("p50", "p90", "p99", "p999", "max"):
                assert values[condition, one["strategy"], f"{key}_us"] == one["latency_us"][key]
    assert 'data-error="slow/random/DEADLINE" data-value="5"' in page.read_text()
    text = (page.parent / "results.txt").read_text()
    assert "under custom" in text and "failed: DEADLINE 5" in text


def test_several_rounds_are_one_distribution(tmp_path):
    """And not the mean of percentiles."""
    fast, slow = row("custom", 1), row("custom", 2, 50)
    whole = {"program": "portcullis-conditions", "interrupted": True, "started": "now",
             "machine": {"processors": 2, "model": "x", "memory_mib": 1, "kernel": "Linux"},
             "cluster": {"database": "x", "nodes": ["node1", "node2"], "source": "node1",
                         "roles": "apart"}, "faulty": "node2", "notes": [],
             "conditions": [{"name": "healthy", "text": "", "window_s": [1, 2],
                             "runs": [result(fast, left_out={"node2": {"lags": 3}}),
                                      result(slow, left_out={"node2": {"lags": 4}})]}]}
    (tmp_path / "all.json").write_text(json.dumps(whole))
    report(tmp_path / "all.json", "--html", tmp_path / "x.html", "--text", tmp_path / "x.txt")
    values = cells((tmp_path / "x.html").read_text())
    times = sorted(edge for one in (fast, slow) for edge, count in one["latency_buckets"]
                   for _ in range(count))
    assert values["healthy", "custom", "requests"] == 800
    assert values["healthy", "custom", "p50_us"] == times[399]
    assert values["healthy", "custom", "p99_us"] == times[791]
    assert "INTERRUPTED" in (tmp_path / "x.txt").read_text()
    assert "Interrupted" in (tmp_path / "x.html").read_text()
    assert "node2 was left out of 7 choices: lags" in (tmp_path / "x.html").read_text()


def drawn_of(folder, **files):
    """(page, text) of what is told of these files."""
    for name, whole in files.items():
        (folder / f"{name}.json").write_text(json.dumps(whole))
    page, text = folder / "x.html", folder / "x.txt"
    report(*(folder / f"{name}.json" for name in files), "--html", page, "--text", text)
    return page.read_text(), text.read_text()


def test_conditions_of_different_loads_are_not_compared(tmp_path):
    page, text = drawn_of(tmp_path, healthy=result(row("custom", 1)),
                          slow=result(row("custom", 2), rate=50, rate_end=50))
    assert "did not have the same load" in page and "did not have the same load" in text
    assert "Why <code>custom" not in page and "×" not in page


def test_two_files_of_one_name_are_both_told(tmp_path):
    labels = {"condition": "healthy"}
    page, text = drawn_of(tmp_path, one=result(row("custom", 1), labels=labels),
                          two=result(row("custom", 2, 7), labels=labels))
    values = cells(page)
    assert values["healthy-2", "custom", "p50_us"] > 3 * values["healthy", "custom", "p50_us"]
    assert "\nhealthy: " in text and "\nhealthy-2: " in text


def test_a_closed_loop_is_told_with_what_it_hides(tmp_path):
    """As the driver corrects it: a wait of ten medians stands for eight more of them."""
    waits = row("custom", 1)
    waits.update(requests=10, ok=10, latency_buckets=[[1003, 9], [10047, 1]],
                 latency_us={**waits["latency_us"], "count": 10, "max": 10000})
    closed = {"loop": "closed", "clients": 1}
    page, text = drawn_of(tmp_path, healthy=result(waits, **closed))
    values = cells(page)
    assert values["healthy", "custom", "p99_us"] == 10000
    assert [values["healthy", "custom", f"corrected_{share}_us"]
            for share in ("p50", "p99", "p999")] == [1003, 10000, 10000]
    assert "from when a client sent a request" in text and "when a request was due" not in text
    assert "at an even pace: p50 1.00  p99 10" in text
    page, text = drawn_of(tmp_path, healthy=result(row("custom", 1)))
    assert "when a request was due" in text and "even pace" not in page + text


def test_a_value_for_several_seconds_is_one_a_second():
    told = row("custom", 1)
    told["series_seconds"] = 4
    told["series"] = [{"round": 1, "second": at, "ok": 200, "failed": 0, "p50_us": 1, "p99_us": 2}
                      for at in (0, 4, 8)]
    outcome = Outcome()
    outcome.add(told)
    assert outcome.over_time("ok", 8) == [(2, 50), (6, 50)]
    assert outcome.over_time("p99_us", 8) == [(2, 2), (6, 2)]


def test_the_shade_is_where_the_fault_was(tmp_path):
    """And not where it was meant to be: the median of the turns."""
    runs = [result(row("custom", seed), fault_s=[1, end]) for seed, end in ((1, 2), (2, 3), (3, 9))]
    whole = {"interrupted": False, "started": "now",
             "machine": {"processors": 2, "model": "x", "memory_mib": 1, "kernel": "Linux"},
             "cluster": {"database": "x", "nodes": ["node1", "node2"], "source": "node1",
                         "roles": "apart"}, "faulty": "node2", "notes": [],
             "conditions": [{"name": "killed", "text": "", "window_s": [1, 2], "runs": runs}]}
    page, _ = drawn_of(tmp_path, all=whole)
    shades = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)" \S+ class="shade"', page)
    assert len(shades) == 2
    second = (plot.WIDTH - plot.LEFT - plot.RIGHT) / 4
    for left, width in shades:
        assert float(left) == pytest.approx(plot.LEFT + second, abs=0.2)
        assert float(width) == pytest.approx(2 * second, abs=0.2)


@pytest.mark.parametrize("text, complaint", [
    ("", "is no result"), ("[1]", "is no result"), ("{}", "is no result"),
    ('{"interrupted": false, "strategies": 7}', "is no result"),
    ('{"interrupted": false, "strategies": []}', "nothing was measured"),
])
def test_a_file_that_is_no_result_is_named(tmp_path, text, complaint):
    (tmp_path / "x.json").write_text(text)
    done = report(tmp_path / "x.json", check=False)
    assert done.returncode == 1 and complaint in done.stderr, done
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    done = report(tmp_path / "none.json", check=False)
    assert done.returncode == 1 and "none.json" in done.stderr


# --- In a browser ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser():
    try:
        with Browser() as one:
            yield one
    except NoBrowser as error:
        pytest.skip(f"NO BROWSER, so no page was looked at: {error}")


SEEN = """JSON.stringify(Array.from(document.querySelectorAll("[data-condition]"), function (one) {
  return [one.dataset.condition, one.dataset.strategy, one.dataset.key, one.dataset.value,
          one.textContent]; }))"""


def look(browser, path):
    """Loads a page as on a desk and as on a phone in the dark; it has to be whole, and quiet.
    Returns {(condition, strategy, key): (value, text)}."""
    for width, dark in ((1200, False), (360, True)):
        page = browser.open(path, width, dark)
        if os.environ.get("PORTCULLIS_TEST_KEEP", "") == "1":
            page.picture(pathlib.Path(path).with_suffix(f".{width}.png"))
        # A fresh document has every picture drawn, and nothing sticks out at the side.
        assert page.evaluate("document.querySelectorAll('svg').length") >= 3
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == dark, paper
        # The strategy that is pointed out stays, the others pale; once more, and all are back.
        picked = page.evaluate("document.querySelector('[data-pick]').dataset.pick")
        click = "document.querySelector('[data-pick]').click()"
        page.evaluate(click)
        opacity = "getComputedStyle(document.querySelector('polyline{}.' + '{}')).opacity"
        assert page.evaluate(opacity.format("", picked)) == "1"
        pale = f"Array.from(document.querySelectorAll('polyline:not(.{picked})'), " \
               "one => Number(getComputedStyle(one).opacity)).every(one => one < 0.5)"
        assert page.evaluate(pale)
        page.evaluate(click)
        assert page.evaluate("document.querySelectorAll('.picked').length") == 0
        page.evaluate("document.getElementById('theme').click()")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != paper
        assert page.problems == []
        assert all(one.startswith(("file:", "data:")) for one in page.asked_for), page.asked_for
        assert len([one for one in page.asked_for if one.startswith("file:")]) == 1
    return {tuple(key): (float(value), text) for *key, value, text in
            json.loads(page.evaluate(SEEN))}


def test_a_browser_shows_it_and_asks_nobody(drawn, browser):
    results, path = drawn
    seen = look(browser, path)
    for condition, whole in results.items():
        for one in whole["strategies"]:
            value, text = seen[condition, one["strategy"], "p99_us"]
            assert value == one["latency_us"]["p99"]
            assert float(text.split()[0].replace(",", "")) == pytest.approx(value / 1000, rel=0.01)
    # What a statement says stays text.
    page = browser.open(path)
    assert "</script><b>1" in page.evaluate("document.getElementById('about').textContent")


# --- With a cluster -----------------------------------------------------------------------

def test_conditions_are_measured_and_drawn(cluster, tmp_path):
    """Every figure comes from the driver's own; what was done to the replica is undone."""
    found = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "conditions.py", "--var", cluster.var, "--conditions",
         "healthy,killed", "--strategies", "random,custom", "--rounds", "1", "--seconds", "1",
         "--warmup", "0.3", "--rows", "500", "--json", found], capture_output=True, text=True,
        timeout=240, check=False, env={**os.environ, "PORTCULLIS_TEST_BUILD": str(BUILD),
                                       "PORTCULLIS_TEST_FLAVOR": FLAVOR})
    assert done.returncode == 0, done.stderr
    whole = json.loads(found.read_text())
    assert [one["name"] for one in whole["conditions"]] == ["healthy", "killed"]
    assert [len(one["runs"]) for one in whole["conditions"]] == [1, 2]
    for run in whole["conditions"][1]["runs"]:  # each is told when it was killed, and came back
        killed_s, back_s = run["fault_s"]
        assert killed_s + 0.25 <= back_s
    page = tmp_path / "report.html"
    report(found, "--html", page, "--text", tmp_path / "results.txt")
    values = cells(page.read_text())
    for condition in whole["conditions"]:
        rows = [one for run in condition["runs"] for one in run["strategies"]]
        assert {one["strategy"] for one in rows} == {"random", "custom"}
        for one in rows:
            assert one["requests"] > 50, one
            at = (condition["name"], one["strategy"])
            assert values[(*at, "requests")] == one["requests"]
            assert values[(*at, "p99_us")] == one["latency_us"]["p99"]
    assert "over time" in page.read_text() and "killed:" in (tmp_path / "results.txt").read_text()
    cluster.look()
    assert all(cluster.pid(name) for name in cluster.parts())


def leftovers(folder):
    """Command lines of processes that have to do with it."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


def run_all(folder, *arguments):
    folder.mkdir()
    return subprocess.Popen(
        [RUN_ALL, "--no-build", "--no-install", "--build-dir", BUILD, "--flavor", FLAVOR, "--out",
         folder / "out", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "TMPDIR": str(folder)})


def test_run_all_leaves_nothing_when_it_is_stopped(tmp_path):
    folder = tmp_path / "run"
    with run_all(folder, "--quick", "--nodes", "3") as running:
        wait_until(lambda: list(folder.glob("*/var/node*/data")), 60, "a database is being made")
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=120)[0]
    assert running.returncode == 143, said
    assert os.listdir(folder) == ["out"] and os.listdir(folder / "out") == []
    wait_until(lambda: not leftovers(folder), 10, "every process of it to end")


def test_run_all_in_the_background_keeps_what_was_measured(tmp_path):
    """A shell's background ignores SIGINT, and so does what is started there."""
    folder = tmp_path / "run"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = run_all(folder, "--quick", "--nodes", "3", "--strategies", "custom",
                          "--conditions", "healthy,slow,paused")
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        said = []
        for line in running.stdout:
            said.append(line)
            if line == "round 1 of 1: healthy\n":
                running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 143, said
    whole = json.loads((folder / "out" / "benchmark_results.json").read_text())
    assert whole["interrupted"], said
    wait_until(lambda: not leftovers(folder), 10, "every process of it to end")


@pytest.mark.plain("a sanitizer takes much longer")
@pytest.mark.skipif(not FULL, reason="PORTCULLIS_TEST_BAR=1 runs all of it")
def test_run_all_quick_is_done_soon(tmp_path, browser):
    """In two minutes, and in four on a machine that does other things, too."""
    folder, began = tmp_path / "run", time.monotonic()
    with run_all(folder, "--quick") as running:
        said = running.communicate(timeout=300)[0]
    assert running.returncode == 0, said
    assert time.monotonic() - began < 240, said
    assert sorted(os.listdir(folder)) == ["out"] and not leftovers(folder)
    whole = json.loads((folder / "out" / "benchmark_results.json").read_text())
    assert len(whole["conditions"]) == 6 and whole["interrupted"] is False
    assert "custom" in (folder / "out" / "benchmark_results.txt").read_text()
    seen = look(browser, folder / "out" / "report.html")
    slow, healthy = (seen[condition, "custom", "p99_us"][0] for condition in ("slow", "healthy"))
    assert slow < 2 * healthy and slow < seen["slow", "random", "p99_us"][0] / 2


@pytest.mark.parametrize("arguments, complaint", [
    (["--nope"], "unknown option"), (["--nodes", "2"], "--nodes wants"), (["--out"], "a value"),
    (["--flavor", "oracle"], "--flavor wants"), (["--seconds", "long"], "--seconds wants"),
    (["--no-install", "--conditions", "nope"], "there is no 'nope'")])
def test_wrong_arguments_of_run_all_are_named(arguments, complaint):
    done = subprocess.run([RUN_ALL, *arguments], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 64 and complaint in done.stderr
