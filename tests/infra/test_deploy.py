"""infra/deploy.sh aws: in which order instances are touched, what a switchover says to whom, and
what is left when it fails.  The cloud is moto's; what runs on the instances is played
here, by its rules."""
import hashlib
import io
import os
import pathlib
import re
import tarfile

import pytest

import fault_cloud

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PORTCULLIS_TEST_BUILD", ROOT / "build" / "dev")).resolve()
OUTWARDS = ["proxy1", "broker", "gatekeeper1"]


class Instances:
    """Answers commands to instances as their portcullis-boot and portcullis-node would."""

    def __init__(self, parts, source="node1", term=0):
        self.parts = parts  # {instance id: part}
        self.source, self.term, self.terms = source, term, []  # terms: [(from, to)] of this run
        self.leaves, self.told = set(), set()
        self.nodes = {part for part in parts.values() if part.startswith("node")}
        self.version = {part: "packages/old 0" for part in parts.values()}
        self.agent = {part: True for part in parts.values()}
        self.enabled = dict(self.agent)
        self.updated, self.heard, self.answers = [], [], {}
        self.sick_after_update, self.stays = set(), False

    def before(self, call):
        if call.name == "ssm:SendCommand":
            return self._send(call.fields)
        if call.name == "ssm:GetCommandInvocation":
            code, text = self.answers[call.fields["CommandId"]]
            return fault_cloud.as_json({
                "CommandId": call.fields["CommandId"], "InstanceId": call.fields["InstanceId"],
                "Status": "Success" if code == 0 else "Failed",
                "StandardOutputContent": text if code == 0 else "",
                "StandardErrorContent": "" if code == 0 else text})
        return None

    def _send(self, fields):
        part = self.parts[fields["InstanceIds"][0]]
        text = fields["Parameters"]["commands"][0]
        number = f"{len(self.answers):08d}-0000-4000-8000-000000000000"
        self.heard.append((part, text))
        self.answers[number] = self._all(part, text)
        return fault_cloud.as_json({"Command": {"CommandId": number, "Status": "Pending"}})

    def _all(self, part, text):
        code, said = 0, ""
        for words in re.split(r"\s*&&\s*", text):
            code, said = self._one(part, words.split())
            if code != 0:
                break
        return code, said

    def _one(self, part, words):
        if words[:2] == ["portcullis-boot", "version"]:
            return 0, self.version[part] + "\n"
        if words[:2] == ["portcullis-boot", "status"]:
            sick = not self.agent[part] or (
                part in self.sick_after_update and part in self.updated)
            return (1, "not ready: no proxy") if sick else (0, "ready\n")
        if words[:2] == ["portcullis-boot", "update"]:
            self.updated.append(part)
            self.version[part] = " ".join(words[2:4])
            return 0, "first boot is done\n"
        if words[:2] == ["systemctl", "reload"]:
            self._reload(part)
            return 0, ""
        if words[0] == "systemctl":
            self.agent[part] = words[1] in ("start", "enable")
            self.enabled[part] = words[1] == "enable" or (
                self.enabled[part] and words[1] != "disable")
            return 0, ""
        if words[:2] == ["portcullis-node", "topology"]:
            return 0, f"{self.term} open {self.source}\n" if self.term else "0 none -\n"
        if words[:2] == ["portcullis-node", "leave"]:
            (self.leaves.add if words[2] == "1" else self.leaves.discard)(part)
            return 0, ""
        if words == ["portcullis-boot", "configure"]:
            self.leaves.discard(part)
            return 0, ""
        raise AssertionError(words)

    def _reload(self, part):
        """An agent that is told to leave, and is the source, hands over to whoever may."""
        assert self.agent[part]
        self.told = set(self.leaves)
        others = sorted(self.nodes - self.told)
        if self.source in self.told and others and not self.stays:
            self.term += 1
            self.terms.append((self.source, others))
            self.source = others[0]


class Policies:
    """moto takes what a bucket's policy denies under a condition for denied always."""

    def before(self, call):
        if call.service == "s3" and call.action.startswith("PUT") and '"Statement"' in call.text:
            return 204, {}, b""
        return None


class Deployment:
    """A cluster that up.sh has made, with dummies for packages."""

    def __init__(self, cloud, folder):
        self.cloud, self.folder = cloud, folder
        self.up = self.script("up.sh", "--packages", self.packages("old"), "--nodes", "3",
                              "--no-wait", faults=[Policies()])
        assert self.up.code == 0, self.up
        found = cloud.aws("ec2", "describe-instances")
        tags = {one["InstanceId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]}
                for group in found["Reservations"] for one in group["Instances"]}
        self.parts = {key: value["portcullis:part"] for key, value in tags.items()}
        self.instances, self.new, self.count = None, None, 0

    def begin(self):
        """Other new packages, and instances that do not have them."""
        self.count += 1
        last = self.instances
        self.instances = (Instances(self.parts, last.source, last.term) if last
                          else Instances(self.parts))
        self.new = self.packages(f"new{self.count}")
        return self.instances

    def source(self):
        found = [part for part in ("node1", "node2", "node3") if self.role(part)[0] == "source"]
        assert len(found) == 1, found
        return found[0]

    def packages(self, text):
        folder = self.folder / text
        folder.mkdir()
        (folder / "a.deb").write_text(text)
        sum_ = hashlib.sha256(text.encode()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{sum_}  a.deb\n")
        (folder / "SUM").write_text(
            hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest() + "\n")
        return folder

    def script(self, name, *words, **options):
        return self.cloud.run(
            ROOT / "infra" / name, "aws", "--name", "roll", "--yes", *words,
            environment={"PORTCULLIS_COMMAND": str(BUILD / "client/portcullis"),
                         "PORTCULLIS_AWS_WAIT_S": "10"}, **options)

    def deploy(self, *words, **options):
        return self.script("deploy.sh", *words, faults=[fault_cloud.LateCommand(),
                                                        self.instances], **options)

    def role(self, part):
        """(role, source) of the configuration that a node would fetch."""
        bucket = self.cloud.aws("s3api", "list-buckets")["Buckets"][0]["Name"]
        file = self.folder / f"{part}.tar.gz"
        self.cloud.aws("s3api", "get-object", "--bucket", bucket, "--key",
                       f"config/{part}.tar.gz", str(file))
        with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as archive:
            name = next(one for one in archive.getnames() if one.endswith("worker-agent.cfg"))
            text = archive.extractfile(name).read().decode()
        found = re.search(r'source_host = "(.*)"', text)
        return re.search(r'role = "(\w+)"', text)[1], found and found[1]


@pytest.fixture(scope="module")
def deployment(session_cloud, tmp_path_factory):
    assert (BUILD / "client/portcullis").exists(), "the portcullis command is not built"
    session_cloud.reset()
    return Deployment(session_cloud, tmp_path_factory.mktemp("deploy"))


def test_a_deployment_goes_from_the_inside_out_and_is_done_once(deployment):
    one, old = deployment.begin(), deployment.source()
    first, second = [part for part in ("node1", "node2", "node3") if part != old]
    planned = deployment.deploy("--packages", deployment.new, "--dry-run")
    assert planned.code == 0 and set(planned.mutating) <= {"ssm:SendCommand"}, planned
    assert {text for _, text in one.heard} == {"portcullis-node topology"}, "it only asks"
    done = deployment.deploy("--packages", deployment.new)
    assert done.code == 0, done
    order = [first, second, old, *OUTWARDS]
    assert one.updated == order
    assert one.terms == [(old, [first])], "nobody else might have taken over"
    assert all(one.agent.values()) and not one.leaves
    at = next(index for index, said in enumerate(one.heard)
              if said[0] == old and "leave 1" in said[1])
    before = {part for part, text in one.heard[:at] if "boot update" in text}
    assert before == {first, second}, "the old source comes after the switchover"
    assert deployment.role(first) == ("source", None)
    assert deployment.role(old)[0] == deployment.role(second)[0] == "replica"
    assert deployment.role(old)[1] == deployment.role(second)[1] is not None
    again = deployment.deploy("--packages", deployment.new)
    assert again.code == 0, again
    assert one.updated == order and len(one.terms) == 1, "what has them is left alone"


def test_a_replica_that_does_not_come_back_ends_it(deployment):
    one, old = deployment.begin(), deployment.source()
    first = next(part for part in ("node1", "node2", "node3") if part != old)
    one.sick_after_update = {first}
    done = deployment.deploy("--packages", deployment.new)
    assert done.code == 1 and f"{first} is not ready" in done.output, done
    assert one.updated == [first] and not one.terms
    assert deployment.source() == old


def test_a_switchover_that_cannot_be_is_taken_back(deployment):
    one, old = deployment.begin(), deployment.source()
    new = [part for part in ("node1", "node2", "node3") if part != old][-1]
    one.stays = True
    done = deployment.deploy("--switchover", new, "--wait", "1")
    assert done.code == 1 and f"{old} has not handed over" in done.output, done
    assert all(one.agent.values()) and not one.leaves, "whoever could be the source may be again"
    assert not one.terms and deployment.source() == old
    one.stays = False
    done = deployment.deploy("--switchover", new)
    assert done.code == 0, done
    assert one.terms == [(old, [new])] and one.updated == []
    assert deployment.source() == new
    told = [part for part, text in one.heard if "boot configure" in text][-3:]
    assert told[-1] == new and not one.leaves


def test_a_source_that_changed_by_itself_is_what_counts(deployment):
    """The settings name the one before until somebody looks."""
    one, old = deployment.begin(), deployment.source()
    new = next(part for part in ("node1", "node2", "node3") if part != old)
    one.source, one.term = new, one.term + 1
    done = deployment.deploy("--switchover", new)
    assert done.code == 0 and f"{new} is the source already" in done.output, done
    assert not one.terms and deployment.source() == new
    done = deployment.deploy("--switchover", old, "--dry-run")
    assert done.code == 0 and f"the source is {new}" in done.output, done


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_switchover_that_was_killed_in_between_goes_on(deployment, carried_out):
    """Before the cluster's memory says who is the source, and before the nodes hear of it."""
    one, old = deployment.begin(), deployment.source()
    new = next(part for part in ("node1", "node2", "node3") if part != old)
    done = deployment.deploy("--switchover", new, kill_at=1, carried_out=carried_out)
    assert done.code == -9, done
    assert one.terms == [(old, [new])] and deployment.source() == old
    done = deployment.deploy("--switchover", new)
    assert done.code == 0, done
    assert deployment.source() == new and len(one.terms) == 1
    assert all(one.agent.values()) and all(one.enabled.values()) and not one.leaves


@pytest.mark.parametrize("words, code", [
    (["--packages", "/nowhere"], 64), (["--switchover", "broker"], 64), (["--wait", "x"], 64),
    (["--nothing"], 64), (["--switchover", "node2", "--packages", str(ROOT)], 64)])
def test_wrong_usage_is_said(session_cloud, words, code):
    done = session_cloud.run(ROOT / "infra/deploy.sh", "aws", "--name", "roll", *words)
    assert done.code == code, done


def test_without_a_cluster_nothing_is_deployed(session_cloud):
    done = session_cloud.run(ROOT / "infra/deploy.sh", "aws", "--name", "another", "--yes")
    assert done.code == 1 and "no cluster another" in done.output, done
