#!/usr/bin/env python3
"""What bench/growth.py says of data that were made up; usage: test_scale.py ROOT."""
import pathlib
import random
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
sys.path.insert(0, str(ROOT / "bench"))
import growth  # noqa: E402  (its folder must be on the path first)

CLIENTS, AGENTS = (1000, 2500, 5000, 10000), (10, 50, 100, 200)
SEED = 7


def made(of, noise=0.0, clients=CLIENTS, agents=AGENTS, rounds=3):
    """What rounds would give, each value off by so much of itself."""
    draw = random.Random(SEED)
    return [(c, a, of(c, a) * draw.gauss(1, noise))
            for c in clients for a in agents for _ in range(rounds)]


def verdict(*arguments, **named):
    return growth.judge(made(*arguments, **named))[0]


class Growth(unittest.TestCase):
    def test_a_plane_passes_with_and_without_noise(self):
        for noise in (0, 0.03):
            self.assertEqual(verdict(lambda c, a: 50 + 0.03 * c + 0.07 * a, noise), growth.PASS)
            self.assertEqual(verdict(lambda c, a: 0.03 * c, noise), growth.PASS)
            self.assertEqual(verdict(lambda c, a: 4 + 0.06 * a, noise), growth.PASS)

    def test_what_does_not_grow_or_grows_less_and_less_passes(self):
        for noise in (0, 0.03):
            self.assertEqual(verdict(lambda c, a: 25, noise), growth.PASS)
            self.assertEqual(verdict(lambda c, a: c ** 0.5 + a ** 0.5, noise), growth.PASS)
            self.assertEqual(verdict(lambda c, a: 100 - 0.005 * c, noise), growth.PASS)

    def test_what_falls_less_and_less_passes(self):
        self.assertEqual(verdict(lambda c, a: 30 + 10000 / c + 50 / a, 0.01), growth.PASS)

    def test_what_falls_first_and_then_rises_fails(self):
        self.assertEqual(verdict(lambda c, a: 20 + 9e-7 * (c - 3000) ** 2, 0.01), growth.FAIL)

    def test_squares_fail(self):
        for noise in (0, 0.03):
            self.assertEqual(verdict(lambda c, a: 5 + 1e-6 * c * c, noise), growth.FAIL)
            self.assertEqual(verdict(lambda c, a: 5 + 1e-3 * a * a, noise), growth.FAIL)
            self.assertEqual(verdict(lambda c, a: 5 + 0.01 * c + 4e-6 * c * c, noise), growth.FAIL)

    def test_a_power_between_the_two_fails_where_it_is_seen(self):
        self.assertEqual(verdict(lambda c, a: c ** 1.5, 0.01), growth.FAIL)
        self.assertEqual(verdict(lambda c, a: a ** 1.5, 0.01), growth.FAIL)

    def test_what_the_two_cost_only_together_fails(self):
        for noise in (0, 0.03):
            self.assertEqual(verdict(lambda c, a: 10 + 0.01 * c + 0.5 * a + 2e-3 * c * a, noise),
                             growth.FAIL)

    def test_a_cliff_at_the_end_is_no_pass(self):
        self.assertNotEqual(
            verdict(lambda c, a: 900 if (c, a) == (10000, 200) else 30, 0.03), growth.PASS)
        self.assertNotEqual(verdict(lambda c, a: 900 if c == 10000 else 30, 0.03), growth.PASS)

    def test_noise_that_hides_all_is_no_pass(self):
        self.assertEqual(verdict(lambda c, a: 5 + 1e-3 * c, 2.0), growth.OPEN)

    def test_one_kind_alone_is_judged_by_itself(self):
        ladder = {"clients": (100, 1000, 2500, 5000, 10000), "agents": (10,)}
        self.assertEqual(verdict(lambda c, a: 20 + 0.03 * c, 0.01, **ladder), growth.PASS)
        self.assertEqual(verdict(lambda c, a: 20 + 3e-6 * c * c, 0.01, **ladder), growth.FAIL)

    def test_too_few_counts_are_no_verdict(self):
        for clients, agents in (((50, 200), (2, 10)), ((10,), (10,)), ((10, 20), (10,))):
            with self.assertRaises(ValueError):
                growth.judge(made(lambda c, a: c + a, clients=clients, agents=agents))

    def test_each_is_told(self):
        fit = growth.Fit(made(lambda c, a: 50 + 0.03 * c + 0.07 * a))
        self.assertAlmostEqual(fit.each("clients"), 0.03, 6)
        self.assertAlmostEqual(fit.each("agents"), 0.07, 6)


if __name__ == "__main__":
    unittest.main()
