"""A private cluster for tests: real binaries, a real database, started by infra/up.sh in a state
folder of its own, beside any cluster that an operator runs.

The environment says what to test: PORTCULLIS_TEST_BUILD (build folder, default build/dev),
PORTCULLIS_TEST_FLAVOR (mariadb or mysql), PORTCULLIS_TEST_SCRATCH (where state folders go; the
caller cleans up what is left there), PORTCULLIS_TEST_KEEP=1 keeps state folders for a look.
"""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python"))
import portcullis  # noqa: E402  (its folder must be on the path first)
from fault_proxy import FaultProxy  # noqa: E402

BUILD = pathlib.Path(os.environ.get("PORTCULLIS_TEST_BUILD", ROOT / "build" / "dev")).resolve()
FLAVOR = os.environ.get("PORTCULLIS_TEST_FLAVOR", "mariadb")
KEEP = os.environ.get("PORTCULLIS_TEST_KEEP", "") == "1"
AGENT = BUILD / "worker-agent" / "portcullis-worker-agent"
# Memory, times and system calls of such a build say little about the product's.
SANITIZED = AGENT.exists() and re.search(b"__[at]san_init", AGENT.read_bytes()) is not None
SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
    r"|Assertion .* failed")

# For whoever reads why a statement never ended.
WHAT_HANGS = ("SHOW FULL PROCESSLIST; SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync%'; "
              + ("SHOW SLAVE STATUS" if FLAVOR == "mariadb" else "SHOW REPLICA STATUS"))


def wait_until(question, timeout_s=10.0, what="", every_s=0.02):
    """Asks until the answer is true, and returns it; fails with `what` after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or question}")
        time.sleep(every_s)


def all_stopped(pid):
    """Every thread of the process stands still."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state = (task / "stat").read_text(encoding="utf-8", errors="replace")
            if state.rpartition(")")[2].split()[0] != "T":
                return False
    return True


def alive(pid):
    """Does the process run?  One that only waits for its parent's look does not."""
    with contextlib.suppress(OSError):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return False


class Cluster:
    """One cluster.  Options are those of infra/up.sh: nodes, roles ("apart" or "together"),
    sets (["proxy:routing/strategy=random", ...]), demo (load the demo schema), proxies."""

    def __init__(self, name="cluster", nodes=3, roles="apart", sets=(), demo=True, proxies=1):
        scratch = os.environ.get("PORTCULLIS_TEST_SCRATCH")
        if scratch:
            pathlib.Path(scratch).mkdir(parents=True, exist_ok=True)
        self.var = pathlib.Path(tempfile.mkdtemp(prefix=f"portcullis-{name}-", dir=scratch))
        self.options = ["--nodes", str(nodes), f"--roles-{roles}", "--flavor", FLAVOR]
        self.options += [word for one in sets for word in ("--set", one)]
        self.options += [] if demo else ["--no-demo"]
        self.options += [] if proxies == 1 else ["--proxies", str(proxies)]
        self.info = {}

    @classmethod
    def attached(cls, var):
        """The one that runs in this state folder, and goes on when this is forgotten."""
        one = cls.__new__(cls)
        one.var, one.options = pathlib.Path(var).resolve(), []
        one.look()
        return one

    @classmethod
    @contextlib.contextmanager
    def running(cls, name, **options):
        """A cluster for the with block, or for the tests of a fixture that yields in one: stopped
        in order and looked at afterwards, or killed where it did not come that far."""
        one = cls(name, **options)
        try:
            one.up()
            yield one
        except BaseException:
            one.purge()
            raise
        one.down()

    # --- The whole ---------------------------------------------------------------

    def script(self, name, *arguments, check=True, timeout_s=180):
        """One of infra/, on this cluster; its completed process."""
        done = subprocess.run(
            [str(ROOT / "infra" / name), "--var", str(self.var), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout_s, check=False)
        assert not check or done.returncode == 0, f"{name} {arguments}:\n{done.stdout}"
        return done

    def up(self, *options):
        """Starts it, or repairs it; returns what infra/up.sh printed."""
        done = self.script("up.sh", "--no-install", "--no-build", "--build-dir", str(BUILD),
                           *self.options, *options)
        self.look()
        return done.stdout

    def look(self):
        """Reads infra/status.sh --json into info again."""
        # An exit of 3 says that a part is down, which a test may want to see.
        done = self.script("status.sh", "--json", check=False)
        self.info = json.loads(done.stdout)
        return self.info

    def down(self):
        """Stops it in order, checks every log for a sanitizer's or an assertion's word, and
        deletes it."""
        self.script("down.sh")
        found = self.complaints()
        self.purge()
        assert not found, "\n".join(found)

    def purge(self):
        """Kills what runs of it and deletes it."""
        self.script("down.sh", "--kill", *([] if KEEP else ["--purge"]), check=False)
        if not KEEP:
            shutil.rmtree(self.var, ignore_errors=True)

    def complaints(self):
        """Lines in the daemons' logs that no run may have."""
        found = []
        for log in sorted((self.var / "log").glob("*.log")):
            text = log.read_text(errors="replace")
            for match in SANITIZER_REPORT.finditer(text):
                found.append(f"{log.name}: {text[match.start():match.start() + 2000]}")
                break
        return found

    def heal(self):
        """Continues what is paused, starts what is down, waits until all is ready."""
        dead = []
        for name in self.parts():
            pid = self.pid(name)
            if pid is None:
                dead.append(name)
            else:
                os.kill(pid, signal.SIGCONT)
        if dead:
            self.script("part.sh", "start", *dead)
        for name in sorted(self.parts(), key=lambda name: not name.startswith("node")):
            self.wait_ready(name)
        wait_until(self.whole, 30, "the proxy sees every node")
        wait_until(self.trusted, 45, "the proxy trusts every node")

    def whole(self):
        """Does each proxy see every node up, and how far behind each is?"""
        if "proxy" in self.parts():
            return all(self._sees_all(name, name) for name in self.proxies())
        return self._sees_all("portcullisd", "proxy")

    def proxies(self):
        """Names of the proxies that are a part of their own."""
        return [part["name"] for part in self.info["parts"] if part["kind"] == "proxy"]

    def _sees_all(self, name, role):
        status, text = self.get(name, "/api/cluster", role)
        if status != 200:
            return False
        seen = json.loads(text)["nodes"]
        return (len(seen) == len(self.nodes())
                and all((node["member"], node["state"]) == ("up", "up") and node["lag_ms"] >= 0
                        for node in seen)
                and any(node["role"] == "source" and not node["read_only"] for node in seen))

    def trusted(self):
        """Is no node ejected?  If one is, a read comes that may try it again."""
        with contextlib.suppress(portcullis.PortcullisError), self.client() as client:
            if all(node["health"]["state"] == "sound" for node in client.status()["nodes"]):
                return True
            client.query("SELECT 1", strategy="random")
        return False

    # --- A part ------------------------------------------------------------------

    def parts(self):
        """Names of all parts: node1, agent-node1, ..., proxy, broker, gatekeeper."""
        return [part["name"] for part in self.info["parts"]]

    def part(self, name):
        """What infra/status.sh says of a part."""
        return next(part for part in self.info["parts"] if part["name"] == name)

    def node(self, name):
        """What infra/status.sh says of a database node."""
        return next(node for node in self.info["nodes"] if node["name"] == name)

    def nodes(self, role=None):
        """Names of the nodes, all or of one configured role."""
        return [node["name"] for node in self.info["nodes"] if role in (None, node["role"])]

    def pid(self, name):
        """The process id of a living part, else None."""
        with contextlib.suppress(OSError, ValueError):
            pid, start, _ = (self.var / "run" / f"{name}.pid").read_text().split()
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX" and fields[19] == start:
                return int(pid)
        return None

    def kill(self, name):
        """SIGKILL, and wait until it is gone."""
        pid = self.pid(name)
        assert pid is not None, f"{name} is not running"
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid(name) is None, 10, f"{name} dies")

    def stop(self, name):
        """SIGTERM, and wait until it is gone."""
        self.script("part.sh", "stop", name)

    def start(self, name, ready=True):
        """The same command line again."""
        self.script("part.sh", "start", name)
        if ready:
            self.wait_ready(name)

    def restart(self, name):
        self.stop(name)
        self.start(name)

    def pause(self, name):
        """SIGSTOP: alive, and silent from the return of this call on: on a busy machine the thread
        that takes the signal may find no processor for a while, and the others go on meanwhile."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all_stopped(pid), 30, f"{name} stands still")

    def resume(self, name):
        os.kill(self.pid(name), signal.SIGCONT)

    def reload(self, name):
        """SIGHUP."""
        os.kill(self.pid(name), signal.SIGHUP)

    def wait_ready(self, name, timeout_s=60):
        if name.startswith("node"):
            wait_until(lambda: self.node_answers(name), timeout_s, f"{name} answers")
            return
        for role in self.part(name)["http"]:
            wait_until(lambda role=role: self.get(name, "/ready", role)[0] == 200, timeout_s,
                       f"{name} ready as {role}")

    def get(self, name, path, role=None):
        """GET on a part's HTTP address: (status, text); (0, why) without an answer."""
        addresses = self.part(name)["http"]
        host, port = addresses[role or next(iter(addresses))].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def metrics(self, name, role=None):
        """/metrics as a map from `name{labels}` to its value."""
        status, text = self.get(name, "/metrics", role)
        assert status == 200, text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {series: float(value) for series, _, value in lines if series}

    def log(self, name):
        """Everything that a part has logged."""
        return pathlib.Path(self.part(name)["log"]).read_text(errors="replace")

    def resident_kib(self, name):
        """Memory of a part's process."""
        text = pathlib.Path(f"/proc/{self.pid(name)}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1])

    # --- Clients -----------------------------------------------------------------

    def client(self, **options):
        """A Python client with this cluster's bundle; use it with `with`."""
        return portcullis.Client(self.info["bundle"], **options)

    def command(self, *arguments, text=None, check=True, timeout_s=30):
        """The command `portcullis` on this cluster; its completed process."""
        done = subprocess.run(
            [self.info["command"], *arguments], input=text or "", text=True, timeout=timeout_s,
            capture_output=True, check=False,
            env={**os.environ, "PORTCULLIS_BUNDLE": self.info["bundle"]})
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def token(self, position):
        """The token that an agent would make for these GTIDs."""
        key = bytes.fromhex((self.var / "secrets/token.key").read_text())
        mac = hashlib.blake2b(b"portcullis token 1" + position.encode(), key=key, digest_size=16)
        return f"1.{base64.urlsafe_b64encode(mac.digest()).decode().rstrip('=')}.{position}"

    def admit(self, name, public_key, role="app", policy=True):
        """Puts a principal on the gatekeeper's list and into the policy, or changes it there; the
        daemons see for themselves, within a second.  policy=False: the list alone."""
        self.dismiss(name)
        listed = pathlib.Path(self.info["keys"]["clients"])
        listed.write_text(f"{listed.read_text()}{name}  {public_key}\n")
        if policy:
            file = pathlib.Path(self.info["policy"])
            file.write_text(f'{file.read_text()}    {name} = "{role} {public_key}"\n')

    def dismiss(self, name):
        """Takes a principal off both."""
        for file in (self.info["keys"]["clients"], self.info["policy"]):
            file = pathlib.Path(file)
            lines = [line for line in file.read_text().splitlines()
                     if line.split()[:1] != [name]]
            file.write_text("\n".join([*lines, ""]))

    # --- The databases, past the daemons -------------------------------------------

    def sql(self, node, text, check=True):
        """Runs statements on a node as its administrator: rows as lists of text."""
        try:
            done = self._sql(node, text, 60)
        except subprocess.TimeoutExpired:
            seen = [self._sql(each, WHAT_HANGS, 10).stdout for each in self.nodes()]
            raise AssertionError("\n".join([f"{node} hangs: {text}", *seen])) from None
        assert not check or done.returncode == 0, f"{node}: {text}: {done.stderr}"
        return [line.split("\t") for line in done.stdout.splitlines()]

    def _sql(self, node, text, timeout_s):
        return subprocess.run(
            [self.info["database_command"],
             f"--defaults-extra-file={self.info['admin_defaults_file']}", "--user=root",
             f"--socket={self.node(node)['socket']}", "--batch", "--skip-column-names"],
            input=text, text=True, capture_output=True, timeout=timeout_s, check=False)

    def node_answers(self, node):
        return self.sql(node, "SELECT 1", check=False) == [["1"]]

    # --- Words that tests use --------------------------------------------------------

    @property
    def bundle(self):
        """The client bundle's path."""
        return self.info["bundle"]

    def source(self):
        """Name of the node that takes writes."""
        return self.nodes("source")[0]

    def replicas(self):
        return self.nodes("replica")

    def agent_of(self, node):
        """The part that is a node's agent."""
        return self.node(node)["agent"]

    def daemons(self):
        """Names of the parts that are ours: all but the databases."""
        return [name for name in self.parts() if not name.startswith("node")]

    def pids(self):
        """{daemon: process id}; fails when one is down."""
        pids = {name: self.pid(name) for name in self.daemons()}
        assert all(pids.values()), pids
        return pids

    def signal(self, name, number):
        os.kill(self.pid(name), number)

    def node_status(self, node):
        """What `status` says of a node."""
        with self.client() as client:
            return next(one for one in client.status()["nodes"] if one["name"] == node)

    def wait_serving(self, node, timeout_s=10, every_s=0.02):
        """Until the proxy sees the node up, and its lag known."""
        def serving():
            seen = self.node_status(node)
            return (seen["member"], seen["state"]) == ("up", "up") and seen["lag_ms"] >= 0

        wait_until(serving, timeout_s, f"{node} serves", every_s)

    def setting(self, name, key):
        """A number from a part's configuration, defaults included."""
        command = self.part(name)["command"]
        printed = subprocess.run([*command, "--print-config"], capture_output=True, text=True,
                                 timeout=10, check=True).stdout
        section, _, word = key.partition("/")
        found = re.search(rf"^{section}$.*?^\s+{word} = \"?(\d+)", printed, re.M | re.S)
        assert found, f"{key} is not in the configuration of {name}"
        return int(found[1])

    def wait_ended(self, name, timeout_s=10):
        wait_until(lambda: self.pid(name) is None, timeout_s, f"{name} ends")

    def wait_replicated(self, timeout_s=30):
        """Until every replica has applied what the source has committed by now."""
        if FLAVOR == "mariadb":
            position = self.sql(self.source(), "SELECT @@gtid_binlog_pos")[0][0]
            question = f"SELECT MASTER_GTID_WAIT('{position}', {timeout_s})"
        else:
            position = self.sql(self.source(), "SELECT @@GLOBAL.gtid_executed")[0][0]
            position = position.replace("\\n", "")
            question = f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {timeout_s})"
        assert position, "the source has no GTID: nothing to wait for"
        for node in self.replicas():
            assert self.sql(node, question) == [["0"]], f"{node} has not applied {position}"

    def stop_applying(self, node):
        """The replica receives and does not apply: it lags."""
        self.sql(node, "STOP SLAVE SQL_THREAD" if FLAVOR == "mariadb" else
                 "STOP REPLICA SQL_THREAD")

    def start_applying(self, node):
        self.sql(node, "START SLAVE SQL_THREAD" if FLAVOR == "mariadb" else
                 "START REPLICA SQL_THREAD")

    @contextlib.contextmanager
    def open_transaction(self, node, text):
        """Runs statements in a transaction that stays open for the with block."""
        holder = subprocess.Popen(
            [self.info["database_command"],
             f"--defaults-extra-file={self.info['admin_defaults_file']}", "--user=root",
             f"--socket={self.node(node)['socket']}", "--batch", "--skip-column-names",
             "--unbuffered"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            holder.stdin.write(f"BEGIN; {text}; SELECT 'held';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "held\n"
            yield
            holder.stdin.write("ROLLBACK;\n")
        finally:
            holder.stdin.close()
            holder.wait(timeout=10)
            holder.stdout.close()

    @contextlib.contextmanager
    def database_behind_proxy(self, node):
        """A node's agent reaches its database through a FaultProxy for the with block."""
        part, socket = self.agent_of(node), self.node(node)["socket"]
        config = pathlib.Path(self.part(part)["config"])
        text = config.read_text()
        detour = socket + ".proxy"
        assert socket in text
        with FaultProxy(listen=detour, target=socket) as proxy:
            try:
                config.write_text(text.replace(socket, detour))
                self.restart(part)
                self.wait_serving(node)
                yield proxy
            finally:
                config.write_text(text)
                self.restart(part)
                self.wait_serving(node)
        os.unlink(detour)
