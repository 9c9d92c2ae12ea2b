"""A gatekeeper that was broken into: it has the real one's key, so clients and broker take it for
the real one, and it does what it likes with what passes through."""
import collections
import os
import pathlib
import re
import struct
import threading
import time

import msgpack
import zmq

import agent_alone
from agent_alone import PING, REPLY, REQUEST

SEALED = 1
OPS = agent_alone.OPS + ["cancel", "ping", "status", "admin"]
BEAT_S = 0.2
# The packed forms: docs/rfc/1-client-protocol.md, sections 2.1 and 2.3.
MARK, MARK_OF_MANY, HEAD_SIZE, PACKED_PAYLOAD_MAX = b"\xc1PC\x01", b"\xc1PC\x02", 16, 16384


def messages_of(frame):
    """The packed messages of a frame that has several."""
    at = len(MARK_OF_MANY)
    while at < len(frame):
        size = struct.unpack_from(">I", frame, at)[0]
        yield frame[at + 4:at + 4 + size]
        at += 4 + size


class Asked(collections.namedtuple("Asked", "payload seal head")):
    """A request as it goes to the broker; head: keyword arguments of agent_alone.head that are not
    what an honest gatekeeper would say."""


class Answer(collections.namedtuple("Answer", "payload seal")):
    """A reply as it goes to the client; seal: b"" for none."""

    @classmethod
    def made_up(cls, ident, ok=True, **keys):
        return cls(msgpack.packb({"v": 1, "id": ident, "ok": ok, **keys}), b"")


class Way(collections.namedtuple("Way", "peer tag ident op")):
    """Whose answer it will be.  tag: of what came packed its octets, else its frames."""


class Hostile(threading.Thread):
    """Honest until told otherwise.

    down: called with each request of a client, (asked, way), returns those that go to the broker.
    up: called with each reply, (answer, way), returns those that go to the client.
    say(way, answer) and ask(asked, way) do so unasked, from down and up only."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.secrets = cluster.var / "secrets"
        self.down, self.up = (lambda asked, _: [asked]), (lambda answer, _: [answer])
        self.principal = "local"
        self.ways, self.count, self.timeouts = {}, 0, {}
        self.refused = []  # answers to what no client asked
        self.ending, self.context = threading.Event(), zmq.Context()
        public, secret = self._keys("gatekeeper")
        self.front = self.context.socket(zmq.ROUTER)
        self.front.linger, self.front.curve_server = 0, True
        self.front.curve_publickey, self.front.curve_secretkey = public, secret
        self.port = self.front.bind_to_random_port("tcp://127.0.0.1")
        self.back = self.context.socket(zmq.DEALER)
        self.back.linger = 0
        self.back.curve_publickey, self.back.curve_secretkey = public, secret
        self.back.curve_serverkey = self._keys("broker")[0]
        config = (cluster.var / "etc" / "gatekeeper.cfg").read_text()
        self.back.connect(re.search(r'broker\n(?: .*\n)*? *endpoint = "([^"]*)"', config).group(1))
        self.bundle = pathlib.Path(cluster.var) / "hostile.bundle"
        text = pathlib.Path(cluster.bundle).read_text()
        assert re.search(r"^broker$", text, re.M), "the client does not seal"
        self.bundle.write_text(re.sub(r'endpoint = "[^"]*"',
                                      f'endpoint = "tcp://127.0.0.1:{self.port}"', text))
        self.bundle.chmod(0o600)
        self.start()

    def _keys(self, name):
        text = (self.secrets / f"{name}.key").read_text()
        return tuple(re.search(rf'{which}-key = "(.*)"', text).group(1).encode()
                     for which in ("public", "secret"))

    # --- On the thread -----------------------------------------------------------------

    def run(self):
        poller, beat_at = zmq.Poller(), 0
        for socket in (self.front, self.back):
            poller.register(socket, zmq.POLLIN)
        boot = os.urandom(8)
        while not self.ending.is_set():
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + BEAT_S
                ping = agent_alone.head(PING, session=boot + bytes(8))
                self.back.send_multipart([ping, b"", b""])
            ready = dict(poller.poll(20))
            if self.front in ready:
                self._from_client(self.front.recv_multipart())
            if self.back in ready:
                self._from_broker(self.back.recv_multipart())
        self.context.destroy(0)

    def _from_client(self, frames):
        """The library's messages come packed; those of others in frames."""
        if frames[1].startswith(MARK_OF_MANY):
            for message in messages_of(frames[1]):
                self._from_client([frames[0], message])
            return
        if frames[1].startswith(MARK):
            end = HEAD_SIZE + frames[1][HEAD_SIZE - 4]
            tag, seal, payload = frames[1][4:12], frames[1][HEAD_SIZE:end], frames[1][end:]
            payload = payload or frames[2]
        else:
            at = frames.index(b"", 1)
            tag, payload, seal = frames[1:at], frames[at + 1], b"".join(frames[at + 2:])
        keys = msgpack.unpackb(payload)
        way = Way(frames[0], tag, keys["id"], keys.get("op", "query"))
        for asked in self.down(Asked(payload, seal, {}), way):
            self.ask(asked, way)

    def ask(self, asked, way):
        keys = msgpack.unpackb(asked.payload)
        self.count += 1
        self.ways[self.count] = way
        said = {"budget_us": min(keys.get("timeout_ms", 5000), 60000) * 1000,
                "request_id": way.ident, "op": way.op, "principal": self.principal.encode(),
                "flags": SEALED if asked.seal else 0, **asked.head}
        self.back.send_multipart([agent_alone.head(REQUEST, self.count, **said), asked.payload,
                                  asked.seal])

    def _from_broker(self, frames):
        for message in agent_alone.messages_of(frames):
            self._take(*message)

    def _take(self, head, payload, tail):
        if head[11] != REPLY:
            return
        way = self.ways.pop(struct.unpack(">Q", head[:8])[0])
        answer = Answer(payload, tail if head[19] & SEALED else b"")
        if way is None:
            self.refused.append(answer)
            return
        for one in self.up(answer, way):
            self.say(way, one)

    def say(self, way, answer):
        if isinstance(way.tag, bytes):
            head = MARK + way.tag + bytes([len(answer.seal), 0, 0, 0]) + answer.seal
            apart = len(answer.payload) > PACKED_PAYLOAD_MAX
            self.front.send_multipart([way.peer, head, answer.payload] if apart
                                      else [way.peer, head + answer.payload])
            return
        self.front.send_multipart([way.peer, *way.tag, b"", answer.payload,
                                   *([answer.seal] if answer.seal else [])])

    def end(self):
        self.ending.set()
        self.join(5)


agent_alone.OPS[:] = OPS
