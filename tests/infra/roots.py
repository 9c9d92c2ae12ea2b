"""Roots of the releases that packages are made for: made by infra/root.sh once and kept, and the
packages of this checkout in each, made once a run.

Debian's are made if they are not there.  Making Ubuntu's takes its archive and some minutes: they
are tested where somebody has made them (infra/root.sh ubuntu-22.04 make), or where
PORTCULLIS_TEST_RELEASES names them: the releases to test, blanks between.
"""
import functools
import os
import pathlib
import subprocess
import tempfile

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
ASKED = os.environ.get("PORTCULLIS_TEST_RELEASES", "").split()
RELEASES = ASKED or ["12", "13", "ubuntu-22.04", "ubuntu-24.04"]
CANNOT = 69


def run(command, timeout_s):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          timeout=timeout_s, check=False)


def refuse(said):
    """A root cannot be made here: no root user, no debootstrap, no mirror."""
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said.strip().splitlines()[-1] if said.strip() else "no root can be made here")


def skip_unless_wanted(release):
    root = run([CHECKOUT / "infra/root.sh", release, "path"], 60).stdout.strip()
    if release.startswith("ubuntu") and not ASKED and not os.path.exists(f"{root}-build"):
        pytest.skip(f"NOT TESTED on {release}: infra/root.sh {release} make, to have it tested")


@functools.lru_cache(maxsize=None)
def packages(release):
    """The folder of infra/package.sh: this checkout's packages and what they need."""
    scratch = os.environ.get("PORTCULLIS_TEST_SCRATCH") or tempfile.mkdtemp()
    output = pathlib.Path(scratch) / "packages"
    done = run([CHECKOUT / "infra/package.sh", "--release", release, "--output", output], 1800)
    if done.returncode == CANNOT:
        return done.stdout
    assert done.returncode == 0, done.stdout
    name = release if release.startswith("ubuntu") else f"debian-{release}"
    return output / name


def packages_or_skip(release):
    skip_unless_wanted(release)
    made = packages(release)
    if isinstance(made, str):
        refuse(made)
    return made


def attempt(release, script, binds=(), timeout_s=900):
    """Runs a bash script in a fresh copy of the plain root; what it changes is thrown away."""
    words = [word for bind in binds for word in ("--bind", bind)]
    done = run([CHECKOUT / "infra/root.sh", release, "try", *words, "bash", "-euc", script],
               timeout_s)
    if done.returncode == CANNOT:
        refuse(done.stdout)
    return done


def sections(text):
    """{name: lines} of what stands after each line `@@ name`."""
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith("@@ "):
            current = found.setdefault(line[3:].strip(), [])
        elif current is not None:
            current.append(line)
    return found
