#!/usr/bin/env python3
"""usage: plot.py FIGURES.csv REPORT.html

Draws what `portcullis-sim -o FIGURES.csv` wrote: one self-contained page, for
each table its bars (median, quartiles as a line, published values as a tick),
in SVG.  Tables of ratios are drawn as multiples of the oracle's figures.
"""
import collections
import csv
import html
import math
import sys

WIDTH, ROW, LEFT, RIGHT = 900, 15, 150, 90
# Of each table these figures, where they are there.
FIGURES = ["p99_ms", "p999_ms", "answered_percent", "mean_ms", "fano"]
RATIO_TABLES = {"matrix", "more"}
COLORS = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac",
          "#eeca3b", "#ff9da6", "#2f4b7c", "#a05195", "#665191"]
STYLE = """body { font: 14px sans-serif; margin: 2em auto; max-width: 960px; color: #222 }
h2 { margin-top: 2em; border-top: 1px solid #ccc; padding-top: 1em }
svg { display: block; margin: 0 0 1em } text { font: 11px sans-serif }
td, th { padding: 1px 8px; text-align: right; font-size: 12px } th:first-child { text-align: left }
table { border-collapse: collapse } tr:hover td { background: #eef }"""


def read(path):
    """tables[table][figure][scenario][policy] = (median, low, high, published or None)"""
    tables = collections.OrderedDict()
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            figures = tables.setdefault(row["table"], collections.OrderedDict())
            scenarios = figures.setdefault(row["figure"], collections.OrderedDict())
            values = tuple(float(row[name]) for name in ("median", "low", "high"))
            published = float(row["published"]) if row["published"] else None
            scenarios.setdefault(row["scenario"], collections.OrderedDict())[row["policy"]] = \
                values + (published,)
    return tables


def number(value):
    if value >= 101:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 99 or value < 10 else f"{value:.1f}"


class Axis:
    """Logarithmic where values span more than ten times."""
    def __init__(self, values):
        positive = [value for value in values if value > 0] or [1]
        self.low, self.high = min(positive), max(positive)
        self.log = self.high > 10 * self.low
        self.low = self.low / 1.5 if self.log else 0.0

    def x(self, value):
        if self.log:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = value / self.high if self.high > 0 else 0
        return LEFT + part * (WIDTH - LEFT - RIGHT)


def line(x1, x2, y1, y2, color, width=1):
    return (f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{color}" '
            f'stroke-width="{width}"/>')


def bars(scenario, policies, axis, colors):
    height = ROW * len(policies) + 22
    out = [f'<svg width="{WIDTH}" height="{height}" role="img">',
           f'<text x="0" y="12" font-weight="bold">{html.escape(scenario)}</text>']
    for index, (policy, (median, low, high, published)) in enumerate(policies.items()):
        y = 20 + index * ROW
        right = max(axis.x(median), LEFT + 1)
        out.append(f'<text x="{LEFT - 6}" y="{y + 10}" text-anchor="end">'
                   f'{html.escape(policy)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 2}" width="{right - LEFT:.1f}" height="{ROW - 5}" '
                   f'fill="{colors[policy]}"/>')
        if high > low:
            out.append(line(axis.x(low), axis.x(high), y + ROW / 2, y + ROW / 2, "#222"))
        said = number(median)
        if published is not None:
            out.append(line(axis.x(published), axis.x(published), y, y + ROW - 2, "#000", 2))
            said += f" [{published:g}]"
        out.append(f'<text x="{max(right, axis.x(high)) + 4:.1f}" y="{y + 10}">{said}</text>')
    out.append("</svg>")
    return "".join(out)


def as_ratios(scenarios):
    """Of medians; the quartiles of a ratio are not the ratio of quartiles, so none are drawn."""
    ratios = collections.OrderedDict()
    for scenario, policies in scenarios.items():
        first = next(iter(policies.values()))[0]
        if first > 0:
            ratios[scenario] = collections.OrderedDict(
                (policy, (values[0] / first,) * 3 + (None,)) for policy, values in policies.items())
    return ratios


def geometric_means(scenarios):
    means = collections.OrderedDict()
    for policy in next(iter(scenarios.values())):
        logs = [math.log(policies[policy][0]) for policies in scenarios.values()]
        means[policy] = (math.exp(sum(logs) / len(logs)),) * 3 + (None,)
    return means


def numbers(scenarios):
    policies = list(next(iter(scenarios.values())))
    out = ["<table><tr><th></th>"] + [f"<th>{html.escape(name)}</th>" for name in policies]
    out.append("</tr>")
    for scenario, values in scenarios.items():
        out.append(f"<tr><th>{html.escape(scenario)}</th>")
        out += [f"<td>{values[name][0]:.3f}</td>" for name in policies]
        out.append("</tr>")
    return "".join(out + ["</table>"])


def section(table, figure, scenarios, colors):
    ratio = table in RATIO_TABLES
    if ratio:
        scenarios = as_ratios(scenarios)
        if not scenarios:
            return ""
        scenarios["geometric mean"] = geometric_means(scenarios)
    out = [f"<h3>{figure}{', as multiples of the first' if ratio else ''}</h3>"]
    values = [value for policies in scenarios.values() for median in policies.values()
              for value in median if value is not None]
    axis = Axis(values)
    out += [bars(scenario, policies, axis, colors) for scenario, policies in scenarios.items()]
    return "".join(out) + (numbers(scenarios) if ratio else "")


def page(tables):
    out = [f"<!doctype html><meta charset='utf-8'><title>portcullis-sim</title><style>{STYLE}"
           "</style><h1>portcullis-sim</h1><p>Bars are medians over the seeds, thin lines the "
           "quartiles, thick ticks and brackets what was published.</p>"]
    for table, figures in tables.items():
        policies = list(next(iter(next(iter(figures.values())).values())))
        colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(policies)}
        out.append(f"<h2>{html.escape(table)}</h2>")
        out += [section(table, figure, figures[figure], colors)
                for figure in FIGURES if figure in figures and wanted(table, figure)]
    return "".join(out)


def wanted(table, figure):
    if figure == "answered_percent":
        return table == "2b"
    return table != "2b" and (figure != "fano" or table.startswith("2a"))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(page(read(sys.argv[1])))


if __name__ == "__main__":
    main()
