"""What tests of the scripts for AWS share."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cloud as clouds  # noqa: E402  (its folder must be on the path first)
import harness  # noqa: E402


@pytest.fixture(scope="session")
def session_cloud():
    """moto and the AWS CLI, started once.  Without them tests are skipped, in continuous
    integration only where they could not be had."""
    try:
        with clouds.running() as one:
            yield one
    except clouds.Missing as missing:
        if os.environ.get("CI") == "true" and clouds.could_be_had():
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def pytest_terminal_summary(terminalreporter):
    for line in harness.MEASURED:
        terminalreporter.write_line(line)


@pytest.fixture
def cloud(session_cloud):
    """An account with nothing in it."""
    session_cloud.reset()
    return session_cloud
