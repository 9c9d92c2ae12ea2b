"""What an operator does: configuration, signals, health, metrics, keys."""
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import threading
import time

import portcullis
import pytest
from harness import wait_until
from raw import Raw, request

PARTS = ["gatekeeper", "broker", "proxy", "agent"]


def _part(cluster, kind):
    return cluster.agent_of(cluster.source()) if kind == "agent" else kind


@pytest.mark.parametrize("kind", PARTS)
def test_health_ready_and_metrics(cluster, kind):
    part = _part(cluster, kind)
    assert cluster.get(part, "/health")[0] == 200
    assert cluster.get(part, "/ready")[0] == 200
    assert cluster.get(part, "/nothing")[0] == 404
    status, text = cluster.get(part, "/metrics")
    assert status == 200
    assert f"portcullis_{kind}_" in text
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("PROMTOOL IS MISSING: the metrics were not checked (Debian: prometheus)")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True,
                             capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_metrics_count_what_happens(cluster):
    def replies():
        return sum(value for series, value in cluster.metrics("gatekeeper").items()
                   if series.startswith("portcullis_gatekeeper_replies_total"))
    before = replies()
    with portcullis.Client(cluster.bundle) as client:
        for _ in range(25):
            client.query("SELECT 1")
    # The client can have a reply a moment before it is counted.
    wait_until(lambda: replies() - before >= 25, 2, "25 replies to be counted")


def test_ready_says_why_not(cluster):
    cluster.kill("proxy")
    try:
        wait_until(lambda: cluster.get("broker", "/ready")[0] == 503, 5, "the broker to notice")
        assert "proxy" in cluster.get("broker", "/ready")[1]
    finally:
        cluster.start("proxy")
        cluster.heal()


def test_the_cluster_page_is_json(cluster):
    wait_until(lambda: cluster.get("proxy", "/api/cluster")[0] == 200, 5, "the page")
    status, text = cluster.get("proxy", "/api/cluster")
    names = {node["name"] for node in json.loads(text)["nodes"]}
    assert status == 200 and names == set(cluster.nodes())


@pytest.mark.parametrize("kind", PARTS)
def test_check_config_names_every_mistake(cluster, kind, tmp_path):
    part = cluster.part(_part(cluster, kind))
    good = pathlib.Path(part["config"])
    bad = good.parent / f"broken-{kind}.cfg"
    binary = part["command"][0]
    try:
        lines = [line for line in good.read_text().splitlines() if "endpoint" not in line]
        bad.write_text(
    "\n".join(lines) +
     "\nlimits\n    no_such_setting = 5\nlog\n    level = \"loud\"\n")
        run = subprocess.run([binary, "--config", bad, "--check-config"],
                             capture_output=True, text=True, timeout=10, check=False)
        assert run.returncode == 78, run
        text = run.stdout + run.stderr
        assert "endpoint" in text and "no_such_setting" in text and "level" in text
        assert subprocess.run([binary, "--config", bad], capture_output=True, timeout=10,
                              check=False).returncode == 78
    finally:
        bad.unlink(missing_ok=True)
    fine = subprocess.run([binary, "--config", good, "--check-config"],
                          capture_output=True, timeout=10, check=False)
    assert fine.returncode == 0, fine
    printed = subprocess.run([binary, "--config", good, "--print-config"],
                             capture_output=True, text=True, timeout=10, check=False)
    assert printed.returncode == 0
    again = good.parent / f"printed-{kind}.cfg"
    try:
        again.write_text(printed.stdout)
        assert subprocess.run([binary, "--config", again, "--check-config"], capture_output=True,
                              timeout=10, check=False).returncode == 0
    finally:
        again.unlink(missing_ok=True)


SPANNING_MISTAKES = {
    "gatekeeper": ("clients/keys", "broker/public_key"),
    "broker": ("gatekeepers/keys", "proxy/public_key"),
    "proxy": ("brokers/keys", "agents/keys"),
    "agent": ("proxy/public_key",),
}


@pytest.mark.parametrize("kind", PARTS)
def test_check_config_sees_what_does_not_fit_together(cluster, kind):
    """Every value that is left is right by itself; all that is missing is named at once."""
    part = cluster.part(_part(cluster, kind))
    good = pathlib.Path(part["config"])
    bad = good.parent / f"keyless-{kind}.cfg"
    try:
        bad.write_text(
    "".join(
        line for line in good.read_text().splitlines(
            keepends=True) if line.split("=")[0].strip() not in (
                "key_file",
                "keys",
                 "public_key")))
        run = subprocess.run([part["command"][0], "--config", bad, "--check-config"],
                             capture_output=True, text=True, timeout=10, check=False)
        assert run.returncode == 78, run
        lines = (run.stdout + run.stderr).splitlines()
        wanted = ("curve/key_file", *SPANNING_MISTAKES[kind])
        assert len(lines) == len(wanted), lines
        for path in wanted:
            assert any(f": {path}: must be given" in line for line in lines), lines
    finally:
        bad.unlink(missing_ok=True)


def test_a_key_that_others_can_read_is_refused(cluster):
    part = cluster.part("gatekeeper")
    text = pathlib.Path(part["config"]).read_text()
    key = pathlib.Path(part["key"])
    mode = stat.S_IMODE(os.stat(key).st_mode)
    assert mode & 0o077 == 0 and text
    try:
        key.chmod(0o644)
        run = subprocess.run([part["command"][0], "--config", part["config"], "--check-config"],
                             capture_output=True, text=True, timeout=10, check=False)
        assert run.returncode == 78 and str(key.name) in run.stdout + run.stderr
    finally:
        key.chmod(mode)


def test_a_missing_key_file_is_named(cluster):
    part = cluster.part("broker")
    key = pathlib.Path(part["key"])
    aside = key.with_suffix(".aside")
    key.rename(aside)
    try:
        run = subprocess.run([part["command"][0], "--config", part["config"]],
                             capture_output=True, text=True, timeout=10, check=False)
        assert run.returncode == 78 and key.name in run.stdout + run.stderr
    finally:
        aside.rename(key)


def test_no_secret_in_logs_or_arguments(cluster):
    files = [file for file in (cluster.var / "secrets").iterdir() if file.is_file()]
    words = {word.strip('"') for file in files for word in file.read_text().split()
             if len(word.strip('"')) >= 16}
    assert len(words) >= 4
    publics = "".join(file.read_text() for file in (cluster.var / "keys").iterdir())
    publics += str(files)
    words = {word for word in words if word not in publics}
    for part in cluster.parts():
        log = pathlib.Path(cluster.part(part)["log"]).read_text(errors="replace")
        pid = cluster.pid(part)
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        environment = pathlib.Path(f"/proc/{pid}/environ").read_text()
        assert log, f"{part} has logged nothing"
        for word in words:
            assert word not in log and word not in arguments and word not in environment, part


def test_sigterm_finishes_what_runs(cluster):
    """Each daemon in turn is asked to stop while slow reads run: what it had is answered."""
    for kind in PARTS:
        part = _part(cluster, kind)
        outcomes = []

        def ask():
            with portcullis.Client(cluster.bundle, timeout_ms=6000) as client:
                outcomes.extend(client.query_many(
                    [("SELECT SLEEP(0.8)", None)] * 4, strategy="direct"))

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.4)
        cluster.signal(part, signal.SIGTERM)
        thread.join(timeout=10)
        cluster.wait_ended(part, 12)
        cluster.start(part)
        cluster.heal()
        assert len(outcomes) == 4
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert not failed, (kind, failed)


def test_a_key_off_the_list_is_out(cluster):
    """Within a second, on a live connection too, and without a signal."""
    import zmq
    public, secret = (key.decode() for key in zmq.curve_keypair())
    try:
        cluster.admit("visitor", public)

        def known():
            with Raw(cluster.bundle, keys=(public, secret)) as raw:
                answer = raw.ask(request(sql="SELECT 1"), timeout_s=0.5)
                return answer is not None and answer["ok"]

        wait_until(known, 5, "the visitor is known")
        with Raw(cluster.bundle, keys=(public, secret)) as raw:
            assert raw.ask(request(sql="SELECT 1"))["ok"]
            cluster.dismiss("visitor")
            time.sleep(1.0)
            try:
                answer = raw.ask(request(sql="SELECT 1"), timeout_s=1.0)
            except zmq.Again:
                answer = None  # there is no connection left to send it on
            assert answer is None or answer["error"]["code"] == "FORBIDDEN"
        with portcullis.Client(cluster.bundle) as client:
            assert client.query("SELECT 1").rows == [[1]]
    finally:
        cluster.dismiss("visitor")


def test_a_broken_reload_changes_nothing(cluster):
    keys = pathlib.Path(cluster.info["keys"]["clients"])
    before = keys.read_text()
    try:
        keys.write_text("this is not a key list\n")
        cluster.signal("gatekeeper", signal.SIGHUP)
        time.sleep(0.5)
        with portcullis.Client(cluster.bundle) as client:
            assert client.query("SELECT 1").rows == [[1]]
    finally:
        keys.write_text(before)
        cluster.signal("gatekeeper", signal.SIGHUP)
    time.sleep(0.3)
    with portcullis.Client(cluster.bundle) as client:
        assert client.query("SELECT 1").rows == [[1]]
