"""Parts are killed and restarted in turn under load; every request still has exactly one outcome,
and it is a true one.

The history is checked afterwards against what the database holds on every node.  A run that saw too
few answers, too few writes or no fault fails: a checker without data proves nothing.
"""
import collections
import os
import random
import signal
import threading
import time

import portcullis
import pytest

CLIENTS = 64
TIMEOUT_MS = 4000
# A client that shares two cores with everything else is scheduled late now and then; what is
# promised is measured apart from that, by test_reads_survive_an_agents_death.
SLACK_S = 3.0


class Worker(threading.Thread):
    """One client in a loop: reads that must return their own nonce, writes that leave theirs."""

    def __init__(self, bundle, number, seed, stop):
        super().__init__(daemon=True)
        self.bundle, self.number, self.stop_flag = bundle, number, stop
        self.random = random.Random(seed * 1000 + number)
        self.reads = self.retried = 0
        self.outcomes = collections.Counter()
        self.acked, self.unknown, self.refused = [], [], []
        self.wrong, self.slowest_s = [], 0.0

    def run(self):
        with portcullis.Client(self.bundle, timeout_ms=TIMEOUT_MS) as client:
            count = 0
            while not self.stop_flag.is_set():
                count += 1
                nonce = f"{self.number}-{count}-{self.random.getrandbits(64):016x}"
                begun = time.monotonic()
                if self.random.random() < 0.3:
                    self._write(client, nonce)
                else:
                    self._read(client, nonce)
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
                time.sleep(0.02)

    def _read(self, client, nonce):
        strategy = self.random.choice(
            ["direct", "random", "round-robin", "least-inflight", "custom"])
        try:
            result = client.query("SELECT ? AS nonce, COUNT(*) FROM customers", [nonce],
                                  db="demo", strategy=strategy)
        except portcullis.PortcullisError as error:
            self.outcomes["read " + error.code] += 1
            return
        self.outcomes["read ok"] += 1
        self.reads += 1
        if len(result.rows) != 1 or result.rows[0][0] != nonce:
            self.wrong.append((nonce, result.rows))

    def _write(self, client, nonce):
        try:
            result = client.query("INSERT INTO chaos (client, nonce) VALUES (?, ?)",
                                  [self.number, nonce], db="demo")
        except portcullis.PortcullisError as error:
            self.outcomes["write " + error.code + " " + error.retry] += 1
            (self.unknown if error.retry == "unsafe" else self.refused).append(nonce)
            return
        self.outcomes["write ok"] += 1
        self.acked.append(nonce)
        if result.affected != 1:
            self.wrong.append((nonce, result.affected))


def _check_history(cluster, workers):
    acked = [nonce for worker in workers for nonce in worker.acked]
    refused = {nonce for worker in workers for nonce in worker.refused}
    unknown = {nonce for worker in workers for nonce in worker.unknown}
    cluster.wait_replicated()
    for node in cluster.nodes():
        rows = cluster.sql(node, "SELECT nonce, COUNT(*) FROM demo.chaos GROUP BY nonce")
        found = {nonce: int(count) for nonce, count in rows}
        doubled = {nonce for nonce, count in found.items() if count != 1}
        assert not doubled, f"{node}: written twice: {sorted(doubled)[:5]}"
        lost = set(acked) - set(found)
        assert not lost, f"{node}: acknowledged and missing: {sorted(lost)[:5]}"
        invented = set(found) - set(acked) - unknown
        assert not invented, f"{node}: refused, and yet there: {sorted(invented & refused)[:5]}"
    return len(acked), len(unknown), len(refused)


def _kill_order(cluster):
    """From the databases' side to the clients'."""
    return [cluster.agent_of(node) for node in cluster.nodes()] + ["proxy", "broker", "gatekeeper"]


def test_killing_every_part_in_turn(cluster):
    seed = int(os.environ.get("PCL_TEST_SEED", time.time()))
    print(f"PCL_TEST_SEED={seed}")
    cluster.sql(cluster.source(), "DROP TABLE IF EXISTS demo.chaos; CREATE TABLE demo.chaos "
                "(id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT, nonce VARCHAR(64), "
                "KEY (nonce))")
    cluster.wait_replicated()
    stop = threading.Event()
    workers = [Worker(cluster.bundle, number, seed, stop) for number in range(CLIENTS)]
    for worker in workers:
        worker.start()
    faults = 0
    try:
        time.sleep(3)
        for part in _kill_order(cluster):
            cluster.kill(part)
            time.sleep(1.5)
            cluster.start(part)
            faults += 1
            time.sleep(1.5)
        time.sleep(2)
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=TIMEOUT_MS / 1000 + 5)
    hung = [worker.number for worker in workers if worker.is_alive()]
    assert not hung, f"no outcome for a request of clients {hung}"
    outcomes = sum((worker.outcomes for worker in workers), collections.Counter())
    print(dict(outcomes))
    wrong = [entry for worker in workers for entry in worker.wrong]
    assert not wrong, wrong[:5]
    acked, unknown, refused = _check_history(cluster, workers)
    print(f"acked {acked}, unknown {unknown}, refused {refused}, faults {faults}, "
          f"slowest {max(worker.slowest_s for worker in workers):.2f} s")
    assert faults == len(_kill_order(cluster)) >= 4
    assert acked >= 500 and sum(worker.reads for worker in workers) >= 2000
    assert unknown + refused + sum(outcomes.values()) - \
                                   outcomes["read ok"] - outcomes["write ok"] > 0
    assert max(worker.slowest_s for worker in workers) < TIMEOUT_MS / 1000 + 0.1 + SLACK_S


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_reads_survive_an_agents_death(cluster, how):
    """Reads in flight on a replica whose agent dies are answered elsewhere within a second."""
    replica = cluster.replicas()[0]
    part = cluster.agent_of(replica)
    cluster.heal()
    outcomes, latencies = [], []
    with portcullis.Client(cluster.bundle, timeout_ms=8000) as client:

        def read():
            with portcullis.Client(cluster.bundle, timeout_ms=8000) as own:
                own.ping()
                barrier.wait()
                begun = time.monotonic()
                try:
                    outcomes.append(own.query("SELECT SLEEP(0.4)", strategy="random").route["node"])
                except portcullis.PortcullisError as error:
                    outcomes.append(error)
                latencies.append(time.monotonic() - begun)

        barrier = threading.Barrier(13)
        threads = [threading.Thread(target=read) for _ in range(12)]
        for thread in threads:
            thread.start()
        barrier.wait()
        time.sleep(0.15)  # all are running on a node by now
        cluster.signal(part, how)
        for thread in threads:
            thread.join(timeout=10)
        try:
            assert len(outcomes) == 12
            failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            assert not failed, failed
            assert replica not in outcomes, "a dead agent's node answered"
            # 0.15 s before the death, a second after it, and the statement's own time again.
            assert max(latencies) < 0.15 + 1.0 + 0.4, sorted(latencies)
            assert max(latencies) > 0.5, "no read was on the agent that died: nothing was tested"
            client.query("SELECT 1", strategy="random")
        finally:
            if how == signal.SIGSTOP:
                cluster.signal(part, signal.SIGCONT)
            else:
                cluster.start(part, ready=False)
            cluster.wait_ready(part)


@pytest.mark.parametrize("hop", ["proxy", "broker"])
def test_a_hop_that_dies_is_missed_at_once(cluster, hop):
    """Its connection ends with it.  The beats, which would run out after a second, are not waited
    for, and a queue that is not there is not called full."""
    cluster.sql(
    cluster.source(),
     "DROP TABLE IF EXISTS demo.missed; CREATE TABLE demo.missed (n INT)")
    cluster.heal()
    answers = {}

    def ask(sql):
        with portcullis.Client(cluster.bundle, timeout_ms=8000) as client:
            try:
                client.query(sql, db="demo")
            except portcullis.PortcullisError as error:
                answers[sql] = (error.code, error.retry, time.monotonic())

    # What the gatekeeper says in its place has no seal: the client takes no "safe" from it.
    known = hop == "proxy"
    asked = {"SELECT SLEEP(3)": "safe" if known else "unsafe",
             "INSERT INTO missed VALUES (SLEEP(3))": "unsafe"}
    threads = [threading.Thread(target=ask, args=(sql,)) for sql in asked]
    for thread in threads:
        thread.start()
    time.sleep(0.5)  # both run by now
    try:
        killed = time.monotonic()
        cluster.signal(hop, signal.SIGKILL)
        for thread in threads:
            thread.join(timeout=10)
        assert {sql: answer[:2] for sql, answer in answers.items()} == \
            {sql: ("LOST", retry) for sql, retry in asked.items()}
        assert max(answer[2] for answer in answers.values()) - killed < 0.5, answers
        with portcullis.Client(cluster.bundle) as client:
            for _ in range(50):
                with pytest.raises(portcullis.PortcullisError) as refused:
                    client.query("INSERT INTO missed VALUES (1)", db="demo")
                assert (refused.value.code, refused.value.retry) == (
                    "UNAVAILABLE", "safe" if known else "unsafe")
    finally:
        cluster.start(hop)
        cluster.heal()
    assert cluster.sql(cluster.source(), "SELECT COUNT(*) FROM demo.missed WHERE n = 1") == [["0"]]


def test_a_frozen_agent_does_not_start_stale_work(cluster):
    """What waited in a stopped agent past its deadline is not executed when the agent wakes."""
    part = cluster.agent_of(cluster.source())
    cluster.sql(cluster.source(), "DROP TABLE IF EXISTS demo.stale; "
                "CREATE TABLE demo.stale (id INT PRIMARY KEY)")
    cluster.heal()
    with portcullis.Client(cluster.bundle, timeout_ms=400) as client:
        client.query("INSERT INTO stale VALUES (0)", db="demo", timeout_ms=3000)
        cluster.signal(part, signal.SIGSTOP)
        try:
            outcomes = client.query_many([("INSERT INTO stale VALUES (?)", [number])
                                          for number in range(1, 17)], db="demo")
            time.sleep(1.5)
        finally:
            cluster.signal(part, signal.SIGCONT)
        cluster.wait_ready(part)
        time.sleep(1.0)
    codes = collections.Counter(outcome.code for outcome in outcomes)
    assert set(codes) <= {"DEADLINE", "LOST", "NO_NODE", "OVERLOADED"}, codes
    assert sum(outcome.retry == "unsafe" for outcome in outcomes) > 0, \
        "no write was with the agent when it stopped: nothing was tested"
    rows = cluster.sql(cluster.source(), "SELECT id FROM demo.stale")
    assert [int(row[0]) for row in rows] == [0]
