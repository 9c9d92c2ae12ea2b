#!/usr/bin/env python3
"""A cloud for tests: moto's server, a proxy with faults before it, and the real AWS CLI.

    tests/infra/cloud.py run COMMAND...   runs a command in a fresh one, for a try by hand

moto's server and the CLI are looked for on the PATH, among pyenv's versions, and as modules of
/usr/bin/python3 (python3-moto, awscli of Debian 13).  Missing says why there can be none.

A call of the CLI takes half a second of processor time, nearly all of it to import itself, and a
script makes a hundred: a CLI that is written in Python is imported once by aws_server.py, which
forks for each call.  The CLI's code is the same.  run(plain=True) calls it as an operator does, and
PORTCULLIS_TEST_PLAIN_AWS=1 has all runs so.

PORTCULLIS_PORTS says which ports are free for tests, PORTCULLIS_TEST_SCRATCH where files go.
"""
import concurrent.futures
import contextlib
import functools
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import fault_cloud

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("PORTCULLIS_TEST_BUILD", ROOT / "build" / "dev")).resolve()
REGION = "eu-central-1"
PYTHON = "/usr/bin/python3"
SCRIPT_LIMIT_S = 1800  # a script that still runs then hangs


class Missing(Exception):
    """There is no moto or no usable AWS CLI here; the text says what was looked for."""


# --- Tools -------------------------------------------------------------------------

def _pyenv_binaries(name):
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    return sorted(pathlib.Path(root).glob(f"versions/*/bin/{name}"), reverse=True)


def _runs(command):
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL).returncode == 0
    return False


@functools.lru_cache(None)
def moto_command():
    """What starts moto's server, without its options."""
    binaries = [str(one) for one in _pyenv_binaries("moto_server")]
    if shutil.which("moto_server"):
        binaries.append(shutil.which("moto_server"))
    for command in [[one] for one in binaries] + [[PYTHON, "-m", "moto.server"]]:
        if _runs([*command, "--help"]):
            return command
    raise Missing("moto's server is not here (moto_server, or python3-moto of Debian 13)")


def _version(command):
    """(major, minor) of an AWS CLI; () when it does not run."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([command, "--version"], capture_output=True, text=True,
                              timeout=60, check=False)
        found = re.search(r"aws-cli/(\d+)\.(\d+)", done.stdout + done.stderr)
        return tuple(int(one) for one in found.groups()) if found else ()
    return ()


@functools.lru_cache(None)
def aws_command():
    """The AWS CLI's file; one that knows AWS_ENDPOINT_URL."""
    binaries = [str(one) for one in _pyenv_binaries("aws")]
    if shutil.which("aws"):
        binaries.append(shutil.which("aws"))
    seen = []
    for command in binaries:
        version = _version(command)
        if version >= (2, 13) or (1, 29) <= version < (2,):
            return command
        seen.append(f"{command} {version}")
    raise Missing(f"no AWS CLI that knows AWS_ENDPOINT_URL (found: {', '.join(seen) or 'none'})")


def could_be_had():
    """Can this machine have both?  Then a run without them is a failure and no skip."""
    if _pyenv_binaries("python3"):
        return True
    known = subprocess.run(["apt-cache", "policy", "python3-moto"], capture_output=True, text=True,
                           check=False) if shutil.which("apt-cache") else None
    return bool(known and re.search(r"Candidate: [^(\s]", known.stdout))


def _interpreter(command):
    """The Python that a CLI is written for; None for one that is not a Python script."""
    with open(command, "rb") as file:
        line = file.readline(200)
    found = re.match(rb"#!\s*(\S*python\S*)\s*$", line)
    return found.group(1).decode() if found else None


def port_free():
    first, last = (int(one) for one in os.environ.get("PORTCULLIS_PORTS", "20000-31999").split("-"))
    for _ in range(200):
        port = random.randint(first, last)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port")


# --- The cloud ---------------------------------------------------------------------

class Done:
    """How a script ended."""

    def __init__(self, command, code, output, calls, killed):
        self.command, self.code, self.output, self.calls = command, code, output, calls
        self.killed = killed  # the call that it was killed at, or None
        self.killed_at = killed.name if killed else None

    @property
    def mutating(self):
        return [call.name for call in self.calls if call.mutating]

    def __repr__(self):
        names = " ".join(call.name for call in self.calls[-20:])
        return (f"{self.command}: exit {self.code} after {len(self.calls)} calls (last: {names})\n"
                f"{self.output[-6000:]}")


class Cloud:
    """moto and the proxy; each script that runs against them is a run of its own."""

    def __init__(self, scratch):
        self.scratch = pathlib.Path(scratch)
        self.home = self.scratch / "home"
        self.bin = self.scratch / "bin"
        self.bin_plain = self.scratch / "bin-plain"
        for folder in (self.home, self.bin, self.bin_plain, self.scratch / "state"):
            folder.mkdir(parents=True, exist_ok=True)
        self.runs, self.helper, self.moto, self.proxy = 0, None, None, None
        self._start_moto()
        self._start_cli()

    def _start_moto(self):
        port = port_free()
        with open(self.scratch / "moto.log", "wb") as log:
            self.moto = subprocess.Popen(
                [*moto_command(), "-H", "127.0.0.1", "-p", str(port)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.scratch, env=self._plain_environment())
        fault_cloud.wait_answers(port, 120)
        self.proxy = fault_cloud.FaultCloud(port_free(), port)

    def _start_cli(self):
        real, wrapper = aws_command(), self.bin / "aws"
        interpreter = _interpreter(real)
        (self.bin_plain / "aws").symlink_to(real)
        if not interpreter or os.environ.get("PORTCULLIS_TEST_PLAIN_AWS") == "1":
            wrapper.symlink_to(real)
            return
        link = self.scratch / "aws.sock"
        self.helper = subprocess.Popen([interpreter, HERE / "aws_server.py", str(link)],
                                       stdin=subprocess.PIPE, env=self._plain_environment())
        deadline = time.monotonic() + 120
        while not link.exists():
            if self.helper.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the AWS CLI could not be imported")
            time.sleep(0.05)
        text = (HERE / "aws_call.py").read_text().replace('SOCKET = ""', f"SOCKET = {str(link)!r}")
        wrapper.write_text(f"#!{PYTHON} -IS\n{text}")
        wrapper.chmod(0o755)

    def _plain_environment(self):
        plain = {name: value for name, value in os.environ.items()
                 if not name.startswith(("AWS_", "PYTHONPATH", "BASH_ENV"))
                 and not name.lower().endswith("_proxy")}
        return {**plain, "HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def environment(self, run, plain=False):
        own = self.bin_plain if plain else self.bin
        return {**self._plain_environment(), "PATH": f"{own}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}",
                "AWS_ACCESS_KEY_ID": f"AKID{run}", "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
                "PORTCULLIS_AWS_STATE": str(self.scratch / "state"),
                "PORTCULLIS_COMMAND": str(BUILD / "client" / "portcullis"),
                "PORTCULLIS_AWS_ENV": str(self.scratch / "none.env"),
                "PORTCULLIS_AWS_POLL_S": "0.1", "PORTCULLIS_AWS_RETRY_MS": "20",
                "PORTCULLIS_AWS_WAIT_S": "60"}

    def close(self):
        if self.proxy:
            self.proxy.close()
        if self.helper:
            self.helper.stdin.close()
            self.helper.wait(30)
        if self.moto:
            self.moto.kill()
            self.moto.wait(30)

    def reset(self):
        """An account with nothing in it."""
        self.moto_api("POST", "/moto-api/reset")
        self.proxy.policies.known.clear()
        self.proxy.tokens.clear()
        shutil.rmtree(self.scratch / "state")
        (self.scratch / "state").mkdir()

    def moto_api(self, method, path):
        link = http.client.HTTPConnection("127.0.0.1", self.proxy.moto_port, timeout=60)
        with contextlib.closing(link):
            link.request(method, path)
            answer = link.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text) if text else None

    def run(self, *command, faults=(), kill_at=None, carried_out=True, environment=None,
            folder=ROOT, plain=False):
        """Runs a script, if wanted with a CLI that imports itself for each call.  With kill_at it
        is killed at its mutating call of that number, or at the first of which kill_at(call) is
        true, which is carried out or not; the code is then -9."""
        self.runs += 1
        run = f"{os.getpid()}x{self.runs}"
        faults = list(faults)
        with tempfile.TemporaryFile(dir=self.scratch) as output:
            started = threading.Event()
            box = []

            def kill():
                started.wait()
                self.proxy.run = "none"
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(box[0].pid, signal.SIGKILL)

            if kill_at:
                faults.append(fault_cloud.Kill(kill_at, kill, carried_out))
            self.proxy.begin(run, faults)
            box.append(subprocess.Popen(
                [str(one) for one in command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
                env={**self.environment(run, plain), **(environment or {})}))
            started.set()
            try:
                code = box[0].wait(SCRIPT_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(box[0].pid, signal.SIGKILL)
                code = f"none within {SCRIPT_LIMIT_S} s"
                box[0].wait()
            calls = self.proxy.end()
            output.seek(0)
            return Done(" ".join(str(one) for one in command), code,
                        output.read().decode("utf-8", "replace"), calls,
                        next((one.call for one in faults if isinstance(
                            one, fault_cloud.Kill) and one.made), None))

    @contextlib.contextmanager
    def asking(self):
        """Within it ask() and fetch() may be called, from more than one thread."""
        self.proxy.begin("asking")
        try:
            yield
        finally:
            self.proxy.end()

    def _cli(self, *arguments):
        done = subprocess.run([self.bin / "aws", *arguments], capture_output=True, check=False,
                              timeout=SCRIPT_LIMIT_S, stdin=subprocess.DEVNULL,
                              env=self.environment("asking"))
        if done.returncode != 0:
            raise RuntimeError(f"aws {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout

    def ask(self, *arguments):
        """What a call of the CLI says, as JSON; no fault meets it."""
        return json.loads(self._cli(*arguments, "--output", "json") or b"null")

    def fetch(self, url):
        """The content of an object of S3."""
        return self._cli("s3", "cp", url, "-")

    def put(self, bucket, key, content):
        """Within asking(): makes an object of S3."""
        with tempfile.NamedTemporaryFile(dir=self.scratch) as file:
            file.write(content)
            file.flush()
            self._cli("s3", "cp", "--only-show-errors", file.name, f"s3://{bucket}/{key}")

    def aws(self, *arguments):
        with self.asking():
            return self.ask(*arguments)

    def inventory(self):
        """All that is in the account, whoever made it: {(kind, id)}."""
        with self.asking(), concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = pool.map(lambda one: (one, self.ask(*one[0].split(), "--query", one[1])), KINDS)
            return {(what[0].split()[1], ident) for what, ids in found for ident in ids or []}


# Each kind of thing that a script could leave: the call, and what of its answer counts.
KINDS = (
    ("ec2 describe-vpcs", "Vpcs[].VpcId"),
    ("ec2 describe-subnets", "Subnets[].SubnetId"),
    ("ec2 describe-route-tables", "RouteTables[].RouteTableId"),
    ("ec2 describe-internet-gateways", "InternetGateways[].InternetGatewayId"),
    ("ec2 describe-nat-gateways", "NatGateways[?State!='deleted'].NatGatewayId"),
    ("ec2 describe-security-groups", "SecurityGroups[].GroupId"),
    ("ec2 describe-vpc-endpoints", "VpcEndpoints[?State!='deleted'].VpcEndpointId"),
    ("ec2 describe-addresses", "Addresses[].AllocationId"),
    ("ec2 describe-network-interfaces", "NetworkInterfaces[].NetworkInterfaceId"),
    ("ec2 describe-instances",
     "Reservations[].Instances[?State.Name!='terminated'].InstanceId[]"),
    ("ec2 describe-volumes", "Volumes[].VolumeId"),
    ("ec2 describe-launch-templates", "LaunchTemplates[].LaunchTemplateId"),
    ("ec2 describe-key-pairs", "KeyPairs[].KeyName"),
    # Of AWS a network's own goes with it; moto keeps it.
    ("ec2 describe-network-acls", "NetworkAcls[?!IsDefault].NetworkAclId"),
    ("iam list-roles", "Roles[].RoleName"),
    ("iam list-instance-profiles", "InstanceProfiles[].InstanceProfileName"),
    ("iam list-policies --scope Local", "Policies[].PolicyName"),
    ("secretsmanager list-secrets --include-planned-deletion", "SecretList[].Name"),
    ("s3api list-buckets", "Buckets[].Name"),
    ("ssm describe-parameters", "Parameters[].Name"),
    ("ssm list-documents --filters Key=Owner,Values=Self", "DocumentIdentifiers[].Name"),
    ("logs describe-log-groups", "logGroups[].logGroupName"),
)


@contextlib.contextmanager
def running():
    """A cloud in a folder of its own; raises Missing."""
    moto_command()
    aws_command()
    scratch = tempfile.mkdtemp(prefix="cloud-", dir=os.environ.get("PORTCULLIS_TEST_SCRATCH"))
    one = None
    try:
        one = Cloud(scratch)
        yield one
    finally:
        if one:
            one.close()
        if os.environ.get("PORTCULLIS_TEST_KEEP") != "1":
            shutil.rmtree(scratch, ignore_errors=True)


def main(arguments):
    if arguments[1:2] == ["--"]:
        del arguments[1]
    if len(arguments) < 2 or arguments[0] != "run":
        print(__doc__, file=sys.stderr)
        return 64
    with running() as cloud:
        cloud.proxy.begin("hand")
        code = subprocess.call(arguments[1:], env=cloud.environment("hand"))
        for call in cloud.proxy.end():
            print(f"{'*' if call.mutating else ' '} {call.status} {call.name}", file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
