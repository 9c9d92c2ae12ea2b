"""Causal reads: no session reads the past, under load, lag and the deaths of nodes.

Several processes (causal_check.c) hold sessions with a register each.  A session writes its own and
reads all, and knows of each register what a read of it may not be below: what it has written, what
it has seen, and what it has seen an effect of.  Meanwhile replicas stop applying, lag by seconds,
answer slowly, and databases and agents are killed.

A run proves nothing unless replicas served and faults happened, and the checker nothing unless it
finds stale reads where they must be: both are asked for.
"""
import collections
import contextlib
import json
import pathlib
import subprocess
import threading
import time

import portcullis
import pytest

from harness import BUILD, FLAVOR, wait_until
from volume import seeded, volume

CHECKER = BUILD / "tests" / "causal-check"
PROCESSES = 3
SESSIONS = 10  # of each
REGISTERS = PROCESSES * SESSIONS
READS = volume(24_000, 1_000_000)
SECONDS = volume(45, 2400)
OVERLOADED, BEHIND = "7", "21"  # as causal_check.c counts them


@pytest.fixture
def registers(cluster):
    """The table, on every node."""
    rows = ", ".join(f"({number}, 0, 0)" for number in range(REGISTERS))
    cluster.sql(cluster.source(), "DROP TABLE IF EXISTS demo.causal; CREATE TABLE demo.causal "
                "(id INT PRIMARY KEY, n BIGINT UNSIGNED NOT NULL, seen BIGINT UNSIGNED NOT NULL); "
                f"INSERT INTO demo.causal VALUES {rows}")
    cluster.wait_replicated()
    return cluster


@pytest.fixture
def start(registers):
    """A function that starts the processes of one run; none outlives the test."""
    started = []

    def begin(mode, strategy, reads, seconds, seed, **more):
        started.extend(_start(registers, mode, strategy, reads, seconds, seed, **more))
        return started

    yield begin
    for process in started:
        process.kill()
        process.wait()


def _start(cluster, mode, strategy, reads, seconds, seed, **more):
    options = {"sessions": SESSIONS, "registers": REGISTERS, "reads": reads // PROCESSES,
               "seconds": seconds, "seed": seed, **more}
    words = [f"{name}={value}" for name, value in options.items()]
    return [subprocess.Popen([str(CHECKER), cluster.bundle, mode, strategy, *words,
                              f"first={number * SESSIONS}"], stdout=subprocess.PIPE, text=True)
            for number in range(PROCESSES)]


def running(processes):
    return any(process.poll() is None for process in processes)


def add(sums, counts):
    for name, count in counts.items():
        if isinstance(count, dict):
            add(sums.setdefault(name, {}), count)
        else:
            sums[name] = sums.get(name, 0) + count


def finish(processes, seconds=60):
    """What all of them have counted."""
    sums = {}
    for process in processes:
        output, _ = process.communicate(timeout=seconds + 30)
        assert process.returncode == 0, output
        add(sums, json.loads(output.splitlines()[-1]))
    print(json.dumps(sums))
    return sums


def stale(sums):
    return sum(sums["stale"].values())


@contextlib.contextmanager
def lagging(cluster, node, seconds):
    """The node applies everything, so many seconds late."""
    if FLAVOR == "mariadb":
        change, word = "CHANGE MASTER TO MASTER_DELAY = {}", "SLAVE"
    else:
        change, word = "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {}", "REPLICA"
    # The server may just have come up, and its agent not been there yet.
    acknowledge = f"SET GLOBAL rpl_semi_sync_{word.lower()}_enabled = 1"

    def set_delay(delay):
        for _ in range(20):  # an agent that has just come back may start it again in between
            with contextlib.suppress(AssertionError):
                cluster.sql(node, f"STOP {word}; {change.format(delay)}; {acknowledge}; "
                            f"START {word}")
                return
        raise AssertionError(f"{node}: the delay of replication cannot be set")

    set_delay(seconds)
    try:
        yield
    finally:
        set_delay(0)


class Faults(threading.Thread):
    """One fault after the other for as long as the load runs."""

    def __init__(self, cluster, random, busy):
        super().__init__(daemon=True)
        self.cluster, self.random, self.busy = cluster, random, busy
        self.done, self.error = collections.Counter(), None

    def run(self):
        kinds = [self.stop_applying, self.kill_database, self.lag, self.kill_agent,
                 self.kill_source, self.freeze]
        try:
            while True:
                for kind in kinds:
                    if not self.busy():
                        return
                    kind(self.random.choice(self.cluster.replicas()))
                    self.done[kind.__name__] += 1
                    self.pause(0.1, 0.5)
        except Exception as error:  # told by the test, when the load is over
            self.error = error

    def pause(self, least, most):
        time.sleep(self.random.uniform(least, most))

    def stop_applying(self, replica):
        self.cluster.stop_applying(replica)
        self.pause(0.3, 1.5)
        self.cluster.start_applying(replica)

    def lag(self, replica):
        with lagging(self.cluster, replica, 1):
            self.pause(1.0, 2.5)

    def kill_database(self, replica):
        self.cluster.kill(replica)
        self.pause(0.0, 1.0)
        self.cluster.start(replica)

    def kill_agent(self, replica):
        agent = self.cluster.agent_of(replica)
        self.cluster.kill(agent)
        self.pause(0.0, 1.0)
        self.cluster.start(agent)

    def kill_source(self, _):
        """Its agent and its database in turn: what replicas have is all that can be read."""
        both = [self.cluster.agent_of(self.cluster.source()), self.cluster.source()]
        part = both[self.done["kill_source"] % 2]
        self.cluster.kill(part)
        self.pause(0.0, 0.5)
        self.cluster.start(part)

    def freeze(self, replica):
        agent = self.cluster.agent_of(replica)
        self.cluster.pause(agent)
        self.pause(0.2, 1.2)
        self.cluster.resume(agent)


def test_the_checker_finds_stale_reads_where_nobody_prevents_them(registers, start):
    """Plain reads under lag: every kind of staleness is found, or the other tests prove nothing."""
    cluster = registers
    seed = seeded().getrandbits(32)
    with lagging(cluster, cluster.replicas()[0], 1):
        sums = finish(start("any", "round-robin", 3000, 30, seed))
    assert sums["reads"] >= 2900 and sums["wrong"] == 0
    assert min(sums["stale"].values()) > 0, sums["stale"]


@pytest.mark.parametrize("strategy", ["custom", "round-robin"])
def test_causal_reads_are_never_stale(registers, start, strategy):
    """One replica lags by a second, the other is fresh: reads go on at replicas, and none is
    stale."""
    cluster = registers
    seed = seeded().getrandbits(32)
    with lagging(cluster, cluster.replicas()[0], 1):
        sums = finish(start("causal", strategy, 6000, 40, seed))
    assert stale(sums) == 0 and sums["wrong"] == 0, sums
    assert sums["reads"] >= 5000 and sums["writes"] >= 300, sums
    assert sums["reopened"] > 0
    assert sums["replica"] > 0, "no replica read anything: nothing was tested"
    # The source is asked last, and a read may find too many waiting there for a commit to show.
    assert set(sums["failures"]) <= {OVERLOADED, BEHIND}, sums["failures"]
    assert sum(sums["failures"].values()) < sums["reads"] / 100, sums["failures"]


def test_parallel_requests_of_one_client_are_never_stale(registers, start):
    """Each session has eight reads in flight on one client, whose replies come in any order."""
    cluster = registers
    seed = seeded().getrandbits(32)
    with lagging(cluster, cluster.replicas()[0], 1):
        sums = finish(start("causal", "round-robin", 8000, 40, seed, depth=8, writes=40))
    assert stale(sums) == 0 and sums["wrong"] == 0, sums
    assert sums["reads"] >= 6000 and sums["replica"] > 0, sums


def test_no_read_is_stale_whatever_dies(registers, start):
    """The whole: load, lag, frozen and killed agents, killed databases that come back, the
    source's too.
    1,000,000 reads with PORTCULLIS_TEST_BAR=1."""
    cluster = registers
    random = seeded()
    processes = start("causal", "custom", READS, SECONDS, random.getrandbits(32))
    faults = Faults(cluster, random, lambda: running(processes))
    began = time.monotonic()
    faults.start()
    sums = finish(processes, SECONDS)
    took_s = time.monotonic() - began
    faults.join(timeout=120)
    assert not faults.is_alive() and faults.error is None, faults.error
    print(f"{took_s:.1f} s, faults {dict(faults.done)}")
    assert stale(sums) == 0 and sums["wrong"] == 0, sums
    assert sums["reads"] >= READS * 0.6 and sums["writes"] > sums["reads"] / 40, sums
    assert sums["replica"] > sums["source"] / 20, "replicas served hardly anything"
    assert sum(faults.done.values()) >= 5, faults.done
    # What a node's death costs is an error now and then, never the service.
    assert sum(sums["failures"].values()) < sums["reads"] / 10, sums["failures"]
    # And what was acknowledged is there.
    rows = cluster.sql(cluster.source(), "SELECT SUM(n > 0), COUNT(*) FROM demo.causal")
    assert rows == [[str(REGISTERS), str(REGISTERS)]]


def test_tokens_go_from_client_to_client(registers, tmp_path):
    """From C to Python to the command, through text and file."""
    cluster = registers
    seen = tmp_path / "seen"
    for replica in cluster.replicas():
        cluster.stop_applying(replica)
    try:
        for number in range(1, 6):
            cluster.command("query", "-d", "demo", "--causal", str(seen),
                            f"UPDATE causal SET n = {number} WHERE id = 0")
            shown = cluster.command("query", "-d", "demo", "-F", "csv", "--causal", str(seen),
                                    "SELECT n FROM causal WHERE id = 0").stdout
            assert shown.split() == ["n", str(number)]
        assert seen.stat().st_mode & 0o077 == 0
        with cluster.client(causal=True) as one, cluster.client(causal=True) as two:
            one.add_tokens(seen.read_text())
            assert one.query("SELECT n FROM demo.causal WHERE id = 0").rows == [[5]]
            one.query("UPDATE demo.causal SET n = 6 WHERE id = 0")
            two.add_tokens(one.tokens)
            assert two.query("SELECT n FROM demo.causal WHERE id = 0").rows == [[6]]
            token = two.tokens
        shown = cluster.command("query", "-F", "csv", "--after", token, "--monotonic",
                                "SELECT n FROM demo.causal WHERE id = 0")
        assert shown.stdout.split() == ["n", "6"]
        assert shown.stderr.startswith("token 1.")
    finally:
        for replica in cluster.replicas():
            cluster.start_applying(replica)
    pathlib.Path(seen).write_text("1.x\x07\n")
    wrong = cluster.command("query", "--causal", str(seen), "SELECT 1", check=False)
    assert wrong.returncode == 78 and "no token" in wrong.stderr


@pytest.mark.parametrize("arguments, word", [
    (["--after", "1.x", "--consistency", "any"], "not both"),
    (["--after", ""], "token"),
    (["--after", "two\nlines\x01"], "token"),
    (["--consistency", "causal"], "max-lag"),
])
def test_what_cannot_be_asked_is_said_at_once(cluster, arguments, word):
    done = cluster.command("query", *arguments, "SELECT 1", check=False)
    assert done.returncode == 64 and word in done.stderr, done


def test_the_example_program(registers):
    cluster = registers
    example = BUILD / "client" / "portcullis-example-causal"
    for replica in cluster.replicas():
        cluster.stop_applying(replica)
    try:
        def run(*arguments):
            return subprocess.run([str(example), cluster.bundle, *arguments], timeout=30,
                                  capture_output=True, text=True, check=True).stdout.splitlines()
        wrote, tokens = run()
        read, _ = run(tokens)
        assert wrote.split(",")[0] == read.split(",")[0]
    finally:
        for replica in cluster.replicas():
            cluster.start_applying(replica)


def test_sessions_and_transactions_are_causal(registers):
    """What a transaction has committed is seen by the reads after it, on whatever node."""
    cluster = registers
    for replica in cluster.replicas():
        cluster.stop_applying(replica)
    try:
        with cluster.client(causal=True) as client:
            with client.begin(db="demo") as session:
                session.query("UPDATE causal SET n = 11 WHERE id = 1")
            assert client.query("SELECT n FROM demo.causal WHERE id = 1").rows == [[11]]
            client.txn(["UPDATE causal SET n = 12 WHERE id = 1", "SELECT 1"], db="demo")
            assert client.query("SELECT n FROM demo.causal WHERE id = 1").rows == [[12]]
            with client.begin(read_only=True, db="demo") as session:
                assert session.query("SELECT n FROM causal WHERE id = 1").rows == [[12]]
            assert client.query("SELECT n FROM demo.causal WHERE id = 1",
                                consistency="any").route["role"] == "replica"
            session = client.begin(read_only=True, db="demo")
            session.query("SET @here = 1")
            assert session.query("SELECT id FROM causal", page_rows=1, max_rows=10 ** 6).rows
            session.rollback()
            assert "source" not in client.tokens.split(), "a reply had no token"
    finally:
        for replica in cluster.replicas():
            cluster.start_applying(replica)


def test_reads_come_back_to_replicas_that_have_caught_up(registers):
    cluster = registers
    with cluster.client(causal=True) as client:
        client.query("UPDATE demo.causal SET n = 21 WHERE id = 2")
        cluster.wait_replicated()

        def from_replica():
            read = client.query("SELECT n FROM demo.causal WHERE id = 2")
            assert read.rows == [[21]]
            return read.route["role"] == "replica"

        wait_until(from_replica, 10, "a replica that has the write reads")


def test_a_made_up_token_is_refused(registers):
    cluster = registers
    with cluster.client() as client:
        token = client.query("UPDATE demo.causal SET n = 31 WHERE id = 3").token
        for wrong in (token[:-1] + ("1" if token[-1] != "1" else "2"), token.replace(".", "!", 1)):
            with pytest.raises(portcullis.PortcullisError) as refused:
                client.query("SELECT 1", consistency={"after": wrong})
            assert refused.value.code in ("FORBIDDEN", "MALFORMED")
            assert refused.value.retry != "safe"
        assert client.query("SELECT n FROM demo.causal WHERE id = 3",
                            consistency={"after": token}).rows == [[31]]
