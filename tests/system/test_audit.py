"""The audit on a real cluster: it tells of everything that was done, before it was done, and of
nothing that must not be written down; and without it nothing is changed."""
import contextlib
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time

import msgpack
import pytest

from caller import Caller, fate, stranger_keys
from harness import Cluster, wait_until

# Stands in statements, parameters, comments and errors, and must stand in no line.
LITERAL = "Schwertlilie"
PAIR = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\x[0-9a-f]{2})*)"|(\S*))')
UNAVAILABLE = ("UNAVAILABLE", "safe")


class Audit:
    """The audit's folder of a cluster."""

    def __init__(self, cluster):
        self.cluster, self.folder = cluster, pathlib.Path(cluster.var) / "audit"

    def text(self):
        """All that stands there; a file may be deleted meanwhile."""
        found = []
        for file in sorted(self.folder.glob("audit-*.log")):
            with contextlib.suppress(FileNotFoundError):
                found.append(file.read_text(encoding="ascii"))
        return "".join(found)

    def lines(self, **wanted):
        """Whole lines as maps, those that have these values."""
        found = []
        for line in self.text().splitlines():
            one = {key: bare or quoted for key, quoted, bare in PAIR.findall(line)}
            if "chain" in one and all(one.get(key) == value for key, value in wanted.items()):
                found.append(one)
        return found

    def of(self, asked):
        """Kind and code of each line of a request, in order."""
        return [(one["kind"], one.get("code")) for one in self.lines(id=asked.ident.hex())]

    def settled(self, asked, expected):
        """Waits for what nobody waits for."""
        wait_until(lambda: self.of(asked) == expected, 5, f"{expected}, not {self.of(asked)}")

    def verify(self, *options, folder=None, code=0):
        done = self.cluster.command("audit", "verify", *options, str(folder or self.folder),
                                    check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def audited_cluster():
    with Cluster.running("audit", nodes=1) as one:
        yield one


@pytest.fixture
def audited(audited_cluster):
    """A cluster of one node, whole, with an empty table demo.audited."""
    audited_cluster.heal()
    wait_served(audited_cluster)
    audited_cluster.sql(audited_cluster.source(), "DROP TABLE IF EXISTS demo.audited; CREATE TABLE "
                        "demo.audited (id VARCHAR(64) PRIMARY KEY, note VARCHAR(64))")
    yield audited_cluster
    audited_cluster.heal()


@pytest.fixture
def caller(audited):
    with Caller(audited.bundle) as one:
        yield one


def insert(caller, **keys):
    """A write that leaves its own id in the database."""
    ident = secrets.token_bytes(16)
    return caller.post(f"INSERT INTO demo.audited VALUES (?, '{LITERAL}')", [ident.hex()],
                       id=ident, **keys)


def stored(cluster):
    """Ids of the requests whose effect stands in the database."""
    return {row[0] for row in cluster.sql(cluster.source(), "SELECT id FROM demo.audited")}


def wait_served(cluster):
    """The gatekeeper has found the broker again."""
    with Caller(cluster.bundle) as own:
        wait_until(lambda: own.call("SELECT 1")["ok"], 15, "to be served again")


# --- What stands in it --------------------------------------------------------------


def test_a_write_has_a_line_before_and_one_after_it(audited, caller):
    audit = Audit(audited)
    asked = insert(caller)
    assert caller.take(asked)["ok"]
    audit.settled(asked, [("start", "OK"), ("end", "OK")])
    start, end = audit.lines(id=asked.ident.hex())
    for line in (start, end):
        assert (line["principal"], line["role"], line["op"], line["class"]) == (
            "local", "app", "query", "write")
        assert line["digest"] == start["digest"] and int(line["seq"]) > 0
    assert end["rows"] == "1" and end["node"] == audited.source() and end["token"]
    text = audit.lines(kind="digest", digest=start["digest"])
    assert text[0]["text"] == "insert into demo.audited values (?, ?)"


def test_a_read_has_one_line(audited, caller):
    audit = Audit(audited)
    asked = caller.post(f"SELECT '{LITERAL}', 1 UNION SELECT 'b', 2")
    assert caller.take(asked)["ok"]
    audit.settled(asked, [("done", "OK")])
    line = audit.lines(id=asked.ident.hex())[0]
    assert (line["class"], line["rows"], line["node"]) == ("read", "2", audited.source())


def test_a_refusal_names_its_rule(audited, caller):
    audit = Audit(audited)
    asked = caller.post("FLUSH TABLES")
    assert caller.take(asked)["error"]["code"] == "FORBIDDEN"
    audit.settled(asked, [("done", "FORBIDDEN")])
    line = audit.lines(id=asked.ident.hex())[0]
    assert (line["rule"], line["class"]) == ("class", "admin")


def test_an_error_of_the_database_is_an_outcome_without_its_words(audited, caller):
    audit = Audit(audited)
    first = insert(caller)
    assert caller.take(first)["ok"]
    again = caller.post("INSERT INTO demo.audited VALUES (?, ?)", [first.ident.hex(), LITERAL])
    assert caller.take(again)["error"]["errno"] == 1062
    audit.settled(again, [("start", "OK"), ("end", "SQL")])
    assert f"Duplicate entry '{first.ident.hex()}'" not in audit.text()


def test_each_statement_of_a_txn_has_a_line(audited, caller):
    audit = Audit(audited)
    ids = [secrets.token_hex(16) for _ in range(3)]
    asked = caller.post(op="txn", statements=[
        {"sql": f"INSERT INTO demo.audited VALUES (?, '{LITERAL}')", "params": [one]}
        for one in ids])
    assert caller.take(asked)["ok"]
    audit.settled(asked, [("statement", None)] * 3 + [("start", "OK"), ("end", "OK")])
    lines = audit.lines(id=asked.ident.hex(), kind="statement")
    assert [line["statement"] for line in lines] == ["0", "1", "2"]
    assert all(len(line["digest"]) == 16 for line in lines)


def test_the_statements_of_a_session_are_there_with_its_id(audited, caller):
    audit = Audit(audited)
    session = caller.begin()
    asked = session.post(f"UPDATE demo.audited SET note = '{LITERAL}' WHERE id = 'nobody'")
    assert caller.take(asked)["ok"]
    session.rollback()
    audit.settled(asked, [("start", "OK"), ("end", "OK")])
    ident = audit.lines(id=asked.ident.hex())[0]["session"]
    assert bytes.fromhex(ident)[:14] == session.ident[:14]


def test_the_command_shows_and_filters(audited, caller):
    audit = Audit(audited)
    asked = caller.post("FLUSH TABLES")
    caller.take(asked)
    write = insert(caller)
    caller.take(write)
    audit.settled(asked, [("done", "FORBIDDEN")])
    audit.settled(write, [("start", "OK"), ("end", "OK")])

    def tail(*options):
        return audited.command("audit", "tail", *options, str(audit.folder)).stdout.splitlines()

    assert [line for line in tail("--refused", "--rule", "class")
            if f"id={asked.ident.hex()}" in line]
    assert len(tail("--id", write.ident.hex())) == 2
    shown = tail("--id", write.ident.hex(), "--text")
    assert len(shown) == 4 and "insert into" in shown[1]
    assert tail("--principal", "nobody") == []
    assert len(tail("-n", "3")) == 3


def test_tail_follows(audited, caller):
    audit = Audit(audited)
    process = subprocess.Popen(
        [audited.info["command"], "audit", "tail", "-n", "0", "-f", "--kind", "end",
         str(audit.folder)], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: alive_reader(process), 5, "tail has the file open")
        asked = insert(caller)
        caller.take(asked)
        assert f"id={asked.ident.hex()}" in process.stdout.readline()
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def alive_reader(process):
    links = pathlib.Path(f"/proc/{process.pid}/fd").iterdir()
    return any("audit-" in str(link.resolve()) for link in links)


def workload(cluster, number, stop, told):
    """Writes, reads, failures and refusals, each told as (id, what was answered)."""
    with Caller(cluster.bundle) as own:
        turn = 0
        while not stop.is_set():
            turn += 1
            kinds = (
                lambda: insert(own),
                lambda: own.post(f"SELECT '{LITERAL}', {turn}"),
                lambda: own.post("INSERT INTO demo.audited VALUES ('same', ?)", [LITERAL]),
                lambda: own.post(f"DROP USER '{LITERAL}'@'{number}'"),
                lambda: own.post(f"SELECT '{LITERAL}' FROM"),
                lambda: own.post(f"/* {LITERAL} */ UPDATE demo.audited SET note = "
                                 f"'{LITERAL}{turn}' WHERE id = ?", [LITERAL]),
            )
            asked = kinds[turn % len(kinds)]()
            with contextlib.suppress(AssertionError):
                reply = own.take(asked, 10)
                told[asked.ident.hex()] = "OK" if reply["ok"] else reply["error"]["code"]


def run_workload(cluster, meanwhile, threads=6):
    """{id: what its client was told} of everything that was answered while `meanwhile` ran."""
    told, stop = {}, threading.Event()
    workers = [threading.Thread(target=workload, args=(cluster, number, stop, told))
               for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        meanwhile()
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=15)
    return told


def test_it_is_complete_and_has_no_literal(audited):
    """Every answer that a client got has its outcome in the log, every effect in the database a
    line from before it, and nothing of a statement's values is anywhere."""
    audit = Audit(audited)
    told = run_workload(audited, lambda: time.sleep(4))
    assert len(told) > 200 and {"OK", "SQL", "FORBIDDEN"} <= set(told.values()), len(told)
    audited.stop("broker")
    lines = audit.lines()
    outcomes, starts = {}, set()
    for line in lines:
        if line["kind"] in ("done", "end"):
            assert line["id"] not in outcomes, f"two outcomes: {line}"
            outcomes[line["id"]] = line["code"]
        elif line["kind"] == "start":
            assert line["id"] not in outcomes and line["id"] not in starts
            starts.add(line["id"])
    wrong = {ident: (code, outcomes.get(ident)) for ident, code in told.items()
             if outcomes.get(ident) != code}
    assert not wrong, wrong
    assert stored(audited) - {"same"} <= starts
    assert LITERAL not in audit.text()
    assert LITERAL.lower() not in audited.log("broker").lower()
    audit.verify()
    audited.start("broker")


# --- What is done to it -------------------------------------------------------------


def test_verify_names_what_was_done_to_a_copy(audited, caller, tmp_path):
    for _ in range(20):
        assert caller.take(insert(caller))["ok"]
    audited.restart("broker")
    audit = Audit(audited)
    head = audit.verify().splitlines()[-1].split()[1]
    original = sorted(audit.folder.glob("audit-*.log"))[-1]
    lines = original.read_text().splitlines(keepends=True)
    at = len(lines) // 2

    def judge(changed, *options):
        folder = tmp_path / secrets.token_hex(4)
        shutil.copytree(audit.folder, folder)
        (folder / original.name).write_text("".join(changed))
        return audit.verify(*options, folder=folder, code=2).splitlines()[0]

    place = f"{original.name}:{at + 1}: "
    assert place in judge(lines[:at] + [lines[at].replace("kind", "kimd")] + lines[at + 1:])
    assert place in judge(lines[:at] + lines[at + 1:])
    assert place in judge(lines[:at] + [lines[at + 1], lines[at]] + lines[at + 2:])
    assert place in judge(lines[:at] + [lines[at][:40]])
    assert "head" in judge(lines[:at], "--expect-head", head)
    audit.verify("--expect-head", head)


def test_a_broker_that_is_killed_under_load_leaves_a_log_that_is_whole(audited):
    """Nothing that was answered as written lacks its line, and the chain goes on (F-17, I-18)."""
    audit = Audit(audited)

    def kill():
        for _ in range(4):
            time.sleep(1.5)
            audited.kill("broker")
            audited.start("broker")
        time.sleep(1.5)

    told = run_workload(audited, kill)
    audited.heal()
    audited.stop("broker")
    assert "all is well" in audit.verify()
    starts = {line["id"] for line in audit.lines(kind="start")}
    effects = stored(audited) - {"same"}
    assert len(effects) > 30 and effects <= starts
    written = {ident for ident, code in told.items() if code == "OK"}
    assert len(written) > 100
    assert len(audit.lines(kind="open")) + len(audit.lines(kind="resume")) >= 5
    assert LITERAL not in audit.text()
    audited.start("broker")


# --- When it cannot be written --------------------------------------------------------


@contextlib.contextmanager
def small_disk(cluster):
    """The audit's folder is a file system of 2 MiB for the with block; the broker is restarted."""
    audit = Audit(cluster)
    audit.folder.mkdir(exist_ok=True)
    cluster.stop("broker")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(audit.folder)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"this test mounts a small file system: {done.stderr}"
    try:
        cluster.start("broker")
        wait_served(cluster)
        yield audit
    finally:
        cluster.stop("broker")
        subprocess.run(["umount", "-l", str(audit.folder)], check=True)
        cluster.heal()


def fill(audit):
    """Takes all room of the small disk; the file that holds it."""
    ballast = audit.folder / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def write_until_refused(caller):
    """Writes until one is refused; how many went through."""
    for count in range(2000):
        reply = caller.take(insert(caller, timeout_ms=1000))
        if not reply["ok"]:
            # The first has its line on the way, and waits for room as long as it can.
            assert fate(reply["error"]) in (UNAVAILABLE, ("DEADLINE", "safe")), reply
            return count
    raise AssertionError("a full disk refuses no write")


def refused_only(cluster, caller, seconds):
    """For a while every write is refused, at once, and does nothing."""
    deadline, worst = time.monotonic() + seconds, 0.0
    count = 0
    while time.monotonic() < deadline:
        start = time.monotonic()
        asked = insert(caller)
        reply = caller.take(asked)
        worst = max(worst, time.monotonic() - start)
        assert not reply["ok"] and fate(reply["error"]) == UNAVAILABLE, reply
        assert asked.ident.hex() not in stored(cluster)
        count += 1
    assert count > 3 and worst < 1.0, (count, worst)


def test_a_full_disk_refuses_writes_and_serves_reads_until_there_is_room(audited):
    with small_disk(audited) as audit, Caller(audited.bundle) as caller:
        assert caller.take(insert(caller))["ok"]
        ballast = fill(audit)
        write_until_refused(caller)
        refused_only(audited, caller, 1.5)
        for number in range(20):
            assert caller.run(f"SELECT {number}")["rows"] == [[number]]
        assert caller.run(op="ping")
        ballast.unlink()
        asked = wait_until(lambda: next((one for one in [insert(caller)]
                                         if caller.take(one)["ok"]), None), 5, "writes again")
        audit.settled(asked, [("start", "OK"), ("end", "OK")])
        wait_until(lambda: audit.lines(kind="gap"), 5, "a line for what was lost")
        assert "all is well" in audit.verify()
        starts = {line["id"] for line in audit.lines(kind="start")}
        assert stored(audited) <= starts
        # What was refused after its first line was written has an end that says so.
        ends = {line["id"] for line in audit.lines(kind="end")}
        wait_until(lambda: starts <= {line["id"] for line in audit.lines(kind="end")}, 5,
                   f"an end for each start, {starts - ends}")


@contextlib.contextmanager
def settings(cluster, **changed):
    """The broker runs with these settings of the audit for the with block."""
    config = pathlib.Path(cluster.part("broker")["config"])
    text = config.read_text()
    try:
        cluster.stop("broker")
        lines = text.splitlines()
        at = lines.index("audit") + 1
        lines[at:at] = [f'    {key} = "{value}"' for key, value in changed.items()]
        config.write_text("\n".join([*lines, ""]))
        cluster.start("broker")
        wait_served(cluster)
        yield
    finally:
        cluster.stop("broker")
        config.write_text(text)
        cluster.heal()


def test_reads_that_need_a_line_are_refused_too(audited):
    with settings(audited, reads="need"), small_disk(audited) as audit, \
            Caller(audited.bundle) as caller:
        fill(audit)
        write_until_refused(caller)
        assert fate(caller.fail("SELECT 1")) == UNAVAILABLE
        (audit.folder / "ballast").unlink()
        wait_until(lambda: caller.call("SELECT 1")["ok"], 5, "reads again")


def test_with_reads_off_only_refusals_and_writes_have_lines(audited):
    audit = Audit(audited)
    with settings(audited, reads="off"), Caller(audited.bundle) as caller:
        read, write, refused = caller.post("SELECT 1"), insert(caller), caller.post("FLUSH TABLES")
        for asked in (read, write, refused):
            caller.take(asked)
        audit.settled(write, [("start", "OK"), ("end", "OK")])
        audit.settled(refused, [("done", "FORBIDDEN")])
        assert audit.of(read) == []


def test_in_batches_a_killed_broker_loses_no_write(audited):
    audit = Audit(audited)
    with settings(audited, sync="batch", sync_ms="1000"):
        with Caller(audited.bundle) as caller:
            written = []
            for _ in range(100):
                asked = insert(caller)
                assert caller.take(asked)["ok"]
                written.append(asked.ident.hex())
        audited.kill("broker")
        assert set(written) <= {line["id"] for line in audit.lines(kind="start")}
        audited.start("broker")
        assert "all is well" in audit.verify()


def test_files_are_rotated_and_the_oldest_go(audited):
    audit = Audit(audited)
    with settings(audited, size_max="65536", keep="3"), Caller(audited.bundle) as caller:
        first = sorted(audit.folder.glob("audit-*.log"))[0]
        while first.exists():
            asked = [caller.post(f"SELECT {number}") for number in range(50)]
            for one in asked:
                assert caller.take(one)["ok"]
        sizes = [file.stat().st_size for file in audit.folder.glob("audit-*.log")]
        assert 2 <= len(sizes) <= 4 and sum(sizes) <= 4 * 65536 + 8192, sizes
        assert "all is well" in audit.verify()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace lets the sync fail")
def test_after_a_failed_sync_the_broker_ends_and_nothing_was_done(audited):
    """What the kernel could not write it forgets, and calls the next sync good (F-29)."""
    audit = Audit(audited)
    pid = audited.pid("broker")
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(audit.cluster.var / "strace.txt"), "-e",
         "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p", str(pid)],
        stderr=subprocess.PIPE, text=True)
    try:
        status = pathlib.Path(f"/proc/{pid}/status")
        wait_until(lambda: "TracerPid:\t0\n" not in status.read_text(), 10, "strace attaches")
        with Caller(audited.bundle) as caller:
            asked = insert(caller)
            reply = caller.take(asked)
        assert not reply["ok"] and reply["error"]["retry"] in ("safe", "unsafe"), reply
        audited.wait_ended("broker", 10)
    finally:
        tracer.send_signal(signal.SIGTERM)
        tracer.wait(timeout=10)
        tracer.stderr.close()
    assert asked.ident.hex() not in stored(audited)
    assert "Input/output error" in audited.log("broker")
    audited.start("broker")
    audit.verify()
    with Caller(audited.bundle) as caller:
        assert wait_until(lambda: caller.take(insert(caller))["ok"], 10, "writes again")


def test_a_keyed_chain_needs_its_key(audited, tmp_path):
    audit = Audit(audited)
    key = tmp_path / "audit.key"
    key.write_text(secrets.token_hex(32) + "\n")
    key.chmod(0o600)
    kept = tmp_path / "kept"
    audited.stop("broker")
    shutil.move(audit.folder, kept)
    audit.folder.mkdir()
    try:
        with settings(audited, key_file=str(key)), Caller(audited.bundle) as caller:
            assert caller.take(insert(caller))["ok"]
            assert "all is well" in audit.verify("--key", str(key))
            audit.verify(code=2)
    finally:
        audited.stop("broker")
        shutil.rmtree(audit.folder)
        shutil.move(kept, audit.folder)
        audited.start("broker")


def test_a_principal_that_is_taken_out_is_an_event_or_a_refusal(audited):
    """Who is not in the policy any more leaves a trace when it asks."""
    audit = Audit(audited)
    keys = stranger_keys(audited)
    with Caller(audited.bundle, keys=keys) as caller:
        caller.run("SELECT 1")
        audited.admit("stranger", keys[0], policy=False)
        wait_until(lambda: not caller.call("SELECT 1", timeout_s=5)["ok"], 10, "FORBIDDEN")
        wait_until(lambda: [line for line in audit.lines(principal="stranger")
                            if line.get("code") == "FORBIDDEN" or line["kind"] == "event"], 5,
                   "a line of it")
    audited.dismiss("stranger")


def test_the_log_of_the_broker_names_the_head(audited, caller):
    audit = Audit(audited)
    assert caller.take(insert(caller))["ok"]
    audited.restart("broker")
    heads = re.findall(r"event=audit_head seq=(\d+) chain=([0-9a-f]{64})", audited.log("broker"))
    assert heads
    audit.verify("--expect-head", ":".join(heads[-1]))


def test_a_reply_that_is_no_map_is_not_looked_into(audited, caller):
    """Whatever the request, the audit has no octet of a payload."""
    marker = f"{LITERAL}-{secrets.token_hex(4)}"
    with contextlib.suppress(AssertionError):
        caller.send(b"tag!", b"", msgpack.packb({"v": 1, "id": marker, "sql": marker, marker: 1}))
    caller.socket.poll(2000)
    assert marker not in Audit(audited).text()
