#!/usr/bin/env python3
"""client/python against a gatekeeper that the test plays: a ROUTER that does what the statement
says.  usage: test_python_client.py SOURCE"""
import datetime
import decimal
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import msgpack
import zmq

ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(ROOT / "client/python"))
import portcullis  # noqa: E402  (the path comes first)

SERVER_PUBLIC, SERVER_SECRET = zmq.curve_keypair()
OWN_PUBLIC, OWN_SECRET = zmq.curve_keypair()


def token_of(position):
    return f"1.{'A' * 22}.{position}"


class Gate:
    """One gatekeeper, in its own thread, on one port for all its lives."""

    def __init__(self):
        self.port, self.seen, self.held, self.thread = None, [], [], None
        self.requests = []
        self.judges, self.admits, self.handshakes = False, True, 0  # who may come in
        self.start()

    def start(self):
        self.stopping, ready = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    def stop(self):
        self.stopping.set()
        self.thread.join()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def _run(self, ready):
        context = zmq.Context()
        socket = context.socket(zmq.ROUTER)
        socket.linger, socket.sndhwm, socket.rcvhwm = 0, 0, 0
        socket.curve_server, socket.curve_secretkey = True, SERVER_SECRET
        zap = context.socket(zmq.REP)
        if self.judges:
            zap.bind("inproc://zeromq.zap.01")
            socket.zap_domain = b"clients"
        if self.port is None:
            self.port = socket.bind_to_random_port("tcp://127.0.0.1")
        else:
            socket.bind(self.endpoint)
        ready.set()
        while not self.stopping.is_set():
            if socket.poll(10):
                self._obey(socket, socket.recv_multipart())
            if zap.poll(0):
                version, number = zap.recv_multipart()[:2]
                self.handshakes += 1
                zap.send_multipart([version, number, b"200" if self.admits else b"400", b"", b"",
                                    b""])
        zap.close()
        socket.close()
        context.term()

    def _obey(self, socket, frames):
        request = msgpack.unpackb(frames[-1])
        sql = request.get("sql", "")
        if request.get("op", "query") != "query" or sql.startswith("rows"):
            self._hold(socket, frames, request)
            return
        self.seen.append(sql)
        right = {"v": 1, "id": request.get("id"), "ok": True, "columns": [["said", "TEXT", 0]],
                 "rows": [[sql]], "route": {"node": self.port}, "echo": request}
        if sql.startswith("token"):
            right["token"] = token_of(sql.split()[1])
        wrong = dict(right, id=b"x" * 16, rows=[["another's"]])

        def answer(reply, to=frames):
            socket.send_multipart(to[:-1] + [msgpack.packb(reply)])

        if sql.startswith("hold"):
            self.held.append((frames, right))
            return
        if sql == "release":
            while self.held:
                held_frames, held = self.held.pop()
                answer(held, held_frames)
        if sql.startswith(("wrong", "only wrong")):
            answer(wrong)
        if sql.startswith("twice"):
            answer(right)
        if sql.startswith("garbage"):
            socket.send_multipart(frames[:-1] + [b"\xdd\xff\xff\xff\xff"])
        elif sql.startswith("refuse"):
            answer({"v": 1, "id": None, "ok": False, "error": {
                "code": "MALFORMED", "message": "no", "hop": "gatekeeper", "retry": "never"}})
        elif sql.startswith("drain"):
            answer({"v": 1, "id": request["id"], "ok": False, "error": {
                "code": "DRAINING", "message": "", "hop": "gatekeeper", "retry": "safe"}})
        elif not sql.startswith(("mute", "only wrong")):
            answer(right)


    def _hold(self, socket, frames, request):
        """What opens, reads on, ends, and cancels.  `rows N` has N rows; a cursor is the number of
        the next row and that of all, 8 octets each."""
        op = request.get("op", "query")
        self.seen.append(op)
        self.requests.append(request)
        reply = {"v": 1, "id": request.get("id"), "ok": True}
        if op in ("query", "fetch"):
            start, total = (0, int(request["sql"].split()[1])) if op == "query" else (
                int.from_bytes(request["cursor"][:8], "big"),
                int.from_bytes(request["cursor"][8:], "big"))
            end = min(total, start + request.get("page_rows", 1000))
            reply.update(columns=[["n", "INT", 0]], rows=[[row] for row in range(start, end)])
            if end < total:
                reply["cursor"] = end.to_bytes(8, "big") + total.to_bytes(8, "big")
        elif op == "begin":
            time.sleep(request["timeout_ms"] / 1e3 + 0.15 if request.get("db") == "late" else 0)
            reply["session"] = b"s" * 16
        elif op == "txn":
            reply["results"] = [{"affected": 1, "warnings": 0} if each["sql"][0] == "U" else
                                {"columns": [["n", "INT", 0]], "rows": [[1]]}
                                for each in request["statements"]]
            reply["token"] = token_of("0-1-7")
        elif op == "cancel":
            found = [held for held in self.held if held[1]["id"] == request["id"]]
            for held_frames, held in found:
                self.held.remove((held_frames, held))
                socket.send_multipart(held_frames[:-1] + [msgpack.packb({
                    "v": 1, "id": held["id"], "ok": False, "error": {
                        "code": "CANCELLED", "message": "", "hop": "agent", "retry": "safe"}})])
            reply["affected"] = len(found)
        socket.send_multipart(frames[:-1] + [msgpack.packb(reply)])

    def wait_for(self, op, count):
        until = time.monotonic() + 5
        while self.seen.count(op) < count:
            assert time.monotonic() < until, (op, self.seen)
            time.sleep(0.005)


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.gates = [Gate(), Gate()]

    def tearDown(self):
        for gate in self.gates:
            gate.stop()

    def client(self, count=1, **options):
        client = portcullis.Client(
            endpoints=[(gate.endpoint, SERVER_PUBLIC.decode()) for gate in self.gates[:count]],
            keys=(OWN_PUBLIC.decode(), OWN_SECRET.decode()), **options)
        self.addCleanup(client.close)
        return client

    def fails(self, code, retry, client, sql, **options):
        with self.assertRaises(portcullis.PortcullisError) as caught:
            client.query(sql, **options)
        self.assertEqual((caught.exception.code, caught.exception.retry), (code, retry))
        return caught.exception

    def test_a_query_is_answered(self):
        client = self.client()
        result = client.query("SELECT ?", [1, None, b"\x00", decimal.Decimal("1.50"),
                                           datetime.datetime(2026, 1, 2, 3, 4, 5),
                                           datetime.timedelta(hours=-101)], strategy="random")
        self.assertEqual(result.dicts(), [{"said": "SELECT ?"}])
        echo = result.reply["echo"]
        self.assertEqual(echo["params"], [
            1, None, b"\x00", msgpack.ExtType(1, b"1.50"),
            msgpack.ExtType(2, b"2026-01-02 03:04:05"), msgpack.ExtType(2, b"-101:00:00.000000")])
        self.assertEqual((echo["strategy"], echo["v"]), ("random", 1))
        self.assertTrue(3000 < echo["timeout_ms"] <= 5000)  # less what it waited for a connection
        with self.assertRaises(TypeError):
            client.query("SELECT ?", [object()])
        self.assertEqual(client.query("after").rows, [["after"]])

    def test_replies_in_another_order_find_their_requests(self):
        client = self.client()
        sqls = [f"hold {number}" for number in range(500)] + ["release"]
        outcomes = client.query_many([(sql, None) for sql in sqls])
        self.assertEqual([outcome.rows[0][0] for outcome in outcomes], sqls)

    def test_what_is_not_ours_is_dropped(self):
        client = self.client()
        for number in range(20):
            for word in ("wrong", "twice"):
                self.assertEqual(client.query(f"{word} {number}").rows, [[f"{word} {number}"]])
        start = time.monotonic()
        self.fails("DEADLINE", "unsafe", client, "only wrong", timeout_ms=200)
        self.assertTrue(0.29 < time.monotonic() - start < 0.6)
        self.fails("DEADLINE", "unsafe", client, "hold late", timeout_ms=100)
        self.assertEqual(client.query("release").rows, [["release"]])
        self.fails("INTERNAL", "unsafe", client, "garbage")
        self.fails("MALFORMED", "never", client, "refuse")

    def test_threads_take_turns(self):
        client, wrong = self.client(), []

        def work(name):
            for number in range(50):
                sql = f"{name}.{number}"
                if client.query(sql).rows != [[sql]]:
                    wrong.append(sql)
        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(self.gates[0].seen), 400)

    def test_a_gatekeeper_that_comes_back_is_used_again(self):
        client = self.client()
        client.query("before")
        timer = threading.Timer(0.1, self.gates[0].stop)
        timer.start()
        start = time.monotonic()
        self.fails("LOST", "unsafe", client, "mute")
        self.assertLess(time.monotonic() - start, 1.5)
        timer.join()
        self.fails("UNAVAILABLE", "safe", client, "nobody", timeout_ms=3000)
        threading.Timer(0.3, self.gates[0].start).start()
        self.assertEqual(client.query("waits").rows, [["waits"]])

    def test_who_is_admitted_later_is_served(self):
        gate = self.gates[0]
        gate.stop()
        gate.judges, gate.admits = True, False
        gate.start()
        client, words = self.client(), "the gatekeeper refuses this client's key"
        self.assertIn(words, self.fails("UNAVAILABLE", "safe", client, "not yet").message)
        for _ in range(20):
            self.fails("UNAVAILABLE", "safe", client, "not yet", timeout_ms=50)
        self.assertIn(gate.handshakes, (2, 3, 4))  # one each two seconds, however often it is asked
        admit = threading.Timer(0.3, setattr, (gate, "admits", True))
        admit.start()
        self.assertEqual(client.query("waits").rows, [["waits"]])
        gate.stop()
        gate.admits = False
        gate.start()
        self.assertIn(words, self.fails("UNAVAILABLE", "safe", client, "not yet").message)
        gate.admits = True
        time.sleep(2)
        start = time.monotonic()
        self.assertEqual(client.query("again").rows, [["again"]])
        self.assertLess(time.monotonic() - start, 1)
        self.assertEqual(gate.seen, ["waits", "again"])

    def test_who_broke_the_protocol_is_tried_again(self):
        self.gates[0].stop()
        other = socket.create_server(("127.0.0.1", self.gates[0].port))
        client = self.client()
        connection = other.accept()[0]
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n".ljust(200))
        time.sleep(0.2)
        connection.close()
        other.close()
        self.gates[0].start()
        until = time.monotonic() + 8
        while True:
            try:
                self.assertEqual(client.query("at last").rows, [["at last"]])
                break
            except portcullis.PortcullisError:
                self.assertLess(time.monotonic(), until)

    def test_another_gatekeeper_takes_over(self):
        client = self.client(2)
        time.sleep(0.2)
        used = self.gates[0] if client.query("who").route["node"] == self.gates[0].port \
            else self.gates[1]
        other = self.gates[1 - self.gates.index(used)]
        timer = threading.Timer(0.1, used.stop)
        timer.start()
        freed = threading.Timer(0.5, self.release_later, (other,))
        freed.start()
        result = client.query("hold read", idempotent=True)
        self.assertEqual(result.route["node"], other.port)
        timer.join()
        freed.join()
        used.start()
        time.sleep(1)  # it is connected again
        self.fails("UNAVAILABLE", "safe", client, "drain")  # both said so, and stayed
        self.assertEqual([gate.seen.count("drain") for gate in self.gates], [1, 1])

    def release_later(self, gate):
        with portcullis.Client(endpoints=[(gate.endpoint, SERVER_PUBLIC.decode())],
                               keys=(OWN_PUBLIC.decode(), OWN_SECRET.decode())) as client:
            client.query("release")

    def test_a_bundle_and_the_plain_example(self):
        text = (f'bundle\n    version = "1"\n    principal = "app" # us\ngatekeeper\n'
                f'    endpoint = "{self.gates[0].endpoint}"\n'
                f'    public-key = "{SERVER_PUBLIC.decode()}"\ncurve\n'
                f'    public-key = "{OWN_PUBLIC.decode()}"\n'
                f'    secret-key = "{OWN_SECRET.decode()}"\n')
        with tempfile.NamedTemporaryFile("w", suffix=".bundle") as file:
            file.write(text)
            file.flush()
            with portcullis.Client(file.name) as client:
                self.assertEqual(client.query("from a bundle").rows, [["from a bundle"]])
            example = ROOT / "client/python/req_example.py"
            self.assertLessEqual(len(example.read_text().splitlines()), 10)
            answer = subprocess.run([sys.executable, example, file.name, "ten lines"],
                                    capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertIn("'rows': [['ten lines']]", answer.stdout)
            example = ROOT / "client/python/req_paging.py"
            answer = subprocess.run([sys.executable, example, file.name, "rows 1234"],
                                    capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(answer.stdout.split(), [str(row) for row in range(1234)])
            file.write("stray\n  words\n")
            file.flush()
            with self.assertRaisesRegex(ValueError, ":11: neither"):
                portcullis.load_bundle(file.name)

    def test_a_result_has_all_its_rows(self):
        client = self.client()
        result = client.query("rows 2500")
        self.assertEqual([row[0] for row in result], list(range(2500)))
        self.assertEqual(self.gates[0].seen, ["query", "fetch", "fetch"])
        self.assertEqual(len({request["id"] for request in self.gates[0].requests}), 1)
        self.assertEqual(len(client.query("rows 25", page_rows=10)), 25)
        error = self.fails("TOO_LARGE", "never", client, "rows 5000", max_rows=1500)
        self.assertIn("stream", error.message)
        self.gates[0].wait_for("close", 1)
        outcomes = client.query_many([("rows 1500", None), ("rows 3", None)])
        self.assertEqual([len(outcome) for outcome in outcomes], [1500, 3])

    def test_a_stream_has_a_page_at_a_time(self):
        client = self.client()
        with client.stream("rows 30", page_rows=10) as rows:
            self.assertEqual(rows.columns, [["n", "INT", 0]])
            self.assertEqual([next(rows)[0] for _ in range(11)], list(range(11)))
            self.assertEqual(self.gates[0].seen, ["query", "fetch"])
            self.assertEqual([row[0] for row in rows], list(range(11, 30)))
        self.assertNotIn("close", self.gates[0].seen)
        with client.stream("rows 30", page_rows=10) as rows:
            next(rows)
        self.gates[0].wait_for("close", 1)
        rows = client.stream("rows 30", page_rows=10)
        del rows
        client.query("next")  # collection only takes note: the next call sends
        self.gates[0].wait_for("close", 2)
        rows = client.stream("rows 30", page_rows=10)
        self.gates[0].stop()
        with self.assertRaises(portcullis.PortcullisError) as caught:
            list(rows)
        self.assertEqual((caught.exception.code, caught.exception.retry), ("GONE", "never"))
        self.gates[0].start()

    def test_a_session_is_one_transaction(self):
        client = self.client()
        gate = self.gates[0]
        with client.begin(db="demo", timeout_ms=1234) as session:
            self.assertEqual(session.query("one").reply["echo"]["session"], b"s" * 16)
            self.assertEqual(len(session.query("rows 1500")), 1500)
        self.assertFalse(session.is_open)
        self.assertEqual(gate.seen, ["begin", "one", "query", "fetch", "commit"])
        self.assertEqual(gate.requests[-1]["timeout_ms"], 1234)
        with self.assertRaises(KeyError):
            with client.begin(read_only=True) as session:
                raise KeyError
        self.assertEqual(gate.seen[5:], ["begin", "rollback"])
        self.assertTrue(gate.requests[-2]["read_only"])
        with self.assertRaises(portcullis.PortcullisError) as caught:
            with client.begin() as session:
                timer = threading.Timer(0.1, gate.stop)
                timer.start()
                session.query("mute", idempotent=True)
        self.assertEqual((caught.exception.code, caught.exception.retry), ("LOST", "unsafe"))
        self.assertFalse(session.is_open)
        with self.assertRaises(portcullis.PortcullisError) as caught:
            session.query("next")
        self.assertEqual((caught.exception.code, caught.exception.retry), ("GONE", "never"))
        timer.join()
        gate.start()

    def test_a_session_that_came_too_late_is_ended(self):
        client = self.client()
        client.query("connected")
        with self.assertRaises(portcullis.PortcullisError) as caught:
            client.begin(db="late", timeout_ms=100)
        self.assertEqual((caught.exception.code, caught.exception.retry), ("DEADLINE", "safe"))
        for _ in range(3):
            client.query("next")
            time.sleep(0.1)
        self.gates[0].wait_for("rollback", 1)

    def test_a_transaction_has_a_result_for_each_statement(self):
        results = self.client().txn([("UPDATE a", [1], 1), "SELECT b",
                                     ("UPDATE c", None, (2, None)), ("UPDATE d", [], (None, 4))])
        self.assertEqual([result.affected for result in results], [1, 0, 1, 1])
        self.assertEqual((results[1].rows, results[1].token), ([[1]], token_of("0-1-7")))
        self.assertEqual(self.gates[0].requests[0]["statements"], [
            {"sql": "UPDATE a", "params": [1], "expect": {"rows": 1}}, {"sql": "SELECT b"},
            {"sql": "UPDATE c", "expect": {"min_rows": 2}},
            {"sql": "UPDATE d", "expect": {"max_rows": 4}}])

    def test_cancel_does_not_wait(self):
        client = self.client()
        self.assertEqual(client.cancel(b"n" * 16), 0)
        found = []
        timer = threading.Timer(0.2, lambda: found.append(client.cancel(b"i" * 16)))
        timer.start()
        self.fails("CANCELLED", "safe", client, "hold", id=b"i" * 16, timeout_ms=10000)
        timer.join()
        self.assertEqual(found, [1])

    def test_an_interrupt_cancels(self):
        client = self.client()
        main = threading.main_thread().ident
        timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            client.query("hold", timeout_ms=10000)
        self.gates[0].wait_for("cancel", 1)
        self.assertEqual(self.gates[0].held, [])
        self.assertEqual(client.query("goes on").rows, [["goes on"]])

    def asks(self, client, sql="plain", **options):
        """The consistency that a query is sent with."""
        return client.query(sql, **options).reply["echo"].get("consistency")

    def test_a_causal_client_names_what_it_has_seen(self):
        client = self.client(causal=True)
        first, second = token_of("0-1-42"), token_of("0-1-43")
        self.assertEqual(self.asks(client, "token 0-1-42"), {"monotonic": True})
        self.assertEqual(client.tokens, first)
        self.assertEqual(self.asks(client, "token 0-1-43"), {"after": [first], "monotonic": True})
        self.assertEqual(self.asks(client, "token 0-1-41"), {"after": [second], "monotonic": True})
        self.assertEqual(client.tokens, second)  # the older one is covered
        other = self.client(causal=True)
        other.add_tokens(client.tokens)
        self.assertEqual(self.asks(other, "token 0-1-43")["after"], [second])
        other.forget_tokens()
        self.assertEqual(self.asks(other, "token 0-1-44"), {"monotonic": True})
        self.assertEqual(other.tokens, token_of("0-1-44"))

    def test_what_a_causal_call_asks_itself_is_kept(self):
        client = self.client(causal=True)
        client.query("token 0-1-42")
        seen, given = token_of("0-1-42"), token_of("1-1-7")
        for asked, sent in (("any", "any"), ("source", {"source": True, "monotonic": True}),
                            ({"max_lag_ms": 9}, {"max_lag_ms": 9, "monotonic": True}),
                            ({"after": given}, {"after": [seen, given], "monotonic": True})):
            self.assertEqual(self.asks(client, "token 0-1-42", consistency=asked), sent)
        self.assertEqual(client.tokens, seen)
        client.request(op="ping")
        self.assertNotIn("consistency", self.gates[0].requests[-1])
        client.txn(["UPDATE"])
        self.assertEqual(self.gates[0].requests[-1]["consistency"],
                         {"after": [seen], "monotonic": True})
        with client.begin() as session:
            self.assertEqual(self.gates[0].requests[-1]["consistency"]["monotonic"], True)
            self.assertIsNone(self.asks(session._client, "token 0-1-50", session=session.id,
                                        _way=session._way))
        self.assertIn(token_of("0-1-50"), client.tokens)

    def test_without_a_token_a_causal_client_reads_from_the_source(self):
        client = self.client(causal=True)
        client.query("token 0-1-42")
        client.query("none")
        self.assertEqual(self.asks(client, "none"), {"source": True, "monotonic": True})
        other = self.client(causal=True)
        other.add_tokens(client.tokens)
        self.assertEqual(self.asks(other, "token 0-1-50"), {"source": True, "monotonic": True})
        self.assertEqual(other.tokens, token_of("0-1-50"))
        client.query("token 0-1-43", consistency={"max_lag_ms": 9})  # proves nothing here
        self.assertEqual(self.asks(client, "token 0-1-50"), {"source": True, "monotonic": True})
        self.assertEqual(self.asks(client, "token 0-1-50"),
                         {"after": [token_of("0-1-50")], "monotonic": True})

    def test_what_a_session_cannot_name_is_read_at_the_source(self):
        client = self.client(causal=True)
        client.query("token 0-1-42")
        session = client.begin(read_only=True)
        self.assertEqual(self.asks(client, "token 0-1-42")["after"], [token_of("0-1-42")])
        session.query("none")
        session.query("token 0-1-43")  # not of the source's: it proves nothing
        self.assertEqual(self.asks(client, "none"), {"source": True, "monotonic": True})
        session = client.begin()
        self.assertIn("source", self.gates[0].requests[-1]["consistency"])
        session.query("token 0-1-50")
        self.assertEqual(self.asks(client, "token 0-1-50")["after"], [token_of("0-1-50")])
        session.commit()  # the played gate's has no token
        self.assertTrue(client.tokens.startswith("source "))
        self.asks(client, "token 0-1-50")
        client.begin(consistency="any").query("none")  # who asks for no token misses none
        self.assertEqual(client.tokens, token_of("0-1-50"))

    def test_a_session_begun_before_tokens_were_forgotten_ends_no_turn_after(self):
        client = self.client(causal=True)
        client.query("none")
        session = client.begin()
        client.forget_tokens()
        client.query("none")
        session.query("token 0-1-51")
        self.assertTrue(client.tokens.startswith("source"))

    def test_tokens_that_do_not_cover_each_other_are_all_named(self):
        client = self.client(causal=True)
        outcomes = client.query_many([(f"token {domain}-1-5", None) for domain in range(9)])
        self.assertTrue(all(isinstance(one, portcullis.Result) for one in outcomes))
        self.assertEqual(len(client.tokens.split()), 1 + 8)
        self.assertTrue(client.tokens.startswith("source "))
        self.assertEqual(self.asks(client, "token " + ",".join(
            f"{domain}-1-5" for domain in range(9)))["source"], True)
        self.assertEqual(len(client.tokens.split()), 1)
        uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
        client.forget_tokens()
        for position in (f"{uuid}:7", f"{uuid}:tag:2", f"{uuid}:9,{uuid}:tag:2"):
            client.query(f"token {position}")
        self.assertEqual(client.tokens, token_of(f"{uuid}:9,{uuid}:tag:2"))
        for wrong in ("with\x01", "x" * 513, "ä"):
            with self.assertRaises(ValueError):
                client.add_tokens(wrong)
        with self.assertRaises(ValueError):
            self.client().add_tokens(token_of("0-1-1"))

    def test_a_closed_client_says_so(self):
        client = self.client()
        client.close()
        client.close()
        self.fails("UNAVAILABLE", "safe", client, "SELECT 1")

    def test_a_forked_child_is_told_to_open_its_own(self):
        client = self.client()
        self.assertEqual(client.query("before").rows, [["before"]])
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends it with another status, should it wait
            try:
                client.query("in the child")
            except RuntimeError:
                client.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(client.query("after").rows, [["after"]])


if __name__ == "__main__":
    os.environ.pop("PORTCULLIS_BUNDLE", None)
    unittest.main(verbosity=1)
