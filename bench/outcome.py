"""What came of one strategy's requests under one condition: rows that portcullis-bench wrote
(docs/bench.md), added up."""
import collections
import math
import statistics

PERCENTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}


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
        self._add_series(row.get("series", []))

    def _add_series(self, points):
        """Each round by itself, as {second: what is told of it}."""
        rounds = collections.defaultdict(dict)
        for one in points:
            rounds[one["round"]][one["second"]] = one
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

    def failed(self):
        return self.errors.total()

    def throughput(self):
        """Successes a second, without those that came after the last request was due."""
        return self.in_time / self.seconds if self.seconds else 0.0

    def share(self, node):
        return self.nodes[node] / max(self.nodes.total(), 1)

    def over_time(self, key, until_s):
        """[(second of the turn, value)], the median over the rounds in which anything is told of
        it; without those at and after until_s."""
        seconds = collections.defaultdict(list)
        for one in self.series:
            for second, told in one.items():
                if second < until_s and told[key] is not None:
                    seconds[second].append(told[key])
        return [(second, statistics.median(values)) for second, values in sorted(seconds.items())]

    def figures(self):
        """All that a reader may want to compare, by name."""
        return {"requests": self.requests, "ok": self.requests - self.failed(),
                "failed": self.failed(), "retries": self.retries, "hedged": self.hedged,
                "throughput": round(self.throughput(), 1),
                **{name: self.us(share) for name, share in PERCENTILES.items()},
                "max_us": self.max_us, "errors": dict(self.errors), "nodes": dict(self.nodes),
                "rounds": len(self.rounds), "doubted": len(self.doubts)}


def ratio(of, to, key="p99"):
    """The median over rounds of what stands in both: one bad moment of the machine is one round."""
    pairs = [(a[key], b[key]) for a, b in zip(of.rounds, to.rounds) if b[key]]
    return statistics.median(a / b for a, b in pairs) if pairs else float("nan")
