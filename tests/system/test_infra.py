"""infra/up.sh again and again, part by part; other sizes and forms of a cluster."""
import json
import os
import pathlib
import subprocess

import portcullis
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_up_again_starts_nothing_twice_and_revives_what_died(cluster):
    cluster.wait_ready_all()
    before = cluster.pids()
    again = cluster.up()
    assert again.returncode == 0, again.stdout + again.stderr
    assert cluster.pids() == before
    dead = cluster.agent_of(cluster.replicas()[0])
    cluster.kill(dead)
    assert subprocess.run([ROOT / "infra/status.sh", "--var", cluster.var], capture_output=True,
                          check=False).returncode == 3
    again = cluster.up()
    assert again.returncode == 0, again.stdout + again.stderr
    after = cluster.pids()
    assert {part for part in before if after[part] != before[part]} == {dead}


def test_status_shows_every_part(cluster):
    answer = subprocess.run([ROOT / "infra/status.sh", "--var", cluster.var], capture_output=True, text=True,
                            check=False)
    assert answer.returncode == 0, answer.stdout
    for part in cluster.part_names():
        assert part in answer.stdout
    seen = json.loads(subprocess.run([ROOT / "infra/status.sh", "--var", cluster.var, "--json"],
                                     capture_output=True, text=True, check=True).stdout)
    assert seen["up"] is True and len(seen["nodes"]) == len(cluster.nodes())
    for part in seen["parts"]:
        assert os.path.exists(f"/proc/{part['pid']}") and os.path.exists(part["log"])


@pytest.mark.parametrize("options, nodes", [(["--roles-together", "--nodes", "2"], 2), (["--nodes", "1"], 1)],
                         ids=["together", "single"])
def test_other_forms_of_a_cluster(other_cluster, options, nodes):
    cluster = other_cluster(*options)
    assert len(cluster.nodes()) == nodes
    with portcullis.Client(cluster.bundle) as client:
        client.query("CREATE TABLE IF NOT EXISTS formed (id INT PRIMARY KEY)", db="demo")
        client.query("REPLACE INTO formed VALUES (7)", db="demo")
        cluster.wait_replicated()
        for strategy in ("direct", "random", "round-robin", "least-inflight", "custom"):
            result = client.query("SELECT id FROM formed", db="demo", strategy=strategy)
            assert result.rows == [[7]]
            if nodes > 1 and strategy != "direct":
                assert result.route["role"] == "replica"
        outcomes = client.query_many([("SELECT ?", [number]) for number in range(300)])
        assert [outcome.rows for outcome in outcomes] == [[[number]] for number in range(300)]
    pids = cluster.pids()
    down = subprocess.run([ROOT / "infra/down.sh", "--var", cluster.var, "--purge"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert down.returncode == 0, down.stdout + down.stderr
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids.values())
    assert not os.path.exists(cluster.var)


@pytest.mark.parametrize("arguments", [["--nodes", "0"], ["--nodes", "ten"], ["--flavor", "oracle"], ["--nope"],
                                       ["aws"]])
def test_wrong_arguments_are_refused_with_a_word(arguments):
    answer = subprocess.run([ROOT / "infra/up.sh", *arguments], capture_output=True, text=True, timeout=10,
                            check=False)
    assert answer.returncode == 64 and answer.stderr.strip()
