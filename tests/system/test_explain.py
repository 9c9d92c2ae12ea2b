"""`portcullis explain`: where a statement would go, and for each other node the reason."""
import json

import pytest

from harness import wait_until

READ = "SELECT COUNT(*) FROM demo.customers"
WRITE = "DELETE FROM demo.customers"


@pytest.fixture
def explain(cluster):
    """The decision on a statement as --json has it, and the exit code."""
    def ask(sql, *options):
        done = cluster.command("explain", "--json", sql, *options, check=False)
        nothing = {"candidates": [], "left_out": [], "error": done.stderr}
        return json.loads(done.stdout) if done.stdout else nothing, done.returncode
    return ask


def reasons(decision):
    """{node: why} of the nodes that were left out."""
    return {node["node"]: node["why"] for node in decision["left_out"]}


def whole(answer, cluster):
    """The decision where every replica fits; else None."""
    decision, code = answer
    fit = {node["node"] for node in decision["candidates"]}
    return decision if code == 0 and fit == set(cluster.replicas()) else None


def test_a_read_goes_to_a_replica_and_the_source_is_spared(cluster, explain):
    # What an earlier test has made lag, or fail, comes back in its own time.
    decision = wait_until(lambda: whole(explain(READ), cluster), 20, "both replicas to fit")
    fit = {node["node"]: node for node in decision["candidates"]}
    assert decision["class"] == "read" and decision["role"] == "replica"
    assert decision["node"] in fit
    assert reasons(decision) == {
        cluster.source(): "the source serves reads only when no replica fits"}
    # A score that happens to be whole is written without a point.
    assert all(isinstance(node["score"], (int, float)) for node in fit.values())
    assert {"gatekeeper", "broker", "proxy"} <= set(decision["us"])


def test_nothing_runs(cluster, client, explain):
    before = client.query(READ, consistency="source").rows
    served = sum(cluster.node_status(node)["served"] for node in cluster.nodes())
    decision, code = explain(WRITE)
    assert code == 0 and decision["class"] == "write"
    assert (decision["node"], decision["strategy"]) == (cluster.source(), "direct")
    assert set(reasons(decision).values()) == {"not the source"}
    assert client.explain(WRITE)["node"] == cluster.source()
    assert sum(cluster.node_status(node)["served"] for node in cluster.nodes()) == served
    assert client.query(READ, consistency="source").rows == before


def test_asking_takes_no_turn(cluster, client):
    """The strategy is as it was before: round robin goes on in its order."""
    wait_until(lambda: len(client.explain(READ)["candidates"]) == len(cluster.replicas()), 20,
               "both replicas to fit")
    first, second = (client.query(READ, strategy="round-robin").route["node"] for _ in range(2))
    for _ in range(3):
        asked = {client.explain(READ, strategy="round-robin")["node"] for _ in range(5)}
        assert asked == {first}
    assert client.query(READ, strategy="round-robin").route["node"] == first != second


def test_a_read_for_the_source_says_so(cluster, explain):
    for options in (["--consistency", "source"], ["--strategy", "direct"]):
        decision, code = explain(READ, *options)
        assert (decision["node"], code) == (cluster.source(), 0)
        assert reasons(decision) == {node: "not the source" for node in cluster.replicas()}


def test_a_lagging_replica_is_too_far_behind(cluster, explain):
    lagging = cluster.replicas()[0]
    cluster.stop_applying(lagging)
    try:
        wait_until(lambda: reasons(explain(READ, "-c", "max-lag=500")[0]).get(lagging)
                   == "too far behind", 20, "the lag to be the reason")
    finally:
        cluster.start_applying(lagging)


def test_a_replica_without_what_must_be_seen_says_so(cluster, client, explain):
    lagging = cluster.replicas()[0]
    cluster.stop_applying(lagging)
    try:
        token = client.query("UPDATE demo.customers SET balance = balance + 1 WHERE id = 1").token
        wait_until(lambda: reasons(explain(READ, "-c", f"after={token}")[0]).get(lagging)
                   == "does not have what the request must see", 20, "the token to be the reason")
    finally:
        cluster.start_applying(lagging)


def test_what_is_down_is_told_apart(cluster, explain):
    """The agent that is dead, the database that is."""
    without_agent, without_database = cluster.replicas()[:2]
    cluster.kill(cluster.agent_of(without_agent))
    cluster.kill(without_database)
    wait_until(lambda: reasons(explain(READ)[0])
               == {without_agent: "gone", without_database: "its database is not ready"}, 20,
               "both to be seen")
    decision, code = explain(READ)
    assert (decision["node"], code) == (cluster.source(), 0)  # no replica fits, so it reads


def test_when_nobody_would_take_it_the_exit_code_is_3(cluster, explain):
    cluster.kill(cluster.agent_of(cluster.source()))
    wait_until(lambda: explain(WRITE)[1] == 3, 10, "the source to be gone")
    decision, _ = explain(WRITE)
    assert "node" not in decision and not decision["candidates"]
    assert reasons(decision)[cluster.source()] == "gone"
    shown = cluster.command("explain", WRITE, check=False)
    assert shown.returncode == 3 and "nobody" in shown.stdout and "gone" in shown.stdout


def test_people_get_a_table(cluster):
    shown = cluster.command("explain", READ, "--strategy", "least-inflight").stdout
    head, table = shown.split("\n\n", 1)
    assert "least-inflight" in head and "replica" in head
    assert table.count("chosen") == 1 and "only when no replica fits" in table
    assert all(node in table for node in cluster.nodes())


@pytest.mark.parametrize("arguments, code, word", [
    ([], 64, "statement"),
    ([READ, "--strategy", "best"], 64, "strategy"),
    ([READ, "--consistency", "fresh"], 64, "consistency"),
    (["GRANT ALL ON *.* TO x"], 2, "FORBIDDEN"),
    (["SELECT 1; SELECT 2"], 2, "REFUSED: sql"),
])
def test_what_is_refused_is_refused_here_too(cluster, arguments, code, word):
    done = cluster.command("explain", *arguments, check=False)
    assert done.returncode == code and word in done.stderr, done


def test_values_travel_as_with_query(cluster, client):
    shown = cluster.command("explain", "SELECT ? + ?", "-p", "i:1", "-p", "i:2")
    assert "goes to" in shown.stdout
    assert client.explain("SELECT ? + ?", [1, 2])["class"] == "read"
