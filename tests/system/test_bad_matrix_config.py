"""Row B-20 of the bad-input matrix: configuration, keys, lists and policy that are missing, cut
short, readable by others, or not what they should be.

Whatever is wrong, the daemon does not start, says which file and why, ends with 78, and takes no
time and no memory over it."""
import os
import re
import resource
import socket
import subprocess
import time

import pytest
import zmq

from agent_alone import free_port
from harness import BUILD, SANITIZED, wait_until
from volume import volume

WRONG_CONFIGURATION = 78
PROGRAMS = {"gatekeeper": BUILD / "gatekeeper" / "portcullis-gatekeeper",
            "broker": BUILD / "broker" / "portcullis-broker",
            "proxy": BUILD / "proxy" / "portcullis-proxy",
            "agent": BUILD / "worker-agent" / "portcullis-worker-agent"}


def key_text(pair=None):
    public, secret = pair or zmq.curve_keypair()
    return (f'curve\n    public-key = "{public.decode()}"\n'
            f'    secret-key = "{secret.decode()}"\n')


def list_text(*names):
    return "".join(f"{name} {zmq.curve_keypair()[0].decode()}\n" for name in names)


POLICY = """policy
    version = "1"
roles
    app
        classes = "read write"
    report
        classes = "read"
        rows_max = "1000"
principals
    alice = "app {}"
    bob = "report {}"
"""


class Workshop:
    """The files of one daemon, all of them right; a test spoils one and starts it."""

    def __init__(self, folder, daemon):
        self.folder, self.daemon = folder, daemon
        self.files = {name: folder / name for name in ("config", "key", "list")}
        self.write("key", key_text(), 0o600)
        self.write("list", list_text("alice", "bob", "carol"))
        self.port = free_port()
        other = zmq.curve_keypair()[0].decode()
        values = {
            "gatekeeper": {"clients/endpoint": f"tcp://127.0.0.1:{self.port}",
                           "clients/keys": self.files["list"],
                           "broker/endpoint": f"tcp://127.0.0.1:{free_port()}",
                           "broker/public_key": other},
            "broker": {"gatekeepers/endpoint": f"tcp://127.0.0.1:{self.port}",
                       "gatekeepers/keys": self.files["list"],
                       "proxy/endpoint": f"tcp://127.0.0.1:{free_port()}",
                       "proxy/public_key": other},
            "proxy": {"brokers/endpoint": f"tcp://127.0.0.1:{self.port}",
                      "brokers/keys": self.files["list"],
                      "agents/endpoint": f"tcp://127.0.0.1:{free_port()}",
                      "agents/keys": self.files["list"]},
            "agent": {"node/name": "node1", "node/role": "source",
                      "proxy/endpoint": f"tcp://127.0.0.1:{free_port()}",
                      "proxy/public_key": other, "database/socket": folder / "none.sock"},
        }[daemon]
        values["curve/key_file"] = self.files["key"]
        values["http/address"] = f"127.0.0.1:{free_port()}"
        if daemon == "broker":
            self.files["policy"] = folder / "policy"
            self.write("policy", POLICY.format(*(zmq.curve_keypair()[0].decode()
                                                 for _ in range(2))))
            values["policy/file"] = self.files["policy"]
        if daemon == "agent":
            for account in ("read", "write", "replication"):
                self.files[account] = folder / f"{account}.password"
                self.write(account, f"secret of {account}\n", 0o600)
                values[f"accounts/{account}_password_file"] = self.files[account]
        sections = {}
        for path, value in values.items():
            section, _, key = path.partition("/")
            sections.setdefault(section, []).append(f'    {key} = "{value}"\n')
        self.write("config", "".join(f"{section}\n{''.join(lines)}"
                                     for section, lines in sections.items()))

    def write(self, name, text, mode=0o644):
        octets = text if isinstance(text, bytes) else text.encode()
        self.files[name].write_bytes(octets)
        self.files[name].chmod(mode)

    def text(self, name):
        return self.files[name].read_text()

    def launch(self, *options, timeout_s=8):
        """(exit code, what it wrote), when it has ended by itself."""
        done = subprocess.run(
            [PROGRAMS[self.daemon], "--config", self.files["config"], *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=timeout_s, check=False, preexec_fn=_little_memory)
        return done.returncode, done.stdout.decode(errors="replace")

    def refused(self, name, words=()):
        """It does not start, and says that it is this file; nothing of a secret is shown."""
        start = time.monotonic()
        code, said = self.launch()
        assert time.monotonic() - start < 10, "it thinks for too long"
        assert code == WRONG_CONFIGURATION, (code, said)
        assert str(self.files[name]) in said, said
        assert "ready" not in said
        lines = [line for line in said.splitlines() if str(self.files[name]) in line]
        reasons = [line.partition(str(self.files[name]))[2] for line in lines]
        assert all(len(reason) > 8 for reason in reasons), said
        assert not words or any(word in said for word in words), said
        for secret in re.findall(r'secret-key = "([^"]{40})"', self.hidden()):
            assert secret not in said
        return said

    def hidden(self):
        return self.files["key"].read_text(errors="replace") if self.files["key"].is_file() else ""

    def taken(self):
        code, said = self.launch("--check-config")
        assert code == 0, said


def _little_memory():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@pytest.fixture(params=PROGRAMS.keys())
def any_daemon(request, tmp_path):
    return Workshop(tmp_path, request.param)


@pytest.fixture(params=["gatekeeper", "broker", "proxy"])
def doorkeeper(request, tmp_path):
    return Workshop(tmp_path, request.param)


@pytest.fixture
def gatekeeper(tmp_path):
    return Workshop(tmp_path, "gatekeeper")


@pytest.fixture
def broker(tmp_path):
    return Workshop(tmp_path, "broker")


@pytest.fixture
def agent(tmp_path):
    return Workshop(tmp_path, "agent")


def test_b20_files_that_are_right_are_taken(any_daemon):
    any_daemon.taken()


# --- What is no file ---------------------------------------------------------------

def _missing(file):
    file.unlink()


def _folder(file):
    file.unlink()
    file.mkdir()


def _dangling(file):
    file.unlink()
    file.symlink_to(file.with_suffix(".gone"))


def _loop(file):
    file.unlink()
    file.symlink_to(file)


def _pipe(file):
    file.unlink()
    os.mkfifo(file, 0o600)


def _endless(file):
    file.unlink()
    file.symlink_to("/dev/zero")


def _socket(file):
    file.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(file))


NO_FILES = {"missing": _missing, "a folder": _folder, "a link to nothing": _dangling,
            "a link to itself": _loop, "a pipe": _pipe, "a link to /dev/zero": _endless,
            "a socket": _socket}


@pytest.mark.parametrize("spoil", NO_FILES.values(), ids=NO_FILES.keys())
@pytest.mark.parametrize("name", ["key", "list", "config"])
def test_b20_what_is_no_file(gatekeeper, name, spoil):
    spoil(gatekeeper.files[name])
    gatekeeper.refused(name)


@pytest.mark.parametrize("spoil", NO_FILES.values(), ids=NO_FILES.keys())
def test_b20_a_policy_that_is_no_file(broker, spoil):
    spoil(broker.files["policy"])
    broker.refused("policy")


@pytest.mark.parametrize("spoil", NO_FILES.values(), ids=NO_FILES.keys())
def test_b20_a_password_that_is_no_file(agent, spoil):
    spoil(agent.files["write"])
    agent.refused("write")


def test_b20_a_key_that_is_missing_is_named_by_every_daemon(any_daemon):
    any_daemon.files["key"].unlink()
    any_daemon.refused("key")


# --- Who else may read --------------------------------------------------------------

@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o666, 0o777, 0o610])
def test_b20_a_key_that_others_may_read(any_daemon, mode):
    any_daemon.files["key"].chmod(mode)
    any_daemon.refused("key")


def test_b20_a_password_that_others_may_read(agent):
    for account in ("read", "write", "replication"):
        agent.files[account].chmod(0o644)
        agent.refused(account)
        agent.files[account].chmod(0o600)
    agent.taken()


def test_b20_a_password_and_the_one_before_and_nothing_else(agent):
    text = agent.files["write"].read_text().strip()
    for lines in (f"{text}\nbefore\nthird\n", f"{text}\0\n", "\n", f"{text}\nbefore\0x"):
        agent.files["write"].write_text(lines)
        code, said = agent.launch()
        assert code in (1, WRONG_CONFIGURATION), (code, said)
        assert str(agent.files["write"]) in said and "third" not in said, said


def test_b20_a_link_is_what_it_points_to(gatekeeper):
    """A key behind a link is held to the same rule as a key, so a link cannot hide that others may
    read it; and what is right behind it is right."""
    key = gatekeeper.files["key"]
    real = key.with_suffix(".real")
    key.rename(real)
    key.symlink_to(real)
    gatekeeper.taken()
    real.chmod(0o644)
    gatekeeper.refused("key")


# --- Cut short, and spoiled ------------------------------------------------------------

def test_b20_a_key_cut_short_anywhere(gatekeeper):
    whole = gatekeeper.text("key")
    end = whole.rstrip().rindex('"') + 1  # after it only a line end is missing
    for size in range(0, end - 1, volume(7, 1)):
        gatekeeper.write("key", whole[:size], 0o600)
        gatekeeper.refused("key")


def test_b20_a_list_cut_short_in_a_line(gatekeeper):
    whole = gatekeeper.text("list")
    line = whole.index("\n") + 1
    for size in range(line + 1, line + 4 + 40, volume(5, 1)):
        gatekeeper.write("list", whole[:size])
        gatekeeper.refused("list")


def test_b20_a_configuration_cut_short_in_a_line(any_daemon):
    """One that ends after a line is one that lacks settings; it is refused as such, or is whole."""
    whole = any_daemon.text("config")
    for size in range(1, len(whole) - 1, volume(29, 3)):
        any_daemon.write("config", whole[:size])
        code, said = any_daemon.launch("--check-config")
        if code != 0:
            assert code == WRONG_CONFIGURATION and str(any_daemon.files["config"]) in said, said
        else:
            assert whole[:size].count('"') % 2 == 0, whole[:size][-30:]


def test_b20_a_policy_cut_short_anywhere_is_refused_or_has_fewer_lines(broker):
    whole = broker.text("policy")
    for size in range(0, len(whole) - 1, volume(11, 1)):
        broker.write("policy", whole[:size])
        code, said = broker.launch("--check-config")
        if code != 0:
            assert code == WRONG_CONFIGURATION and str(broker.files["policy"]) in said, said
        else:
            assert whole[:size].count('"') % 2 == 0, whole[:size][-30:]


SPOILED = {
    "nothing": b"", "NUL": b"\0", "a page of NUL": bytes(4096), "octets": bytes(range(256)) * 20,
    "an executable": b"\x7fELF" + bytes(2000), "one line without an end": b"x" * 1_000_000,
    "a byte order mark": b"\xef\xbb\xbfcurve\n", "UTF-16": "curve\n".encode("utf-16"),
    "not UTF-8": b"curve\n    public-key = \"\xff\xfe\"\n",
}


@pytest.mark.parametrize("octets", SPOILED.values(), ids=SPOILED.keys())
@pytest.mark.parametrize("name", ["key", "config"])
def test_b20_what_is_not_what_it_should_be(gatekeeper, name, octets):
    gatekeeper.write(name, octets, 0o600)
    gatekeeper.refused(name)


@pytest.mark.parametrize("octets", SPOILED.values(), ids=SPOILED.keys())
def test_b20_a_policy_that_is_none(broker, octets):
    broker.write("policy", octets)
    broker.refused("policy")


@pytest.mark.parametrize("what", [what for what in SPOILED if what != "nothing"])
def test_b20_a_list_that_is_none(doorkeeper, what):
    doorkeeper.write("list", SPOILED[what])
    doorkeeper.refused("list")


# --- Twice, too long, too many -------------------------------------------------------------

def test_b20_a_key_twice_in_its_file(gatekeeper):
    for which in ("public-key", "secret-key"):
        line = re.search(rf".*{which}.*\n", gatekeeper.text("key"))[0]
        whole = gatekeeper.text("key")
        gatekeeper.write("key", whole + line, 0o600)
        gatekeeper.refused("key")
        gatekeeper.write("key", whole, 0o600)


def test_b20_a_key_that_does_not_fit_its_other_half(gatekeeper):
    public = zmq.curve_keypair()[0]
    gatekeeper.write("key", key_text((public, zmq.curve_keypair()[1])), 0o600)
    gatekeeper.refused("key")


@pytest.mark.parametrize("twice", ["name", "key"])
def test_b20_a_name_or_a_key_twice_in_a_list(doorkeeper, twice):
    line = doorkeeper.text("list").splitlines()[0]
    name, key = line.split()
    fresh = zmq.curve_keypair()[0].decode()
    more = f"{name} {fresh}\n" if twice == "name" else f"another {key}\n"
    doorkeeper.write("list", doorkeeper.text("list") + more)
    doorkeeper.refused("list", ["twice"])


def test_b20_a_setting_twice_or_unknown_in_a_configuration(any_daemon):
    whole = any_daemon.text("config")
    key_line = re.search(r".*key_file.*\n", whole)[0]
    for more in (key_line, "    colour = \"red\"\n"):
        any_daemon.write("config", whole.replace(key_line, key_line + more))
        any_daemon.refused("config")


def test_b20_a_role_or_a_principal_twice_in_a_policy(broker):
    whole = broker.text("policy")
    alice = re.search(r"    alice.*\n", whole)[0]
    key = alice.split()[-1].rstrip('"')
    for spoiled in (whole + alice, whole + f'    carol = "app {key}"\n',
                    whole.replace("    report\n", "    app\n", 1),
                    whole.replace('"app ', '"nobody ', 1), whole.replace("rows_max", "rows", 1),
                    whole.replace('"1000"', '"many"'), whole.replace('"read"', '"raed"'),
                    whole.replace(key, key[:-1])):
        assert spoiled != whole
        broker.write("policy", spoiled)
        broker.refused("policy")


@pytest.mark.parametrize("size", [511, 512, 513, 4000, 60_000])
def test_b20_metadata_of_any_size_beside_a_key_overflows_nothing(gatekeeper, size):
    """CZMQ lets a certificate say more about itself; its own reader copies 512 octets unlooked."""
    key = gatekeeper.text("key")
    gatekeeper.write("key", f'metadata\n    name = "{"x" * size}"\n{key}', 0o600)
    code, said = gatekeeper.launch("--check-config")
    assert code == 0 or (code == WRONG_CONFIGURATION and str(gatekeeper.files["key"]) in said), said


def test_b20_a_key_file_and_a_list_over_their_bounds(gatekeeper):
    whole = gatekeeper.text("key")
    gatekeeper.write("key", whole + "# more\n" * 20_000, 0o600)
    gatekeeper.refused("key")
    gatekeeper.write("key", whole, 0o600)
    gatekeeper.write("list", gatekeeper.text("list") + "# more\n" * 3_000_000)
    gatekeeper.refused("list")


def test_b20_lines_that_end_as_elsewhere_are_read_as_they_are_meant_or_refused(gatekeeper):
    """CR LF: never a key with a CR in it, which fits nobody."""
    for name in ("list", "key", "config"):
        whole = gatekeeper.text(name)
        gatekeeper.write(name, whole.replace("\n", "\r\n"), 0o600)
        code, said = gatekeeper.launch("--check-config")
        assert code == 0 or (code == WRONG_CONFIGURATION
                             and str(gatekeeper.files[name]) in said), (name, said)
        gatekeeper.write(name, whole, 0o600)


@pytest.mark.plain
def test_b20_a_list_of_a_hundred_thousand_keys_is_read_at_once(gatekeeper):
    rows = []
    for number in range(100_000):
        key = zmq.utils.z85.encode(b"k" * 28 + number.to_bytes(4, "big")).decode()
        rows.append(f"client-{number} {key}\n")
    gatekeeper.write("list", "".join(rows))
    start = time.monotonic()
    gatekeeper.taken()
    assert time.monotonic() - start < (5 if not SANITIZED else 30)
    gatekeeper.write("list", "".join(rows) + rows[77_777])
    said = gatekeeper.refused("list", ["twice"])
    assert "100001" in said, said


def test_b20_a_folder_of_a_hundred_thousand_files_is_no_list(gatekeeper):
    file = gatekeeper.files["list"]
    file.unlink()
    file.mkdir()
    for number in range(volume(2000, 100_000)):
        (file / f"client-{number}").touch()
    gatekeeper.refused("list")


def test_b20_every_mistake_is_named_at_once(any_daemon):
    any_daemon.files["key"].chmod(0o644)
    any_daemon.write("config", any_daemon.text("config") + "colours\n    red = 1\n")
    said = any_daemon.refused("config")
    assert str(any_daemon.files["key"]) in said and "red" in said


def test_b20_a_gatekeeper_that_refused_starts_once_its_file_is_right(gatekeeper):
    """And never listened before."""
    gatekeeper.files["key"].chmod(0o644)
    gatekeeper.refused("key")
    gatekeeper.files["key"].chmod(0o600)
    process = subprocess.Popen([PROGRAMS["gatekeeper"], "--config", gatekeeper.files["config"]],
                               stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: "event=ready" in process.stderr.readline(), 10, "it starts")
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stderr.close()
