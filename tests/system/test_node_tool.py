"""portcullis-node, the tool of a database's host: settings by memory, the agent's account, a copy
of a donor, and a switchover in halves, on a real cluster that is asked all the while."""
import os
import pathlib
import re
import subprocess
import threading

import pytest

from harness import FLAVOR, ROOT, Cluster, wait_until

NODE = ROOT / "packaging" / "node" / "portcullis-node"
TUNING = ROOT / "packaging" / "node" / "tuning.sh"


# --- Settings by memory --------------------------------------------------------------

def tuned(flavor, memory, cpus=2):
    """{setting: value} of the file for that machine."""
    done = subprocess.run(
        ["bash", "-euc", f'. "{TUNING}"; tuning_print "$@"', "tune", flavor, str(memory),
         str(cpus), "10.0.0.7", "1007"],
        stdout=subprocess.PIPE, text=True, check=True)
    return dict(re.findall(r"^(\w+) = (.*)$", done.stdout, re.MULTILINE))


def mib(text):
    assert text.endswith("M")
    return int(text[:-1])


@pytest.mark.parametrize("flavor", ["mariadb", "mysql"])
@pytest.mark.parametrize("memory", [512, 1024, 2048, 4096, 8192, 16384, 65536, 262144])
def test_what_the_server_may_take_fits_into_its_machine(flavor, memory):
    settings = tuned(flavor, memory)
    pool, connections = mib(settings["innodb_buffer_pool_size"]), int(settings["max_connections"])
    assert pool % 64 == 0 and pool >= 64
    assert 160 <= connections <= 2000
    assert pool + connections + 300 <= max(memory, 1024)
    if memory >= 2048:
        assert pool >= memory * 0.45, "memory is there to be used"
    redo = mib(settings.get("innodb_log_file_size")
               or settings["loose_innodb_redo_log_capacity"])
    assert 64 <= redo <= 8192


def test_more_memory_never_means_less():
    pools = [mib(tuned("mariadb", memory)["innodb_buffer_pool_size"])
             for memory in range(512, 20000, 512)]
    assert pools == sorted(pools)


def test_whoever_may_be_the_source_keeps_what_its_crash_left_prepared():
    assert tuned("mariadb", 2048)["init_rpl_role"] == "MASTER"


def test_no_start_drops_what_a_replica_has_received():
    assert tuned("mysql", 2048)["relay_log_recovery"] == "OFF"


# --- On a cluster --------------------------------------------------------------------

class Tool:
    """portcullis-node as it would run on the host of each node."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.home = pathlib.Path(folder)
        admin = (cluster.var / "secrets" / "admin.cnf").read_text()
        (self.home / ".my.cnf").write_text(admin)
        (self.home / ".my.cnf").chmod(0o600)

    def run(self, node, *words, check=True, timeout_s=120):
        source = self.cluster.node("node1")
        env = {**os.environ, "HOME": str(self.home),
               "PORTCULLIS_NODE_SOCKET": self.cluster.node(node)["socket"],
               "PORTCULLIS_SECRETS": str(self.cluster.var / "secrets"),
               "PORTCULLIS_AGENT_CONFIG": str(self.cluster.var / "etc" / f"agent-{node}.cfg"),
               "PORTCULLIS_NODE_STATE": str(self.home / node),
               "PORTCULLIS_NODE_LIBRARY": str(TUNING.parent),
               "PORTCULLIS_DONOR_PORT": str(source["port"])}
        done = subprocess.run([str(NODE), *words], env=env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout_s,
                              check=False)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture
def cluster():
    with Cluster.running("node-tool", nodes=3, demo=False) as one:
        one.sql("node1", "CREATE DATABASE demo; "
                         "CREATE TABLE demo.counted (n BIGINT PRIMARY KEY, t TEXT)")
        one.wait_replicated()
        yield one


@pytest.fixture
def tool(cluster, tmp_path):
    return Tool(cluster, tmp_path)


def agent_settings(cluster, node, role, source=None):
    """Writes role and source into the agent's configuration, as a deployment does."""
    file = cluster.var / "etc" / f"agent-{node}.cfg"
    text = re.sub(r"^ +source_(host|port) = .*\n", "", file.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^( +role = ).*$", rf'\1"{role}"', text, flags=re.MULTILINE)
    if source:
        port = cluster.node(source)["port"]
        text = re.sub(r"^replication\n", f'replication\n    source_host = "127.0.0.1"\n'
                      f'    source_port = "{port}"\n', text, flags=re.MULTILINE)
    file.write_text(text)


class Writer:
    """Writes one number after the other, and again what was refused for certain."""

    def __init__(self, cluster):
        self.cluster, self.done, self.doubtful = cluster, [], []
        self.refused, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        from harness import portcullis
        number = 0
        with self.cluster.client() as client:
            while not self.over.is_set():
                try:
                    client.query("INSERT INTO demo.counted VALUES (?, 'x')", [number],
                                 db="demo", timeout_ms=2000)
                    self.done.append(number)
                    number += 1
                except portcullis.PortcullisError as error:
                    if error.retry == "safe":
                        self.refused += 1
                        self.over.wait(0.02)
                    else:
                        self.doubtful.append(number)
                        number += 1

    def end(self):
        self.over.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


def numbers(cluster, node):
    return [int(row[0]) for row in cluster.sql(node, "SELECT n FROM demo.counted ORDER BY n")]


def test_a_switchover_loses_and_doubles_no_write(cluster, tool):
    writer = Writer(cluster)
    wait_until(lambda: len(writer.done) > 20, 60, "writes")
    cluster.stop("agent-node1")
    position = tool.run("node1", "demote").stdout.strip()
    assert position
    assert tool.run("node1", "demote").stdout.strip() == position, "no write came after it"
    cluster.stop("agent-node2")
    tool.run("node2", "promote", position)
    agent_settings(cluster, "node2", "source")
    agent_settings(cluster, "node1", "replica", "node2")
    agent_settings(cluster, "node3", "replica", "node2")
    cluster.start("agent-node2")
    tool.run("node1", "follow")
    cluster.start("agent-node1")
    cluster.restart("agent-node3")
    before = len(writer.done)
    wait_until(lambda: len(writer.done) > before + 20, 60, "writes go on")
    writer.end()
    at_source = numbers(cluster, "node2")
    assert set(writer.done) <= set(at_source) <= set(writer.done) | set(writer.doubtful)
    for node in ("node1", "node3"):
        wait_until(lambda node=node: numbers(cluster, node) == at_source, 60, f"{node} has all")
    assert writer.refused > 0, "while nobody takes writes they are refused, safe to repeat"
    assert tool.run("node2", "demote").returncode == 0
    refused = tool.run("node3", "demote", check=False)
    assert refused.returncode == 1 and "replica already" in refused.stderr


def test_a_demoted_source_takes_writes_again_with_its_agent(cluster, tool):
    """What a deployment does when the other half fails."""
    cluster.stop("agent-node1")
    cluster.stop("agent-node2")
    position = tool.run("node1", "demote").stdout.strip()
    late = tool.run("node2", "promote", beyond(position), "1", check=False)
    assert late.returncode == 1 and "has not come to" in late.stderr
    cluster.start("agent-node1")
    cluster.start("agent-node2")
    writer = Writer(cluster)
    wait_until(lambda: len(writer.done) > 5, 60, "writes go on")
    writer.end()
    wait_until(lambda: numbers(cluster, "node2") == numbers(cluster, "node1"), 60,
               "and the replica still follows")


def test_what_a_replica_received_and_did_not_execute_is_not_lost_by_its_promotion(cluster, tool):
    """The source is gone; its last writes were acknowledged because this replica had them."""
    for node in ("node2", "node3"):
        cluster.stop(f"agent-{node}")
    executed = tool.run("node2", "position").stdout.strip()
    cluster.stop_applying("node2")
    cluster.stop_applying("node3")
    with cluster.client() as client:
        for number in range(20):
            client.query("INSERT INTO demo.counted VALUES (?, 'x')", [number], db="demo")
    cluster.stop("agent-node1")
    at_source = tool.run("node1", "position").stdout.strip()
    for node in ("node2", "node3"):
        wait_until(lambda node=node: tool.run(node, "position").stdout.strip() == at_source, 60,
                   "what it has received counts as its own")
    assert at_source != executed
    assert numbers(cluster, "node2") == []
    cluster.kill("node1")
    silent = tool.run("node1", "position", check=False)
    assert silent.returncode != 0 and silent.stdout.strip() == "", "it is not an empty one"
    promoted = tool.run("node2", "promote", "received")
    assert promoted.stdout.strip() == at_source
    assert numbers(cluster, "node2") == list(range(20))
    assert tool.run("node2", "promote", "received").stdout.strip() == at_source, "it is done once"
    if FLAVOR == "mariadb":
        cluster.sql("node3", "STOP SLAVE")
        refused = tool.run("node3", "promote", "received", check=False)
        assert refused.returncode == 1 and "would delete" in refused.stderr
        assert tool.run("node3", "position").stdout.strip() == at_source


def knows(tool, node):
    """The latest change of the source that a node's agent has on its disk."""
    return tool.run(node, "topology").stdout.strip()


def hand_over(cluster, tool, source, successor):
    """As infra/deploy.sh does it: nobody else may, and the source is told last."""
    for node in cluster.nodes():
        tool.run(node, "leave", "0" if node == successor else "1")
    for node in sorted(cluster.nodes(), key=lambda node: node == source):
        cluster.reload(cluster.agent_of(node))
    wait_until(lambda: knows(tool, successor).endswith(f" open {successor}"), 60, "it is over")
    for node in cluster.nodes():
        tool.run(node, "leave", "0")
        cluster.reload(cluster.agent_of(node))


def test_a_lost_source_is_followed_by_the_one_that_the_operator_names(cluster, tool):
    """After a hand-over agents and proxies know who the source is, whatever the settings say; a
    later term is what they all believe, and the lost one too when it comes back."""
    assert [knows(tool, node) for node in cluster.nodes()] == ["0 none -"] * 3
    settings = (cluster.var / "etc" / "agent-node1.cfg").read_text()
    hand_over(cluster, tool, "node1", "node2")
    assert (cluster.var / "etc" / "agent-node1.cfg").read_text() == settings, "nothing remains"
    for node in cluster.nodes():
        wait_until(lambda node=node: knows(tool, node) == "1 open node2", 60, f"{node} knows")
    writer = Writer(cluster)
    wait_until(lambda: len(writer.done) > 20, 60, "writes")
    assert "source node2" in cluster.script("status.sh", check=False).stdout
    cluster.kill("agent-node2")
    cluster.kill("node2")
    cluster.stop("agent-node1")
    refused = tool.run("node1", "succeed", "3", "node2", "127.0.0.1", check=False)
    assert refused.returncode == 1 and "promote comes first" in refused.stderr
    tool.run("node1", "promote", "received")
    refused = tool.run("node1", "succeed", "1", "node2", "127.0.0.1", check=False)
    assert refused.returncode == 1 and "no earlier one" in refused.stderr
    for _ in range(2):
        assert tool.run("node1", "succeed", "3", "node2", "127.0.0.1").stdout == "3 open node1\n"
    cluster.start("agent-node1")
    before = len(writer.done)
    wait_until(lambda: len(writer.done) > before + 20, 60, "writes go on")
    writer.end()
    at_source = numbers(cluster, "node1")
    assert set(writer.done) <= set(at_source) <= set(writer.done) | set(writer.doubtful)
    wait_until(lambda: numbers(cluster, "node3") == at_source, 60, "node3 follows")
    cluster.start("node2", ready=False)
    cluster.start("agent-node2", ready=False)
    for node in ("node2", "node3"):
        wait_until(lambda node=node: knows(tool, node) == "3 open node1", 60, f"{node} knows")
    wait_until(lambda: cluster.sql("node2", "SELECT @@global.read_only", check=False) == [["1"]],
               60, "the lost one is a replica")


def test_a_password_file_may_hold_the_one_before(cluster, tool):
    file = cluster.var / "secrets" / "admin.password"
    file.write_text(f"{file.read_text().strip()}\nthe-one-before")
    tool.run("node1", "setup")
    assert cluster.sql("node1", "SELECT 1") == [["1"]]


def beyond(position):
    """A position of the same history that nobody has reached."""
    head, number = re.fullmatch(r"(?s)(.*?)(\d+)", position).groups()
    return f"{head}{int(number) + 1000}"


def test_a_node_without_its_history_is_made_from_a_donor(cluster, tool):
    writer = Writer(cluster)
    wait_until(lambda: len(writer.done) > 50, 60, "writes")
    # Node 3 has nothing any more, and the source no log of how it all began.
    cluster.stop("agent-node3")
    empty(cluster, "node3")
    purge_logs(cluster, "node1")
    refused = tool.run("node3", "clone", "127.0.0.1", "1", check=False)
    assert refused.returncode == 1 and "does not let this node in" in refused.stderr
    tool.run("node1", "donor-open", "127.0.0.1")
    with starter(cluster, "node3"):
        tool.run("node3", "clone", "127.0.0.1")
    tool.run("node1", "donor-close", "127.0.0.1")
    assert cluster.sql("node1", "SELECT COUNT(*) FROM mysql.user "
                                "WHERE user = 'portcullis_clone'") == [["0"]]
    cluster.start("agent-node3")
    writer.end()
    wait_until(lambda: numbers(cluster, "node3") == numbers(cluster, "node1"), 60,
               "the copy follows")
    assert cluster.sql("node3", "SELECT COUNT(*) FROM mysql.user "
                                "WHERE user = 'portcullis_clone'") == [["0"]]
    assert tool.run("node3", "clone", "127.0.0.1").returncode == 0, "it is done once"


def test_the_agents_account_is_made_on_each_node_and_enters_no_log(cluster, tool):
    for node in ("node1", "node2"):
        before = tool.run(node, "position").stdout if node == "node2" else None
        tool.run(node, "setup")
        tool.run(node, "setup")
        assert cluster.sql(node, "SELECT host FROM mysql.user WHERE user = 'portcullis_admin'") \
            == [["localhost"]]
        assert before is None or cluster.sql(node, "SELECT @@read_only") == [["1"]]


def test_words_that_are_none_are_refused(cluster, tool):
    for words in ([], ["nothing"], ["clone"], ["donor-open", "host.example"],
                  ["donor-open", "1.2.3.4' OR"], ["promote", "0-1'; DROP"],
                  ["tune", "--address", "x", "--server-id", "1"], ["leave", "2"], ["leave"],
                  ["succeed", "1", "node2"], ["succeed", "x", "node2", "127.0.0.1"],
                  ["succeed", "1", "node1", "127.0.0.1"], ["succeed", "1", "node2", "a b"]):
        done = tool.run("node1", *words, check=False)
        assert done.returncode == 64, f"{words}: {done.stderr}"


def empty(cluster, node):
    if FLAVOR == "mariadb":
        cluster.sql(node, "STOP SLAVE; RESET SLAVE ALL; DROP DATABASE demo; "
                          "DROP DATABASE portcullis; RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
    else:
        cluster.sql(node, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = 0; "
                          "DROP DATABASE demo; DROP DATABASE portcullis; "
                          "RESET BINARY LOGS AND GTIDS; SET GLOBAL super_read_only = 1")


def purge_logs(cluster, node):
    """All but the last; a server keeps a log that a replica still reads, and says nothing."""
    cluster.sql(node, "FLUSH BINARY LOGS")
    last = cluster.sql(node, "SHOW BINARY LOGS")[-1][0]

    def purged():
        cluster.sql(node, f"PURGE BINARY LOGS TO '{last}'")
        return cluster.sql(node, "SHOW BINARY LOGS")[0][0] == last
    wait_until(purged, 60, "the logs of before are gone")


class starter:
    """Starts a node whenever it is down, as a service manager does: CLONE ends the server."""

    def __init__(self, cluster, node):
        self.cluster, self.node, self.over = cluster, node, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(0.2):
            if self.cluster.pid(self.node) is None:
                self.cluster.start(self.node, ready=False)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(30)
