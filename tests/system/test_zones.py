"""Reads stay in the proxy's zone while its nodes are as good as others."""
import pathlib

import pytest

from harness import Cluster, wait_until

READS = 200


def be_in(cluster, part, section, zone):
    """Writes the zone into a part's settings."""
    file = pathlib.Path(cluster.part(part)["config"])
    text = file.read_text()
    file.write_text(f"{text}\n{section}\n    zone = {zone}\n")


@pytest.fixture(scope="module")
def zones():
    """One source and two replicas: node2 is in the proxy's zone, node3 is not."""
    with Cluster.running("zones", nodes=3, sets=["proxy:hedge/enabled=0"]) as one:
        for node, zone in (("node2", "zone-a"), ("node3", "zone-b")):
            be_in(one, one.agent_of(node), "node", zone)
            one.restart(one.agent_of(node))
        be_in(one, "proxy", "routing", "zone-a")
        one.reload("proxy")
        for node in ("node2", "node3"):
            one.wait_serving(node, 30)
        wait_until(lambda: {node: one.node_status(node)["zone"] for node in one.nodes()} == {
            "node1": "", "node2": "zone-a", "node3": "zone-b"}, 30, "the zones are known")
        yield one


def octets(cluster, zone):
    return cluster.metrics("proxy")[f'portcullis_proxy_zone_octets_total{{zone="{zone}"}}']


def test_reads_stay_in_the_zone(zones):
    """Most of them: chance and a busy machine may send some elsewhere."""
    with zones.client() as client:
        before = octets(zones, "own"), octets(zones, "other")
        where = [client.query("SELECT 1", strategy="custom", explain_route=True).route["node"]
                 for _ in range(READS)]
        own, other = octets(zones, "own") - before[0], octets(zones, "other") - before[1]
    print(f"{where.count('node2')} of {READS} in the zone, {own:.0f} and {other:.0f} octets")
    assert where.count("node2") > where.count("node3")
    assert own > other


def test_without_its_zone_another_serves(zones):
    zones.stop(zones.agent_of("node2"))
    try:
        with zones.client() as client:
            before = octets(zones, "other")
            for _ in range(20):
                assert client.query("SELECT 1", strategy="custom").rows == [[1]]
            assert octets(zones, "other") > before
    finally:
        zones.start(zones.agent_of("node2"))
