"""infra/up.sh aws and its like, against a cloud that forgets and fails: what they make, what they
leave alone, and that whatever they were killed at, the next run puts it right."""
import collections
import functools
import io
import json
import os
import random
import re
import tarfile
import types

import pytest

import broken
import checker
import cloud as clouds
import fault_cloud
from cloud import REGION
import harness
from harness import Cluster, names

BAR = os.environ.get("PORTCULLIS_TEST_BAR") == "1"
# Of three nodes and two proxies: each costs an operator half a second of processor time.
UP_CALLS_MAX, DOWN_CALLS_MAX = 150, 130
# Asked of the instances, and no change of anything.
ASKING = {"ssm:SendCommand"}


def seed_of(what):
    seed = int(os.environ.get("PCL_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"{what}: PCL_TEST_SEED={seed}")
    return seed


def changes(done):
    return [name for name in done.mutating if name not in ASKING]


def neighbour(cloud):
    """Things of another cluster, one of each kind that one could be mistaken in."""
    tag = "{Key=portcullis:cluster,Value=try2},{Key=portcullis:part,Value=%s}"
    loose = ["Key=portcullis:cluster,Value=try2", "Key=portcullis:part,Value=node1"]

    def tagged(kind, part):
        return ["--tag-specifications", f"ResourceType={kind},Tags=[{tag % part}]"]
    with cloud.asking():
        vpc = cloud.ask("ec2", "create-vpc", "--cidr-block", "10.77.0.0/16",
                        *tagged("vpc", "vpc"))["Vpc"]["VpcId"]
        subnet = cloud.ask("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.77.11.0/24",
                           *tagged("subnet", "private-1"))["Subnet"]["SubnetId"]
        cloud.ask("ec2", "create-security-group", "--vpc-id", vpc, "--group-name", "try2-node",
                  "--description", "x", *tagged("security-group", "sg-node"))
        cloud.ask("ec2", "run-instances", "--image-id", fault_cloud.IMAGE, "--subnet-id", subnet,
                  *tagged("instance", "node1"))
        cloud.ask("ec2", "allocate-address", "--domain", "vpc",
                  *tagged("elastic-ip", "eip-gatekeeper1"))
        cloud.ask("secretsmanager", "create-secret", "--name", "portcullis/try2/node1",
                  "--secret-string", "a", "--tags", *loose)
        # Roles and profiles are of all regions: those of the same name in another one, too.
        for other in (f"try2-{REGION}", "try-us-east-1"):
            path = f"/portcullis/{other.replace('-', '/', 1)}/"
            cloud.ask("iam", "create-role", "--role-name", f"portcullis-{other}-node1", "--path",
                      path, "--assume-role-policy-document", json.dumps(broken.TRUST_ALL),
                      "--tags", *loose)
            cloud.ask("iam", "create-instance-profile", "--instance-profile-name",
                      f"portcullis-{other}-node1", "--path", path, "--tags", *loose)
        cloud.ask("s3api", "create-bucket", "--bucket", "portcullis-try2-123456789012-eu-central-1",
                  "--create-bucket-configuration", "LocationConstraint=eu-central-1")


@pytest.fixture(scope="module")
def whole(session_cloud):
    """A cluster that is up, beside things of another one, that no test may touch."""
    session_cloud.reset()
    neighbour(session_cloud)
    before = session_cloud.inventory()
    one = Cluster(session_cloud, "try", nodes=3, proxies=2, client_cidr="198.51.100.0/24")
    one.made = one.timed("up")
    one.before = before
    return one


# --- A cluster that is up ------------------------------------------------------------

def test_up_makes_a_cluster_as_promised(whole):
    print(names(whole.made.mutating))
    assert whole.check() == []
    assert len(whole.made.calls) <= UP_CALLS_MAX, names(call.name for call in whole.made.calls)


def settings_of(bucket, part):
    """The text of a part's configuration, as its instance gets it."""
    packed = bucket["files"][f"config/{part}.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        one = next(name for name in archive.getnames() if name.endswith(".cfg")
                   and not name.endswith("policy.cfg"))
        return archive.extractfile(one).read().decode()


def test_broker_and_agents_are_told_of_each_proxy(whole):
    """And a proxy prefers the nodes of its own zone."""
    facts = whole.facts()
    address = {checker.part_of(instance): instance["PrivateIpAddress"]
               for instance in facts.instances}
    bucket = next(bucket for bucket in facts.buckets if bucket["files"])
    for part, port in (("broker", 5557), ("node1", 5558), ("node2", 5558), ("node3", 5558)):
        text = settings_of(bucket, part)
        sections = dict(re.findall(r'(?m)^(proxy\d?)\n    endpoint = "tcp://([0-9.:]+)"', text))
        assert sections == {"proxy": f"{address['proxy1']}:{port}",
                            "proxy2": f"{address['proxy2']}:{port}"}, text
    for part in ("node1", "node2"):
        topology = settings_of(bucket, part).split("\ntopology\n")[1].split("\naws\n")[0]
        assert f'host = "{address[part]}"' in topology, "where others reach its database"
        assert 'state_file = "/var/lib/portcullis-worker-agent/topology"' in topology
    zones = [re.search(r'zone = "(.+)"', settings_of(bucket, part))[1]
             for part in ("proxy1", "proxy2")]
    assert zones[0] != zones[1], zones


def test_proxies_grow_and_do_not_shrink(whole):
    done = whole.up("--proxies", "3", "--dry-run", yes=False)
    assert "instance proxy3" in done.output and "instance proxy2" not in done.output, done
    assert changes(done) == [], done
    done = whole.up("--proxies", "1", "--dry-run", yes=False, check=False)
    assert done.code == 1 and "does not shrink" in done.output, done


def test_up_says_where_the_bundle_is_and_what_to_run_first(whole):
    bundles = list((whole.cloud.scratch / "state" / "try" / REGION).glob("*.bundle"))
    assert len(bundles) == 1
    assert str(bundles[0]) in whole.made.output
    assert bundles[0].stat().st_mode & 0o777 in (0o600, 0o400)
    assert bundles[0].parent.stat().st_mode & 0o777 == 0o700
    assert re.search(r"portcullis .*(query|ping)", whole.made.output)
    address = whole.cloud.aws("ec2", "describe-addresses", "--filters",
                              "Name=tag:portcullis:cluster,Values=try")["Addresses"][0]
    assert f"{address['PublicIp']}:5555" in bundles[0].read_text()


def test_no_secret_is_told(whole):
    """On the terminal, or in a file that others may read."""
    found = whole.cloud.aws("secretsmanager", "get-secret-value", "--secret-id",
                            "portcullis/try/node1")
    files = json.loads(found["SecretString"])["files"]
    words = [line for name, text in files.items() if name.endswith(".password")
             for line in text.split()]
    words += re.findall(r'secret-key\s*=\s*"([^"]+)"', files["agent.key"])
    assert len(words) >= 4
    assert not [word for word in words if word in whole.made.output]


def test_up_again_changes_nothing(whole):
    done = whole.up("--client-cidr", "198.51.100.77/24")  # the same network
    assert changes(done) == [], done
    assert len(done.calls) > 10
    assert whole.check() == []


def test_dry_run_of_what_is_there_says_so_and_changes_nothing(whole):
    done = whole.up("--dry-run", yes=False)
    assert changes(done) == [], done


def test_a_cluster_stays_in_its_own_network(whole):
    """Whatever network the operator's other clusters are made in."""
    done = whole.up("--dry-run", "--vpc-id", "vpc-1", "--subnet-id", "subnet-1", yes=False,
                    check=False)
    assert done.code == 1 and "has a VPC of its own" in done.output, done
    folder = whole.cloud.home / ".aws"
    folder.mkdir(exist_ok=True)
    try:
        for what in ("vpc", "subnet"):
            (folder / f"{what}_id.txt").write_text(f"{what}-1\n")
        assert "nothing to change" in whole.up("--dry-run", yes=False).output
    finally:
        for what in ("vpc", "subnet"):
            (folder / f"{what}_id.txt").unlink()


def test_status_shows_every_part(whole):
    done = whole.script("status.sh")
    for part in ("gatekeeper1", "broker", "proxy1", "node1", "node2", "node3"):
        assert re.search(rf"\b{part}\b", done.output), done
    assert changes(done) == []
    seen = json.loads(whole.script("status.sh", "--json").output)
    assert "node3" in json.dumps(seen)


def test_status_of_a_cluster_that_is_not_there(whole):
    nobody = Cluster(whole.cloud, "nobody")
    done = nobody.script("status.sh", check=False)
    assert done.code not in (0, 64) and changes(done) == []
    assert "nobody" in done.output


def test_ssh_runs_a_command_on_a_node(whole):
    done = whole.script("ssh.sh", "node2", "--", "true")
    sent = [call for call in done.calls if call.name == "ssm:SendCommand"]
    assert [call.fields["InstanceIds"] for call in sent] == [[whole.instance("node2")]]
    done = whole.script("ssh.sh", "node9", "--", "true", check=False)
    assert done.code != 0 and done.mutating == []


class SourceBoots:
    """A source that cannot open its door to a new replica when it is told for the first time; the
    replica is not well before that."""

    def __init__(self):
        self.told = []  # commands

    def before(self, call):
        if call.name == "ssm:ListCommands" and len(self.told) == 1:
            return fault_cloud.as_json({"Commands": [{"Status": "Failed", "TargetCount": 6}]})
        if call.name == "ssm:ListCommandInvocations":
            return fault_cloud.as_json({"CommandInvocations": []})
        ident = call.fields.get("CommandId")
        if call.name != "ssm:GetCommandInvocation" or ident not in self.told[:1]:
            return None
        return fault_cloud.as_json({
            "CommandId": ident, "InstanceId": call.fields["InstanceId"], "Status": "Failed",
            "StandardOutputContent": "", "StandardErrorContent": "first boot goes on"})

    def after(self, call, answer):
        if call.name == "ssm:SendCommand" and "donor-open" in call.text:
            self.told.append(json.loads(answer[2])["Command"]["CommandId"])
        return answer


class DoorStays:
    """A source that cannot close its door when it is told for the first time."""

    def __init__(self):
        self.told = []  # commands

    def before(self, call):
        if call.name != "ssm:GetCommandInvocation" \
                or call.fields["CommandId"] not in self.told[:1]:
            return None
        return fault_cloud.as_json({
            "CommandId": call.fields["CommandId"], "InstanceId": call.fields["InstanceId"],
            "Status": "Failed", "StandardOutputContent": "", "StandardErrorContent": "busy"})

    def after(self, call, answer):
        if call.name == "ssm:SendCommand" and "donor-close" in call.text:
            self.told.append(json.loads(answer[2])["Command"]["CommandId"])
        return answer


def donors(whole):
    """Instances for which the source's door is open."""
    tags = whole.cloud.aws("ec2", "describe-tags", "--filters",
                           "Name=key,Values=portcullis:donor")["Tags"]
    return [tag["ResourceId"] for tag in tags]


@pytest.mark.parametrize("part", ["node2", "gatekeeper1"])
def test_an_instance_that_is_gone_is_made_again_and_nothing_else(whole, part):
    lost = whole.instance(part)
    whole.cloud.aws("ec2", "terminate-instances", "--instance-ids", lost)
    assert whole.script("status.sh", check=False).code == 3
    others = {one: whole.instance(one) for one in ("node1", "node3", "broker", "proxy1")}
    source = SourceBoots()
    door = DoorStays()
    done = whole.up(faults=[source, door])
    assert len(source.told) == (2 if part == "node2" else 0), "told again, and then no more"
    assert donors(whole) == ([whole.instance(part)] if part == "node2" else []), done
    assert (changes(whole.up(faults=[door])) == ["ec2:DeleteTags"]) == (part == "node2")
    assert len(door.told) == (2 if part == "node2" else 0) and donors(whole) == []
    assert changes(done).count("ec2:RunInstances") == 1, done
    # Its donor is a tag, until it has cloned.
    assert not [name for name in changes(done) if re.search("Delete(?!Tags)|Terminate", name)]
    assert whole.instance(part) != lost
    assert {one: whole.instance(one) for one in others} == others
    assert whole.check() == []


def test_a_replica_that_is_made_later_clones_from_the_source(whole):
    facts = whole.facts()
    data = facts.user_data
    source = next(one["PrivateIpAddress"] for one in facts.instances
                  if one["InstanceId"] == whole.instance("node1"))
    assert re.search(rf"^readonly DONOR='{re.escape(source)}'$", data["node2"], re.M)
    assert re.search("^readonly DONOR=(''|)$", data["node3"], re.M)


class Positions:
    """Replicas that say how much of the source's they have, or who the source is (`topology`); None
    is no answer."""

    def __init__(self, said, word="position"):
        self.said, self.asked = said, {}  # {instance: position}, {command: instance}
        self.word = f"portcullis-node {word}"

    def after(self, call, answer):
        if call.name == "ssm:SendCommand" and len(call.fields.get("InstanceIds", [])) == 1:
            words = "".join(call.fields["Parameters"]["commands"])
            if self.word in words and "promote" not in words:
                ident = json.loads(answer[2])["Command"]["CommandId"]
                self.asked[ident] = call.fields["InstanceIds"][0]
        return answer

    def before(self, call):
        instance = self.asked.get(call.fields.get("CommandId"))
        if call.name != "ssm:GetCommandInvocation" or not instance:
            return None
        said = self.said[instance]
        return fault_cloud.as_json({
            "CommandId": call.fields["CommandId"], "InstanceId": instance,
            "Status": "Success" if said else "Failed",
            "StandardOutputContent": f"{said or ''}\n", "StandardErrorContent": ""})


class Ending:
    """An instance that was terminated and has not come to its end for the next looks."""

    def __init__(self, instance, looks):
        self.instance, self.looks = instance, looks

    def before(self, call):
        if call.name != "ec2:DescribeInstances" or "shutting-down" not in call.text \
                or self.looks == 0:
            return None
        self.looks -= 1
        return 200, {"Content-Type": "text/xml"}, (
            '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            "<requestId>0</requestId><reservationSet><item><instancesSet><item>"
            f"<instanceId>{self.instance}</instanceId></item></instancesSet></item>"
            "</reservationSet></DescribeInstancesResponse>").encode()


def no_write_is_given_up(whole, old):
    """Unless the operator says so; and none is made the source before the old one has ended."""
    for silence in (" ", None):  # a database that does not answer, and an instance
        positions = Positions({whole.instance("node2"): "0-1001-999",
                               whole.instance("node3"): silence})
        done = whole.up(faults=[positions], check=False)
        assert done.code == 1 and changes(done) == [], done
        assert "node3 cannot be asked" in done.output and "--accept-loss" in done.output, done
    ending = Ending(old, 2)
    done = whole.up("--accept-loss", "--dry-run", yes=False, faults=[positions, ending])
    assert "node2 has most of its data" in done.output and changes(done) == [], done
    assert ending.looks == 0 and "waiting for its end" in done.output, done


def test_a_replica_takes_the_place_of_a_source_that_is_gone(whole):
    """Before a new and empty one is made, which would take the data from all of them."""
    old = whole.instance("node1")
    whole.cloud.aws("ec2", "terminate-instances", "--instance-ids", old)
    no_write_is_given_up(whole, old)
    positions = Positions({whole.instance("node2"): "0-1001-999",
                           whole.instance("node3"): "0-1001-1002"})
    known = Positions(dict.fromkeys(positions.said, "4 open node1"), "topology")
    done = whole.up(faults=[positions, known])
    assert set(positions.asked.values()) == set(known.asked.values()) == set(positions.said), done
    said = [(call.fields.get("InstanceIds"), "".join(call.fields["Parameters"]["commands"]))
            if call.name == "ssm:SendCommand" else ([], call.name) for call in done.calls]
    promoted = [number for number, (_, words) in enumerate(said)
                if "portcullis-node promote" in words]
    made = [number for number, (_, words) in enumerate(said) if words == "ec2:RunInstances"]
    assert len(promoted) == 1 and len(made) == 1 and promoted[0] < made[0], done
    assert "systemctl stop portcullis-worker-agent" in said[promoted[0]][1]
    facts = whole.facts()
    source = next(one for one in facts.instances if [one["InstanceId"]] == said[promoted[0]][0])
    assert checker.part_of(source) == "node3", "it has most"
    lost = next(one for one in facts.instances if checker.part_of(one) == "node1")
    assert f"portcullis-node succeed 6 node1 {lost['PrivateIpAddress']}" in said[promoted[0]][1], \
        "of a later term than the one of which the others know, and one that only it knew"
    assert f"readonly DONOR='{source['PrivateIpAddress']}'\n" in facts.user_data["node1"]
    assert checker.check(facts, whole.wanted) == []
    assert f"source {checker.part_of(source)}" in whole.script("status.sh").output


def test_the_nodes_are_asked_who_the_source_is(whole):
    """One that handed over by itself is not what the settings say."""
    known = Positions({whole.instance("node1"): "6 open node3", whole.instance("node2"): None,
                       whole.instance("node3"): "7 open node1"}, "topology")
    assert "source node1 of term 7" in whole.script("status.sh", faults=[known]).output
    done = whole.up("--dry-run", yes=False, faults=[known])
    assert changes(done) == [], done
    for words in ("secret cluster: settings", "configuration of node1", "configuration of node3"):
        assert f"+ {words}" in done.output, done


def test_what_was_opened_by_hand_is_closed_again(whole):
    groups = {tag["Value"]: one["GroupId"] for one in whole.cloud.aws(
        "ec2", "describe-security-groups", "--filters",
        "Name=tag:portcullis:cluster,Values=try")["SecurityGroups"]
        for tag in one["Tags"] if tag["Key"] == "portcullis:part"}
    whole.cloud.aws("ec2", "authorize-security-group-ingress", "--group-id", groups["sg-node"],
                    "--protocol", "tcp", "--port", "3306", "--cidr", "0.0.0.0/0")
    assert whole.check() != []
    whole.up()
    assert whole.check() == []


def test_each_rule_of_the_checker_fails_on_what_was_broken(whole):
    cloud = whole.cloud
    facts = whole.facts()
    assert checker.check(facts, whole.wanted) == []
    secret = next(word for name, word in checker.secret_words(facts) if name.endswith("/node1"))
    breaker = broken.Breaker(whole, facts)
    with cloud.asking():
        breaker.network()
        breaker.chain()
        breaker.machines()
        breaker.template(secret)
        breaker.rights()
        breaker.bucket(secret, cloud.put)
    facts = whole.facts()
    breaker.memory()(facts)
    with cloud.asking():
        for words in breaker.undo:
            cloud.ask(*words)
    wrong = checker.check(facts, whole.wanted)
    unseen = [f"{rule}: {words}" for rule, words in breaker.expected
              if not any(re.search(f"^{rule}: .*{words}", one) for one in wrong)]
    assert unseen == [], wrong
    assert {rule for rule, _ in breaker.expected} == set(checker.RULES)


def test_a_checker_that_sees_nothing_fails():
    nothing = types.SimpleNamespace(name="none", region="none", **{field: [] for field in (
        "instances", "vpc_ids", "vpcs", "subnets", "tables", "gateways", "nats", "groups",
        "endpoints", "interfaces", "addresses", "volumes", "templates", "roles", "profiles",
        "secrets", "buckets")}, versions={}, user_data={}, role_tags={}, part_of_group={})
    for rule in checker.RULES:
        assert checker.check(nothing, checker.wanted_of(), [rule]) != [], rule


def test_down_without_a_yes_deletes_nothing(whole):
    done = whole.script("down.sh", check=False)
    assert done.code == 64 and done.mutating == [], done
    done = whole.script("down.sh", "--dry-run")
    assert done.mutating == [], done
    assert whole.instance("node1") in done.output


def test_down_leaves_nothing_and_does_not_touch_another_cluster(whole):
    done = whole.timed("down")
    left = whole.cloud.inventory()
    assert left == whole.before, (left ^ whole.before, done)
    assert len(done.calls) <= DOWN_CALLS_MAX, names(call.name for call in done.calls)
    done = whole.down()
    assert done.mutating == [], done


# --- Before anything is made -----------------------------------------------------------

class Refuse:
    """Answers an action with an error of one's own."""

    def __init__(self, action, code):
        self.action, self.code, self.made = action, code, 0

    def before(self, call):
        if call.action != self.action:
            return None
        self.made += 1
        return fault_cloud.error(call, 403, self.code, "not for you")


class Little:
    """A quota that holds nothing."""

    made = 0

    def before(self, call):
        if call.service != "servicequotas":
            return None
        self.made += 1
        little = {**fault_cloud.quota(call.fields.get("QuotaCode")), "Value": 1.0}
        return fault_cloud.as_json({"Quota": little, "Quotas": [little]})


def test_dry_run_tells_the_plan_with_prices_and_changes_nothing(cloud):
    before = cloud.inventory()
    done = Cluster(cloud).up("--dry-run", yes=False)
    assert done.mutating == [], done
    assert cloud.inventory() == before
    for word in ("gatekeeper1", "node3", "VPC", "bucket", "secret"):
        assert word in done.output, done
    assert re.search(r"[1-9]\d* a month|\d\.\d+ an hour", done.output), done


def test_dry_run_makes_no_packages(cloud, tmp_path):
    """They are in its plan; and into a folder of the operator's it writes nothing."""
    made = clouds.ROOT / "build" / "packages" / "ubuntu-22.04"
    if made.exists():
        pytest.skip(f"{made} is there: nothing would be made")
    done = cloud.run(clouds.ROOT / "infra" / "up.sh", "aws", "--name", "try", "--dry-run",
                     "--release", "ubuntu-22.04")
    assert done.code == 0 and done.mutating == [] and not made.exists(), done
    assert "+ packages of ubuntu-22.04 (infra/package.sh)" in done.output, done
    given = harness.packages(tmp_path / "packages")
    (given / "SUM").unlink()
    done = cloud.run(clouds.ROOT / "infra" / "up.sh", "aws", "--name", "try", "--dry-run",
                     "--packages", given)
    assert done.code == 0 and not (given / "SUM").exists(), done


def test_prices_are_those_of_the_price_list(cloud):
    done = Cluster(cloud, nodes=2).up("--dry-run", "--instance-type", "client=t3.micro",
                                      "--instance-type", "proxy=x9.huge", "--bench", yes=False)
    asked = [{one["Field"]: one["Value"] for one in call.fields["Filters"]}
             for call in done.calls if call.name == "pricing:GetProducts"]
    assert {one["regionCode"] for one in asked} == {REGION}
    assert sorted(one.get("instanceType", "-") for one in asked) == [
        "-", "c6i.large", "m6i.large", "t3.micro", "x9.huge"]
    assert all(one["tenancy"] == "Shared" and one["operatingSystem"] == "Linux"
               and one["preInstalledSw"] == "NA" and one["capacitystatus"] == "Used"
               for one in asked if "instanceType" in one)
    for line in ("0.2300  2 x m6i.large, by AWS's price list",
                 "0.1940  2 x c6i.large, by AWS's price list",
                 "0.0104  1 x t3.micro, an estimate", "?  1 x x9.huge",
                 "0.0156  120 GB of volumes, by AWS's price list", "the price of x9.huge"):
        assert line in done.output, done


@pytest.mark.parametrize("code, tries", [("AccessDeniedException", 1), ("ThrottlingException", 2)])
def test_a_price_list_that_does_not_answer_is_said_and_stops_nothing(cloud, code, tries):
    fault = Refuse("GetProducts", code)
    done = Cluster(cloud).up("--dry-run", yes=False, faults=[fault], environment={
        "AWS_MAX_ATTEMPTS": "1"})
    assert f"AWS's price list was not told: pricing get-products: " in done.output, done
    assert code in done.output and "3 x m6i.large, an estimate" in done.output, done
    assert "by AWS's price list" not in done.output and fault.made == 3 * tries, done


def test_quotas_that_may_not_be_asked_are_said_and_stop_nothing(cloud):
    fault = Refuse("GetServiceQuota", "AccessDeniedException")
    done = Cluster(cloud).up("--dry-run", yes=False, faults=[fault])
    assert done.output.count("the quota could not be asked") == 3 and fault.made == 3, done


def test_who_asks_and_where_is_said_first(cloud):
    done = Cluster(cloud).up("--dry-run", yes=False)
    first = done.output.splitlines()[0]
    assert f"try in {REGION}: account 123456789012, as arn:aws:" in first, done


def test_settings_come_from_the_environment_and_a_file(cloud, tmp_path):
    """The environment before the file, and an option before both."""
    file = tmp_path / "aws.env"
    file.write_text("# of this checkout\nPORTCULLIS_AWS_NODES=5\nexport PORTCULLIS_AWS_PROXIES=2\n"
                    "PORTCULLIS_AWS_NAME=filed\nPORTCULLIS_AWS_GATEKEEPERS=3\n")
    done = cloud.run(clouds.ROOT / "infra" / "up.sh", "aws", "--dry-run", "--gatekeepers", "1",
                     "--packages", Cluster(cloud).packages, environment={
                         "PORTCULLIS_AWS_ENV": str(file), "PORTCULLIS_AWS_NODES": "2"})
    assert done.code == 0 and done.mutating == [], done
    for there, word in ((True, "filed in"), (True, "instance node2"), (False, "node3"),
                        (True, "instance proxy2"), (False, "gatekeeper2")):
        assert (word in done.output) == there, (word, done)


def test_a_type_of_one_tier_stands_before_the_environment(cloud):
    done = Cluster(cloud, nodes=2).up(
        "--dry-run", "--instance-type", "broker=c6i.xlarge", yes=False,
        environment={"PORTCULLIS_AWS_INSTANCE_TYPE": "t3.medium"})
    assert "1 x c6i.xlarge" in done.output and "4 x t3.medium" in done.output, done


@pytest.mark.parametrize("words, said", [
    (["--nat"], ["NAT gateway"]),
    (["--gatekeepers", "2"], ["instance gatekeeper1", "instance gatekeeper2", "eip-gatekeeper2"]),
    (["--proxies", "3"], ["instance proxy1", "instance proxy3", "secret proxy3"]),
    (["--flavor", "mysql", "--release", "ubuntu-24.04", "--nodes", "2"], ["instance node2"]),
    (["--release", "ubuntu-22.04"], ["instance node1"]),
    (["--bench"], ["instance client", "security group sg-client"]),
    (["--zones", "1"], ["subnet private-1"])], ids=lambda one: one[0].lstrip("-"))
def test_a_plan_of_other_shapes(cloud, words, said):
    done = Cluster(cloud).up("--dry-run", *words, yes=False)
    assert done.mutating == [], done
    assert not [word for word in said if word not in done.output], done
    assert ("gatekeeper2" in done.output) == ("--gatekeepers" in words)
    assert ("node3" in done.output) == ("--nodes" not in words)
    assert ("private-2" in done.output) == ("--zones" not in words)


@pytest.mark.parametrize("words, holds, code, said", [
    (["--release", "ubuntu-20.04"], "mariadb", 64, "12, 13, ubuntu-22.04 or ubuntu-24.04"),
    (["--flavor", "mysql"], "mariadb", 1, "Debian has no MySQL server"),
    (["--flavor", "mysql", "--release", "ubuntu-24.04"], "mariadb", 1, "this cluster has mysql"),
    (["--release", "13"], "mysql", 1, "this cluster has mariadb")])
def test_what_no_instance_could_boot_with_is_refused(cloud, tmp_path, words, holds, code, said):
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "SHA256SUMS").write_text(f"{'0' * 64}  {holds}-server_1_all.deb\n")
    done = Cluster(cloud).up("--dry-run", "--packages", packages, *words, yes=False, check=False)
    assert done.code == code and said in done.output and done.mutating == [], done


def test_without_a_terminal_up_wants_a_yes(cloud):
    done = Cluster(cloud).up(yes=False, check=False)
    assert done.code == 64 and done.mutating == [], done


def test_credentials_that_are_refused_end_it_before_it_begins(cloud):
    fault = Refuse("GetCallerIdentity", "InvalidClientTokenId")
    done = Cluster(cloud).up(check=False, faults=[fault])
    assert done.code == 1 and done.mutating == [] and fault.made, done
    assert f"credentials of this machine in {REGION}" in done.output


def test_a_quota_that_is_too_small_ends_it_before_it_begins(cloud):
    fault = Little()
    done = Cluster(cloud).up(check=False, faults=[fault])
    assert done.code == 1 and done.mutating == [] and fault.made, done
    assert "quota" in done.output.lower()


def test_processors_are_counted_of_any_type(cloud):
    """AWS is asked for those of types that are rarely taken."""
    done = Cluster(cloud).up("--dry-run", "--instance-type", "node=m6i.large", "--instance-type",
                             "broker=c6i.8xlarge", yes=False)
    assert "processors of standard instances: 42 more" in done.output, done  # 3 x 2, 2 x 2, 32


@pytest.mark.parametrize("words", [["--nodes", "0"], ["--nodes", "many"], ["--nope"],
                         ["--client-cidr", "everyone"], ["--client-cidr", "999.0.0.0/8"],
                         ["--client-cidr", "10.0.0.0/33"], ["--name", "Not A Name"],
                         ["--instance-type", "m7g.large"], ["--instance-type", "node=t4g.small"]])
def test_wrong_arguments_are_refused_with_a_word(cloud, words):
    done = Cluster(cloud).script("up.sh", "--yes", *words, check=False)
    assert done.code == 64 and done.calls == [] or done.mutating == [] and done.code == 64, done
    assert done.output.strip()


# --- In a network that is there ----------------------------------------------------------

def test_a_network_of_the_operators_own_is_used_and_left(cloud):
    vpc = cloud.aws("ec2", "create-vpc", "--cidr-block", "10.50.0.0/16",
                    "--amazon-provided-ipv6-cidr-block")["Vpc"]["VpcId"]
    subnet = cloud.aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block",
                       "10.50.1.0/24")["Subnet"]["SubnetId"]
    gateway = cloud.aws("ec2", "create-internet-gateway")["InternetGateway"]["InternetGatewayId"]
    with cloud.asking():
        cloud.ask("ec2", "attach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id",
                  gateway)
        others, shared = (
            cloud.ask("ec2", "create-security-group", "--vpc-id", vpc, "--group-name", name,
                      "--description", "x")["GroupId"] for name in ("others", "shared"))
        for service in ("ssm", "ssmmessages"):  # of one group, as they often are
            cloud.ask("ec2", "create-vpc-endpoint", "--vpc-id", vpc, "--vpc-endpoint-type",
                      "Interface", "--service-name", f"com.amazonaws.{REGION}.{service}",
                      "--subnet-ids", subnet, "--security-group-ids", shared)
    before = cloud.inventory()
    folder = cloud.home / ".aws"
    folder.mkdir(exist_ok=True)
    (folder / "vpc_id.txt").write_text(vpc + "\n")
    (folder / "subnet_id.txt").write_text(subnet + "\n")
    try:
        one = Cluster(cloud, nodes=1, foreign_vpc=True)
        done = one.up(check=False)
        assert done.code == 1 and done.mutating == [], done
        assert "--enable-dns-hostnames" in done.output, done
        cloud.aws("ec2", "modify-vpc-attribute", "--vpc-id", vpc, "--enable-dns-hostnames")
        done = one.up()
        # AWS refuses a rule that stands twice in a call; moto does not.
        ways = [call.text.count(shared) for call in done.calls
                if call.name == "ec2:AuthorizeSecurityGroupEgress"]
        assert set(ways) == {1} and len(ways) >= 4, done
        facts = one.facts()
        # Others who live there come to AWS's services the same way from now on.
        assert ("endpoint", 443, "cidr", "10.50.0.0/16") in set(
            checker.group_rules(facts, "IpPermissions"))
        gate = next(end for end in facts.endpoints if end["VpcEndpointType"] == "Gateway")
        assert "portcullis" not in str(gate.get("PolicyDocument")), gate
        assert others not in str(facts.endpoints)
        found = facts.instances
        assert {instance["VpcId"] for instance in found} == {vpc}
        assert {instance["SubnetId"] for instance in found} >= {subnet}
        assert changes(one.up()) == []
        one.down()
        assert cloud.inventory() == before
    finally:
        (folder / "vpc_id.txt").unlink()
        (folder / "subnet_id.txt").unlink()


# --- Killed ------------------------------------------------------------------------------

def killed_at_every_step(run):
    """Runs it, killed each time at the first call of a kind at which it was not killed before,
    which was carried out and of which it does not hear, until it comes to its end: at which."""
    met = []
    while True:
        done = run(check=False, kill_at=lambda call: call.kind not in met)
        if done.code == 0:
            return met
        assert done.code == -9 and done.killed, f"{done!r}\nafter {met}"
        met.append(done.killed.kind)


def killed_at_every_call(run, chance):
    """Runs it, killed each time at the first call that changes something, until none is left; at
    a later one where that was met before, since some is done again from its beginning."""
    kills, met, at = [], collections.Counter(), 1
    while True:
        done = run(check=False, kill_at=at, carried_out=chance.random() < 0.8)
        if done.code == 0:
            return kills
        assert done.code == -9 and done.killed_at, f"{done!r}\nafter {kills}"
        call = (done.killed.name, done.killed.path, done.killed.text)
        met[call] += 1
        at = met[call]
        kills.append(done.killed_at)
        assert len(kills) < 400, kills


def test_up_and_down_that_are_killed_at_each_step_come_to_their_end(cloud):
    """Each run goes on where the last was killed, and dies one step further."""
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1)
    alone = {"PORTCULLIS_AWS_JOBS": "1"}  # so that no other step is done beside the last
    kills = killed_at_every_step(functools.partial(one.up, environment=alone))
    print(f"up was killed {len(kills)} times: {kills}")
    assert len(kills) > 25
    assert changes(one.up()) == []
    assert one.check() == []
    kills = killed_at_every_step(functools.partial(one.down, environment=alone))
    print(f"down was killed {len(kills)} times: {kills}")
    assert len(kills) > 15
    assert cloud.inventory() == before


@pytest.mark.skipif(not BAR, reason="minutes of processor time; PORTCULLIS_TEST_BAR=1 has it")
def test_up_and_down_that_are_killed_at_every_call_come_to_their_end(cloud):
    """After its call was carried out and before it heard so, or before."""
    chance = random.Random(seed_of("killed"))
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1)
    # Waiting asks instances with a call that counts as a change.
    kills = killed_at_every_call(functools.partial(one.up, "--no-wait"), chance)
    print(f"up was killed {len(kills)} times: {names(kills)}")
    assert len(kills) > 40
    assert changes(one.up()) == []
    assert one.check() == []
    kills = killed_at_every_call(one.down, chance)
    print(f"down was killed {len(kills)} times: {names(kills)}")
    assert len(kills) > 25
    assert cloud.inventory() == before


@pytest.mark.parametrize("number", range(8 if BAR else 1))
def test_down_after_a_half_finished_up_leaves_nothing(cloud, number):
    chance = random.Random(seed_of(f"half {number}"))
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1)
    done = one.up(check=False, kill_at=chance.randint(3, 70))
    assert done.code == -9, done
    assert cloud.inventory() != before
    one.down()
    assert cloud.inventory() == before, done


# --- A cloud that is not well ----------------------------------------------------------------

def test_up_comes_through_throttling_and_what_is_not_known_yet(cloud):
    seed = seed_of("throttled")
    used, late = fault_cloud.Used(3), fault_cloud.LateCommand()
    faults = [fault_cloud.Throttle(0.08, seed), fault_cloud.NotYet(1), used, late]
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1)
    done = one.up(faults=faults)
    print(f"throttled {faults[0].made} times, not known yet {faults[1].made} times")
    assert faults[0].made > 3 and faults[1].made > 3, done
    assert one.check() == []
    assert late.made
    behind = fault_cloud.OldList()
    faults = [fault_cloud.Throttle(0.08, seed + 1), used, behind]
    done = one.down(faults=faults)
    assert faults[0].made > 1 and behind.made > 1
    assert not used.of and used.left == 0 and used.early == 0, done
    assert cloud.inventory() == before


def test_a_cloud_that_is_always_busy_is_given_up_on(cloud):
    fault = fault_cloud.Throttle(1.0, 1)
    done = Cluster(cloud).up(check=False, faults=[fault], environment={
        "AWS_MAX_ATTEMPTS": "1", "PORTCULLIS_AWS_TRIES": "3"})
    assert done.code == 1 and 1 < fault.made < 200, done
    assert "Rate exceeded" in done.output


def test_answers_that_are_cut_leave_what_the_next_run_repairs(cloud):
    chance = random.Random(seed_of("cut"))
    before = cloud.inventory()
    one = Cluster(cloud, nodes=1)
    codes, made = [], 0
    while (not codes or codes[-1] != 0 or not made) and len(codes) < 20:
        fault = fault_cloud.Cut(0.06, chance.random())
        done = one.up(check=False, faults=[fault])
        assert done.code in (0, 1), done
        codes.append(done.code)
        made += fault.made
    print(f"{made} answers were cut; runs ended with {codes}")
    assert codes[-1] == 0 and made
    one.up()
    assert one.check() == []
    one.down()
    assert cloud.inventory() == before
