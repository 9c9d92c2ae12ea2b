"""What system tests share: one cluster for all that do not need their own."""
import os
import pathlib

import pytest

from harness import SANITIZED, Cluster

# Files whose tests are of the gate, of the client's side or of scripts: which database is behind
# them is all the same.
ANY_DATABASE = """
    test_audit test_bad_input test_bad_matrix_config test_bad_matrix_inside test_bad_matrix_peer
    test_bad_matrix_request test_bad_matrix_transport test_bench test_command test_compare
    test_explain test_firewall test_garbage test_gate_limits test_held_load
    test_hostile_gatekeeper test_instructions test_operations test_policy
    test_policy_enforcement test_principals test_report test_scale test_secrets test_sysbench
    test_units
""".split()


def pytest_configure(config):
    config.addinivalue_line("markers", "any_database: of the gate, the client's side or scripts; "
                            "the whole run has it on MariaDB alone")
    for name in ANY_DATABASE:
        assert pathlib.Path(__file__).with_name(f"{name}.py").exists(), name
    config.addinivalue_line("markers", "smoke: the short run, `tests/run.sh quick`")
    config.addinivalue_line("markers", "plain(reason): holds a build without sanitizers to more; "
                            "with a reason it does not run with them at all")
    take_ports()


def take_ports():
    """Of several workers (pytest-xdist) each has ports of its own: what one starts and stops takes
    no port of another's."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        first, last = map(int, os.environ.get("PORTCULLIS_PORTS", "20000-31999").split("-"))
        each = (last + 1 - first) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        first += int(worker.removeprefix("gw")) * each
        os.environ["PORTCULLIS_PORTS"] = f"{first}-{first + each - 1}"


@pytest.hookimpl(tryfirst=True)  # before marks are selected
def pytest_collection_modifyitems(items):
    for item in items:
        if item.module.__name__ in ANY_DATABASE:
            item.add_marker(pytest.mark.any_database)
        for mark in item.iter_markers("plain"):
            if SANITIZED and mark.args:
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(scope="session")
def shared_cluster():
    # What one test lets fail again and again is soon trusted again, for the next test's sake.
    with Cluster.running("shared", sets=["proxy:ejection/max_ms=4000"]) as one:
        yield one


@pytest.fixture
def cluster(shared_cluster):
    """The shared cluster, whole before the test and made whole after it, whatever it killed."""
    shared_cluster.heal()
    yield shared_cluster
    shared_cluster.heal()


@pytest.fixture
def client(cluster):
    with cluster.client() as one:
        yield one


@pytest.fixture
def new_cluster():
    """A function that starts a cluster with options of the test's own, gone after the test."""
    made = []

    def start(name, **options):
        one = Cluster(name, **options)
        made.append(one)
        one.up()
        return one

    yield start
    for one in made:
        one.down()


SMALL = ["agent:pool/threads=4", "agent:sessions/max=6", "agent:sessions/principal_max=4",
         "agent:sessions/idle_ms=3000", "agent:sessions/age_ms=8000", "agent:sessions/queue_max=4",
         "agent:cursors/max=6", "agent:cursors/principal_max=4", "agent:cursors/idle_ms=3000",
         "agent:cursors/age_ms=8000"]


@pytest.fixture(scope="session")
def small_cluster():
    """One node, little of everything that sessions and cursors take, and little patience."""
    with Cluster.running("small", nodes=1, sets=SMALL) as one:
        yield one


@pytest.fixture
def small(small_cluster):
    """The small cluster, whole before the test and after it."""
    small_cluster.heal()
    yield small_cluster
    small_cluster.heal()
