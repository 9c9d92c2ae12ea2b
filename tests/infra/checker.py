#!/usr/bin/env python3
"""Walks what infra/up.sh aws has made, and says what is not as docs/aws.md promises.

    tests/infra/checker.py --name NAME [--nodes N] [--gatekeepers N] [--proxies N] [--bench]
                           [--client-cidr C] [--nat] [--foreign-vpc]

Asks with the AWS CLI, and only reads; so it may be run on a cluster in an account as well as on
moto's.  The values of the cluster's secrets are read to see that they are nowhere else.

Each rule looks at something; one that found nothing to look at has failed.

Exit: 0 all is as it should be, 1 something is not, 64 usage.
"""
import argparse
import base64
import concurrent.futures
import fnmatch
import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import types
import urllib.parse

PORT = {"client": 5555, "broker": 5556, "proxy": 5557, "agent": 5558, "database": 3306,
        "https": 443}
ANYWHERE = ("0.0.0.0/0", "::/0")
# (who opens the connection, to whom, port): the way of a request, and nothing else.
CHAIN = {("gatekeeper", "broker", PORT["broker"]), ("broker", "proxy", PORT["proxy"]),
         ("node", "proxy", PORT["agent"]), ("node", "node", PORT["database"])}
# What the agent of Session Manager needs: AmazonSSMManagedInstanceCore without parameters.
SSM_CORE = {"ssm:updateinstanceinformation", "ssm:listassociations",
            "ssm:listinstanceassociations", "ssm:describeassociation", "ssm:getdocument",
            "ssm:getdeployablepatchsnapshotforinstance", "ssm:describedocument", "ssm:getmanifest",
            "ssm:putinventory", "ssm:putcomplianceitems", "ssm:putconfigurepackageresult",
            "ssm:updateassociationstatus", "ssm:updateinstanceassociationstatus",
            "ssmmessages:createcontrolchannel", "ssmmessages:createdatachannel",
            "ssmmessages:opencontrolchannel", "ssmmessages:opendatachannel",
            "ec2messages:acknowledgemessage", "ec2messages:deletemessage",
            "ec2messages:failmessage", "ec2messages:getendpoint", "ec2messages:getmessages",
            "ec2messages:sendreply"}
SECRET_WORD_MIN = 12  # shorter ones are no secrets, but names and numbers


# --- What is there -----------------------------------------------------------------

def tags_of(thing):
    return {one["Key"]: one["Value"] for one in thing.get("Tags") or thing.get("TagSet") or []}


def part_of(thing):
    return tags_of(thing).get("portcullis:part", "")


def tier_of(part):
    return part.rstrip("0123456789")


def document(value):
    """A policy: the CLI decodes those of IAM, others are text."""
    if isinstance(value, str):
        text = urllib.parse.unquote(value) if value.startswith("%7B") else value
        return json.loads(text) if text.strip() else {}
    return value or {}


class Asker:
    """Asks the CLI; a thing that is not there is None."""

    def __init__(self, aws):
        self.aws = aws

    def maybe(self, *arguments):
        try:
            return self.aws(*arguments)
        except RuntimeError as error:
            if re.search(r"NotFound|NoSuch|does not exist", str(error)):
                return None
            raise


def gather_network(ask, name, facts):
    mine = f"Name=tag:portcullis:cluster,Values={name}"
    facts.instances = [
        one for group in ask.aws("ec2", "describe-instances", "--filters", mine)["Reservations"]
        for one in group["Instances"] if one["State"]["Name"] not in ("terminated",)]
    vpcs = [one["VpcId"] for one in ask.aws("ec2", "describe-vpcs", "--filters", mine)["Vpcs"]]
    vpcs = vpcs or sorted({one["VpcId"] for one in facts.instances if one.get("VpcId")})
    facts.vpc_ids = vpcs
    if not vpcs:
        vpcs = ["vpc-00000000000000000"]
    inside = f"Name=vpc-id,Values={','.join(vpcs)}"
    attached = f"Name=attachment.vpc-id,Values={','.join(vpcs)}"
    asked = {
        "vpcs": ("describe-vpcs", "Vpcs", inside),
        "subnets": ("describe-subnets", "Subnets", inside),
        "tables": ("describe-route-tables", "RouteTables", inside),
        "gateways": ("describe-internet-gateways", "InternetGateways", attached),
        "nats": ("describe-nat-gateways", "NatGateways", "--filter " + inside),
        "groups": ("describe-security-groups", "SecurityGroups", inside),
        "endpoints": ("describe-vpc-endpoints", "VpcEndpoints", inside),
        "interfaces": ("describe-network-interfaces", "NetworkInterfaces", inside),
        "addresses": ("describe-addresses", "Addresses", ""),
        "volumes": ("describe-volumes", "Volumes", ""),
        "templates": ("describe-launch-templates", "LaunchTemplates", ""),
    }
    for field, (command, key, limit) in asked.items():
        words = limit.split() if limit.startswith("--") else ["--filters", limit] if limit else []
        setattr(facts, field, ask.aws("ec2", command, *words)[key])


def gather_machines(ask, name, facts):
    """Templates and volumes that are of the cluster by tag, name, or use."""
    ids = {one["InstanceId"] for one in facts.instances}
    facts.volumes = [
        one for one in facts.volumes if tags_of(one).get("portcullis:cluster") == name
        or ids & {other.get("InstanceId") for other in one.get("Attachments", [])}]
    facts.templates = [
        one for one in facts.templates if tags_of(one).get("portcullis:cluster") == name
        or one["LaunchTemplateName"].startswith(f"{name}-")]
    facts.addresses = [
        one for one in facts.addresses if tags_of(one).get("portcullis:cluster") == name
        or one.get("InstanceId") in ids]
    facts.endpoints = [one for one in facts.endpoints if "delet" not in one["State"].lower()]
    facts.nats = [one for one in facts.nats if one["State"] not in ("deleted", "failed")]
    facts.versions = {
        one["LaunchTemplateName"]: ask.aws(
            "ec2", "describe-launch-template-versions", "--launch-template-id",
            one["LaunchTemplateId"], "--versions", "$Latest", "$Default")["LaunchTemplateVersions"]
        for one in facts.templates}
    facts.user_data = {}
    for one in facts.instances:
        value = ask.aws("ec2", "describe-instance-attribute", "--attribute", "userData",
                        "--instance-id", one["InstanceId"]).get("UserData") or {}
        facts.user_data[part_of(one)] = plain(value.get("Value", ""))


def plain(text):
    """User data as it was before base64, and before gzip."""
    raw = base64.b64decode(text or "")
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")


def role_prefix(facts):
    """Roles and profiles are of the whole account; their names say of which region."""
    return f"portcullis-{facts.name}-{facts.region}-"


def path_of(facts):
    return f"/portcullis/{facts.name}/{facts.region}/"


def gather_rights(ask, name, facts):
    details = ask.aws("iam", "get-account-authorization-details", "--filter", "Role")
    facts.roles = [one for one in details["RoleDetailList"]
                   if one["RoleName"].startswith(role_prefix(facts))
                   or path_of(facts) == one["Path"]]
    facts.role_tags = {
        one["RoleName"]: ask.aws("iam", "list-role-tags", "--role-name", one["RoleName"])
        for one in facts.roles}
    profiles = ask.aws("iam", "list-instance-profiles")["InstanceProfiles"]
    facts.profiles = [one for one in profiles
                      if one["InstanceProfileName"].startswith(role_prefix(facts))
                      or path_of(facts) == one["Path"]]
    for one in facts.profiles:
        one.update(ask.aws("iam", "get-instance-profile", "--instance-profile-name",
                           one["InstanceProfileName"])["InstanceProfile"])
    facts.secrets = [one for one in ask.aws("secretsmanager", "list-secrets")["SecretList"]
                     if one["Name"].startswith(f"portcullis/{name}/")]
    for one in facts.secrets:
        found = ask.aws("secretsmanager", "get-secret-value", "--secret-id", one["ARN"])
        one["value"] = found.get("SecretString", "")
        policy = ask.maybe("secretsmanager", "get-resource-policy", "--secret-id", one["ARN"])
        one["policy"] = document((policy or {}).get("ResourcePolicy"))


def gather_bucket(ask, name, facts):
    facts.buckets = [one for one in ask.aws("s3api", "list-buckets")["Buckets"]
                     if one["Name"].startswith(f"portcullis-{name}-")]
    for one in facts.buckets:
        bucket = one["Name"]
        one["tags"] = ask.maybe("s3api", "get-bucket-tagging", "--bucket", bucket) or {}
        one["block"] = ask.maybe("s3api", "get-public-access-block", "--bucket", bucket) or {}
        one["encryption"] = ask.maybe("s3api", "get-bucket-encryption", "--bucket", bucket) or {}
        found = ask.maybe("s3api", "get-bucket-policy", "--bucket", bucket) or {}
        one["policy"] = document(found.get("Policy"))
        listed = ask.aws("s3api", "list-objects-v2", "--bucket", bucket) or {}
        one["keys"] = [item["Key"] for item in listed.get("Contents", [])]
        one["files"] = {}
        for key in one["keys"]:
            if key.startswith("config/"):
                one["files"][key] = ask.object(bucket, key)


GATHERERS = (gather_rights, gather_bucket)


def gather(ask, name):
    """All that is known of a cluster; the CLI is asked two things at a time."""
    zones = ask.aws("ec2", "describe-availability-zones")["AvailabilityZones"]
    facts = types.SimpleNamespace(name=name, region=zones[0]["RegionName"])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        others = [pool.submit(one, ask, name, facts) for one in GATHERERS]
        gather_network(ask, name, facts)
        gather_machines(ask, name, facts)
        for one in others:
            one.result()
    facts.part_of_group = {one["GroupId"]: part_of(one) for one in facts.groups}
    return facts


# --- What a policy allows ------------------------------------------------------------

def as_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def matches(patterns, value):
    return any(fnmatch.fnmatchcase(value.lower(), pattern.lower().replace("[", "[[]"))
               for pattern in as_list(patterns))


def allows(policies, action, resource):
    """May it?  A condition is taken for met where it allows, for not met where it denies."""
    allowed = False
    for policy in policies:
        for one in as_list(policy.get("Statement")):
            acts = (matches(one["Action"], action) if "Action" in one
                    else not matches(one.get("NotAction"), action))
            on = (matches(one["Resource"], resource) if "Resource" in one
                  else not matches(one.get("NotResource"), resource))
            if acts and on and one["Effect"] == "Deny" and not one.get("Condition"):
                return False
            allowed = allowed or (acts and on and one["Effect"] == "Allow")
    return allowed


def policies_of(role):
    return [document(one["PolicyDocument"]) for one in role.get("RolePolicyList", [])]


# --- Rules ---------------------------------------------------------------------------

class Look:
    """What one rule has seen, and found wrong."""

    def __init__(self, rule):
        self.rule, self.seen, self.wrong = rule, 0, []

    def at(self, thing):
        self.seen += 1
        return thing

    def bad(self, text):
        self.wrong.append(f"{self.rule}: {text}")

    def must(self, fine, text):
        self.seen += 1
        if not fine:
            self.bad(text)


def is_own(facts, vpc_id):
    return any(one["VpcId"] == vpc_id and part_of(one) for one in facts.vpcs)


def of_nat(facts, interface):
    """An interface that AWS has made for a NAT gateway."""
    return (interface.get("InterfaceType") == "nat_gateway"
            or interface["NetworkInterfaceId"] in [
                address.get("NetworkInterfaceId") for one in facts.nats
                for address in one.get("NatGatewayAddresses", [])])


def of_aws(facts, interface):
    """An interface that AWS has made for an endpoint or a NAT gateway."""
    return (interface.get("InterfaceType") == "vpc_endpoint" or of_nat(facts, interface)
            or any(interface["NetworkInterfaceId"] in one.get("NetworkInterfaceIds", [])
                   for one in facts.endpoints))


def main_table(table):
    return any(one.get("Main") for one in table.get("Associations", []))


def rule_tagged(facts, _, look):
    """Every resource carries the cluster's name and says which part it is."""
    kinds = [("instances", "InstanceId"), ("volumes", "VolumeId"), ("addresses", "AllocationId"),
             ("templates", "LaunchTemplateId"), ("endpoints", "VpcEndpointId"),
             ("nats", "NatGatewayId"), ("profiles", "InstanceProfileName"), ("secrets", "Name")]
    if any(is_own(facts, one) for one in facts.vpc_ids):
        kinds += [("vpcs", "VpcId"), ("subnets", "SubnetId"), ("gateways", "InternetGatewayId"),
                  ("tables", "RouteTableId"), ("groups", "GroupId"),
                  ("interfaces", "NetworkInterfaceId")]
    things = [(one[key], tags_of(one)) for field, key in kinds for one in getattr(facts, field)
              if not (field == "groups" and one["GroupName"] == "default")
              and not (field == "tables" and main_table(one))
              and not (field == "interfaces" and of_aws(facts, one))]
    things += [(name, tags_of(tags)) for name, tags in facts.role_tags.items()]
    things += [(one["Name"], tags_of(one["tags"])) for one in facts.buckets]
    for ident, tags in things:
        look.must(tags.get("portcullis:cluster") == facts.name and tags.get("portcullis:part"),
                  f"{ident} does not carry the cluster's name and its part: {tags}")


def wanted_machines(wanted):
    names = ["broker", *(f"node{one + 1}" for one in range(wanted.nodes)),
             *(f"proxy{one + 1}" for one in range(wanted.proxies)),
             *(f"gatekeeper{one + 1}" for one in range(wanted.gatekeepers))]
    return sorted(names + (["client"] if wanted.bench else []))


def rule_shape(facts, wanted, look):
    """Each part is there, once, and runs; nothing is there twice."""
    expected = wanted_machines(wanted)
    for kind, found in (
            ("instances", [part_of(one) for one in facts.instances]),
            ("launch templates", [part_of(one) for one in facts.templates]),
            ("roles", [tags_of(one).get("portcullis:part") for one in facts.role_tags.values()]),
            ("profiles", [part_of(one) for one in facts.profiles]),
            ("secrets", [part_of(one) for one in facts.secrets if part_of(one) != "cluster"])):
        look.must(sorted(str(one) for one in found) == expected,
                  f"{kind} are of {sorted(str(one) for one in found)}, not {expected}")
    for one in facts.instances:
        look.must(one["State"]["Name"] in ("running", "pending"),
                  f"{part_of(one)} is {one['State']['Name']}")
    look.must(len(facts.vpc_ids) == 1, f"{len(facts.vpc_ids)} networks")
    look.must(len(facts.buckets) == 1, f"{len(facts.buckets)} buckets")
    for kind in ("subnets", "groups", "tables", "gateways", "endpoints", "addresses", "interfaces",
                 "volumes", "nats"):
        parts = [part_of(look.at(one)) for one in getattr(facts, kind) if part_of(one)]
        for part in sorted({one for one in parts if parts.count(one) > 1}):
            look.bad(f"{parts.count(part)} {kind} are {part}")
    free = [one for one in facts.volumes if not one.get("Attachments")]
    look.must(not free, f"volumes that nothing uses: {[one['VolumeId'] for one in free]}")


def peers(permission):
    """(kind, value) of what one rule of a group lets in or out to."""
    return ([("cidr", one["CidrIp"]) for one in permission.get("IpRanges", [])]
            + [("cidr", one["CidrIpv6"]) for one in permission.get("Ipv6Ranges", [])]
            + [("list", one["PrefixListId"]) for one in permission.get("PrefixListIds", [])]
            + [("group", one["GroupId"]) for one in permission.get("UserIdGroupPairs", [])])


def ports(permission):
    """The one port of a rule for TCP, else what it is, in words."""
    if permission["IpProtocol"] != "tcp":
        return f"protocol {permission['IpProtocol']}"
    first, last = permission.get("FromPort"), permission.get("ToPort")
    return first if first == last else f"ports {first} to {last}"


def group_rules(facts, direction):
    """(part of the group without sg-, port, kind of peer, peer) of every rule."""
    for group in facts.groups:
        if group["GroupName"] == "default" and not part_of(group):
            continue
        own = part_of(group).removeprefix("sg-") or group["GroupId"]
        for permission in group[direction]:
            for kind, peer in peers(permission):
                if kind == "group":
                    peer = facts.part_of_group.get(peer, peer).removeprefix("sg-")
                yield own, ports(permission), kind, peer


def rule_open_to_world(facts, wanted, look):
    """The whole internet reaches the gatekeeper's port, if it was asked for, and nothing else."""
    for group in facts.groups:
        for permission in look.at(group)["IpPermissions"]:
            for _, peer in peers(permission):
                if peer not in ANYWHERE:
                    continue
                gate = part_of(group) == "sg-gatekeeper" and ports(permission) == PORT["client"]
                if not gate or wanted.client_cidr not in ANYWHERE:
                    look.bad(f"{part_of(group) or group['GroupId']} lets {peer} in on "
                             f"{ports(permission)}")


def own_cidr(facts):
    """The addresses of the network: others in it go through its endpoints, too."""
    return facts.vpcs[0]["CidrBlock"] if facts.vpcs else None


def rule_ingress(facts, wanted, look):
    """Groups let in along the chain, and all of the chain is there."""
    found = set()
    for own, port, kind, peer in group_rules(facts, "IpPermissions"):
        edge = (peer, own, port)
        found.add(edge)
        fine = (kind == "group" and (edge in CHAIN or own == "endpoint" and port == PORT["https"]
                                     or edge == ("client", "gatekeeper", PORT["client"]))
                or kind == "cidr" and edge == (wanted.client_cidr, "gatekeeper", PORT["client"])
                or wanted.foreign_vpc and edge == (own_cidr(facts), "endpoint", PORT["https"]))
        look.must(fine, f"{own} lets {peer} in on {port}")
    for edge in CHAIN | {(wanted.client_cidr, "gatekeeper", PORT["client"])}:
        look.must(edge in found, f"{edge[1]} does not let {edge[0]} in on {edge[2]}")


def rule_egress(facts, wanted, look):
    """Groups let out along the chain, to AWS's endpoints, and nowhere else."""
    found = set()
    for own, port, kind, peer in group_rules(facts, "IpPermissionsEgress"):
        edge = (own, peer, port)
        found.add(edge)
        fine = (kind == "group" and (edge in CHAIN
                                     or peer == "endpoint" and port == PORT["https"]
                                     or edge == ("client", "gatekeeper", PORT["client"]))
                or kind == "list" and port == PORT["https"]
                or wanted.nat and kind == "cidr" and port in (80, PORT["https"]))
        look.must(fine, f"{own} lets out to {peer} on {port}")
    for edge in CHAIN:
        look.must(edge in found, f"{edge[0]} is not let out to {edge[1]} on {edge[2]}")
    for tier in sorted({own for own, *_ in found if own != "endpoint"}):
        look.must((tier, "endpoint", PORT["https"]) in found,
                  f"{tier} is not let out to the endpoints")


def rule_default_group(facts, _, look):
    """The group that a network comes with, and that anything gets by mistake, opens nothing."""
    for group in facts.groups:
        if group["GroupName"] == "default" and is_own(facts, group["VpcId"]):
            look.must(not group["IpPermissions"] and not group["IpPermissionsEgress"],
                      f"{group['GroupId']} has rules")


def rule_metadata(facts, _, look):
    """IMDSv2 only, and no further than the machine itself."""
    asked = [(part_of(one), one.get("MetadataOptions", {})) for one in facts.instances]
    asked += [(f"template {name}", version["LaunchTemplateData"].get("MetadataOptions", {}))
              for name, versions in facts.versions.items() for version in versions]
    for name, options in asked:
        look.must(options.get("HttpTokens") == "required", f"{name} answers IMDSv1: {options}")
        look.must(options.get("HttpPutResponseHopLimit") == 1,
                  f"{name} answers further than one hop: {options}")
        look.must(options.get("InstanceMetadataTags") != "enabled", f"{name} tells its tags")


def rule_volumes(facts, _, look):
    """Every volume is encrypted, in fact and in the templates."""
    for one in facts.volumes:
        look.must(one["Encrypted"], f"{one['VolumeId']} of {part_of(one)} is not encrypted")
    for name, versions in facts.versions.items():
        for version in versions:
            volumes = [one.get("Ebs", {}) for one
                       in version["LaunchTemplateData"].get("BlockDeviceMappings", [])]
            look.must(volumes and all(one.get("Encrypted") in (True, "true") for one in volumes),
                      f"template {name} makes volumes that are not encrypted: {volumes}")
    for one in facts.instances:
        look.must(one.get("BlockDeviceMappings"), f"{part_of(one)} has no volume")


def rule_public(facts, _, look):
    """Only gatekeepers (and a NAT) have an address that the internet knows."""
    for one in facts.interfaces:
        public = one.get("Association", {}).get("PublicIp")
        part = part_of(one)
        fine = tier_of(part) == "eni-gatekeeper" or of_nat(facts, one)
        look.must(fine or not public, f"{part or one['NetworkInterfaceId']} has {public}")
    for one in facts.instances:
        gate = tier_of(part_of(one)) == "gatekeeper"
        look.must(gate or not one.get("PublicIpAddress"),
                  f"{part_of(one)} has {one.get('PublicIpAddress')}")
    for one in facts.addresses:
        part = part_of(one)
        look.must(tier_of(part) in ("eip-gatekeeper", "eip-nat"), f"an address for {part}")
    for one in facts.subnets:
        look.must(not one.get("MapPublicIpOnLaunch") or not part_of(one).startswith("private"),
                  f"{part_of(one)} gives out public addresses")


def routes_of(facts, subnet_id):
    """Where a subnet's packets go: {target: [destinations]}."""
    tables = [one for one in facts.tables if any(
        other.get("SubnetId") == subnet_id for other in one.get("Associations", []))]
    tables = tables or [one for one in facts.tables if main_table(one)]
    routes = {}
    for table in tables:
        for one in table["Routes"]:
            target = next((one[key] for key in ("GatewayId", "NatGatewayId", "InstanceId",
                           "NetworkInterfaceId", "TransitGatewayId") if one.get(key)), "?")
            where = one.get("DestinationCidrBlock") or one.get("DestinationPrefixListId") or "?"
            routes.setdefault(target, []).append(where)
    return routes


def rule_routes(facts, wanted, look):
    """A way to the internet only for gatekeepers; everything else lives without one."""
    home = {one["SubnetId"]: part_of(one) for one in facts.subnets}
    for one in facts.instances:
        part, routes = part_of(one), routes_of(facts, one.get("SubnetId"))
        out = [target for target in routes if target.startswith("igw-")]
        if tier_of(part) == "gatekeeper":
            look.must(out, f"{part} has no way to the internet: {routes}")
        else:
            look.must(not out, f"{part} in {home.get(one.get('SubnetId'))} has a way out: {routes}")
        others = [target for target in routes if target not in ("local", *out)
                  and not target.startswith("vpce-") and not (
                      wanted.nat and target.startswith("nat-"))]
        look.must(not others, f"{part} has a way to {others}")
    for one in facts.subnets:
        if part_of(one).startswith("private"):
            out = [target for target in routes_of(facts, one["SubnetId"]) if "igw-" in target]
            look.must(not out, f"{part_of(one)} has a way to the internet")


def rule_zones(facts, wanted, look):
    """Nodes are spread: no zone holds them all."""
    where = {one["SubnetId"]: one["AvailabilityZone"] for one in facts.subnets}
    zones = [where.get(one.get("SubnetId")) for one in facts.instances
             if tier_of(part_of(one)) == "node"]
    look.must(zones, "no node")
    look.must(wanted.nodes < 2 or wanted.foreign_vpc or len(set(zones)) > 1,
              f"all nodes are in one zone: {zones}")


def rule_machine(facts, _, look):
    """An instance has its own profile, the group of its tier alone, no key of SSH."""
    for one in facts.instances:
        part = part_of(one)
        profile = one.get("IamInstanceProfile", {}).get("Arn", "")
        look.must(profile.rpartition("/")[2] == f"{role_prefix(facts)}{part}",
                  f"{part} has the profile {profile or 'none'}")
        groups = [facts.part_of_group.get(other["GroupId"], other["GroupId"])
                  for interface in one.get("NetworkInterfaces", [])
                  for other in interface["Groups"]]
        look.must(groups == [f"sg-{tier_of(part)}"], f"{part} is in {groups}")
        look.must(not one.get("KeyName"), f"{part} has the key {one.get('KeyName')}")
    for name, versions in facts.versions.items():
        for version in versions:
            look.must(not version["LaunchTemplateData"].get("KeyName"), f"{name} has a key")


def rule_roles(facts, _, look):
    """A role is for its machine, whose secret, configuration and packages it reads, no more."""
    bucket = facts.buckets[0]["Name"] if facts.buckets else "none"
    for role in facts.roles:
        name, policies = role["RoleName"], policies_of(role)
        part = name.removeprefix(role_prefix(facts))
        readable = sorted(one["Name"].rpartition("/")[2] for one in facts.secrets if allows(
            policies, "secretsmanager:GetSecretValue", one["ARN"]))
        look.must(readable == [part], f"{name} can read the secrets of {readable}")
        look.must(not allows(policies, "secretsmanager:GetSecretValue",
                             "arn:aws:secretsmanager:xx:1:secret:another"),
                  f"{name} can read secrets of others")
        configs = sorted(key for key in facts.buckets[0]["keys"] if allows(
            policies, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
            and key.startswith("config/")) if facts.buckets else []
        look.must(configs == [f"config/{part}.tar.gz"], f"{name} can read {configs}")
        look.must(not allows(policies, "s3:GetObject", "arn:aws:s3:::another/thing"),
                  f"{name} can read other buckets")
        rule_role_actions(name, policies, look)
        attached = [one["PolicyName"] for one in role.get("AttachedManagedPolicies", [])]
        look.must(not attached, f"{name} has the policies {attached}")
        trusted = document(role["AssumeRolePolicyDocument"])
        who = [(one["Effect"], one.get("Principal")) for one in as_list(trusted.get("Statement"))]
        look.must(who in ([("Allow", {"Service": "ec2.amazonaws.com"})],
                          [("Allow", {"Service": ["ec2.amazonaws.com"]})]),
                  f"{name} can be taken by {who}")


def rule_role_actions(name, policies, look):
    fine = SSM_CORE | {"s3:getobject", "secretsmanager:getsecretvalue",
                       "secretsmanager:describesecret"}
    if name.endswith("-client"):
        fine.add("s3:putobject")  # its reports
    for policy in policies:
        for one in as_list(policy.get("Statement")):
            if one["Effect"] != "Allow":
                continue
            look.must("NotAction" not in one and "NotResource" not in one,
                      f"{name} is allowed all but something")
            acts = {action.lower() for action in as_list(one.get("Action"))}
            look.must(acts <= fine, f"{name} is allowed {sorted(acts - fine)}")
            wide = {action for action in acts if not action.startswith(("ssm", "ec2messages:"))}
            look.must(not wide or "*" not in as_list(one.get("Resource")),
                      f"{name} is allowed {sorted(wide)} on everything")


def rule_secrets(facts, _, look):
    """A secret has one reader; the operator's own has none."""
    for one in facts.secrets:
        part = one["Name"].rpartition("/")[2]
        readers = sorted(role["RoleName"] for role in facts.roles if allows(
            policies_of(role), "secretsmanager:GetSecretValue", one["ARN"]))
        expected = [] if part == "cluster" else [f"{role_prefix(facts)}{part}"]
        look.must(readers == expected, f"{one['Name']} is read by {readers}")
        shared = [other.get("Principal") for other in as_list(one["policy"].get("Statement"))
                  if other["Effect"] == "Allow"]
        look.must(not shared, f"{one['Name']} is given to {shared}")
        look.must(len(one["value"]) > SECRET_WORD_MIN, f"{one['Name']} is empty")


def rule_profiles(facts, _, look):
    """A profile holds the role of its name."""
    for one in facts.profiles:
        roles = [role["RoleName"] for role in one["Roles"]]
        look.must(roles == [one["InstanceProfileName"]],
                  f"{one['InstanceProfileName']} holds {roles}")


def rule_bucket(facts, _, look):
    """Nobody outside reads the bucket, it is encrypted, and spoken to by TLS only."""
    for one in facts.buckets:
        block = one["block"].get("PublicAccessBlockConfiguration", {})
        for key in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                    "RestrictPublicBuckets"):
            look.must(block.get(key) is True, f"{one['Name']}: {key} is not set")
        rules = one["encryption"].get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        look.must(rules, f"{one['Name']} is not encrypted")
        tls = [other for other in as_list(one["policy"].get("Statement"))
               if other["Effect"] == "Deny" and str(other.get("Condition", {}).get(
                   "Bool", {}).get("aws:SecureTransport")).lower() == "false"]
        look.must(tls, f"{one['Name']} may be spoken to without TLS")
        given = [other.get("Principal") for other in as_list(one["policy"].get("Statement"))
                 if other["Effect"] == "Allow"]
        look.must(not given, f"{one['Name']} is given to {given}")
        look.must(any(key.startswith("packages/") for key in one["keys"]),
                  f"{one['Name']} holds no packages")


ENDPOINTS = ("secretsmanager", "ssm", "ssmmessages", "ec2messages", "s3")


def rule_endpoints(facts, wanted, look):
    """AWS's services are reached inside the network, and S3's endpoint is no way out for data."""
    found = {one["ServiceName"].rpartition(".")[2]: one for one in facts.endpoints}
    missing = [one for one in ENDPOINTS if one not in found]
    look.must(not missing or wanted.nat or wanted.foreign_vpc, f"no endpoints for {missing}")
    for service, one in found.items():
        if one["VpcEndpointType"] == "Gateway":
            policy = document(one.get("PolicyDocument"))
            closed = policy and not allows([policy], "s3:PutObject", "arn:aws:s3:::another/thing")
            look.must(closed or wanted.foreign_vpc,
                      f"the endpoint of {service} lets data out to any bucket")
            continue
        look.must(one.get("PrivateDnsEnabled"), f"the endpoint of {service} has no name inside")
        groups = [facts.part_of_group.get(other["GroupId"]) for other in one.get("Groups", [])]
        look.must(groups == ["sg-endpoint"], f"the endpoint of {service} is in {groups}")


def secret_words(facts):
    """(secret's name, word): the secret halves of keys, and the content of files of one word."""
    for one in facts.secrets:
        try:
            files = json.loads(one["value"]).get("files", {})
        except ValueError:
            continue  # the operator's own memory: an archive of what the others hold
        for content in files.values():
            words = re.findall(r'secret-key\s*=\s*"([^"]+)"', content)
            words += content.split() if len(content.split()) == 1 else []
            for word in words:
                if len(word) >= SECRET_WORD_MIN:
                    yield one["Name"], word


def texts_of(facts):
    """(where, text) of all that machines and operators may read without being asked who."""
    for part, text in facts.user_data.items():
        yield f"user data of {part}", text
    for name, versions in facts.versions.items():
        for version in versions:
            yield f"template {name}", plain(version["LaunchTemplateData"].get("UserData", ""))
    for one in facts.instances:
        yield f"tags of {part_of(one)}", json.dumps(tags_of(one))
    for one in facts.buckets:
        for key, content in one["files"].items():
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                for member in tar.getmembers():
                    if member.isfile():
                        text = tar.extractfile(member).read().decode("utf-8", "replace")
                        yield f"{key}: {member.name}", text


def rule_leaks(facts, _, look):
    """No secret stands in user data, tags, templates or configuration."""
    words = {word: name for name, word in secret_words(facts)}
    holders = {name for name in words.values()}
    for one in facts.secrets:
        look.must(part_of(one) in ("cluster", "") or one["Name"] in holders
                  or any(other in one["value"] for other in words),
                  f"{one['Name']} holds no secret that is known for one")
    for where, text in texts_of(facts):
        look.must(text.strip(), f"{where} is empty")
        for word, name in words.items():
            if word in text:
                look.bad(f"{where} holds a secret of {name}")
    for one in facts.instances:
        look.must(facts.user_data.get(part_of(one)), f"{part_of(one)} has no user data")


RULES = {name.removeprefix("rule_"): rule for name, rule in list(globals().items())
         if name.startswith("rule_") and name != "rule_role_actions"}


def check(facts, wanted, rules=None):
    """What is wrong, a line each."""
    wrong = []
    for name in rules or RULES:
        look = Look(name)
        RULES[name](facts, wanted, look)
        if look.seen == 0:
            look.bad("there was nothing to look at")
        wrong += look.wrong
    return wrong


# --- On its own ----------------------------------------------------------------------

def wanted_of(**options):
    """What was asked of up.sh; what is not said is as up.sh has it."""
    return types.SimpleNamespace(**{**dict(nodes=3, gatekeepers=1, proxies=1, bench=False,
                                           client_cidr="0.0.0.0/0", nat=False,
                                           foreign_vpc=False), **options})


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--name", required=True)
    for option in ("--nodes", "--gatekeepers", "--proxies"):
        parser.add_argument(option, type=int, default=3 if option == "--nodes" else 1)
    parser.add_argument("--client-cidr", default="0.0.0.0/0")
    for option in ("--bench", "--nat", "--foreign-vpc"):
        parser.add_argument(option, action="store_true")
    try:
        wanted = parser.parse_args()
    except SystemExit as end:
        sys.exit(64 if end.code else 0)

    class Plain(Asker):
        def object(self, bucket, key):
            return subprocess.run(["aws", "s3", "cp", f"s3://{bucket}/{key}", "-"], check=True,
                                  capture_output=True).stdout

    def aws(*arguments):
        done = subprocess.run(["aws", *arguments, "--output", "json"], capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"aws {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout or "null")

    wrong = check(gather(Plain(aws), wanted.name), wanted)
    print("\n".join(wrong) or f"{wanted.name}: {len(RULES)} rules hold")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
