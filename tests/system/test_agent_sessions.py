"""The worker agent alone: sessions and cursors, their order, limits and ends, cancel."""
import os
import random
import signal
import struct
import time

import pytest

from agent_alone import (DDL, HELD, LOCKING_READ, READ, RELEASED, STATE, TRANSACTION, WRITE, Pair)
from harness import wait_until

SESSIONS = {"max": 6, "principal_max": 4, "idle_ms": 1500, "age_ms": 6000, "queue_max": 3}
CURSORS = {"max": 3, "principal_max": 2, "idle_ms": 1500, "age_ms": 6000}
# Runs for ever.  Unlike SLEEP(), which MariaDB may be slow to end.
ENDLESS = "SELECT COUNT(*) FROM many a, many b, many c WHERE a.id + b.id + c.id = -1"


@pytest.fixture(scope="module")
def pair():
    one = Pair(threads=4, sections={"sessions": SESSIONS, "cursors": CURSORS})
    one.proxy.run(DDL, "CREATE TABLE kept (id INT PRIMARY KEY, n INT)")
    one.proxy.run(WRITE, "INSERT INTO kept VALUES (1, 0), (2, 0), (3, 0)")
    one.proxy.run(DDL, "CREATE TABLE many (id INT PRIMARY KEY)")
    for first in range(0, 3000, 1000):
        rows = ",".join(f"({number})" for number in range(first, first + 1000))
        one.proxy.run(WRITE, f"INSERT INTO many VALUES {rows}")
    yield one
    one.close()


@pytest.fixture
def proxy(pair):
    yield pair.proxy
    wait_until(lambda: is_whole(pair), 10, "nothing is left open")


def is_whole(pair):
    pair.proxy.pump()
    seen = pair.source.metrics()
    return (seen['held_open{kind="session"}'] == 0 and seen['held_open{kind="cursor"}'] == 0 and
            seen["held_ending"] == 0 and seen['connections{use="held"}'] == 0 and
            seen["held_running"] == 0 and seen["held_queued"] == 0)


def fault(answer):
    assert not answer["ok"], answer
    return answer["error"]["code"], answer["error"]["retry"]


def begin(proxy, read_only=False, **options):
    keys = {"read_only": True} if read_only else {}
    ticket = proxy.send_op("begin", READ if read_only else WRITE, **keys, **options)
    answer = proxy.reply(ticket)
    assert answer["ok"], answer
    assert proxy.notes[ticket] == (HELD, answer["session"])
    assert proxy.owners[ticket] == options.get("principal", b"")
    return answer["session"]


def query(proxy, session, sql, sql_class=WRITE, **options):
    return proxy.ask_op("query", sql_class, session, sql=sql, **options)


def end(proxy, session, op="rollback", **options):
    ticket = proxy.send_op(op, TRANSACTION, session, **options)
    answer = proxy.reply(ticket)
    assert answer["ok"], answer
    assert proxy.notes[ticket] == (RELEASED, session)


def n_of(pair, row):
    return int(pair.source_database.sql(f"SELECT n FROM demo.kept WHERE id={row}"))


def test_a_session_commits_and_is_gone(pair, proxy):
    session = begin(proxy)
    assert struct.unpack(">H", session[14:])[0] == 0
    assert query(proxy, session, "UPDATE kept SET n = 5 WHERE id = 1")["affected"] == 1
    assert n_of(pair, 1) == 0
    end(proxy, session, "commit")
    assert n_of(pair, 1) == 5
    ticket = proxy.send_op("query", READ, session, sql="SELECT 1")
    answer = proxy.reply(ticket)
    assert fault(answer) == ("GONE", "never")
    assert "committed or rolled back" in answer["error"]["message"]
    assert proxy.notes[ticket] == (RELEASED, session)


def test_a_session_rolls_back(pair, proxy):
    before = n_of(pair, 2)
    session = begin(proxy)
    query(proxy, session, "UPDATE kept SET n = 77 WHERE id = 2")
    end(proxy, session)
    assert n_of(pair, 2) == before


def test_sessions_are_counted_in_reports_and_metrics(pair, proxy):
    sessions = [begin(proxy), begin(proxy, read_only=True)]
    proxy.wait_for(lambda report: report.sessions == 2 and report.cursors == 0, 3, "two sessions")
    wait_until(lambda: pair.source.metrics()['connections{use="held"}'] == 2, 3, "counted")
    for session in sessions:
        end(proxy, session)
    proxy.wait_for(lambda report: report.sessions == 0, 3, "no session")


def test_requests_of_a_session_run_in_order(proxy):
    session = begin(proxy)
    query(proxy, session, "SET @n = 0", STATE)
    for _ in range(20):
        wanted = [proxy.send_op("query", STATE, session, sql=f"SELECT @n := @n * 10 + {digit}")
                  for digit in (1, 2, 3, 4)]  # one runs, three may wait
        answers = [proxy.reply(ticket) for ticket in wanted]
        assert [int(answer["rows"][0][0]) for answer in answers] == [1, 12, 123, 1234]
        query(proxy, session, "SET @n = 0", STATE)
    end(proxy, session)


def test_the_line_of_a_session_is_bounded(proxy):
    session = begin(proxy)
    tickets = [proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.3)") for _ in range(6)]
    answers = [proxy.reply(ticket) for ticket in tickets]
    assert [answer["ok"] for answer in answers] == [True] * 4 + [False] * 2
    assert fault(answers[5]) == ("OVERLOADED", "safe")
    assert answers[5]["error"]["retry_after_ms"] > 0
    end(proxy, session)


def test_what_waits_in_line_has_its_deadline(proxy):
    session = begin(proxy)
    first = proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.8)")
    began = time.monotonic()
    second = proxy.send_op("query", READ, session, sql="SELECT 2", budget_ms=200)
    third = proxy.send_op("query", READ, session, sql="SELECT 3")
    assert fault(proxy.reply(second)) == ("DEADLINE", "safe")
    assert time.monotonic() - began < 0.5
    assert proxy.reply(first)["ok"]
    assert proxy.reply(third)["rows"] == [[3]]
    end(proxy, session)


def test_a_principal_and_the_node_have_their_limits(proxy):
    mine = [begin(proxy, principal=b"ann") for _ in range(4)]
    refused = proxy.ask_op("begin", WRITE, principal=b"ann")
    assert fault(refused) == ("OVERLOADED", "safe") and refused["error"]["retry_after_ms"] > 0
    theirs = [begin(proxy, principal=b"bob") for _ in range(2)]
    assert fault(proxy.ask_op("begin", WRITE, principal=b"cid")) == ("OVERLOADED", "safe")
    end(proxy, mine.pop(), principal=b"ann")
    mine.append(begin(proxy, principal=b"ann"))
    for session in mine:
        end(proxy, session, principal=b"ann")
    for session in theirs:
        end(proxy, session, principal=b"bob")


def test_a_session_is_its_principals_alone(proxy):
    session = begin(proxy, principal=b"ann")
    for op, sql_class, keys in (("query", READ, {"sql": "SELECT 1"}), ("commit", TRANSACTION, {}),
                                ("rollback", TRANSACTION, {})):
        answer = proxy.ask_op(op, sql_class, session, principal=b"bob", **keys)
        assert fault(answer) == ("GONE", "never")
        assert "none with this id" in answer["error"]["message"]
    proxy.release(session, principal=b"bob")
    assert query(proxy, session, "SELECT 1", READ, principal=b"ann")["ok"]
    end(proxy, session, principal=b"ann")


def test_ids_that_were_never_given(proxy):
    session = begin(proxy)
    other_run = bytes([session[0] ^ 1]) + session[1:]
    answer = query(proxy, other_run, "SELECT 1", READ)
    assert fault(answer) == ("GONE", "never") and "started again" in answer["error"]["message"]
    made_up = session[:8] + os.urandom(6) + session[14:]
    assert fault(query(proxy, made_up, "SELECT 1", READ)) == ("GONE", "never")
    page = session[:14] + b"\0\1"
    assert fault(query(proxy, page, "SELECT 1", READ)) == ("GONE", "never")
    assert fault(proxy.ask_op("fetch", READ, session)) == ("GONE", "never")
    assert fault(proxy.ask_op("fetch", READ, page)) == ("GONE", "never")
    assert query(proxy, session, "SELECT 1", READ)["ok"]
    end(proxy, session)


def test_a_read_only_session_takes_reads_only(proxy):
    session = begin(proxy, read_only=True)
    assert query(proxy, session, "SELECT n FROM kept WHERE id = 3", READ)["ok"]
    for sql, sql_class in (("UPDATE kept SET n = 1", WRITE), ("CREATE TABLE t (i INT)", DDL),
                           ("SELECT * FROM kept FOR UPDATE", LOCKING_READ)):
        assert fault(query(proxy, session, sql, sql_class)) == ("REFUSED", "never")
    # A wrong class gets no further: the account is for reads.
    assert fault(query(proxy, session, "UPDATE kept SET n = 1", READ))[0] == "SQL"
    assert query(proxy, session, "SELECT 1", READ)["ok"]
    end(proxy, session, "commit")


def test_an_idle_session_is_rolled_back(pair, proxy):
    before = n_of(pair, 3)
    session = begin(proxy)
    query(proxy, session, "UPDATE kept SET n = 99 WHERE id = 3")
    proxy.pump_for(1.0)
    assert query(proxy, session, "SELECT 1", READ)["ok"]  # not idle any more
    proxy.pump_for(1.0)
    assert query(proxy, session, "SELECT 1", READ)["ok"]
    proxy.pump_for(1.8)
    answer = query(proxy, session, "SELECT 1", READ)
    assert fault(answer) == ("GONE", "never")
    assert answer["error"]["message"] == "idle for 1500 ms; rolled back"
    wait_until(lambda: is_whole(pair), 3, "rolled back")
    assert n_of(pair, 3) == before
    wait_until(lambda: proxy.run(LOCKING_READ, "SELECT n FROM kept WHERE id = 3 FOR UPDATE"), 3, "")


def test_a_running_statement_keeps_a_session_from_being_idle(proxy):
    session = begin(proxy)
    assert query(proxy, session, "SELECT SLEEP(2.5)", READ)["ok"]
    assert query(proxy, session, "SELECT 1", READ)["ok"]
    end(proxy, session)


def test_a_session_that_is_never_idle_grows_old(proxy):
    session = begin(proxy)
    began = time.monotonic()
    tickets = []
    while time.monotonic() - began < 9:
        tickets.append(proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.4)"))
        if len(tickets) > 2:
            answer = proxy.reply(tickets[-3])
            if not answer["ok"]:
                break
    assert 5.5 < time.monotonic() - began < 7.5
    assert fault(answer) == ("GONE", "never")
    assert answer["error"]["message"] == "older than 6 s; rolled back"
    for ticket in tickets:
        proxy.reply(ticket)


def test_released_is_rolled_back_at_once(pair, proxy):
    before = n_of(pair, 1)
    session = begin(proxy, principal=b"ann")
    query(proxy, session, "UPDATE kept SET n = 1000 WHERE id = 1", principal=b"ann")
    proxy.release(session, principal=b"ann")
    wait_until(lambda: is_whole(pair), 1, "rolled back")
    assert n_of(pair, 1) == before
    answer = query(proxy, session, "SELECT 1", READ, principal=b"ann")
    assert "its client went" in answer["error"]["message"]
    proxy.release(session, principal=b"ann")
    proxy.release(os.urandom(16), principal=b"ann")


def test_released_while_it_runs(pair, proxy):
    session = begin(proxy)
    running = proxy.send_op("query", READ, session, sql=ENDLESS, budget_ms=20000)
    waiting = proxy.send_op("query", WRITE, session, sql="UPDATE kept SET n = 1", budget_ms=20000)
    proxy.pump_for(0.2)
    began = time.monotonic()
    proxy.release(session)
    assert fault(proxy.reply(waiting)) == ("GONE", "never")
    assert fault(proxy.reply(running))[0] == "CANCELLED"
    assert time.monotonic() - began < 1
    assert proxy.notes[running] == (RELEASED, session)
    wait_until(lambda: is_whole(pair), 3, "rolled back")


def test_cancel_ends_the_statement_and_not_the_session(proxy):
    session = begin(proxy)
    query(proxy, session, "SET @mark = 7", STATE)
    ticket = proxy.send_op("query", READ, session, sql=ENDLESS, budget_ms=20000)
    proxy.pump_for(0.2)
    began = time.monotonic()
    proxy.cancel(ticket)
    assert fault(proxy.reply(ticket)) == ("CANCELLED", "safe")
    assert time.monotonic() - began < 1
    assert proxy.notes[ticket][0] == 0
    assert query(proxy, session, "SELECT @mark", STATE)["rows"] == [[7]]
    end(proxy, session)


def test_cancel_takes_out_of_the_line(proxy):
    session = begin(proxy)
    first = proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.5)")
    second = proxy.send_op("query", WRITE, session, sql="UPDATE kept SET n = 123456")
    third = proxy.send_op("query", READ, session, sql="SELECT MAX(n) FROM kept")
    began = time.monotonic()
    proxy.cancel(second)
    assert fault(proxy.reply(second)) == ("CANCELLED", "safe")
    assert time.monotonic() - began < 0.3
    assert proxy.reply(first)["ok"]
    assert proxy.reply(third)["rows"][0][0] != 123456
    end(proxy, session)


def test_cancel_of_what_stands_alone(pair, proxy):
    before = pair.source.metrics()
    tickets = [proxy.send_op("query", READ, sql=ENDLESS, budget_ms=20000)
               for _ in range(6)]  # four threads: two of them wait
    proxy.pump_for(0.3)
    began = time.monotonic()
    for ticket in tickets:
        proxy.cancel(ticket)
    for ticket in tickets:
        assert fault(proxy.reply(ticket)) == ("CANCELLED", "safe")
    assert time.monotonic() - began < 1.5
    after = pair.source.metrics()
    for found, count in (("waiting", 2), ("running", 4), ("late", 0)):
        series = f'cancels_total{{found="{found}"}}'
        assert after[series] - before[series] == count
    proxy.cancel(tickets[0])  # it has its reply, and gets no second
    proxy.pump_for(0.2)


def test_a_cancel_names_ticket_and_id(proxy):
    same = os.urandom(16)
    one = proxy.send_op("query", READ, sql="SELECT SLEEP(0.8), 1", request_id=same)
    other = proxy.send_op("query", READ, sql=ENDLESS, request_id=same,
                          budget_ms=20000)
    third = proxy.send_op("query", READ, sql="SELECT SLEEP(0.8), 3")
    proxy.pump_for(0.2)
    proxy.ids[third] = os.urandom(16)
    proxy.cancel(third)
    proxy.cancel(other)
    assert fault(proxy.reply(other)) == ("CANCELLED", "safe")
    assert proxy.reply(one)["rows"] == [[0, 1]]
    assert proxy.reply(third)["rows"] == [[0, 3]]


def test_commit_does_not_wait_behind_those_that_wait_for_its_locks(pair, proxy):
    holder = begin(proxy)
    query(proxy, holder, "UPDATE kept SET n = n + 1 WHERE id = 1")
    others = [begin(proxy, principal=b"ann") for _ in range(4)]
    waiting = [proxy.send_op("query", WRITE, session, principal=b"ann", budget_ms=9000,
                             sql="UPDATE kept SET n = n + 1 WHERE id = 1") for session in others]
    alone = [proxy.send(WRITE, "UPDATE kept SET n = n + 1 WHERE id = 1", budget_ms=9000)
             for _ in range(8)]
    proxy.pump_for(0.4)
    assert not any(ticket in proxy.replies for ticket in waiting + alone)
    began = time.monotonic()
    end(proxy, holder, "commit")
    assert time.monotonic() - began < 0.5
    left = list(zip(waiting, others))
    while left:  # one after the other gets the lock
        proxy.pump()
        for ticket, session in left:
            if ticket in proxy.replies:
                assert proxy.replies[ticket]["ok"], proxy.replies[ticket]
                end(proxy, session, "commit", principal=b"ann")
        left = [one for one in left if one[0] not in proxy.replies]
    assert all(proxy.reply(ticket)["ok"] for ticket in alone)


def test_a_lost_connection_ends_its_session(pair, proxy):
    session = begin(proxy)
    answer = query(proxy, session, "SELECT CONNECTION_ID()", STATE)
    pair.source_database.sql(f"KILL {answer['rows'][0][0]}")
    ticket = proxy.send_op("query", READ, session, sql="SELECT 1")
    answer = proxy.reply(ticket)
    assert fault(answer)[0] in ("LOST", "GONE")
    assert proxy.notes[ticket] == (RELEASED, session)
    answer = query(proxy, session, "SELECT 1", READ)
    assert fault(answer) == ("GONE", "never")
    assert answer["error"]["message"] == "its connection was lost; rolled back"


def fetch_all(proxy, answer, **options):
    rows = answer["rows"]
    while "cursor" in answer:
        answer = proxy.ask_op("fetch", READ, answer["cursor"], **options)
        assert answer["ok"], answer
        rows = rows + answer["rows"]
    return rows


def test_a_cursor_is_read_to_its_end(pair, proxy):
    ticket = proxy.send_op("query", READ, sql="SELECT id FROM many ORDER BY id")
    answer = proxy.reply(ticket)
    canonical = answer["cursor"][:14] + b"\0\0"
    assert len(answer["rows"]) == 1000 and proxy.notes[ticket] == (HELD, canonical)
    proxy.wait_for(lambda report: report.cursors == 1, 3, "one cursor")
    assert fetch_all(proxy, answer) == [[number] for number in range(3000)]
    again = proxy.ask_op("fetch", READ, answer["cursor"])
    assert fault(again) == ("GONE", "never") and "read to its end" in again["error"]["message"]


def test_a_page_is_given_once_and_in_order(proxy):
    first = proxy.ask_op("query", READ, sql="SELECT id FROM many ORDER BY id")
    second = proxy.ask_op("fetch", READ, first["cursor"])
    assert fault(proxy.ask_op("fetch", READ, first["cursor"])) == ("GONE", "never")
    assert proxy.ask_op("close", READ, second["cursor"])["ok"]
    assert fault(proxy.ask_op("fetch", READ, second["cursor"])) == ("GONE", "never")


def test_cursors_have_their_limits(proxy):
    sql = "SELECT id FROM many ORDER BY id"
    mine = [proxy.ask_op("query", READ, sql=sql, principal=b"ann") for _ in range(2)]
    assert all("cursor" in answer for answer in mine)
    assert fault(proxy.ask_op("query", READ, sql=sql, principal=b"ann")) == ("OVERLOADED", "safe")
    small = proxy.ask_op("query", READ, sql="SELECT 1", principal=b"ann")
    assert small["rows"] == [[1]]
    other = proxy.ask_op("query", READ, sql=sql, principal=b"bob")
    assert fault(proxy.ask_op("query", READ, sql=sql, principal=b"cid")) == ("OVERLOADED", "safe")
    assert fault(proxy.ask_op("fetch", READ, other["cursor"], principal=b"ann"))[0] == "GONE"
    for answer in mine:
        assert len(fetch_all(proxy, answer, principal=b"ann")) == 3000
    proxy.release(other["cursor"], principal=b"bob")


def test_an_idle_cursor_is_closed(pair, proxy):
    answer = proxy.ask_op("query", READ, sql="SELECT id FROM many")
    proxy.pump_for(1.8)
    answer = proxy.ask_op("fetch", READ, answer["cursor"])
    assert fault(answer) == ("GONE", "never")
    assert answer["error"]["message"] == "idle for 1500 ms; closed"


def test_what_a_cancelled_request_opened_is_closed(pair, proxy):
    for _ in range(40):
        begun = proxy.send_op("begin", WRITE)
        read = proxy.send_op("query", READ, sql="SELECT id FROM many")
        proxy.pump_for(random.uniform(0, 0.004))
        proxy.cancel(begun)
        proxy.cancel(read)
        for ticket in (begun, read):
            answer = proxy.reply(ticket)
            if not answer["ok"]:
                assert fault(answer) == ("CANCELLED", "safe")
            elif proxy.notes[ticket][0] == HELD:
                proxy.release(proxy.notes[ticket][1])
    wait_until(lambda: is_whole(pair), 5, "nothing is left")


def test_cancels_at_random_moments_hit_nothing_else(pair, proxy):
    """Of sessions and of what stands alone; a statement that nobody cancelled is never ended."""
    rng = random.Random(int(os.environ.get("PORTCULLIS_TEST_SEED", "7")))
    for _ in range(60):
        sessions = [begin(proxy) for _ in range(3)]
        for session in sessions:
            query(proxy, session, "SET @own = 1", STATE)
        doomed = [proxy.send_op("query", READ, session, sql=ENDLESS, budget_ms=9000)
                  for session in sessions]
        doomed.append(proxy.send_op("query", READ, sql=ENDLESS, budget_ms=9000))
        if rng.random() < 0.7:
            proxy.pump_for(rng.uniform(0, 0.01))
        for ticket in doomed:
            proxy.cancel(ticket)
        after = [proxy.send_op("query", STATE, session, sql="SELECT @own, MIN(id) FROM many")
                 for session in sessions]
        after += [proxy.send_op("query", READ, sql="SELECT 1, MIN(id) FROM many")
                  for _ in range(3)]
        for ticket in doomed:
            assert fault(proxy.reply(ticket)) == ("CANCELLED", "safe")
        for ticket in after:
            answer = proxy.reply(ticket)
            assert answer["ok"] and answer["rows"] == [[1, 0]], answer
        for session in sessions:
            end(proxy, session)


def test_a_deadline_ends_the_statement_and_not_the_session(pair, proxy):
    session = begin(proxy)
    assert query(proxy, session, "UPDATE kept SET n = 4242 WHERE id = 3")["ok"]
    for _ in range(5):
        began = time.monotonic()
        answer = query(proxy, session, ENDLESS, READ, budget_ms=150)
        assert fault(answer) == ("DEADLINE", "safe")
        assert time.monotonic() - began < 2
    with pair.source_database.transaction("UPDATE demo.kept SET n = n + 1 WHERE id = 1"):
        waiting = query(proxy, session, "UPDATE kept SET n = 4242 WHERE id = 1", budget_ms=200)
        assert fault(waiting)[0] == "DEADLINE"
    assert query(proxy, session, "SELECT n FROM kept WHERE id = 3", READ)["rows"] == [[4242]]
    end(proxy, session, "commit")
    assert n_of(pair, 3) == 4242


def database_sessions(pair):
    return int(pair.source_database.sql("SELECT COUNT(*) FROM information_schema.processlist "
                                        "WHERE user LIKE 'portcullis_%'"))


def test_what_is_opened_and_abandoned_leaves_nothing(pair, proxy):
    """Some are committed, some released, some cancelled on their way; idleness ends none here."""
    rng = random.Random(int(os.environ.get("PORTCULLIS_TEST_SEED", "11")))
    opened = refused = 0
    before = pair.source.metrics()
    for _ in range(100):
        begun = [proxy.send_op("begin", WRITE, principal=rng.choice([b"ann", b"bob"]))
                 for _ in range(4)]
        read = proxy.send_op("query", READ, sql="SELECT id FROM many", principal=b"ann")
        doomed = [ticket for ticket in begun + [read] if rng.random() < 0.3]
        for ticket in doomed:
            proxy.cancel(ticket)
        for ticket in begun + [read]:
            answer = proxy.reply(ticket)
            flags, held = proxy.notes[ticket]
            assert answer["ok"] == (flags == HELD)
            opened += answer["ok"]
            refused += not answer["ok"]
            if not answer["ok"]:
                assert fault(answer) in (("CANCELLED", "safe"), ("OVERLOADED", "safe")), answer
                continue
            if ticket != read and rng.random() < 0.5:
                principal = rng.choice([b"ann", b"bob"])  # one of the two is right
                proxy.send_op("query", WRITE, held, principal=principal, sql=rng.choice(
                    ["UPDATE kept SET n = n + 1 WHERE id = 1", ENDLESS, "SET @a = 1"]))
            for principal in (b"ann", b"bob"):
                proxy.release(held, principal=principal)
    assert opened > 100 and refused > 20
    wait_until(lambda: is_whole(pair), 10, "nothing is left open")
    proxy.wait_for(lambda report: report.sessions == report.cursors == 0, 3, "says the report")
    after = pair.source.metrics()

    def grown(name):
        return sum(value - before[series] for series, value in after.items()
                   if series.startswith(name))
    assert grown("held_opened_total") == opened
    assert grown("held_ended_total") - grown('held_ended_total{kind="session",reason="refused"') \
        - grown('held_ended_total{kind="cursor",reason="refused"') == opened
    own = after['connections{use="worker"}'] + after['connections{use="spare"}']
    wait_until(lambda: database_sessions(pair) <= own + 2, 5, "the database counts the same")


def test_a_database_that_hangs(pair, proxy):
    """Every request has its reply; when the database comes back, so does all else."""
    session = begin(proxy)
    idle = begin(proxy)
    cursor = proxy.ask_op("query", READ, sql="SELECT id FROM many")["cursor"]
    os.kill(pair.source_database.process.pid, signal.SIGSTOP)
    try:
        tickets = [proxy.send_op("query", READ, session, sql="SELECT 1", budget_ms=400),
                   proxy.send_op("query", READ, session, sql="SELECT 2", budget_ms=400),
                   proxy.send_op("commit", TRANSACTION, idle, budget_ms=400),
                   proxy.send_op("fetch", READ, cursor, budget_ms=400)]
        proxy.pump_for(0.1)
        proxy.cancel(tickets[0])
        proxy.release(cursor)
        began = time.monotonic()
        codes = [fault(proxy.reply(ticket)) if not proxy.reply(ticket)["ok"] else ("ok", "")
                 for ticket in tickets]
        assert time.monotonic() - began < 0.7
        assert codes[1] == ("DEADLINE", "safe") and codes[2] == ("DEADLINE", "unsafe")
        assert codes[0][0] in ("DEADLINE", "CANCELLED")
    finally:
        os.kill(pair.source_database.process.pid, signal.SIGCONT)
    wait_until(lambda: is_whole(pair), 15, "all has ended")


def test_a_lost_proxy_drops_the_line_and_keeps_the_session(pair, proxy):
    session = begin(proxy)
    query(proxy, session, "SET @here = 3", STATE)
    running = proxy.send_op("query", READ, session, sql="SELECT SLEEP(0.5)")
    waiting = proxy.send_op("query", STATE, session, sql="SET @here = 4")
    proxy.pump_for(0.1)
    proxy.boot_id = os.urandom(8)  # another proxy answers the next beat
    assert fault(proxy.reply(waiting)) == ("LOST", "safe")
    proxy.reply(running)
    assert query(proxy, session, "SELECT @here", STATE)["rows"] == [[3]]
    end(proxy, session)


def test_what_no_proxy_heard_of_is_closed(pair, proxy):
    session = begin(proxy)
    query(proxy, session, "SET @here = 5", STATE)
    before = pair.source.metrics()
    proxy.send_op("query", READ, sql="SELECT id FROM (SELECT SLEEP(0.4)) slow JOIN many")
    proxy.pump_for(0.1)
    proxy.leave()
    opened = 'held_opened_total{kind="cursor"}'
    wait_until(lambda: pair.source.metrics()[opened] > before[opened], 3, "it was opened")
    proxy.come_back()
    proxy.wait_for(lambda report: report.sessions == 1 and report.cursors == 0, 3, "it is closed")
    assert pair.source.metrics()["replies_dropped_total"] == before["replies_dropped_total"] + 1
    assert query(proxy, session, "SELECT @here", STATE)["rows"] == [[5]]
    end(proxy, session)


def test_the_drain_limit_rolls_back_what_is_left():
    limited = Pair(threads=2, sections={"drain": {"limit_ms": 700}})
    try:
        proxy, database = limited.proxy, limited.source_database
        proxy.run(DDL, "CREATE TABLE many (id INT)")
        values = ",".join(f"({number})" for number in range(3000))
        proxy.run(WRITE, f"INSERT INTO many VALUES {values}")
        proxy.run(DDL, "CREATE TABLE kept (id INT PRIMARY KEY, n INT)")
        proxy.run(WRITE, "INSERT INTO kept VALUES (1, 0)")
        idle, busy = begin(proxy), begin(proxy)
        query(proxy, idle, "UPDATE kept SET n = 1 WHERE id = 1")
        proxy.send_op("query", READ, busy, sql=ENDLESS, budget_ms=30000)
        proxy.send_op("query", READ, busy, sql="SELECT 1", budget_ms=30000)
        proxy.pump_for(0.2)
        began = time.monotonic()
        assert limited.source.stop() == 0, limited.source.log()[-6000:]
        assert 0.6 < time.monotonic() - began < 4
        wait_until(lambda: database_sessions(limited) == 0, 5, "all connections are closed")
        assert database.sql("SELECT n FROM demo.kept") == "0"
    finally:
        limited.close()


def test_the_drain_limit_stops_what_reads():
    """The database would go on with it: it does not look whether its client is still there."""
    limited = Pair(threads=2, sections={"drain": {"limit_ms": 300}})
    try:
        proxy, database = limited.proxy, limited.source_database
        sql = "SELECT BENCHMARK(?, SHA2('a', 512))"
        for _ in range(3):  # prepared, on a connection that lies ready
            proxy.run(READ, sql, [1])
        proxy.send(READ, sql, [2**60], budget_ms=60000)
        wait_until(lambda: proxy.pump() or "BENCHMARK" in database.sql("SHOW FULL PROCESSLIST"), 20,
                   "it runs")
        assert limited.source.stop() == 0, limited.source.log()[-6000:]
        wait_until(lambda: database_sessions(limited) == 0, 20, "all connections are closed")
    finally:
        limited.close()


def test_a_draining_agent_finishes_its_sessions(pair):
    """Last: it ends the agent and starts it again."""
    proxy = pair.proxy
    session = begin(proxy)
    query(proxy, session, "UPDATE kept SET n = 31337 WHERE id = 2")
    pair.source.process.send_signal(signal.SIGTERM)
    wait_until(lambda: proxy.pump() or proxy.said_bye, 5, "a goodbye")
    assert fault(proxy.ask_op("begin", WRITE)) == ("DRAINING", "safe")
    assert query(proxy, session, "SELECT n FROM kept WHERE id = 2", READ)["rows"] == [[31337]]
    end(proxy, session, "commit")
    assert pair.source.process.wait(5) == 0
    assert n_of(pair, 2) == 31337
    pair.source.start()
    answer = query(proxy, session, "SELECT 1", READ)
    assert fault(answer) == ("GONE", "never") and "started again" in answer["error"]["message"]
