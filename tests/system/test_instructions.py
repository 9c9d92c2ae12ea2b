"""bench/instructions.py holds what it counted against something, always; without counting here."""
import sys

import pytest

from harness import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import instructions  # noqa: E402  (its folder must be on the path first)

ONE = {"instructions": 1000, "requests_per_sleep": 16.0}
SETS = {"gcc 12.2.0, libzmq 4.3.4, glibc 2.36, x86_64": {"broker": ONE},
        "gcc 13.2.0, libzmq 4.3.5, glibc 2.39, x86_64": {"broker": {**ONE, "instructions": 900}},
        "clang 14.0.6, libzmq 4.3.4, glibc 2.36, x86_64": {"broker": {**ONE, "instructions": 800}}}
BASELINES = {"baselines": SETS, "tolerance_percent": 5, "tolerance_percent_of_others": 25}


def counted(number):
    return {"broker": {**ONE, "instructions": number}}


def test_a_known_set_is_compared_with_its_own():
    for key, known in SETS.items():
        assert instructions.baseline_of(BASELINES, key) == (known, 5)


@pytest.mark.parametrize("key, nearest", [
    ("gcc 12.2.0, libzmq 4.3.4, glibc 2.36, x86_64, avx2", 1000),
    ("gcc 13.3.0, libzmq 4.3.5, glibc 2.39, x86_64", 900),
    ("clang 17.0.1, libzmq 4.3.5, glibc 2.39, x86_64", 800)])
def test_an_unknown_set_is_compared_with_the_nearest_at_a_wider_tolerance(capsys, key, nearest):
    known, tolerance = instructions.baseline_of(BASELINES, key)
    assert (known["broker"]["instructions"], tolerance) == (nearest, 25)
    assert "no baseline for these" in capsys.readouterr().out
    assert instructions.compare(counted(nearest * 1.24), known, tolerance)
    assert not instructions.compare(counted(nearest * 1.26), known, tolerance)


def test_a_hop_without_a_baseline_is_no_success(capsys):
    for known in ({}, {"proxy": ONE}):
        assert not instructions.compare(counted(1), known, 5)
        assert "NO BASELINE" in capsys.readouterr().out


def test_other_batches_than_the_baselines_are_counted_again_and_then_not_compared():
    batches = iter([12.0, 15.4])
    found = instructions.count_like(lambda hop: (1003.4, next(batches), None), "broker", ONE)
    assert found == {"instructions": 1003, "requests_per_sleep": 15.4}
    calls = []
    with pytest.raises(SystemExit) as end:
        instructions.count_like(lambda hop: (calls.append(hop), (900.0, 20.0, None))[1], "broker",
                                ONE)
    assert end.value.code == instructions.CANNOT_RUN and len(calls) == instructions.COUNTS_MAX
