"""Where reads and writes go."""
import collections

import pytest

from harness import wait_until

pytestmark = pytest.mark.smoke
READ = "SELECT id, name, balance FROM demo.customers WHERE id = ?"


def nodes_of(client, count, **options):
    """Which nodes answered `count` reads."""
    answers = [client.query(READ, [number + 1], **options) for number in range(count)]
    return collections.Counter(answer.route["node"] for answer in answers)


def test_a_read_comes_from_a_replica_and_says_so(cluster, client):
    answer = client.query(READ, [7])
    assert [row[0] for row in answer.rows] == [7]
    assert [column[:2] for column in answer.columns] == [
        ["id", "INT"], ["name", "VARCHAR"], ["balance", "DECIMAL"]]
    assert answer.route["role"] == "replica"
    assert answer.route["node"] in cluster.nodes("replica")
    assert answer.route["attempts"] == 1


def test_a_write_is_seen_on_all_nodes(cluster, client):
    client.query("CREATE TABLE IF NOT EXISTS demo.seen (id INT PRIMARY KEY, word VARCHAR(20))")
    client.query("DELETE FROM demo.seen")
    written = client.query("INSERT INTO demo.seen VALUES (?, ?)", [1, "gate"])
    assert written.affected == 1
    assert written.route["role"] == "source"
    for node in cluster.nodes():
        wait_until(lambda node=node: cluster.sql(node, "SELECT * FROM demo.seen")
                   == [["1", "gate"]], 5, f"the row on {node}")


def test_direct_is_answered_by_the_source(cluster, client):
    assert set(nodes_of(client, 10, strategy="direct")) == set(cluster.nodes("source"))


def test_random_is_answered_by_both_replicas_in_fair_shares(cluster, client):
    shares = nodes_of(client, 400, strategy="random")
    assert set(shares) == set(cluster.nodes("replica"))
    # 400 fair tosses leave 140..260 once in 10^9 runs.
    assert all(140 <= count <= 260 for count in shares.values()), shares


@pytest.mark.parametrize("strategy", ["round-robin", "least-inflight", "custom", "peak-ewma", "c3",
                                      "prequal"])
def test_the_other_strategies_read_from_replicas(cluster, client, strategy):
    assert set(nodes_of(client, 20, strategy=strategy)) <= set(cluster.nodes("replica"))
