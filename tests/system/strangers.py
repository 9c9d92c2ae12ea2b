"""Many connections of somebody who is not let in, as fast as they can be made:

    strangers.py fuzz ENDPOINT SERVER-KEY SOURCE SEED COUNT      octets of every kind
    strangers.py hello ENDPOINT SERVER-KEY SOURCE RATE SECONDS   the first, costly step of CURVE

Prints one line at the end: `sent N` and, of hello, `welcomed M`.  A process of its own, of low
priority, so that it takes no time from what is measured beside it."""
import collections
import os
import random
import select
import socket
import struct
import sys
import time

from zmtp import Curve, command, frame, greeting, keypair

WINDOW = 200  # connections that are open at a time


def strange_octets(rng, hello):
    """What a peer may say that never was one of ours, or was one and went wrong."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 400))
    if kind == 1:
        return rng.choice([
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"EHLO x\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(508),
            b"\x05\x01\x00", b"\x4a\x00\x00\x00\x0a9.7.0\x00"])
    good = greeting(minor=rng.randrange(2)) + hello
    if kind == 2:
        return good[:rng.randrange(len(good))]
    if kind == 3:
        body = command(rng.choice([b"HELLO", b"INITIATE", b"READY", b"ERROR", b"MESSAGE", b"PING"]),
                       rng.randbytes(rng.choice([0, 1, 15, 112, 194, 257, 1000])))
        size = rng.choice([None, None, 0, 2**31, 2**63 - 1, 2**64 - 1, rng.getrandbits(64)])
        return greeting() + frame(body, more=rng.random() < 0.2, command=rng.random() < 0.8,
                                  size=size, long=rng.random() < 0.5)
    octets = bytearray(good)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(octets)) if kind < 7 else rng.randrange(64)
        octets[at] = rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)])
    return bytes(octets) + rng.randbytes(rng.randrange(20))


def hello_octets(server_key):
    return frame(Curve(server_key, *keypair()).hello(), command=True)


def open_connection(address, source):
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.bind((source, 0))
    stream.settimeout(5)
    stream.connect(address)
    return stream


def fuzz(address, server_key, source, seed, count):
    rng, octets, sent = random.Random(int(seed)), hello_octets(server_key), 0
    window = collections.deque()
    while sent < int(count):
        try:
            stream = open_connection(address, source)
            stream.sendall(strange_octets(rng, octets))
            if sent % 3:
                stream.shutdown(socket.SHUT_WR)
            window.append(stream)
        except OSError:
            time.sleep(0.001)  # refused for the moment: it does not count
            continue
        sent += 1
        if len(window) > WINDOW:
            window.popleft().close()
    while window:
        window.popleft().close()
    print(f"sent {sent}")


class Helloes:
    """Connections that wait for their WELCOME."""

    def __init__(self):
        self.window, self.poll = {}, select.epoll()
        self.sent = self.welcomed = 0

    def send(self, address, source, octets):
        self.sent += 1
        try:
            stream = open_connection(address, source)
            stream.sendall(octets)
        except OSError:
            return
        self.window[stream.fileno()] = (stream, b"")
        self.poll.register(stream.fileno(), select.EPOLLIN | select.EPOLLHUP)

    def look(self):
        for number, _ in self.poll.poll(0):
            stream, got = self.window[number]
            try:
                more = stream.recv(512)
            except OSError:
                more = b""
            got += more
            if len(got) >= 64 + 170 or not more:
                self.welcomed += b"\x07WELCOME" in got
                stream.close()
                del self.window[number]
            else:
                self.window[number] = (stream, got)


def hello(address, server_key, source, rate, seconds):
    octets, helloes = greeting() + hello_octets(server_key), Helloes()
    start = time.monotonic()
    while time.monotonic() < start + float(seconds):
        if helloes.sent < (time.monotonic() - start) * float(rate):
            helloes.send(address, source, octets)
        else:
            time.sleep(0.0005)
        helloes.look()
    time.sleep(0.3)
    helloes.look()
    print(f"sent {helloes.sent} welcomed {helloes.welcomed}")


def main():
    os.nice(10)
    mode, endpoint, server_key, source, first, second = sys.argv[1:]
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    {"fuzz": fuzz, "hello": hello}[mode]((host, int(port)), server_key.encode(), source, first,
                                         second)


if __name__ == "__main__":
    main()
