"""The instance that a node runs on: its zone, its notices, its secret (worker-agent/cloud.h), and
the command portcullis-secret, against a server that fails as the real ones do (aws_server.py)."""
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

import aws_server
from agent_alone import DRAIN, NOT_READY, READ, UP, WRITE, Pair
from harness import BUILD, wait_until

SECRET = BUILD / "aws" / "portcullis-secret"


@pytest.fixture
def aws():
    with aws_server.serving() as one:
        yield one


def settings(aws, **more):
    """The section aws of an agent that asks this server."""
    return {"metadata": 1, "metadata_endpoint": f'"{aws.url}"', "timeout_ms": 500, **more}


@pytest.fixture
def start():
    """Starts a source, or a source and a replica, and takes them away after the test."""
    made = []

    def starts(sections, **options):
        made.append(Pair(threads=2, sections=sections, **options))
        return made[-1]

    yield starts
    for one in made:
        one.close()


# --- portcullis-secret ------------------------------------------------------------

def fetch(aws, folder, *more, secret_id=aws_server.SECRET_ID, wait_s=30):
    return subprocess.run(
        [SECRET, "--id", secret_id, "--directory", folder, "--imds", aws.url, "--endpoint",
         aws.url, "--wait", str(wait_s), *more],
        capture_output=True, text=True, timeout=120, check=False)


def test_the_command_writes_each_file_for_its_owner_alone(aws, tmp_path):
    aws.rotate("v1", **{"agent.key": "line\n\"é\"\n", "read.password": "pw"})
    done = fetch(aws, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "agent.key written\nread.password written\n"
    assert (tmp_path / "agent.key").read_text() == "line\n\"é\"\n"
    assert {one.name: oct(one.stat().st_mode & 0o777) for one in tmp_path.iterdir()} == {
        "agent.key": "0o400", "read.password": "0o400"}


def test_the_command_replaces_what_changed_and_nothing_else(aws, tmp_path):
    aws.rotate("v1", a="1", b="2")
    assert fetch(aws, tmp_path).returncode == 0
    aws.rotate("v2", a="1", b="3")
    before = (tmp_path / "a").stat().st_ino
    assert fetch(aws, tmp_path).stdout == "a unchanged\nb written\n"
    assert (tmp_path / "b").read_text() == "3"
    assert (tmp_path / "a").stat().st_ino == before


@pytest.mark.parametrize("fault", ["metadata:500", "metadata:noise", "metadata:cut", "secret:500",
                                   "secret:throttle", "secret:cut", "secret:noise",
                                   "metadata:hang", "secret:hang"])
def test_the_command_tries_again_after_a_fault(aws, tmp_path, fault):
    aws.faults += [fault, fault] if "hang" not in fault else [fault]
    done = fetch(aws, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: ") >= 1
    assert (tmp_path / "read.password").read_text() == "one\n"


def test_credentials_that_ended_are_renewed_at_once(aws, tmp_path):
    aws.faults.append("secret:expired")
    done = fetch(aws, tmp_path, wait_s=0)
    assert (done.returncode, done.stderr) == (0, "")
    assert aws.count("iam/security-credentials/" + aws_server.ROLE) == 2


def test_the_command_gives_up_in_time_and_leaves_what_was_there(aws, tmp_path):
    assert fetch(aws, tmp_path).returncode == 0
    done = fetch(aws, tmp_path, secret_id="portcullis/test/other", wait_s=1)
    assert done.returncode == 1
    assert "ResourceNotFoundException" in done.stderr.splitlines()[-1]
    assert [one.name for one in tmp_path.iterdir()] == ["read.password"]
    done = fetch(aws, tmp_path / "none", wait_s=0)
    assert done.returncode == 1 and "none" in done.stderr


def test_the_command_outlives_a_service_that_hangs_up(aws, tmp_path):
    """Over TLS libcurl may write to a connection that is gone."""
    aws.dead.set()
    with subprocess.Popen([SECRET, "--id", "x", "--directory", tmp_path, "--imds", aws.url]) as one:
        wait_until(lambda: aws.calls, 30, "it asks")
        with open(f"/proc/{one.pid}/status", encoding="ascii") as lines:
            ignored = next(line.split()[1] for line in lines if line.startswith("SigIgn"))
        one.kill()
    assert int(ignored, 16) >> (signal.SIGPIPE - 1) & 1


def test_the_command_says_no_word_of_a_secret(aws, tmp_path):
    aws.rotate("v1", **{"../HUSH": "HUSH"})
    done = fetch(aws, tmp_path, wait_s=0)
    assert done.returncode == 1
    assert "HUSH" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir()) and not (tmp_path.parent / "HUSH").exists()


@pytest.mark.parametrize("arguments", [
    [], ["--id", "x"], ["--id", "x", "--directory"], ["--id", "", "--directory", "d"],
    ["--id", "x", "--directory", "d", "--wait", "-1"], ["--bogus", "x"],
    ["--id", "x", "--directory", "d", "--imds", "file:///etc/passwd"],
    ["--id", "x", "--directory", "d", "--endpoint", "https://h/path"],
    ["--id", "x", "--directory", "d", "--region", "a b"]])
def test_wrong_usage_is_64(arguments):
    done = subprocess.run([SECRET, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert done.stderr.startswith("error: ")


# --- The agent on its instance ------------------------------------------------------

def test_the_zone_goes_into_the_report(aws, start):
    pair = start({"aws": settings(aws)})
    pair.proxy.wait_for(lambda report: report.zone == "eu-central-1a", what="the zone")
    assert not pair.proxy.probe().notice


def test_a_zone_of_the_settings_is_believed_first(aws, start):
    pair = start({"aws": settings(aws), "node": {"zone": "rack-7"}})
    assert pair.proxy.probe().zone == "rack-7"
    wait_until(lambda: aws.count("spot/instance-action") > 0, 15, "the agent looks for notices")
    assert pair.proxy.probe().zone == "rack-7"


def test_a_replica_leaves_and_a_source_goes_on_when_the_instance_ends(aws, start):
    pair = start({"aws": settings(aws)}, replica=True)
    replica = pair.replica.proxy
    pair.proxy.run(WRITE, "CREATE TABLE demo.t (a INT PRIMARY KEY)")
    assert replica.probe().state == UP and not replica.probe().notice
    aws.metadata["spot/instance-action"] = \
        '{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'
    replica.wait_for(lambda report: report.state == DRAIN and report.notice, 30,
                     what="the replica drains")
    pair.proxy.wait_for(lambda report: report.notice, 30, what="the source knows")
    assert pair.proxy.probe().state == UP
    pair.proxy.run(WRITE, "INSERT INTO demo.t VALUES (1)")
    assert replica.run(READ, "SELECT 1")["rows"] == [[1]], "what comes all the same is not lost"
    assert "event=spot_notice action=terminate" in pair.replica.log()
    assert pair.replica.metrics()["instance_notice"] == 2


def test_a_rebalance_notice_is_told_and_drains_where_that_is_set(aws, start):
    notice = {"events/recommendations/rebalance": '{"noticeTime": "2030-01-01T00:00:00Z"}'}
    aws.metadata.update(notice)
    pair = start({"aws": settings(aws)}, replica=True)
    pair.replica.proxy.wait_for(lambda report: report.notice, 30, what="the replica says it")
    assert pair.replica.proxy.probe().state == UP
    for key in notice:
        del aws.metadata[key]
    other = start({"aws": settings(aws, drain_on="rebalance")}, replica=True)
    aws.metadata.update(notice)
    other.replica.proxy.wait_for(lambda report: report.state == DRAIN, 30, what="it drains")


def test_a_notice_is_seen_by_who_does_not_know_its_zone(aws, start):
    del aws.metadata["placement/availability-zone"]
    aws.metadata["spot/instance-action"] = \
        '{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'
    pair = start({"aws": settings(aws)})
    pair.proxy.wait_for(lambda report: report.notice, 30, what="the notice")
    assert pair.proxy.probe().zone == ""
    pair.source_database.kill()
    pair.proxy.wait_for(lambda report: report.state != UP, 30, what="its database is gone")
    assert pair.proxy.probe().state == NOT_READY, "which is no reason to drain"


def test_a_token_that_the_service_forgot_is_fetched_anew(aws, start):
    pair = start({"aws": settings(aws)})
    wait_until(lambda: aws.count("spot/instance-action") > 0, 15, "the agent looks for notices")
    aws.forget_tokens()
    asked = aws.count("PUT /latest/api/token")
    wait_until(lambda: aws.count("PUT /latest/api/token") > asked, 30, "a new token")
    assert pair.source.metrics()["metadata_failures_total"] == 0


def test_a_dead_metadata_service_stops_nothing(aws, start):
    aws.dead.set()
    pair = start({"aws": settings(aws, timeout_ms=20000, secret_id=f'"{aws_server.SECRET_ID}"',
                                  secret_directory='"."')})
    wait_until(lambda: aws.calls, 15, "it is asked")
    for _ in range(20):
        assert pair.proxy.run(READ, "SELECT 1")["rows"] == [[1]]
    assert pair.proxy.probe().zone == ""
    began = time.monotonic()
    assert pair.source.stop() == 0
    assert time.monotonic() - began < 12, "nor the agent's end: less than the exchange may take"


def test_a_service_that_comes_back_is_noticed(aws, start):
    aws.faults += ["metadata:500"] * 3
    pair = start({"aws": settings(aws)})
    pair.proxy.wait_for(lambda report: report.zone == "eu-central-1a", 30, what="the zone")
    assert pair.source.metrics()["metadata_failures_total"] >= 1
    assert pair.source.log().count("event=cloud_lost") == 1
    assert "event=cloud_back" in pair.source.log()


def test_the_secret_is_kept_up_to_date(aws, start, tmp_path):
    files = tmp_path / "secret"
    files.mkdir()
    pair = start({"aws": settings(
        aws, secret_id=f'"{aws_server.SECRET_ID}"', secret_directory=f'"{files}"',
        secrets_endpoint=f'"{aws.url}"', refresh_ms=1000)})
    wait_until(lambda: (files / "read.password").exists(), 15, "the first version")
    aws.rotate("version-2", **{"read.password": "two\n"})
    wait_until(lambda: (files / "read.password").read_text() == "two\n", 15, "the second")
    aws.faults += ["secret:throttle", "secret:expired", "secret:500"]
    aws.rotate("version-3", **{"read.password": "three\n"})
    wait_until(lambda: (files / "read.password").read_text() == "three\n", 30, "the third")
    wait_until(lambda: pair.source.metrics()["secret_changes_total"] == 3, 10, "it is counted")
    log = pair.source.log()
    assert "event=secret_stored file=read.password version=version-3" in log
    assert "three" not in log


# --- moto ----------------------------------------------------------------------------

def test_moto_takes_the_signature_too(tmp_path):
    """A second opinion: what others have built of AWS's interfaces."""
    server = shutil.which("moto_server")
    if server is None:
        pytest.skip("moto_server is not installed: its opinion is not asked")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "moto.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([server, "-H", "127.0.0.1", "-p", str(port)], stdout=out,
                                   stderr=out)
    try:
        wait_until(lambda: answers(url), 180, "moto answers", every_s=0.2)
        post(url, "CreateSecret", {"Name": "portcullis/m/node1",
                                   "SecretString": '{"files":{"agent.key":"moto\\n"}}'})
        folder = tmp_path / "files"
        folder.mkdir()
        done = subprocess.run(
            [SECRET, "--id", "portcullis/m/node1", "--directory", folder, "--imds", url,
             "--endpoint", url, "--wait", "20"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "agent.key written\n"), done.stderr
        assert (folder / "agent.key").read_text() == "moto\n"
    finally:
        process.terminate()
        process.wait(20)


def answers(url):
    try:
        with urllib.request.urlopen(url + "/moto-api/", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def post(url, operation, keys):
    request = urllib.request.Request(url + "/", json.dumps(keys).encode(), {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"secretsmanager.{operation}",
        "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/secretsmanager/"
                         "aws4_request, SignedHeaders=host, Signature=x"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
