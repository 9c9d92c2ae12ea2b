"""Does it grow faster than linearly?  Values in, a verdict out.

What was measured with c clients and a agents is fitted by least squares with

    y = level + B c + C c^2 + E a + F a^2 + G c a

or with those of the terms that the counts can tell apart; each round is a point.  What C makes of
the growth over all clients is what is beyond a straight line, likewise F over the agents, and G is
what the two cost together beyond what each costs alone; what falls, or falls and then rises, has no
more beyond the line than it rises.  Each of the three comes with its spread, 95% to one side, from
how far the points lie from the fit; none of them may be more than a quarter of the growth, or than
a fifth of the greatest value where there is next to none.  What a plane through the points says to
rise by no more than that fifth, spread and all, is flat, whatever its noise looks like bent.
Points that lie too far off to tell are no pass: they say so.
"""
import math

BEYOND_MAX = 0.25  # of the growth: n log n has less over a decade, n^1.5 and n^2 have more
LEVEL_MAX = 0.2    # of the greatest value: what bends by less over a decade is flat
T95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)  # for 1 to 10 of freedom

PASS, FAIL, OPEN = "pass", "FAIL", "open"


def student(freedom):
    """Student's t, 95% to one side."""
    return T95[freedom - 1] if freedom <= len(T95) else 1.645 + 1.65 / freedom


def _terms(points, bent):
    """What the fit is made of: name -> function of c and a, both from 0 to 1."""
    counts = {"clients": len({c for c, _, _ in points}), "agents": len({a for _, a, _ in points})}
    terms = {"level": lambda c, a: 1.0}
    for index, (name, count) in enumerate(counts.items()):
        if count >= 2:
            terms[name] = lambda *at, index=index: at[index]
        if count >= 3 and bent:
            terms[f"{name} beyond"] = lambda *at, index=index: at[index] ** 2
    if min(counts.values()) >= 2 and max(counts.values()) >= 3 and bent:
        terms["both beyond"] = lambda c, a: c * a
    return terms


def _inverse(matrix):
    """Gauss and Jordan; ValueError: it has none."""
    size = len(matrix)
    rows = [list(row) + [float(at == index) for at in range(size)]
            for index, row in enumerate(matrix)]
    for column in range(size):
        best = max(range(column, size), key=lambda index: abs(rows[index][column]))
        if abs(rows[best][column]) < 1e-12:
            raise ValueError("counts that tell nothing apart")
        rows[column], rows[best] = rows[best], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for index in range(size):
            if index != column:
                many = rows[index][column]
                rows[index] = [value - many * by for value, by in zip(rows[index], rows[column])]
    return [row[size:] for row in rows]


class Fit:
    """Of [(c, a, y)], counts scaled to 0..1, so that each term is what it makes over all of them;
    not bent: a plane.  ValueError: there are too few to be fitted with any spread."""

    def __init__(self, points, bent=True):
        self.low = [min(point[index] for point in points) for index in (0, 1)]
        self.width = [(max(point[index] for point in points) - self.low[index]) or 1
                      for index in (0, 1)]
        terms = _terms(points, bent)
        self.freedom = len(points) - len(terms)
        if self.freedom < 1 or len(terms) == 1:
            raise ValueError("too few counts")
        rows = [[term(*self._scaled(c, a)) for term in terms.values()] for c, a, _ in points]
        inverse = _inverse([[sum(row[i] * row[j] for row in rows) for j in range(len(terms))]
                            for i in range(len(terms))])
        right = [sum(row[i] * point[2] for row, point in zip(rows, points))
                 for i in range(len(terms))]
        found = [sum(by * value for by, value in zip(line, right)) for line in inverse]
        off = sum((point[2] - sum(by * value for by, value in zip(found, row))) ** 2
                  for row, point in zip(rows, points)) / self.freedom
        self.value = dict(zip(terms, found))
        self.names, self.off, self.inverse = list(terms), off, inverse

    def _scaled(self, c, a):
        return (c - self.low[0]) / self.width[0], (a - self.low[1]) / self.width[1]

    def spread(self, *names):
        """Of the sum of these terms, to one side."""
        at = [self.names.index(name) for name in names]
        return student(self.freedom) * math.sqrt(
            self.off * sum(self.inverse[i][j] for i in at for j in at))

    def top(self):
        """The greatest value at the corners."""
        kinds = ("clients", "agents", "both")
        return self.value["level"] + max(0.0, *(self.growth(over) for over in kinds))

    def growth(self, over):
        """From the least count to the greatest, of the one or of both."""
        if over == "both":
            return sum(value for name, value in self.value.items() if name != "level")
        return self.value.get(over, 0.0) + self.value.get(f"{over} beyond", 0.0)

    def beyond(self, over):
        """How much of what the greatest counts cost is beyond a straight line; None: no such term.
        No more than it rises from the least that the fit has."""
        bend = self.value.get(f"{over} beyond")
        if bend is None:
            return None
        least = [0.0, self.growth(over)]
        if over == "both":
            least += [self.growth("clients"), self.growth("agents")]
        elif bend > 0 and 0 < -self.value[over] < 2 * bend:
            least.append(-self.value[over] ** 2 / (4 * bend))  # it turns between the two
        return min(bend, self.growth(over) - min(least))

    def each(self, over):
        """What one more costs, on average over all counts, with the least of the other kind."""
        return self.growth(over) / self.width[("clients", "agents").index(over)]


def _flat(points, top):
    """Does a plane through them, spread and all, rise by next to nothing?"""
    plane = Fit(points, bent=False)
    kinds = [name for name in plane.names if name != "level"]
    return all(sum(plane.value[kind] for kind in some) + plane.spread(*some) <= LEVEL_MAX * top
               for some in (kinds, *([kind] for kind in kinds)))


def judge(points):
    """(verdict, [(of what, how much is beyond a line, its spread, how much may be)]) of
    [(c, a, y)]; ValueError as Fit."""
    fit = Fit(points)
    top = fit.top()
    verdicts, parts = [], []
    for over in ("clients", "agents", "both"):
        beyond = fit.beyond(over)
        if beyond is None:
            continue
        spread = fit.spread(f"{over} beyond")
        room = max(BEYOND_MAX * fit.growth(over), LEVEL_MAX * top)
        verdicts.append(PASS if beyond + spread <= room else
                        FAIL if beyond - spread > room else OPEN)
        parts.append((over, beyond, spread, room))
    if not verdicts:
        raise ValueError("too few counts")
    worst = next(verdict for verdict in (FAIL, OPEN, PASS) if verdict in verdicts)
    return PASS if worst == OPEN and _flat(points, top) else worst, parts
