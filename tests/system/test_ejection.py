"""Nodes that fail are left alone and tried again, and nobody else is; on real databases.

A FaultProxy ends each connection on which a marked statement passes: that statement fails for the
node's own reason, at once, while the agent goes on to see a database that is well.
"""
import contextlib
import os
import pathlib
import time

import portcullis
import pytest

from harness import wait_until

MARK = "SELECT 'the fault line', @@server_id"


def health(cluster, node):
    return cluster.node_status(node)["health"]


def healths(client):
    return {node["name"]: node["health"] for node in client.status()["nodes"]}


def sent(cluster, node):
    """How many statements the proxy has sent there, and how many second copies anywhere."""
    counted = cluster.metrics("proxy", "proxy")
    return (sum(value for series, value in counted.items()
                if series.startswith("portcullis_proxy_chosen_total") and f'"{node}"' in series),
            counted.get("portcullis_proxy_hedges_sent_total", 0))


def left_out(answer, node):
    return next((one["why"] for one in answer.route["left_out"] if one["node"] == node), None)


@contextlib.contextmanager
def failing(cluster, node):
    """For the with block, marked statements end their connection to that node's database."""
    with cluster.database_behind_proxy(node) as proxy:
        proxy.fail_at = b"the fault line"
        yield proxy
        proxy.fail_at = None
        with cluster.client() as client:
            wait_sound(cluster, client, node)


def wait_sound(cluster, client, node):
    """Until a trial has brought it back; someone has to ask for it to be tried."""
    def sound():
        client.query(MARK, strategy="random")
        return health(cluster, node)["state"] == "sound"

    wait_until(sound, 40, f"{node} comes back", every_s=0.1)


def test_a_replica_that_fails_is_ejected_and_comes_back_by_a_trial(cluster, client):
    bad = cluster.replicas()[0]
    before = health(cluster, bad)["ejections"]
    with failing(cluster, bad) as proxy:
        for _ in range(60):  # no client sees a failure
            assert client.query(MARK, strategy="random").route["node"] != bad
        seen = health(cluster, bad)
        assert seen["ejections"] > before, seen
        wait_until(lambda: client.query(MARK, strategy="random") and
                   health(cluster, bad)["state"] == "ejected", 5, "it is out")
        answer = client.query(MARK, strategy="random", explain_route=True)
        if answer.route["attempts"] == 1:
            assert "fail" in left_out(answer, bad), answer.route
        proxy.fail_at = None
        wait_sound(cluster, client, bad)
        wait_until(lambda: client.query(MARK, strategy="random").route["node"] == bad, 10,
                   "it serves again", every_s=0)
    log = cluster.log("proxy")
    assert "event=node-ejected" in log and "event=node-returned" in log
    counted = cluster.metrics("proxy", "proxy")
    assert any(series.startswith("portcullis_proxy_ejections_total") and bad in series
               for series in counted)
    assert any(series.startswith("portcullis_proxy_left_out_total") and bad in series
               and "left alone" in series for series in counted)


@pytest.mark.parametrize("strategy", ["least-inflight", "custom", "random"])
def test_a_node_that_fails_fast_draws_no_traffic(cluster, client, strategy):
    """It looks idle: without ejection, least-inflight would send it nearly everything."""
    bad = cluster.replicas()[0]
    with failing(cluster, bad):
        (before, copies_before), began = sent(cluster, bad), time.monotonic()
        for _ in range(300):
            assert client.query(MARK, strategy=strategy).rows[0][0] == "the fault line"
        (after, copies_after), took_s = sent(cluster, bad), time.monotonic() - began
        first, copies = after - before, copies_after - copies_before
        # Three eject it, then there are trials; copies that are withdrawn in time prove nothing.
        assert first <= 3 + 3 + took_s + copies, (first, copies, took_s)
        assert strategy == "custom" or health(cluster, bad)["ejections"] > 0


def fails(client, code, sql, **options):
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query(sql, **options)
    assert caught.value.code == code, caught.value


def test_what_clients_do_wrong_ejects_nobody(cluster, client):
    client.query("CREATE TABLE IF NOT EXISTS owned (id INT PRIMARY KEY)", db="demo")
    client.query("REPLACE INTO owned VALUES (1)", db="demo")
    before = {name: one["ejections"] for name, one in healths(client).items()}
    for _ in range(12):
        for strategy in ("random", "round-robin", "custom"):
            fails(client, "SQL", "SELECT nothing FROM nowhere", strategy=strategy)
            fails(client, "SQL", "SELECT * FROM demo.no_such_table", strategy=strategy)
            fails(client, "SQL", "SELECT FROM WHERE", strategy=strategy)
        fails(client, "SQL", "INSERT INTO owned VALUES (1)", db="demo")
    assert_nobody_was_ejected(client, before)


def assert_nobody_was_ejected(client, before):
    for name, one in healths(client).items():
        assert one["ejections"] == before[name] and one["state"] == "sound", (name, one)


@pytest.mark.parametrize("timeout_ms", [200, 700])
def test_a_statement_that_a_kill_ends_is_no_fault_of_its_node(cluster, client, timeout_ms):
    before = {name: one["ejections"] for name, one in healths(client).items()}
    for _ in range(4):
        for strategy in ("round-robin", "direct"):
            fails(client, "DEADLINE", "SELECT SLEEP(5)", strategy=strategy, timeout_ms=timeout_ms)
    assert_nobody_was_ejected(client, before)


# Servers look for a KILL between two rows, and this has one: it is back when it is done.  It
# compares octets 4 * 10^9 times, and takes no memory for it.
DEAF = "SELECT LOCATE(CONCAT(REPEAT(x'61', 40000), x'62'), REPEAT(x'61', 140000))"


def count(cluster, what):
    """The sum over the replicas' agents."""
    return sum(cluster.metrics(cluster.agent_of(node))[f"portcullis_agent_{what}"]
               for node in cluster.replicas())


def test_a_statement_that_no_kill_ends_soon_is_no_fault_of_its_node(cluster, client):
    before = {name: one["ejections"] for name, one in healths(client).items()}
    late_before = count(cluster, "late_total")  # those that came back after they were answered
    for _ in range(9):  # three at each node
        fails(client, "DEADLINE", DEAF, strategy="round-robin", timeout_ms=400)

    def are_late():
        """A busy machine has most of them ended before they began; no more than those nine are
        ever under way."""
        wait_until(lambda: count(cluster, "running") == 0, 180, "all of them come back")
        if count(cluster, "late_total") >= late_before + 4:
            return True
        fails(client, "DEADLINE", DEAF, strategy="round-robin", timeout_ms=400)
        return False

    wait_until(are_late, 180, "the KILLs came to nothing")
    assert_nobody_was_ejected(client, before)


def test_when_all_replicas_fail_half_of_them_stay(cluster, client):
    first, second = cluster.replicas()[:2]
    with failing(cluster, first), failing(cluster, second):
        for _ in range(40):  # the source has what the replicas cannot give
            answer = client.query(MARK, strategy="random")
            assert answer.route["node"] == cluster.source()
            states = [one["state"] for name, one in healths(client).items()
                      if name in (first, second)]
            assert "sound" in states, states


def test_in_panic_an_ejected_replica_is_asked(cluster, client):
    """The other replica goes, and the source serves no reads: the ejected one is all there is."""
    bad, other = cluster.replicas()[:2]
    with new_settings(cluster, client, "reads_on_source = 0\n    strategy = random"):
        with failing(cluster, bad) as proxy:
            wait_until(lambda: client.query(MARK, strategy="random") and
                       health(cluster, bad)["ejected_ms"] > 1500, 30, "it is out for long")
            cluster.kill(cluster.agent_of(other))
            proxy.fail_at = None
            answer = client.query(MARK, strategy="random", explain_route=True)
            assert answer.route["node"] == bad, answer.route
            cluster.heal()


@contextlib.contextmanager
def new_settings(cluster, client, routing):
    config = pathlib.Path(cluster.part("proxy")["config"])
    text = config.read_text()
    assert "\nrouting\n" not in text
    try:
        config.write_text(f"{text}\nrouting\n    {routing}\n")
        cluster.reload("proxy")
        wait_until(lambda: client.status()["reads_on_source"] is False, 5, "the new settings")
        yield
    finally:
        config.write_text(text)
        cluster.reload("proxy")
        wait_until(lambda: client.status()["reads_on_source"] is True, 5, "the old settings")


def test_a_drain_is_lifted_by_no_monitor(cluster, client):
    """An agent that drains for the sake of a session that is open gets no read, though the other
    replica fails and its own health would be tried."""
    drained, bad = cluster.replicas()[:2]
    agent = cluster.agent_of(drained)
    with failing(cluster, bad):
        with contextlib.ExitStack() as sessions:
            for _ in range(20):
                session = sessions.enter_context(client.begin(read_only=True, strategy="random"))
                if session.query("SELECT 1").route["node"] == drained:
                    break
            drain_and_look(cluster, client, session, drained, agent)
        wait_until(lambda: cluster.pid(agent) is None, 20, "the agent ends with its session")
        cluster.heal()


def drain_and_look(cluster, client, session, drained, agent):
    assert session.query("SELECT 1").route["node"] == drained
    os.kill(cluster.pid(agent), 15)
    wait_until(lambda: cluster.node_status(drained)["state"] == "drain", 5, "it drains")
    for strategy in ("random", "custom", "least-inflight"):
        for _ in range(15):
            answer = client.query(MARK, strategy=strategy, explain_route=True)
            assert answer.route["node"] == cluster.source(), answer.route
            assert left_out(answer, drained) in ("its agent drains", "leaving")
    assert session.query("SELECT 1").route["node"] == drained


def test_a_replica_far_slower_than_the_others_is_ejected(cluster, client):
    """A strategy that does not look keeps sending there: the proxy takes it out of the choice."""
    slow = cluster.replicas()[0]
    with cluster.database_behind_proxy(slow) as proxy:
        proxy.delay_s = 0.06
        reads = [("SELECT @@server_id", None)] * 40

        def out():
            client.query_many(reads, strategy="random")
            return health(cluster, slow)["state"] == "ejected"

        wait_until(out, 30, f"{slow} is ejected", every_s=0)
        assert health(cluster, slow)["cause"] == "far slower than the others"
        assert "up, ejected" in cluster.command("status").stdout
        answer = client.query("SELECT 1", strategy="random", explain_route=True)
        assert answer.route["node"] != slow or "tries" in answer.route["decision"]
        proxy.delay_s = 0
        wait_sound(cluster, client, slow)
