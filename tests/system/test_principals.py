"""Who may come in, by the command alone: a key, a line in both lists, a bundle, a sealed query; and
out again.  And what sealing clients say of it."""
import contextlib
import pathlib
import re
import subprocess
import sys
import time

import pytest

from harness import ROOT, portcullis, wait_until


def part_key(bundle, section):
    """A public key out of the cluster's own bundle."""
    text = bundle.split(section, 1)[1]
    return re.search(r'public-key = "(.+)"', text)[1]


@pytest.fixture
def tool(cluster, tmp_path):
    """Runs the command in a folder of its own."""
    def run(*words, code=0):
        done = subprocess.run([cluster.info["command"], *map(str, words)], cwd=tmp_path, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def lists(cluster):
    """Options that name the two files."""
    return "--policy", cluster.info["policy"], "--clients", cluster.info["keys"]["clients"]


def make_bundle(cluster, tool, name):
    own = pathlib.Path(cluster.info["bundle"]).read_text()
    endpoint = re.search(r'endpoint = "(.+)"', own)[1]
    file = f"{name}.bundle"
    tool("bundle", file, "-g", endpoint, "-G", part_key(own, "\ngatekeeper"), "-B",
         part_key(own, "\nbroker"), "-k", f"{name}.key", "-p", name)
    return file


def test_a_principal_comes_and_goes(cluster, tool, lists, tmp_path):
    key = tool("principal", "add", "rita", "--role", "app", *lists).stdout.strip()
    try:
        bundle = make_bundle(cluster, tool, "rita")
        wait_until(lambda: tool_works(cluster, tmp_path / bundle), 5, "rita is let in")
        said = tool("--bundle", bundle, "ping", "-n", 1).stdout
        assert "sealed: yes" in said
        assert "sealed: yes" in tool("--bundle", bundle, "status").stdout
        assert f"rita\tapp\t{key}\t\n" in tool("principal", "list", *lists).stdout
        with portcullis.Client(tmp_path / bundle) as client:
            session = client.begin()
            assert session.query("SELECT 4711").rows == [[4711]]
            tool("principal", "revoke", "rita", *lists)
            until = time.monotonic() + 1.5  # a second, and what the command and this machine take
            with pytest.raises(portcullis.PortcullisError):
                while time.monotonic() < until:
                    session.query("SELECT 1")
                    time.sleep(0.02)
    finally:
        cluster.dismiss("rita")
    wait_until(lambda: not tool_works(cluster, tmp_path / bundle), 5, "rita stays out")


def tool_works(cluster, bundle):
    return subprocess.run([cluster.info["command"], "-b", str(bundle), "ping", "-n", "1", "-t",
                           "500"], capture_output=True, timeout=60, check=False).returncode == 0


def test_who_was_put_back_is_served_by_clients_that_stayed_open(cluster, tool, lists, tmp_path):
    """libzmq gives a gatekeeper up for good that has refused the key; the clients do not."""
    key = tool("principal", "add", "nina", "--role", "app", *lists).stdout.strip()
    pings, complaints = tmp_path / "pings", tmp_path / "complaints"
    words = "the gatekeeper refuses this client's key"
    try:
        bundle = tmp_path / make_bundle(cluster, tool, "nina")
        wait_until(lambda: tool_works(cluster, bundle), 5, "nina is let in")
        with pings.open("w") as out, complaints.open("w") as err, \
                portcullis.Client(bundle) as client, \
                ended([cluster.info["command"], "-b", bundle, "ping", "-n", "1000", "-i", "50"],
                      stdout=out, stderr=err):
            wait_until(pings.read_text, 5, "libportcullis is served")
            assert client.query("SELECT 1").rows == [[1]]
            tool("principal", "revoke", "nina", *lists)
            wait_until(lambda: words in failure(client), 8, "Python's client says why")
            wait_until(lambda: words in complaints.read_text(), 8, "libportcullis says why")
            time.sleep(3)  # so that it is not the first try
            before = pings.read_text().count(" ms")
            cluster.admit("nina", key)
            until = time.monotonic() + 3
            wait_until(lambda: not failure(client), until - time.monotonic(), "Python is served")
            wait_until(lambda: pings.read_text().count(" ms") > before,
                       max(0, until - time.monotonic()), "libportcullis is served again")
    finally:
        cluster.dismiss("nina")


@contextlib.contextmanager
def ended(words, **options):
    """A process that ends with the block."""
    with subprocess.Popen(words, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def failure(client):
    """What a query says that fails; else nothing."""
    try:
        client.query("SELECT 1")
    except portcullis.PortcullisError as error:
        return str(error)
    return ""


def test_a_mistake_is_refused_and_nobody_notices(cluster, tool, lists):
    before = [pathlib.Path(file).read_text() for file in lists[1::2]]
    tool("principal", "add", "rosa", "--role", "nobodys", *lists, code=64)
    tool("principal", "add", "local", "--role", "app", "-k", "other.key", *lists, code=2)
    assert [pathlib.Path(file).read_text() for file in lists[1::2]] == before
    assert cluster.client().query("SELECT 1").rows == [[1]]


def test_both_clients_seal(cluster, tool):
    said = tool("--bundle", cluster.info["bundle"], "ping", "-n", 1).stdout
    assert "sealed: yes" in said
    with cluster.client() as client:
        assert client.query("SELECT 1").sealed
        assert client.txn(["SELECT 1"])[0].sealed
        big = client.query("SELECT a.id, b.id FROM demo.orders a, demo.customers b LIMIT 3000")
        assert big.sealed and len(big) == 3000
        with pytest.raises(portcullis.PortcullisError) as caught:
            client.query("SELECT nothing FROM demo.orders")
        assert (caught.value.code, caught.value.sealed) == ("SQL", True)
        with pytest.raises(portcullis.PortcullisError) as caught:
            client.query("SELECT 1; SELECT 2")
        assert caught.value.retry in ("never", "unsafe")


def test_the_example_seals(cluster):
    done = subprocess.run([sys.executable, str(ROOT / "client/python/req_sealed.py"),
                           cluster.info["bundle"], "SELECT 4711"], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 0 and "4711" in done.stdout, done.stderr


def test_a_broker_with_another_key_is_not_believed(cluster, tool, tmp_path):
    """As if somebody else stood in the broker's place: its seals do not fit, and ours not it."""
    text = pathlib.Path(cluster.info["bundle"]).read_text()
    broker = part_key(text, "\nbroker")
    head, tail = text.split("\nbroker", 1)
    file = tmp_path / "other.bundle"
    file.write_text(head + "\nbroker" + tail.replace(broker, part_key(text, "\ngatekeeper"), 1))
    file.chmod(0o600)
    said = tool("--bundle", file, "query", "CREATE TABLE demo.never (n INT)", code=4).stderr
    assert "FORBIDDEN: seal: " in said and "it may have run" in said
    with cluster.client() as client:
        assert client.query("SHOW TABLES IN demo LIKE 'never'").rows == []
