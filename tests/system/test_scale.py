"""Two hundred clients and ten agents, all simulated, around real daemons: bench/scale.py in small.
What grows how fast is measured with thousands (docs/scale.md); here each gets its answer."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from harness import BUILD, FLAVOR, ROOT

sys.path.insert(0, str(ROOT / "bench"))

import scale  # noqa: E402  (its folder must be on the path first)

pytestmark = pytest.mark.skipif(
    FLAVOR != "mariadb", reason="no database takes part: the run on MariaDB is the same")

# What a machine that is busy with other things may bring about.
OF_LOAD = {"OVERLOADED", "DEADLINE"}


def test_two_hundred_clients_and_ten_agents_get_their_answers(tmp_path):
    told, page = tmp_path / "scale.json", tmp_path / "scale.html"
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "scale.py", "--quick", "--json", told, "--html", page],
        capture_output=True, text=True, timeout=180, check=False,
        env={**os.environ, "PORTCULLIS_TEST_BUILD": str(BUILD)})
    assert told.exists(), done.stdout + done.stderr
    result = json.loads(told.read_text())
    assert [row["clients"] for row in result["idle"]] == [50, 200]
    assert [(row["clients"], row["agents"]) for row in result["grid"]] == [
        (50, 2), (50, 10), (200, 2), (200, 10)]
    for row in result["grid"]:
        for kind in ("open", "closed"):
            for load in row[kind].values():
                assert load["served"] > 0 and set(load["errors"]) <= OF_LOAD, load
                assert load["requests"] == load["served"] + sum(load["errors"].values()), load
                assert 0 < load["latency_us"]["p50"] <= load["latency_us"]["p99"], load
        assert all(kib > 0 for kib in row["idle"]["rss_kib"].values()), row
    text = page.read_text()
    assert text.count("<svg") >= 10 and "src=" not in text and "href=" not in text


def test_what_was_not_measured_meets_no_bar():
    result = {"idle": [], "grid": [], "options": {}, "interrupted": False, "failed": {
        "idle": "RuntimeError: <told> & so on"}, "machine": {**scale.machine(), "build": "<b>"}}
    assert not scale.summarize(result)
    assert result["idle_kib_per_client"] is None
    assert not any(bar["verdict"] == "pass" for bar in result["bars"])
    text = scale.page(result)
    assert "&lt;told&gt; &amp;" in text and "<told>" not in text and "<b>" not in text


def test_too_few_descriptors_are_said(monkeypatch, capsys):
    def refuse(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(scale.resource, "setrlimit", refuse)
    monkeypatch.setattr(scale.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(sys, "argv", ["scale.py", "--clients", "10000"])
    assert scale.main() == 69
    assert capsys.readouterr().err == (
        "error: 10000 clients need 11024 descriptors in one process, and this system gives 1024 "
        "(`ulimit -Hn`; LimitNOFILE= of a unit)\n")


def test_an_interrupt_leaves_what_was_measured_and_nothing_else(tmp_path):
    told, folder = tmp_path / "scale.json", tmp_path / "scratch"
    folder.mkdir()
    with subprocess.Popen(
            [sys.executable, ROOT / "bench" / "scale.py", "--quick",
             "--json", told], stdout=subprocess.DEVNULL,
            env={**os.environ, "PORTCULLIS_TEST_BUILD": str(BUILD),
                 "PORTCULLIS_TEST_SCRATCH": str(folder)}) as process:
        try:
            end = time.monotonic() + 60
            while not list(folder.glob("scale.*/client.bundle")):  # then its daemons come
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert json.loads(told.read_text())["interrupted"]
    assert not list(folder.iterdir())
