"""Two hundred clients and ten agents, all simulated, around real daemons: bench/scale.py in small.
What grows how fast is measured with thousands (docs/scale.md); here each gets its answer."""
import json
import os
import subprocess
import sys

import pytest

from harness import BUILD, FLAVOR, ROOT

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
    assert [row["clients"] for row in result["clients"]] == [50, 200]
    assert [row["agents"] for row in result["agents"]] == [2, 10]
    for row in [*result["clients"], *result["agents"]]:
        for kind in ("open", "closed"):
            for load in row[kind].values():
                assert load["served"] > 0 and set(load["errors"]) <= OF_LOAD, load
                assert load["requests"] == load["served"] + sum(load["errors"].values()), load
                assert 0 < load["latency_us"]["p50"] <= load["latency_us"]["p99"], load
        assert all(kib > 0 for kib in row["idle"]["rss_kib"].values()), row
    text = page.read_text()
    assert text.count("<svg") >= 10 and "src=" not in text and "href=" not in text
