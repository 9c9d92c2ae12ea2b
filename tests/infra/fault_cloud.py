"""A proxy in front of moto's server, through which the AWS CLI talks.

It remembers every call by service and action, answers what moto does not know in its stead,
and makes the faults of a cloud: throttling, internal errors, answers that are cut short or never
come, ids that are not known yet, and a script that dies between two calls, or after a call was
carried out and before it heard so.
"""
import collections
import contextlib
import dataclasses
import http.client
import http.server
import json
import random
import re
import threading
import time
import urllib.parse
import xml.etree.ElementTree

READING = ("Describe", "Get", "List", "Head", "Lookup", "Simulate", "Search", "Assume", "Decode",
           "Check")
ID = re.compile(r"\b(?:vpc|subnet|sg|igw|rtb|eni|lt|vpce|nat|eipalloc|i)-[0-9a-f]{8,17}\b")
NOT_FOUND = {"vpc": "InvalidVpcID.NotFound", "subnet": "InvalidSubnetID.NotFound",
             "sg": "InvalidGroup.NotFound", "igw": "InvalidInternetGatewayID.NotFound",
             "rtb": "InvalidRouteTableID.NotFound", "eni": "InvalidNetworkInterfaceID.NotFound",
             "lt": "InvalidLaunchTemplateId.NotFound", "vpce": "InvalidVpcEndpointId.NotFound",
             "nat": "NatGatewayNotFound", "eipalloc": "InvalidAllocationID.NotFound",
             "i": "InvalidInstanceID.NotFound"}
IMAGE = "ami-0123456789abcdef0"
QUOTA = 64.0
PRICES = {"m6i.large": "0.1150000000", "c6i.large": "0.0970000000", "gp3": "0.0952000000"}


@dataclasses.dataclass
class Call:
    """One request of a script."""
    service: str
    action: str
    region: str
    run: str  # which run of a script it belongs to
    fields: dict  # of the query protocol and of JSON, else empty
    text: str  # the body
    path: str = ""
    status: int = 0  # what was answered, 0 for nothing

    @property
    def mutating(self):
        if self.service == "s3":
            return self.action.split()[0] in ("PUT", "POST", "DELETE")
        return not self.action.startswith(READING)

    @property
    def name(self):
        return f"{self.service}:{self.action}"

    @property
    def kind(self):
        """Its name without what it is about: of S3 bucket, key and values are left out."""
        if self.service != "s3":
            return self.name
        path, _, query = self.path.partition("?")
        what = "object" if "/" in path.strip("/") else "bucket"
        return f"s3:{self.action.split()[0]} {what} {query.partition('=')[0]}".rstrip()


def parse(method, path, headers, body):
    """The call that a request makes."""
    scope = re.search(r"Credential=(?:AKID)?([^/]*)/\d+/([^/]+)/([^/]+)/",
                      headers.get("Authorization", ""))
    run, region, service = scope.groups() if scope else ("", "", "none")
    text = body.decode("utf-8", "replace")
    fields = {}
    target = headers.get("X-Amz-Target")
    if service == "s3":
        action = f"{method} {path.split('?')[0]}"
    elif target:
        action = target.rpartition(".")[2]
        with contextlib.suppress(ValueError):
            fields = json.loads(text or "{}")
    else:
        fields = dict(urllib.parse.parse_qsl(text))
        action = fields.get("Action", f"{method} {path}")
    return Call(service, action, region, run, fields, text, path)


# --- Answers -----------------------------------------------------------------------

def error(call, status, code, message):
    """An error as the service would put it: (status, headers, body)."""
    if call.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    elif call.service == "ec2":
        body = (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
                "</Errors><RequestID>0</RequestID></Response>")
    elif call.service in ("iam", "sts"):
        body = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}"
                "</Message></Error><RequestId>0</RequestId></ErrorResponse>")
    else:
        body = json.dumps({"__type": code, "message": message})
        return status, {"Content-Type": "application/x-amz-json-1.1"}, body.encode()
    return status, {"Content-Type": "text/xml"}, body.encode()


def throttled(call):
    code = {"ec2": "RequestLimitExceeded", "s3": "SlowDown", "iam": "Throttling"}
    return error(call, 503 if call.service in ("ec2", "s3") else 400,
                 code.get(call.service, "ThrottlingException"), "Rate exceeded")


def broken(call):
    return error(call, 500, "InternalError", "An internal error has occurred")


def as_json(value):
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(value).encode()


def quota(code="L-1216C47A"):
    return {"ServiceCode": "ec2", "QuotaCode": code, "QuotaName": "A quota", "Value": QUOTA,
            "Unit": "None", "Adjustable": True, "GlobalQuota": False}


def parameter(name):
    return {"Name": name, "Type": "String", "Value": IMAGE, "Version": 1}


def price_list(filters):
    """What AWS's price list says of a product: JSON as a text, prices on demand and reserved."""
    named = {one["Field"]: one["Value"] for one in filters}
    what = named.get("instanceType") or named.get("volumeApiName")
    if what not in PRICES:
        return []

    def term(name, unit, usd):
        return {f"SKU.{name}": {"offerTermCode": name, "priceDimensions": {f"SKU.{name}.6YS6": {
            "unit": unit, "description": "a price", "pricePerUnit": {"USD": usd}}}}}
    return [json.dumps({
        "product": {"attributes": named, "sku": "SKU"}, "serviceCode": "AmazonEC2",
        "terms": {"Reserved": term("38NPMPTW36", "Quantity", "9999.0000000000"),
                  "OnDemand": term("JRTCKXETXF", "Hrs", PRICES[what])}}, separators=(",", ":"))]


IMAGES = f"""<DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>0</requestId><imagesSet><item><imageId>{IMAGE}</imageId>
<imageState>available</imageState>
<imageOwnerId>136693071363</imageOwnerId><name>debian-12-amd64-20260101-1</name>
<creationDate>2026-01-01T00:00:00.000Z</creationDate><architecture>x86_64</architecture>
<rootDeviceName>/dev/xvda</rootDeviceName><rootDeviceType>ebs</rootDeviceType>
<virtualizationType>hvm</virtualizationType><isPublic>true</isPublic></item></imagesSet>
</DescribeImagesResponse>"""


def stand_in(call, forward):
    """What moto does not answer and AWS does; None for all else.  forward(call) asks moto."""
    if call.service == "servicequotas" and call.action.startswith("Get"):
        return as_json({"Quota": quota(call.fields.get("QuotaCode"))})
    if call.service == "servicequotas":
        return as_json({"Quotas": [quota()]})
    if call.service == "pricing":
        return as_json({"FormatVersion": "aws_v1",
                        "PriceList": price_list(call.fields.get("Filters", []))})
    if call.service == "ssm":
        names = call.fields.get("Names") or [call.fields.get("Name", "")]
        if call.action == "GetParameter" and names[0].startswith("/aws/service/"):
            return as_json({"Parameter": parameter(names[0])})
        if call.action == "GetParameters" and all(n.startswith("/aws/service/") for n in names):
            return as_json({"Parameters": [parameter(name) for name in names],
                            "InvalidParameters": []})
        if call.action == "DescribeInstanceInformation":
            running = forward("Action=DescribeInstances&Version=2016-11-15"
                              "&Filter.1.Name=instance-state-name&Filter.1.Value.1=running")
            ids = re.findall(r"<instanceId>(i-\w+)</instanceId>", running)
            return as_json({"InstanceInformationList": [
                {"InstanceId": one, "PingStatus": "Online", "PlatformType": "Linux"}
                for one in sorted(set(ids))]})
    if call.name == "ec2:DescribeImages" and (
            "136693071363" in call.fields.values() or IMAGE in call.fields.values()):
        return 200, {"Content-Type": "text/xml"}, IMAGES.encode()
    return None


def flat(prefix, value):
    """A value as fields of the query protocol; lists are numbered from 1."""
    if isinstance(value, dict):
        return {name: text for key, one in value.items()
                for name, text in flat(f"{prefix}.{key}", one).items()}
    if isinstance(value, list):
        return {name: text for number, one in enumerate(value)
                for name, text in flat(f"{prefix}.{number + 1}", one).items()}
    return {prefix: str(value).lower() if isinstance(value, bool) else str(value)}


def xml_value(node):
    """An element of an answer of EC2 as dicts and lists, with the names that requests use."""
    children = list(node)
    if not children:
        return node.text or ""
    if all(one.tag.rpartition("}")[2] == "item" for one in children):
        return [xml_value(one) for one in children]
    named = {}
    for one in children:
        name = one.tag.rpartition("}")[2]
        name = {"blockDeviceMappingSet": "blockDeviceMapping"}.get(name, name)
        named[name[0].upper() + name[1:]] = xml_value(one)
    return named


def with_template(call, forward):
    """The body of RunInstances with what its launch template says, which moto takes only half of:
    profile, volumes and metadata options; what the call says itself is kept.  None without."""
    name = call.fields.get("LaunchTemplate.LaunchTemplateName")
    ident = call.fields.get("LaunchTemplate.LaunchTemplateId")
    if call.name != "ec2:RunInstances" or not (name or ident):
        return None
    asked = {"Action": "DescribeLaunchTemplateVersions", "Version": "2016-11-15",
             "LaunchTemplateVersion.1": call.fields.get("LaunchTemplate.Version", "$Default")}
    asked["LaunchTemplateName" if name else "LaunchTemplateId"] = name or ident
    answer = xml.etree.ElementTree.fromstring(forward(urllib.parse.urlencode(asked)))
    data = next((one for one in answer.iter() if one.tag.endswith("}launchTemplateData")), None)
    if data is None:
        return None
    data = xml_value(data)
    fields = dict(call.fields)
    for key in ("IamInstanceProfile", "BlockDeviceMapping", "MetadataOptions"):
        if key in data and not any(one.startswith(key + ".") for one in fields):
            fields.update(flat(key, data[key]))
    return urllib.parse.urlencode(fields).encode()


class BucketPolicies:
    """moto takes what a bucket's policy denies under a condition for denied always; so policies
    of buckets are kept here and not there."""

    def __init__(self):
        self.known = {}

    def answer(self, call):
        path, _, query = call.path.partition("?")
        bucket = path.strip("/").partition("/")[0]
        if call.service != "s3" or "policy" not in query.split("&"):
            if call.action.startswith("DELETE") and path.strip("/") == bucket:
                self.known.pop(bucket, None)
            return None
        if call.action.startswith("PUT"):
            self.known[bucket] = call.text
        elif call.action.startswith("DELETE"):
            self.known.pop(bucket, None)
        elif bucket in self.known:
            return 200, {"Content-Type": "application/json"}, self.known[bucket].encode()
        else:
            return error(call, 404, "NoSuchBucketPolicy", "The bucket policy does not exist")
        return 204, {}, b""


# --- Faults ------------------------------------------------------------------------

class Throttle:
    """Refuses each call a few times before it is let through, with a share that chance says."""

    def __init__(self, share, seed, answer=throttled):
        self.share, self.random, self.answer, self.made = share, random.Random(seed), answer, 0

    def before(self, call):
        if self.random.random() < self.share:
            self.made += 1
            return self.answer(call)
        return None


class NotYet:
    """An id that a call made is not known to the next `times` calls that name it; an instance
    profile that was just made is not known to RunInstances."""

    def __init__(self, times):
        self.times, self.left, self.made = times, collections.Counter(), 0

    def before(self, call):
        if call.service != "ec2":
            return None
        # A filter that names what is not known finds nothing, and is no error.
        named = " ".join(value for name, value in call.fields.items()
                         if not name.startswith("Filter."))
        for one in ID.findall(named):
            if self.left[one] > 0:
                self.left[one] -= 1
                self.made += 1
                return error(call, 400, NOT_FOUND[one.split("-")[0]],
                             f"The ID '{one}' does not exist")
        profile = next((value for name, value in call.fields.items()
                        if name.startswith("IamInstanceProfile.")), "").rpartition("/")[2]
        if call.action == "RunInstances" and self.left[profile] > 0:
            self.left[profile] -= 1
            self.made += 1
            return error(call, 400, "InvalidParameterValue", f"Value ({profile}) for parameter "
                         "iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name")
        return None

    def after(self, call, answer):
        text = answer[2].decode("utf-8", "replace")
        if call.action == "CreateInstanceProfile":
            self.left[call.fields.get("InstanceProfileName", "")] = self.times
        elif call.service == "ec2" and call.action.startswith(("Create", "Run", "Allocate")):
            known = set(ID.findall(urllib.parse.unquote(call.text)))
            for one in set(ID.findall(text)) - known:
                self.left[one] = self.times
        return answer


class Cut:
    """Of answers that chance picks, half arrives, or nothing: the call was carried out."""

    def __init__(self, share, seed):
        self.share, self.random, self.made = share, random.Random(seed), 0

    def after(self, call, answer):
        del call
        if self.random.random() >= self.share:
            return answer
        self.made += 1
        return None if self.random.random() < 0.5 else (*answer[:2], answer[2][:-1], "cut")


class LateCommand:
    """A command that was just sent is not known to the first who asks how it ended."""

    def __init__(self):
        self.asked, self.made = set(), 0

    def before(self, call):
        if call.name not in ("ssm:GetCommandInvocation", "ssm:ListCommands"):
            return None
        which = (call.action, call.fields.get("CommandId"))
        if which in self.asked:
            return None
        self.asked.add(which)
        self.made += 1
        if call.action == "ListCommands":
            return as_json({"Commands": []})
        return error(call, 400, "InvocationDoesNotExist", "")


class OldList:
    """The list of secrets is behind: it shows none first, and later those that are deleted."""

    def __init__(self):
        self.first, self.made = None, 0

    def after(self, call, answer):
        if call.action != "ListSecrets":
            return answer
        self.made += 1
        if self.first:
            return self.first
        self.first = answer
        return as_json({"SecretList": []})


class Used:
    """An address that an interface uses is not released, and an endpoint that is deleted is there
    for the next `times` that somebody looks: until then its subnet and group are in use."""

    def __init__(self, times):
        self.times, self.left, self.of, self.refused, self.early = times, 0, {}, 0, 0

    def before(self, call):
        if call.action == "DisassociateAddress":
            self.of.pop(call.fields.get("AssociationId"), None)
        if call.action == "ReleaseAddress" and call.fields["AllocationId"] in self.of.values():
            self.refused += 1
            return error(call, 400, "InvalidIPAddress.InUse", "The address is in use")
        if call.action in ("DeleteSubnet", "DeleteSecurityGroup") and self.left > 0:
            self.early += 1
        if call.action == "DescribeVpcEndpoints" and self.left > 0:
            self.left -= 1
            return 200, {"Content-Type": "text/xml"}, (
                b'<DescribeVpcEndpointsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
                b"<vpcEndpointSet><item><vpcEndpointId>vpce-00000000</vpcEndpointId>"
                b"<state>deleting</state></item></vpcEndpointSet></DescribeVpcEndpointsResponse>")
        return None

    def after(self, call, answer):
        if call.action == "AssociateAddress" and answer[0] == 200:
            found = re.search(rb"<associationId>([^<]+)<", answer[2])
            self.of[found[1].decode()] = call.fields["AllocationId"]
        if call.action == "DeleteVpcEndpoints":
            self.left = self.times
        return answer


class Kill:
    """Ends a script, by kill(), at its mutating call number `at`, counted from 1, or at the first
    of which at(call) is true: before the call is carried out, or after and before its answer."""

    def __init__(self, at, kill, carried_out=True):
        self.at, self.kill, self.carried_out = at, kill, carried_out
        self.count, self.made, self.call = 0, 0, None
        self.lock = threading.Lock()

    def _now(self):
        self.made = 1
        self.kill()

    def before(self, call):
        with self.lock:
            if call.mutating:
                self.count += 1
                here = self.at(call) if callable(self.at) else self.count == self.at
                if self.call is None and here:
                    self.call = call  # others may come before its answer
        if call is self.call and not self.carried_out:
            self._now()
        return None

    def after(self, call, answer):
        if call is self.call and self.carried_out:
            self._now()
            return None
        return answer


# --- The proxy ---------------------------------------------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if size == 0:
                return b"".join(parts)

    def serve(self):
        answer = self.server.owner.answer(self.command, self.path, self.headers, self.body())
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer[:3]
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        cut = len(answer) > 3
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body) + (1 if cut else 0)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a script that was killed does not wait for its answer


class FaultCloud:
    """The proxy.  `calls` are those of the run that goes on; `faults` are asked in their order,
    before(call) -> an answer or None, and after(call, answer) -> an answer, None for none."""

    def __init__(self, port, moto_port):
        self.port, self.moto_port = port, moto_port
        self.calls, self.faults, self.run = [], [], ""
        self.policies = BucketPolicies()
        self.tokens = {}  # what calls with a token of their own were answered, as moto forgets it
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def begin(self, run, faults=()):
        """Only calls of this run count from now on; what an earlier one still asks is refused."""
        with self.lock:
            self.run, self.calls, self.faults = run, [], list(faults)

    def end(self):
        with self.lock:
            self.run, self.faults = "none", []
            return self.calls

    def forward(self, method, path, headers, body):
        link = http.client.HTTPConnection("127.0.0.1", self.moto_port, timeout=120)
        try:
            keep = {name: value for name, value in headers.items()
                    if name.lower() not in ("connection", "transfer-encoding", "expect",
                                            "content-length")}
            link.request(method, path, body, keep)
            answer = link.getresponse()
            found = {name: value for name, value in answer.getheaders() if name.lower() not in (
                "connection", "transfer-encoding", "server", "date",
                *(() if method == "HEAD" else ("content-length",)))}
            return answer.status, found, answer.read()
        finally:
            link.close()

    def answer(self, method, path, headers, body):
        call = parse(method, path, headers, body)
        with self.lock:
            if call.run != self.run:
                return None  # of a script that was killed
            self.calls.append(call)
            faults = self.faults
        for fault in faults:
            made = fault.before(call) if hasattr(fault, "before") else None
            if made:
                call.status = made[0]
                return made

        def ask(text):
            scope = headers["Authorization"].replace("/ssm/", "/ec2/")
            return self.forward("POST", "/", {
                "Authorization": scope, "Content-Type": "application/x-www-form-urlencoded",
                "Host": headers["Host"]}, text.encode())[2].decode()
        if call.run != self.run:
            return None  # killed just now, before the call
        token = call.fields.get("ClientToken") if call.service == "ec2" else None
        body = with_template(call, ask) or body
        made = (self.tokens.get(token) or self.policies.answer(call) or stand_in(call, ask)
                or self.forward(method, path, headers, body))
        call.status = made[0]
        if token and made[0] == 200:
            self.tokens[token] = made
        for fault in faults:
            if made is not None and hasattr(fault, "after"):
                made = fault.after(call, made)
        return made


def wait_answers(port, timeout_s):
    """Until somebody serves moto's own page on the port."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", "/moto-api/")
            if link.getresponse().status == 200:
                return
        except OSError:
            pass
        if time.monotonic() >= deadline:
            raise AssertionError(f"moto did not answer on port {port} within {timeout_s} s")
        time.sleep(0.1)
