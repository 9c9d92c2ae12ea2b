"""Where secrets must not be: arguments, environments, logs, pages, configurations, cores."""
import base64
import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import BUILD, wait_until

Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
NOBODY = 65534


def z85_octets(text):
    """The 32 octets of a key."""
    octets = b""
    for start in range(0, len(text), 5):
        value = 0
        for character in text[start:start + 5]:
            value = value * 85 + Z85.index(character)
        octets += value.to_bytes(4, "big")
    return octets


def secrets_of(cluster):
    """{what it is: the octets by which it would be found}: every secret of a cluster, in every
    form that a careless line could have it in."""
    found = {}
    for file in sorted((cluster.var / "secrets").iterdir()):
        text = file.read_text()
        if file.suffix == ".password":
            word = text.strip()
            found[file.name] = word.encode()
            found[f"{file.name} in base64"] = base64.b64encode(word.encode()).rstrip(b"=")[:24]
        for word in re.findall(r'secret-key\s*=\s*"(.{40})"', text):
            raw = z85_octets(word)
            found[file.name] = word.encode()
            found[f"{file.name} in hex"] = raw.hex().encode()
            found[f"{file.name} in octets"] = raw
            found[f"{file.name} in base64"] = base64.b64encode(raw)[:42]
    return found


def leaks(secrets, octets):
    lower = octets.lower()
    return [name for name, secret in secrets.items()
            if secret in octets or (name.endswith("hex") and secret in lower)]


@pytest.fixture(scope="module")
def talkative():
    """A cluster whose daemons say all that they ever say."""
    from harness import Cluster
    sets = [f"{who}:log/level=debug" for who in ("gatekeeper", "broker", "proxy", "agent")]
    with Cluster.running("secrets", nodes=2, sets=sets) as one:
        with one.client() as client:
            client.query("CREATE TABLE kept (id INT PRIMARY KEY, note TEXT)", db="demo")
            client.query("INSERT INTO kept VALUES (?, ?)", [1, "n"], db="demo")
            for text in ("SELECT * FROM nowhere", "GRANT ALL ON *.* TO x", "SELECT"):
                with pytest.raises(Exception):
                    client.query(text, db="demo")
        for name in one.daemons():  # what a reload and a broken neighbour make them say
            one.reload(name)
        one.kill(one.agent_of("node2"))
        one.up()
        yield one


def test_the_search_finds_what_is_there(talkative):
    """The other tests prove nothing with an empty list, or if they could not find anything."""
    secrets = secrets_of(talkative)
    assert len([name for name in secrets if name.endswith(".key")]) >= 6
    assert len([name for name in secrets if name.endswith(".password")]) >= 4
    everything = b"".join(file.read_bytes() for file in (talkative.var / "secrets").iterdir())
    plain = {name for name in secrets if " in " not in name}
    assert plain <= set(leaks(secrets, everything))
    assert all(len(secret) >= 24 for secret in secrets.values())


@pytest.mark.parametrize("page", ["cmdline", "environ", "comm", "maps"])
def test_no_process_shows_a_secret(talkative, page):
    if page in ("environ", "maps") and os.geteuid() != 0:
        pytest.skip("a daemon shows that to root alone")
    secrets = secrets_of(talkative)
    for name in talkative.parts():
        pid = talkative.pid(name)
        for task in ["", *(f"task/{task}/" for task in os.listdir(f"/proc/{pid}/task"))]:
            text = pathlib.Path(f"/proc/{pid}/{task}{page}").read_bytes()
            assert not leaks(secrets, text), f"{name}: {page}"


def test_no_file_but_the_secrets_themselves_holds_one(talkative):
    """Logs at the level debug, configurations, key lists, the policy, the audit, process files."""
    secrets = secrets_of(talkative)
    own = {talkative.var / "client.bundle"}  # the client's own key is what it is for
    looked_at = 0
    for file in talkative.var.rglob("*"):
        inside = file.relative_to(talkative.var).parts
        if not file.is_file() or inside[0] == "secrets" or file in own:
            continue
        if inside[0].startswith("node") and inside[1:2] == ("data",):
            continue  # the databases' own, which keep hashes
        looked_at += 1
        assert not leaks(secrets, file.read_bytes()), file
    assert looked_at > 20
    for name in talkative.daemons():
        assert "debug" in talkative.log(name) or "info" in talkative.log(name)
    bundle = leaks(secrets, (talkative.var / "client.bundle").read_bytes())
    assert bundle == ["client.key"]


def test_the_databases_keep_no_password_as_it_is(talkative):
    passwords = {name: secret for name, secret in secrets_of(talkative).items()
                 if name.endswith(".password") and name != "replication.password"}
    files = [file for file in (talkative.var / "node1" / "data").rglob("*") if file.is_file()]
    assert len(files) > 20
    for file in files:
        assert not leaks(passwords, file.read_bytes()), file


def test_no_page_and_no_script_says_a_secret(talkative):
    secrets = secrets_of(talkative)
    for name in talkative.daemons():
        for role in talkative.part(name)["http"]:
            for path in ("/health", "/ready", "/metrics", "/api/cluster"):
                assert not leaks(secrets, talkative.get(name, path, role)[1].encode()), path
    for words in (["status.sh"], ["status.sh", "--json"]):
        assert not leaks(secrets, talkative.script(*words).stdout.encode())
    for words in (["status"], ["status", "--json"], ["query", "SELECT 1", "--route"]):
        done = talkative.command(*words)
        assert not leaks(secrets, (done.stdout + done.stderr).encode())


def test_secrets_are_readable_by_their_owner_alone(talkative):
    folder = talkative.var / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    assert (talkative.var / "client.bundle").stat().st_mode & 0o077 == 0


def test_a_mistake_in_a_secret_is_named_without_it(talkative, tmp_path):
    """A truncated key, a world-readable one and a key in the wrong place."""
    text = (talkative.var / "secrets" / "gatekeeper.key").read_text()
    secret = re.search(r'secret-key\s*=\s*"(.{40})"', text)[1]
    shown = (talkative.var / "etc" / "gatekeeper.cfg").read_text()
    binary = BUILD / "gatekeeper" / "portcullis-gatekeeper"
    for content, mode in ((text.replace(secret, secret[:39]), 0o600), (text, 0o644),
                          (text.replace("secret-key", "sekret-key"), 0o600)):
        key = tmp_path / "key"
        key.write_text(content)
        key.chmod(mode)
        config = tmp_path / "gatekeeper.cfg"
        config.write_text(re.sub(r'key_file = ".*"', f'key_file = "{key}"', shown))
        done = subprocess.run([binary, "--config", config, "--check-config"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
                              check=False)
        assert done.returncode == 78 and str(key) in done.stdout
        assert secret[:39] not in done.stdout


LITERAL = "zebra-4711-quagga"


def test_no_log_and_no_audit_has_a_literal_or_a_parameter(cluster):
    """At the level of logs that is the default."""
    with cluster.client() as client:
        client.query("CREATE TABLE IF NOT EXISTS spoken (note VARCHAR(80))", db="demo")
        client.query(f"INSERT INTO spoken VALUES ('{LITERAL}')", db="demo")
        client.query("INSERT INTO spoken VALUES (?)", [LITERAL], db="demo")
        found = client.query(f"SELECT note FROM spoken WHERE note = '{LITERAL}'", db="demo",
                             strategy="direct")
        assert len(found.rows) == 2
        for text in (f"SELECT '{LITERAL}' FROM nowhere", f"SELECT '{LITERAL}",
                     f"SELECT * FROM spoken WHERE note = '{LITERAL}' INTO OUTFILE '{LITERAL}'",
                     f"INSERT INTO spoken VALUES ('{LITERAL * 10}')"):
            with pytest.raises(Exception):
                client.query(text, db="demo")
        client.query("DROP TABLE spoken", db="demo")
    files = [file for folder in ("log", "audit", "run") for file in
             (cluster.var / folder).rglob("*") if file.is_file()]
    assert len(files) > 8 and any(file.parent.name == "audit" for file in files)
    for file in files:
        assert LITERAL.encode() not in file.read_bytes(), file


# --- The process itself --------------------------------------------------------------------

@pytest.fixture
def alone(talkative, tmp_path):
    """A gatekeeper of nobody's, with the right to write any core into its folder."""
    folder = pathlib.Path(f"/tmp/portcullis-core-{os.getpid()}")
    if os.geteuid() != 0:
        pytest.skip("starting a daemon as another user needs root")
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    shutil.copy(talkative.var / "secrets" / "gatekeeper.key", folder / "key")
    shutil.copy(talkative.var / "keys" / "clients", folder / "clients")
    shutil.copy(BUILD / "gatekeeper" / "portcullis-gatekeeper", folder / "daemon")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (talkative.var / "etc" / "gatekeeper.cfg").read_text()
    text = re.sub(r'key_file = ".*"', f'key_file = "{folder}/key"', text)
    text = re.sub(r'keys = ".*"', f'keys = "{folder}/clients"', text)
    text = re.sub(r'(clients\n\s+endpoint = ).*', rf'\1"tcp://127.0.0.1:{port}"', text)
    (folder / "cfg").write_text(re.sub(r'address = ".*"', 'address = ""', text))
    for file in folder.iterdir():
        os.chown(file, NOBODY, NOBODY)
        file.chmod(0o700 if file.name == "daemon" else 0o600)

    def drop():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    with open(folder / "log", "wb") as log:
        daemon = subprocess.Popen([folder / "daemon", "--config", folder / "cfg"], cwd=folder,
                                  stderr=log, preexec_fn=drop)
    try:
        wait_until(lambda: "event=" in (folder / "log").read_text(), 20, "it says a word")
        time.sleep(0.3)
        assert daemon.poll() is None, (folder / "log").read_text()
        yield daemon, folder
    finally:
        daemon.kill()
        daemon.wait()
        shutil.rmtree(folder)


def test_a_daemon_cannot_be_looked_into_by_its_own_user(alone):
    """Not dumpable: its memory in /proc is root's, so no debugger of its user comes in."""
    daemon, _ = alone
    assert os.stat(f"/proc/{daemon.pid}/mem").st_uid == 0
    as_user = subprocess.run(
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
         "cat", f"/proc/{daemon.pid}/environ"], capture_output=True, timeout=10, check=False)
    assert as_user.returncode != 0


@pytest.mark.plain("a sanitizer handles the signal itself")
def test_a_daemon_that_crashes_leaves_no_core(alone):
    daemon, folder = alone
    limits = pathlib.Path(f"/proc/{daemon.pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    # Even with the limit taken back: the kernel dumps no process that is not dumpable.  Not every
    # root may do that; then the limit alone is tried.
    with contextlib.suppress(PermissionError):
        resource.prlimit(daemon.pid, resource.RLIMIT_CORE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    before = set(folder.iterdir())
    daemon.send_signal(signal.SIGSEGV)
    assert daemon.wait(20) == -signal.SIGSEGV
    assert set(folder.iterdir()) == before


@pytest.mark.plain("a sanitizer's memory is terabytes, and keeps all")
def test_keys_are_not_left_in_memory_as_text(talkative):
    """libzmq keeps the octets that it works with; the text of the file is wiped once it is read.
    The broker keeps it in one place: it makes a key for the seals of each principal that comes."""
    if os.geteuid() != 0:
        pytest.skip("reading a daemon's memory needs root")
    for name in ("gatekeeper", "broker", "proxy"):
        pid = talkative.pid(name)
        text = (talkative.var / "secrets" / f"{name}.key").read_text()
        secret = re.search(r'secret-key\s*=\s*"(.{40})"', text)[1].encode()
        copies = octets = 0
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
                open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                found = re.match(r"(\w+)-(\w+) rw", line)
                if not found:
                    continue
                start, end = (int(word, 16) for word in found.groups())
                memory.seek(start)
                try:
                    held = memory.read(end - start)
                except OSError:
                    continue
                octets += len(held)
                copies += held.count(secret)
        needed = 1 if name == "broker" else 0
        assert octets > 1_000_000 and copies <= needed, f"{name}: {copies} copies of its secret key"
