"""A gatekeeper between real clients and a broker that the test plays: what comes through it, and
what does not, without a cluster behind it."""
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time

import msgpack
import zmq

from agent_alone import CANCEL, PING, PONG, RELEASE, REPLY, REQUEST, free_port, head, messages_of
from harness import BUILD, SANITIZER_REPORT, wait_until
from raw import request, resident_kib
from zmtp import Peer

PROGRAM = BUILD / "gatekeeper" / "portcullis-gatekeeper"


class PlayedBroker(threading.Thread):
    """Binds a ROUTER, answers beats and requests, and remembers what came through.

    hold: while it is set, requests stay unanswered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.public, self.secret = zmq.curve_keypair()
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server = True
        self.socket.curve_publickey, self.socket.curve_secretkey = self.public, self.secret
        self.socket.rcvhwm = self.socket.sndhwm = 100000
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.boot_id = os.urandom(8)
        self.ending, self.hold = threading.Event(), threading.Event()
        self.held = []
        self.requests = []   # payloads, as they came
        self.cancels = self.releases = 0
        self.held_session = None  # with replies of begin: this id, flag HELD
        self.start()

    def run(self):
        while not self.ending.is_set():
            if self.socket.poll(20):
                peer, *frames = self.socket.recv_multipart()
                for message in messages_of(frames):
                    self._take(peer, *message)
            if self.held and not self.hold.is_set():
                for one in self.held:
                    self._answer(*one)
                self.held.clear()
        self.socket.close()

    def _take(self, peer, octets, payload, _tail):
        kind = octets[11]
        if kind == PING:
            pong = head(PONG, session=self.boot_id + bytes(8))
            self.socket.send_multipart([peer, pong, b"", b""])
        elif kind == REQUEST:
            self.requests.append(payload)
            if self.hold.is_set():
                self.held.append((peer, octets))
            else:
                self._answer(peer, octets)
        elif kind == CANCEL:
            self.cancels += 1
        elif kind == RELEASE:
            self.releases += 1

    def _answer(self, peer, octets):
        ticket, ident = struct.unpack(">Q", octets[:8])[0], octets[56:72]
        reply = {"v": 1, "id": ident, "ok": True,
                 "columns": [["1", "BIGINT", 0]], "rows": [[1]]}
        flags, session, principal = 0, bytes(16), b""
        if self.held_session is not None and octets[12] == 2:
            flags, session = 16, self.held_session
            principal = octets[96:96 + octets[92]]
            reply = {"v": 1, "id": ident, "ok": True, "session": session}
        self.socket.send_multipart([
            peer, head(REPLY, ticket, flags=flags, request_id=ident, session=session,
                       op="begin" if flags else "query", principal=principal),
            msgpack.packb(reply), b""])

    def end(self):
        self.ending.set()
        self.join(5)


class Gate:
    """The gatekeeper.  principals: names of clients with a key each; settings: "section/key"."""

    def __init__(self, principals=("alice", "bob"), settings=None, environment=None, start=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(
            prefix="gate.", dir=os.environ.get("PORTCULLIS_TEST_SCRATCH")))
        self.broker = PlayedBroker()
        self.public, self.secret = zmq.curve_keypair()
        self.keys = {name: zmq.curve_keypair() for name in principals}
        self.key_list = self.folder / "clients.keys"
        self.write_keys(self.keys)
        key_file = self.folder / "gatekeeper.key"
        key_file.write_text(f'curve\n    public-key = "{self.public.decode()}"\n'
                            f'    secret-key = "{self.secret.decode()}"\n')
        key_file.chmod(0o600)
        self.port, self.http_port = free_port(), free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        values = {"clients/endpoint": self.endpoint, "clients/keys": self.key_list,
                  "curve/key_file": key_file,
                  "broker/endpoint": f"tcp://127.0.0.1:{self.broker.port}",
                  "broker/public_key": self.broker.public.decode(),
                  "http/address": f"127.0.0.1:{self.http_port}", **(settings or {})}
        sections = {}
        for path, value in values.items():
            section, _, key = path.partition("/")
            sections.setdefault(section, []).append(f'    {key} = "{value}"')
        self.config = self.folder / "gatekeeper.cfg"
        self.config.write_text("".join(f"{section}\n" + "\n".join(lines) + "\n"
                                       for section, lines in sections.items()))
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        if start:
            self.start()

    # --- The process -----------------------------------------------------------------

    def launch(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--config", self.config],
                stderr=log, stdout=log, env=self.environment)

    def start(self):
        self.launch()
        wait_until(self.ready, 20, "the gatekeeper is ready")

    def ready(self):
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/ready")[0] == 200
        return False

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, pattern):
        """The sum of all series whose name (without `portcullis_gatekeeper_`) and labels fit."""
        total, found = 0.0, False
        for line in self.get("/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            if not line.startswith("#") and re.match(
                    pattern, series.removeprefix("portcullis_gatekeeper_")):
                total, found = total + float(value), True
        assert found, f"no metric is like {pattern}"
        return total

    def setting(self, path):
        """A number of its configuration, defaults included."""
        printed = subprocess.run([PROGRAM, "--config", self.config, "--print-config"],
                                 capture_output=True, text=True, timeout=10, check=True).stdout
        section, _, key = path.partition("/")
        found = re.search(rf'^{section}$.*?^\s+{key} = "?(\d+)', printed, re.M | re.S)
        assert found, f"{path} is not in the configuration"
        return int(found[1])

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def resident_kib(self):
        return resident_kib(self.process.pid)

    def descriptors(self):
        return int(self.metric("portcullis_process_open_fds"))

    def lives(self):
        return self.process.poll() is None

    def write_keys(self, keys):
        """The list of who may come in, replaced as a whole."""
        fresh = self.key_list.with_suffix(".new")
        fresh.write_text("".join(f"{name} {pair[0].decode()}\n" for name, pair in keys.items()))
        fresh.rename(self.key_list)

    def end(self):
        """Ends it; fails on what no log may have.  Its exit code, where it had ended before."""
        self.broker.end()
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        text = self.log()
        found = SANITIZER_REPORT.search(text)
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not found, text[-3000:]
        return code

    # --- Clients ---------------------------------------------------------------------

    def peer(self, name="alice", source=None, keys=None):
        """One that has connected and not said a word."""
        return Peer(self.endpoint, self.public, keys or self.keys[name], source=source)

    def client(self, name="alice"):
        """A DEALER of libzmq's, as clients are."""
        return Dealer(self, name)


class Dealer:
    """A good client: one request at a time, and how long each takes."""

    def __init__(self, gate, name="alice"):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.curve_serverkey = gate.public
        self.socket.curve_publickey, self.socket.curve_secretkey = gate.keys[name]
        self.socket.connect(gate.endpoint)
        self.count = 0

    def post(self, **keys):
        """Sends one request; the frame that its reply brings back."""
        self.count += 1
        tag = struct.pack(">I", self.count)
        keys.setdefault("sql", "SELECT 1")
        self.socket.send_multipart([tag, b"", request(**keys)])
        return tag

    def ask(self, timeout_s=5.0, **keys):
        """The reply to one request; None when there is none."""
        tag = self.post(**keys)
        deadline = time.monotonic() + timeout_s
        while self.socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            frames = self.socket.recv_multipart()
            if frames[0] == tag:
                return msgpack.unpackb(frames[-1])
        return None

    def served(self, timeout_s=5.0):
        reply = self.ask(timeout_s)
        return reply is not None and reply["ok"]

    def times_ms(self, count, pause_s=0.0):
        """How long so many requests take, each; all of them must be served."""
        times = []
        for _ in range(count):
            start = time.monotonic()
            assert self.served(), "a good client was not served"
            times.append((time.monotonic() - start) * 1000)
            time.sleep(pause_s)
        return times

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Peak:
    """How much the gatekeeper's memory grows at most, in KiB, from here on."""

    def __init__(self, gate):
        self.folder = pathlib.Path(f"/proc/{gate.process.pid}")
        with contextlib.suppress(PermissionError):  # then it is the greatest ever
            (self.folder / "clear_refs").write_text("5")
        self.start = self._now("VmRSS")

    def _now(self, name):
        return int(re.search(rf"{name}:\s+(\d+) kB", (self.folder / "status").read_text())[1])

    def grown(self):
        return self._now("VmHWM") - self.start

    def left(self):
        return self._now("VmRSS") - self.start


def percentile(values, share):
    assert values, "nothing was measured"
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
