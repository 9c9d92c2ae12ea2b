"""infra/up.sh again and again, part by part; other sizes and forms of a cluster."""
import json
import os
import pathlib
import subprocess

import portcullis
import pytest

from harness import alive

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_up_again_starts_nothing_twice_and_revives_what_died(cluster):
    cluster.up()  # what tests have added to key lists is taken over
    before = {name: cluster.pid(name) for name in cluster.parts()}
    assert all(before.values())
    cluster.up()
    assert {name: cluster.pid(name) for name in cluster.parts()} == before
    dead = cluster.agent_of(cluster.replicas()[0])
    cluster.kill(dead)
    assert cluster.script("status.sh", check=False).returncode == 3
    cluster.up()
    after = {name: cluster.pid(name) for name in cluster.parts()}
    assert {name for name in before if after[name] != before[name]} == {dead}


def test_status_shows_every_part(cluster):
    answer = cluster.script("status.sh").stdout
    for name in cluster.parts():
        assert name in answer
    seen = json.loads(cluster.script("status.sh", "--json").stdout)
    assert seen["up"] is True and len(seen["nodes"]) == 3
    for part in seen["parts"]:
        assert os.path.exists(f"/proc/{part['pid']}") and os.path.exists(part["log"])


def test_the_source_is_the_one_of_the_state_files_and_not_taken_away(cluster):
    """Agents read theirs when they start only: these do not hear of it."""
    texts = {"node2": "term 4\nstage decided\nsource node3 10.0.0.3 3306\n",
             "node3": "term 3\nstage open\nsource node2 10.0.0.2 3306\n"}
    files = {cluster.var / node / "topology": text for node, text in texts.items()}
    assert not any(file.exists() for file in files)
    try:
        for file, text in files.items():
            file.write_text(text)
        seen = json.loads(cluster.script("status.sh", "--json", check=False).stdout)
        assert {one["name"]: one["role"] for one in seen["nodes"]} == {
            "node1": "replica", "node2": "replica", "node3": "source"}
        settings = (cluster.var / "settings").read_text()
        refused = cluster.script("up.sh", "--no-install", "--no-build", "--nodes", "2", check=False)
        assert refused.returncode == 1 and "node3 is the source" in refused.stdout, refused.stdout
        assert (cluster.var / "settings").read_text() == settings
    finally:
        for file in files:
            file.unlink(missing_ok=True)


@pytest.mark.parametrize("roles, nodes", [("together", 2),
                         ("apart", 1)], ids=["together", "single"])
def test_other_forms_of_a_cluster(new_cluster, roles, nodes):
    cluster = new_cluster(roles, roles=roles, nodes=nodes)
    assert len(cluster.nodes()) == nodes
    assert ("portcullisd" in cluster.parts()) == (roles == "together")
    with portcullis.Client(cluster.bundle) as client:
        client.query("CREATE TABLE formed (id INT PRIMARY KEY)", db="demo")
        client.query("INSERT INTO formed VALUES (7)", db="demo")
        cluster.wait_replicated()
        for strategy in ("direct", "random", "round-robin", "least-inflight", "custom",
                         "peak-ewma", "c3", "prequal"):
            result = client.query("SELECT id FROM formed", db="demo", strategy=strategy)
            assert result.rows == [[7]]
            if nodes > 1 and strategy not in ("direct", "custom"):
                assert result.route["role"] == "replica"
        outcomes = client.query_many([("SELECT ?", [number]) for number in range(300)])
        assert [outcome.rows for outcome in outcomes] == [[[number]] for number in range(300)]
    pids = [cluster.pid(name) for name in cluster.parts()]
    sockets = [cluster.node(node)["socket"] for node in cluster.nodes()]
    cluster.script("down.sh")
    assert pids and not any(alive(pid) for pid in pids)
    assert not any(os.path.exists(socket) for socket in sockets)


@pytest.mark.parametrize("arguments", [["--nodes", "0"],
                         ["--nodes", "ten"], ["--flavor", "oracle"], ["--nope"], ["aws"]])
def test_wrong_arguments_are_refused_with_a_word(arguments):
    answer = subprocess.run([ROOT / "infra/up.sh", *arguments],
                            capture_output=True, text=True, timeout=10, check=False)
    assert answer.returncode == 64 and answer.stderr.strip()


def test_status_shows_policy_seal_and_audit(cluster):
    """And is not content with an audit that somebody has written into."""
    cluster.command("query", "SELECT 1")
    answer = cluster.script("status.sh").stdout
    assert "policy.cfg: well-formed" in answer
    assert "client.bundle seals" in answer
    assert "all is well" in answer
    assert cluster.look()["sealed"] is True
    log = sorted(pathlib.Path(cluster.info["audit"]).glob("audit-*.log"))[0]
    whole = log.read_bytes()
    first = whole.splitlines(keepends=True)[1]
    changed = first.replace(b"principal=local", b"principal=loca1")
    changed = changed if changed != first else first.replace(b"seq=", b"seq=9")
    try:
        with log.open("r+b") as file:  # in its place, since the broker goes on writing there
            file.seek(whole.index(first))
            file.write(changed[:len(first)])
        done = cluster.script("status.sh", check=False)
        assert done.returncode == 3 and "all is well" not in done.stdout
    finally:
        with log.open("r+b") as file:
            file.seek(whole.index(first))
            file.write(first)
    assert cluster.script("status.sh", check=False).returncode == 0


def test_up_keeps_a_policy_that_was_edited(cluster):
    file = pathlib.Path(cluster.info["policy"])
    before = file.read_text()
    try:
        file.write_text(before.replace("# Everything", "# Nearly everything"))
        pids = {name: cluster.pid(name) for name in cluster.daemons()}
        cluster.up()
        assert "# Nearly everything" in file.read_text()
        assert {name: cluster.pid(name) for name in cluster.daemons()} == pids
    finally:
        file.write_text(before)


def test_up_names_the_mistakes_of_a_policy(cluster):
    file = pathlib.Path(cluster.info["policy"])
    before = file.read_text()
    try:
        file.write_text(before.replace("read locking_read", "reed locking_read"))
        done = cluster.script("up.sh", "--no-install", "--no-build", check=False)
        assert done.returncode == 1
        assert "reed" in done.stdout and "policy.cfg:" in done.stdout
        assert cluster.command("query", "SELECT 1").returncode == 0  # what runs goes on
    finally:
        file.write_text(before)
    cluster.up()
