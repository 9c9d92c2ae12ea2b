#!/usr/bin/env python3
"""How do the strategies do on real databases of which one has a fault?

Starts a cluster of its own (a source and replicas), puts one replica's database behind a proxy
that can slow, cut and pass, and runs portcullis-bench, strategy after strategy, once while all is
well and once under each fault, in interleaved rounds, so that what the machine does meanwhile hits
all of them.  Prints for each strategy and fault p50, p99, p99.9, failures, retries, the share of
the faulty node and the ratios to the same strategy's healthy figures, and then the bars:

  * one replica 10 x slower: p99 of `custom` at most 1.3 x its healthy p99, and under a tenth of
    `random`'s;
  * replicas paused for 200 ms every few seconds: hedging cuts p99.9 to under half and sends at
    most 5% more statements;
  * a replica that fails at once, or lags beyond routing/lag_ms_max: no read of `custom` fails, or
    goes to the one that lags.

The statement only waits (SELECT SLEEP(?), exponential with --service-ms as its mean), and the rate
is low, so that databases, daemons and driver can share two processors without one of them being
what is measured; the fault `hog` alone takes processor time, of one database.  All but the part on
hedging runs without hedging; and nodes are not taken out of use for being slow
(ejection/latency_factor), which would hide what the strategies make of them.

    bench/nodes.py [--nodes 4] [--faults slow,paused] [--strategies random,custom] [--rounds 5]

Exit code 1 when a bar is missed.  PORTCULLIS_TEST_BUILD names the build, which should be a
RelWithDebInfo or a Release one.
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("tests/system", "client/python"):
    sys.path.insert(0, str(HERE.parent / folder))

from harness import BUILD, Cluster, wait_until  # noqa: E402

DRIVER = BUILD / "bench" / "driver" / "portcullis-bench"
SLOWER = 10                       # times, of the fault `slow`
PAUSE_S, PAUSE_EVERY_S = 0.2, 5.0  # of each replica
FLAP_S = 2.0                      # so long slow, so long not
LAG_MS_MAX = 1500                 # routing/lag_ms_max of this cluster
STRATEGIES = "random,least-inflight,peak-ewma,c3,prequal,custom"


# --- What came of it -----------------------------------------------------------

class Outcome:
    """What portcullis-bench told of one strategy, rounds added up."""

    def __init__(self):
        self.buckets, self.nodes, self.errors = (collections.Counter() for _ in range(3))
        self.requests = self.retries = self.hedged = 0
        self.doubts, self.rounds = [], []

    def add(self, row):
        self.requests += row["requests"]
        self.retries += row["retries"]
        self.hedged += row["hedged"]
        self.errors.update(row["errors"])
        self.nodes.update({name: node["count"] for name, node in row["nodes"].items()})
        self.buckets.update(dict(row["latency_buckets"]))
        self.doubts += [row["doubt"]] if row["doubt"] else []
        self.rounds.append(row["latency_us"])

    def ms(self, share):
        """A percentile, a failure as its timeout."""
        rank, seen = share * self.buckets.total(), 0
        for edge_us in sorted(self.buckets):
            seen += self.buckets[edge_us]
            if seen >= rank:
                return edge_us / 1000
        return 0.0

    def failed(self):
        return self.errors.total()

    def share(self, node):
        return self.nodes[node] / max(self.nodes.total(), 1)


def ratio(of, to, key="p99"):
    """The median over rounds of what stands in both: one bad moment of the machine is one round."""
    pairs = [(a[key], b[key]) for a, b in zip(of.rounds, to.rounds) if b[key]]
    return statistics.median(a / b for a, b in pairs) if pairs else float("nan")


def measure(cluster, strategies, options, seed, service_ms=None):
    """Each strategy a turn, as the cluster is now: {strategy: its row}."""
    mean_s = (service_ms or options.service_ms) / 1000
    command = [str(DRIVER), "sql", "SELECT SLEEP(?)", "--param", f"exp:{mean_s}",
               "--rate", str(options.rate), "--strategies", ",".join(strategies),
               "--time", str(options.seconds), "--warmup", str(options.warmup), "--json", "-",
               "--timeout", "5000", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "PORTCULLIS_BUNDLE": cluster.bundle})
    if done.returncode == 130:  # Ctrl-C is for both
        raise KeyboardInterrupt
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(f"{command}: {done.returncode}: {done.stderr}")
    return {row["strategy"]: row for row in json.loads(done.stdout)["strategies"]}


# --- Faults ---------------------------------------------------------------------

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

    with repeated(turn):
        yield
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
def paused(cluster, node, proxy):
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
    busy = [subprocess.Popen([sys.executable, "-c", "import os\nos.nice(10)\nwhile True: pass"])
            for _ in range(os.cpu_count() or 1)]

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


FAULTS = {one.__name__: one for one in (slow, flapping, failing, paused, lagging, hog)}


@contextlib.contextmanager
def until_interrupted():
    """Ctrl-C ends the with block and nothing else: what was measured is told."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: this is what was measured until then", file=sys.stderr, flush=True)


# --- The comparison --------------------------------------------------------------

def settle(cluster, back_at):
    """Until the proxy thinks well of every replica again.  One that comes back gets its share of
    the reads little by little, over half a minute: back_at is when that began, at the latest."""
    def sound():
        with cluster.client() as client:
            for _ in range(20):  # one of them may be the trial of a node that is out
                client.query("SELECT 1", strategy="round-robin")
            return all(one["health"]["state"] == "sound" for one in client.status()["nodes"])

    wait_until(sound, 60, "every node to be in use", every_s=0.2)
    time.sleep(max(back_at - time.monotonic(), 0))


def compare(cluster, node, proxy, options):
    """{condition: {strategy: Outcome}}, of interleaved rounds."""
    strategies = options.strategies.split(",")
    outcomes = {name: {one: Outcome() for one in strategies}
                for name in ("healthy", *options.faults)}
    back_at = time.monotonic() + options.settle  # its agent was just started
    with until_interrupted():
        for turn in range(options.rounds):
            for name, found in outcomes.items():
                settle(cluster, back_at)
                with FAULTS.get(name, healthy)(cluster, node, proxy):
                    for strategy, row in measure(cluster, strategies, options, turn + 1).items():
                        found[strategy].add(row)
                cluster.wait_serving(node, 30)
                if name in ("failing", "lagging"):
                    back_at = time.monotonic() + options.settle
            print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr, flush=True)
    return {name: found for name, found in outcomes.items()
            if all(one.requests for one in found.values())}


def set_hedging(cluster, on):
    """Without a restart: the proxy keeps what it has learned."""
    config, before = pathlib.Path(cluster.part("proxy")["config"]), reloads(cluster)
    text, found = re.subn(r'enabled = "\d"', f'enabled = "{int(on)}"', config.read_text())
    assert found == 1, config.read_text()
    config.write_text(text)
    cluster.reload("proxy")
    wait_until(lambda: reloads(cluster) > before, 10, "the proxy to read its configuration")


def reloads(cluster):
    return cluster.log("proxy").count("event=reloaded")


def counted(cluster):
    """What the proxy has counted up to now: requests, and copies by what became of them."""
    with cluster.client() as client:
        status = client.status()
    return collections.Counter(requests=status["requests"], **{
        key: status["hedges"][key] for key in ("sent", "won", "cancel_late", "budget_exhausted")})


def compare_hedging(cluster, options):
    """{on: Outcome} of `custom` under pauses, and what the proxy counted while it was on."""
    outcomes, counts = {False: Outcome(), True: Outcome()}, collections.Counter()
    with until_interrupted():
        for turn in range(options.rounds):
            for on, outcome in outcomes.items():
                set_hedging(cluster, on)
                before = counted(cluster)
                with paused(cluster, None, None):
                    outcome.add(measure(cluster, ["custom"], options, turn + 1,
                                        options.service_ms / 4)["custom"])
                if on:
                    counts.update(counted(cluster))
                    counts.subtract(before)
            print(f"hedging: round {turn + 1} of {options.rounds} done", file=sys.stderr,
                  flush=True)
    set_hedging(cluster, False)
    return {**outcomes, "counts": counts} if counts["requests"] else None


# --- What is told of it -----------------------------------------------------------

def show(outcomes, node):
    """A table a condition; `/h` is the ratio to healthy, `doubted` in how many rounds the driver
    says that its figures are not to be believed."""
    for name, found in outcomes.items():
        print(f"\n{name} ({node})" if name not in ("healthy", "paused") else f"\n{name}")
        print(f"{'strategy':15} {'requests':>8} {'p50':>8} {'p99':>8} {'p99.9':>8} {'failed':>7} "
              f"{'retries':>7} {'its share':>9} {'p50/h':>7} {'p99/h':>7} {'p99.9/h':>7} "
              f"{'doubted':>7}")
        for strategy, one in found.items():
            base = outcomes["healthy"][strategy]
            ratios = [one.ms(share) / base.ms(share) for share in (0.5, 0.99, 0.999)]
            print(f"{strategy:15} {one.requests:8} {one.ms(.5):8.2f} {one.ms(.99):8.2f} "
                  f"{one.ms(.999):8.2f} {one.failed():7} {one.retries:7} "
                  f"{100 * one.share(node):8.2f}% "
                  + " ".join(f"{value:7.2f}" for value in ratios)
                  + f" {len(one.doubts):4}/{len(one.rounds)}")
            for code, count in sorted(one.errors.items()):
                print(f"    failed: {code} {count}")


def show_hedging(hedging):
    print(f"\npaused, custom, statements a quarter as long\n{'hedging':15} {'requests':>8} "
          f"{'p50':>8} {'p99':>8} {'p99.9':>8} {'failed':>7} {'hedged':>7} {'doubted':>7}")
    for on in (False, True):
        one = hedging[on]
        print(f"{'on' if on else 'off':15} {one.requests:8} {one.ms(.5):8.2f} {one.ms(.99):8.2f} "
              f"{one.ms(.999):8.2f} {one.failed():7} {one.hedged:7} "
              f"{len(one.doubts):5}/{len(one.rounds)}")
    print("copies: " + ", ".join(f"{key} {count}" for key, count in hedging["counts"].items()))


def extra(hedging):
    """Copies for each request, while there were any."""
    return hedging["counts"]["sent"] / hedging["counts"]["requests"]


def bars(outcomes, node, hedging):
    """Lines of (what, value, bar, met)."""
    base, lines = outcomes.get("healthy", {}), []

    def bar(what, value, most):
        lines.append((what, value, most, value <= most))

    if "slow" in outcomes and "custom" in base:
        found = outcomes["slow"]
        bar("slow: p99 of custom / its healthy p99", ratio(found["custom"], base["custom"]), 1.3)
        if "random" in found:
            bar("slow: p99 of custom / p99 of random", ratio(found["custom"], found["random"]),
                0.1)
        bar("slow: share of the slow replica under custom", found["custom"].share(node), 0.01)
    if "failing" in outcomes and "custom" in base:
        bar("failing: failures of custom", outcomes["failing"]["custom"].failed(), 0)
    if "lagging" in outcomes and "custom" in base:
        bar("lagging: reads on the replica that lags", outcomes["lagging"]["custom"].nodes[node],
            0)
    if hedging:
        bar("paused: p99.9 of custom hedged / unhedged",
            hedging[True].ms(0.999) / hedging[False].ms(0.999), 0.5)
        bar("paused: copies / requests", extra(hedging), 0.05)
    return lines


def run(options, cluster):
    """(outcomes, hedging, name of the node with the faults)."""
    node = cluster.replicas()[0]
    with cluster.database_behind_proxy(node) as proxy:
        outcomes = compare(cluster, node, proxy, options)
    whole = "healthy" in outcomes and len(outcomes) == 1 + len(options.faults)
    hedging = compare_hedging(cluster, options) if options.hedging and whole else None
    return outcomes, hedging, node


def start(options):
    """A cluster for run(); the caller ends it."""
    cluster = Cluster("nodes", nodes=options.nodes, demo=False,
                      sets=[f"proxy:routing/lag_ms_max={LAG_MS_MAX}",
                            "proxy:routing/replicas_min=1",
                            "proxy:ejection/latency_factor=0", "proxy:hedge/enabled=0"])
    try:
        cluster.up()
        wait_until(cluster.whole, 60, "the proxy sees every node")
    except BaseException:
        cluster.purge()
        raise
    return cluster


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nodes", type=int, choices=range(3, 10), default=4, metavar="N",
                        help="3 to 9: a source and N - 1 replicas, which serve the reads")
    parser.add_argument("--faults", default="slow,flapping,paused,failing,lagging",
                        help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of each turn of a strategy")
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--settle", type=float, default=30,
                        help="seconds for a replica that comes back, until it has its full share")
    parser.add_argument("--service-ms", type=float, default=20, help="of a statement, on average")
    parser.add_argument("--rate", type=float, default=0, help="a second; 65 a replica if not given")
    parser.add_argument("--no-hedging", dest="hedging", action="store_false",
                        help="leaves out the part on hedging")
    parser.add_argument("--json", help="writes every figure to this file")
    options = parser.parse_args(arguments)
    options.faults = [name for name in options.faults.split(",") if name]
    for name in options.faults:
        if name not in FAULTS:
            parser.error(f"--faults: there is no fault {name!r}; there are {', '.join(FAULTS)}")
    options.rate = options.rate or 65.0 * (options.nodes - 1)
    return options


def main():
    options = read_options()
    cluster = start(options)
    try:
        outcomes, hedging, node = run(options, cluster)
    finally:
        cluster.down()
    print(f"{options.nodes - 1} replicas, {options.rate:g} requests a second of "
          f"{options.service_ms:g} ms, {options.rounds} rounds of {options.seconds:g} s")
    show(outcomes, node)
    if hedging:
        show_hedging(hedging)
    lines = bars(outcomes, node, hedging)
    print("\nbars")
    for what, value, most, met in lines:
        print(f"  {'pass' if met else 'FAIL'}  {what}: {value:.4g} (bar {most:g})")
    if options.json:
        figures = {name: {strategy: vars(one) for strategy, one in found.items()}
                   for name, found in outcomes.items()}
        if hedging:
            figures["hedging"] = {"off": vars(hedging[False]), "on": vars(hedging[True]),
                                  "counts": hedging["counts"]}
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))
    return not all(met for *_, met in lines)


if __name__ == "__main__":
    sys.exit(main())
