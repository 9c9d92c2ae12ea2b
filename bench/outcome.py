"""What came of one strategy's requests under one condition: rows that portcullis-bench wrote
(docs/bench.md), added up."""
import collections
import math
import statistics

PERCENTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}
FINE_BITS = 7  # of the driver's buckets: a power of two is cut into so many bits (histogram.h)


def edge_of(value):
    """The greatest value in the driver's bucket of it."""
    shift = max(value.bit_length() - 1 - FINE_BITS, 0)
    return (((value >> shift) + 1) << shift) - 1


class Outcome:
    def __init__(self):
        self.buckets, self.nodes, self.errors = (collections.Counter() for _ in range(3))
        self.requests = self.retries = self.hedged = self.max_us = 0
        self.seconds = self.in_time = 0.0
        self.doubts, self.rounds, self.series = [], [], []

    def add(self, row):
        self.requests += row["requests"]
        self.retries += row["retries"]
        self.hedged += row["hedged"]
        self.seconds += row["seconds"]
        self.in_time += row["throughput"] * row["seconds"]
        self.max_us = max(self.max_us, row["latency_us"]["max"])
        self.errors.update(row["errors"])
        self.nodes.update({name: node["count"] for name, node in row["nodes"].items()})
        self.buckets.update(dict(row["latency_buckets"]))
        self.doubts += [row["doubt"]] if row["doubt"] else []
        self.rounds.append(row["latency_us"])
        self._add_series(row.get("series", []), row.get("series_seconds", 1))

    def _add_series(self, points, width_s):
        """Each round by itself, as {second: what is told of it and of the next width_s}; counts
        become rates a second."""
        rounds = collections.defaultdict(dict)
        for one in points:
            rates = {key: one[key] / width_s for key in ("ok", "failed")}
            rounds[one["round"]][one["second"]] = {**one, **rates, "middle": width_s / 2}
        self.series += rounds.values()

    def us(self, share):
        """A percentile, a failure as its timeout; as the driver tells it of one row."""
        rank, seen = math.ceil(share * self.buckets.total()), 0
        for edge_us in sorted(self.buckets):
            seen += self.buckets[edge_us]
            if seen >= rank:
                return min(edge_us, self.max_us)
        return 0

    def ms(self, share):
        return self.us(share) / 1000

    def corrected_us(self, share):
        """The same as clients at an even pace, of one request each median, would have seen it,
        where those of a closed loop waited for each answer: pcl_report_correct, of all rounds."""
        interval, waits = max(self.us(0.5), 1), []
        for edge_us, count in self.buckets.items():
            value = min(edge_us, self.max_us)
            waits.append((value, max(value // interval - 1, 0), count))
        total = sum(count * (1 + steps) for _, steps, count in waits)
        rank, low, high = math.ceil(share * total), 0, self.max_us
        while low < high:  # the least that so many do not exceed
            middle = (low + high) // 2
            above = sum(count * (1 + min(steps, (value - middle - 1) // interval))
                        for value, steps, count in waits if value > middle)
            low, high = (low, middle) if total - above >= rank else (middle + 1, high)
        return min(edge_of(low), self.max_us)

    def failed(self):
        return self.errors.total()

    def throughput(self):
        """Successes a second, without those that came after the last request was due."""
        return self.in_time / self.seconds if self.seconds else 0.0

    def share(self, node):
        return self.nodes[node] / max(self.nodes.total(), 1)

    def over_time(self, key, until_s):
        """[(middle of a second of the turn, value)], the median over the rounds in which anything
        is told of it; without those at and after until_s.  A long turn has a value for several
        seconds."""
        seconds = collections.defaultdict(list)
        for one in self.series:
            for second, told in one.items():
                if second < until_s and told[key] is not None:
                    seconds[second + told["middle"]].append(told[key])
        return [(second, statistics.median(values)) for second, values in sorted(seconds.items())]

    def figures(self):
        """All that a reader may want to compare, by name."""
        return {"requests": self.requests, "ok": self.requests - self.failed(),
                "failed": self.failed(), "retries": self.retries, "hedged": self.hedged,
                "throughput": round(self.throughput(), 1),
                **{name: self.us(share) for name, share in PERCENTILES.items()},
                "max_us": self.max_us, "errors": dict(self.errors), "nodes": dict(self.nodes),
                "rounds": len(self.rounds), "doubted": len(self.doubts)}


def ratios(of, to, key="p99"):
    """One a round, of what stands in both.  A round without a request on either side says
    nothing."""
    return [a[key] / b[key] for a, b in zip(of.rounds, to.rounds)
            if a["count"] and b["count"] and b[key]]


def ratio(of, to, key="p99"):
    """Their median: one bad moment of the machine is one round."""
    found = ratios(of, to, key)
    return statistics.median(found) if found else float("nan")
