"""Results in pages: whole, in order, bounded, and never with a gap (docs/rfc/1, section 3.6)."""
import secrets
import time

import msgpack
import pytest
import zmq

from caller import (GONE, SLACK_S, Caller, connections, fate, held, make_numbers, make_table,
                    pages, refusal, statements, stranger_keys, timed, wait_gone, wait_nothing_held)
from harness import FLAVOR, wait_until
from raw import Raw, request

ROWS = 10000


@pytest.fixture(scope="module")
def numbers(shared_cluster):
    """demo.paged: more than what fits into the buffers between a server and its reader."""
    shared_cluster.heal()
    make_numbers(shared_cluster, "paged", ROWS, word="CONCAT('row ', {n}, REPEAT(' filler', 40))")


@pytest.fixture
def caller(cluster, numbers):
    with Caller(cluster.bundle) as one:
        yield one
    wait_nothing_held(cluster)


ALL = "SELECT n, word FROM demo.paged ORDER BY n"


def row(number):
    return [number, f"row {number}" + " filler" * 40]


@pytest.mark.parametrize("asked, a_page", [
    ({}, None), ({"page_rows": 1000, "page_bytes": 8388608}, 1000),
    ({"page_rows": 997, "page_bytes": 8388608}, 997), ({"page_rows": 100000}, None),
    ({"page_rows": 100000, "page_bytes": 8388608}, ROWS), ({"page_bytes": 5000}, None)],
    ids=["default", "even", "odd", "by size", "one page", "small pages"])
def test_all_pages_together_are_the_result(caller, asked, a_page):
    got = list(pages(caller, caller.run(ALL, **asked), **asked))
    rows = [line for page in got for line in page["rows"]]
    assert rows == [row(number + 1) for number in range(ROWS)]
    assert all(page["rows"] for page in got), "an empty page"
    assert len({page["cursor"] for page in got[:-1]}) == len(got) - 1
    assert all(len(page["cursor"]) == 16 for page in got[:-1])
    if a_page is not None:
        assert [len(page["rows"]) for page in got[:-1]] == [a_page] * (len(got) - 1)
        assert len(got) == -(-ROWS // a_page)
    else:
        assert len(got) > 5, "more than page_bytes came at once"
    print(f"{len(got)} pages of at most {max(len(page['rows']) for page in got)} rows")


@pytest.mark.parametrize("page_bytes", [2000, 20000, 262144])
def test_a_page_has_its_size_or_one_row(caller, page_bytes):
    first = caller.run(ALL, page_bytes=page_bytes, page_rows=100000)
    one_row = len(msgpack.packb(row(ROWS)))
    for number, page in enumerate(pages(caller, first, page_bytes=page_bytes)):
        size = len(msgpack.packb(page["rows"]))
        assert size <= page_bytes + one_row + 16, f"page {number} has {size} octets"
        if number == 20:
            caller.run(op="close", cursor=page["cursor"])
            break
    wide = caller.run("SELECT n, REPEAT('x', 70000) FROM demo.paged WHERE n < 4 ORDER BY n",
                      page_bytes=1)
    got = [page["rows"] for page in pages(caller, wide, page_bytes=1)]
    assert got == [[[number, "x" * 70000]] for number in (1, 2, 3)]


def test_what_fits_has_no_cursor(caller):
    for sql in ("SELECT n FROM demo.paged ORDER BY n LIMIT 1000", "SELECT 1", "SHOW TABLES",
                "SELECT n FROM demo.paged WHERE n < 0"):
        assert "cursor" not in caller.run(sql, db="demo"), sql
    assert "cursor" in caller.run("SELECT n FROM demo.paged LIMIT 1001")


def test_a_plain_req_socket_pages(cluster, numbers):
    rows, cursor = [], None
    with Raw(cluster.bundle, kind=zmq.REQ) as raw:
        while True:
            raw.socket.send(request(sql=ALL, page_rows=500) if cursor is None
                            else request(op="fetch", cursor=cursor, page_rows=500))
            assert raw.socket.poll(5000), "silence"
            reply = msgpack.unpackb(raw.socket.recv())
            assert reply["ok"], reply
            rows += reply["rows"]
            cursor = reply.get("cursor")
            if cursor is None:
                break
    assert rows == [row(number + 1) for number in range(ROWS)]
    wait_nothing_held(cluster)


def test_the_columns_and_their_metadata_come_with_every_page_that_asks(caller):
    first = caller.run("SELECT n AS number, word FROM demo.paged", page_rows=10, metadata=True)
    second = caller.run(op="fetch", cursor=first["cursor"], page_rows=10, metadata=True)
    for page in (first, second):
        assert [column[:2] for column in page["columns"]] == [["number", "INT"], ["word", "TEXT"]]
        schema, table, org_table, org_name, charset, length, decimals = page["metadata"][0]
        assert (schema, table, org_table, org_name) == ("demo", "paged", "paged", "n")
        assert (charset, decimals) == (63, 0) and length >= 10
        assert page["metadata"][1][3] == "word" and page["metadata"][1][4] != 63
    third = caller.run(op="fetch", cursor=second["cursor"], page_rows=10)
    assert "metadata" not in third
    caller.run(op="close", cursor=third["cursor"])


def test_a_cursor_is_good_for_one_fetch(caller):
    first = caller.run(ALL, page_rows=10)
    second = caller.run(op="fetch", cursor=first["cursor"], page_rows=10)
    assert second["rows"][0] == row(11)
    error = caller.fail(op="fetch", cursor=first["cursor"], page_rows=10)
    assert fate(error) == GONE and error["message"]
    # Whether the right one still works or not: no other rows than the next ones.
    reply = caller.call(op="fetch", cursor=second["cursor"], page_rows=10)
    if reply["ok"]:
        assert reply["rows"] == [row(number) for number in range(21, 31)]
        caller.run(op="close", cursor=reply["cursor"])
    else:
        assert fate(reply["error"]) == GONE


def test_two_fetches_at_once_get_one_page(caller):
    for _ in range(20):
        first = caller.run(ALL, page_rows=10)
        asked = [caller.post(op="fetch", cursor=first["cursor"], page_rows=10) for _ in range(2)]
        replies = [caller.take(one) for one in asked]
        served = [reply for reply in replies if reply["ok"]]
        assert [reply["rows"][0] for reply in served] == [row(11)]
        assert [fate(reply["error"]) for reply in replies if not reply["ok"]] == [GONE]
        caller.call(op="close", cursor=served[0]["cursor"])


def behind(cursor, count=1):
    """The cursor of the page that is so many pages behind the one that this one names."""
    page = int.from_bytes(cursor[14:], "big") + count
    return cursor[:14] + ((page - 1) % 65535 + 1).to_bytes(2, "big")


@pytest.mark.parametrize("in_session", [False, True], ids=["alone", "in a session"])
def test_pages_may_be_asked_for_before_their_turn(caller, in_session):
    keys = {"session": caller.run(op="begin", read_only=True)["session"]} if in_session else {}
    first = caller.run("SELECT n, word FROM demo.paged WHERE n <= 75 ORDER BY n", page_rows=10,
                       **keys)
    cursor, rows = first["cursor"], first["rows"]
    for at_once in (1, 2, 3, 3):
        asked = [caller.post(op="fetch", cursor=behind(cursor, count), page_rows=10)
                 for count in range(at_once)]
        replies = [caller.take(one) for one in asked]
        served = [reply for reply in replies if reply["ok"]]
        assert all(fate(reply["error"]) == GONE for reply in replies if not reply["ok"]), replies
        rows += [line for reply in served for line in reply["rows"]]
        # Nothing overtakes over one connection: what is refused is behind the last page.
        assert served == replies or "cursor" not in served[-1]
        assert all(reply["cursor"] == behind(cursor, count + 1)
                   for count, reply in enumerate(served) if "cursor" in reply)
        cursor = behind(cursor, at_once)
    assert rows == [row(number) for number in range(1, 76)]
    if in_session:
        caller.run(op="rollback", **keys)


def test_a_page_that_was_asked_for_too_early_is_good_in_its_turn(caller):
    first = caller.run(ALL, page_rows=10)
    cursor = first["cursor"]
    for early in (3, 2, 1):
        assert fate(caller.fail(op="fetch", cursor=behind(cursor, early), page_rows=10)) == GONE
    for count in range(4):
        page = caller.run(op="fetch", cursor=behind(cursor, count), page_rows=10)
        assert page["rows"][0] == row(10 * count + 11)
    caller.run(op="close", cursor=page["cursor"])


def test_a_cancel_ends_all_pages_that_are_under_way(caller):
    name = secrets.token_bytes(16)
    # Rows as long as these are sent by the server as they come.
    sql = "SELECT n, SLEEP(0.2), REPEAT('x', 20000) FROM demo.paged ORDER BY n"
    first = caller.run(sql, page_rows=2, timeout_ms=10000, id=name)
    asked = [caller.post(op="fetch", cursor=behind(first["cursor"], count), page_rows=500,
                         timeout_ms=30000, id=name) for count in range(3)]
    time.sleep(0.3)
    caller.run(op="cancel", id=name)
    for one in asked:
        error = caller.take(one)["error"]
        assert error["code"] in ("CANCELLED", "GONE"), error
    wait_gone(caller, op="fetch", cursor=first["cursor"])


def test_cursors_that_nobody_gave(caller):
    first = caller.run(ALL, page_rows=10)
    real = first["cursor"]
    made_up = [secrets.token_bytes(16), bytes(16), b"\xff" * 16,
               real[:8] + secrets.token_bytes(6) + real[14:],
               secrets.token_bytes(8) + real[8:], real[:14] + b"\x00\x00", real[:14] + b"\x00\x07"]
    for cursor in made_up:
        for op in ("fetch", "close"):
            if cursor[:14] == real[:14] and op == "close":
                continue
            wait_gone(caller, op=op, cursor=cursor)
    assert fate(caller.fail("SELECT 1", session=real)) == GONE
    caller.run(op="close", cursor=real)


def test_another_principal_cannot_use_a_cursor(cluster, caller):
    first = caller.run(ALL, page_rows=10)
    with Caller(cluster.bundle, keys=stranger_keys(cluster)) as stranger:
        for op in ("fetch", "close"):
            assert fate(stranger.fail(op=op, cursor=first["cursor"])) == GONE
    second = caller.run(op="fetch", cursor=first["cursor"], page_rows=10)
    assert second["rows"][0] == row(11)
    caller.run(op="close", cursor=second["cursor"])


def test_close_ends_it(cluster, caller):
    first = caller.run(ALL, page_rows=10, strategy="direct")
    source = cluster.source()
    assert statements(cluster, source, "demo.paged"), "the result is not read unbuffered"
    caller.run(op="close", cursor=first["cursor"])
    wait_until(lambda: not statements(cluster, source, "demo.paged"), 3, "the statement to end")
    for op in ("fetch", "close"):
        assert fate(caller.fail(op=op, cursor=first["cursor"])) == GONE


def test_open_cursors_do_not_take_the_pool(cluster, caller):
    """More cursors than the agent has threads, read in turns."""
    source = cluster.source()
    count = cluster.setting(cluster.agent_of(source), "pool/threads") + 8
    count = min(count, cluster.setting(cluster.agent_of(source), "cursors/principal_max"))
    open_pages = [caller.run(ALL, page_rows=100, strategy="direct") for _ in range(count)]
    assert caller.run("SELECT 1", strategy="direct")["rows"] == [[1]]
    for turn in range(1, 4):
        asked = [caller.post(op="fetch", cursor=page["cursor"], page_rows=100)
                 for page in open_pages]
        open_pages = [caller.take(one) for one in asked]
        for page in open_pages:
            assert page["ok"] and page["rows"][0] == row(turn * 100 + 1)
    for page in open_pages:
        caller.run(op="close", cursor=page["cursor"])


def test_writes_meanwhile_do_not_show(cluster, caller):
    make_numbers(cluster, "moving", ROWS, word="CONCAT('row ', {n}, REPEAT(' filler', 40))")
    first = caller.run("SELECT n, word FROM demo.moving ORDER BY n", page_rows=10,
                       strategy="direct")
    changed = caller.run("UPDATE demo.moving SET word = 'changed' WHERE n MOD 2 = 0")["affected"]
    gone = caller.run("DELETE FROM demo.moving WHERE n MOD 2 = 1")["affected"]
    assert changed == gone == ROWS // 2
    rows = [line for page in pages(caller, first) for line in page["rows"]]
    assert rows == [row(number + 1) for number in range(ROWS)]


def test_rows_of_megabytes(caller):
    size = 5 * 1024 * 1024
    first = caller.run(f"SELECT n, REPEAT(CHAR(64 + n), {size}) FROM demo.paged WHERE n < 5 "
                       "ORDER BY n")
    got = [page["rows"] for page in pages(caller, first)]
    assert [[len(rows), rows[0][0]] for rows in got] == [[1, 1], [1, 2], [1, 3], [1, 4]]
    for (number, text), in got:
        text = text.decode() if isinstance(text, bytes) else text
        assert text == chr(64 + number) * size
    big = caller.run("SELECT REPEAT('y', 16777216)")["rows"][0][0]
    assert len(big) == 16777216 and set(big) == {"y"}


@pytest.mark.parametrize("size", [18500000, 40000000])
def test_a_row_that_no_reply_can_hold(cluster, caller, size):
    """It is an error, at once or in the middle, and whatever ran it goes on."""
    error = caller.fail(f"SELECT REPEAT('z', {size})")
    assert fate(error) == ("TOO_LARGE", "never")
    first = caller.run(f"SELECT n, REPEAT('z', IF(n = 3, {size}, 10)) FROM demo.paged "
                       "WHERE n < 5 ORDER BY n", page_rows=1, strategy="direct")
    # Whoever looks for a next row may meet it a page early.
    reply, rows = first, 0
    while reply["ok"]:
        rows, last = rows + len(reply["rows"]), reply["cursor"]
        reply = caller.call(op="fetch", cursor=last, page_rows=1)
    assert reply["error"]["code"] == "TOO_LARGE" and 1 <= rows <= 2
    assert fate(caller.fail(op="fetch", cursor=last)) == GONE
    for _ in range(20):
        assert caller.run("SELECT 7", strategy="direct")["rows"] == [[7]]
    wait_until(lambda: not statements(cluster, cluster.source(), str(size)), 5, "it to end")


def test_an_error_in_the_middle(caller):
    sql = "SELECT n, word, EXP(IF(n = 5000, 1000, 1)) FROM demo.paged ORDER BY n"
    reply, count = caller.run(sql, page_rows=500), 0
    while reply["ok"]:
        count += len(reply["rows"])
        last = reply["cursor"]
        reply = caller.call(op="fetch", cursor=last, page_rows=500)
    error = refusal(reply)
    assert error["code"] == "SQL" and error["errno"] == 1690 and error["sqlstate"] == "22003"
    assert 0 < count < 5000
    assert fate(caller.fail(op="fetch", cursor=last)) == GONE


def test_a_fetch_has_a_deadline(cluster, caller):
    sql = "SELECT n, REPEAT('w', 20000), SLEEP(IF(n < 20, 0, 0.5)) FROM demo.paged ORDER BY n"
    page = caller.run(sql, page_rows=5, strategy="direct")
    source = cluster.source()
    with timed() as took:
        reply = page
        while reply["ok"]:
            page = reply
            with timed() as took:
                reply = caller.call(op="fetch", cursor=page["cursor"], page_rows=5,
                                    page_bytes=200000, timeout_ms=700)
    error = refusal(reply)
    assert error["code"] == "DEADLINE" and error["retry"] in ("safe", "never")
    assert took[0] < 0.8 + SLACK_S, took
    assert fate(caller.fail(op="fetch", cursor=page["cursor"])) == GONE
    wait_until(lambda: not statements(cluster, source, "20000"), 3, "the statement to end")


@pytest.mark.skipif(FLAVOR != "mariadb", reason="MySQL has no RETURNING")
def test_what_a_write_returns_comes_whole(cluster, caller):
    make_table(cluster, "returned", "n INT PRIMARY KEY")
    reply = caller.run("INSERT INTO demo.returned SELECT n FROM demo.paged WHERE n <= 2500 "
                       "RETURNING n", page_rows=10)
    assert len(reply["rows"]) == 2500 and "cursor" not in reply


def test_a_cursor_in_a_session(caller):
    session = caller.begin()
    first = session.run(ALL, page_rows=2000, page_bytes=8388608)
    rows = [line for page in pages(caller, first, page_rows=2000, page_bytes=8388608)
            for line in page["rows"]]
    assert rows == [row(number + 1) for number in range(ROWS)]
    second = session.run(ALL, page_rows=10)
    caller.run(op="close", cursor=second["cursor"])
    assert fate(caller.fail(op="fetch", cursor=second["cursor"])) == GONE
    third = session.run(ALL, page_rows=10)
    assert session.rows("SELECT 5") == [[5]], "the next statement closes it"
    assert fate(caller.fail(op="fetch", cursor=third["cursor"])) == GONE
    fourth = session.run(ALL, page_rows=10)
    session.commit()
    assert fate(caller.fail(op="fetch", cursor=fourth["cursor"])) == GONE


def test_an_old_cursor_of_a_session_names_no_later_result(caller):
    session = caller.begin()
    texts = [f"SELECT n, {number} FROM demo.paged ORDER BY n" for number in range(4)]
    first, second = [session.run(sql, page_rows=10) for sql in texts[:2]]
    for op in ("fetch", "close"):
        assert fate(caller.fail(op=op, cursor=first["cursor"])) == GONE
    page = caller.run(op="fetch", cursor=second["cursor"], page_rows=1)
    assert page["rows"] == [[11, 1]]
    third = session.run(texts[2], page_rows=10)
    caller.run(op="close", cursor=third["cursor"])
    fourth = session.run(texts[3], page_rows=10)
    assert fate(caller.fail(op="fetch", cursor=third["cursor"])) == GONE
    page = caller.run(op="fetch", cursor=fourth["cursor"], page_rows=1)
    assert page["rows"] == [[11, 3]]
    session.rollback()


def test_a_cursor_of_its_own_is_no_session(caller):
    session = caller.begin()
    with_cursor = caller.run(ALL, page_rows=10)
    assert fate(caller.fail(op="commit", session=with_cursor["cursor"])) == GONE
    assert fate(caller.fail(op="fetch", cursor=session.ident)) == GONE
    assert caller.run(op="fetch", cursor=with_cursor["cursor"], page_rows=1)["rows"] == [row(11)]
    assert session.rows("SELECT 1") == [[1]]
    session.rollback()


def test_a_cursor_goes_with_its_agent(cluster, caller):
    replica = cluster.replicas()[0]

    def on_replica():
        page = caller.run(ALL, page_rows=10, strategy="random")
        if page["route"]["node"] == replica:
            return page
        caller.run(op="close", cursor=page["cursor"])
        return None

    page = wait_until(on_replica, 10, "a cursor on the replica")
    cluster.kill(cluster.agent_of(replica))
    try:
        # Nobody knows yet that the same run does not come back, perhaps not even that it ended.
        assert fate(caller.fail(op="fetch", cursor=page["cursor"])) in (
            GONE, ("NO_NODE", "safe"), ("LOST", "never"))
    finally:
        cluster.start(cluster.agent_of(replica))
        cluster.heal()
    assert fate(caller.fail(op="fetch", cursor=page["cursor"])) == GONE
    wait_until(lambda: not statements(cluster, replica, "demo.paged"), 3, "its statement to end")


# --- Limits, where they are small ----------------------------------------------------


@pytest.fixture(scope="module")
def small_numbers(small_cluster):
    small_cluster.heal()
    make_numbers(small_cluster, "paged", ROWS, word="CONCAT('row ', {n}, REPEAT(' filler', 40))")


@pytest.fixture
def few(small, small_numbers):
    with Caller(small.bundle) as one:
        yield one
    wait_nothing_held(small)


def test_an_idle_cursor_is_closed(small, few):
    page = few.run(ALL, page_rows=10)
    assert statements(small, "node1", "demo.paged")
    wait_until(lambda: held(small) == (0, 1), 3, "the cursor to be counted")
    for _ in range(3):
        time.sleep(1.5)  # half of what it may be idle
        page = few.run(op="fetch", cursor=page["cursor"], page_rows=10)
    assert page["rows"][0] == row(31)
    time.sleep(3.3)
    assert fate(few.fail(op="fetch", cursor=page["cursor"])) == GONE
    wait_until(lambda: not statements(small, "node1", "demo.paged"), 3, "the statement to end")


def test_an_old_cursor_is_closed(small, few):
    page, begun = few.run(ALL, page_rows=1), time.monotonic()
    reply = page
    while reply["ok"]:
        assert time.monotonic() - begun < 12, "older than cursors/age_ms allows"
        time.sleep(0.3)
        reply = few.call(op="fetch", cursor=reply["cursor"], page_rows=1)
    assert fate(reply["error"]) == GONE
    assert time.monotonic() - begun > 7.9


def test_a_principal_and_an_agent_have_their_cursors_counted(small, few):
    # An idle one would end in the middle of a test that is scheduled late.
    keys = stranger_keys(small)
    mine = [few.run(ALL, page_rows=10) for _ in range(4)]
    error = few.fail(ALL, page_rows=10)
    assert fate(error) == ("OVERLOADED", "safe") and error["retry_after_ms"] > 0
    assert few.run("SELECT 3")["rows"] == [[3]], "what needs no cursor is served"
    with Caller(small.bundle, keys=keys) as stranger:
        theirs = [stranger.run(ALL, page_rows=10) for _ in range(2)]
        error = stranger.fail(ALL, page_rows=10)
        assert fate(error) == ("OVERLOADED", "safe") and error["retry_after_ms"] > 0
        few.run(op="close", cursor=mine.pop()["cursor"])
        theirs.append(stranger.run(ALL, page_rows=10))
        assert len(statements(small, "node1", "demo.paged")) == 6
    for page in mine:
        few.run(op="close", cursor=page["cursor"])


def test_refused_and_closed_cursors_leave_no_connection(small, few):
    few.run("SELECT 1")
    before = len(connections(small, "node1"))
    for _ in range(100):
        page = few.run(ALL, page_rows=10)
        few.run(op="close", cursor=page["cursor"])
    wait_nothing_held(small)
    after = len(connections(small, "node1"))
    print(f"connections: {before} before, {after} after 100 cursors")
    assert after <= before + 8
