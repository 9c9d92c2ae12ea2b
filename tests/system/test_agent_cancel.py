"""What was cancelled is not executed afterwards: from the moment that the agent has answered
CANCELLED, the server gets nothing of that request any more (its general log and a table of effects
say so), and no other statement is hit by a KILL that was meant for it."""
import os
import random
import time

import pytest

from agent_alone import DDL, READ, TRANSACTION, WRITE, Agent, Pair
from fault_proxy import FaultProxy
from harness import wait_until


class Detour:
    """A database as the agent sees it behind a FaultProxy."""

    def __init__(self, database):
        self.folder, self.port = database.folder, database.port
        self.socket = database.folder / "detour.sock"
        self.faults = FaultProxy(listen=str(self.socket), target=str(database.socket))


class Bench:
    """A source whose agent has two threads and reaches it on a detour."""

    def __init__(self):
        self.pair = Pair(threads=2)
        self.database = self.pair.source_database
        assert self.pair.source.stop() == 0
        self.pair.source.proxy.socket.close()
        detour = Detour(self.database)
        self.faults = detour.faults
        self.agent = Agent(detour, "source", "source", threads=2)
        self.pair.parts.append(self.agent)
        self.proxy = self.agent.proxy
        self.proxy.run(DDL, "CREATE TABLE effects (nonce VARCHAR(40) PRIMARY KEY, pause INT)",
                       db="demo")

    def close(self):
        self.pair.close()
        self.faults.close()

    def effects(self):
        return set(self.database.sql("SELECT nonce FROM demo.effects").split())

    def start_log(self):
        self.database.sql("SET GLOBAL log_output='TABLE'; SET GLOBAL general_log=0; "
                          "TRUNCATE mysql.general_log; SET GLOBAL general_log=1")

    def take_log(self):
        """(when, text) of each statement that the server began, in its order."""
        self.database.sql("SET GLOBAL general_log=0")
        lines = self.database.sql(
            "SELECT UNIX_TIMESTAMP(event_time), REPLACE(CONVERT(argument USING utf8mb4), '\\n', '')"
            " FROM mysql.general_log WHERE command_type IN ('Query', 'Execute')").splitlines()
        return [(float(when), text) for when, _, text in (line.partition("\t") for line in lines)]

    def running(self):
        return self.database.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE "
                                 "user LIKE 'portcullis%' AND info LIKE '%effects%'")


@pytest.fixture(scope="module")
def bench():
    one = Bench()
    yield one
    one.close()


@pytest.fixture
def proxy(bench):
    bench.faults.delay_s = 0.0
    bench.proxy.run(WRITE, "DELETE FROM effects")
    yield bench.proxy
    bench.faults.delay_s = 0.0
    bench.faults.stalled.clear()


def fate(reply):
    return ("OK", "") if reply["ok"] else (reply["error"]["code"], reply["error"]["retry"])


def insert(proxy, nonce, session=bytes(16), note="", pause=None):
    what = "VALUES (?, 0)" if pause is None else f"VALUES (?, SLEEP({pause}))"
    return proxy.send_op("query", WRITE, session, params=[nonce], budget_ms=20000,
                         sql=f"INSERT INTO effects {note}{what}")


def begin(proxy):
    reply = proxy.ask_op("begin", TRANSACTION)
    assert reply["ok"], reply
    return reply["session"]


def test_what_waits_in_the_queue(bench, proxy):
    sleepers = [proxy.send_op("query", READ, sql="SELECT SLEEP(0.6) /* effects */")
                for _ in range(2)]
    waiting = {f"queued-{number}": insert(proxy, f"queued-{number}") for number in range(6)}
    cancelled = [nonce for number, nonce in enumerate(waiting) if number % 2 == 0]
    for nonce in cancelled:
        proxy.cancel(waiting[nonce])
        assert fate(proxy.reply(waiting[nonce])) == ("CANCELLED", "safe")
        assert proxy.heads[waiting[nonce]][2] == b"", "nothing ran"
    for ticket in sleepers + [waiting[nonce] for nonce in waiting if nonce not in cancelled]:
        assert proxy.reply(ticket)["ok"]
    assert bench.effects() == set(waiting) - set(cancelled)


def test_what_waits_for_its_session(bench, proxy):
    session = begin(proxy)
    slow = proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.5)")
    tickets = [insert(proxy, f"line-{number}", session) for number in range(4)]
    for number in (0, 2):
        proxy.cancel(tickets[number])
        assert fate(proxy.reply(tickets[number])) == ("CANCELLED", "safe")
    assert proxy.reply(slow)["ok"] and proxy.reply(tickets[1])["ok"]
    assert proxy.reply(tickets[3])["ok"]
    assert proxy.ask_op("commit", TRANSACTION, session)["ok"]
    assert bench.effects() == {"line-1", "line-3"}


def test_while_its_connection_is_opened(bench, proxy):
    for turn in range(3):
        bench.faults.stalled.set()
        bench.faults.cut()
        ticket = insert(proxy, f"opening-{turn}")
        proxy.pump_for(0.2)
        proxy.cancel(ticket)
        proxy.pump_for(0.2)
        bench.faults.stalled.clear()
        assert fate(proxy.reply(ticket)) == ("CANCELLED", "safe")
        wait_until(lambda: fate(proxy.ask(READ, "SELECT 1"))[0] == "OK", 10, "the agent recovers")
    time.sleep(0.3)
    assert bench.effects() == set()


@pytest.mark.parametrize("where", ["alone", "session"])
def test_while_it_is_prepared(bench, proxy, where):
    """The KILL finds a server that has just answered the preparation, and ends nothing there."""
    session = begin(proxy) if where == "session" else bytes(16)
    proxy.run(READ, "SELECT 1")
    bench.start_log()
    bench.faults.delay_s = 0.3
    for turn in range(3):
        ticket = insert(proxy, f"prepared-{turn}", session, note=f"/* {os.urandom(8).hex()} */ ")
        proxy.pump_for(0.15)
        proxy.cancel(ticket)
        code, retry = fate(proxy.reply(ticket))
        assert code == "CANCELLED", code
        print(turn, retry)
    bench.faults.delay_s = 0.0
    log = bench.take_log()
    assert not [text for _, text in log if "prepared-" in text], "it was executed"
    if session != bytes(16):
        assert proxy.ask_op("query", READ, session, sql="SELECT COUNT(*) FROM effects")["rows"] \
            == [[0]]
        assert proxy.ask_op("rollback", TRANSACTION, session)["ok"]
    assert bench.effects() == set()


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.7, 1.0, 1.3, 1.6])
def test_between_the_statements_of_a_txn(bench, proxy, after_s):
    """Whenever it is noticed, all of it stands or nothing, and what was said to be safe is not
    there."""
    proxy.run(READ, "SELECT 1")
    bench.faults.delay_s = 0.3
    mark = os.urandom(4).hex()
    ticket = proxy.send_op("txn", WRITE, budget_ms=20000, statements=[
        {"sql": f"INSERT INTO effects VALUES ('{name}-{mark}', 0)"} for name in "ab"])
    proxy.pump_for(after_s)
    proxy.cancel(ticket)
    code, retry = fate(proxy.reply(ticket))
    acknowledged = time.time()
    bench.faults.delay_s = 0.0
    rows = len(bench.effects())
    print(f"after {after_s} s: {code} {retry}, {rows} rows")
    assert rows == {"safe": 0, "": 2}.get(retry, rows) and rows in (0, 2)
    assert code in ("CANCELLED", "OK"), code
    while time.time() < acknowledged + 0.8:
        proxy.pump_for(0.1)
        assert len(bench.effects()) == rows, "something of it was executed afterwards"


def test_a_late_kill_hits_nothing_else(bench, proxy):
    """Its statement is through at the server, the answer on its way: the KILL finds the session
    idle, and what its client sends next must not be what it ends."""
    session = begin(proxy)
    first = insert(proxy, "warm", session)
    assert proxy.reply(first)["ok"]
    bench.faults.delay_s = 0.4
    for turn in range(5):
        ticket = insert(proxy, f"late-{turn}", session)
        proxy.pump_for(0.05)
        proxy.cancel(ticket)
        assert fate(proxy.reply(ticket))[0] == "CANCELLED"
        reply = proxy.ask_op("query", READ, session, sql="SELECT SLEEP(0.05), 'next'")
        assert fate(reply) == ("OK", ""), reply
        assert reply["rows"] == [[0, "next"]], "a KILL met it"
    bench.faults.delay_s = 0.0
    count = proxy.ask_op("query", READ, session, sql="SELECT COUNT(*) FROM effects")["rows"]
    assert proxy.ask_op("commit", TRANSACTION, session)["ok"]
    assert [[len(bench.effects())]] == count and count[0][0] >= 1


# --- Any of them, at any moment -----------------------------------------------------------------

class Strike:
    """One request with its nonce, its cancel, and when it was answered."""

    def __init__(self, proxy, rng, nonce, session):
        self.nonce, self.kind = nonce, rng.choice(["read", "write", "slow", "txn", "session"])
        self.session = session if self.kind == "session" else bytes(16)
        pause = rng.choice([0.0, 0.001, 0.004, 0.02])
        if self.kind == "read":
            self.ticket = proxy.send_op("query", READ, sql="SELECT ?, SLEEP(?) /* effects */",
                                        params=[nonce, pause], budget_ms=20000)
        elif self.kind == "txn":
            self.ticket = proxy.send_op("txn", WRITE, budget_ms=20000, statements=[
                {"sql": "INSERT INTO effects VALUES (?, SLEEP(?))", "params": [nonce, pause]},
                {"sql": "SELECT SLEEP(?)", "params": [pause]},
                {"sql": "INSERT INTO effects VALUES (?, 0)", "params": [nonce + "-b"]}])
        else:
            slow = pause if self.kind == "slow" else None
            self.ticket = insert(proxy, nonce, self.session, pause=slow)
        self.cancel_at = time.time() + rng.choice([0, 0, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1])
        self.cancels = rng.random() < 0.7

    def look(self, proxy):
        """True: it is answered."""
        if self.cancels and time.time() >= self.cancel_at:
            self.cancels = False
            proxy.cancel(self.ticket)
        return self.ticket in proxy.replies

    def judge(self, proxy, log, rows):
        """What is wrong with it; None: nothing."""
        code, retry = fate(proxy.replies[self.ticket])
        seen = [when for when, text in log if self.nonce in text]
        there = self.nonce in rows
        if code == "OK":
            return None if there == (self.kind not in ("read",)) else "OK, and its row is not there"
        if code != "CANCELLED":
            return f"it was not cancelled: {proxy.replies[self.ticket]}"
        if seen and max(seen) > proxy.answered[self.ticket]:
            return f"executed {max(seen) - proxy.answered[self.ticket]:.4f} s after it was answered"
        if retry == "safe" and there:
            return "safe, and its row is there"
        if proxy.heads[self.ticket][2] == b"" and seen:
            return "nothing ran, and the server saw it"
        return None


def test_at_any_moment_of_any_request(bench, proxy):
    seed = int(os.environ.get("PCL_TEST_SEED", time.time()))
    print(f"PCL_TEST_SEED={seed}")
    rng, strikes, fates = random.Random(seed), [], {}
    session = begin(proxy)
    bench.start_log()
    for turn in range(40):
        present = [Strike(proxy, rng, f"n{turn}-{number}-", session) for number in range(12)]
        strikes += present
        deadline = time.time() + 20
        while not all([one.look(proxy) for one in present]):
            assert time.time() < deadline, "a request has no reply"
            proxy.pump(1)
    assert bench.running() == "0", "what was answered still runs"
    reply = proxy.ask_op("commit", TRANSACTION, session)
    assert reply["ok"], reply
    time.sleep(0.5)
    log, rows = bench.take_log(), bench.effects()
    for one in strikes:
        wrong = one.judge(proxy, log, rows)
        assert wrong is None, (one.kind, one.nonce, wrong)
        key = one.kind, *fate(proxy.replies[one.ticket])
        fates[key] = fates.get(key, 0) + 1
    for key, count in sorted(fates.items()):
        print(*key, count)
    assert len(log) > 100 and sum(count for key, count in fates.items() if "CANCELLED" in key) > 50
