"""The firewall rules that are shipped for each tier, in network namespaces: every way from every
tier to every port is tried, and those that are open are exactly the chain of the design."""
import json
import subprocess
import time

import pytest

from harness import wait_until
from tiers import HOSTS, METADATA, PORTS, RULES, Tiers, why_not

pytestmark = pytest.mark.skipif(why_not() != "", reason=f"firewall rules: {why_not()}")

# What must be closed, too: ssh, web, the daemons' own HTTP, the database's X protocol.
OTHER_PORTS = [22, 80, 443, 8000, 33060]
ALL_PORTS = sorted(PORTS.values()) + OTHER_PORTS

LISTEN = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in sys.argv[2:]:
    listener = socket.create_server((sys.argv[1], int(port)), backlog=1024)
    selector.register(listener, selectors.EVENT_READ, "listener")
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        if key.data == "listener":
            selector.register(key.fileobj.accept()[0], selectors.EVENT_READ, "connection")
        elif not key.fileobj.recv(4096):
            selector.unregister(key.fileobj)
            key.fileobj.close()
"""

# Tries all at the same time, since a dropped connection takes its whole patience.
KNOCK = """
import concurrent.futures, json, socket, sys
def knock(way):
    try:
        socket.create_connection(tuple(way), timeout=1.5).close()
        return True
    except OSError:
        return False
ways = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
    print(json.dumps([way for way, fine in zip(ways, pool.map(knock, ways)) if fine]))
"""

# Opens connections one after another and keeps them, says how many; then waits to be killed.
HOLD = """
import socket, sys, time
kept = []
for _ in range(int(sys.argv[3])):
    try:
        kept.append(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=0.5))
    except OSError:
        pass
    time.sleep(float(sys.argv[4]))
print(len(kept), flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def tiers():
    with Tiers() as made:
        for host in HOSTS:
            listener = made.python(host, LISTEN, made.address(host), *map(str, ALL_PORTS))
            assert listener.stdout.readline().strip() == "listening", listener.stderr.read()
        yield made


@pytest.fixture
def ruled(tiers):
    """The hosts with the shipped rules, freshly loaded: counters and limits begin anew."""
    tiers.rules()
    return tiers


def reached(tiers, host):
    """(host, port) of all that a connection from `host` opens."""
    ways = [(tiers.address(other), port) for other in HOSTS for port in ALL_PORTS if other != host]
    child = tiers.python(host, KNOCK, json.dumps(ways))
    output, errors = child.communicate(timeout=30)
    names = {address: name for name, (address, _) in HOSTS.items()}
    assert child.returncode == 0, errors
    return {(names[address], port) for address, port in json.loads(output)}


def test_without_rules_every_port_is_open(tiers):
    """The other tests prove something only if nothing but the rules keeps the hosts apart."""
    wanted = {(host, port) for host in HOSTS for port in ALL_PORTS}
    for host in ("gatekeeper", "node1"):
        tiers.inside(host, "nft", "flush", "ruleset")
        assert reached(tiers, host) == {way for way in wanted if way[0] != host}


OPEN = {
    "client": {("gatekeeper", PORTS["client_port"])},
    "stranger": set(),
    "gatekeeper": {("broker", PORTS["broker_port"])},
    "broker": {("proxy", PORTS["proxy_port"])},
    "proxy": set(),
    "node1": {("proxy", PORTS["agents_port"]), ("node2", PORTS["database_port"])},
    "node2": {("proxy", PORTS["agents_port"]), ("node1", PORTS["database_port"])},
}


@pytest.mark.parametrize("host", OPEN)
def test_each_tier_reaches_its_neighbour_and_nothing_else(ruled, host):
    found = reached(ruled, host)
    if HOSTS[host][1] is None:  # nothing holds a host of others back but the tiers' own rules
        found = {way for way in found if HOSTS[way[0]][1] is not None}
    assert found == OPEN[host]


def test_what_a_broken_in_gatekeeper_tries_is_counted(ruled):
    assert (METADATA, 80) not in reached(ruled, "gatekeeper")
    assert ruled.counter("gatekeeper", "metadata_refused") >= len(ALL_PORTS)
    assert ruled.counter("gatekeeper", "output_refused") >= len(ALL_PORTS)
    assert ruled.counter("broker", "input_refused") == 0  # it was held back at home already


def test_neighbours_hold_a_gatekeeper_back_that_has_lost_its_own_rules(ruled):
    """Root on the gatekeeper's host can undo its rules, and not those of the others."""
    ruled.inside("gatekeeper", "nft", "flush", "ruleset")
    found = {way for way in reached(ruled, "gatekeeper") if HOSTS[way[0]][1] is not None}
    assert found == OPEN["gatekeeper"]
    assert ruled.counter("proxy", "input_refused") > 0
    assert ruled.counter("node1", "input_refused") > 0


def test_loading_again_changes_nothing_and_cuts_nobody(ruled):
    before = ruled.inside("gatekeeper", "nft", "-s", "list", "table", "inet", "portcullis")
    held = ruled.python("client", HOLD, ruled.address("gatekeeper"), str(PORTS["client_port"]),
                        "1", "0")
    assert held.stdout.readline().strip() == "1"
    ruled.rules()
    after = ruled.inside("gatekeeper", "nft", "-s", "list", "table", "inet", "portcullis")
    without_elements = [line for line in before.splitlines() if "elements" not in line]
    assert [line for line in after.splitlines() if "elements" not in line] == without_elements
    flows = ruled.inside("client", "ss", "-tnH", "state", "established")
    assert ruled.address("gatekeeper") in flows


def test_connections_of_one_address_are_limited(ruled):
    """256 at a time; one more is refused at once, and the place of one that ends is free."""
    # Without the rate, which would come into it first.
    shipped = (RULES / "gatekeeper.nft").read_text().splitlines()
    rule = next(line.strip() for line in shipped if "add @connections_of" in line)
    ruled.rules(gatekeeper="flush chain inet portcullis client\n"
                f"add rule inet portcullis client {rule}\n"
                "add rule inet portcullis client accept\n")
    door = (ruled.address("gatekeeper"), str(PORTS["client_port"]))
    holder = ruled.python("client", HOLD, *door, "300", "0.001")
    assert int(holder.stdout.readline()) == 256
    assert ruled.counter("gatekeeper", "too_many_connections") >= 44
    begin = time.monotonic()
    refused = ruled.python("client", HOLD, *door, "1", "0")
    assert int(refused.stdout.readline()) == 0 and time.monotonic() - begin < 2
    holder.kill()
    holder.wait()

    def comes_in():
        child = ruled.python("client", HOLD, *door, "1", "0")
        return int(child.stdout.readline()) == 1
    wait_until(comes_in, 15, "a place is free again", every_s=0.2)


def test_new_connections_of_one_address_are_limited_in_rate(ruled):
    """A burst of 100 and 20 a second: who knocks faster is slowed down, and nobody else is."""
    door = (ruled.address("gatekeeper"), str(PORTS["client_port"]))
    knocker = ruled.python("client", HOLD.replace("timeout=0.5", "timeout=0.05"), *door, "200", "0")
    came_in = int(knocker.stdout.readline())
    assert 100 <= came_in < 200
    assert ruled.counter("gatekeeper", "too_many_connects") > 0
    ruled.inside("client", "ip", "address", "add", "10.77.0.11/32", "dev", "eth0")
    other = subprocess.run(
        ["ip", "netns", "exec", ruled.prefix + "client", "python3", "-c",
         "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2,"
         " ('10.77.0.11', 0))", *door], capture_output=True, text=True, timeout=10, check=False)
    assert other.returncode == 0, other.stderr


@pytest.mark.parametrize("tier", sorted({tier for _, tier in HOSTS.values() if tier}))
def test_rules_of_the_site_are_taken_in(ruled, tier):
    """What README.md shows for a site: the administrator comes in."""
    rule = f"add rule inet portcullis local_input ip saddr {ruled.address('stranger')}" \
        " tcp dport { 22, 8000 } accept\n"
    ruled.rules(**{tier.replace("-", "_"): rule})
    host = next(name for name, (_, rules) in HOSTS.items() if rules == tier)
    found = {way for way in reached(ruled, "stranger") if way[0] == host}
    assert found == {(host, 22), (host, 8000)}
