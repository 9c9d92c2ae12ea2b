"""What stands between clients and a database elsewhere: HAProxy, ProxySQL, MySQL Router; and what
a process takes of the machine.  compare.py uses both.
"""
import contextlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROUTER_ROOT = pathlib.Path(os.environ.get("PORTCULLIS_MYSQL_ROOT",
                                          "/var/cache/portcullis/mysql-root"))
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CLIENTS_MAX = 4000  # every peer is told to take as many


class Missing(Exception):
    """A peer is not to be had here; the text says why."""


def until_parent(command):
    """The same command, ended with this process even where that is killed."""
    return ["setpriv", "--pdeathsig", "TERM", *map(str, command)]


def free_port():
    """On loopback, from PORTCULLIS_PORTS (FIRST-LAST) as infra/up.sh has it."""
    first, _, last = os.environ.get("PORTCULLIS_PORTS", "20000-31999").partition("-")
    for _ in range(200):
        port = random.randint(int(first), int(last))
        with contextlib.closing(socket.socket()) as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port on loopback found")


def first_line(command):
    """What a program says of its version."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]


# --- Peers ---------------------------------------------------------------------------------


class Peer:
    """One of them, in front of the database at port database.  A subclass has name, config() and
    command(); self.folder is for its files, self.port for its clients."""
    name = ""

    def __init__(self, folder, database, user, password):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(parents=True)
        self.database, self.user, self.password = database, user, password
        self.port = free_port()
        self.process = None
        self.version = self.look()

    def look(self):
        """Its version; Missing where it cannot run here."""
        raise NotImplementedError

    def start(self):
        """Runs it, and waits until it takes connections; Missing where it does not."""
        file = self.folder / "config"
        file.touch(mode=0o600)
        file.write_text(self.config())
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(until_parent(self.command(file)), stdout=log,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            cwd=self.folder)
        deadline = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                text = (self.folder / "log").read_text(errors="replace")
                raise Missing(f"it did not start: {text.strip()[-300:] or 'no word in its log'}")
            time.sleep(0.05)

    def answers(self):
        """Does the database's greeting come through it?"""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                return len(one.recv(16)) > 4
        return False

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def shown_config(self):
        """For the record: its configuration without what is secret."""
        return self.config().replace(self.password, "***")


class HAProxy(Peer):
    """As it comes, passing on TCP: it does not look at what it carries."""
    name = "haproxy"

    def look(self):
        if not shutil.which("haproxy"):
            raise Missing("haproxy is not installed (Debian: apt-get install haproxy)")
        return first_line(["haproxy", "-v"])

    def config(self):
        return f"""global
    maxconn {2 * CLIENTS_MAX}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen mysql
    bind 127.0.0.1:{self.port}
    maxconn {CLIENTS_MAX}
    server node1 127.0.0.1:{self.database}
"""

    def command(self, file):
        return ["haproxy", "-db", "-f", file]


class ProxySQL(Peer):
    """It is not in Debian, so only where somebody has installed it."""
    name = "proxysql"

    def look(self):
        if not shutil.which("proxysql"):
            raise Missing("proxysql is not on the path, and Debian has no package of it")
        self.admin_port = free_port()
        return first_line(["proxysql", "--version"])

    def config(self):
        return f"""datadir="{self.folder}"
admin_variables =
{{
    admin_credentials="admin:{self.password}"
    mysql_ifaces="127.0.0.1:{self.admin_port}"
}}
mysql_variables =
{{
    threads={os.cpu_count() or 1}
    max_connections={CLIENTS_MAX}
    interfaces="127.0.0.1:{self.port}"
    default_schema="demo"
    monitor_enabled=false
}}
mysql_servers =
(
    {{ address="127.0.0.1", port={self.database}, hostgroup=0, max_connections={CLIENTS_MAX} }}
)
mysql_users =
(
    {{ username="{self.user}", password="{self.password}", default_hostgroup=0,
      max_connections={CLIENTS_MAX} }}
)
"""

    def command(self, file):
        return ["proxysql", "-f", "--initial", "-c", file, "-D", self.folder]


class Router(Peer):
    """MySQL Router, of this machine or of the root of Debian unstable that tests/mysql-root.sh
    makes: from there with the loader and the libraries of that root."""
    name = "router"

    def look(self):
        self.root = pathlib.Path("/")
        if not shutil.which("mysqlrouter"):
            self.root = ROUTER_ROOT
            if not (self.root / "usr/bin/mysqlrouter").exists():
                raise Missing("mysqlrouter is neither installed nor in the root of Debian "
                              "unstable (tests/mysql-root.sh add mysql-router)")
        return first_line([*self.program(), "--version"])

    def program(self):
        if self.root == pathlib.Path("/"):
            return ["mysqlrouter"]
        paths = [self.root / LIBRARIES, self.root / "usr/lib/mysql-router"]
        return [self.root / "lib64/ld-linux-x86-64.so.2", "--library-path",
                ":".join(map(str, paths)), self.root / "usr/bin/mysqlrouter"]

    def plugins(self):
        for found in self.root.glob("usr/lib/**/routing.so"):
            return found.parent
        raise Missing("the plugin `routing` of mysqlrouter was not found")

    def config(self):
        return f"""[DEFAULT]
logging_folder = {self.folder}
runtime_folder = {self.folder}
data_folder = {self.folder}
plugin_folder = {self.plugins()}
max_total_connections = {CLIENTS_MAX}
[logger]
level = WARNING
[routing:bench]
bind_address = 127.0.0.1
bind_port = {self.port}
destinations = 127.0.0.1:{self.database}
routing_strategy = first-available
protocol = classic
client_ssl_mode = PASSTHROUGH
server_ssl_mode = AS_CLIENT
max_connections = {CLIENTS_MAX}
"""

    def command(self, file):
        return [*self.program(), "--config", file, *(["--user", "root"] if os.getuid() == 0
                                                     else [])]


PEERS = (HAProxy, ProxySQL, Router)


# --- What a process takes --------------------------------------------------------------------


def cpu_s(pid):
    """Processor time of a process until now, all its threads, ended ones too.  OSError where there
    is no such process: none is not the same as no time."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kib(pid):
    """{"rss": KiB, "pss": KiB}; pss, in which a shared page counts its share, needs the right to
    look."""
    found = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                found["rss"] = int(line.split()[1])
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found["pss"] = int(line.split()[1])
    return found


class Sample:
    """The processor time of named processes, and of the machine, at one moment."""

    def __init__(self, pids):
        self.at_s = time.monotonic()
        self.cpu_s = {name: cpu_s(pid) for name, pid in pids.items()}
        words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = (int(word) / TICKS for word in words[:8])
        self.busy_s, self.steal_s = user + nice + system + irq + softirq, steal

    def since(self, other):
        """What was used between the two: {"seconds", "cpu_s": {name: s}, "others", "steal"}, the
        last two as shares of all the processors: what ran that is not of these, and what the host
        did not give."""
        seconds = max(self.at_s - other.at_s, 1e-6)
        used = {name: self.cpu_s[name] - other.cpu_s.get(name, 0.0) for name in self.cpu_s}
        whole = seconds * (os.cpu_count() or 1)
        others = self.busy_s - other.busy_s - sum(used.values())
        return {"seconds": seconds, "cpu_s": used, "others": max(others, 0.0) / whole,
                "steal": (self.steal_s - other.steal_s) / whole}
