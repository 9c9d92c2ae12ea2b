"""The same statement directly and through the pipeline: the same rows, types, warnings, errors."""
import os
import random

import portcullis
import pytest

import differential
from differential_grammar import Grammar
from harness import FLAVOR, ROOT, Cluster

STATEMENTS = 5000
IN_SESSIONS = 2000
BATCH = 250
ON_REPLICAS = 30
SHOWN = 25
LOOSE_PART_MAX = 0.02


@pytest.fixture(scope="module")
def cluster():
    with Cluster.running("differential", nodes=2, demo=False,
                         sets=["agent:database/schemas=demo diff\\_% more\\_%"]) as one:
        yield one


@pytest.fixture
def pair(cluster):
    with portcullis.Client(cluster.bundle, timeout_ms=20000) as client:
        differential.prepare(cluster)
        both = differential.Pair(cluster, client)
        yield both
        both.direct.close()


def judge(pair, what):
    print(f"{what}: {pair.report()}")
    found = "\n".join(map(str, pair.differences[:SHOWN]))
    assert not pair.differences, f"{len(pair.differences)} differences\n{found}"
    assert pair.loose <= pair.ran * LOOSE_PART_MAX


@pytest.mark.parametrize("name", ["shop", "site"])
def test_what_applications_send(pair, name):
    path = ROOT / "tests" / "data" / "differential" / f"{name}.sql"
    for statement in differential.read_file(path, FLAVOR):
        pair.run(statement)
    assert pair.ran > 100
    contents = pair.compare_contents()
    judge(pair, name)
    assert not contents, contents


@pytest.fixture
def grammar(pair):
    """A grammar whose tables are made both ways."""
    seed = int(os.environ.get("PCL_TEST_SEED", 20261122))  # another finds more
    print(f"PCL_TEST_SEED={seed}")
    one = Grammar(random.Random(seed), FLAVOR)
    for statement in one.setup():
        pair.run(statement)
    assert not pair.compare_contents()
    return one


def test_statements_of_a_grammar(cluster, pair, grammar):
    while pair.ran < STATEMENTS:
        for _ in range(BATCH):
            statement = grammar.next()
            pair.run(statement, twins=statement.repeats and FLAVOR == "mariadb",
                     metadata=grammar.rng.random() < 0.3 or None)
        cluster.wait_replicated()
        for _ in range(ON_REPLICAS):
            pair.run(grammar.read(), twins=True, strategy="random", consistency="any")
        contents = pair.compare_contents()
        if contents:
            judge(pair, FLAVOR)
        assert not contents, contents
    judge(pair, FLAVOR)


def test_sessions_of_a_grammar(cluster, pair, grammar):
    """What a connection remembers is remembered, in the same way, and by nobody else."""
    while pair.ran < IN_SESSIONS:
        for _ in range(20):
            script = grammar.session()
            if script.read_only:
                cluster.wait_replicated()
            pair.run_session(script)
        contents = pair.compare_contents()
        if contents:
            judge(pair, FLAVOR)
        assert not contents, contents
    judge(pair, f"{FLAVOR}, sessions")
