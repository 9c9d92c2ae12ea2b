"""The systemd units: what systemd itself says of them, and that a daemon needs no more than its
unit leaves it.  No service manager has to run for it: its tools read files."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import BUILD, wait_until

UNITS = BUILD / "packaging"
DAEMONS = ["portcullis-gatekeeper", "portcullis-broker", "portcullis-proxy",
           "portcullis-worker-agent", "portcullisd"]
FIREWALLS = [f"portcullis-firewall-{tier}" for tier in ("gatekeeper", "broker", "proxy",
                                                         "worker-agent")]

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None,
                                   reason="systemd-analyze is not installed")
of_the_product = pytest.mark.plain("a sanitizer asks the kernel for much that the daemon does not")


def settings(unit):
    """{setting: its values, one a line of the unit}."""
    found = {}
    for line in (UNITS / f"{unit}.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def binary(daemon):
    """Where the build has the daemon."""
    return BUILD / daemon.removeprefix("portcullis-") / daemon


@pytest.fixture
def units(tmp_path):
    """The units in a folder, with the binaries of the build in the place of installed ones."""
    for name in DAEMONS + FIREWALLS:
        text = (UNITS / f"{name}.service").read_text()
        text = re.sub(r"[^\s=]+/sbin/(portcullis\S+)", lambda found: str(binary(found[1])), text)
        (tmp_path / f"{name}.service").write_text(text)
    return tmp_path


def analyze(*words):
    return subprocess.run(["systemd-analyze", "--no-pager", *map(str, words)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
                          check=False, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})


@needs_systemd
@pytest.mark.parametrize("name", DAEMONS + FIREWALLS)
def test_systemd_finds_no_fault_in_the_unit(units, name):
    done = analyze("verify", "--man=no", units / f"{name}.service")
    # What the machine lacks is not the unit's fault.
    said = [line for line in done.stdout.splitlines()
            if name in line and "nft is not executable" not in line]
    assert not said


@needs_systemd
@pytest.mark.parametrize("name, exposure", [(name, 1.3) for name in DAEMONS]
                         + [(name, 2.5) for name in FIREWALLS])
def test_the_unit_leaves_little_exposed(units, name, exposure):
    """The tool's own sum, 0 to 10; what remains of a daemon's is that it has a network."""
    done = analyze("security", "--offline=true", f"--threshold={int(exposure * 10)}",
                   units / f"{name}.service")
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


@pytest.mark.parametrize("name", DAEMONS)
def test_each_daemon_has_a_user_and_secrets_of_its_own(name):
    own = settings(name)
    assert own["User"] == own["Group"] == [name]
    assert own["BindReadOnlyPaths"][0] == "/etc/portcullis/" + name.removeprefix("portcullis-")
    assert any(line.startswith(f"u {name} ") for line in
               (UNITS / f"{name}.sysusers").read_text().splitlines())
    files = {value.split(":")[1] for value in own["LoadCredential"]}
    assert all(file.startswith("/etc/portcullis/secrets/") for file in files)
    passwords = {file for file in files if file.endswith(".password")}
    assert bool(passwords) == (name == "portcullis-worker-agent")
    assert "portcullis" not in " ".join(own.get("Environment", []))  # no secret there, ever


def test_the_gatekeeper_writes_nothing_and_sees_one_folder():
    own = settings("portcullis-gatekeeper")
    assert not {"LogsDirectory", "StateDirectory", "BindPaths", "ReadWritePaths"} & set(own)
    assert own["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_NETLINK"]
    assert {"/etc:ro", "/var:ro"} <= set(own["TemporaryFileSystem"][0].split())
    assert len(own["LoadCredential"]) == 1


# --- What a daemon really does ---------------------------------------------------------

ALLOWED_FILES = re.compile(
    r"/(usr/)?lib(64)?/|/etc/ld\.so\.|/etc/(hosts|resolv\.conf|nsswitch\.conf|gai\.conf|protocols)$"
    r"|/proc/self/|/proc/\d+/(task/\d+/comm|statm|fd)$|/dev/(null|u?random)$"
    r"|/sys/devices/system/cpu|/sys/kernel/mm/"
    r"|/proc/(stat|meminfo|cpuinfo|sys/vm/overcommit_memory)$|/etc/localtime$")


def allowed_calls(name):
    """System calls that a unit's filter lets through."""
    groups = {}
    current = None
    for line in analyze("syscall-filter").stdout.splitlines():
        if line.startswith("@"):
            current = groups.setdefault(line.strip(), set())
        elif current is not None and line.strip() and not line.strip().startswith("#"):
            current.add(line.strip())

    def expand(word):
        if not word.startswith("@"):
            return {word}
        return set().union(*(expand(part) for part in groups[word]))
    calls = set()
    for value in settings(name)["SystemCallFilter"]:
        if value.startswith("~"):
            calls -= set().union(*(expand(word) for word in value[1:].split()))
        else:
            calls |= set().union(*(expand(word) for word in value.split()))
    assert len(calls) > 200  # the tool printed what it should
    return calls


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """What each daemon of a cluster asked of the kernel from its start to its end: lines of strace
    by part, and the cluster's folder."""
    from harness import Cluster
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("strace")
    cluster = Cluster("traced", nodes=1)
    try:
        cluster.up()
        parts = cluster.daemons()
        for name in parts:
            command = cluster.part(name)["command"]
            cluster.stop(name)
            launch = ["strace", "-f", "-qq", "-s", "256", "-e", "signal=none", "-o",
                      str(folder / name), *command]
            (cluster.var / "run" / f"{name}.cmd").write_text("\0".join(launch) + "\0")
            cluster.script("part.sh", "start", name)
        for name in parts:
            cluster.wait_ready(name)
        wait_until(cluster.whole, 30, "the proxy sees the node")
        with cluster.client() as client:
            client.query("CREATE TABLE traced (id INT)", db="demo")
            client.query("INSERT INTO traced VALUES (1)", db="demo")
            assert client.query("SELECT id FROM traced", db="demo").rows == [[1]]
        for name in parts:
            inner = int((folder / name).read_text().split()[0])
            os.kill(inner, 15)
        for name in parts:
            cluster.wait_ended(name, 30)
        yield {name: (folder / name).read_text().splitlines() for name in parts}, cluster.var
    finally:
        cluster.purge()


def unit_of(part):
    return "portcullis-worker-agent" if part.startswith("agent-") else f"portcullis-{part}"


@of_the_product
@needs_systemd
def test_no_daemon_makes_a_system_call_that_its_unit_forbids(traced):
    lines, _ = traced
    assert len(lines) == 4
    for part, calls in lines.items():
        made = {found[1] for line in calls
                if (found := re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ]", line))}
        assert len(made) > 30, part
        # The first is the service manager's own; what it asks to be refused, it lives without.
        refused = made - allowed_calls(unit_of(part)) - {"execve"}
        assert not refused, f"{part}: {refused}"


@of_the_product
def test_no_daemon_opens_a_socket_that_its_unit_forbids(traced):
    lines, _ = traced
    for part, calls in lines.items():
        families = {found[1] for line in calls
                    if (found := re.search(r"\bsocket\((AF_\w+)", line))}
        assert families, part
        allowed = set(settings(unit_of(part))["RestrictAddressFamilies"][0].split())
        assert families <= allowed, f"{part}: {families - allowed}"


@of_the_product
def test_no_daemon_makes_memory_that_is_written_and_executed(traced):
    lines, _ = traced
    for part, calls in lines.items():
        bad = [line for line in calls if re.search(r"\b(mmap|mprotect)\(", line)
               and "PROT_EXEC" in line and "PROT_WRITE" in line]
        assert not bad, f"{part}: {bad[:3]}"


@of_the_product
def test_the_gatekeeper_opens_no_file_but_its_key_its_list_and_its_configuration(traced):
    lines, var = traced
    opened = {found[2]: found[3] for line in lines["gatekeeper"]
              if (found := re.search(r"\bopen(at)?\([^\"]*\"([^\"]*)\", (\S+?)[,)]", line))
              and "ENOENT" not in line}
    assert opened
    own = {str(var / "etc/gatekeeper.cfg"), str(var / "keys/clients"),
           str(var / "secrets/gatekeeper.key")}
    assert own <= set(opened)
    others = {file for file in opened if file not in own and not ALLOWED_FILES.match(file)}
    assert not others
    writing = {file for file, how in opened.items() if "O_RDONLY" not in how
               and not file.startswith("/dev/")}
    assert not writing


@of_the_product
@pytest.mark.parametrize("part", ["gatekeeper", "broker", "proxy"])
def test_only_an_agent_opens_a_password(traced, part):
    lines, var = traced
    assert any(str(var) in line for line in lines[part])
    assert not [line for line in lines[part] if ".password" in line]


# --- Credentials ---------------------------------------------------------------------------

SECRET_OF = {"gatekeeper.key": "gatekeeper.key", "broker.key": "broker.key",
             "proxy.key": "proxy.key", "agent.key": "agent-node1.key"}


@pytest.mark.parametrize("name", DAEMONS[:4])
def test_a_daemon_takes_its_secrets_as_its_unit_hands_them_over(cluster, tmp_path, name):
    """By the names of LoadCredential=, in files that are as systemd makes them: readable for the
    group, as the mask of an access list looks like."""
    own = name.removeprefix("portcullis-")
    part = "agent-node1" if own == "worker-agent" else own
    config = (cluster.var / "etc" / f"{part}.cfg").read_text()
    for value in settings(name)["LoadCredential"]:
        credential, path = value.split(":")
        secret = os.path.basename(path)
        file = tmp_path / credential
        file.write_bytes((cluster.var / "secrets" / SECRET_OF.get(secret, secret)).read_bytes())
        file.chmod(0o440)
        shown = str(cluster.var / "secrets" / SECRET_OF.get(secret, secret))
        assert f'"{shown}"' in config
        config = config.replace(f'"{shown}"', f'"credential:{credential}"')
    assert "/secrets/" not in config  # there is no other
    (tmp_path / "cfg").write_text(config)
    words = [binary(name), "--config", tmp_path / "cfg", "--check-config"]
    fine = subprocess.run(words, env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path)},
                          capture_output=True, text=True, timeout=20, check=False)
    assert fine.returncode == 0, fine.stderr
    without = {key: value for key, value in os.environ.items() if key != "CREDENTIALS_DIRECTORY"}
    lost = subprocess.run(words, env=without, capture_output=True, text=True, timeout=20,
                          check=False)
    assert lost.returncode == 78 and "credential" in lost.stderr


# --- The package's script ----------------------------------------------------------------

def test_the_package_gives_each_daemon_its_folder(tmp_path):
    """postinst with the commands that would change this machine written down instead of run."""
    tools = tmp_path / "tools"
    tools.mkdir()
    log = tmp_path / "log"
    for name in ("systemd-sysusers", "useradd", "install", "systemctl", "getent"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> "{log}"\n'
                        + ("exit 2\n" if name == "getent" else ""))
        tool.chmod(0o755)
    script = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "postinst"
    for name in DAEMONS:
        log.write_text("")
        subprocess.run(["/bin/sh", script, "configure"], check=True, timeout=10,
                       env={"PATH": f"{tools}:/usr/bin:/bin", "DPKG_MAINTSCRIPT_PACKAGE": name})
        said = log.read_text().splitlines()
        folder = name.removeprefix("portcullis-")
        assert f"systemd-sysusers /usr/lib/sysusers.d/{name}.conf" in said
        assert any(line.startswith("useradd --system") and line.endswith(name) for line in said)
        assert f"install -d -m 750 -o root -g {name} /etc/portcullis/{folder}" in said
        assert "install -d -m 700 -o root -g root /etc/portcullis/secrets" in said
