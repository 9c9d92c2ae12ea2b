#!/usr/bin/python3
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

    bench/nodes.py [--nodes 4] [--faults slow,pauses] [--strategies random,custom] [--rounds 5]

PORTCULLIS_TEST_BUILD names the build, which should be a RelWithDebInfo or a Release one.

Exit: 0; 1 a bar is missed, or could not be measured; 64 usage; 130 it was interrupted, and told
what was measured until then.
"""
import collections
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from conditions import (LASTING, PLAIN, WITHIN_TURN, measure, pauses, rounds,  # noqa: E402
                        signals_interrupt, start, until_interrupted, wait_until)
from outcome import Outcome, ratio  # noqa: E402  (their folder must be on the path first)
from usage import Parser  # noqa: E402

FAULTS = [name for name in (*LASTING, *WITHIN_TURN) if name != "healthy"]
WITH_BARS = ("slow", "failing", "lagging", "pauses")
STRATEGIES = "random,least-inflight,peak-ewma,c3,prequal,custom"


# --- The comparison --------------------------------------------------------------

def compare(cluster, node, proxy, options, interrupts):
    """{condition: {strategy: Outcome}}, of interleaved rounds."""
    outcomes = {name: {one: Outcome() for one in options.strategies}
                for name in ("healthy", *options.faults)}
    with until_interrupted(interrupts):
        for name, told in rounds(cluster, node, proxy, list(outcomes), options):
            for row in told["strategies"]:
                outcomes[name][row["strategy"]].add(row)
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


def compare_hedging(cluster, options, interrupts):
    """{on: Outcome} of `custom` under pauses, and what the proxy counted while it was on."""
    outcomes, counts = {False: Outcome(), True: Outcome()}, collections.Counter()
    with until_interrupted(interrupts):
        for turn in range(options.rounds):
            for on, outcome in outcomes.items():
                set_hedging(cluster, on)
                before = counted(cluster)
                with pauses(cluster, None, None):
                    told = measure(cluster, ["custom"], options, turn + 1, options.service_ms / 4)
                    outcome.add(told["strategies"][0])
                if on:
                    counts.update(counted(cluster))
                    counts.subtract(before)
            print(f"hedging: round {turn + 1} of {options.rounds} done", file=sys.stderr,
                  flush=True)
    set_hedging(cluster, False)
    whole = counts["requests"] and all(one.requests for one in outcomes.values())
    return {**outcomes, "counts": counts} if whole else None


# --- What is told of it -----------------------------------------------------------

def show(outcomes, node):
    """A table a condition; `/h` is the ratio to healthy, `doubted` in how many rounds the driver
    says that its figures are not to be believed."""
    for name, found in outcomes.items():
        print(f"\n{name} ({node})" if name not in ("healthy", "pauses") else f"\n{name}")
        print(f"{'strategy':15} {'requests':>8} {'p50':>8} {'p99':>8} {'p99.9':>8} {'failed':>7} "
              f"{'retries':>7} {'its share':>9} {'p50/h':>7} {'p99/h':>7} {'p99.9/h':>7} "
              f"{'doubted':>7}")
        for strategy, one in found.items():
            base = outcomes.get("healthy", {}).get(strategy)
            ratios = [one.ms(share) / base.ms(share) if base else float("nan")
                      for share in (0.5, 0.99, 0.999)]
            print(f"{strategy:15} {one.requests:8} {one.ms(.5):8.2f} {one.ms(.99):8.2f} "
                  f"{one.ms(.999):8.2f} {one.failed():7} {one.retries:7} "
                  f"{100 * one.share(node):8.2f}% "
                  + " ".join(f"{value:7.2f}" for value in ratios)
                  + f" {len(one.doubts):4}/{len(one.rounds)}")
            for code, count in sorted(one.errors.items()):
                print(f"    failed: {code} {count}")


def show_hedging(hedging):
    print(f"\npauses, custom, statements a quarter as long\n{'hedging':15} {'requests':>8} "
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
        bar("pauses: p99.9 of custom hedged / unhedged",
            hedging[True].ms(0.999) / hedging[False].ms(0.999), 0.5)
        bar("pauses: copies / requests", extra(hedging), 0.05)
    return lines


def not_measured(lines, options):
    """Names of the faults whose bars were wanted, and are not among the lines."""
    found = {what.partition(":")[0] for what, *_ in lines}
    wanted = [name for name in options.faults if name in WITH_BARS and name != "pauses"]
    wanted = wanted if "custom" in options.strategies else []
    return [name for name in [*wanted, *(["pauses"] if options.hedging else [])]
            if name not in found]


def run(options, cluster, interrupts=None):
    """(outcomes, hedging, name of the node with the faults).  Ctrl-C ends it, and puts something
    into the list interrupts."""
    node = cluster.replicas()[0]
    interrupts = [] if interrupts is None else interrupts
    with cluster.database_behind_proxy(node) as proxy:
        outcomes = compare(cluster, node, proxy, options, interrupts)
    whole = "healthy" in outcomes and len(outcomes) == 1 + len(options.faults)
    hedging = None
    if options.hedging and whole and not interrupts:
        hedging = compare_hedging(cluster, options, interrupts)
    return outcomes, hedging, node


def begin(options):
    """A cluster for run(); the caller ends it."""
    return start("nodes", options.nodes, PLAIN)


def read_options(arguments=None):
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nodes", type=int, choices=range(3, 10), default=4, metavar="N",
                        help="3 to 9: a source and N - 1 replicas, which serve the reads")
    parser.add_argument("--faults", default="slow,flapping,pauses,failing,lagging",
                        help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of each turn of a strategy")
    parser.add_argument("--warmup", type=float, default=2)
    parser.add_argument("--service-ms", type=float, default=20, help="of a statement, on average")
    parser.add_argument("--rate", type=float, default=0, help="a second; 65 a replica if not given")
    parser.add_argument("--no-hedging", dest="hedging", action="store_false",
                        help="leaves out the part on hedging")
    parser.add_argument("--json", help="writes every figure to this file")
    options = parser.parse_args(arguments)
    options.faults = [name for name in options.faults.split(",") if name]
    options.strategies = options.strategies.split(",")
    options.sql, options.more = "SELECT SLEEP(?)", []
    for name in options.faults:
        if name not in FAULTS:
            parser.error(f"--faults: there is no fault {name!r}; there are {', '.join(FAULTS)}")
    options.rate = options.rate or 65.0 * (options.nodes - 1)
    return options


def main():
    options, interrupts = read_options(), []
    signals_interrupt()
    cluster = begin(options)
    try:
        outcomes, hedging, node = run(options, cluster, interrupts)
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
    missing = not_measured(lines, options)
    for name in missing:
        print(f"  FAIL  {name}: not measured")
    if options.json:
        figures = {name: {strategy: vars(one) for strategy, one in found.items()}
                   for name, found in outcomes.items()}
        if hedging:
            figures["hedging"] = {"off": vars(hedging[False]), "on": vars(hedging[True]),
                                  "counts": hedging["counts"]}
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))
    if interrupts:
        return 130
    return 1 if missing or not all(met for *_, met in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
