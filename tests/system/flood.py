"""Many connections of one key that send as much as they can, heartbeats on, and then all go away
in the middle: `flood.py ENDPOINT SERVER-KEY PUBLIC-KEY SECRET-KEY` prints how much it has sent.

A process of its own: what a flood does to libzmq can end the process that makes it, and that must
not be the tests'."""
import sys
import time

import msgpack
import zmq

CONNECTIONS = 60
SECONDS = 4.0


def main():
    endpoint, server_key, public_key, secret_key = sys.argv[1:]
    context = zmq.Context()
    floods, sent = [], 0
    for _ in range(CONNECTIONS):
        flood = context.socket(zmq.DEALER)
        flood.curve_serverkey = server_key.encode()
        flood.curve_publickey, flood.curve_secretkey = public_key.encode(), secret_key.encode()
        flood.setsockopt(zmq.HEARTBEAT_IVL, 300)
        flood.linger, flood.sndhwm = 0, 2000
        flood.connect(endpoint)
        floods.append(flood)
    payload = msgpack.packb({"v": 1, "op": "ping", "timeout_ms": 1000})
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        for flood in floods:
            try:
                for _ in range(20):
                    flood.send_multipart([b"", payload], zmq.DONTWAIT)
                    sent += 1
            except zmq.Again:
                pass
        print(sent, flush=True)
    context.destroy(linger=0)


if __name__ == "__main__":
    main()
