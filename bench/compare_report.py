"""What compare.py makes of its runs: medians, ratios with their spread, the table of targets, and
the text that is printed.  Values in, values out: no clock, file or process.

A run is a dict: repeat, half (which of ours is up: "apart" or "together"), workload, path,
clients, and qps, p50_ms, p99_ms, errors, cpu_us {process: microseconds a query}, memory_kib
{process: {rss, pss}}, others, steal; or failed, which says why there are no figures.
"""
import statistics

DAEMONS = ("gatekeeper", "broker", "proxy", "portcullisd", "agent-node1")
PEERS = ("haproxy", "proxysql", "router")
REPEATS_MIN = 5  # of which a verdict needs no reserve
# What the cluster's settings are, where they are not the defaults: all clients come from one
# address, which in life they do not; and sessions are for read_write.
SETS = ["gatekeeper:clients/handshakes_max=1000", "gatekeeper:clients/handshakes_address_max=1000",
        "agent:sessions/max=1000", "agent:sessions/principal_max=1000"]
PATHS = ("direct", *PEERS, "apart", "apart-mux", "together", "together-mux")  # as they are shown
OTHERS_MAX = 0.10  # of the processors, used by somebody else or not given by the host
POINT = "point_select"


class Spread:
    """The median of some values, and the lowest and the highest."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.low, self.high = min(self.values), max(self.values)

    def __str__(self):
        return f"{number(self.median)} [{number(self.low)}..{number(self.high)}]"


def number(value):
    """Three digits that count, and no more than a person reads."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def chosen(runs, **wanted):
    """The runs that have figures and these values."""
    return [run for run in runs if not run.get("failed")
            and all(run[key] == value for key, value in wanted.items())]


def spread(values):
    """None where there are no values."""
    values = list(values)
    return Spread(values) if values else None


def pairs(runs, of, to, workload, clients):
    """(run of one path, run of the other) of each repeat: of the same half where both ran in it."""
    found = []
    for run in chosen(runs, path=of, workload=workload, clients=clients):
        others = chosen(runs, path=to, workload=workload, clients=clients, repeat=run["repeat"])
        others.sort(key=lambda other: other["half"] != run["half"])
        found += [(run, others[0])] if others else []
    return found


def ratio(runs, of, to, workload, clients):
    """Queries a second of one path over the other's, pair by pair; None without a pair."""
    return spread(a["qps"] / b["qps"] for a, b in pairs(runs, of, to, workload, clients)
                  if b["qps"] > 0)


def peer_rates(runs, workload, clients):
    """{peer: its median}, of those that could run."""
    rates = {name: spread(run["qps"] for run in chosen(runs, path=name, workload=workload,
                                                       clients=clients)) for name in PEERS}
    return {name: rate.median for name, rate in rates.items() if rate}


def best_peer(runs, workload, clients):
    """The peer with the highest median; None where none could run."""
    rates = peer_rates(runs, workload, clients)
    return max(rates, key=rates.get) if rates else None


def daemons_cpu(run):
    """Microseconds of processor time a query in all of our daemons."""
    return sum(us for name, us in run["cpu_us"].items() if name in DAEMONS)


# --- The targets -----------------------------------------------------------------------------


def target(measure, must, goal, value, least=True, unit="x", note=""):
    """A row; value is a Spread or None.  least: no less than must is asked for, else no more."""
    def met(bar):
        return None if value is None else (value.median >= bar if least else value.median <= bar)

    row = {"measure": measure, "must": must, "goal": goal, "unit": unit, "note": note,
           "relation": "at least" if least else "at most", "met": met(must),
           "goal_met": met(goal)}
    if value is not None:
        row.update(median=value.median, low=value.low, high=value.high, repeats=len(value.values))
    return row


def speed_targets(runs):
    """Against the best peer at 64 and 128 clients, against the database at 1,000 and 2,000."""
    for title, path, must, goal in (("roles apart", "apart", 0.8, 1.5),
                                    ("one process", "together", 1.1, 2.0)):
        for how in ("", "-mux"):
            for clients in (64, 128):
                peer = best_peer(runs, POINT, clients)
                value = ratio(runs, path + how, peer, POINT, clients) if peer else None
                row = target(f"{title}, {clients} clients, {client_name(path + how)} / best peer",
                             must, goal, value, note=peer or "")
                yield {**row, "peers": len(peer_rates(runs, POINT, clients))}
    for path in ("apart", "apart-mux", "together", "together-mux"):
        for clients in (1000, 2000):
            value = ratio(runs, path, "direct", POINT, clients)
            if value or path == "apart":
                yield target(f"{path.split('-')[0]}, {clients:,} clients, {client_name(path)} / "
                             "direct", 1.0, 1.5, value)


def client_name(path):
    return "multiplexed client" if path.endswith("-mux") else "sysbench"


def cost_targets(runs):
    for path in ("apart", "apart-mux", "together", "together-mux"):
        value = spread(daemons_cpu(run) for run in chosen(runs, path=path, workload=POINT,
                                                          clients=64))
        if value or path == "apart":
            yield target(f"processor time of the daemons a request, {path.split('-')[0]}, 64 in "
                         f"flight, {client_name(path)}", 30, 15, value, least=False, unit="us")


def floor_us(runs, bare, beside):
    """Bare hops and a direct query, medians of the same repeat added, and of the same half where
    they ran in it; None: one is missing."""
    repeat = beside["repeat"]
    hops = [one for one in bare if one["repeat"] == repeat and not one["curve"]]
    direct = chosen(runs, path="direct", workload=POINT, clients=1, repeat=repeat)
    for some in (hops, direct):
        some.sort(key=lambda one: one["half"] != beside["half"])
    return hops[0]["p50_us"] + direct[0]["p50_ms"] * 1000 if hops and direct else None


def latency_targets(runs, bare):
    for path in ("apart", "apart-mux", "together", "together-mux"):
        found = [(run, floor_us(runs, bare, run))
                 for run in chosen(runs, path=path, workload=POINT, clients=1)]
        value = spread(run["p50_ms"] * 1000 / floor for run, floor in found if floor)
        if value or path == "apart":
            yield target(f"unloaded median, {path.split('-')[0]}, {client_name(path)} / (bare four "
                         "hops + direct query)", 1.25, 1.1, value, least=False)


def gigabyte_targets(gigabyte):
    """gigabyte: {"mysql_s": [...], "portcullis_s": [...], "most_kib": {daemon: KiB}, "octets"}."""
    size = f"{gigabyte['octets'] / 2 ** 30:.2f} GiB" if gigabyte else "1 GB"
    value, most = None, None
    if gigabyte:
        value = spread(a / b for a, b in zip(gigabyte["mysql_s"], gigabyte["portcullis_s"]))
        most = spread([max(gigabyte["most_kib"].values()) / 1024])
    yield target(f"a result of {size}: speed / the mysql client's", 0.5, 0.8, value)
    yield target("the same: the largest of our daemons, resident", 64, 64, most, least=False,
                 unit="MiB")


def slow_targets(slow):
    """slow: {"custom_by_healthy": [a ratio a round], "custom_by_random": [...]}."""
    yield target("one replica 10 x slower: p99 of custom / its healthy p99", 1.3, 1.05,
                 spread(slow["custom_by_healthy"]) if slow else None, least=False)
    yield target("the same: p99 of custom / p99 of random", 0.1, 0.1,
                 spread(slow["custom_by_random"]) if slow else None, least=False)


def targets(whole):
    """Every row, of what was measured; None as met where it was not."""
    runs, idle = whole["runs"], whole.get("idle")
    return [*speed_targets(runs), *cost_targets(runs),
            *latency_targets(runs, whole.get("bare", [])),
            *gigabyte_targets(whole.get("gigabyte")), *slow_targets(whole.get("slow")),
            target(f"{idle['clients']:,} idle clients: memory of each in the gatekeeper" if idle
                   else "idle clients: memory of each in the gatekeeper", 40, 20,
                   spread([idle["kib_each"]]) if idle else None, least=False, unit="KiB")]


# --- The text ---------------------------------------------------------------------------------


def table(rows, left=1):
    """Lines of columns, the first `left` of them aligned to the left; rows[0] are headings."""
    widths = [max(len(str(row[at])) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(str(cell).ljust(width) if at < left else str(cell).rjust(width)
                       for at, (cell, width) in enumerate(zip(row, widths))).rstrip()
             for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def in_order(values):
    return list(dict.fromkeys(values))


def paths_of(runs):
    return sorted({run["path"] for run in runs}, key=PATHS.index)


def failures(runs, path, workload, clients):
    return [run["failed"] for run in runs if run.get("failed") and run["path"] == path
            and run["workload"] == workload and run["clients"] == clients]


def cell(runs, path, workload, clients, key):
    value = spread(run[key] for run in chosen(runs, path=path, workload=workload, clients=clients))
    if value:
        return str(value)
    return "fails" if failures(runs, path, workload, clients) else "-"


def figures(runs, workload, key):
    """A table of one figure: a row a number of clients, a column a path."""
    here = [run for run in runs if run["workload"] == workload]
    paths = paths_of(here)
    rows = [["clients", *paths]]
    for clients in sorted({run["clients"] for run in here}):
        rows.append([f"{clients:,}", *(cell(here, path, workload, clients, key)
                                       for path in paths)])
    return table(rows)


def ratios(runs, workload):
    """A row a number of clients, a column each of ours: over the best peer, and over direct."""
    here = [run for run in runs if run["workload"] == workload]
    ours = [path for path in paths_of(here)
            if path.split("-")[0] in ("apart", "together")]
    rows = [["clients", "best peer", *(f"{path} / {to}" for path in ours
                                       for to in ("peer", "direct"))]]
    for clients in sorted({run["clients"] for run in here}):
        peer = best_peer(here, workload, clients)
        row = [f"{clients:,}", peer or "none"]
        for path in ours:
            for to in (peer, "direct"):
                value = ratio(here, path, to, workload, clients) if to else None
                row.append(str(value) if value else "-")
        rows.append(row)
    return table(rows, left=2)


def costs(runs, workload):
    """Processor time a query and memory of every process, median over repeats."""
    rows = [["path", "clients", "process", "us a query", "RSS MiB", "PSS MiB"]]
    here = chosen(runs, workload=workload)
    for path in paths_of(here):
        for clients in sorted({run["clients"] for run in here if run["path"] == path}):
            some = chosen(here, path=path, clients=clients)
            for name in some[0]["cpu_us"]:
                cpu = spread(run["cpu_us"][name] for run in some if name in run["cpu_us"])
                memory = [spread(run["memory_kib"][name][kind] / 1024 for run in some
                                 if kind in run["memory_kib"].get(name, {}))
                          for kind in ("rss", "pss")]
                rows.append([path, f"{clients:,}", name, f"{cpu.median:.1f}",
                             *(f"{one.median:.1f}" if one else "-" for one in memory)])
    return table(rows, left=3)


def reserve(row):
    """In how far a verdict is of less than was asked for; "" where it is not."""
    words = [f"{row['peers']} of {len(PEERS)} peers"] \
        if row.get("peers", len(PEERS)) < len(PEERS) else []
    if row["repeats"] < REPEATS_MIN:
        words.append(f"{row['repeats']} repeat{'s' if row['repeats'] != 1 else ''}")
    return f" (of {', '.join(words)})" if words else ""


def target_lines(rows):
    out = [["measure", "must", "goal", "measured", "repeats", "", "against"]]
    for row in rows:
        sign = ">=" if row["relation"] == "at least" else "<="
        value = "not measured"
        if "median" in row:
            value = f"{number(row['median'])} [{number(row['low'])}..{number(row['high'])}] " \
                f"{row['unit']}"
        verdict = "goal met" if row["goal_met"] else "must met" if row["met"] else \
            "-" if row["met"] is None else "NOT MET"
        verdict += reserve(row) if row["met"] is not None else ""
        out.append([row["measure"], f"{sign} {row['must']}", f"{sign} {row['goal']}", value,
                    row.get("repeats", "-"), verdict, row["note"]])
    return table(out, left=len(out[0]))


def doubts(runs):
    """Why it is not to be believed, a line each."""
    ran = [run for run in runs if not run.get("failed")]
    busy = [run for run in ran if run["others"] + run["steal"] > OTHERS_MAX]
    if busy:
        most = max(run["others"] + run["steal"] for run in busy)
        yield f"DO NOT BELIEVE THIS: in {len(busy)} of {len(ran)} runs the machine did other " \
            f"things too, in the worst with {most:.0%} of its processors"
    for path, workload, clients in in_order((run["path"], run["workload"], run["clients"])
                                            for run in ran if run.get("doubt")):
        some = chosen(ran, path=path, workload=workload, clients=clients)
        why = [run["doubt"] for run in some if run.get("doubt")]
        yield f"DO NOT BELIEVE THIS: {path}, {workload}, {clients:,} clients: the driver says in " \
            f"{len(why)} of {len(some)} runs: {why[0]}"
    for path, workload, clients in in_order((run["path"], run["workload"], run["clients"])
                                            for run in ran if run["errors"]):
        some = chosen(ran, path=path, workload=workload, clients=clients)
        codes = in_order(code for run in some for code in run.get("codes", {}))
        yield f"{path}, {workload}, {clients:,} clients: errors in " \
            f"{sum(run['errors'] > 0 for run in some)} of {len(some)} runs" \
            + (f" ({', '.join(codes)})" if codes else "")
    for path, workload, clients in in_order((run["path"], run["workload"], run["clients"])
                                            for run in runs if run.get("failed")):
        why = failures(runs, path, workload, clients)
        yield f"{path}, {workload}, {clients:,} clients failed {len(why)} times: {why[0]}"


def settings(plan):
    """What is not the same for all, and not as installed."""
    many = plan["connections"]
    yield "sysbench has a connection a thread to the database and to peers; its threads reach " \
        "apart and together over " + ("one each, too" if many == 0 else
                                      f"{many} connection{'s' if many > 1 else ''} in all")
    yield "not at their defaults: " + ", ".join(SETS)


def text(whole):
    """All of it, for a terminal and benchmark files."""
    lines = [f"Portcullis against its peers, {whole['made']}"
             + (", INTERRUPTED" if whole["interrupted"] else ""), ""]
    lines += [f"{name}: {value}" for name, value in {**whole["machine"],
                                                     **whole["versions"]}.items()]
    lines += [f"!!! {name} is not in this comparison: {why}"
              for name, why in whole["missing"].items()]
    plan = whole["plan"]
    lines += ["", f"{plan['repeats']} interleaved repeats of {plan['seconds']} s after "
              f"{plan['warmup']} s, {plan['rows']:,} rows, database and data the same for all; "
              "median [lowest..highest]", "direct: sysbench to the database over TCP; apart, "
              "together: the daemons as processes of their own, gatekeeper, broker and proxy in "
              "one process; -mux: portcullis-bench instead of sysbench, all clients on one "
              "connection", *settings(plan)]
    for workload in in_order(run["workload"] for run in whole["runs"]):
        for title, key in (("queries a second", "qps"), ("median, ms", "p50_ms"),
                           ("99th percentile, ms", "p99_ms")):
            lines += ["", f"{workload}: {title}", *figures(whole["runs"], workload, key)]
        lines += ["", f"{workload}: queries a second of ours over the best peer's and the "
                  "database's own", *ratios(whole["runs"], workload)]
        lines += ["", f"{workload}: processor time and memory", *costs(whole["runs"], workload)]
    lines += ["", "targets", *target_lines(whole["targets"]), ""]
    return "\n".join([*lines, *doubts(whole["runs"])]).rstrip() + "\n"
