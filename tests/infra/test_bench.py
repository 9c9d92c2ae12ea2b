"""infra/up.sh aws --bench --nat: both are made and taken down, and what the client instance is told
to run is run here, against a cluster of this machine, and its report comes back."""
import json
import os
import re
import subprocess
import threading

import pytest

import checker
import fault_cloud
from cloud import BUILD, REGION, ROOT
from harness import Cluster

OUTPUT_MAX = 24000  # characters of a command's output that AWS keeps
STRATEGIES = ["direct", "random", "round-robin", "least-inflight", "peak-ewma", "c3", "prequal",
              "custom"]
BUNDLE = "/etc/portcullis/secrets/client.bundle"


class Client:
    """The client instance: does what it is told to, in a shell of this machine.  Other instances
    are moto's, where each command succeeds."""

    def __init__(self, bundle, folder):
        self.bundle, self.folder = bundle, folder
        self.heard, self.ends = [], {}  # commands, and {its id: how it ended, None before}

    def before(self, call):
        if call.name == "ssm:SendCommand":
            text = "".join(call.fields["Parameters"]["commands"])
            return self.told(text) if "portcullis-bench" in text else None
        if call.name == "ssm:GetCommandInvocation" and call.fields["CommandId"] in self.ends:
            return self.asked(call)
        return None

    def told(self, text):
        number = f"{len(self.heard):08d}-0000-4000-8000-000000000000"
        self.heard.append(text)
        self.ends[number] = None
        threading.Thread(target=self.run, args=(number, text), daemon=True).start()
        return fault_cloud.as_json({"Command": {"CommandId": number, "Status": "Pending"}})

    def run(self, number, text):
        assert BUNDLE in text
        text = text.replace("/tmp/", f"{self.folder}/").replace(BUNDLE, self.bundle)
        self.ends[number] = subprocess.run(
            ["/bin/sh", "-c", text], capture_output=True, text=True, check=False, timeout=600,
            env={**os.environ, "PATH": f"{BUILD / 'bench' / 'driver'}:{os.environ['PATH']}"})

    def asked(self, call):
        done = self.ends[call.fields["CommandId"]]
        said = {"CommandId": call.fields["CommandId"], "InstanceId": call.fields["InstanceId"],
                "Status": "InProgress", "StandardOutputContent": "", "StandardErrorContent": ""}
        if done:
            said.update(Status="Success" if done.returncode == 0 else "Failed",
                        StandardOutputContent=done.stdout[:OUTPUT_MAX],
                        StandardErrorContent=done.stderr[:OUTPUT_MAX])
        return fault_cloud.as_json(said)


@pytest.fixture
def local(tmp_path):
    """A cluster of two nodes on this machine: the path of its client's bundle."""
    def script(name, *words):
        return subprocess.run([ROOT / "infra" / name, "--var", tmp_path / "var", *words],
                              capture_output=True, text=True, check=True, timeout=300,
                              stdin=subprocess.DEVNULL).stdout
    try:
        script("up.sh", "--no-install", "--no-build", "--build-dir", BUILD, "--nodes", "2")
        bundle = json.loads(script("status.sh", "--json"))["bundle"]
        # A new cluster has no schema.
        subprocess.run([BUILD / "client" / "portcullis", "query", "DROP DATABASE demo"], check=True,
                       env={**os.environ, "PORTCULLIS_BUNDLE": bundle}, timeout=60)
        yield bundle
    finally:
        script("down.sh", "--kill")


def test_the_comparison_comes_back_from_the_client(cloud, local, tmp_path):
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1, bench=True, nat=True)
    client = Client(local, tmp_path)
    done = one.up(faults=[client], environment={
        "PORTCULLIS_AWS_BENCH_LOAD": "--clients 8 --time 0.5 --warmup 0.2 --rounds 3",
        "PORTCULLIS_AWS_POLL_S": "1", "PORTCULLIS_AWS_WAIT_S": "600"})
    print(done.output)
    assert [re.search(r"portcullis-bench (\w+)", text)[1] for text in client.heard] == [
        "fill", "point", "mixed"]
    assert all(len(end.stdout) < OUTPUT_MAX for end in client.ends.values())
    folder = cloud.scratch / "state" / "try" / REGION
    text = (folder / "benchmark_results.txt").read_text()
    page = (folder / "report.html").read_text()
    for workload in ("point", "mixed"):
        rows = json.loads((folder / f"{workload}.json").read_text())["strategies"]
        assert [row["strategy"] for row in rows] == STRATEGIES
        assert all(len(row["rounds"]) == 3 for row in rows) and sum(row["ok"] for row in rows) > 0
        assert workload in text and workload in page
    for name in STRATEGIES:
        assert name in text and name in page
    assert f"{folder}/benchmark_results.txt" in done.output
    facts = one.facts()
    assert checker.check(facts, one.wanted) == []
    assert [nat["State"] for nat in facts.nats] == ["available"]
    kept = next(secret for secret in facts.secrets if secret["Name"].endswith("/client"))
    private = next(instance["PrivateIpAddress"] for instance in facts.instances
                   if checker.part_of(instance) == "gatekeeper1")
    assert f"tcp://{private}:5555" in kept["value"], "the client comes from inside"
    one.down()
    # Of AWS a gateway's interface goes with it; moto keeps it.
    interface = facts.nats[0]["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    assert cloud.inventory() - {("describe-network-interfaces", interface)} == before


def test_a_client_without_results_is_told_of(cloud, tmp_path):
    one = Cluster(cloud, nodes=1, bench=True)
    done = one.up(faults=[Client(str(tmp_path / "none.bundle"), tmp_path)], check=False)
    assert done.code == 3 and "could not be filled" in done.output, done
    assert "is up" in done.output and "none.bundle" in done.output, done
    folder = cloud.scratch / "state" / "try" / REGION
    assert {file.name for file in folder.iterdir()} == {"client.bundle", "lock"}
