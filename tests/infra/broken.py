"""What is wrong on purpose, so that each rule of the checker is seen to fail."""
import base64
import io
import json
import tarfile

TRUST_ALL = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}


def allow(action, resource, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": action, "Resource": resource, **more}]})


def archive(name, text):
    """A .tar.gz with one file."""
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
    return box.getvalue()


class Breaker:
    """Breaks a cluster by the CLI.  `expected` is what the checker must say then: (rule, words)."""

    def __init__(self, cluster, facts):
        self.cluster, self.facts, self.ask = cluster, facts, cluster.cloud.ask
        self.name, self.expected, self.undo = cluster.name, [], []
        self.groups = {part: ident for ident, part in facts.part_of_group.items()}
        self.by_part = {}
        for kind in ("subnets", "interfaces", "tables", "instances", "gateways", "endpoints"):
            for one in getattr(facts, kind):
                tags = one.get("Tags") or one.get("TagSet") or []
                part = next((tag["Value"] for tag in tags if tag["Key"] == "portcullis:part"), "")
                self.by_part[part if kind != "instances" else f"i-{part}"] = one

    def tags(self, kind, part):
        return ("--tag-specifications", f"ResourceType={kind},Tags=[{{Key=portcullis:cluster,"
                f"Value={self.name}}},{{Key=portcullis:part,Value={part}}}]")

    def ec2(self, *words):
        return self.ask("ec2", *words)

    def wrong(self, rule, words):
        self.expected.append((rule, words))

    def network(self):
        vpc = self.facts.vpc_ids[0]
        made = self.ec2("create-security-group", "--group-name", "nobody", "--description", "x",
                        "--vpc-id", vpc)["GroupId"]
        self.undo.append(("ec2", "delete-security-group", "--group-id", made))
        self.wrong("tagged", f"{made} does not carry")
        self.ec2("create-route", "--route-table-id", self.by_part["rt-private"]["RouteTableId"],
                 "--destination-cidr-block", "0.0.0.0/0", "--gateway-id",
                 self.by_part["igw"]["InternetGatewayId"])
        self.wrong("routes", r"node1 in private-1 has a way out")
        self.wrong("routes", r"private-2 has a way to the internet")
        self.ec2("modify-subnet-attribute", "--map-public-ip-on-launch", "--subnet-id",
                 self.by_part["private-2"]["SubnetId"])
        self.wrong("public", "private-2 gives out public addresses")
        made = self.ec2("allocate-address", "--domain", "vpc",
                        *self.tags("elastic-ip", "eip-node1"))["AllocationId"]
        self.ec2("associate-address", "--allocation-id", made, "--network-interface-id",
                 self.by_part["eni-node1"]["NetworkInterfaceId"])
        self.wrong("public", "an address for eip-node1")
        self.wrong("public", r"eni-node1 has \d")
        self.ec2("delete-vpc-endpoints", "--vpc-endpoint-ids",
                 self.by_part["endpoint-ssm"]["VpcEndpointId"])
        self.wrong("endpoints", r"no endpoints for \['ssm'\]")

    def group(self, way, part, port, *peer):
        self.ec2(f"authorize-security-group-{way}", "--group-id", part,
                 *(("--protocol", "tcp", "--port", str(port), *peer) if port else peer))

    def chain(self):
        sg = self.groups
        self.group("ingress", sg["sg-node"], 22, "--cidr", "0.0.0.0/0")
        self.wrong("open_to_world", "sg-node lets 0.0.0.0/0 in on 22")
        self.wrong("ingress", "node lets 0.0.0.0/0 in on 22")
        self.group("ingress", sg["sg-broker"], 5557, "--source-group", sg["sg-gatekeeper"])
        self.wrong("ingress", "broker lets gatekeeper in on 5557")
        self.ec2("revoke-security-group-ingress", "--group-id", sg["sg-proxy"], "--protocol", "tcp",
                 "--port", "5558", "--source-group", sg["sg-node"])
        self.wrong("ingress", "proxy does not let node in on 5558")
        self.group("egress", sg["sg-broker"], None, "--ip-permissions", json.dumps(
            [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]))
        self.wrong("egress", "broker lets out to 0.0.0.0/0 on protocol -1")
        default = next(one["GroupId"] for one in self.facts.groups
                       if one["GroupName"] == "default")
        self.group("ingress", default, 1, "--cidr", "10.0.0.0/8")
        self.wrong("default_group", f"{default} has rules")

    def machines(self):
        self.ec2("modify-instance-metadata-options", "--instance-id",
                 self.by_part["i-node1"]["InstanceId"], "--http-tokens", "optional",
                 "--http-endpoint", "enabled")
        self.wrong("metadata", "node1 answers IMDSv1")
        self.ec2("create-volume", "--availability-zone",
                 self.by_part["private-1"]["AvailabilityZone"], "--size", "1",
                 *self.tags("volume", "node1"))
        self.wrong("volumes", "of node1 is not encrypted")
        self.wrong("shape", "2 volumes are node1")
        self.wrong("shape", "volumes that nothing uses")
        self.ec2("modify-network-interface-attribute", "--network-interface-id",
                 self.by_part["eni-node2"]["NetworkInterfaceId"], "--groups",
                 self.groups["sg-proxy"])
        self.wrong("machine", r"node2 is in \['sg-proxy'\]")
        self.ec2("terminate-instances", "--instance-ids", self.by_part["i-node3"]["InstanceId"])
        self.wrong("shape", "instances are of")

    def template(self, secret):
        data = {"ImageId": "ami-1", "KeyName": "somebody",
                "MetadataOptions": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2},
                "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}],
                "UserData": base64.b64encode(f"password={secret}".encode()).decode()}
        name = f"{self.name}-broker"
        self.ec2("create-launch-template-version", "--launch-template-name", name,
                 "--launch-template-data", json.dumps(data))
        self.wrong("metadata", f"template {name} answers IMDSv1")
        self.wrong("metadata", f"template {name} answers further than one hop")
        self.wrong("volumes", f"template {name} makes volumes that are not encrypted")
        self.wrong("machine", f"{name} has a key")
        self.wrong("leaks", f"template {name} holds a secret of")

    def rights(self):
        def iam(*words):
            self.ask("iam", *words)
        name = f"portcullis-{self.name}-{self.facts.region}"
        iam("put-role-policy", "--role-name", f"{name}-node1", "--policy-name", "all",
            "--policy-document", allow("secretsmanager:*", "*"))
        self.wrong("roles", f"{name}-node1 can read the secrets of .*broker")
        self.wrong("roles", f"{name}-node1 can read secrets of others")
        self.wrong("roles", f"{name}-node1 is allowed .*secretsmanager")
        self.wrong("secrets", rf"/broker is read by .*{name}-node1")
        self.wrong("secrets", rf"/cluster is read by .*{name}-node1")
        iam("put-role-policy", "--role-name", f"{name}-proxy1", "--policy-name", "all",
            "--policy-document", allow("s3:GetObject", "arn:aws:s3:::*"))
        self.wrong("roles", f"{name}-proxy1 can read .*config/broker")
        self.wrong("roles", f"{name}-proxy1 can read other buckets")
        arn = self.ask("iam", "create-policy", "--policy-name", "more", "--policy-document",
                       allow("s3:*", "*"))["Policy"]["Arn"]
        given = ("--role-name", f"{name}-broker", "--policy-arn", arn)
        iam("attach-role-policy", *given)
        self.undo += [("iam", "detach-role-policy", *given),
                      ("iam", "delete-policy", "--policy-arn", arn)]
        self.wrong("roles", f"{name}-broker has the policies .*more")
        iam("update-assume-role-policy", "--role-name", f"{name}-node2", "--policy-document",
            json.dumps(TRUST_ALL))
        self.wrong("roles", f"{name}-node2 can be taken by")
        iam("remove-role-from-instance-profile", "--instance-profile-name", f"{name}-node3",
            "--role-name", f"{name}-node3")
        self.wrong("profiles", rf"{name}-node3 holds \[\]")

    def bucket(self, secret, put):
        bucket = self.facts.buckets[0]["Name"]
        self.ask("s3api", "delete-public-access-block", "--bucket", bucket)
        self.wrong("bucket", "BlockPublicAcls is not set")
        self.ask("s3api", "delete-bucket-encryption", "--bucket", bucket)
        self.wrong("bucket", "is not encrypted")
        self.ask("s3api", "put-bucket-policy", "--bucket", bucket, "--policy",
                 allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal="*"))
        self.wrong("bucket", "without TLS")
        self.wrong("bucket", "is given to")
        put(bucket, "config/node2.tar.gz", archive("worker-agent.cfg", f"password = {secret}\n"))
        self.wrong("leaks", "config/node2.tar.gz: worker-agent.cfg holds a secret of")

    def memory(self):
        """What moto does not let be broken is broken in what was seen."""
        def break_facts(facts):
            for one in facts.subnets:
                one["AvailabilityZone"] = "one-zone"
            for one in facts.endpoints:
                one["PolicyDocument"] = ""
            for one in facts.instances:
                one["IamInstanceProfile"] = {
                    "Arn": f"x/portcullis-{self.name}-{facts.region}-node1"}
        self.wrong("machine", "node2 has the profile .*node1")
        self.wrong("zones", "all nodes are in one zone")
        self.wrong("endpoints", "lets data out to any bucket")
        return break_facts
