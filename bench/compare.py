#!/usr/bin/python3
"""How fast is a cluster beside HAProxy, ProxySQL and MySQL Router, and beside its database alone?

One database node, the same data and the same sysbench for all of them.  In each repeat every path
has its turn at every number of clients, one beside the other, so that what the machine does
meanwhile hits all; what is compared are the ratios within a repeat.  Ours runs twice, with
gatekeeper, broker and proxy as processes of their own and all three in portcullisd, CURVE and seal
on; and besides sysbench also under portcullis-bench, whose clients share one connection.

Besides: the floor that bare libzmq sets (bare_hops), a result of a gigabyte beside the mysql
client, what idle clients cost the gatekeeper, and one slow replica (nodes.py).  At the end every
target of the project's design with what was measured.

bench/compare.sh installs and builds what this needs, and is the way to start it.  Exit: 0 measured;
1 nothing could be measured; 64 usage; 130 interrupted: then it prints what it has.
"""
import contextlib
import json
import os
import pathlib
import platform
import re
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "tests/system", HERE.parent / "client/python"):
    sys.path.insert(0, str(folder))

import compare_report as report  # noqa: E402  (their folders must be on the path first)
import conditions  # noqa: E402
import nodes  # noqa: E402
from caller import make_numbers  # noqa: E402
from compare_options import OURS, read_options  # noqa: E402
from compare_peers import (  # noqa: E402
    CLIENTS_MAX, PEERS, Missing, Sample, first_line, memory_kib, until_parent)
from harness import BUILD, ROOT, Cluster, wait_until  # noqa: E402
from outcome import ratios  # noqa: E402

BENCH = BUILD / "bench"
USER = "bench"
WARMUP_S = 1
AGAIN = (64, 128)  # where peers run beside both of ours
MUX_CLIENTS_MIN = 64  # below, only a single client is of interest: the unloaded latency
LINE = re.compile(r"^\[ (\d+)s \] thds: \d+ tps: [\d.]+ qps: ([\d.]+) .*err/s: ([\d.]+)")
BUCKET = re.compile(r"^\s*([\d.]+) \|\**\s+(\d+)\s*$")
POINT_SQL = "SELECT c FROM sbtest1 WHERE id=?"


# --- One run ---------------------------------------------------------------------------------


def percentile(buckets, share):
    """Of (value, count) in the order of values; 0.0 of none."""
    rank, seen = share * sum(count for _, count in buckets), 0
    for value, count in buckets:
        seen += count
        if seen >= rank:
            return value
    return 0.0


def end(process):
    """Asked first, so that it can end what it has started; killed where that takes too long."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()


@contextlib.contextmanager
def running(command, seconds, **options):
    """A process for the with block; ended where it outlasts `seconds`, or the block fails."""
    with subprocess.Popen(until_parent(command), stdout=subprocess.PIPE, text=True,
                          **{"stdin": subprocess.DEVNULL, **options}) as process:
        guard = threading.Timer(seconds, end, [process])
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            if sys.exc_info()[0] is not None:
                end(process)


def figures(first, last, queries, shown):
    """What the processes took between two samples, a query."""
    used = last.since(first)
    return {"cpu_us": {name: round(used["cpu_s"][name] * 1e6 / max(queries, 1), 3)
                       for name in shown},
            "others": round(used["others"], 4), "steal": round(used["steal"], 4)}


def run_sysbench(command, environment, pids, shown, seconds):
    """Its figures, from its second line of progress to the last; shown are the processes whose
    cost is told, pids all that are ours."""
    samples, rates, errors, buckets, said, memory = [], [], 0.0, [], [], {}
    with running([*command, f"--time={seconds + WARMUP_S}", "--report-interval=1",
                  "--histogram=on", "run"], seconds + 60, stderr=subprocess.STDOUT,
                 env=environment) as process:
        pids = {**pids, "client": process.pid}
        for line in process.stdout:
            if found := LINE.match(line):
                samples.append(Sample(pids))
                rates.append(float(found[2]))
                errors += float(found[3])
                if len(samples) == 2:
                    memory = {name: memory_kib(pids[name]) for name in shown}
            elif found := BUCKET.match(line):
                buckets.append((float(found[1]), int(found[2])))
            elif line.strip():
                said.append(line.strip())
    if process.returncode != 0 or len(samples) < 2 or not sum(rates[1:]):
        why = [line for line in said if "FATAL" in line or "rror" in line] or said[-1:]
        return {"failed": "; ".join(report.in_order(why)[:2] or ["it said nothing"])[:300]}
    took_s = samples[-1].at_s - samples[0].at_s
    queries = sum(rates[1:]) / len(rates[1:]) * took_s
    return {"qps": round(sum(rates[1:]) / len(rates[1:]), 1), "errors": errors,
            "p50_ms": percentile(buckets, 0.5), "p99_ms": percentile(buckets, 0.99),
            "memory_kib": memory,
            **figures(samples[0], samples[-1], queries, [*shown, "client"])}


def run_driver(command, environment, pids, shown, seconds):
    """portcullis-bench; its processor time is sampled well inside of what it measures."""
    with running(command, seconds + 60, env=environment,
                 stderr=subprocess.PIPE) as process:
        pids = {**pids, "client": process.pid}
        time.sleep(WARMUP_S + 0.3)
        first = Sample(pids)
        time.sleep(seconds - 0.6)
        last = Sample(pids)
        memory = {name: memory_kib(pids[name]) for name in shown}
        printed, complaint = process.communicate()
    if process.returncode not in (0, 3):
        return {"failed": (complaint.strip().splitlines() or ["it said nothing"])[-1][:200]}
    row = json.loads(printed)["strategies"][0]
    if not row["ok"]:
        return {"failed": f"no request succeeded: {row['errors']}"}
    queries = row["throughput"] * (last.at_s - first.at_s)
    doubt = {"doubt": row["doubt"]} if row["doubt"] else {}
    return {**doubt,
            "qps": round(row["throughput"], 1), "errors": row["failed"], "codes": row["errors"],
            "p50_ms": row["latency_us"]["p50"] / 1000, "p99_ms": row["latency_us"]["p99"] / 1000,
            "memory_kib": memory, **figures(first, last, queries, [*shown, "client"])}


# --- The comparison ----------------------------------------------------------------------------


class Comparison:
    """What is up while it runs, and what it has measured: self.whole, which becomes the JSON."""

    def __init__(self, options):
        self.options = options
        self.password = secrets.token_hex(12)
        self.peers, self.cluster = [], None
        self.folder = tempfile.TemporaryDirectory(prefix="portcullis-compare-")
        self.whole = {"made": time.strftime("%Y-%m-%d %H:%M:%S %Z"), "quick": options.quick,
                      "interrupted": False, "plan": plan(options), "machine": machine(),
                      "versions": {}, "config": {}, "missing": {}, "bare": [], "runs": []}

    # What is up.

    def start(self):
        """The cluster, roles apart; the data; the peers that there are."""
        say("starting a cluster of one node, loading data")
        # All clients come from one address, which in life they do not; sessions are for read_write.
        self.cluster = Cluster("compare", nodes=1, demo=False, sets=report.SETS)
        self.cluster.up()
        wait_until(self.cluster.whole, 30, "the proxy sees the node")
        self.load()
        for kind in PEERS:
            self.add_peer(kind)
        self.record()

    def load(self):
        """Room for all clients, an account for those that come past us, and the table."""
        self.cluster.sql("node1", f"""
            SET GLOBAL max_connections = {CLIENTS_MAX + 100};
            SET GLOBAL thread_cache_size = {CLIENTS_MAX};
            CREATE DATABASE IF NOT EXISTS demo;
            DROP USER IF EXISTS '{USER}'@'127.0.0.1';
            CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{self.password}';
            GRANT ALL ON demo.* TO '{USER}'@'127.0.0.1';""")
        command = self.sysbench("direct", report.POINT, 1)
        for word in ("cleanup", "prepare"):
            done = subprocess.run([*command, word], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"sysbench {word}: {done.stdout}{done.stderr}"
        self.cluster.sql("node1", "ANALYZE TABLE demo.sbtest1")

    def add_peer(self, kind):
        try:
            peer = kind(self.folder.name, self.database_port(), USER, self.password)
            peer.start()
        except Missing as why:
            self.whole["missing"][kind.name] = str(why)
            say(f"!!! {kind.name} is not in this comparison: {why}")
            return
        self.peers.append(peer)

    def record(self):
        versions, config = self.whole["versions"], self.whole["config"]
        versions["portcullis"] = first_line([BUILD / "client/portcullis", "--version"]) \
            + source_version()
        versions["database"] = self.cluster.sql("node1", "SELECT VERSION()")[0][0]
        versions["sysbench"] = first_line(["sysbench", "--version"])
        for peer in self.peers:
            versions[peer.name], config[peer.name] = peer.version, peer.shown_config()
        for file in sorted([*self.cluster.var.glob("etc/*.cfg"),
                            self.cluster.var / "node1/my.cnf"]):
            config[file.name] = file.read_text()

    def stop_cluster(self):
        """And the peers in front of its node."""
        for peer in self.peers:
            peer.stop()
        self.peers = []
        if self.cluster is not None:
            for complaint in self.cluster.complaints():
                say(complaint)
            self.cluster.purge()
            self.cluster = None

    def stop(self):
        """All that was started."""
        self.stop_cluster()
        self.folder.cleanup()

    def switch(self, roles):
        """Our daemons as processes of their own, or together; the agent and the node stay."""
        if self.cluster.info["roles"] != roles:
            say(f"roles {roles}")
            self.cluster.up(f"--roles-{roles}")
            wait_until(self.cluster.whole, 30, "the proxy sees the node")

    def database_port(self):
        return self.cluster.node("node1")["port"]

    # One run.

    def sysbench(self, path, workload, clients):
        """The command, but for what it shall do."""
        words = [f"oltp_{workload}", "--mysql-db=demo", "--tables=1", "--rand-type=uniform",
                 f"--table-size={self.options.rows}", f"--threads={clients}"]
        if path in OURS:
            return [HERE / "sysbench/run.sh", "--build-dir", BUILD, *words,
                    f"--portcullis-connections={self.options.connections}"]
        ports = {peer.name: peer.port for peer in self.peers}
        return ["sysbench", *words, f"--config-file={self.account()}", "--mysql-host=127.0.0.1",
                f"--mysql-user={USER}", f"--mysql-port={ports.get(path) or self.database_port()}"]

    def account(self):
        """A file with the password: a command line can be read by anybody."""
        file = pathlib.Path(self.folder.name) / "account"
        file.touch(mode=0o600)
        file.write_text(f"mysql-password={self.password}\n")
        return file

    def measure(self, path, workload, clients):
        """The figures of one turn; where a process was not there to be looked at, why there are
        none."""
        try:
            return self.look(path, workload, clients)
        except (AssertionError, OSError) as why:
            return {"failed": f"{type(why).__name__}: {why}"[:300]}

    def look(self, path, workload, clients):
        environment = {**os.environ, "PORTCULLIS_BUNDLE": self.cluster.bundle}
        ours = self.cluster.pids()
        peers = {peer.name: peer.process.pid for peer in self.peers}
        pids = {**ours, **peers, "node1": self.cluster.pid("node1")}
        assert pids["node1"], "the database does not run"
        shown = ["node1"]
        if path.split("-")[0] in OURS:
            shown = [*ours, "node1"]
        elif path != "direct":
            shown = [path, "node1"]
        if not path.endswith("-mux"):
            return run_sysbench(self.sysbench(path, workload, clients), environment, pids, shown,
                                self.options.seconds)
        command = [BENCH / "driver/portcullis-bench", "sql", POINT_SQL, "--db", "demo", "--param",
                   f"int:1..{self.options.rows}", "--clients", clients, "--time",
                   self.options.seconds, "--warmup", WARMUP_S, "--quiet", "--json", "-"]
        return run_driver(command, environment, pids, shown, self.options.seconds)

    def paths(self, half, workload, clients, first_half):
        """Who has a turn there: the peers beside both of ours where it matters most, else once."""
        beside = ["direct"]  # both of ours are held against it, each against that of its half
        if first_half or (clients in AGAIN and not self.options.quick):
            beside += [peer.name for peer in self.peers]
        plain, mux = OURS[half]
        ours = [plain]
        if workload == report.POINT and (clients >= MUX_CLIENTS_MIN or clients == 1):
            ours.append(mux)
        found = [*beside, *ours]
        return [path for path in found if not self.options.paths or path in self.options.paths]

    def repeat(self, number):
        """Every path at every number of clients; the halves take turns in being first."""
        halves = [half for half in OURS if half in self.options.halves]
        for half in halves if number % 2 == 1 else halves[::-1]:
            self.switch(half)
            first_half = half == halves[0]
            for workload in self.options.workloads:
                for clients in self.options.clients:
                    self.turns(number, half, workload, clients, first_half)
            self.bare(number, half)

    def turns(self, number, half, workload, clients, first_half):
        paths = self.paths(half, workload, clients, first_half)
        shift = number % len(paths) if paths else 0
        for path in paths[shift:] + paths[:shift]:
            found = self.measure(path, workload, clients)
            self.whole["runs"].append({"repeat": number, "half": half, "workload": workload,
                                       "path": path, "clients": clients, **found})
            say(f"repeat {number}/{self.options.repeats}  {workload}  {path:12} {clients:5} "
                "clients  " + (f"failed: {found['failed']}" if found.get("failed") else
                               f"{found['qps']:9,.0f}/s  p50 {found['p50_ms']:.2f} ms  "
                               f"others {found['others'] + found['steal']:.0%}"))

    # What is measured once, or beside.

    def bare(self, number, half):
        for curve in ([], ["-c"]):
            done = subprocess.run([BENCH / "bare_hops", "-n", "2000", *curve], check=True,
                                  capture_output=True, text=True, timeout=60)
            self.whole["bare"].append({"repeat": number, "half": half,
                                       **json.loads(done.stdout)})

    def gigabyte(self):
        """The same rows as text to nowhere, by the mysql client and by ours, in turn.  First of
        all, so that the daemons' memory at most is of this alone."""
        rows, size = (1000000, 1072) if not self.options.quick else (100000, 1072)
        say(f"a result of {rows * size / 1e9:.2f} GB")
        make_numbers(self.cluster, "many", rows, "''")
        sql = f"SELECT n, REPEAT(LPAD(n, 16, '0'), {size // 16}) FROM demo.many"
        mysql = [self.cluster.info["database_command"], "--quick", "--batch",
                 "--host=127.0.0.1", f"--port={self.database_port()}", f"--user={USER}", "-e", sql]
        ours = [BUILD / "client/portcullis", "query", "--format", "csv", sql]
        found = {"octets": rows * size, "mysql_s": [], "portcullis_s": []}
        for _ in range(self.options.repeats):
            for name, command in (("mysql_s", mysql), ("portcullis_s", ours)):
                begun = time.monotonic()
                subprocess.run(until_parent(command), check=True, stdout=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, timeout=180,
                               env={**os.environ, "MYSQL_PWD": self.password,
                                    "PORTCULLIS_BUNDLE": self.cluster.bundle})
                found[name].append(round(time.monotonic() - begun, 3))
        found["most_kib"] = {name: high_kib(pid) for name, pid in self.cluster.pids().items()}
        self.whole["gigabyte"] = found

    def idle(self):
        """What the gatekeeper takes for each of many clients that have had one answer and now do
        nothing, by scale.py: from a tenth of them to all."""
        clients = 1000 if self.options.quick else 10000
        say(f"{clients} idle clients")
        file = pathlib.Path(self.folder.name) / "scale.json"
        with running([sys.executable, HERE / "scale.py", "--clients", f"{clients // 10},{clients}",
                      "--agents", 1, "--rounds", 1, "--idle-seconds", 1, "--idle-only",
                      "--json", file],
                     300, stderr=subprocess.STDOUT,
                     env={**os.environ, "PORTCULLIS_TEST_SCRATCH": self.folder.name}) as process:
            said = process.stdout.read()
        # Its exit code also tells of bars of its own.
        assert file.exists(), said.strip()[-200:]
        found = json.loads(file.read_text())
        assert found["idle_kib_per_client"] is not None, said.strip()[-200:]
        self.whole["idle"] = {"clients": clients,
                              "kib_each": round(found["idle_kib_per_client"], 2)}

    def slow(self):
        """One replica ten times slower, on a cluster of its own, by nodes.py."""
        say("one replica ten times slower")
        options = nodes.read_options(["--faults", "slow", "--strategies", "random,custom",
                                      "--rounds", str(self.options.repeats), "--seconds", "3",
                                      "--warmup", "1", "--no-hedging"])
        cluster, interrupts = nodes.begin(options), []
        try:
            outcomes, _, _ = nodes.run(options, cluster, interrupts)
        finally:
            cluster.purge()
        if interrupts:
            raise KeyboardInterrupt
        healthy, sick = outcomes["healthy"], outcomes["slow"]
        self.whole["slow"] = {"custom_by_healthy": ratios(sick["custom"], healthy["custom"]),
                              "custom_by_random": ratios(sick["custom"], sick["random"])}

    def run(self):
        """All of it; an interrupt ends it, and what was measured stays."""
        self.start()
        self.part("gigabyte", self.gigabyte)
        for number in range(1, self.options.repeats + 1):
            self.repeat(number)
        self.stop_cluster()
        self.part("idle", self.idle)
        self.part("slow", self.slow)

    def part(self, name, step):
        """One that fails is named as missing, and costs none of the others."""
        if name in self.options.skip:
            return
        try:
            step()
        except Exception as why:  # pylint: disable=broad-except
            self.whole["missing"][name] = f"{type(why).__name__}: {why}"[:300]
            say(f"!!! {name}: {self.whole['missing'][name]}")


def high_kib(pid):
    """The most that a process had resident at any time."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1])


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- What it was measured on -------------------------------------------------------------------


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    system = re.search(r'^PRETTY_NAME="(.*)"$', pathlib.Path("/etc/os-release").read_text(), re.M)
    return {"machine": f"{os.cpu_count()} processors, {model[1] if model else platform.machine()}, "
                       f"{int(memory[1]) / 2 ** 20:.1f} GiB",
            "system": f"{system[1] if system else 'Linux'}, Linux {platform.release()}",
            "load before": pathlib.Path("/proc/loadavg").read_text().strip()}


def source_version():
    """Which commit, where it is known."""
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""


def plan(options):
    return {"repeats": options.repeats, "seconds": options.seconds, "warmup": WARMUP_S,
            "clients": options.clients, "workloads": options.workloads, "rows": options.rows,
            "connections": options.connections}


# --- The whole ------------------------------------------------------------------------------------


def write(whole, options):
    """Everything to the two files, the text to standard output, too."""
    whole["targets"] = report.targets(whole)
    text = report.text(whole)
    pathlib.Path(options.json).write_text(json.dumps(whole, indent=1) + "\n")
    pathlib.Path(options.text).write_text(text)
    print(text, end="", flush=True)


def files_raise():
    """Thousands of clients are as many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main():
    options = read_options()
    files_raise()
    conditions.signals_interrupt()
    comparison = Comparison(options)
    whole, begun = comparison.whole, time.monotonic()
    try:
        comparison.run()
    except KeyboardInterrupt:
        whole["interrupted"] = True
    finally:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)  # nothing is left behind by a second one
        try:
            comparison.stop()
        finally:
            whole["took_s"] = round(time.monotonic() - begun)
            write(whole, options)
    return 130 if whole["interrupted"] else 0 if report.chosen(whole["runs"]) else 1


if __name__ == "__main__":
    sys.exit(main())
