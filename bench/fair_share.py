#!/usr/bin/env python3
"""Does one principal at many times its share slow another one down?

Starts a cluster of one node of its own, and runs statements of known service time for a modest
principal: alone, and beside a greedy one that offers TIMES its share in an open loop, the two in
turn, so that what the machine does meanwhile hits both.  Prints the modest one's latencies and the
ratio of the two p99.  Exit code 1 when it is over --bar.

Statements take 20 ms, more or less by up to --spread of it.  With --spread 0 all that began
together end together, so that a thread is free at once or after a whole service time only.

    bench/fair_share.py [--rounds 5] [--times 50] [--spread 0.5] [--bar 1.5]
"""
import argparse
import multiprocessing
import pathlib
import random
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("tests/system", "client/python"):
    sys.path.insert(0, str(HERE.parent / folder))

import zmq  # noqa: E402
from caller import Caller  # noqa: E402
from harness import Cluster, wait_until  # noqa: E402
from raw import request  # noqa: E402

THREADS, SERVICE_MS = 8, 20
CAPACITY = THREADS * 1000 / SERVICE_MS  # statements a second
SHARE = CAPACITY / 2                    # of each of the two


def statements(spread):
    """In no order, and the same in each run."""
    texts = [f"SELECT SLEEP({SERVICE_MS / 1000 * (1 + spread * (2 * at / 100 - 1)):.4f})"
             for at in range(101)]
    random.Random(1).shuffle(texts)
    return texts


def flood(bundle, keys, rate, spread, ending, result):
    """Sends at a fixed rate whatever comes back, until told to end."""
    socket, start, sent = Caller(bundle, keys=keys).socket, time.monotonic(), 0
    ident, codes = bytes(16), {"ok": 0, "OVERLOADED": 0, "other": 0}
    packed = [request(id=ident, sql=sql, timeout_ms=5000).split(ident)
              for sql in statements(spread)]
    while not ending.is_set():
        while sent < (time.monotonic() - start) * rate:
            sent += 1
            before, after = packed[sent % len(packed)]
            socket.send_multipart((b"", before + sent.to_bytes(16, "big") + after), copy=True)
        if socket.poll(2):
            take_in(socket, codes)
    # What is in flight is not left to be killed: while a MariaDB kills a SLEEP(), others may stand.
    while sum(codes.values()) < sent and socket.poll(6000):
        take_in(socket, codes)
    result.put((sent, codes))


def take_in(socket, codes):
    """Counts what has come, without the cost of decoding it."""
    while True:
        try:
            _, payload = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        code = ("OVERLOADED" if b"OVERLOADED" in payload else
                "ok" if b"rows" in payload else "other")
        codes[code] += 1


class Greedy:
    """A process of its own, so that it takes nothing from who measures."""

    def __init__(self, bundle, keys, rate, spread):
        context = multiprocessing.get_context("spawn")
        self.ending, self.result = context.Event(), context.Queue()
        self.process = context.Process(
            target=flood, args=(bundle, keys, rate, spread, self.ending, self.result),
            daemon=True)
        self.process.start()

    def end(self):
        """Requests sent, and what came of them by code."""
        self.ending.set()
        outcome = self.result.get(timeout=30)
        self.process.join()
        return outcome


def modest(caller, seconds, rate, texts):
    """Latencies in ms at a steady rate below its share, each from when it was due."""
    due, taken, waiting = time.monotonic(), [], {}
    end = due + seconds
    while time.monotonic() < end or waiting:
        now = time.monotonic()
        if now >= due and now < end:
            sql = texts[(len(taken) + len(waiting)) % len(texts)]
            waiting[caller.post(sql, timeout_ms=5000)] = due
            due += 1 / rate
        caller.pump(min(max(due - time.monotonic(), 0.0005), 0.005))
        for asked in [one for one in waiting if one.tag in caller.replies]:
            reply = caller.replies.pop(asked.tag)
            assert reply["ok"], reply
            taken.append((time.monotonic() - waiting.pop(asked)) * 1000)
    return taken


def percentile(values, percent):
    return statistics.quantiles(values, n=100)[percent - 1]


def p99(values):
    return percentile(values, 99)


def principal(cluster, name):
    """The keys of a new one."""
    keys = tuple(key.decode() for key in zmq.curve_keypair())
    before = cluster.log("broker").count("event=policy_loaded")
    cluster.admit(name, keys[0])
    wait_until(lambda: cluster.log("broker").count("event=policy_loaded") > before, 5)
    time.sleep(0.7)  # the gatekeeper has seen its list
    return keys


def measure(cluster, options):
    greedy_keys, one = principal(cluster, "greedy"), Caller(cluster.bundle,
                                                            keys=principal(cluster, "modest"))
    alone, beside, texts = [], [], statements(options.spread)
    modest(one, 1, 20, texts)
    for _ in range(options.rounds):
        alone += modest(one, options.seconds, options.rate, texts)
        greedy = Greedy(cluster.bundle, greedy_keys, options.times * SHARE, options.spread)
        time.sleep(2.0)  # it has started, and the window has found its size
        beside += modest(one, options.seconds, options.rate, texts)
        sent, codes = greedy.end()
        print(f"greedy offered {options.times:g} x its share ({sent} requests): {codes}",
              flush=True)
        assert codes.get("OVERLOADED", 0) > codes.get("ok", 0), "it was no flood"
        time.sleep(1.0)
    return alone, beside


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rate", type=float, default=40, help="the modest one's, a second")
    parser.add_argument("--times", type=float, default=50)
    parser.add_argument("--spread", type=float, default=0.5, help="0 to 0.9 of 20 ms")
    parser.add_argument("--bar", type=float, default=1.5)
    options = parser.parse_args()
    cluster = Cluster("fair", nodes=1, sets=[f"agent:pool/threads={THREADS}"])
    try:
        cluster.up()
        alone, beside = measure(cluster, options)
    finally:
        cluster.down()
    ratio = p99(beside) / p99(alone)
    for name, values in (("alone", alone), ("beside the flood", beside)):
        print(f"{name:17} n={len(values)} p50={statistics.median(values):.1f} ms "
              f"p90={percentile(values, 90):.1f} ms p99={p99(values):.1f} ms "
              f"max={max(values):.1f} ms")
    print(f"ratio of p99: {ratio:.2f} (bar {options.bar})")
    return ratio > options.bar


if __name__ == "__main__":
    sys.exit(main())
