#!/usr/bin/python3
"""Compares the strategies under conditions that a cluster may come into, and writes what
portcullis-bench told of each for bench/report.py.

    bench/conditions.py --var var --json benchmark_results.json
    bench/conditions.py --conditions healthy,slow --strategies random,custom --json result.json

With --var on a cluster that infra/up.sh has started and that nobody else uses, since one of its
replicas gets the faults; else on one of its own, which is gone afterwards.  PORTCULLIS_TEST_BUILD
names the build.

Each condition has a round of turns, one of each strategy; then the next condition; then the next
round.  So what the machine does meanwhile hits all of them.  Before each the proxy is started
again, and knows of nothing that was before.  `paused` and `killed` begin and end in the middle of
each turn.  The statement reads a row by its key and waits, --service-ms on average, so that
machine, daemons and driver are not what is measured.  In `full` that is otherwise: clients that
read rows as fast as they get them.

Ctrl-C, SIGTERM and SIGHUP end it and undo the fault.  What was measured until then is written, and
marked; so it is where something fails.

Exit: 0; 1 something failed, or no request of `healthy` succeeded; 64 usage; 130 it was interrupted.
"""
import contextlib
import json
import os
import pathlib
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("bench", "tests/system", "client/python"):
    sys.path.insert(0, str(HERE.parent / folder))

import portcullis  # noqa: E402  (their folders must be on the path first)
from compare_peers import until_parent  # noqa: E402
from harness import BUILD, Cluster, wait_until  # noqa: E402
from usage import Parser  # noqa: E402

DRIVER = BUILD / "bench" / "driver" / "portcullis-bench"
SLOWER = 10                       # times, of the fault `slow`
PAUSE_S, PAUSE_EVERY_S = 0.2, 5.0  # of each replica, under `pauses`
FLAP_S = 2.0                      # so long slow, so long not
LAG_MS_MAX = 1500                 # routing/lag_ms_max of such a cluster
CLIENTS = 64                      # of `full`
# What would hide what the strategies make of a fault.
PLAIN = ["proxy:ejection/latency_factor=0", "proxy:hedge/enabled=0"]
SETS = [f"proxy:routing/lag_ms_max={LAG_MS_MAX}", "proxy:routing/replicas_min=1"]
STRATEGIES = "direct,random,round-robin,least-inflight,peak-ewma,c3,prequal,custom"


# --- Faults that last for all turns of a round ------------------------------------------

@contextlib.contextmanager
def repeated(step):
    """Calls step() again and again on a thread, until the with block ends; it says how long to
    wait before the next call."""
    ending = threading.Event()

    def run():
        while not ending.wait(step()):
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextlib.contextmanager
def healthy(cluster, node, proxy):
    yield


@contextlib.contextmanager
def slow(cluster, node, proxy):
    proxy.slower = SLOWER
    try:
        yield
    finally:
        proxy.slower = 1


@contextlib.contextmanager
def flapping(cluster, node, proxy):
    """Five times slower for two seconds, then not, then again."""
    def turn():
        proxy.slower = 5 if proxy.slower == 1 else 1
        return FLAP_S

    try:
        with repeated(turn):
            yield
    finally:
        proxy.slower = 1


@contextlib.contextmanager
def failing(cluster, node, proxy):
    """Its connections break at each statement, at once: it looks quicker than all others."""
    proxy.fail_at = b"SLEEP"
    proxy.cut()
    try:
        yield
    finally:
        proxy.fail_at = None
        cluster.wait_serving(node, 30)


@contextlib.contextmanager
def pauses(cluster, node, proxy):
    """Every replica's database stands still for 200 ms every five seconds, at times of its own."""
    chance = random.Random(1)
    due = {name: time.monotonic() + chance.uniform(0, PAUSE_EVERY_S)
           for name in cluster.replicas()}
    pids = {name: cluster.pid(name) for name in due}

    def pause():
        name = min(due, key=due.get)
        left_s = due[name] - time.monotonic()
        if left_s > 0:
            return min(left_s, 0.5)
        os.kill(pids[name], signal.SIGSTOP)
        time.sleep(PAUSE_S)
        os.kill(pids[name], signal.SIGCONT)
        due[name] += PAUSE_EVERY_S * chance.uniform(0.8, 1.2)
        return 0

    with repeated(pause):
        yield


@contextlib.contextmanager
def lagging(cluster, node, proxy):
    """It receives and does not apply, and is further behind than reads may be."""
    cluster.stop_applying(node)
    try:
        wait_until(lambda: cluster.node_status(node)["lag_ms"] > LAG_MS_MAX, 30, "the lag to show")
        yield
    finally:
        cluster.start_applying(node)
        wait_until(lambda: 0 <= cluster.node_status(node)["lag_ms"] < LAG_MS_MAX / 2, 60,
                   "the replica to catch up")


@contextlib.contextmanager
def hog(cluster, node, proxy):
    """Two busy processes on a database that has to stand behind them (and behind nothing else):
    they are nice to all the rest."""
    pid = cluster.pid(node)
    nice = os.getpriority(os.PRIO_PROCESS, pid)
    command = [sys.executable, "-c", "import os\nos.nice(10)\nwhile True: pass"]
    busy = [subprocess.Popen(until_parent(command)) for _ in range(os.cpu_count() or 1)]

    def renice(value):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(task), value)

    try:
        renice(19)
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()
        try:
            renice(nice)
        except PermissionError:  # only root takes it back
            cluster.restart(node)


# --- Faults in the middle of each turn ----------------------------------------------------

def _kill(cluster, node):
    cluster.kill(node)


def _revive(cluster, node):
    if cluster.pid(node) is None:
        cluster.start(node)
    cluster.wait_serving(node, 60, every_s=0.25)  # seldom: the turn goes on


# name: (how it begins, how it ends, from and to which part of a turn)
WITHIN_TURN = {
    "paused": (Cluster.pause, Cluster.resume, (0.25, 0.75)),
    "killed": (_kill, _revive, (0.25, 0.5)),
}


@contextlib.contextmanager
def within(begin, end, from_s, to_s):
    """Calls begin() and end() on a thread so long after now, and end() in any case.  Yields a list
    that has, once the block was left, when begin() was called and when end() had returned, in
    seconds after now."""
    leaving, failures, lasted, now = threading.Event(), [], [], time.monotonic()

    def run():
        try:
            if not leaving.wait(from_s):
                try:
                    lasted.append(time.monotonic() - now)
                    begin()
                    leaving.wait(to_s - from_s)
                finally:
                    end()
                lasted.append(time.monotonic() - now)
        except Exception as failure:  # it is for whoever waits for the thread
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lasted
    finally:
        leaving.set()
        thread.join()
    if failures:
        raise failures[0]


def window_s(name, options):
    """From when to when of a turn a fault is meant to last, in seconds; None: all of it."""
    return [part * options.seconds for part in WITHIN_TURN[name][2]] if name in WITHIN_TURN \
        else None


# What stands in the report; the names are all that there are.
TEXTS = {
    "healthy": "Nothing is wrong.",
    "slow": f"One replica's database takes {SLOWER} times as long for every answer.",
    "flapping": "One replica's database takes 5 times as long, for 2 seconds of every 4.",
    "failing": "One replica's connections break at each statement, so it fails faster than the "
               "others answer.",
    "pauses": "Every replica's database stands still for 200 ms every 5 seconds.",
    "paused": "One replica's database stands still for half of each turn.",
    "killed": "One replica's database is killed, and started again a quarter of a turn later.",
    "lagging": f"One replica receives and does not apply: it is more than {LAG_MS_MAX} ms behind, "
               "the most that a read may see here.",
    "hog": "One replica's database stands behind busy processes.",
    "full": f"Nothing is wrong, and {CLIENTS} clients read rows as fast as they get them.",
}
LASTING = {one.__name__: one for one in (healthy, slow, flapping, failing, pauses, lagging, hog)}


# --- Turns ----------------------------------------------------------------------------------

class Interrupted(KeyboardInterrupt):
    """With what was measured until then, or None."""

    def __init__(self, whole):
        super().__init__()
        self.whole = whole


def bench(cluster, *arguments):
    """portcullis-bench on this cluster: what it wrote as JSON."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        # In a session of its own, so that Ctrl-C comes to it once, from here.
        child = subprocess.Popen(until_parent([DRIVER, *arguments, "--json", "-"]), stdout=out,
                                 stderr=said, stdin=subprocess.DEVNULL, start_new_session=True,
                                 env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle})
        interrupted = False
        try:
            child.wait()
        except KeyboardInterrupt:
            interrupted = True
            child.send_signal(signal.SIGINT)
            try:
                child.wait()
            except KeyboardInterrupt:  # a second one is in a hurry
                child.kill()
                child.wait()
        out.seek(0)
        said.seek(0)
        text, words = out.read(), said.read()
    whole = None
    with contextlib.suppress(ValueError):  # it wrote nothing, or was killed while it did
        whole = json.loads(text)
    if interrupted or child.returncode == 130:
        raise Interrupted(whole)
    if child.returncode not in (0, 1, 3) or whole is None:
        raise RuntimeError(f"{arguments}: {child.returncode}: {words}")
    return whole


def measure(cluster, strategies, options, seed, service_ms=None):
    """Each strategy a turn, as the cluster is now."""
    mean_s = (service_ms or options.service_ms) / 1000
    return bench(cluster, "sql", options.sql, "--param", f"exp:{mean_s}", *options.more,
                 "--rate", str(options.rate), "--strategies", ",".join(strategies),
                 "--time", str(options.seconds), "--warmup", str(options.warmup),
                 "--timeout", "5000", "--seed", str(seed))


def forget(cluster):
    """A proxy that knows of nothing that was before, and thinks well of every replica: else one
    that comes back gets its share of the reads little by little, over half a minute."""
    cluster.restart("proxy")
    wait_until(cluster.whole, 60, "the proxy to see every node")

    def sound():
        with contextlib.suppress(portcullis.PortcullisError), cluster.client() as client:
            for _ in range(20):
                client.query("SELECT 1", strategy="round-robin")
            return all(one["health"]["state"] == "sound" for one in client.status()["nodes"])

    wait_until(sound, 60, "every node to be in use", every_s=0.2)


def left_out(cluster):
    """{replica: {why: how often a read could not go there}}, since the proxy was started."""
    replicas = cluster.replicas()
    with cluster.client() as client:
        return {one["name"]: one["left_out"] for one in client.status()["nodes"]
                if one["name"] in replicas and one["left_out"]}


def turns(cluster, node, proxy, name, options, seed):
    """One round of a condition: yields what the driver told, of one or more strategies each."""
    if name in WITHIN_TURN:
        begin, end, _ = WITHIN_TURN[name]
        from_s, to_s = (options.warmup + at for at in window_s(name, options))
        strategies = list(options.strategies)
        random.Random(seed).shuffle(strategies)
        for strategy in strategies:
            forget(cluster)
            with within(lambda: begin(cluster, node), lambda: end(cluster, node), from_s,
                        to_s) as lasted:
                told = measure(cluster, [strategy], options, seed)
            # The driver began to measure later than it began; what is told of a turn begins there.
            for one in told["strategies"][0]["rounds"]:
                told["fault_s"] = [at_s - one["start_s"] for at_s in lasted]
            told["left_out"] = left_out(cluster)
            cluster.wait_serving(node, 60)
            yield told
        return
    forget(cluster)
    with LASTING[name](cluster, node, proxy):
        told = measure(cluster, options.strategies, options, seed)
        yield {**told, "left_out": left_out(cluster)}
    cluster.wait_serving(node, 30)


def rounds(cluster, node, proxy, names, options):
    """Yields (condition, what the driver told), round by round, also of a turn that was
    interrupted, before it passes that on."""
    for turn in range(options.rounds):
        for name in names:
            try:
                for told in turns(cluster, node, proxy, name, options, turn + 1):
                    yield name, told
            except Interrupted as interrupt:
                if interrupt.whole:
                    yield name, interrupt.whole
                raise
            print(f"round {turn + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)


def signals_interrupt():
    """SIGTERM, and SIGHUP where it is not ignored (nohup), are as Ctrl-C: whoever stops this
    program wants what it did undone, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


@contextlib.contextmanager
def until_interrupted(interrupts):
    """Ctrl-C ends the with block and nothing else: what was measured is told.  The list interrupts
    has something in it when that was so."""
    try:
        yield
    except KeyboardInterrupt:
        interrupts.append(True)
        print("interrupted: this is what was measured until then", file=sys.stderr, flush=True)


def start(name, nodes, sets=()):
    """A cluster for it; the caller ends it."""
    cluster = Cluster(name, nodes=nodes, demo=False, sets=[*SETS, *sets])
    try:
        cluster.up()
        wait_until(cluster.whole, 60, "the proxy sees every node")
    except BaseException:
        cluster.purge()
        raise
    return cluster


# --- For the report ---------------------------------------------------------------------------

def machine():
    processor = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", processor, re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return {"processors": len(os.sched_getaffinity(0)),
            "model": model[1] if model else platform.machine(),
            "memory_mib": int(memory[1]) // 1024, "kernel": f"Linux {platform.release()}"}


def notes(cluster, options):
    said = [f"rounds: {options.rounds}; a turn of a strategy: {options.seconds:g} s after "
            f"{options.warmup:g} s of warm-up"]
    if not cluster.setting("proxy", "hedge/enabled"):
        said.append("without second copies of late reads (hedge/enabled 0), so that each strategy "
                    "shows what it does by itself")
    if not cluster.setting("proxy", "ejection/latency_factor"):
        said.append("no replica is taken out of use for being slow (ejection/latency_factor 0), "
                    "for the same reason")
    return said


class Findings:
    """What is written: runs by condition."""

    def __init__(self, cluster, options):
        source = cluster.source()
        self.names = options.conditions
        self.runs = {name: [] for name in self.names}
        self.options = options
        self.head = {
            "program": "portcullis-conditions",
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(), "faulty": cluster.replicas()[0],
            "cluster": {"database": cluster.sql(source, "SELECT VERSION()")[0][0],
                        "nodes": cluster.nodes(), "source": source,
                        "roles": "apart" if "proxy" in cluster.parts() else "together"},
            "notes": notes(cluster, options)}

    def nothing_succeeded(self):
        """Was no request answered, though nothing was wrong?"""
        return bool(self.runs.get("healthy")) and not any(
            row["ok"] for run in self.runs["healthy"] for row in run["strategies"])

    def write(self, path, interrupted):
        conditions = [{"name": name, "text": TEXTS[name],
                       "window_s": window_s(name, self.options), "runs": self.runs[name]}
                      for name in self.names if self.runs[name]]
        whole = {**self.head, "interrupted": interrupted, "conditions": conditions}
        pathlib.Path(path).write_text(json.dumps(whole) + "\n", encoding="utf-8")


def full(cluster, options):
    """Nothing waits there but for the machine, so no proxy of ours stands in between."""
    forget(cluster)
    try:
        yield bench(cluster, "point", "--rows", str(options.rows), "--clients", str(CLIENTS),
                    "--strategies", ",".join(options.strategies), "--time", str(options.seconds),
                    "--warmup", str(options.warmup))
    except Interrupted as interrupt:
        if interrupt.whole:
            yield interrupt.whole
        raise
    print("full", file=sys.stderr, flush=True)


def run(cluster, options, findings):
    """Measures all conditions, and adds them to findings; was it interrupted?"""
    node, interrupts = cluster.replicas()[0], []
    with until_interrupted(interrupts):
        bench_fill(cluster, options.rows)
        names = [name for name in options.conditions if name != "full"]
        if names:
            with cluster.database_behind_proxy(node) as proxy:
                for name, told in rounds(cluster, node, proxy, names, options):
                    findings.runs[name].append(told)
        if "full" in options.conditions:
            for told in full(cluster, options):
                findings.runs["full"].append(told)
    return bool(interrupts)


def run_and_write(cluster, options):
    """The exit code; what was measured is written, however it ends."""
    findings, interrupted = Findings(cluster, options), True
    try:
        interrupted = run(cluster, options, findings)
    finally:
        findings.write(options.json, interrupted)
    if interrupted:
        return 130
    if findings.nothing_succeeded():
        print("conditions.py: no request succeeded on the healthy cluster", file=sys.stderr)
        return 1
    return 0


def bench_fill(cluster, rows):
    cluster.sql(cluster.source(), "CREATE DATABASE IF NOT EXISTS demo")
    cluster.wait_replicated()
    done = subprocess.run([str(DRIVER), "fill", "--rows", str(rows)], capture_output=True,
                          text=True, check=False,
                          env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle})
    if done.returncode != 0:
        raise RuntimeError(f"portcullis-bench fill: {done.stderr}")
    cluster.wait_replicated()


def read_options(arguments=None):
    parser = Parser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--var", help="state folder of a cluster that runs")
    parser.add_argument("--nodes", type=int, choices=range(3, 10), default=4, metavar="N",
                        help="of a cluster of its own: a source and N - 1 replicas")
    parser.add_argument("--conditions", default="healthy,slow,paused,killed,lagging,full",
                        help=f"of {', '.join(TEXTS)}")
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--rounds", type=int, default=2, help="but one of `full`")
    parser.add_argument("--seconds", type=float, default=4, help="of each turn of a strategy")
    parser.add_argument("--warmup", type=float, default=0.6)
    parser.add_argument("--rate", type=float, default=0, help="a second; 65 a replica if not given")
    parser.add_argument("--service-ms", type=float, default=20, help="of a statement, on average")
    parser.add_argument("--rows", type=int, default=10000, help="of the table")
    parser.add_argument("--json", required=True, help="writes what was measured to this file")
    parser.add_argument("--check", action="store_true", help="reads the options, and does nothing")
    options = parser.parse_args(arguments)
    options.conditions = options.conditions.split(",")
    options.strategies = options.strategies.split(",")
    for name in options.conditions:
        if name not in TEXTS:
            parser.error(f"--conditions: there is no {name!r}; there are {', '.join(TEXTS)}")
    for name in options.strategies:
        if name not in STRATEGIES.split(","):
            parser.error(f"--strategies: there is no {name!r}; there are {STRATEGIES}")
    options.sql = "SELECT SLEEP(?), pad FROM bench_rows WHERE id = ?"
    options.more = ["--db", "demo", "--param", f"int:1..{options.rows}"]
    return options


def main():
    options = read_options()
    if options.check:
        return 0
    if not DRIVER.exists():
        sys.exit(f"conditions.py: {DRIVER} is not there; PORTCULLIS_TEST_BUILD names the build")
    signals_interrupt()
    cluster = Cluster.attached(options.var) if options.var else \
        start("conditions", options.nodes, PLAIN)
    try:
        replicas = len(cluster.replicas())
        if replicas < 2:
            sys.exit("conditions.py: a cluster with two replicas or more is wanted")
        options.rate = options.rate or 65.0 * replicas
        return run_and_write(cluster, options)
    finally:
        if not options.var:
            cluster.down()


if __name__ == "__main__":
    sys.exit(main())
