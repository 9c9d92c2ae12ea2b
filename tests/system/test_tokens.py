"""Tokens: who makes them, who proves them, and what a read with one sees."""
import base64
import collections
import pathlib
import re
import subprocess
import threading

import pytest

from harness import FLAVOR, wait_until
from portcullis import PortcullisError

TABLE = "demo.tokens"
COUNT = f"SELECT COUNT(*) FROM {TABLE} WHERE word = ?"


@pytest.fixture
def table(client):
    client.query(f"CREATE TABLE IF NOT EXISTS {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                 " word VARCHAR(64), INDEX (word))")
    yield TABLE


def write(client, word):
    """A row with this word; its token."""
    answer = client.query(f"INSERT INTO {TABLE} (word) VALUES (?)", [word])
    assert answer.token
    return answer.token


def count(client, word, token, **more):
    return client.query(COUNT, [word], consistency={"after": token}, **more)


def refusal(client, **request):
    with pytest.raises(PortcullisError) as caught:
        client.query("SELECT 1", **request)
    return caught.value


def retries(cluster):
    """How often the proxy has sent a request anew after a node's failure."""
    return sum(value for key, value in cluster.metrics("proxy").items()
               if key.startswith("portcullis_proxy_retries_total"))


def last_number(gtids):
    return int(re.split("[:-]", gtids)[-1])


def position(token):
    return token.split(".", 2)[2]


# --- Who makes them ------------------------------------------------------------------


def test_every_form_of_write_names_itself(client, table):
    tokens = [client.query(f"CREATE TABLE IF NOT EXISTS {TABLE}_made (id INT)").token,
              write(client, "query"),
              client.txn([(f"INSERT INTO {TABLE} (word) VALUES ('txn')",)])[-1].token,
              client.query(f"DROP TABLE {TABLE}_made").token]
    with client.begin() as session:
        session.query(f"INSERT INTO {TABLE} (word) VALUES ('session')")
        tokens.append(session.commit().token)
    for token in tokens:
        assert re.fullmatch(r"1\.[A-Za-z0-9_-]{22}\.[0-9a-z,:_-]+", token), token
    assert len(set(tokens)) == len(tokens)
    last = max(last_number(position(token)) for token in tokens)
    assert count(client, "session", tokens[-1]).rows == [[1]] and last > 0


def test_reads_carry_a_token_where_they_ask_for_one(client, table):
    write(client, "seen")
    assert client.query("SELECT 1").token is None
    for consistency in ({"monotonic": True}, {"monotonic": True, "source": True},
                        {"monotonic": True, "max_lag_ms": 60000}):
        answer = client.query(f"SELECT COUNT(*) FROM {TABLE}", consistency=consistency)
        assert answer.token
        again = count(client, "seen", answer.token)
        assert again.rows[0][0] >= 1


def test_a_result_in_pages_and_a_session_carry_one_too(client, table):
    for _ in range(20):
        write(client, "pages")
    token = write(client, "pages")
    page = client.query(f"SELECT id FROM {TABLE}", page_rows=5,
                        consistency={"after": token, "monotonic": True})
    assert len(page.rows) >= 21 and page.token
    with client.begin(read_only=True, consistency={"after": token, "monotonic": True}) as session:
        answer = session.query(COUNT, ["pages"])
        assert answer.rows[0][0] >= 21 and answer.token
        assert session.commit().token


def test_a_reply_covers_what_its_request_named(client, table):
    first, second = write(client, "one"), write(client, "two")
    answer = client.query(COUNT, ["one"],
                          consistency={"after": [first, second], "monotonic": True})
    assert answer.rows[0][0] >= 1
    assert last_number(position(answer.token)) >= last_number(position(second))


def test_a_write_that_changed_nothing_names_what_it_saw(cluster, client, table):
    """The connection's last GTID is that of an earlier write."""
    for _ in range(20):
        write(client, "noop")
    past = wrote_past_the_gate(cluster)
    for _ in range(20):
        answer = client.query(f"UPDATE {TABLE} SET word = 'x' WHERE id = -1",
                              consistency={"monotonic": True})
        assert answer.affected == 0
        assert last_number(position(answer.token)) >= last_number(past)
    with client.begin(consistency={"monotonic": True}) as session:
        assert session.query(COUNT, ["noop"]).token
        assert last_number(position(session.commit().token)) >= last_number(past)


def wrote_past_the_gate(cluster):
    """The position after a write that no agent knows of."""
    executed = "@@gtid_binlog_pos" if FLAVOR == "mariadb" else "@@GLOBAL.gtid_executed"
    return cluster.sql(cluster.source(), f"INSERT INTO {TABLE} (word) VALUES ('past the gate'); "
                       f"SELECT {executed}")[0][0]


@pytest.mark.skipif(FLAVOR != "mariadb", reason="MySQL has no RETURNING")
def test_rows_that_come_with_a_write_are_named_too(cluster, client, table):
    """The connection's last GTID is that of an earlier write."""
    for _ in range(20):
        write(client, "returning")
    past = wrote_past_the_gate(cluster)
    for _ in range(20):
        answer = client.query(f"DELETE FROM {TABLE} WHERE id = -1 RETURNING id",
                              consistency={"monotonic": True})
        assert answer.rows == []
        assert last_number(position(answer.token)) >= last_number(past)


def test_a_routine_that_writes_and_then_reads_names_what_it_read(cluster, client, table):
    cluster.sql(cluster.source(),
                f"DROP PROCEDURE IF EXISTS {TABLE}_both;\nDELIMITER //\n"
                f"CREATE PROCEDURE {TABLE}_both() BEGIN"
                f" INSERT INTO {TABLE} (word) VALUES ('routine'); COMMIT; DO SLEEP(1);"
                f" SELECT COUNT(*) FROM {TABLE} WHERE word = 'past the gate'; END //\n")

    def written():
        return cluster.sql(cluster.source(), f"SELECT id FROM {TABLE} WHERE word = 'routine'")

    def check(call):
        before, answers = written(), []
        thread = threading.Thread(target=lambda: answers.append(call(f"CALL {TABLE}_both()")))
        thread.start()
        wait_until(lambda: written() != before, 10, "it has written")
        past = wrote_past_the_gate(cluster)
        thread.join()
        assert answers[0].rows[0][0] >= 1
        assert last_number(position(answers[0].token)) >= last_number(past)

    monotonic = {"monotonic": True}
    check(lambda sql: client.query(sql, consistency=monotonic))
    with client.begin(consistency=monotonic) as session:
        check(session.query)


FILL = {"mariadb": "SET gtid_domain_id = 42949672{0:02}, server_id = 4294967295;"
                   " INSERT INTO " + TABLE + " (word) VALUES ('long')",
        "mysql": "SET gtid_next = '3e11fa47-71ca-11e1-9e33-0000000000{0:02}:1'; BEGIN; COMMIT"}


def test_a_history_that_no_token_can_name(new_cluster):
    """A read gets none, not even for what it asked to see, and so a client knows."""
    cluster = new_cluster("long", nodes=1)
    with cluster.client() as client:
        client.query(f"CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                     " word VARCHAR(64))")
        token = write(client, "short")
        asked = {"after": token, "monotonic": True}
        assert client.query(COUNT, ["short"], consistency=asked).token
        for number in range(10, 40):
            cluster.sql(cluster.source(), FILL[FLAVOR].format(number))
        answer = client.query(COUNT, ["short"], consistency=asked)
        assert answer.rows == [[1]] and answer.token is None
        page = client.query(f"SELECT id FROM {TABLE}", page_rows=1, consistency=asked)
        assert page.token is None
        with client.begin(read_only=True, consistency=asked) as session:
            assert session.query(COUNT, ["short"]).token is None
            assert session.commit().token is None
        last = write(client, "short")
        assert count(client, "short", last).rows == [[2]]


@pytest.mark.skipif(FLAVOR != "mariadb", reason="MySQL has no domains")
def test_a_source_shows_what_others_wrote_in_domains_of_their_own(new_cluster):
    """No agent has seen those writes acknowledged; the next heartbeat proves them."""
    cluster = new_cluster("domains", nodes=1)
    with cluster.client() as client:
        client.query(f"CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                     " word VARCHAR(64))")
        cluster.sql(cluster.source(), "SET gtid_domain_id = 7;"
                    f" INSERT INTO {TABLE} (word) VALUES ('seven')")
        token = client.query(COUNT, ["seven"], consistency={"monotonic": True}).token
        assert ",7-" in position(token)
        cluster.restart(cluster.agent_of(cluster.source()))
        cluster.wait_serving(cluster.source())

        def shown():
            try:
                return count(client, "seven", token, timeout_ms=3000).rows == [[1]]
            except PortcullisError as error:
                assert error.code == "BEHIND"
                return False
        wait_until(shown, 10, "the source shows it", every_s=0.1)


# --- Who proves them -----------------------------------------------------------------


def forged(token):
    """The same with a MAC of nobody's, with another position, and what is no token at all."""
    version, mac, named = token.split(".", 2)
    other = base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")
    return [(f"{version}.{other}.{named}", "FORBIDDEN"),
            (f"{version}.{mac}.{named}9", "FORBIDDEN"),
            (f"{version}.{mac}.0-1-18446744073709551615", "FORBIDDEN"),
            (f"{version}.{mac}.3e11fa47-71ca-11e1-9e33-c80aa9429562:9223372036854775807",
             "FORBIDDEN"),
            (named, "MALFORMED"), ("x", "MALFORMED"), (f"2.{mac}.{named}", "MALFORMED"),
            (f"{version}.{mac}", "MALFORMED"), (f"{version}.{mac}.'; DROP TABLE x", "MALFORMED"),
            (token + "\n,", "MALFORMED")]


def test_a_token_that_no_agent_made_goes_nowhere(cluster, client, table):
    token = write(client, "proof")
    before = cluster.metrics("broker")
    bad = forged(token)
    for text, code in bad:
        for after in (text, [token, text]):
            error = refusal(client, consistency={"after": after})
            assert (error.code, error.hop, error.retry) == (code, "broker", "never"), text
            assert error.message.startswith("consistency.after: "), error.message
    name = 'portcullis_broker_refusals_total{reason="token"}'
    refused = [key for key in cluster.metrics("broker") if "token" in key]
    assert refused, name
    grown = cluster.metrics("broker")[refused[0]] - before.get(refused[0], 0)
    assert grown == 2 * len(bad)
    assert count(client, "proof", token).rows[0][0] >= 1


def test_writes_with_a_forged_token_do_not_run(client, table):
    token = write(client, "unforged")
    for text, code in forged(token)[:2]:
        with pytest.raises(PortcullisError) as caught:
            client.query(f"INSERT INTO {TABLE} (word) VALUES ('forged')",
                         consistency={"after": text})
        assert caught.value.code == code
    assert count(client, "forged", token).rows == [[0]]


# --- What a read sees ----------------------------------------------------------------


def test_a_read_after_a_write_sees_it_wherever_it_runs(cluster, client, table):
    roles = set()
    for number in range(60):
        word = f"after-{number}"
        answer = count(client, word, write(client, word))
        assert answer.rows == [[1]]
        roles.add(answer.route["role"])
    assert "replica" in roles  # the wait is short, and usually long enough


def test_old_tokens_are_answered_by_replicas(cluster, client, table):
    token = write(client, "old")
    cluster.wait_replicated()

    def by_replica():
        answer = count(client, "old", token, explain_route=True)
        return answer.route["role"] == "replica"
    wait_until(by_replica, 5, "a replica's report")
    for _ in range(20):
        assert by_replica()


def test_a_replica_that_stands_still_is_left_out(cluster, client, table):
    still, other = cluster.replicas()
    cluster.stop_applying(still)
    try:
        nodes = set()
        for number in range(40):
            word = f"still-{number}"
            answer = count(client, word, write(client, word))
            assert answer.rows == [[1]]
            nodes.add(answer.route["node"])
        assert still not in nodes
    finally:
        cluster.start_applying(still)


def test_when_all_replicas_stand_still_the_source_answers(cluster, client, table):
    for node in cluster.replicas():
        cluster.stop_applying(node)
    try:
        before = retries(cluster)
        for number in range(30):
            word = f"source-{number}"
            answer = count(client, word, write(client, word))
            assert answer.rows == [[1]]
            assert answer.route["role"] == "source"
        assert retries(cluster) == before  # BEHIND is nobody's fault
        explained = client.query("SELECT 1", consistency={"after": write(client, "why")},
                                 explain_route=True).route
        assert any("must see" in one["why"] for one in explained["left_out"]), explained
    finally:
        for node in cluster.replicas():
            cluster.start_applying(node)


QUESTION = {"mariadb": b"gtid_slave_pos AS applied", "mysql": b"GTID_SUBSET"}[FLAVOR]


def test_a_connection_that_is_lost_at_the_question_is_replaced(cluster, client, table):
    """Nobody above hears of it, and it is held against no node."""
    replica = cluster.replicas()[0]
    token = write(client, "asked")
    cluster.wait_replicated()
    with cluster.database_behind_proxy(replica) as proxy:
        before = retries(cluster)
        for _ in range(3):
            proxy.fails_left, proxy.fail_at = 1, QUESTION
            wait_until(lambda: count(client, "asked", token, strategy="random").rows == [[1]] and
                       proxy.fails_left == 0, 10, "the replica is asked")
        assert retries(cluster) == before


def test_a_session_begins_after_its_token(cluster, client, table):
    for number in range(10):
        word = f"session-{number}"
        token = write(client, word)
        with client.begin(read_only=True, consistency={"after": token}) as session:
            assert session.query(COUNT, [word]).rows == [[1]]


def test_readers_that_wait_leave_threads_for_others(cluster, client, table):
    """All replicas stand still, and many wait: reads without a token are answered as ever."""
    for node in cluster.replicas():
        cluster.stop_applying(node)
    try:
        token = write(client, "park")
        stop, failed = threading.Event(), []

        def park():
            with cluster.client() as one:
                while not stop.is_set():
                    answer = count(one, "park", token)
                    if answer.rows[0][0] < 1:
                        failed.append(answer)
        threads = [threading.Thread(target=park) for _ in range(12)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(100):
                client.query("SELECT 1", timeout_ms=4000)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failed
    finally:
        for node in cluster.replicas():
            cluster.start_applying(node)


# --- What was lost, and what was put back -----------------------------------------------


STOP_RECEIVING, FORGET_SOURCE = {
    "mariadb": ("STOP SLAVE IO_THREAD", "STOP SLAVE; RESET SLAVE ALL"),
    "mysql": ("STOP REPLICA IO_THREAD", "STOP REPLICA; RESET REPLICA ALL")}[FLAVOR]


def promote(cluster, node, old):
    """The replica becomes the source, as an operator would do it by hand; the old one is gone."""
    part = cluster.agent_of(node)
    cluster.stop(cluster.agent_of(old))
    cluster.kill(old)
    config = pathlib.Path(cluster.part(part)["config"])
    cluster.stop(part)
    cluster.sql(node, FORGET_SOURCE)
    config.write_text(re.sub(r'role = "?replica"?', 'role = "source"', config.read_text()))
    cluster.start(part)
    wait_until(lambda: cluster.node_status(node)["role"] == "source", 15, "it is the source")


def test_what_a_failover_lost_is_asked_for_in_vain_and_never_answered(new_cluster):
    """The new source counts on from where it was, so its numbers pass those of the lost writes."""
    cluster = new_cluster("lost", nodes=2)
    source, replica = cluster.source(), cluster.replicas()[0]
    with cluster.client() as client:
        client.query(f"CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                     " word VARCHAR(64))")
        kept = write(client, "kept")
        cluster.wait_replicated()
        cluster.sql(replica, STOP_RECEIVING)
        lost = [write(client, "lost") for _ in range(3)]
        assert count(client, "lost", lost[-1]).rows == [[3]]
        promote(cluster, replica, source)
        later = [write(client, "later") for _ in range(10)]
        assert count(client, "kept", kept).rows == [[1]]
        assert count(client, "later", later[-1]).rows == [[10]]
        assert count(client, "later", [kept, later[0]]).rows == [[10]]
        for after in (*lost, [lost[0], later[-1]], [kept, *lost]):
            with pytest.raises(PortcullisError) as caught:
                count(client, "lost", after, timeout_ms=3000)
            assert (caught.value.code, caught.value.retry) == ("BEHIND", "safe"), after
        for begin in (client.begin, lambda **more: client.txn([("SELECT 1",)], **more)):
            with pytest.raises(PortcullisError) as caught:
                begin(consistency={"after": lost[0]}, timeout_ms=3000)
            assert caught.value.code == "BEHIND"
        # Whoever goes on writing is not rid of what it had asked for.
        more = client.query(f"INSERT INTO {TABLE} (word) VALUES ('more')",
                            consistency={"after": lost[-1]}).token
        with pytest.raises(PortcullisError) as caught:
            count(client, "more", more, timeout_ms=3000)
        assert caught.value.code == "BEHIND"


def test_a_replica_put_back_from_an_old_copy_is_not_believed(new_cluster):
    """Its agent's, and the proxy's, last word on it was that it has all."""
    cluster = new_cluster("copy", nodes=2)
    replica = cluster.replicas()[0]
    data = cluster.var / replica / "data"
    with cluster.client() as client:
        client.query(f"CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                     " word VARCHAR(64))")
        cluster.wait_replicated()
        cluster.stop(replica)
        subprocess.run(["cp", "-a", data, f"{data}.old"], check=True)
        cluster.start(replica)
        cluster.wait_serving(replica)
        token = write(client, "new")
        cluster.wait_replicated()
        wait_until(lambda: count(client, "new", token).route["node"] == replica, 5, "it has it")
        stop, answers, failed = threading.Event(), collections.Counter(), []

        def read():
            with cluster.client() as one:
                while not stop.is_set():
                    try:
                        answer = count(one, "new", token, timeout_ms=4000)
                        answers[answer.route["node"]] += 1
                        if answer.rows != [[1]]:
                            failed.append(answer.rows)
                    except PortcullisError as error:
                        answers[error.code] += 1
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):  # the agent sleeps through it, and wakes up with what it knew
                cluster.pause(cluster.agent_of(replica))
                cluster.kill(replica)
                subprocess.run(["rm", "-rf", data], check=True)
                subprocess.run(["cp", "-a", f"{data}.old", data], check=True)
                cluster.start(replica)
                cluster.resume(cluster.agent_of(replica))
                before = answers[replica]
                wait_until(lambda before=before: answers[replica] > before, 60, "it is back")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failed, failed
        assert answers[cluster.source()] > 0, answers


@pytest.mark.skipif(FLAVOR != "mariadb", reason="MySQL itself says what it shows")
def test_a_source_put_back_from_an_old_copy_is_not_believed(new_cluster):
    """Its log counts anew through numbers that its agent has seen acknowledged."""
    cluster = new_cluster("source-copy", nodes=2)
    source = cluster.source()
    data = cluster.var / source / "data"
    with cluster.client() as client:
        client.query(f"CREATE TABLE {TABLE} (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
                     " word VARCHAR(64))")
        cluster.wait_replicated()
        cluster.stop(source)
        subprocess.run(["cp", "-a", data, f"{data}.old"], check=True)
        cluster.start(source)
        cluster.wait_serving(source)
        for _ in range(100):
            write(client, "lost")
        cluster.wait_replicated()
        cluster.pause(cluster.agent_of(source))
        cluster.kill(source)
        subprocess.run(["rm", "-rf", data], check=True)
        subprocess.run(["cp", "-a", f"{data}.old", data], check=True)
        cluster.start(source)
        cluster.sql(cluster.replicas()[0], STOP_RECEIVING)
        cluster.resume(cluster.agent_of(source))
        cluster.wait_serving(source, timeout_s=30)
        cluster.sql(source, "SET GLOBAL rpl_semi_sync_master_enabled = 1")

        def waits():
            """What the heartbeat's thread is doing."""
            return cluster.sql(source, "SELECT 1 FROM information_schema.processlist WHERE"
                               " info LIKE 'UPDATE portcullis.heartbeat%' AND state LIKE '%ACK%'")
        wait_until(waits, 10, "the heartbeat waits for a replica")
        seen = {"monotonic": True, "source": True}
        token = client.query(f"SELECT COUNT(*) FROM {TABLE}", consistency=seen).token
        with pytest.raises(PortcullisError) as caught:
            count(client, "lost", token, strategy="direct", timeout_ms=3000)
        assert caught.value.code == "BEHIND"
