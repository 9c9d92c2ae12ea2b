#!/usr/bin/env python3
"""Draws what portcullis-bench and bench/conditions.py measured.

    bench/report.py RESULT.json... [--html report.html] [--text benchmark_results.txt]

A RESULT is what `portcullis-bench --json` wrote, which is one condition, named after its file, or
what `bench/conditions.py --json` wrote, which is all of them.  The page is one file: no script,
font or picture comes from elsewhere, and its policy forbids the browser to ask for any.

Exit: 0; 1 a file is not what it should be, or cannot be written, and it says which and why.
"""
import argparse
import collections
import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import plot  # noqa: E402  (its folder must be on the path first)
from outcome import Outcome  # noqa: E402
from plot import escape, number  # noqa: E402
from report_page import PAGE  # noqa: E402

# The same color in every picture; names that are not here get those that are left.
COLORS = ["custom", "random", "round-robin", "least-inflight", "peak-ewma", "c3", "prequal",
          "direct"]
COLUMNS = [("requests", "requests"), ("throughput", "ok/s"), ("p50_us", "p50"), ("p90_us", "p90"),
           ("p99_us", "p99"), ("p999_us", "p99.9"), ("max_us", "max"), ("failed", "failed"),
           ("retries", "retries"), ("hedged", "hedged")]

CORRECTED = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)]
DUE = "from when a request was due"
SENT = "from when a client sent a request"
HEAT = (1.3, 3)  # times its healthy p99 from which on a figure is colored as fair, and as bad


# --- What was measured ------------------------------------------------------------

class Condition:
    """What was so while the strategies had their turns, and what came of each of them."""

    def __init__(self, name, text, window, runs):
        self.name, self.text, self.window, self.runs = name, text, window, runs
        self.outcomes = {}
        for run in runs:
            for row in run["strategies"]:
                if row["requests"] > 0:
                    self.outcomes.setdefault(row["strategy"], Outcome()).add(row)

    def left_out(self):
        """Lines on replicas that reads could not go to, and why: no strategy's doing."""
        counts = collections.Counter()
        for run in self.runs:
            for node, reasons in run.get("left_out", {}).items():
                counts.update({(node, why): count for why, count in reasons.items()})
        return [f"{node} was left out of {count} choices: {why}"
                for (node, why), count in sorted(counts.items())]

    def closed(self):
        """Did each client wait for its answer before it asked again?"""
        return self.runs[0]["loop"] == "closed"

    def load(self):
        """How requests came, in words."""
        run = self.runs[0]
        if self.closed():
            return f"closed loop of {run['clients']} clients"
        rate, end = run["rate"], run.get("rate_end", run["rate"])
        ramp = f" rising to {end:g}" if end > rate else f" falling to {end:g}" if end < rate else ""
        return f"{rate:g}{ramp} requests a second, {run['arrivals']}"

    def statements(self):
        """What was sent, in words."""
        return dict.fromkeys(run["sql"] or run["workload"] for run in self.runs)

    def even_pace(self, name):
        """[(key, percentile, its latency in us)] as clients that do not wait would have seen it;
        nothing of an open loop, which hides none."""
        outcome = self.outcomes[name]
        return [(f"corrected_{said.replace('.', '')}_us", said, outcome.corrected_us(share))
                for said, share in CORRECTED] if self.closed() else []

    def comparable(self, other):
        """Did both have the same load?  Else what differs is not the condition."""
        return self.load() == other.load() and self.statements() == other.statements()

    def fault_s(self):
        """From when to when of a turn the fault lasted, by the median of the turns; None: all of
        it."""
        told = [run["fault_s"] for run in self.runs if run.get("fault_s")]
        if told:
            return [statistics.median(at) for at in zip(*told)]
        return self.window


class Results:
    """Every file together."""

    def __init__(self):
        self.conditions, self.about, self.interrupted = [], {}, False

    def add(self, path):
        whole = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        self.interrupted |= whole["interrupted"]
        if "conditions" not in whole:
            name = whole.get("labels", {}).get("condition", pathlib.Path(path).stem)
            self._add(Condition(name, "", None, [whole]))
            return
        self.about = self.about or whole
        for one in whole["conditions"]:
            self._add(Condition(one["name"], one["text"], one["window_s"], one["runs"]))

    def _add(self, condition):
        if condition.outcomes:
            condition.name = self._free(condition.name)
            self.conditions.append(condition)
            order = self.strategies()
            condition.outcomes = {name: condition.outcomes[name] for name in order
                                  if name in condition.outcomes}

    def _free(self, name):
        """Another file may have named one so."""
        taken, count = {one.name for one in self.conditions}, 1
        while (name if count == 1 else f"{name}-{count}") in taken:
            count += 1
        return name if count == 1 else f"{name}-{count}"

    def named(self, name):
        return next((one for one in self.conditions if one.name == name), None)

    def strategies(self):
        """Each once, in the order in which they were told of."""
        return list(dict.fromkeys(name for one in self.conditions for name in one.outcomes))

    def colors(self):
        """{strategy: class}."""
        left = iter(range(len(COLORS), 1000))
        return {name: f"c{COLORS.index(name) if name in COLORS else min(next(left), 11)}"
                for name in self.strategies()}

    def nodes(self):
        return sorted({node for one in self.conditions for outcome in one.outcomes.values()
                       for node in outcome.nodes})

    def begins(self):
        """Where latencies begin, in words."""
        closed = [one.name for one in self.conditions if one.closed()]
        if len(closed) == len(self.conditions):
            return SENT
        return DUE + (f" (of {', '.join(closed)}: {SENT})" if closed else "")

    def headline(self):
        """What the one picture says, in words."""
        healthy, slow = self.named("healthy"), self.named("slow")
        if not healthy or not slow:
            return ""
        if not slow.comparable(healthy):
            return ("healthy and slow did not have the same load, so they are not compared: "
                    f"{healthy.load()}, and {slow.load()}.")
        words = []
        for name in ("custom", "random"):
            if name in healthy.outcomes and name in slow.outcomes:
                one, much = slow.outcomes[name], times(slow.outcomes[name], healthy.outcomes[name])
                words.append(f"under {name} {number(one.ms(0.99))} ms, {much.removeprefix('× ')} "
                             "times that of when all were well")
        faulty = self.about.get("faulty", "one replica")
        return f"While {faulty} was slow, 99 of 100 reads took at most {'; '.join(words)}."

    def doubts(self):
        """Is there anything that the driver does not believe itself?  In words; "": no."""
        outcomes = [one for condition in self.conditions for one in condition.outcomes.values()]
        turns = sum(len(one.rounds) for one in outcomes)
        doubted = sum(len(one.doubts) for one in outcomes)
        return "" if doubted == 0 else (
            f"The driver doubts {doubted} of its {turns} turns and says why at each: repeat this "
            "where nothing else runs before you believe a difference.")


def times(outcome, base):
    """How much longer p99 became."""
    factor = outcome.us(0.99) / max(base.us(0.99), 1)
    return f"× {factor:.2f}" if factor < 10 else f"× {number(factor)}"


def shown(key, value):
    """A figure as it is told: times in milliseconds."""
    if key.endswith("_us"):
        return number(value / 1000)
    return number(value) if key == "throughput" else str(value)


# --- As text -----------------------------------------------------------------------

def about_lines(results):
    about, lines = results.about, []
    if about:
        machine, cluster = about["machine"], about["cluster"]
        lines = [f"{about['started']}, {machine['processors']} processors ({machine['model']}), "
                 f"{machine['memory_mib']} MiB, {machine['kernel']}",
                 f"{cluster['database']}, a source and {len(cluster['nodes']) - 1} replicas, "
                 f"roles {cluster['roles']}"]
        lines += about["notes"]
    statements = dict.fromkeys(said for one in results.conditions for said in one.statements())
    return lines + [f"statement: {said}" for said in statements]


def text_of(results):
    lines = ["Portcullis: strategies compared", "", *about_lines(results)]
    lines.append(f"Latency in ms {results.begins()}; a failure counts its timeout.")
    if results.interrupted:
        lines.append("INTERRUPTED: this is what was measured until then.")
    lines += ["", results.headline()] if results.headline() else []
    lines += ["", results.doubts()] if results.doubts() else []
    for condition in results.conditions:
        lines += ["", f"{condition.name}: {condition.text or condition.load()}"]
        lines.append(f"{'strategy':15}" + "".join(f" {name:>9}" for _, name in COLUMNS))
        for name, outcome in condition.outcomes.items():
            figures = outcome.figures()
            lines.append(f"{name:15}" + "".join(f" {shown(key, figures[key]):>9}"
                                                for key, _ in COLUMNS))
        for name, outcome in condition.outcomes.items():
            shares = ", ".join(f"{node} {100 * outcome.share(node):.2f}%"
                               for node in sorted(outcome.nodes))
            lines.append(f"  {name}: {shares or 'no answer of any node'}")
            pace = "  ".join(f"{said} {number(us / 1000)}"
                             for _, said, us in condition.even_pace(name))
            lines += [f"    at an even pace: {pace} ms"] if pace else []
            lines += [f"    failed: {code} {count}" for code, count in outcome.errors.items()]
            lines += [f"    DO NOT BELIEVE THIS: {doubt}" for doubt in outcome.doubts]
        lines += [f"  {line}" for line in condition.left_out()]
    return "\n".join(lines) + "\n"


# --- As a page ----------------------------------------------------------------------

def figure(picture, caption):
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def cell(condition, strategy, key, value, text, style=""):
    """One that a program can read, too."""
    return (f'<td data-condition="{escape(condition)}" data-strategy="{escape(strategy)}" '
            f'data-key="{key}" data-value="{value}"{style}>{escape(text)}</td>')


def strategy_head(name, colors):
    return f'<th class="s {colors[name]}"><span class="dot"></span>{escape(name)}</th>'


def table_of(condition, colors):
    rows = ["<tr><th>strategy</th>" + "".join(f"<th>{name}</th>" for _, name in COLUMNS) + "</tr>"]
    for name, outcome in condition.outcomes.items():
        figures = outcome.figures()
        rows.append("<tr>" + strategy_head(name, colors) + "".join(
            cell(condition.name, name, key, figures[key], shown(key, figures[key]))
            for key, _ in COLUMNS) + "</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def even_pace_of(condition, colors):
    """What the latencies of a closed loop hide."""
    if not condition.closed():
        return ""
    rows = ["<tr><th>at an even pace</th>" + "".join(f"<th>{said}</th>" for said, _ in CORRECTED)
            + "</tr>"]
    for name in condition.outcomes:
        rows.append("<tr>" + strategy_head(name, colors) + "".join(
            cell(condition.name, name, key, us, number(us / 1000))
            for key, _, us in condition.even_pace(name)) + "</tr>")
    return (f"<p><small>Latency runs {SENT}, and who waits asks nothing meanwhile. What clients "
            "that do not wait would have seen:</small></p>"
            f'<div class="wide"><table>{"".join(rows)}</table></div>')


def errors_of(condition):
    lines = []
    for name, outcome in condition.outcomes.items():
        for code, count in outcome.errors.most_common():
            lines.append(f'<li data-error="{escape(f"{condition.name}/{name}/{code}")}" '
                         f'data-value="{count}">{escape(name)}: {count} of {outcome.requests} '
                         f"failed with <code>{escape(code)}</code></li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else "<p>No request failed.</p>"


def left_out_of(condition):
    lines = "".join(f"<li>{escape(line)}</li>" for line in condition.left_out())
    return f"<h3>Left out</h3><ul>{lines}</ul>" if lines else ""


def doubts_of(condition):
    doubted = [f"<li>{escape(name)}, {len(outcome.doubts)} of {len(outcome.rounds)} rounds: "
               f"{escape(outcome.doubts[0])}</li>"
               for name, outcome in condition.outcomes.items() if outcome.doubts]
    return (f'<details class="doubt"><summary>Where the driver doubts its own figures</summary>'
            f"<ul>{''.join(doubted)}</ul></details>") if doubted else ""


def distribution(condition, colors):
    axis, ticks = plot.percentile_axis(max(one.requests for one in condition.outcomes.values()))
    series = [(name, colors[name], [(at, edge / 1000) for at, edge in plot.percentile_points(
        sorted((min(edge, outcome.max_us), count) for edge, count in outcome.buckets.items()))])
              for name, outcome in condition.outcomes.items()]
    return figure(plot.lines(f"{condition.name}: latency by percentile", series, "percentile",
                             "ms", x_axis=axis, x_ticks=ticks),
                  f"Latency {SENT if condition.closed() else DUE}, that so many of all requests "
                  "kept below; both axes logarithmic.")


def over_time(condition, colors, key, unit, caption, log, scale=1):
    until_s = condition.runs[0]["seconds"]
    series = [(name, colors[name], [(at_s, value / scale)
                                    for at_s, value in outcome.over_time(key, until_s)])
              for name, outcome in condition.outcomes.items()]
    if not any(points for _, _, points in series):
        return ""
    fault = condition.fault_s()
    shade = [min(max(at_s, 0), until_s) for at_s in fault] if fault else None
    return figure(plot.lines(f"{condition.name}: {unit} over time", series, "second of the turn",
                             unit, log=log, shade=shade,
                             x_axis=plot.Axis(0, until_s, plot.LEFT, plot.WIDTH - plot.RIGHT)),
                  caption)


def shares(condition, nodes):
    rows = [(name, {node: outcome.share(node) for node in nodes})
            for name, outcome in condition.outcomes.items()]
    colors = {node: f"n{index % 9}" for index, node in enumerate(nodes)}
    legend = "".join(f'<span class="node {color}"><span class="dot"></span>{escape(node)}</span>'
                     for node, color in colors.items())
    return (f'<figure><div class="legend">{legend}</div>'
            + plot.stacks(f"{condition.name}: share of each node", rows, colors)
            + "<figcaption>Which node gave the answers.</figcaption></figure>")


def section(condition, colors, nodes):
    shaded = " The fault lasted for the shaded time." if condition.fault_s() else ""
    pictures = [
        distribution(condition, colors),
        over_time(condition, colors, "p99_us", "p99, ms",
                  "p99 of what ended in each second, the median of the rounds." + shaded, True,
                  1000),
        over_time(condition, colors, "ok", "answers a second",
                  "Good answers that came in each second, the median of the rounds." + shaded,
                  False),
        shares(condition, nodes)]
    return (f'<section id="{escape(condition.name)}"><h2>{escape(condition.name)}</h2>'
            f"<p>{escape(condition.text)} <small>{escape(condition.load())}</small></p>"
            f"{table_of(condition, colors)}{even_pace_of(condition, colors)}{doubts_of(condition)}"
            f'<div class="pictures">{"".join(pictures)}</div>'
            f"<h3>Errors</h3>{errors_of(condition)}{left_out_of(condition)}</section>")


def why_of(results, colors):
    """The one picture: what a slow replica does to each strategy's p99."""
    healthy, slow = results.named("healthy"), results.named("slow")
    if not healthy or not slow:
        return ""
    if not slow.comparable(healthy):
        return f'<p class="banner">{escape(results.headline())}</p>'
    names = [name for name in slow.outcomes if name in healthy.outcomes]
    names.sort(key=lambda name: slow.outcomes[name].us(0.99))
    rows = [(name, colors[name], healthy.outcomes[name].ms(0.99), slow.outcomes[name].ms(0.99),
             f"{number(slow.outcomes[name].ms(0.99))} ms, "
             f"{times(slow.outcomes[name], healthy.outcomes[name])}") for name in names]
    if not rows:
        return ""
    picture = plot.dumbbells("p99 of each strategy, healthy and with one slow replica", rows,
                             "p99, ms: ring healthy, disc with one slow replica")
    return (f'<section id="why"><h2>Why <code>custom</code> exists</h2>'
            f"<p>{escape(results.headline())}</p>"
            + figure(picture, f"{slow.text} How far a disc lies to the right of its ring is "
                     "what one slow replica costs. In words: p99 with it, and times the healthy "
                     "one.") + "</section>")


def matrix(results, colors):
    """p99 of every strategy under every condition, beside its healthy one."""
    healthy = results.named("healthy")
    rows = ["<tr><th>p99, ms</th>" + "".join(f"<th>{escape(one.name)}</th>"
                                             for one in results.conditions) + "</tr>"]
    for name in results.strategies():
        cells = []
        for one in results.conditions:
            outcome = one.outcomes.get(name)
            if outcome is None:
                cells.append("<td>–</td>")
                continue
            text, heat = number(outcome.ms(0.99)), ""
            if healthy and one is not healthy and name in healthy.outcomes \
                    and one.comparable(healthy):
                base = healthy.outcomes[name]
                level = sum(outcome.us(0.99) > most * base.us(0.99) for most in HEAT)
                text, heat = f"{text} ({times(outcome, base)})", f' class="heat{level}"'
            cells.append(cell(one.name, name, "p99_us", outcome.us(0.99), text, heat))
        rows.append("<tr>" + strategy_head(name, colors) + "".join(cells) + "</tr>")
    return ('<section id="all"><h2>Every condition</h2><div class="wide"><table>'
            f'{"".join(rows)}</table></div><p><small>In brackets: times its own p99 of the healthy '
            "cluster.</small></p></section>")


def page_of(results):
    colors, nodes = results.colors(), results.nodes()
    picks = "".join(f'<button type="button" class="s {color}" data-pick="{color}">'
                    f'<span class="dot"></span>{escape(name)}</button>'
                    for name, color in colors.items())
    figures = {one.name: {name: outcome.figures() for name, outcome in one.outcomes.items()}
               for one in results.conditions}
    about = "".join(f"<li>{escape(line)}</li>" for line in about_lines(results))
    banner = ('<p class="banner">Interrupted: this is what was measured until then.</p>'
              if results.interrupted else "")
    if results.doubts():
        banner += f'<p class="banner">{escape(results.doubts())}</p>'
    body = "".join([banner, why_of(results, colors), matrix(results, colors),
                    *(section(one, colors, nodes) for one in results.conditions)])
    # "</script>" in a name must not end the script.
    data = json.dumps(figures).replace("<", "\\u003c")
    return PAGE.substitute(picks=picks, about=about, body=body, data=data)


# --- The command ---------------------------------------------------------------------

def read(paths):
    results = Results()
    for path in paths:
        try:
            results.add(path)
        except OSError as error:
            sys.exit(f"report.py: {error}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            sys.exit(f"report.py: {path} is no result of portcullis-bench or conditions.py: "
                     f"{type(error).__name__}: {error}")
    if not results.conditions:
        sys.exit("report.py: nothing was measured: there is no request in any of the files")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("results", nargs="+", metavar="RESULT.json")
    parser.add_argument("--html", metavar="FILE", help="one page, with pictures")
    parser.add_argument("--text", metavar="FILE", help="the tables as text; - is the terminal")
    options = parser.parse_args()
    results = read(options.results)
    try:
        if options.html:
            pathlib.Path(options.html).write_text(page_of(results), encoding="utf-8")
        if options.text == "-" or not (options.html or options.text):
            sys.stdout.write(text_of(results))
        elif options.text:
            pathlib.Path(options.text).write_text(text_of(results), encoding="utf-8")
    except OSError as error:
        sys.exit(f"report.py: {error}")


if __name__ == "__main__":
    main()
