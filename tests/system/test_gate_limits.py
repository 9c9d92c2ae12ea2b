"""Ten thousand clients that say nothing: what each costs the gatekeeper, and a newcomer."""
import statistics
import time

import pytest
import zmq

from gate_alone import Gate
from harness import SANITIZED, wait_until
from volume import allow_descriptors, volume

ROOM = {"clients/handshakes_max": 1000000, "clients/handshakes_address_max": 1000000,
        "clients/connections_principal_max": 20000, "clients/connections_max": 20000}
EACH = 500  # connections of one socket
OPEN = r'portcullis_door_connections\{peers="clients"'
IDLE_KIB = 40
NEWCOMER_MS = 50


def crowd(context, gate, count):
    """So many connections over few sockets; they have said nothing.  ROUTERs, since libzmq connects
    other sockets once only to one endpoint."""
    sockets = []
    for start in range(0, count, EACH):
        one = context.socket(zmq.ROUTER)
        one.linger = 0
        one.curve_serverkey = gate.public
        one.curve_publickey, one.curve_secretkey = gate.keys["alice"]
        for _ in range(min(EACH, count - start)):
            one.connect(gate.endpoint)
        sockets.append(one)
        wait_until(lambda: gate.metric(OPEN) >= len(sockets) * EACH, 180, "all are in", every_s=0.1)
    return sockets


def newcomers(gate, count):
    """Milliseconds from the connect to the reply, of one client after the other."""
    times = []
    for _ in range(count):
        since = time.monotonic()
        with gate.client("bob") as one:
            assert one.served()
        times.append((time.monotonic() - since) * 1000)
    return times


@pytest.mark.plain
def test_ten_thousand_idle_connections_cost_little_and_keep_nobody_out():
    allow_descriptors(15000)
    count = volume(10000, 10000) if not SANITIZED else 500
    gate, context = Gate(settings=ROOM), zmq.Context(2)
    try:
        context.set(zmq.MAX_SOCKETS, 1000)
        assert newcomers(gate, 3)  # what comes with the first clients is there
        before = gate.resident_kib()
        sockets = crowd(context, gate, count)
        wait_until(lambda: gate.metric(OPEN) >= count, 60,
                   "all are in", every_s=0.2)
        time.sleep(1.0)
        each_kib = (gate.resident_kib() - before) / count
        times = newcomers(gate, 40)
        print(f"{count} idle connections: {each_kib:.1f} KiB each; a newcomer is served in "
              f"{statistics.median(times):.1f} ms (worst of {len(times)}: {max(times):.1f})")
        for one in sockets:
            one.close()
        if not SANITIZED:
            assert each_kib < IDLE_KIB
        assert statistics.median(times) < NEWCOMER_MS
        wait_until(lambda: gate.metric(OPEN) < 10, 30,
                   "all are gone", every_s=0.2)
        assert gate.lives()
    finally:
        context.destroy(0)
        gate.end()
