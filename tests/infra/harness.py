"""A cluster on the tests' cloud: the scripts of infra/ for it, and what they must leave."""
import json
import os
import pathlib
import subprocess
import time

import checker
import cloud as clouds

PACKAGES = {"portcullis-test_1_amd64.deb": "no package, but a file of the name of one\n"}


def packages(folder):
    """A folder as infra/package.sh leaves it, with nothing to install in it."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in PACKAGES.items():
        (folder / name).write_text(content)
    (folder / "Packages").write_text("Package: portcullis-test\nVersion: 1\n")
    sums = subprocess.run(["sha256sum", *sorted([*PACKAGES, "Packages"])], cwd=folder, check=True,
                          capture_output=True, text=True).stdout
    (folder / "SHA256SUMS").write_text(sums)
    total = subprocess.run(["sha256sum", "SHA256SUMS"], cwd=folder, check=True,
                           capture_output=True, text=True).stdout
    (folder / "SUM").write_text(total.split()[0] + "\n")
    return folder


MEASURED = []  # lines that the run ends with (conftest.py)


class Ask(checker.Asker):
    def __init__(self, cloud):
        super().__init__(cloud.ask)
        self.cloud = cloud

    def object(self, bucket, key):
        return self.cloud.fetch(f"s3://{bucket}/{key}")


class Cluster:
    """One cluster by name, with the options that up.sh is always given for it."""

    def __init__(self, cloud, name="try", **wanted):
        self.cloud, self.name = cloud, name
        self.wanted = checker.wanted_of(**wanted)
        self.packages = packages(cloud.scratch / "packages")

    def options(self):
        words = ["--nodes", str(self.wanted.nodes), "--client-cidr", self.wanted.client_cidr]
        if self.wanted.bench:
            words.append("--bench")
        if self.wanted.nat:
            words.append("--nat")
        if self.wanted.gatekeepers != 1:
            words += ["--gatekeepers", str(self.wanted.gatekeepers)]
        if self.wanted.proxies != 1:
            words += ["--proxies", str(self.wanted.proxies)]
        return words

    def up(self, *more, yes=True, check=True, **options):
        words = [*self.options(), "--packages", str(self.packages)]
        return self.script("up.sh", *words, *(["--yes"] if yes else []), *more, check=check,
                           **options)

    def down(self, *more, check=True, **options):
        return self.script("down.sh", "--yes", *more, check=check, **options)

    def script(self, name, *words, check=True, **options):
        done = self.cloud.run(clouds.ROOT / "infra" / name, "aws", "--name", self.name,
                              *words, **options)
        assert not check or done.code == 0, done
        return done

    def timed(self, what):
        """up or down, with PORTCULLIS_TEST_BAR=1 with the CLI as an operator has it, and a line of
        how long it took."""
        plain = os.environ.get("PORTCULLIS_TEST_BAR") == "1"
        start = time.monotonic()
        done = getattr(self, what)(plain=plain)
        MEASURED.append(f"{what} of {self.wanted.nodes} nodes, "
                        f"{'a plain CLI' if plain else 'a CLI that was imported once'}: "
                        f"{len(done.calls)} requests, {time.monotonic() - start:.1f} s")
        return done

    def facts(self):
        with self.cloud.asking():
            return checker.gather(Ask(self.cloud), self.name)

    def check(self):
        """What the checker finds wrong."""
        return checker.check(self.facts(), self.wanted)

    def instance(self, part):
        """The id of a part's instance that is not terminated."""
        found = self.cloud.aws(
            "ec2", "describe-instances", "--filters", f"Name=tag:portcullis:part,Values={part}",
            f"Name=tag:portcullis:cluster,Values={self.name}",
            "Name=instance-state-name,Values=running,stopped,pending")["Reservations"]
        ids = [one["InstanceId"] for group in found for one in group["Instances"]]
        assert len(ids) == 1, f"{part}: {ids}"
        return ids[0]


def names(calls):
    """Calls, for people, in order and counted."""
    counted = {}
    for name in calls:
        counted[name] = counted.get(name, 0) + 1
    return json.dumps(counted, indent=1)
