"""The judge of statements held to a real server: a scratch one of the flavor under test, which
runs what is a read for us and must be found unchanged."""
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from agent_alone import Database
from harness import FLAVOR

# The judge is run with sanitizers in its own tests.
pytestmark = pytest.mark.plain("runs no daemon")
TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def scratch():
    with tempfile.TemporaryDirectory(prefix="oracle.",
                                     dir=os.environ.get("PORTCULLIS_TEST_SCRATCH")) as folder:
        database = Database(folder, 77)
        database.sql("SET GLOBAL read_only = 0")
        yield database
        database.kill()


def ask(tool, database):
    """What the tool says.  A server that crashed meanwhile (MariaDB does so now and then when a
    statement's time is over) is started again, and all is asked once more, of other texts."""
    for turn in range(3):
        done = subprocess.run([sys.executable, TOOLS / tool, str(database.socket)], text=True,
                              capture_output=True, check=False, timeout=600,
                              env={**os.environ, **({"PCL_TEST_SEED": "0"} if turn else {})})
        print(done.stdout, done.stderr)
        if done.returncode == 0 or database.process.poll() is None:
            break
        print(f"THE SERVER CRASHED: {database.process.returncode}, it is asked anew")
        database.kill()
        database.start()
        database.sql("SET GLOBAL read_only = 0")
    assert done.returncode == 0, f"{tool} on {FLAVOR}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def test_what_is_a_read_for_us_changes_nothing(scratch):
    assert "0 wrong" in ask("check_sql_reads.py", scratch)


def test_the_functions_are_those_of_the_server(scratch):
    assert "0 wrong" in ask("check_sql_functions.py", scratch)
