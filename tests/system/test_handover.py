"""The source hands over by itself: under load, once for every part that can die in the middle.

Throughout, at most one database is writable, no acknowledged write is lost, and none is doubled.
"""
import contextlib
import pathlib
import re
import threading
import time

import aws_server
import portcullis
import pytest

from harness import FLAVOR, Cluster, wait_until

pytestmark = pytest.mark.skipif(FLAVOR not in ("mariadb", "mysql"), reason="one of the two")


class Ledger:
    """Clients that write numbered rows, and remember what they were told of each."""

    def __init__(self, cluster, clients=8):
        self.cluster, self.stop_flag = cluster, threading.Event()
        self.acked, self.unknown, self.refused, self.other = [], [], [], []
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                        for number in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.acked) > 50, 30, "writes are acknowledged")
        return self

    def __exit__(self, *_):
        self.stop_flag.set()
        for thread in self.threads:
            thread.join(timeout=30)
        assert not any(thread.is_alive() for thread in self.threads)

    def _run(self, number):
        with self.cluster.client(timeout_ms=4000) as client:
            count = 0
            while not self.stop_flag.is_set():
                count += 1
                nonce = f"{number}-{count}"
                try:
                    client.query("INSERT INTO ledger (nonce) VALUES (?)", [nonce], db="demo")
                    self.acked.append(nonce)
                except portcullis.PortcullisError as error:
                    if error.retry == "safe":
                        self.refused.append(nonce)
                    elif error.retry == "unsafe":
                        self.unknown.append(nonce)
                    else:
                        self.other.append((nonce, str(error)))
                    time.sleep(0.02)
                time.sleep(0.005)

    def goes_on(self, timeout_s=60):
        """Until writes are acknowledged again."""
        seen = len(self.acked)
        wait_until(lambda: len(self.acked) > seen + 20, timeout_s, "writes go on")

    def check(self, source):
        """Against what every node holds, once all have what the source has."""
        wait_settled(self.cluster, source)
        for node in self.cluster.nodes():
            rows = self.cluster.sql(node, "SELECT nonce, COUNT(*) FROM demo.ledger GROUP BY nonce")
            found = {nonce: int(count) for nonce, count in rows}
            assert all(count == 1 for count in found.values()), f"{node}: written twice"
            lost = set(self.acked) - set(found)
            assert not lost, f"{node}: acknowledged and missing: {sorted(lost)[:5]}"
            invented = set(found) & set(self.refused)
            assert not invented, f"{node}: refused, and yet there: {sorted(invented)[:5]}"
        print(f"acked {len(self.acked)}, unknown {len(self.unknown)}, "
              f"refused {len(self.refused)}, other {self.other[:3]}")


class Watch:
    """Looks at every database: never are two of them writable."""

    def __init__(self, cluster):
        self.cluster, self.stop_flag, self.looks, self.both = cluster, threading.Event(), 0, []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop_flag.set()
        self.thread.join(timeout=60)
        assert self.looks > 1 and not self.both, (self.looks, self.both[:3])

    def _run(self):
        while not self.stop_flag.is_set():
            # One after the other: a node that is found closed and opens later would only be missed.
            # Found open twice, around another that is open, both were at once.
            writable = [node for node in self.cluster.nodes() if is_writable(self.cluster, node)]
            if len(writable) > 1 and is_writable(self.cluster, writable[0]):
                self.both.append(writable)
            self.looks += 1


def is_writable(cluster, node):
    return cluster.sql(node, "SELECT @@global.read_only", check=False) == [["0"]]


def position_of(cluster, node):
    what = "@@global.gtid_current_pos" if FLAVOR == "mariadb" else "@@global.gtid_executed"
    return "".join(cluster.sql(node, f"SELECT {what}")[0]).replace("\\n", "")


def wait_settled(cluster, source, timeout_s=60):
    """Until all others follow that source and have what it has."""
    def settled():
        with cluster.client() as client:
            seen = {one["name"]: one for one in client.status()["nodes"]}
        return (seen[source]["role"] == "source" and not seen[source]["read_only"]
                and all(one["role"] == "replica" and one["replicating"]
                        for name, one in seen.items() if name != source))

    wait_until(lambda: suppressed(settled), timeout_s, f"all follow {source}")
    there = position_of(cluster, source)
    question = (f"SELECT MASTER_GTID_WAIT('{there}', 60)" if FLAVOR == "mariadb"
                else f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{there}', 60)")
    for node in cluster.nodes():
        assert node == source or cluster.sql(node, question) == [["0"]], f"{node} at {there}"


def suppressed(question):
    with contextlib.suppress(portcullis.PortcullisError, KeyError):
        return question()
    return False


def source_now(cluster):
    """Who says that he is the source, by the proxy; else None."""
    with contextlib.suppress(portcullis.PortcullisError), cluster.client() as client:
        found = [one["name"] for one in client.status()["nodes"]
                 if one["role"] == "source" and not one["read_only"]]
        return found[0] if len(found) == 1 else None
    return None


def set_leave(cluster, node, leave):
    """The operator's word that the node shall not be the source."""
    part = cluster.agent_of(node)
    config = pathlib.Path(cluster.part(part)["config"])
    text = re.sub(r"\n    leave = \"?\d\"?", "", config.read_text())
    config.write_text(text.replace("\ntopology\n", f"\ntopology\n    leave = {int(leave)}\n"))
    if cluster.pid(part) is not None:
        cluster.reload(part)


def with_ledger(cluster):
    cluster.sql("node1", "CREATE TABLE demo.ledger (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
                         "nonce VARCHAR(64), KEY (nonce))")
    cluster.wait_replicated()
    return cluster


@pytest.fixture(name="three")
def _three(new_cluster):
    return with_ledger(new_cluster("handover", nodes=3))


def test_a_source_hands_over_under_load_and_back(three):
    with Ledger(three) as ledger, Watch(three):
        begun = time.monotonic()
        set_leave(three, "node1", True)
        wait_until(lambda: source_now(three) not in (None, "node1"), 60, "another source")
        print(f"handed over within {time.monotonic() - begun:.2f} s")
        ledger.goes_on()
        second = source_now(three)
        set_leave(three, second, True)
        wait_until(lambda: source_now(three) not in (None, "node1", second), 90, "the third")
        third = source_now(three)
        ledger.goes_on()
        set_leave(three, "node1", False)
        set_leave(three, third, True)
        wait_until(lambda: source_now(three) == "node1", 90, "the first again")
        ledger.goes_on()
    ledger.check("node1")
    assert not ledger.refused + ledger.unknown + ledger.other, "a client has seen an error"
    assert three.node_status("node1")["term"] == 3
    # What stands on disk counts, not what the settings say.
    for node in three.nodes():
        set_leave(three, node, False)
        three.restart(three.agent_of(node))
    wait_until(lambda: source_now(three) == "node1", 60, "node1 as it was")


def test_a_source_whose_instance_will_be_taken_away_hands_over(three):
    """By the notice of the metadata service, with nobody's help; then it drains as any replica."""
    agent = three.agent_of("node1")
    config = pathlib.Path(three.part(agent)["config"])
    with aws_server.serving() as aws:
        config.write_text(config.read_text() +
                          f'aws\n    metadata = 1\n    metadata_endpoint = "{aws.url}"\n')
        three.restart(agent)
        wait_until(lambda: aws.count("spot/instance-action") > 0, 30, "the agent looks for notices")
        with Ledger(three, clients=4) as ledger, Watch(three):
            aws.metadata["spot/instance-action"] = \
                '{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'
            wait_until(lambda: source_now(three) not in (None, "node1"), 60, "another source")
            ledger.goes_on()
        source = source_now(three)
        ledger.check(source)
        wait_until(lambda: suppressed(lambda: three.node_status("node1")["notice"]), 30,
                   "what is left of it gets no new work")
        assert three.node_status(source)["term"] == 1


# --- Everything dies once, at any point ---------------------------------------------


def wait_logged(cluster, part, text, timeout_s=30):
    def said():
        return text in cluster.log(part)

    try:
        wait_until(said, timeout_s, f"{part} says {text}", every_s=0.002)
    except AssertionError:
        print(f"{part} has said at last:\n" + "\n".join(cluster.log(part).splitlines()[-20:]))
        raise


def victims(cluster, source, successor):
    return {"source-agent": cluster.agent_of(source), "source-database": source,
            "successor-agent": cluster.agent_of(successor), "successor-database": successor,
            "proxy": "proxy"}


def back(cluster):
    """Starts what is down."""
    for name in cluster.parts():
        if cluster.pid(name) is None:
            cluster.start(name, ready=False)


# What is in the log of whom when it dies: the source is fenced and asks; it has decided; its
# successor has taken over.
MOMENTS = {"fenced": ("node1", "event=fenced"), "decided": ("node1", "stage=decided"),
           "open": ("node2", "stage=open")}


@pytest.mark.parametrize("moment", MOMENTS)
def test_whoever_dies_in_the_middle(three, moment):
    """For each part: it dies at that moment, and comes back; then the source is as it was, or the
    successor is, and everything goes on."""
    set_leave(three, "node3", True)  # so that it is known who the successor is
    where, text = MOMENTS[moment]
    with Ledger(three) as ledger, Watch(three):
        for name in victims(three, "node1", "node2"):
            source = source_now(three)
            successor = "node2" if source == "node1" else "node1"
            victim = victims(three, source, successor)[name]
            speaker = three.agent_of(source if where == "node1" else successor)
            said = three.log(speaker).count(text)
            set_leave(three, successor, False)
            set_leave(three, source, True)
            wait_until(lambda: three.log(speaker).count(text) > said, 60, f"{speaker} {text}",
                       every_s=0.001)
            three.kill(victim)
            time.sleep(1)
            back(three)
            # Whoever is the source now: both may be, by the moment.
            wait_until(lambda: source_now(three), 90, f"a source after {name} died")
            ledger.goes_on(90)
            wait_until(lambda: source_now(three) == successor, 90,
                       f"{successor} takes over in the end, {name}")
            ledger.goes_on(90)
            print(f"{moment} {name}: {source} -> {successor}")
    ledger.check(source_now(three))


def test_of_two_proxies_either_dies_in_the_middle(new_cluster):
    """Neither knows more than the other, and neither is needed."""
    cluster = with_ledger(new_cluster("handover-two", nodes=3, proxies=2))
    with Ledger(cluster) as ledger, Watch(cluster):
        for victim in ("proxy", "proxy-2"):
            source = source_now(cluster)
            agent = cluster.agent_of(source)
            said = cluster.log(agent).count("event=fenced")
            set_leave(cluster, source, True)
            wait_until(lambda: cluster.log(agent).count("event=fenced") > said, 60, "fenced",
                       every_s=0.001)
            cluster.kill(victim)
            wait_until(lambda: source_now(cluster) not in (None, source), 90, "another source")
            ledger.goes_on()
            set_leave(cluster, source, False)
            cluster.start(victim)
            print(f"{victim}: {source} -> {source_now(cluster)}")
    ledger.check(source_now(cluster))


def test_a_hand_over_that_nobody_answers_is_taken_back(three):
    """The successor says nothing: the source goes on, and the operator is told."""
    set_leave(three, "node3", True)
    with Ledger(three) as ledger, Watch(three):
        # It applies nothing from now on, though it replicates: it never has everything, and is
        # asked all the same as long as it is not far behind.
        with three.open_transaction("node2", "LOCK TABLES demo.ledger READ"):
            set_leave(three, "node1", True)
            agent = three.agent_of("node1")
            wait_logged(three, agent, "handover_given_up", 60)
            ledger.goes_on()
            assert source_now(three) == "node1"
            assert three.metrics(agent)["portcullis_agent_handovers_given_up_total"] >= 1
        wait_until(lambda: source_now(three) == "node2", 90, "once it can")
        ledger.goes_on()
    ledger.check("node2")


def test_nobody_keeps_the_source_by_a_lock_of_its_name(three):
    """A client that has the agent's own named lock loses its connection, and nothing else."""
    set_leave(three, "node3", True)
    with Ledger(three) as ledger, Watch(three):
        with three.open_transaction("node1", "DO GET_LOCK('portcullis_fence', 0)"):
            set_leave(three, "node1", True)
            wait_until(lambda: source_now(three) == "node2", 30, "it hands over")
        assert "event=handover_given_up" not in three.log(three.agent_of("node1"))
        ledger.goes_on()
    ledger.check("node2")


def test_one_command_moves_the_source(three):
    """To the node that it names; the agents' files are as they were."""
    files = [pathlib.Path(three.part(three.agent_of(node))["config"]) for node in three.nodes()]
    before = [file.read_text() for file in files]
    with Ledger(three, clients=4) as ledger, Watch(three):
        assert "node3 is the source, term 1" in three.script("switchover.sh", "node3").stdout
        assert "already" in three.script("switchover.sh", "node3").stdout
        wait_until(lambda: source_now(three) == "node3", 30, "the proxy knows")
        ledger.goes_on()
    ledger.check("node3")
    assert not ledger.refused + ledger.unknown + ledger.other, "a client has seen an error"
    assert [file.read_text() for file in files] == before
    assert three.script("switchover.sh", "node9", check=False).returncode == 64


def test_who_looks_is_told_that_nobody_takes_over(three):
    """The successor is lost once all is decided: status and status.sh say what that means."""
    set_leave(three, "node3", True)
    agent = three.agent_of("node2")
    state = three.var / "node1" / "topology"
    in_the_way = three.var / "node2" / "topology"
    in_the_way.mkdir()  # it can write beside it, and not there
    set_leave(three, "node1", True)
    wait_until(lambda: state.exists() and "stage decided" in state.read_text(), 60, "decided")
    three.kill(agent)
    wait_until(lambda: source_now(three) is None, 30, "no source")
    said = three.command("status").stdout
    assert "no node takes writes: node1 has handed over to node2" in said, said
    said = three.script("status.sh", check=False).stdout
    assert "node2 has been named the source, and has not taken over" in said, said
    in_the_way.rmdir()
    three.start(agent)
    wait_until(lambda: source_now(three) == "node2", 60, "it takes over in the end")


@pytest.mark.parametrize("whose", ("source", "successor"))
def test_what_could_not_be_written_down_is_not_begun(three, whose):
    """The disk of one is full, or the like: the source goes on, rather than waiting for it."""
    set_leave(three, "node3", True)
    node = {"source": "node1", "successor": "node2"}[whose]
    in_the_way = three.var / node / "topology.new"
    in_the_way.mkdir()
    agent = three.agent_of("node1")
    with Ledger(three) as ledger, Watch(three):
        set_leave(three, "node1", True)
        wait_logged(three, three.agent_of(node), "event=topology_unsaved")
        wait_logged(three, agent, "event=handover_given_up")
        ledger.goes_on()
        assert source_now(three) == "node1"
        in_the_way.rmdir()
        wait_until(lambda: source_now(three) == "node2", 120, "once it can")
        ledger.goes_on()
    ledger.check("node2")


def test_who_closes_the_database_does_not_outlive_his_agent(three):
    """As an agent that is killed while its read_only waits for a long write."""
    agent = three.agent_of("node1")
    three.kill(agent)
    orphan = threading.Thread(target=three.sql, kwargs={"check": False}, args=("node1", (
        "SELECT GET_LOCK('portcullis_fence', 0); SELECT SLEEP(20); SET GLOBAL read_only=1")))
    orphan.start()
    wait_until(lambda: three.sql("node1", "SELECT IS_USED_LOCK('portcullis_fence') IS NOT NULL")
               == [["1"]], 10, "it is about to close it")
    begun = time.monotonic()
    three.start(agent)
    orphan.join(timeout=30)
    assert time.monotonic() - begun < 15, "it was not ended"
    assert is_writable(three, "node1")


def test_an_agent_whose_state_cannot_be_read_does_not_start(three):
    agent = three.agent_of("node1")
    state = three.var / "node1" / "topology"
    three.stop(agent)
    state.write_text("portcullis-topology 1\nterm 1\nstage op")
    done = three.script("part.sh", "start", agent, check=False)
    wait_until(lambda: three.pid(agent) is None, 30, "it ends")
    assert "says nothing of who the source is" in three.log(agent) + done.stdout
    state.unlink()
    three.start(agent)


def test_who_has_lost_his_state_is_no_source_again(three):
    """By its settings node1 is the source still. Where these lose the state file its database says
    that it follows another; where the file itself is lost the proxies say whom."""
    set_leave(three, "node1", True)
    wait_until(lambda: source_now(three) not in (None, "node1"), 60, "another source")
    source = source_now(three)
    wait_settled(three, source)
    set_leave(three, "node1", False)
    agent, state = three.agent_of("node1"), three.var / "node1" / "topology"
    config = pathlib.Path(three.part(agent)["config"])
    before = config.read_text()
    with Watch(three):
        three.stop(agent)
        config.write_text(re.sub(r"\n    state_file = .*", "", before))
        three.start(agent, ready=False)
        wait_logged(three, agent, "replicates itself")
        assert source_now(three) == source and not is_writable(three, "node1")
        three.stop(agent)
        config.write_text(before)
        state.unlink()
        three.start(agent)
        wait_until(lambda: state.exists() and f"source {source} " in state.read_text(), 30,
                   "the file is there again")
        wait_settled(three, source)
