"""The command: formats, parameters, exit codes; and the examples that the README shows."""
import csv
import io
import json
import pathlib
import re
import subprocess
import sys

import msgpack
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def run(cluster):
    def call(*arguments, stdin=None, binary=False):
        return subprocess.run([cluster.info["command"],
    "--bundle",
    cluster.bundle,
    *map(str,
    arguments)],
    input=stdin,
    capture_output=True,
    text=not binary,
    timeout=30,
     check=False)
    return call


def test_query_prints_a_table(run):
    answer = run("query", "SELECT 1 AS one, 'zwei' AS two, NULL AS three")
    assert answer.returncode == 0, answer.stderr
    assert all(word in answer.stdout for word in ("one", "two", "three", "zwei", "NULL"))


def test_json_csv_and_msgpack_hold_the_same(run):
    sql = "SELECT id, name FROM customers ORDER BY id LIMIT 5"
    rows = run("query", sql, "--db", "demo", "--format", "csv")
    assert rows.returncode == 0, rows.stderr
    parsed = list(csv.reader(io.StringIO(rows.stdout)))
    assert parsed[0] == ["id", "name"] and len(parsed) == 6
    text = run("query", sql, "--db", "demo", "--format", "json").stdout
    assert text.strip()
    as_json = json.loads(text)
    assert "customers" not in text and str(as_json).count("id") >= 1
    packed = run("query", sql, "--db", "demo", "--format", "msgpack", binary=True)
    assert packed.returncode == 0
    reply = msgpack.unpackb(packed.stdout)
    assert [str(row[0]) for row in reply["rows"]] == [row[0] for row in parsed[1:]]
    vertical = run("query", sql, "--db", "demo", "--format", "vertical").stdout
    assert vertical.count("name") == 5


def test_params_strategy_and_route(run, cluster):
    answer = run(
    "query",
    "SELECT ? AS a, ? AS b",
    "--param",
    "i:42",
    "--param",
    "s:text",
    "--strategy",
    "direct",
    "--route",
    "--format",
     "csv")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "42,text"
    assert cluster.source() in answer.stderr


def test_statements_from_stdin_and_file(run, tmp_path):
    text = "SELECT 'a;b' AS x; -- comment; here\nSELECT 2;\n"
    piped = run("query", "--format", "csv", stdin=text)
    assert piped.returncode == 0, piped.stderr
    assert "a;b" in piped.stdout and "2" in piped.stdout
    file = tmp_path / "statements.sql"
    file.write_text(text)
    assert run("query", "-f", file, "--format", "csv").stdout == piped.stdout


@pytest.mark.parametrize("arguments, code", [
    (["query", "SELECT * FROM nowhere.nothing"], 1),
    (["query", "SELECT 1; DROP TABLE x /*! y */"], 2),
    (["query", "GRANT ALL ON *.* TO x"], 2),
    (["query", "SELECT SLEEP(5)", "--timeout", "200"], 3),
    (["query", "--no-such-option"], 64),
    (["no-such-command"], 64),
])
def test_exit_codes_for_scripts(run, arguments, code):
    answer = run(*arguments)
    assert answer.returncode == code, answer
    assert answer.stderr.strip()


def test_a_missing_bundle_is_78(cluster):
    answer = subprocess.run([cluster.info["command"], "--bundle", "/nonexistent/bundle", "ping"],
                            capture_output=True, text=True, timeout=10, check=False)
    assert answer.returncode == 78 and "/nonexistent/bundle" in answer.stderr


def test_an_absent_gatekeeper_is_3(cluster, tmp_path):
    text = pathlib.Path(cluster.bundle).read_text()
    bundle = tmp_path / "absent.bundle"
    bundle.touch(mode=0o600)
    bundle.write_text(re.sub(r"tcp://127\.0\.0\.1:\d+", "tcp://127.0.0.1:9", text))
    answer = subprocess.run([cluster.info["command"],
    "--bundle",
    bundle,
    "query",
    "SELECT 1",
    "--timeout",
    "500"],
    capture_output=True,
    text=True,
    timeout=10,
     check=False)
    assert answer.returncode == 3 and "UNAVAILABLE" in answer.stderr


def test_ping_and_status(run, cluster):
    assert run("ping", "--count", 3, "--interval", 10).returncode == 0
    answer = run("status")
    assert answer.returncode == 0
    for node in cluster.nodes():
        assert node in answer.stdout
    assert "custom" in answer.stdout and "source" in answer.stdout
    as_json = json.loads(run("status", "--json").stdout)
    assert {node["name"] for node in as_json["nodes"]} == set(cluster.nodes())


def test_help_teaches(cluster):
    for arguments in (["--help"], ["query", "--help"], ["status", "--help"], ["ping", "--help"],
                      ["keygen", "--help"]):
        answer = subprocess.run([cluster.info["command"], *arguments],
                                capture_output=True, text=True, timeout=10, check=False)
        assert answer.returncode == 0 and len(answer.stdout) > 200
        assert "portcullis" in answer.stdout


def test_keygen_writes_a_private_file(cluster, tmp_path):
    file = tmp_path / "new.key"
    answer = subprocess.run([cluster.info["command"], "keygen", file],
                            capture_output=True, text=True, timeout=10, check=False)
    assert answer.returncode == 0, answer.stderr
    assert file.stat().st_mode & 0o077 == 0
    public = re.search(r'public-key\s*=\s*"([^"]{40})"', file.read_text()).group(1)
    assert public in answer.stdout
    again = subprocess.run([cluster.info["command"], "keygen", file],
                           capture_output=True, text=True, timeout=10, check=False)
    assert again.returncode != 0 and public in file.read_text()


def test_completion_parses(run, tmp_path):
    script = run("completion", "bash")
    assert script.returncode == 0 and "portcullis" in script.stdout
    file = tmp_path / "completion.bash"
    file.write_text(script.stdout)
    assert subprocess.run(["bash", "-n", file], timeout=10, check=False).returncode == 0


def _readme_block(mark):
    """The fenced block of the README that holds mark."""
    text = (ROOT / "README.md").read_text()
    blocks = [block for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.S) if mark in block]
    assert len(blocks) == 1, f"{len(blocks)} blocks with {mark}"
    return blocks[0]


def test_the_readmes_ten_line_client_runs(cluster, tmp_path):
    block = _readme_block("zmq.REQ")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    script = tmp_path / "client.py"
    script.write_text(block)
    answer = subprocess.run([sys.executable, script, cluster.bundle, "SELECT 6 * 7 AS answer"],
                            capture_output=True, text=True, timeout=20, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "42" in answer.stdout and "answer" in answer.stdout
    example = (ROOT / "client/python/req_example.py").read_text()
    assert block.strip() == example.strip(), "README and client/python/req_example.py differ"
