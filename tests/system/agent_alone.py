"""A worker agent between a bare database server and a proxy that the test plays: what the agent
does by itself, without a cluster around it."""
import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import msgpack
import zmq

from harness import BUILD, FLAVOR, wait_until

REQUEST, REPLY, BEAT, PING, PONG, CANCEL, BYE, RELEASE = range(1, 9)
READ, LOCKING_READ, WRITE, CALL, DDL, TRANSACTION, STATE = range(1, 8)
OPS = ["query", "txn", "begin", "commit", "rollback", "fetch", "close"]
EXPLAIN, HELD, RELEASED = 2, 16, 32
NOT_READY, UP, DRAIN = range(3)


def now_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def head(kind, ticket=0, sql_class=0, flags=0, budget_us=0, request_id=bytes(16),
         session=bytes(16), sent_us=None, op="query", principal=b"", role=b"", rows=0):
    """docs/rfc/2-hop-protocol.md, section 3."""
    return struct.pack(">Q2s10BIQIIIIQ16s16sIBBH", ticket, b"PC", 2, kind, OPS.index(op),
                       sql_class, 5, 0, 0, 0, 0, flags, budget_us,
                       now_us() if sent_us is None else sent_us, 11, 22, 33, 0, 0, request_id,
                       session, rows, len(principal), len(role), 0) + principal + role


def messages_of(frames):
    """Head, payload and tail of each message in what came, without its routing id: in three frames,
    or packed, many into one."""
    if len(frames) == 3:
        return [frames]
    (frame,) = frames
    found = []
    while frame:
        end = 96 + frame[92] + frame[93] + struct.unpack(">H", frame[94:96])[0]
        payload, tail = struct.unpack(">II", frame[end:end + 8])
        begin, behind = end + 8, end + 8 + payload
        found.append([frame[:end], frame[begin:behind], frame[behind:behind + tail]])
        assert len(found[-1][2]) == tail
        frame = frame[behind + tail:]
    return found


def packed(*messages):
    """One frame of messages, each of head, payload and tail."""
    return b"".join(one[0] + struct.pack(">II", len(one[1]), len(one[2])) + one[1] + one[2]
                    for one in messages)


class Report:
    """The fields of a report that the tests look at (section 5)."""

    def __init__(self, octets):
        self.role, self.state = octets[24], octets[25]
        self.read_only, self.replicating = bool(octets[27] & 1), bool(octets[27] & 2)
        self.fault = bool(octets[27] & 4)  # the statement just answered failed by the node's doing
        self.lag_ms, self.rif, self.running, self.queued = struct.unpack(">iIII", octets[32:48])
        self.served = struct.unpack(">Q", octets[64:72])[0]
        self.service_us, self.service_count = struct.unpack(">ff", octets[72:80])
        self.exec_us, self.queue_us = struct.unpack(">II", octets[92:100])
        size = struct.unpack(">H", octets[102:104])[0]
        self.sessions, self.cursors = struct.unpack(">II", octets[104:112])
        self.rif_you = struct.unpack(">I", octets[112:116])[0]
        self.gtid = octets[128:128 + size].decode()
        self.zone = octets[128 + size:].decode()
        self.notice = bool(octets[27] & 8)


class PlayedProxy:
    """Binds a ROUTER, answers beats, sends requests, keeps replies by ticket."""

    def __init__(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.boot_id = os.urandom(8)
        self.peer = self.report = None
        self.said_bye = False
        self.reports = []  # the last ones: when each came, and whether it was a beat's
        self.answers = {}  # ticket of a PING: the report that answered it
        self.tickets = 0
        self.replies = {}
        self.answered = {}  # ticket: time.time() when its reply was read
        self.notes = {}  # ticket: flags and session of the reply's head
        self.owners = {}  # ticket: its principal
        self.heads = {}  # ticket: (budget_us, rows, role) of the reply's head
        self.ids = {}    # ticket: the request's id

    def leave(self):
        """As a proxy that dies."""
        self.socket.close()
        self.report = None

    def come_back(self):
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(f"tcp://127.0.0.1:{self.port}")
        self.boot_id = os.urandom(8)

    def pump(self, wait_ms=10):
        if not self.socket.poll(wait_ms):
            return
        while True:
            try:
                peer, *frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            for octets, payload, tail in messages_of(frames):
                self._take(peer, octets, payload, tail)

    def _take(self, peer, octets, payload, tail):
        kind = octets[11]
        if tail:
            self.report = Report(tail)
            self.reports = self.reports[-999:] + [(time.monotonic(), kind, self.report)]
        ticket = struct.unpack(">Q", octets[:8])[0]
        if kind == BEAT and ticket != 0:
            self.answers[ticket] = self.report
        elif kind in (BEAT, PING):
            self.peer = peer
            pong = head(PONG, session=self.boot_id + bytes(8))
            self.socket.send_multipart([peer, pong, b"", b""])
        elif kind == BYE:
            self.said_bye = True
        elif kind == REPLY:
            assert ticket not in self.replies, "two replies to one request"
            self.answered[ticket] = time.time()
            self.replies[ticket] = msgpack.unpackb(payload, strict_map_key=False)
            self.notes[ticket] = (octets[19], octets[72:88])
            self.owners[ticket] = octets[96:96 + octets[92]]
            self.heads[ticket] = (struct.unpack(">I", octets[20:24])[0],
                                  struct.unpack(">I", octets[88:92])[0],
                                  octets[96 + octets[92]:])

    def pump_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()

    def wait_for(self, question, timeout_s=20.0, what=""):
        def look():
            self.pump()
            return self.report is not None and question(self.report)
        wait_until(look, timeout_s, what)

    def send(self, sql_class, sql, params=None, budget_ms=5000, flags=0, tail=b"", waited_us=0,
             db=None, role=b"app", rows=0):
        self.tickets += 1
        request = {"v": 1, "sql": sql}
        if params is not None:
            request["params"] = params
        if db is not None:
            request["db"] = db
        octets = head(REQUEST, self.tickets, sql_class, flags, budget_ms * 1000, os.urandom(16),
                      sent_us=now_us() - waited_us, role=role, rows=rows)
        self.socket.send_multipart([self.peer, octets, msgpack.packb(request), tail])
        return self.tickets

    def send_op(self, op, sql_class, held=bytes(16), budget_ms=5000, principal=b"",
                request_id=None, role=b"app", rows=0, **keys):
        """Any operation; held: the session or cursor that the head names; role: the accounts;
        rows: the most that a result may have."""
        self.tickets += 1
        request = {"v": 1, **({} if op == "query" else {"op": op}), **keys}
        if held != bytes(16):
            request["cursor" if op in ("fetch", "close") else "session"] = held
        self.ids[self.tickets] = request_id or os.urandom(16)
        octets = head(REQUEST, self.tickets, sql_class, 0, budget_ms * 1000,
                      self.ids[self.tickets], held, op=op, principal=principal, role=role,
                      rows=rows)
        self.socket.send_multipart([self.peer, octets, msgpack.packb(request), b""])
        return self.tickets

    def ask_op(self, op, sql_class, held=bytes(16), **options):
        return self.reply(self.send_op(op, sql_class, held, **options))

    def cancel(self, ticket):
        """What the proxy says of a request that nobody waits for any more."""
        octets = head(CANCEL, ticket, request_id=self.ids[ticket])
        self.socket.send_multipart([self.peer, octets, b"", b""])

    def probe(self, timeout_s=5):
        """The report that the agent gives when it is asked for one."""
        self.tickets += 1
        ticket = self.tickets
        octets = head(PING, ticket, session=self.boot_id + bytes(8))
        self.socket.send_multipart([self.peer, octets, b"", b""])

        def come():
            self.pump(1)
            return ticket in self.answers
        wait_until(come, timeout_s, "an answer to a PING", every_s=0)
        return self.answers.pop(ticket)

    def release(self, held, principal=b""):
        octets = head(RELEASE, session=held, principal=principal)
        self.socket.send_multipart([self.peer, octets, b"", b""])

    def reply(self, ticket, timeout_s=10.0):
        def come():
            self.pump()
            return ticket in self.replies
        wait_until(come, timeout_s, f"a reply to {ticket}")
        return self.replies[ticket]

    def ask(self, sql_class, sql, params=None, **options):
        return self.reply(self.send(sql_class, sql, params, **options))

    def run(self, sql_class, sql, params=None, **options):
        answer = self.ask(sql_class, sql, params, **options)
        assert answer["ok"], answer["error"]
        return answer


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Database:
    """A bare server of the flavor under test, as infra/ starts one: read-only, with GTIDs."""

    def __init__(self, folder, server_id, options=()):
        self.folder = pathlib.Path(folder)
        self.options = list(options)
        self.socket = self.folder / "my.sock"
        self.port = free_port()
        self.server_id = server_id
        self.process = None
        data = self.folder / "data"
        if FLAVOR == "mariadb":
            make = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
                    "--auth-root-authentication-method=normal"]
        else:
            make = ["mysqld", "--no-defaults", "--initialize-insecure", f"--datadir={data}"]
        subprocess.run(make + self.as_root(), check=True, capture_output=True)
        self.start()

    @staticmethod
    def as_root():
        return ["--user=root"] if os.geteuid() == 0 else []

    def start(self):
        options = ["--no-defaults", f"--datadir={self.folder / 'data'}", f"--socket={self.socket}",
                   f"--port={self.port}", "--bind-address=127.0.0.1", "--sync-binlog=1",
                   f"--pid-file={self.folder / 'pid'}", f"--server-id={self.server_id}",
                   "--innodb-buffer-pool-size=32M", "--secure-file-priv=", "--log-bin=bin",
                   "--binlog-format=ROW", "--relay-log=relay", "--character-set-server=utf8mb4"]
        if FLAVOR == "mariadb":
            options += ["--read-only=1", "--skip-slave-start", "--gtid-strict-mode=1",
                        "--log-slave-updates=1", "--slave-net-timeout=4"]
            server = "mariadbd"
        else:
            options += ["--super-read-only=ON", "--skip-replica-start=ON", "--gtid-mode=ON",
                        "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--replica-net-timeout=4"]
            server = "mysqld"
        options += self.options
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([server] + options + self.as_root(), stdout=log,
                                            stderr=log)
        wait_until(lambda: self.socket.exists() and self.sql("SELECT 1", check=False) == "1", 60,
                   f"{server} answers")

    def command(self, text):
        return ["mariadb" if FLAVOR == "mariadb" else "mysql", "--no-defaults", "-uroot",
                f"-S{self.socket}", "-NBe", text]

    def sql(self, text, check=True):
        done = subprocess.run(self.command(text), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextlib.contextmanager
    def transaction(self, text):
        """One that has run `text`, and stays open for the block."""
        mark = f"open-{self.port}-{time.monotonic_ns()}"
        process = subprocess.Popen(self.command(f"BEGIN; {text}; SELECT '{mark}', SLEEP(60)"))
        try:
            wait_until(lambda: f"SELECT '{mark}'" in self.sql("SHOW FULL PROCESSLIST"), 10, text)
            yield
        finally:
            process.kill()
            process.wait()
            for line in self.sql("SHOW FULL PROCESSLIST").splitlines():
                if f"SELECT '{mark}'" in line:
                    self.sql(f"KILL {line.split()[0]}", check=False)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def stop_receiving(self):
        self.sql("STOP SLAVE IO_THREAD" if FLAVOR == "mariadb" else "STOP REPLICA IO_THREAD")

    def start_receiving(self):
        self.sql("START SLAVE IO_THREAD" if FLAVOR == "mariadb" else "START REPLICA IO_THREAD")


class Agent:
    """The daemon beside a Database, talking to a PlayedProxy."""

    def __init__(self, database, name, role, source=None, schemas="demo", sections=None,
                 accounts=None, secrets=None, tcp=False, environment=None, **settings):
        """accounts: writes accounts.zpl, and what it names, into the folder that it is given;
        secrets: where the files with passwords are already; tcp: not over the database's socket."""
        self.database = database
        self.proxy = PlayedProxy()
        self.folder = database.folder
        self.process = None
        self.environment = {**os.environ, **(environment or {})}
        place = "host = 127.0.0.1" if tcp else f'socket = "{database.socket}"'
        lines = [f'node\n    name = "{name}"\n    role = "{role}"',
                 f'proxy\n    endpoint = "tcp://127.0.0.1:{self.proxy.port}"',
                 "curve\n    insecure = 1",
                 f'database\n    {place}\n    port = {database.port}\n'
                 f'    schemas = "{schemas}"',
                 "accounts"]
        for account in ("read", "write", "replication"):
            password = (secrets or self.folder) / f"{account}.password"
            if secrets is None:
                password.write_text(f"only-a-test's \\ \"{account}\"\n")
                password.chmod(0o600)
            lines.append(f'    {account}_password_file = "{password}"')
        if accounts is not None:
            accounts(self.folder)
            lines.append("    file = accounts.zpl")
        key = self.folder / "token.key"
        key.write_text("5a" * 32 + "\n")
        key.chmod(0o600)
        lines.append(f'tokens\n    key_file = "{key}"')
        if source is not None:
            lines.append("replication\n    source_host = \"127.0.0.1\"\n"
                         f"    source_port = {source.port}")
        lines.append("pool")
        lines += [f"    {key} = {value}" for key, value in settings.items()]
        for section, values in (sections or {}).items():
            lines.append(section)
            lines += [f"    {key} = {value}" for key, value in values.items()]
        self.http_port = free_port()
        lines.append(f"http\n    address = \"127.0.0.1:{self.http_port}\"")
        self.config = self.folder / "agent.cfg"
        self.config.write_text("\n".join(lines) + "\n")
        self.start()

    def start(self):
        with open(self.folder / "agent.log", "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "worker-agent" / "portcullis-worker-agent", "--config", self.config],
                stderr=log, env=self.environment)
        self.proxy.report = None
        self.proxy.wait_for(lambda report: report.state == UP, what="the agent is up")

    def stop(self, timeout_s=15):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def log(self):
        return (self.folder / "agent.log").read_text()

    def metrics(self):
        """/metrics as a map from `name{labels}` to its value, the name without its prefix."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {series.removeprefix("portcullis_agent_"): float(value)
                for series, _, value in pairs if series}


class Pair:
    """A source and, where asked for, a replica, each with its agent."""

    def __init__(self, replica=False, database_options=(), **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(
            prefix="agent.", dir=os.environ.get("PORTCULLIS_TEST_SCRATCH")))
        self.parts = []
        for number, role in enumerate(["source", "replica"] if replica else ["source"]):
            folder = self.folder / role
            folder.mkdir()
            database = Database(folder, number + 1, database_options)
            self.parts.append(database)
            source = self.parts[0] if role == "replica" else None
            self.parts.append(Agent(database, role, role, source, **settings))
        self.source_database, self.source = self.parts[0], self.parts[1]
        if replica:
            self.replica_database, self.replica = self.parts[2], self.parts[3]
        self.proxy = self.source.proxy
        self.proxy.run(DDL, "CREATE DATABASE IF NOT EXISTS demo")

    def close(self):
        for part in reversed(self.parts):
            if isinstance(part, Agent):
                part.proxy.socket.close()
            if part.process.poll() is None:
                part.process.kill()
            part.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
