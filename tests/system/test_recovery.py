"""What comes back after a stop or a crash: nothing acknowledged is gone, and all is served."""
import collections
import pathlib
import re
import signal
import subprocess
import threading
import time

import msgpack
import portcullis
import pytest

from fault_proxy import FaultProxy
from harness import wait_until
from raw import Raw, request

SIZE_MAX = 17 << 20  # PCL_REQUEST_SIZE_MAX, and PCL_REPLY_SIZE_MAX


def _write_until(cluster, stop, number, acked, unknown):
    with cluster.client(timeout_ms=2000) as client:
        count = 0
        while not stop.is_set():
            count += 1
            nonce = f"{number}-{count}"
            try:
                client.query("INSERT INTO crashed (nonce) VALUES (?)", [nonce], db="demo")
                acked.append(nonce)
            except portcullis.PortcullisError as error:
                if error.retry == "unsafe":
                    unknown.append(nonce)
                time.sleep(0.02)


def test_the_sources_database_is_killed_under_load_and_comes_back_whole(cluster):
    cluster.sql(cluster.source(), "DROP TABLE IF EXISTS demo.crashed; CREATE TABLE demo.crashed "
                "(id BIGINT AUTO_INCREMENT PRIMARY KEY, nonce VARCHAR(64), KEY (nonce))")
    acked, unknown, stop = [], [], threading.Event()
    writers = [threading.Thread(target=_write_until, args=(cluster, stop, number, acked, unknown))
               for number in range(16)]
    for writer in writers:
        writer.start()
    before = []
    for _ in range(2):
        time.sleep(1.5)
        before.append(len(acked))
        cluster.kill(cluster.source())
        time.sleep(0.5)
        cluster.start(cluster.source())
        wait_until(lambda: len(acked) > before[-1] + 20, 30, "writes to be taken again")
    stop.set()
    for writer in writers:
        writer.join(timeout=10)
    cluster.heal()
    cluster.wait_replicated(60)
    contents = {}
    for node in cluster.nodes():
        rows = cluster.sql(node, "SELECT nonce, COUNT(*) FROM demo.crashed GROUP BY nonce")
        contents[node] = {nonce: int(count) for nonce, count in rows}
        assert not set(acked) - set(contents[node]), f"{node} has lost acknowledged writes"
        assert set(contents[node].values()) == {1}, f"{node} holds a write twice"
        assert set(contents[node]) <= set(acked) | set(unknown)
    assert len(set(map(str, map(sorted, contents.values())))) == 1, "the nodes differ"
    assert len(acked) > 200 and before[0] > 50
    print(f"acked {len(acked)}, unknown {len(unknown)}")


@pytest.mark.parametrize("kind", ["gatekeeper", "broker", "proxy", "agent"])
def test_a_part_that_was_stopped_for_a_while_serves_again(cluster, kind):
    """The time it was stopped is not taken off the budgets of later requests."""
    part = cluster.agent_of(cluster.source()) if kind == "agent" else kind
    stop, outcomes = threading.Event(), collections.Counter()

    def ask():
        with cluster.client(timeout_ms=800) as own:
            while not stop.is_set():
                try:
                    outcomes[str(own.query("SELECT 1", strategy="direct").rows)] += 1
                except portcullis.PortcullisError as error:
                    outcomes[error.code] += 1
                    time.sleep(0.02)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for _ in range(3):
        time.sleep(0.3)
        cluster.signal(part, signal.SIGSTOP)
        time.sleep(1.5)
        cluster.signal(part, signal.SIGCONT)
        time.sleep(0.7)
    stop.set()
    for asker in askers:
        asker.join()
    assert outcomes["[[1]]"] > 20, outcomes
    cluster.heal()
    with cluster.client(timeout_ms=500) as client:
        wait_until(lambda: _answers(client), 5, "the path to serve again")
        results = client.query_many([("SELECT ?", [number]) for number in range(50)])
        failed = [result for result in results if isinstance(result, Exception)]
        assert not failed, failed[:3]


@pytest.mark.parametrize("part", ["gatekeeper", "broker", "proxy"])
def test_a_client_outlives_the_restart_of_a_part(cluster, part):
    """It asks all the time, so it hears of the stop; and is served again without being opened
    anew."""
    refusals, stop = collections.Counter(), threading.Event()
    with cluster.client(timeout_ms=800) as own:
        def ask():
            while not stop.is_set():
                try:
                    own.query("SELECT 1")
                except portcullis.PortcullisError as error:
                    refusals[str(error)] += 1
                time.sleep(0.005)

        asker = threading.Thread(target=ask)
        asker.start()
        cluster.restart(part)
        stop.set()
        asker.join()
        assert any("shutting down" in text for text in refusals), refusals
        wait_until(lambda: _answers(own), 10, f"the same client is served again: {refusals}")


def _answers(client):
    try:
        return client.query("SELECT 1", strategy="direct").rows == [[1]]
    except portcullis.PortcullisError:
        return False


def test_a_request_of_the_largest_size_passes_and_a_larger_one_is_refused(cluster):
    with Raw(cluster.bundle) as raw:
        frame = request(sql="SELECT LENGTH(?)", params=[b""])
        for size, fits in ((SIZE_MAX, True), (SIZE_MAX + 1, False)):
            blob = b"x" * (size - len(frame) - 3)  # a longer length takes 3 octets more
            payload = request(sql="SELECT LENGTH(?)", params=[blob])
            assert len(payload) == size
            reply = raw.ask(payload, timeout_s=10)
            assert reply["ok"] is fits, reply
            assert reply["rows"] == [[len(blob)]] if fits else \
                reply["error"]["code"] == "TOO_LARGE"
        assert raw.ask(request(sql="SELECT 1"))["rows"] == [[1]]


def test_a_row_just_below_the_bound_passes_whole(cluster, client):
    cell, cells = 1 << 20, 16
    text = "SELECT " + ", ".join(["REPEAT('x', ?) AS x"] * cells)
    result = client.query(text, [cell] * cells, timeout_ms=20000)
    assert [len(value) for value in result.rows[0]] == [cell] * cells
    more = SIZE_MAX - len(msgpack.packb(result.reply)) - 100
    text += ", REPEAT('x', ?)"
    result = client.query(text, [cell] * cells + [more], timeout_ms=20000)
    assert len(result.rows[0][-1]) == more
    with pytest.raises(portcullis.PortcullisError) as caught:
        client.query(text, [cell] * (cells + 1), timeout_ms=20000)
    assert caught.value.code == "TOO_LARGE"
    assert client.query("SELECT 1").rows == [[1]]


@pytest.mark.parametrize("library", ["python", "c"])
def test_a_long_row_passes_a_slow_network(cluster, tmp_path, library):
    """The answers to heartbeats wait behind it: about two seconds."""
    text = pathlib.Path(cluster.bundle).read_text()
    address = re.search(r"tcp://(127\.0\.0\.1:\d+)", text).group(1)
    with FaultProxy(listen="127.0.0.1:0", target=address) as network:
        bundle = tmp_path / "slow.bundle"
        bundle.touch(mode=0o600)
        bundle.write_text(text.replace(address, "127.0.0.1:%d" % network.address[1]))
        network.delay_s = 0.015  # for each 64 KiB of an answer
        sql = f"SELECT REPEAT('x', {8 << 20}) AS x"
        if library == "python":
            with portcullis.Client(str(bundle), timeout_ms=20000) as client:
                assert client.query(sql).rows == [["x" * (8 << 20)]]
        else:
            told = subprocess.run([cluster.info["command"], "query", "--bundle", str(bundle),
                                   "--timeout", "20000", sql], capture_output=True, check=False)
            assert told.returncode == 0 and told.stdout.count(b"x") >= 8 << 20, told.stderr


def test_nobody_gets_an_answer_by_taking_anothers_routing_id(cluster):
    """A routing id is the server's to give; a socket that brings its own is not served."""
    with Raw(cluster.bundle, identity=b"alice") as first:
        first.send(b"", request(sql="SELECT SLEEP(0.5), 'a secret'"))
        first.receive(0.2)

    def is_turned_away():
        # Not heard at all while the first connection of that name is still there.
        with Raw(cluster.bundle, identity=b"alice") as second:
            second.send(b"", request(sql="SELECT 1"))
            answer = second.receive(0.7)
        assert answer is None or b"a secret" not in answer[-1]
        return answer is not None and b"routing id" in answer[-1]

    wait_until(is_turned_away, 10, "a socket with an id of its own to be turned away")


def test_reads_go_on_without_a_source(cluster, client):
    """Without a source no heartbeat comes, and the replicas seem to lag: they serve all the same,
    but not where the request itself bounds the lag."""
    config = pathlib.Path(cluster.part("proxy")["config"])
    text = config.read_text()
    try:
        config.write_text(text + "routing\n    lag_ms_max = 800\n" if "routing" not in text else
                          text.replace("routing\n", "routing\n    lag_ms_max = 800\n", 1))
        cluster.reload("proxy")
        wait_until(lambda: client.status()["limits"]["lag_ms_max"] == 800, 5, "the new bound")
        cluster.kill(cluster.agent_of(cluster.source()))
        wait_until(lambda: all(cluster.node_status(node)["lag_ms"] > 1500
                               for node in cluster.replicas()), 10, "the replicas to fall behind")
        for strategy in ("random", "custom"):
            result = client.query("SELECT 1", strategy=strategy)
            assert result.route["role"] == "replica" and result.rows == [[1]]
        with pytest.raises(portcullis.PortcullisError) as caught:
            client.query("SELECT 1", consistency={"max_lag_ms": 500})
        assert caught.value.code == "NO_NODE" and caught.value.retry == "safe"
    finally:
        config.write_text(text)
        cluster.reload("proxy")


def test_an_orderly_restart_of_the_gatekeeper_loses_nothing(cluster, monkeypatch):
    """Clients in a loop while the gatekeeper is stopped and started in order, four times. What
    they ask may run twice, so it goes on at a gatekeeper's word, which has no seal."""
    # Else who finds no gatekeeper for two seconds says so: LOST, retry safe, of what the one that
    # stopped had refused without a seal, since it cannot be known that it never ran.
    monkeypatch.setattr(portcullis, "CONNECT_S", 30.0)
    stop, outcomes = threading.Event(), collections.Counter()

    def ask():
        with cluster.client(timeout_ms=30000) as own:
            while not stop.is_set():
                try:
                    outcomes[str(own.query("SELECT 1", idempotent=True).rows)] += 1
                except portcullis.PortcullisError as error:
                    outcomes[str(error)] += 1

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    for _ in range(4):
        time.sleep(0.5)
        cluster.restart("gatekeeper")
    time.sleep(0.5)
    stop.set()
    for asker in askers:
        asker.join()
    # A gatekeeper that has just started may say for a moment that it has no broker yet.
    others = set(outcomes) - {"[[1]]"}
    assert all("UNAVAILABLE" in other and "retry safe" in other for other in others), outcomes
    assert outcomes["[[1]]"] > 200
