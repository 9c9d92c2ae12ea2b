"""Two proxies side by side: the broker spreads requests over both, and whatever becomes of one, no
read fails, no write that was acknowledged is lost, and none is done twice.

Each run counts what it saw: a proxy that was not in use when it died proves nothing.
"""
import collections
import threading
import time

import portcullis
import pytest

from caller import Caller, fate, make_table, refusal, wait_nothing_held
from harness import Cluster, wait_until

CLIENTS = 12
TIMEOUT_MS = 20_000
DEATHS_MAX = 8  # until one of them finds a read at the proxy
AGAIN = "portcullis_broker_requests_again_total"
INFLIGHT = 'portcullis_broker_next_requests_in_flight{{next="{}"}}'
NEXT_UP = 'portcullis_broker_next_up{{next="{}"}}'
# Part, and what the broker calls it.
FIRST, SECOND = ("proxy", "proxy"), ("proxy-2", "proxy2")


@pytest.fixture(scope="module")
def pair():
    with Cluster.running("proxies", proxies=2) as one:
        yield one


@pytest.fixture
def caller(pair):
    with Caller(pair.bundle) as one:
        yield one


# --- Words -------------------------------------------------------------------------------


def served(cluster, part):
    """Requests that a proxy has taken since its start."""
    status, text = cluster.get(part, "/metrics")
    assert status == 200
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
               if line.startswith("portcullis_proxy_requests_total"))


def both_up(cluster):
    metrics = cluster.metrics("broker")
    return all(metrics[NEXT_UP.format(name)] == 1 for _, name in (FIRST, SECOND))


class Load:
    """Clients that read, and write to a ledger, until the with block ends.  Reads take so long
    that each proxy has some at any time."""

    def __init__(self, cluster):
        self.cluster, self.stop = cluster, threading.Event()
        self.reads, self.failed = 0, []
        self.acked, self.unknown, self.refused = [], [], []
        self.lock = threading.Lock()
        make_table(cluster, "ledger", "n INT, KEY (n)")
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                        for number in range(CLIENTS)]

    def _run(self, number):
        count = number
        with portcullis.Client(self.cluster.bundle, timeout_ms=TIMEOUT_MS) as client:
            while not self.stop.is_set():
                if number % 3 == 0:
                    self._write(client, count)
                else:
                    self._read(client, count)
                count += CLIENTS

    def _read(self, client, nonce):
        try:
            rows = client.query("SELECT ?, SLEEP(0.3)", [nonce], strategy="random").rows
            right = rows[0][0] == nonce
        except portcullis.PortcullisError as error:
            with self.lock:
                self.failed.append(error)
            return
        assert right, (nonce, rows)
        with self.lock:
            self.reads += 1

    def _write(self, client, number):
        try:
            client.query("INSERT INTO ledger VALUES (? + 0 * SLEEP(0.02))", [number], db="demo")
        except portcullis.PortcullisError as error:
            with self.lock:
                (self.unknown if error.retry == "unsafe" else self.refused).append(number)
                self.failed += [] if error.retry == "unsafe" else [error]
            return
        with self.lock:
            self.acked.append(number)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(timeout=TIMEOUT_MS / 1000 + 10)
        assert not any(thread.is_alive() for thread in self.threads), "a request has no outcome"

    def more(self, count=50):
        """Until so many more reads, and some writes, have gone well."""
        reads, writes = self.reads + count, len(self.acked) + count // 10
        wait_until(lambda: self.reads >= reads and len(self.acked) >= writes, 60, "load goes on")

    def check(self):
        """What the database holds is what was said."""
        rows = self.cluster.sql(self.cluster.source(),
                                "SELECT n, COUNT(*) FROM demo.ledger GROUP BY n")
        found = {int(number): int(count) for number, count in rows}
        assert not [number for number, count in found.items() if count != 1], "written twice"
        assert not set(self.acked) - set(found), "acknowledged and missing"
        assert not set(self.refused) & set(found), "refused as safe, and yet there"
        assert not set(found) - set(self.acked) - set(self.unknown), "nobody wrote it"


def busy(cluster, name):
    return cluster.metrics("broker")[INFLIGHT.format(name)] > 0


# --- Tests -------------------------------------------------------------------------------


def test_both_get_requests(pair):
    pair.heal()
    before = [served(pair, part) for part, _ in (FIRST, SECOND)]
    with portcullis.Client(pair.bundle) as client:
        for _ in range(40):
            client.query("SELECT 1")
        names = {client.status()["proxy"] for _ in range(8)}
        proxies = client.status()["broker"]["proxies"]
    after = [served(pair, part) for part, _ in (FIRST, SECOND)]
    assert all(now - then >= 15 for now, then in zip(after, before)), (before, after)
    assert names == {"proxy", "proxy-2"}
    assert [(one["name"], one["state"]) for one in proxies] == [("proxy", "up"), ("proxy2", "up")]


@pytest.mark.parametrize("part, name", [FIRST, SECOND], ids=["first", "second"])
def test_reads_survive_a_proxys_death(pair, part, name):
    pair.heal()
    wait_until(lambda: both_up(pair), 30, "both proxies are up")
    again = pair.metrics("broker")[AGAIN]
    with Load(pair) as load:
        load.more()
        for _ in range(DEATHS_MAX):
            wait_until(lambda: busy(pair, name), 30, f"{name} has requests")
            pair.kill(part)
            load.more()
            pair.start(part)
            wait_until(lambda: both_up(pair), 30, "both proxies are up")
            load.more()
            if pair.metrics("broker")[AGAIN] > again:
                break
    assert not load.failed, load.failed[:5]
    assert pair.metrics("broker")[AGAIN] > again, "no read was with the proxy that died"
    load.check()


def test_reads_survive_a_frozen_proxy(pair):
    """It is missed after five beats.  When it goes on, what it had is answered to nobody."""
    pair.heal()
    wait_until(lambda: both_up(pair), 30, "both proxies are up")
    again = pair.metrics("broker")[AGAIN]
    with Load(pair) as load:
        load.more()
        wait_until(lambda: busy(pair, "proxy2"), 30, "proxy2 has requests")
        pair.pause("proxy-2")
        try:
            wait_until(lambda: pair.metrics("broker")[NEXT_UP.format("proxy2")] == 0, 30, "missed")
            load.more()
        finally:
            pair.resume("proxy-2")
        wait_until(lambda: both_up(pair), 30, "both proxies are up")
        load.more()
    assert not load.failed, load.failed[:5]
    assert pair.metrics("broker")[AGAIN] > again, "no read was with the proxy that stood"
    load.check()


def test_nothing_fails_while_proxies_are_restarted_in_turn(pair):
    pair.heal()
    wait_until(lambda: both_up(pair), 30, "both proxies are up")
    with Load(pair) as load:
        for part, _ in (FIRST, SECOND, FIRST):
            load.more()
            pair.restart(part)
            wait_until(lambda: both_up(pair), 30, "both proxies are up")
        load.more()
    assert not load.failed, load.failed[:5]
    assert not load.unknown, "a write that was in flight as its proxy stopped"
    load.check()


def test_a_session_goes_on_without_the_proxy_that_opened_it(pair):
    pair.heal()
    make_table(pair, "kept", "n INT PRIMARY KEY")
    with portcullis.Client(pair.bundle, timeout_ms=TIMEOUT_MS) as client:
        for number, (part, _) in enumerate((FIRST, SECOND)):
            with client.begin(db="demo") as session:
                session.query("INSERT INTO kept VALUES (?)", [number])
                pair.kill(part)
                wait_until(lambda: not both_up(pair), 30, "the loss is seen")
                session.query("UPDATE kept SET n = n + 10 WHERE n = ?", [number])
            pair.start(part)
            wait_until(lambda: both_up(pair), 30, "both proxies are up")
            wait_until(pair.whole, 30, "each of them sees every node")
        rows = client.query("SELECT n FROM kept ORDER BY n", db="demo", strategy="direct").rows
    assert [row[0] for row in rows] == [10, 11], rows


def test_cancel_finds_the_request_wherever_it_is(pair, caller):
    """The proxies know nothing of each other: the broker sees to it that the right one is asked."""
    pair.heal()
    wait_until(lambda: both_up(pair), 30, "both proxies are up")
    for _ in range(4):
        asked = [caller.post("SELECT SLEEP(20)", timeout_ms=30_000) for _ in range(4)]
        wait_until(lambda: all(busy(pair, name) for _, name in (FIRST, SECOND)), 30,
                   "both proxies have some")
        for one in asked:
            assert caller.cancel(one) == 1
        fates = collections.Counter(fate(refusal(caller.take(one))) for one in asked)
        assert set(fates) == {("CANCELLED", "safe")}, fates
    wait_nothing_held(pair)


def test_without_any_proxy_all_is_refused_at_once(pair):
    pair.heal()
    try:
        for part, _ in (FIRST, SECOND):
            pair.kill(part)
        wait_until(lambda: pair.get("broker", "/ready")[0] == 503, 30, "the broker is not ready")
        with portcullis.Client(pair.bundle) as client:
            begun = time.monotonic()
            with pytest.raises(portcullis.PortcullisError) as refused:
                client.query("SELECT 1", timeout_ms=20_000)
            assert (refused.value.code, refused.value.retry) == ("UNAVAILABLE", "safe")
            assert time.monotonic() - begun < 10
    finally:
        pair.heal()
