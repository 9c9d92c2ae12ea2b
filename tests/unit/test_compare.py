#!/usr/bin/env python3
"""What bench/compare.py makes of its runs; usage: test_compare.py ROOT."""
import pathlib
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "bench"))
import compare_report as report  # noqa: E402  (its folder must be on the path first)
import outcome  # noqa: E402


def run(path, qps, clients=64, repeat=1, half="apart", **more):
    return {"repeat": repeat, "half": half, "workload": "point_select", "path": path,
            "clients": clients, "qps": qps, "p50_ms": 1.0, "p99_ms": 2.0, "errors": 0,
            "cpu_us": {"node1": 20.0, "client": 9.0}, "others": 0.0, "steal": 0.0,
            "memory_kib": {"node1": {"rss": 2048, "pss": 1024}}, **more}


def failed(path, clients=64, repeat=1):
    return {"repeat": repeat, "half": "apart", "workload": "point_select", "path": path,
            "clients": clients, "failed": "refused"}


def whole(runs, **more):
    found = {"made": "now", "interrupted": False, "machine": {"machine": "2 processors"},
             "versions": {"database": "10.11"}, "missing": {"proxysql": "not here"},
             "plan": {"repeats": 2, "seconds": 3, "warmup": 1, "rows": 100, "connections": 1},
             "runs": runs, **more}
    return {**found, "targets": report.targets(found)}


def row(found, start):
    return next(one for one in found["targets"] if one["measure"].startswith(start))


class Ratios(unittest.TestCase):
    def test_a_ratio_is_of_runs_of_the_same_repeat(self):
        runs = [run("direct", 100, repeat=1), run("apart", 50, repeat=1),
                run("direct", 10, repeat=2), run("apart", 20, repeat=2),
                run("apart", 999, repeat=3)]
        found = report.ratio(runs, "apart", "direct", "point_select", 64)
        self.assertEqual(sorted(found.values), [0.5, 2.0])
        self.assertEqual((found.low, found.median, found.high), (0.5, 1.25, 2.0))

    def test_the_run_of_the_same_half_is_preferred(self):
        runs = [run("haproxy", 100), run("haproxy", 200, half="together"),
                run("together", 100, half="together")]
        found = report.ratio(runs, "together", "haproxy", "point_select", 64)
        self.assertEqual(found.values, [0.5])

    def test_a_failed_run_counts_nowhere(self):
        runs = [failed("direct"), run("apart", 50), run("direct", 0, repeat=2),
                run("apart", 50, repeat=2)]
        self.assertIsNone(report.ratio(runs, "apart", "direct", "point_select", 64))

    def test_the_best_peer_has_the_highest_median(self):
        runs = [run("haproxy", 10, repeat=1), run("haproxy", 11, repeat=2),
                run("haproxy", 900, repeat=3), run("router", 20, repeat=1),
                run("router", 21, repeat=2), run("router", 22, repeat=3), run("direct", 9999)]
        self.assertEqual(report.best_peer(runs, "point_select", 64), "router")
        self.assertIsNone(report.best_peer([run("direct", 1)], "point_select", 64))


class Rounds(unittest.TestCase):
    def test_a_round_without_requests_is_no_ratio(self):
        of, to = outcome.Outcome(), outcome.Outcome()
        of.rounds = [{"count": count, "p99": p99} for count, p99 in ((0, 0), (9, 50), (0, 0))]
        to.rounds = [{"count": 9, "p99": 10}] * 3
        self.assertEqual(outcome.ratios(of, to), [5.0])
        self.assertEqual(outcome.ratio(of, to), 5.0)
        of.rounds = of.rounds[:1]
        self.assertFalse(outcome.ratio(of, to) <= 1.3)


class Targets(unittest.TestCase):
    def test_what_was_not_measured_is_not_said_to_be_met(self):
        for one in whole([])["targets"]:
            self.assertIsNone(one["met"], one)
            self.assertIsNone(one["goal_met"], one)

    def test_speed_is_held_against_the_best_peer(self):
        found = whole([run("haproxy", 100), run("router", 50), run("apart", 85)])
        one = row(found, "roles apart, 64 clients, sysbench")
        self.assertEqual((one["median"], one["met"], one["goal_met"], one["note"]),
                         (0.85, True, False, "haproxy"))

    def test_processor_time_is_that_of_our_daemons_alone(self):
        cpu = {"gatekeeper": 5.0, "broker": 6.0, "proxy": 7.0, "agent-node1": 8.0, "node1": 90.0,
               "client": 90.0}
        one = row(whole([run("apart", 1, cpu_us=cpu)]), "processor time of the daemons a request, "
                  "apart")
        self.assertEqual((one["median"], one["met"], one["goal_met"]), (26.0, True, False))

    def test_the_floor_is_bare_hops_and_a_direct_query(self):
        runs = [run("direct", 1, clients=1, p50_ms=0.1), run("apart", 1, clients=1, p50_ms=0.5)]
        bare = [{"repeat": 1, "half": "apart", "curve": True, "p50_us": 900.0},
                {"repeat": 1, "half": "apart", "curve": False, "p50_us": 300.0}]
        one = row(whole(runs, bare=bare), "unloaded median, apart, sysbench")
        self.assertEqual((one["median"], one["met"], one["goal_met"]), (1.25, True, False))

    def test_the_floor_is_of_the_same_half(self):
        runs = [run("direct", 1, clients=1, p50_ms=0.1),
                run("direct", 1, clients=1, p50_ms=0.4, half="together"),
                run("together", 1, clients=1, p50_ms=1.0, half="together")]
        bare = [{"repeat": 1, "half": half, "curve": False, "p50_us": us}
                for half, us in (("apart", 300.0), ("together", 600.0))]
        one = row(whole(runs, bare=bare), "unloaded median, together, sysbench")
        self.assertEqual(one["median"], 1.0)

    def test_a_gigabyte_is_held_against_the_mysql_client(self):
        found = whole([], gigabyte={"octets": 2 ** 30, "mysql_s": [2.0, 3.0],
                                    "portcullis_s": [4.0, 4.0],
                                    "most_kib": {"broker": 65 * 1024, "proxy": 1024}})
        self.assertEqual(row(found, "a result of 1.00 GiB")["median"], 0.625)
        self.assertIs(row(found, "the same: the largest")["met"], False)

    def test_idle_clients_and_the_slow_replica(self):
        found = whole([], idle={"clients": 10000, "kib_each": 21.0},
                      slow={"custom_by_healthy": [1.0, 1.1, 1.4], "custom_by_random": [0.05]})
        self.assertEqual([row(found, "10,000 idle")[key] for key in ("met", "goal_met")],
                         [True, False])
        self.assertEqual(row(found, "one replica")["median"], 1.1)


class Text(unittest.TestCase):
    def test_it_names_who_is_missing_and_what_failed(self):
        text = report.text(whole([run("direct", 1234.5), failed("router"), run("apart", 1000)]))
        self.assertIn("!!! proxysql is not in this comparison: not here", text)
        self.assertIn("router, point_select, 64 clients failed 1 times: refused", text)
        self.assertIn("1,234 [1,234..1,234]", text)
        self.assertIn("not measured", text)
        self.assertNotIn("DO NOT BELIEVE", text)

    def test_a_verdict_says_what_it_is_of(self):
        def verdict(runs):
            line, = (line for line in report.text(whole(runs)).split("\n")
                     if line.startswith("roles apart, 64 clients, sysbench"))
            return line

        some = [run(path, 100, repeat=repeat) for path in ("haproxy", "apart")
                for repeat in range(1, 5)]
        self.assertIn("must met (of 1 of 3 peers, 4 repeats)", verdict(some))
        every = [run(path, 100, repeat=repeat) for repeat in range(1, 6)
                 for path in ("haproxy", "proxysql", "router", "apart")]
        self.assertRegex(verdict(every), " 5 +must met +haproxy$")

    def test_what_the_driver_doubts_is_told(self):
        text = report.text(whole([run("apart-mux", 1, doubt="it was late"),
                                  run("apart-mux", 1, repeat=2)]))
        self.assertIn("DO NOT BELIEVE THIS: apart-mux, point_select, 64 clients: the driver says "
                      "in 1 of 2 runs: it was late", text)

    def test_it_says_what_is_not_the_same_for_all(self):
        text = report.text(whole([]))
        self.assertIn("1 connection in all", text)
        self.assertIn("sessions/max=1000", text)

    def test_a_machine_that_did_other_things_is_told(self):
        text = report.text(whole([run("direct", 1, others=0.1, steal=0.05), run("apart", 1)]))
        self.assertIn("DO NOT BELIEVE THIS: in 1 of 2 runs", text)
        self.assertIn("15%", text)

    def test_errors_are_told_with_their_codes(self):
        text = report.text(whole([run("apart-mux", 1, errors=3, codes={"DEADLINE": 3}),
                                  run("apart-mux", 1, repeat=2)]))
        self.assertIn("apart-mux, point_select, 64 clients: errors in 1 of 2 runs (DEADLINE)", text)

    def test_nothing_measured_is_a_text_too(self):
        self.assertIn("targets", report.text({**whole([]), "interrupted": True}))


if __name__ == "__main__":
    unittest.main()
