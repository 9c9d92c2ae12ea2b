"""What the agent reports of its node: when asked, when idle, and what its times are times of."""
import math
import signal
import statistics
import time

import pytest

from agent_alone import BEAT, READ, REPLY, UP, WRITE, Pair
from harness import wait_until


@pytest.fixture(scope="module")
def pair():
    one = Pair(threads=2)
    yield one
    one.close()


@pytest.fixture
def proxy(pair):
    return pair.proxy


def test_a_ping_is_answered_with_the_report_of_that_moment(proxy):
    for _ in range(3):
        before = proxy.probe()
        tickets = [proxy.send(READ, "SELECT SLEEP(0.3)") for _ in range(5)]
        report = proxy.probe()
        assert (report.rif, report.rif_you) == (5, 5), "what was sent before the question counts"
        assert report.served == before.served
        for ticket in tickets:
            assert proxy.reply(ticket)["ok"]
        report = proxy.probe()
        assert (report.rif, report.rif_you, report.queued) == (0, 0, 0)
        assert report.served == before.served + 5


def test_a_ping_that_asks_nothing_is_answered_too(proxy):
    """A flood of them neither stops the agent nor grows it."""
    start = time.monotonic()
    for _ in range(1000):
        assert proxy.probe().state == UP
    print(f"{time.monotonic() - start:.2f} ms a question")
    assert proxy.run(READ, "SELECT 1")["rows"] == [[1]]


def test_service_time_is_execution_alone(proxy):
    """Five wait for two threads: the time that they waited is no part of it."""
    for _ in range(2):  # the connections are there
        proxy.run(READ, "SELECT SLEEP(0.01)")
    time.sleep(1.2)  # what was measured before counts less
    tickets = [proxy.send(READ, "SELECT SLEEP(0.25)") for _ in range(10)]
    for ticket in tickets:
        assert proxy.reply(ticket)["ok"]
    replies = [report for _, kind, report in proxy.reports if kind == REPLY][-10:]
    last = replies[-1]
    replies.sort(key=lambda report: report.queue_us)
    times = [(report.queue_us, report.exec_us) for report in replies]
    print(times, last.service_us)
    # On a machine with other work all of it takes longer: what is compared are its own times.
    assert replies[-1].queue_us > 800_000, times
    assert min(report.exec_us for report in replies) >= 250_000, times
    for report in replies[-2:]:  # which have waited while four rounds ran
        assert report.exec_us < report.queue_us, times
    mean_us = sum(report.exec_us for report in replies) / 10
    assert last.service_us < 1.5 * mean_us, "waiting counts as service"


def test_a_killed_statement_and_a_failed_one_are_no_samples(proxy):
    for _ in range(20):
        proxy.run(READ, "SELECT 1")
    before, start = proxy.probe(), time.monotonic()
    ticket = proxy.send(READ, "SELECT SLEEP(5)", budget_ms=300)
    assert not proxy.reply(ticket)["ok"]
    for _ in range(5):
        assert not proxy.ask(READ, "SELECT * FROM not_there")["ok"]
    after, passed_s = proxy.probe(), time.monotonic() - start
    kept = before.service_count * math.exp(-passed_s / 3)
    print(f"{before.service_count:.2f} samples, {after.service_count:.2f} after {passed_s:.2f} s")
    # Where the machine was slow the idle node has looked for itself.
    assert after.service_count < kept + 0.5 + int(passed_s)
    assert after.service_us < 2 * before.service_us + 10_000


def test_an_idle_agent_times_a_query_of_its_own(proxy):
    for _ in range(15):
        proxy.run(READ, "SELECT SLEEP(0.1)")
    before = proxy.probe()
    served = before.served
    proxy.pump_for(9)
    # Each second one sample of weight 1, with a time constant of 3 s: three and a half of them, and
    # some of what came before.
    assert 1.5 < proxy.report.service_count < 6, proxy.report.service_count
    # What a look takes now, against what it took then, on a machine with other work.
    assert before.service_us / 20 < proxy.report.service_us < before.service_us * 20
    assert proxy.report.served == served, "nobody was served"


def test_a_database_that_stands_still_is_not_timed(pair, proxy):
    """Its last look was a better time's, and must not be counted again."""
    proxy.pump_for(3)
    pair.source_database.process.send_signal(signal.SIGSTOP)
    try:
        before = proxy.probe()
        proxy.pump_for(1.7)
        after = proxy.probe()
    finally:
        pair.source_database.process.send_signal(signal.SIGCONT)
    print(f"{before.service_count:.2f} samples, {after.service_count:.2f} after 1.7 s")
    assert after.service_count < before.service_count + 0.3
    wait_until(lambda: proxy.run(READ, "SELECT 1")["ok"], 10, "it goes on")


def test_what_another_proxy_has_left_is_not_yours(proxy):
    for _ in range(2):
        proxy.send(READ, "SELECT SLEEP(4)")
    proxy.wait_for(lambda report: report.rif_you == 2, what="two of this proxy")
    proxy.leave()
    time.sleep(0.2)
    proxy.come_back()
    proxy.wait_for(lambda report: report.rif == 2 and report.rif_you == 0, 3,
                   "two of the last proxy")
    ticket = proxy.send(WRITE, "DO 0")
    report = proxy.probe()
    assert (report.rif, report.rif_you) in ((3, 1), (1, 1))
    proxy.reply(ticket)
    proxy.wait_for(lambda report: report.rif == 0, 6, "it is over")


def test_beats_come_irregularly(proxy):
    proxy.pump_for(6)
    times = [when for when, kind, _ in proxy.reports if kind == BEAT][-25:]
    gaps = [after - before for before, after in zip(times, times[1:])]
    print(" ".join(f"{gap * 1000:.0f}" for gap in gaps))
    assert max(gaps) - min(gaps) > 0.03, "no jitter"
    assert 0.12 < sum(gaps) / len(gaps) < 0.6  # 0.2, where nothing else has the machine


def test_news_do_not_wait_for_the_next_beat(pair, proxy):
    """What the database says of itself is seen each 200 ms; from there to the proxy it takes no
    beat's time more: beats that tell of a change come sooner after the last than others do."""
    proxy.reports = []
    proxy.pump_for(4)  # nothing changes
    for turn in range(20):
        read_only = turn % 2 == 0
        pair.source_database.sql(f"SET GLOBAL read_only={int(read_only)}")
        proxy.wait_for(lambda report, wanted=read_only: report.read_only == wanted, 5, "news")
    beats = [(when, report.read_only) for when, kind, report in proxy.reports if kind == BEAT]
    gaps = {True: [], False: []}  # did the later of the two tell of it?
    for (before, was), (after, now) in zip(beats, beats[1:]):
        gaps[was != now].append(after - before)
    print(*(" ".join(f"{gap * 1000:.0f}" for gap in gaps[news]) for news in gaps), sep=" / ")
    assert min(gaps[True]) < 0.75 * statistics.median(gaps[False])
