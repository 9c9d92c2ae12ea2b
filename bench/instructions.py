#!/usr/bin/env python3
"""instructions.py - what a request costs each hop, counted, and held against what it cost before.

  bench/instructions.py --build DIR             counts, and compares with bench/instructions.json
  bench/instructions.py --build DIR --write     counts, and writes what it counted there
  bench/instructions.py --build DIR --profile gatekeeper
                                                where they go, function by function

DIR is a build of RelWithDebInfo without sanitizers.  In it tests/cost/hop_cost sends point selects
through the hop's own actor, in batches of 32, and callgrind counts the instructions of the actor's
thread, those in libzmq and libc too.  What libzmq's I/O threads do (sockets, CURVE) and the kernel
is not in it; docs/performance.md has how to measure those.

Counts depend on compiler, libraries and what the processor can do, so there is a baseline for each
set of these.  Where there is none it is said, and the nearest set's is the measure, at a wider
tolerance; a hop without a baseline costs more than tolerated.  Counts also depend on how many
requests the hop finds at once: one that found others than its baseline's is counted again, and
when it still does, the two cannot be compared.  After a change that costs more for a good reason,
or less: --write, and the commit says why.

Exit: 0 nothing costs more than tolerated; 1 something does; 64 usage; 69 it cannot run here, or
cannot be compared.
"""
import argparse
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from usage import Parser  # noqa: E402  (its folder must be on the path first)

HOPS = ("client", "gatekeeper", "broker", "proxy", "agent")
BASELINES = pathlib.Path(__file__).resolve().parent / "instructions.json"
COUNTS_MAX = 3
SAME_BATCH = 0.2  # requests a sleep that differ by less cost less than is tolerated
CANNOT_RUN = 69


def give_up(why):
    print(f"instructions: {why}")
    sys.exit(CANNOT_RUN)


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).split("\n")[0]


def cache_of(build):
    """What the build was made with."""
    cache = {}
    for line in (build / "CMakeCache.txt").read_text().split("\n"):
        entry = re.match(r"(\w+):\w+=(.*)", line)
        if entry:
            cache[entry[1]] = entry[2]
    return cache


def surroundings(cache):
    """What the counts depend on, beside our own code."""
    compiler = first_line(cache["CMAKE_C_COMPILER"], "--version")
    name = "clang" if "clang" in compiler else "gcc"
    version = re.search(r"\d+\.\d+\.\d+", compiler)
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    vectors = [flag for flag in ("avx2", "avx512f") if flags and f" {flag} " in flags[1] + " "]
    return ", ".join([
        f"{name} {version[0] if version else 'unknown'}",
        "libzmq " + first_line("pkg-config", "--modversion", "libzmq"),
        "libsodium " + first_line("pkg-config", "--modversion", "libsodium"),
        " ".join(platform.libc_ver()), platform.machine(), *vectors])


def check(build):
    program = build / "tests" / "cost" / "hop_cost"
    if shutil.which("valgrind") is None:
        give_up("there is no valgrind")
    if not program.exists():
        give_up(f"{program} is not there; build it first")
    cache = cache_of(build)
    if cache.get("CMAKE_BUILD_TYPE") != "RelWithDebInfo" or cache.get("PCL_SANITIZE"):
        give_up(f"{build} is no build of RelWithDebInfo without sanitizers")
    return program, cache


def count(program, hop, requests, folder):
    """Instructions a request, and callgrind's file."""
    out = pathlib.Path(folder, f"{hop}.out")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}",
         program, hop, str(requests)], capture_output=True, text=True, check=False)
    told = re.search(r"hop=\w+ requests=(\d+) sleeps=(\d+) callgrind=(\d)", done.stdout)
    if done.returncode != 0 or told is None:
        sys.exit(f"instructions: {hop}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    if told[3] != "1":
        give_up("hop_cost was built without valgrind's headers")
    totals = re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M)
    if totals is None or int(totals[1]) == 0:
        sys.exit(f"instructions: {hop}: callgrind has counted nothing")
    return int(totals[1]) / int(told[1]), int(told[1]) / int(told[2]), out


def count_like(counting, hop, known):
    """What `counting` gives of a hop, as a baseline has it; again where its batches are not those
    of the baseline."""
    for _ in range(COUNTS_MAX):
        each, batch, *_ = counting(hop)
        if known is None or abs(batch / known["requests_per_sleep"] - 1) <= SAME_BATCH:
            return {"instructions": round(each), "requests_per_sleep": round(batch, 2)}
        print(f"{hop}: {batch:.1f} requests a sleep, its baseline has "
              f"{known['requests_per_sleep']:.1f}")
    give_up(f"{hop} does not find its requests in the baseline's batches: not comparable")
    return None


def alike(one, other):
    """How near two sets are: the compiler first, then all that is equal."""
    ours, theirs = one.split(", "), other.split(", ")
    return ours[0].split()[0] == theirs[0].split()[0], len(set(ours) & set(theirs))


def baseline_of(baselines, key):
    """What to compare with, and how much more is tolerated."""
    sets = baselines["baselines"]
    if key in sets:
        return sets[key], baselines["tolerance_percent"]
    if not sets:
        return {}, 0
    nearest = max(sorted(sets), key=lambda other: alike(key, other))
    wide = baselines["tolerance_percent_of_others"]
    print(f"!!! bench/instructions.json has no baseline for these; {wide} % are tolerated, and\n"
          f"!!! the measure is that of {nearest}")
    return sets[nearest], wide


def compare(counted, known, tolerance):
    """true: nothing costs more than tolerated."""
    good = True
    for hop, found in counted.items():
        if hop not in known:
            print(f"{hop:12} {found['instructions']:9.0f} {'':19} NO BASELINE")
            good = False
            continue
        now, before = found["instructions"], known[hop]["instructions"]
        change = 100 * (now - before) / before
        word = ("MORE THAN TOLERATED" if change > tolerance else
                "less: renew the baseline (--write)" if change < -tolerance else "as before")
        print(f"{hop:12} {now:9.0f} {before:9.0f} {change:+6.1f} % {word}")
        good = good and change <= tolerance
    return good


def main():
    parser = Parser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--requests", type=int, default=2048)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--profile", choices=HOPS)
    options = parser.parse_args()
    program, cache = check(options.build)
    key = surroundings(cache)
    baselines = json.loads(BASELINES.read_text())
    with tempfile.TemporaryDirectory(prefix="portcullis-test.") as folder:
        if options.profile:
            each, _, out = count(program, options.profile, options.requests, folder)
            print(f"{options.profile}: {each:.0f} instructions a request")
            subprocess.run(["callgrind_annotate", "--threshold=95", str(out)], check=False)
            return 0
        print(f"instructions a request; {key}")
        known, tolerance = baseline_of(baselines, key)
        counted = {hop: count_like(
            lambda hop: count(program, hop, options.requests, folder), hop,
            None if options.write else known.get(hop)) for hop in HOPS}
    good = compare(counted, known, tolerance)
    if options.write:
        baselines["baselines"][key] = counted
        BASELINES.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")
        return 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
