"""bench/nodes.py in short: faults on real databases, with bounds that a loaded machine keeps."""
import pathlib
import sys

import pytest

from harness import ROOT

sys.path.insert(0, str(pathlib.Path(ROOT) / "bench"))
import nodes  # noqa: E402  (its folder must be on the path first)


@pytest.fixture(scope="module")
def found():
    """(outcomes, hedging, node) of one short run."""
    options = nodes.read_options(["--faults", "slow,failing,lagging", "--rounds", "1", "--seconds",
                                  "3", "--strategies", "random,custom"])
    cluster = nodes.begin(options)
    try:
        result = nodes.run(options, cluster)
        nodes.show(result[0], result[2])
        nodes.show_hedging(result[1])
        yield result
    except BaseException:
        cluster.purge()
        raise
    cluster.down()


def test_a_slow_replica_costs_random_and_hardly_custom(found):
    outcomes, _, node = found
    slow = outcomes["slow"]
    assert slow["random"].share(node) > 0.1, slow["random"].nodes
    assert slow["custom"].share(node) < 0.1, slow["custom"].nodes
    assert slow["custom"].failed() == 0, slow["custom"].errors
    doubts = slow["custom"].doubts + slow["random"].doubts
    if doubts:
        pytest.skip(f"their latencies are not to be believed: {doubts[0]}")
    assert slow["custom"].ms(0.99) < slow["random"].ms(0.99) / 2


def test_a_replica_that_fails_at_once_is_no_sinkhole(found):
    outcomes, _, node = found
    assert outcomes["failing"]["custom"].nodes[node] == 0
    assert outcomes["failing"]["custom"].failed() <= outcomes["failing"]["custom"].requests / 50


def test_a_replica_beyond_the_bound_of_lag_serves_nobody(found):
    outcomes, _, node = found
    for strategy, outcome in outcomes["lagging"].items():
        assert outcome.nodes[node] == 0, (strategy, outcome.nodes)
        assert outcome.failed() <= outcome.requests / 50, outcome.errors


def test_hedging_keeps_to_its_share(found):
    _, hedging, _ = found
    assert hedging[False].hedged == 0
    # A count that the proxy keeps to, however slow the machine is: each read earns 5% of a copy.
    assert nodes.extra(hedging) <= 0.06, vars(hedging[True])
    assert hedging[True].failed() <= hedging[True].requests / 50, hedging[True].errors
