"""Pictures as SVG text: lines, dumbbells, stacked bars.  Values in, text out.

Colors and fonts come from the page's style sheet, by class: a series has the class "s " and its
own one (`color`), so that a page can change them for a dark screen and can point one out.  A
picture is as wide as what it stands in; its own units are small enough to be read on a phone.
"""
import html
import math

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 38
ROW = 28  # of a dumbbell or a bar


def escape(text):
    return html.escape(str(text), quote=True)


def number(value):
    """Three digits that count, or as many as stand before the point."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(digits, 0), 3)}f}"


class Axis:
    """From values to places; log has no place for what is not above 0 and puts it at low."""

    def __init__(self, low, high, first, last, log=False):
        self.log = log
        self.low = low
        self.high = high if high > low else low * 10 if log and low > 0 else low + 1
        self.first, self.last = first, last

    @classmethod
    def around(cls, values, first, last, log=False):
        """Over all of these, with some room, so that the ends are seen."""
        values = [value for value in values if value > 0 or not log] or [1]
        if not log:
            return cls(0, max(values) * 1.08, first, last)
        room = (max(values) / min(values)) ** 0.06
        return cls(min(values) / room / 1.1, max(values) * room * 1.1, first, last, True)

    def at(self, value):
        if self.log:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.first + min(max(part, 0), 1) * (self.last - self.first)

    def ticks(self):
        if not self.log or self.high < 5 * self.low:
            step = 10 ** math.floor(math.log10((self.high - self.low) / 4))
            step *= next(many for many in (1, 2, 5, 10) if (self.high - self.low) / (step * many)
                         <= 6)
            first = math.ceil(self.low / step)
            return [step * count for count in range(first, math.floor(self.high / step) + 1)]
        decades = math.log10(self.high / self.low)
        parts = (1, 2, 5) if decades < 2.6 else (1,)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [part * 10.0 ** power for power in powers for part in parts
                if self.low <= part * 10.0 ** power <= self.high]


def _text(x, y, text, anchor="start", style=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
            f'{f" class={chr(34)}{style}{chr(34)}" if style else ""}>{escape(text)}</text>')


def _line(x1, y1, x2, y2, style="grid"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _svg(label, height, parts):
    return (f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label)}">'
            + "".join(parts) + "</svg>")


def _frame(x, y, x_name, y_name, x_ticks, height):
    parts = []
    for value in y.ticks():
        parts += [_line(LEFT, y.at(value), WIDTH - RIGHT, y.at(value)),
                  _text(LEFT - 6, y.at(value) + 4, f"{value:g}", "end")]
    for value, name in x_ticks:
        parts += [_line(x.at(value), TOP, x.at(value), height - BOTTOM),
                  _text(x.at(value), height - BOTTOM + 15, name,
                        "end" if x.at(value) > WIDTH - RIGHT - 1 and len(name) > 4 else "middle")]
    parts += [_line(LEFT, height - BOTTOM, WIDTH - RIGHT, height - BOTTOM, "axis"),
              _text((LEFT + WIDTH - RIGHT) / 2, height - 6, x_name, "middle", "name"),
              f'<text transform="translate(12 {(TOP + height - BOTTOM) / 2:.1f}) rotate(-90)" '
              f'text-anchor="middle" class="name">{escape(y_name)}</text>']
    return parts


def _path(points):
    """Without those that nobody could tell from the one before."""
    kept = []
    for index, point in enumerate(points):
        if not kept or index == len(points) - 1 or math.dist(point, kept[-1]) > 0.7:
            kept.append(point)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)


def lines(label, series, x_name, y_name, log=True, x_axis=None, x_ticks=None, shade=None,
          ranges=()):
    """series: [(name, color, [(x, y), ...])].  shade: (from, to) on the x axis.  ranges: [(color,
    [(x, low, high), ...])], drawn as strokes."""
    values = [value for _, _, points in series for _, value in points]
    values += [value for _, strokes in ranges for stroke in strokes for value in stroke[1:]]
    x = x_axis or Axis(0, max((at for _, _, points in series for at, _ in points), default=1),
                       LEFT, WIDTH - RIGHT)
    y = Axis.around(values, HEIGHT - BOTTOM, TOP, log)
    parts = []
    if shade:
        left, right = (x.at(value) for value in shade)
        parts.append(f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" '
                     f'height="{HEIGHT - BOTTOM - TOP}" class="shade"/>')
    ticks = x_ticks if x_ticks is not None else [(at, f"{at:g}") for at in x.ticks()]
    parts += _frame(x, y, x_name, y_name, ticks, HEIGHT)
    for color, strokes in ranges:
        parts += [_line(x.at(at), y.at(low), x.at(at), y.at(high), f"range {escape(color)}")
                  for at, low, high in strokes]
    for name, color, points in series:
        if points:
            placed = [(x.at(at), y.at(value)) for at, value in points]
            parts.append(f'<polyline class="s {escape(color)}" points="{_path(placed)}">'
                         f'<title>{escape(name)}</title></polyline>')
    return _svg(label, HEIGHT, parts)


def percentile_axis(count_max):
    """(axis, ticks) on which each further nine of a percentile takes the same room; a share q of
    the requests stands at 1 / (1 - q)."""
    top = max(count_max, 100)
    ticks = [(1, "0"), (2, "50"), (10, "90"), (100, "99"), (1000, "99.9"), (10000, "99.99"),
             (100000, "99.999")]
    if top > 30000:
        ticks.pop(1)  # there would be no room for its name
    return (Axis(1, top, LEFT, WIDTH - RIGHT, True),
            [(value, f"{name}%") for value, name in ticks if value <= top])


def percentile_points(buckets):
    """[(1 / (1 - q), value)] of a histogram's [(upper edge, count)]; the last request of all,
    which nothing is above, stands where it is one of so many."""
    total, seen, points = sum(count for _, count in buckets), 0, []
    for edge, count in buckets:
        points.append((total / (total - seen), edge))
        seen += count
        points.append((total / max(total - seen, 1), edge))
    return points


def dumbbells(label, rows, x_name):
    """rows: [(name, color, from, to, word)]: a ring at the one value, a disc at the other, and a
    word behind."""
    height = TOP + ROW * len(rows) + BOTTOM
    left, right = 96, 104
    x = Axis.around([value for row in rows for value in row[2:4]], left, WIDTH - right, True)
    parts = []
    for value in x.ticks():
        parts += [_line(x.at(value), TOP, x.at(value), height - BOTTOM),
                  _text(x.at(value), height - BOTTOM + 15, f"{value:g}", "middle")]
    parts.append(_text((left + WIDTH - right) / 2, height - 6, x_name, "middle", "name"))
    for index, (name, color, low, high, word) in enumerate(rows):
        y = TOP + ROW * (index + 0.5)
        start, end = x.at(low), x.at(high)
        parts += [f'<g class="s {escape(color)}">', _text(left - 10, y + 4, name, "end", "row"),
                  _line(start, y, end, y, "bar"),
                  f'<circle cx="{start:.1f}" cy="{y:.1f}" r="6" class="ring"/>',
                  f'<circle cx="{end:.1f}" cy="{y:.1f}" r="6" class="disc"/>',
                  _text(max(start, end) + 11, y + 4, word, "start", "row"),
                  f'<title>{escape(f"{name}: {number(low)}, then {number(high)}")}</title></g>']
    return _svg(label, height, parts)


def stacks(label, rows, colors):
    """rows: [(name, {part: share})], of which each adds up to 1 at most; colors: {part: class}."""
    height = 4 + ROW * len(rows)
    left, right = 96, 6
    x = Axis(0, 1, left, WIDTH - right)
    parts = []
    for index, (name, shares) in enumerate(rows):
        top, before = 4 + ROW * index, 0.0
        parts.append(_text(left - 10, top + 17, name, "end", "row"))
        for part, color in colors.items():
            share = shares.get(part, 0)
            if share <= 0:
                continue
            start, end = x.at(before), x.at(before + share)
            before += share
            parts.append(f'<rect x="{start:.1f}" y="{top}" width="{end - start:.2f}" '
                         f'height="{ROW - 7}" class="node {escape(color)}"><title>'
                         f'{escape(f"{name}: {part} {100 * share:.2f}%")}</title></rect>')
            if end - start > 34:
                parts.append(_text((start + end) / 2, top + 16, f"{100 * share:.0f}%", "middle",
                                   "in"))
    return _svg(label, height, parts)
