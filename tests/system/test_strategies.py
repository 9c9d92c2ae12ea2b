"""What makes each strategy choose, and which nodes may be chosen at all."""
import collections
import threading
import time

import portcullis
import pytest

from harness import wait_until


def _nodes_of(client, strategy, count):
    return collections.Counter(
        client.query("SELECT @@server_id", strategy=strategy).route["node"] for _ in range(count))


def test_round_robin_takes_turns(cluster, client):
    counts = _nodes_of(client, "round-robin", 40)
    assert set(counts) == set(cluster.replicas())
    assert max(counts.values()) - min(counts.values()) <= 2, counts


def test_least_inflight_avoids_the_busy_node(cluster, client):
    """Slow reads spread evenly, since each sees those before it in flight."""
    wait_until(lambda: all(node["start_share"] >= 1 for node in client.status()["nodes"]), 40,
               "nobody starts slowly")
    outcomes = []

    def hold():
        with cluster.client() as own:
            outcomes.extend(own.query_many([("SELECT SLEEP(0.8)", None)] * 6,
                                           strategy="least-inflight"))

    thread = threading.Thread(target=hold)
    thread.start()
    time.sleep(0.3)
    quick = _nodes_of(client, "least-inflight", 10)
    thread.join()
    held = collections.Counter(result.route["node"] for result in outcomes)
    assert set(held) == set(cluster.replicas()), held
    assert max(held.values()) - min(held.values()) <= 1, held
    assert set(quick) <= set(cluster.replicas())


def test_custom_answers_from_the_quickest(cluster, client):
    """One replica's database is put behind a delay; custom leaves it, random does not."""
    slow, quick = cluster.replicas()[:2]
    with cluster.database_behind_proxy(slow) as proxy:
        proxy.delay_s = 0.03
        random = _nodes_of(client, "random", 60)
        # Both are measured, with these statements: what others took before them fades in seconds.
        until = time.monotonic() + 8
        while time.monotonic() < until:
            _nodes_of(client, "random", 10)
        custom = _nodes_of(client, "custom", 100)
    print("custom", dict(custom), "random", dict(random))
    assert custom[quick] >= 90, custom
    assert random[slow] >= 10, random


def test_a_write_goes_to_the_source_whatever_the_strategy(cluster, client):
    client.query("CREATE TABLE IF NOT EXISTS placed (id INT PRIMARY KEY)", db="demo")
    client.query("DELETE FROM placed", db="demo")
    strategies = ("direct", "random", "round-robin", "least-inflight", "custom",
                  "peak-ewma", "c3", "prequal")
    for number, strategy in enumerate(strategies):
        result = client.query("INSERT INTO placed VALUES (?)", [number], db="demo",
                              strategy=strategy)
        assert result.route["node"] == cluster.source() and result.token


def test_consistency_source_and_after_see_the_write(cluster, client):
    client.query("CREATE TABLE IF NOT EXISTS counted (id INT PRIMARY KEY, n INT)", db="demo")
    client.query("REPLACE INTO counted VALUES (1, 0)", db="demo")
    for turn in range(1, 50):
        token = client.query("UPDATE counted SET n = n + 1 WHERE id = 1", db="demo").token
        result = client.query("SELECT n FROM counted WHERE id = 1", db="demo",
                              strategy="random", consistency={"after": token})
        assert result.rows == [[turn]]
    result = client.query("SELECT n FROM counted WHERE id = 1", db="demo",
                          strategy="random", consistency="source")
    assert result.route["node"] == cluster.source() and result.rows == [[49]]


def test_a_lag_bound_keeps_a_lagging_replica_out(cluster, client):
    lagging, fresh = cluster.replicas()[:2]
    cluster.stop_applying(lagging)
    try:
        wait_until(lambda: not 0 <= cluster.node_status(lagging)["lag_ms"] <= 1500, 10,
                   "the lag to show")
        nodes = collections.Counter()

        def ask():
            """On a busy machine both may be too far behind for a while: the source answers then."""
            nodes.update(client.query("SELECT 1", strategy="random",
                                      consistency={"max_lag_ms": 1000}).route["node"]
                         for _ in range(30))
            return nodes[fresh] > 0

        wait_until(ask, 30, "the other replica answers")
        assert lagging not in nodes, nodes
    finally:
        cluster.start_applying(lagging)
    wait_until(lambda: 0 <= cluster.node_status(lagging)["lag_ms"] < 1000, 20,
               "the replica to catch up")


def test_the_route_says_where_and_how_long(cluster, client):
    route = client.query("SELECT 1", strategy="random", explain_route=True).route
    assert route["node"] in cluster.replicas()
    assert route["role"] == "replica" and route["strategy"] == "random"
    assert route["attempts"] == 1 and route["hedged"] is False
    assert {"gatekeeper", "broker", "proxy", "queue", "exec"} <= set(route["us"])
    assert "us" not in client.query("SELECT 1").route


def test_without_replicas_the_source_reads_and_without_nodes_it_is_said_at_once(cluster, client):
    for node in cluster.replicas():
        cluster.kill(cluster.agent_of(node))
    wait_until(lambda: all(cluster.node_status(node)["member"] == "gone"
                           for node in cluster.replicas()), 5, "the replicas to be gone")
    assert client.query("SELECT 1", strategy="random").route["node"] == cluster.source()
    cluster.kill(cluster.agent_of(cluster.source()))
    wait_until(lambda: cluster.node_status(cluster.source())["member"] == "gone", 5,
               "the source to be gone")
    for sql in ("SELECT 1", "DELETE FROM demo.customers WHERE id = -1"):
        begun = time.monotonic()
        with pytest.raises(portcullis.PortcullisError) as caught:
            client.query(sql)
        assert caught.value.code == "NO_NODE" and caught.value.retry == "safe"
        assert time.monotonic() - begun < 0.5
