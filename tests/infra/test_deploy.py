"""infra/deploy.sh aws: in which order instances are touched, what a switchover does to each half,
and what is left when one of them fails.  The cloud is moto's; what runs on the instances is played
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
POSITION = "0-1001-77"
OUTWARDS = ["proxy1", "broker", "gatekeeper1"]


class Instances:
    """Answers commands to instances as their portcullis-boot and portcullis-node would."""

    def __init__(self, parts):
        self.parts = parts  # {instance id: part}
        self.version = {part: "packages/old 0" for part in parts.values()}
        self.agent = {part: True for part in parts.values()}
        self.enabled = dict(self.agent)
        self.demoted, self.promoted = set(), set()
        self.updated, self.heard, self.answers = [], [], {}
        self.sick_after_update, self.cannot_promote = set(), False

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
        if words[0] == "systemctl":
            self.agent[part] = words[1] in ("start", "enable")
            self.enabled[part] = words[1] == "enable" or (
                self.enabled[part] and words[1] != "disable")
            return 0, ""
        if words[:2] == ["portcullis-node", "demote"]:
            assert not self.agent[part], "an agent would open its source again"
            self.demoted.add(part)
            return 0, f"{POSITION}\n"
        if words[:2] == ["portcullis-node", "promote"]:
            assert not self.agent[part], "an agent would replicate again"
            assert any(not self.agent[one] and not self.enabled[one] for one in self.demoted), \
                "two would take writes, the old source after a restart of its machine"
            assert words[2] == POSITION
            if self.cannot_promote:
                return 1, "this node has not come to 0-1001-77 within 90 s"
            self.promoted.add(part)
            return 0, f"{POSITION}\n"
        assert words in (["true"], ["portcullis-node", "follow"],
                         ["portcullis-boot", "configure"]), words
        return 0, ""


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
        self.instances = Instances(self.parts)
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
    assert planned.code == 0 and not planned.mutating, planned
    done = deployment.deploy("--packages", deployment.new)
    assert done.code == 0, done
    order = [first, second, old, *OUTWARDS]
    assert one.updated == order
    assert (one.demoted, one.promoted) == ({old}, {first})
    assert all(one.agent.values())
    at = next(index for index, (_, text) in enumerate(one.heard) if "demote" in text)
    before = {part for part, text in one.heard[:at] if "boot update" in text}
    assert before == {first, second}, "the old source comes after the switchover"
    assert deployment.role(first) == ("source", None)
    assert deployment.role(old)[0] == deployment.role(second)[0] == "replica"
    assert deployment.role(old)[1] == deployment.role(second)[1] is not None
    again = deployment.deploy("--packages", deployment.new)
    assert again.code == 0, again
    assert one.updated == order and one.promoted == {first}, "what has them is left alone"


def test_a_replica_that_does_not_come_back_ends_it(deployment):
    one, old = deployment.begin(), deployment.source()
    first = next(part for part in ("node1", "node2", "node3") if part != old)
    one.sick_after_update = {first}
    done = deployment.deploy("--packages", deployment.new)
    assert done.code == 1 and f"{first} is not ready" in done.output, done
    assert one.updated == [first] and not one.demoted
    assert deployment.source() == old


def test_a_switchover_that_cannot_be_is_taken_back(deployment):
    one, old = deployment.begin(), deployment.source()
    new = [part for part in ("node1", "node2", "node3") if part != old][-1]
    one.cannot_promote = True
    done = deployment.deploy("--switchover", new)
    assert done.code == 1 and "taken back" in done.output, done
    assert all(one.agent.values()), "the old source takes writes again"
    assert not one.promoted and deployment.source() == old
    one.cannot_promote = False
    done = deployment.deploy("--switchover", new)
    assert done.code == 0, done
    assert one.promoted == {new} and one.updated == []
    assert deployment.source() == new
    told = [part for part, text in one.heard if "boot configure" in text][-3:]
    assert told[-1] == new, "nobody may think that it is the source when another one is opened"


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_switchover_that_was_killed_in_between_goes_on(deployment, carried_out):
    """Before the cluster's memory says who is the source, and before the nodes hear of it."""
    one, old = deployment.begin(), deployment.source()
    new = next(part for part in ("node1", "node2", "node3") if part != old)
    done = deployment.deploy("--switchover", new, kill_at=1, carried_out=carried_out)
    assert done.code == -9, done
    assert one.demoted == {old} and one.promoted == {new}
    assert not one.agent[old] and not one.enabled[old] and not one.agent[new]
    done = deployment.deploy("--switchover", new)
    assert done.code == 0, done
    assert deployment.source() == new
    assert all(one.agent.values()) and all(one.enabled.values())


@pytest.mark.parametrize("words, code", [
    (["--packages", "/nowhere"], 64), (["--switchover", "broker"], 64), (["--wait", "x"], 64),
    (["--nothing"], 64), (["--switchover", "node2", "--packages", str(ROOT)], 64)])
def test_wrong_usage_is_said(session_cloud, words, code):
    done = session_cloud.run(ROOT / "infra/deploy.sh", "aws", "--name", "roll", *words)
    assert done.code == code, done


def test_without_a_cluster_nothing_is_deployed(session_cloud):
    done = session_cloud.run(ROOT / "infra/deploy.sh", "aws", "--name", "another", "--yes")
    assert done.code == 1 and "no cluster another" in done.output, done
