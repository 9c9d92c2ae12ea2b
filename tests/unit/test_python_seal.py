#!/usr/bin/env python3
"""client/python against a gatekeeper that somebody broke into, which the test plays step by step.
usage: test_python_seal.py SOURCE"""
import ctypes
import ctypes.util
import hashlib
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import msgpack
import zmq
from zmq.utils import z85

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ROOT / "client/python"))
import portcullis  # noqa: E402  (the path comes first)

OWN = [key.decode() for key in zmq.curve_keypair()]
BROKER = [key.decode() for key in zmq.curve_keypair()]
GATE = [key.decode() for key in zmq.curve_keypair()]


def pair_key(secret, client, broker):
    """By the text of the RFC, and with other means than the client's."""
    shared = ctypes.create_string_buffer(32)
    octets = [z85.decode(key.encode()) for key in (secret, client, broker)]
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    assert sodium.crypto_scalarmult(shared, octets[0], octets[1]) == 0
    return hashlib.blake2b(b"portcullis seal 1" + octets[1] + octets[2], key=shared.raw,
                           digest_size=32).digest()


KEY = pair_key(BROKER[1], OWN[0], BROKER[0])


def seal(kind, channel, sequence, payload, key=KEY):
    head = struct.pack(">BB6xQQQ", 1, kind, time.time_ns() // 1000, channel, sequence)
    return head + hashlib.blake2b(head + payload, key=key, digest_size=32).digest()


class Asked:
    """A message of the client, whose seal must be right."""

    def __init__(self, test, frames):
        self.peer, self.ticket, _, self.payload, self.seal = frames
        self.request = msgpack.unpackb(self.payload)
        version, kind, at_us, self.channel, self.sequence = struct.unpack(">BB6xQQQ",
                                                                          self.seal[:32])
        test.assertEqual((version, kind, len(self.seal)), (1, 1, 64))
        test.assertLess(abs(at_us / 1e6 - time.time()), 5)
        test.assertEqual(self.seal[32:], hashlib.blake2b(
            self.seal[:32] + self.payload, key=KEY, digest_size=32).digest())


class SealTest(unittest.TestCase):
    def setUp(self):
        self.context = zmq.Context()
        self.gates = [self.context.socket(zmq.ROUTER) for _ in range(2)]
        self.endpoints = []
        for gate in self.gates:
            gate.linger, gate.rcvtimeo = 0, 5000
            port = gate.bind_to_random_port("tcp://127.0.0.1")
            self.endpoints.append(f"tcp://127.0.0.1:{port}")

    def tearDown(self):
        for gate in self.gates:
            gate.close()
        self.context.term()

    def client(self, count=1):
        client = portcullis.Client(endpoints=[(each, "") for each in self.endpoints[:count]],
                                   keys=OWN, broker_key=BROKER[0])
        self.addCleanup(client.close)
        return client

    def start(self, what, *arguments, **options):
        """Calls in a thread; a function that waits for the outcome."""
        outcomes = []

        def work():
            try:
                outcomes.append(what(*arguments, **options))
            except portcullis.PortcullisError as error:
                outcomes.append(error)
        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def outcome():
            thread.join(10)
            return outcomes[0]
        return outcome

    def asked(self, gate=0):
        return Asked(self, self.gates[gate].recv_multipart())

    def quiet(self, gate=0):
        return self.gates[gate].poll(200) == 0

    def answer(self, asked, payload, sealed, gate=0):
        frames = [asked.peer, asked.ticket, b"", payload]
        self.gates[gate].send_multipart(frames + ([sealed] if sealed is not None else []))

    def done(self, asked, **more):
        payload = msgpack.packb({"v": 1, "id": asked.request["id"], "ok": True, "affected": 7,
                                 **more})
        return payload, seal(2, asked.channel, asked.sequence, payload)

    def refusal(self, asked, code, hop, retry="safe"):
        payload = msgpack.packb({"v": 1, "id": asked.request["id"], "ok": False, "error": {
            "code": code, "message": "no", "hop": hop, "retry": retry, "errno": 1062,
            "sqlstate": "23000"}})
        return payload, seal(2, asked.channel, asked.sequence, payload)

    def forged(self, outcome, why):
        error = outcome()
        self.assertIsInstance(error, portcullis.PortcullisError)
        self.assertEqual((error.code, error.retry, error.hop, error.sealed),
                         ("FORGED", "unsafe", "client", False))
        self.assertIn(why, error.message)

    def test_what_the_broker_sealed_is_believed(self):
        client = self.client()
        marks = []
        for _ in range(3):
            outcome = self.start(client.query, "UPDATE t SET n = 1")
            asked = self.asked()
            marks.append((asked.channel, asked.sequence))
            self.answer(asked, *self.done(asked))
            self.assertEqual((outcome().affected, outcome().sealed), (7, True))
        self.assertEqual([mark[1] for mark in marks], [1, 2, 3])
        self.assertEqual(len({mark[0] for mark in marks}), 1)
        outcome = self.start(client.query, "x")
        asked = self.asked()
        self.answer(asked, *self.refusal(asked, "SQL", "agent", "never"))
        error = outcome()
        self.assertEqual((error.code, error.retry, error.errno, error.sealed),
                         ("SQL", "never", 1062, True))

    def test_what_it_did_not_seal_is_forged(self):
        client = self.client()
        other = pair_key(GATE[1], OWN[0], BROKER[0])
        recorded = None
        for why, make in (
                ("is missing", lambda asked, payload, right: None),
                ("64 octets", lambda asked, payload, right: right[:-1]),
                ("64 octets", lambda asked, payload, right: b""),
                ("does not fit", lambda asked, payload, right: right[:-1] + bytes([right[-1] ^ 1])),
                ("kind", lambda asked, payload, right: seal(1, asked.channel, asked.sequence,
                                                            payload)),
                ("does not fit", lambda asked, payload, right: asked.seal),
                ("does not fit", lambda asked, payload, right: seal(
                    2, asked.channel, asked.sequence, payload, other)),
                ("another request", lambda asked, payload, right: seal(
                    2, asked.channel, asked.sequence + 1, payload)),
                ("another request", lambda asked, payload, right: seal(
                    2, asked.channel ^ 1, asked.sequence, payload))):
            outcome = self.start(client.query, "UPDATE t SET n = 1")
            asked = self.asked()
            payload, right = self.done(asked)
            self.answer(asked, payload, make(asked, payload, right))
            self.forged(outcome, why)
            recorded = payload, right
        outcome = self.start(client.query, "UPDATE t SET n = 1")
        asked = self.asked()
        self.answer(asked, *recorded)  # of before
        self.forged(outcome, "another request")
        outcome = self.start(client.query, "UPDATE t SET n = 1")
        asked = self.asked()
        payload, right = self.done(asked)
        self.answer(asked, payload[:-1] + b"\x08", right)
        self.forged(outcome, "does not fit")

    def test_swapped_answers_are_forged(self):
        client = self.client()
        outcome = self.start(client.query_many, [("a", None), ("b", None)])
        one, two = self.asked(), self.asked()
        self.answer(one, *self.done(two))
        self.answer(two, *self.done(one))
        self.assertEqual([each.code for each in outcome()], ["FORGED", "FORGED"])

    def test_refusals_without_seal_tell_nothing_of_the_fate(self):
        client = self.client()
        for code, hop, expected in (("FORBIDDEN", "broker", "FORBIDDEN"),
                                    ("OVERLOADED", "gatekeeper", "OVERLOADED"),
                                    ("UNAVAILABLE", "gatekeeper", "UNAVAILABLE"),
                                    ("SQL", "agent", "FORGED"), ("SQL", "gatekeeper", "FORGED"),
                                    ("GONE", "broker", "FORGED"), ("LOST", "client", "FORGED"),
                                    ("NEW", "broker", "FORGED")):
            for retry in ("safe", "never", "unsafe"):
                outcome = self.start(client.query, "UPDATE t SET n = 1")
                asked = self.asked()
                self.answer(asked, self.refusal(asked, code, hop, retry)[0], None)
                error = outcome()
                self.assertEqual((error.code, error.retry, error.errno, error.sqlstate,
                                  error.sealed), (expected, "unsafe", 0, "", False))
        outcome = self.start(client.ping)
        asked = self.asked()
        self.answer(asked, self.refusal(asked, "OVERLOADED", "gatekeeper", "never")[0], None)
        self.assertEqual(outcome().retry, "safe")

    def test_a_write_is_not_sent_again_on_a_gatekeepers_word(self):
        for code in ("DRAINING", "UNAVAILABLE"):
            for idempotent in (False, True):
                client = self.client(2)
                time.sleep(0.2)
                outcome = self.start(client.query, "UPDATE t SET n = 1", idempotent=idempotent)
                poller = zmq.Poller()
                for gate in self.gates:
                    poller.register(gate, zmq.POLLIN)
                gate = self.gates.index(poller.poll(5000)[0][0])
                asked = self.asked(gate)
                self.answer(asked, self.refusal(asked, code, "gatekeeper")[0], None, gate)
                if idempotent:
                    again = self.asked(1 - gate)
                    self.assertEqual(again.request["id"], asked.request["id"])
                    self.assertNotEqual(again.channel, asked.channel)
                    self.answer(again, *self.done(again), 1 - gate)
                    self.assertTrue(outcome().sealed)
                else:
                    self.assertEqual((outcome().code, outcome().retry), (code, "unsafe"))
                    self.assertTrue(self.quiet(0) and self.quiet(1))

    def test_sessions_and_pages_are_the_brokers(self):
        client = self.client()
        outcome = self.start(client.begin)
        asked = self.asked()
        self.answer(asked, self.done(asked, session=b"s" * 16)[0], None)
        self.forged(outcome, "is missing")
        outcome = self.start(client.begin)
        asked = self.asked()
        self.answer(asked, *self.done(asked, session=b"s" * 16))
        session = outcome()
        outcome = self.start(session.commit)
        asked = self.asked()
        self.answer(asked, self.refusal(asked, "GONE", "agent")[0], None)
        self.forged(outcome, "is missing")
        self.assertTrue(session.is_open)
        outcome = self.start(client.query, "SELECT 1")
        asked = self.asked()
        page = self.done(asked, columns=[["n", "INT", 0]], rows=[[1]], cursor=b"c" * 16)
        self.answer(asked, *page)
        asked = self.asked()
        self.assertEqual(asked.request["op"], "fetch")
        self.answer(asked, *page)  # the same page again
        self.forged(outcome, "another request")

    def test_late_replies_end_only_what_the_broker_opened(self):
        client = self.client()
        for sealed in (False, True):
            outcome = self.start(client.begin, timeout_ms=50)
            asked = self.asked()
            self.assertEqual(outcome().code, "DEADLINE")
            payload, right = self.done(asked, session=b"s" * 16)
            self.answer(asked, payload, right if sealed else None)
            for _ in range(2):
                outcome = self.start(client.ping)
                asked = self.asked()
                while asked.request["op"] != "ping":
                    self.assertTrue(sealed)
                    self.assertEqual(asked.request["op"], "rollback")
                    asked, ended = self.asked(), True
                self.answer(asked, *self.done(asked))
                outcome()
            self.assertTrue(not sealed or ended)

    def test_a_cancel_beside_a_call_is_sealed_too(self):
        client = self.client()
        outcome = self.start(client.query, "SELECT SLEEP(9)")
        asked = self.asked()
        cancel = self.start(client.cancel, asked.request["id"])
        other = self.asked()
        self.assertEqual(other.request["op"], "cancel")
        self.assertNotEqual(other.channel, asked.channel)
        self.answer(other, *self.done(other))
        self.assertEqual(cancel(), 7)
        self.answer(asked, *self.done(asked))
        outcome()

    def test_keys_that_can_not_seal_are_refused(self):
        endpoints = [(self.endpoints[0], "")]
        with self.assertRaises(ValueError):
            portcullis.Client(endpoints=endpoints, broker_key=BROKER[0])
        for key in ("short", "0" * 40, "0rr91" + "0" * 35):
            with self.assertRaises(ValueError):
                portcullis.Client(endpoints=endpoints, keys=OWN, broker_key=key)

    def test_without_pynacl_libsodium_does_it(self):
        expected = portcullis._x25519(z85.decode(OWN[1].encode()), z85.decode(BROKER[0].encode()))
        kept = {name: sys.modules.get(name) for name in ("nacl", "nacl.bindings")}
        try:
            sys.modules["nacl"] = sys.modules["nacl.bindings"] = None
            self.assertEqual(portcullis._x25519(z85.decode(OWN[1].encode()),
                                                z85.decode(BROKER[0].encode())), expected)
            find, portcullis.ctypes.CDLL = portcullis.ctypes.CDLL, self.no_library
            try:
                with self.assertRaises(ImportError):
                    portcullis._x25519(bytes(32), bytes(32))
            finally:
                portcullis.ctypes.CDLL = find
        finally:
            for name, module in kept.items():
                if module is None:
                    sys.modules.pop(name, None)
                else:
                    sys.modules[name] = module

    @staticmethod
    def no_library(_):
        raise OSError("none")

    def test_the_octets_of_the_rfc(self):
        text = (ROOT / "docs/rfc/1-client-protocol.md").read_text()
        keys = dict(re.findall(r"^\| (\w+ \w+) \| `(.{40})` \|$", text, re.M))
        blocks = {name: bytes.fromhex(re.sub(r";.*", "", octets)) for name, octets in re.findall(
            r"```octets (\S+)\n(.*?)```", text, re.S)}
        seals = portcullis._Seals(keys["client public"], keys["client secret"],
                                  keys["broker public"])
        self.assertEqual(seals._key, blocks["seal-key"])
        mark = (0x0123456789abcdef, 7)
        self.assertEqual(seals.seal(mark, blocks["request-ping"])[16:32],
                         blocks["request-seal"][16:32])
        self.assertIsNone(seals.fault(mark, [blocks["reply-write"], blocks["reply-seal"]]))
        self.assertIsNotNone(seals.fault((mark[0], 8), [blocks["reply-write"],
                                                         blocks["reply-seal"]]))

    def test_the_example_in_a_few_lines(self):
        gate = self.context.socket(zmq.ROUTER)
        gate.linger, gate.rcvtimeo = 0, 5000
        gate.curve_server, gate.curve_secretkey = True, GATE[1].encode()
        port = gate.bind_to_random_port("tcp://127.0.0.1")
        self.gates.append(gate)
        with tempfile.NamedTemporaryFile("w", suffix=".bundle") as bundle:
            bundle.write(f"""bundle
    version = "1"
    principal = "app"
gatekeeper
    endpoint = "tcp://127.0.0.1:{port}"
    public-key = "{GATE[0]}"
broker
    public-key = "{BROKER[0]}"
curve
    public-key = "{OWN[0]}"
    secret-key = "{OWN[1]}"
""")
            bundle.flush()
            for honest in (True, False):
                process = subprocess.Popen(
                    [sys.executable, str(ROOT / "client/python/req_sealed.py"), bundle.name,
                     "SELECT 1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                peer, empty, payload, sealed = gate.recv_multipart()
                asked = Asked(self, [peer, b"", b"", payload, sealed])
                reply, right = self.done(asked, columns=[["1", "INT", 0]], rows=[[4711]])
                gate.send_multipart([peer, empty, reply] + ([right] if honest else []))
                out, error = process.communicate(timeout=20)
                self.assertEqual(process.returncode == 0, honest, error)
                self.assertEqual("4711" in out, honest)


if __name__ == "__main__":
    unittest.main()
