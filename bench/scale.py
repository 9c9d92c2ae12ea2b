#!/usr/bin/env python3
"""What do thousands of clients and hundreds of agents cost?

Starts a gatekeeper, a broker and a proxy of their own, with CURVE, a policy and seals, and around
them simulated worker agents (bench/scale/agents.c: a statement is a wait) and simulated clients
(bench/scale/clients.c: each a connection and a key of its own).  No database is needed.

Two parts, each so many rounds:

  idle   more and more clients, with heartbeats as often as the library sends them, that have had
         one answer each and say nothing more: memory and processor time
  grid   each number of clients with each number of agents: idle, at a fixed rate of all together,
         once with `custom` and once with `random`, which costs next to nothing to choose by, and
         as fast as it goes with so many requests in flight.  Heartbeats come seldom (--beat-ms),
         since those who are simulated send theirs on this machine, too

Every other round goes through the numbers of clients from the last to the first, so that what
the machine does meanwhile falls on all of them.  Then come the bars, as lines of `pass`, `FAIL` and
`open` (exit code 1 unless all pass): nothing fails; memory, processor time a request, the time of a
decision and of an answer as fast as it goes grow no faster than linearly, with clients, with agents
and with both (bench/growth.py; `open`: the values lie too far apart to tell); an idle client takes
at most 40 KiB in the gatekeeper.  A part that could not be measured is a bar that is missed, and
costs none of the others.  An interrupt ends it, and what was measured until then is told (exit code
130).  Exit code 69: the system gives too few descriptors.

    bench/scale.py [--clients 1000,10000] [--agents 10,200] [--rounds 3] [--json FILE] [--html FILE]
    bench/scale.py --quick                    # 200 clients, 10 agents, some ten seconds

PORTCULLIS_TEST_BUILD names the build, which should be a RelWithDebInfo or a Release one; times and
memory of another say little.  Ports are free ones, drawn at random from PORTCULLIS_PORTS
(FIRST-LAST) as infra/up.sh does.
"""
import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import zmq

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import growth  # noqa: E402  (its folder must be on the path first)
import plot  # noqa: E402
from compare_peers import free_port, until_parent  # noqa: E402

BUILD = pathlib.Path(os.environ.get("PORTCULLIS_TEST_BUILD",
                                    HERE.parent / "build" / "release")).resolve()

ROLES = ("gatekeeper", "broker", "proxy")
CLIENTS_EACH = 2500      # of a process: a client is four descriptors
IDLE_KIB_MAX = 40
BEAT_MS = 500            # the library's
EXIT_UNAVAILABLE = 69
LADDER_CLIENTS, LADDER_AGENTS = "1000,2500,5000,10000", "10,50,100,200"


# --- Processes -------------------------------------------------------------------------

def ports(count):
    """So many ports that nobody listens on."""
    found = set()
    for _ in range(50 * count):
        found.add(free_port())
        if len(found) == count:
            return sorted(found)
    raise RuntimeError(f"no {count} free ports on loopback found")


def descriptors(clients):
    """Raises the limit that children inherit to what so many clients need; returns what is missing
    in words, else "".  The gatekeeper has a descriptor for each client, and each process of
    simulated ones has four."""
    wanted = max(clients, 4 * min(clients, CLIENTS_EACH)) + 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(limit, wanted)), limit))
            break
    found = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return "" if found >= wanted else (
        f"{clients} clients need {wanted} descriptors in one process, and this system gives {found}"
        " (`ulimit -Hn`; LimitNOFILE= of a unit)")


class Told:
    """One of bench/scale/: a process that answers each line with one of JSON."""

    def __init__(self, name, arguments, log):
        self.name = name
        self.process = subprocess.Popen(
            until_parent([BUILD / "bench" / "scale" / name, *arguments]), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, text=True)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def leave(self):
        """The end of its input is its end."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self):
        self.leave()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Daemon:
    """Gatekeeper, broker or proxy, and what it costs."""

    def __init__(self, role, config, http_port, log):
        self.role, self.http_port = role, http_port
        self.process = subprocess.Popen(
            until_parent([BUILD / role / f"portcullis-{role}", "--config", config]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def says(self, path):
        """Is the answer yes?  /health: it runs; /ready: it has whom it needs."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.role} ended: {self.process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get(path)[0] == 200
        return False

    def cpu_us(self):
        """Processor time of all its threads so far."""
        total_ns = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1000

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1])

    def metric(self, pattern):
        """The sum of all series that fit."""
        lines = (line.rpartition(" ") for line in self.get("/metrics")[1].splitlines()
                 if not line.startswith("#"))
        return sum(float(value) for series, _, value in lines if re.match(pattern, series))

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def zpl(values):
    """Settings, "section/key": value, as a configuration has them."""
    sections = collections.defaultdict(list)
    for path, value in values.items():
        section, _, key = path.partition("/")
        sections[section].append(f'    {key} = "{value}"')
    return "".join(f"{section}\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


def key_pairs(names):
    return {name: tuple(key.decode() for key in zmq.curve_keypair()) for name in names}


class World:
    """The three daemons, and who is simulated around them."""

    def __init__(self, options, beat_ms):
        self.options, self.beat_ms = options, beat_ms
        # pylint: disable=consider-using-with
        self.scratch = tempfile.TemporaryDirectory(
            prefix="scale.", dir=os.environ.get("PORTCULLIS_TEST_SCRATCH"),
            ignore_cleanup_errors=True)
        self.folder = pathlib.Path(self.scratch.name)
        self.daemons, self.agents, self.crowds = {}, None, []
        self.log = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._end()
        except KeyboardInterrupt:
            self._end()  # there is no second one: interrupt_once
            raise

    def _end(self):
        """All that was started, and the files, in which are secret keys."""
        simulated = [*self.crowds, *([self.agents] if self.agents else [])]
        for one in simulated:
            one.leave()
        for one in simulated:
            one.end()
        for role in ROLES:
            if role in self.daemons:
                self.daemons[role].end()
        if self.log:
            self.log.close()
        self.scratch.cleanup()

    # --- Its files ---------------------------------------------------------------------

    def _write(self, name, text, secret=False):
        path = self.folder / name
        path.touch(0o600 if secret else 0o644)
        path.write_text(text)
        return path

    def _write_keys(self):
        """Whose key is whose, and who may come in where."""
        own = key_pairs(ROLES)
        for role, (public, secret) in own.items():
            self._write(f"{role}.key", f'curve\n    public-key = "{public}"\n'
                                       f'    secret-key = "{secret}"\n', secret=True)
        self.clients = [f"client{number}" for number in range(max(self.options.clients))]
        self.nodes = [f"node{number}" for number in range(max(self.options.agents))]
        pairs = {"clients": key_pairs(self.clients), "agents": key_pairs(self.nodes)}
        for group, members in pairs.items():
            self._write(f"{group}.keys", "".join(f"{name} {public}\n"
                                                 for name, (public, _) in members.items()))
            self._write(f"{group}.secret", "".join(
                f"{name} {public} {secret}\n"
                for name, (public, secret) in members.items()), secret=True)
        for list_of, role in (("gatekeepers", "gatekeeper"), ("brokers", "broker")):
            self._write(f"{list_of}.keys", f"{role} {own[role][0]}\n")
        self._write("policy.cfg", 'policy\n    version = "1"\nroles\n    app\n'
                    '        classes = "read write"\n        seal = "required"\nprincipals\n'
                    + "".join(f'    {name} = "app {public}"\n'
                              for name, (public, _) in pairs["clients"].items()))
        return own, next(iter(pairs["clients"].values()))

    def _write_configs(self, own, to, web):
        folder = self.folder
        configs = {
            "gatekeeper": {
                "clients/endpoint": to["clients"], "clients/keys": folder / "clients.keys",
                "broker/endpoint": to["gatekeepers"], "broker/public_key": own["broker"][0],
                # All come from one address, which in life they do not.
                "clients/connections_max": 100000, "clients/handshakes_address_max": 1000},
            "broker": {
                "gatekeepers/endpoint": to["gatekeepers"],
                "gatekeepers/keys": folder / "gatekeepers.keys",
                "proxy/endpoint": to["brokers"], "proxy/public_key": own["proxy"][0],
                "policy/file": folder / "policy.cfg", "audit/folder": folder / "audit"},
            "proxy": {
                "brokers/endpoint": to["brokers"], "brokers/keys": folder / "brokers.keys",
                "agents/endpoint": to["agents"], "agents/keys": folder / "agents.keys",
                "agents/handshakes_max": 1000, "agents/handshakes_address_max": 1000},
        }
        for role, values in configs.items():
            values["curve/key_file"] = folder / f"{role}.key"
            values["http/address"] = f"127.0.0.1:{web[role]}"
            self._write(f"{role}.cfg", zpl(values))

    def _start(self):
        own, first_client = self._write_keys()
        numbers = ports(7)
        to = dict(zip(("clients", "gatekeepers", "brokers", "agents"),
                      (f"tcp://127.0.0.1:{number}" for number in numbers)))
        web = dict(zip(ROLES, numbers[4:]))
        self._write_configs(own, to, web)
        self._write("client.bundle", zpl({
            "bundle/version": 1, "bundle/principal": self.clients[0],
            "gatekeeper/endpoint": to["clients"], "gatekeeper/public-key": own["gatekeeper"][0],
            "broker/public-key": own["broker"][0],
            "curve/public-key": first_client[0], "curve/secret-key": first_client[1]}),
                    secret=True)
        self.log = open(self.folder / "log", "ab")
        for role in reversed(ROLES):
            self.daemons[role] = Daemon(role, self.folder / f"{role}.cfg", web[role], self.log)
        self._wait(lambda: all(one.says("/health") for one in self.daemons.values()),
                   "the daemons run")
        self.agents = Told("scale_agents", [
            "--proxy", to["agents"], "--proxy-key", own["proxy"][0],
            "--identities", self.folder / "agents.secret", "--capacity", len(self.nodes),
            "--service-us", self.options.service_us, "--workers", self.options.workers], self.log)
        self.grow(min(self.options.agents))
        self._wait(lambda: all(one.says("/ready") for one in self.daemons.values()),
                   "the daemons are ready")

    def _wait(self, question, what):
        end = time.monotonic() + 60
        while not question():
            if time.monotonic() > end:
                raise RuntimeError(f"not within a minute: {what}\n{self.tail()}")
            time.sleep(0.05)

    def tail(self):
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    # --- How many there are --------------------------------------------------------------

    def grow(self, agents):
        self.agents.say(f"grow {agents}")
        answer = self.agents.hear()
        if answer["up"] != agents:
            raise RuntimeError(f"of {agents} agents {answer['up']} are up\n{self.tail()}")
        self._wait(lambda: self.daemons["proxy"].metric(
            r'portcullis_proxy_nodes\{state="up"\}') == agents, f"{agents} nodes are up")
        self.agent_count = agents

    def connect(self, clients):
        """So many clients in all, over as many processes as they need."""
        while len(self.crowds) * CLIENTS_EACH < clients:
            first = len(self.crowds) * CLIENTS_EACH
            self.crowds.append(Told("scale_clients", [
                "--bundle", self.folder / "client.bundle", "--beat-ms", self.beat_ms,
                "--identities", self.folder / "clients.secret", "--first", first,
                "--capacity", min(CLIENTS_EACH, len(self.clients) - first)], self.log))
        self.parts = [min(CLIENTS_EACH, clients - index * CLIENTS_EACH)
                      for index in range(len(self.crowds))]
        start = time.monotonic()
        for crowd, part in zip(self.crowds, self.parts):  # one by one: a storm would end none
            crowd.say(f"connect {part}")
            crowd.hear()
        self.client_count = clients
        return time.monotonic() - start

    # --- What it costs -------------------------------------------------------------------

    @contextlib.contextmanager
    def costs(self, found):
        """Processor time and memory of the daemons over the with block, into found."""
        before, start = {role: one.cpu_us() for role, one in self.daemons.items()}, time.monotonic()
        yield
        took = time.monotonic() - start
        found["seconds"] = took
        found["cpu_ms_per_s"] = {role: (one.cpu_us() - before[role]) / 1000 / took
                                 for role, one in self.daemons.items()}
        found["rss_kib"] = {role: one.rss_kib() for role, one in self.daemons.items()}

    def idle(self, seconds):
        found = {}
        with self.costs(found):
            time.sleep(seconds)
        return found

    def load(self, kind, amount, strategy):
        """One load, over all processes: what came of it, and what a request cost each daemon."""
        options, found = self.options, {}
        decided = self._decisions()
        shares = [amount * part / self.client_count for part in self.parts]
        if kind == "closed":
            shares = [max(int(share), 1) for share in shares]
        with self.costs(found):
            for crowd, share in zip(self.crowds, shares):
                crowd.say(f"{kind} {share} {options.seconds} {options.warmup} {strategy}")
            answers = [crowd.hear() for crowd in self.crowds]
        latency, late, errors = (collections.Counter() for _ in range(3))
        for answer in answers:
            latency.update(dict(map(tuple, answer["latency_us"])))
            late.update(dict(map(tuple, answer["late_us"])))
            errors.update(answer["errors"])
        served = sum(answer["ok"] for answer in answers)
        # The daemons' time also has the warm-up's requests: a request is what they counted.
        handled = max(self._decisions()[0] - decided[0], 1)
        spent = self._decisions()[1] - decided[1]
        found.update(
            kind=kind, amount=amount, strategy=strategy, served=served, errors=dict(errors),
            requests=sum(answer["requests"] for answer in answers),
            throughput=served / options.seconds,
            latency_us={name: percentile(latency, share) for name, share in SHARES.items()},
            late_p99_us=percentile(late, 0.99),
            decision_us=spent * 1e6 / handled,
            cpu_us_per_request={role: each * 1000 * found["seconds"] / handled
                                for role, each in found["cpu_ms_per_s"].items()})
        return found

    def _decisions(self):
        """How many the proxy has made, and the seconds that it took for them."""
        proxy = self.daemons["proxy"]
        return (proxy.metric(r"portcullis_proxy_decision_seconds_count"),
                proxy.metric(r"portcullis_proxy_decision_seconds_sum"))


SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


def percentile(buckets, share):
    """The least edge that this share of what was counted does not exceed."""
    rank, seen = share * sum(buckets.values()), 0
    for edge in sorted(buckets):
        seen += buckets[edge]
        if seen >= rank:
            return edge
    return 0


# --- The ladders -------------------------------------------------------------------------

def step(world, number):
    """Idle, at a fixed rate, and as fast as it goes, with who is there."""
    options = world.options
    row = {"round": number, "clients": world.client_count, "agents": world.agent_count,
           "idle": world.idle(options.idle_seconds), "open": {}, "closed": {}}
    for strategy in ("custom", "random"):
        row["open"][strategy] = world.load("open", options.rate, strategy)
    row["closed"]["custom"] = world.load(
        "closed", min(options.in_flight, world.client_count), "custom")
    for found in [*row["open"].values(), *row["closed"].values()]:
        net_of_idle(found, row["idle"]["cpu_ms_per_s"])
    tell(row)
    return row


def net_of_idle(found, idle_ms_per_s):
    """Processor time a request without what the daemons take when nobody asks: heartbeats."""
    found["net_us_per_request"] = {}
    for role in ROLES:
        used, each = found["cpu_ms_per_s"][role], found["cpu_us_per_request"][role]
        if used:
            found["net_us_per_request"][role] = each * (used - idle_ms_per_s[role]) / used
    found["requests_per_s"] = found["requests"] / found["seconds"]


def tell(row):
    """A step as a few lines."""
    print(f"         and {row['agents']} agents")
    tell_idle(row)
    for kind in ("open", "closed"):
        for strategy, found in row[kind].items():
            latency = found["latency_us"]
            print(f"       {kind:6} {strategy:7} {found['throughput']:7.0f}/s"
                  f"  p50 {latency['p50'] / 1000:.2f} ms  p99 {latency['p99'] / 1000:.2f} ms"
                  f"  us a request " + " ".join(
                      f"{found['cpu_us_per_request'][role]:.1f}" for role in ROLES)
                  + f"  decision {found['decision_us']:.2f} us"
                  + (f"  {found['errors']}" if found["errors"] else ""), flush=True)


def tell_idle(row):
    idle = row["idle"]
    print(f"{row['clients']:6} clients, idle: rss MiB " + " ".join(
        f"{role} {idle['rss_kib'][role] / 1024:.1f}" for role in ROLES)
        + "  cpu ms/s " + " ".join(f"{idle['cpu_ms_per_s'][role]:.1f}" for role in ROLES),
        flush=True)


FAILURES = (RuntimeError, OSError, ValueError, KeyError, http.client.HTTPException,
            subprocess.SubprocessError)


@contextlib.contextmanager
def part(result, name):
    """What fails in it is told, and costs none of the others."""
    try:
        yield
    except FAILURES as error:
        result["failed"][name] = f"{type(error).__name__}: {error}"
        print(f"!!! {name}: {result['failed'][name]}", flush=True)


def nothing_yet(options):
    return {"machine": machine(), "interrupted": False, "failed": {}, "options": {
        key: value for key, value in vars(options).items()
        if isinstance(value, (int, float, list))}, "idle": [], "grid": []}


def measure_idle(options, result, number):
    with World(options, BEAT_MS) as world:
        for count in options.clients:
            row = {"round": number, "clients": count, "agents": world.agent_count,
                   "connect_seconds": world.connect(count),
                   "idle": world.idle(options.idle_seconds)}
            result["idle"].append(row)
            tell_idle(row)


def measure(options, result):
    """Fills result step by step, so that an interrupt leaves what was measured."""
    for number in range(1, options.rounds + 1):
        with part(result, f"idle, round {number}"):
            measure_idle(options, result, number)
        if options.idle_only:
            continue
        for clients in options.clients[::1 if number % 2 else -1]:
            # A world of its own: what was busy is greater than what was not, and stays so.
            with part(result, f"{clients} clients, round {number}"), \
                    World(options, options.beat_ms) as world:
                world.connect(clients)
                for agents in options.agents:
                    world.grow(agents)
                    result["grid"].append(step(world, number))


def machine():
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"processor": found[1] if found else platform.machine(), "processors": os.cpu_count(),
            "system": platform.platform(), "build": BUILD.name,
            "load before": pathlib.Path("/proc/loadavg").read_text().strip(),
            "libzmq": zmq.zmq_version(), "date": time.strftime("%Y-%m-%d")}


# --- What it says --------------------------------------------------------------------------

def slope(points):
    """Least squares: how much y grows with each x; None of fewer than two."""
    if len({x for x, _ in points}) < 2:
        return None
    return statistics.linear_regression(*zip(*points)).slope


def points_of(rows, what):
    """{(clients, agents): [value of each round]} of the rows that have it."""
    found = collections.defaultdict(list)
    for row in rows:
        with contextlib.suppress(KeyError, ZeroDivisionError):
            found[row["clients"], row["agents"]].append(what(row))
    return dict(found)


class Curve(collections.namedtuple("Curve", "unit, points, judged")):
    """points: {(clients, agents): [value of each round]}.  judged: more is worse."""

    def all(self):
        """Each round a point."""
        return [(c, a, y) for (c, a), values in sorted(self.points.items()) for y in values]

    def median(self, at):
        return statistics.median(self.points[at])


def curves(result):
    """What is looked at, by name."""
    idle, grid, found = result["idle"], result["grid"], {}

    def add(name, unit, rows, what, judged=True):
        found[name] = Curve(unit, points_of(rows, what), judged)

    for role in ROLES:
        add(f"memory of the {role}, all idle", "MiB", idle,
            lambda row, role=role: row["idle"]["rss_kib"][role] / 1024)
        add(f"processor time of the {role}, all idle", "ms a second", idle,
            lambda row, role=role: row["idle"]["cpu_ms_per_s"][role])
    for role in ROLES:
        add(f"memory of the {role}, all have been busy", "MiB", grid,
            lambda row, role=role: row["closed"]["custom"]["rss_kib"][role] / 1024)
        for kind, words in (("open", "at a fixed rate"), ("closed", "as fast as it goes")):
            add(f"processor time of the {role} a request, {words}", "us", grid,
                lambda row, role=role, kind=kind: row[kind]["custom"]["net_us_per_request"][role])
    add("processor time of the proxy, idle, seldom heartbeats", "ms a second", grid,
        lambda row: row["idle"]["cpu_ms_per_s"]["proxy"])
    for strategy in ("custom", "random"):
        add(f"time of a decision by {strategy}, at a fixed rate", "us", grid,
            lambda row, strategy=strategy: row["open"][strategy]["decision_us"])
    add("time an answer, as fast as it goes", "us", grid,
        lambda row: 1e6 / row["closed"]["custom"]["throughput"])
    add("answers a second, as fast as it goes", "a second", grid,
        lambda row: row["closed"]["custom"]["throughput"], judged=False)
    add("share of those at a fixed rate that were answered", "%", grid,
        lambda row: 100 * row["open"]["custom"]["served"] / row["open"]["custom"]["requests"],
        judged=False)
    return found


ADDED = {"clients": 1000, "agents": 100}  # of whom a bar tells what they cost


def bar_of(name, curve):
    """(name, verdict, words); None where there are too few counts to tell."""
    points = curve.all()
    try:
        verdict, parts = growth.judge(points)
    except ValueError:
        return None
    fit, one = growth.Fit(points), plot.number
    added = "".join(f", {'+' if fit.growth(over) > 0 else ''}{one(many * fit.each(over))} for each "
                    f"{many:,} {over}" for over, many in ADDED.items() if over in fit.value)
    beyond = ", ".join(f"{over} {one(much)} \N{PLUS-MINUS SIGN} {one(spread)} of at most "
                       f"{one(room)}" for over, much, spread, room in parts)
    if verdict == growth.PASS and any(much + spread > room for _, much, spread, room in parts):
        beyond += ": flat"
    return (f"{name}: no faster than linearly", verdict,
            f"{one(curve.median(min(curve.points)))} to {one(curve.median(max(curve.points)))} "
            f"{curve.unit}{added}; beyond a straight "
            f"line: {beyond}")


def summarize(result):
    """What an added client costs, and the bars."""
    loads = [load for row in result["grid"] for kind in ("open", "closed")
             for load in row[kind].values()]
    failed = sum(load["requests"] - load["served"] for load in loads)
    served = sum(load["served"] for load in loads)
    bars = [] if result["options"].get("idle_only") else [
        ("nothing failed", growth.PASS if failed == 0 and served > 0 else growth.FAIL,
         f"{failed} of {failed + served}")]
    bars += [(f"measured to its end: {name}", growth.FAIL, why)
             for name, why in result["failed"].items()]
    found = curves(result)
    points = found["memory of the gatekeeper, all idle"].all()
    result["idle_kib_per_client"] = each = slope([(c, 1024 * mib) for c, _, mib in points])
    if each is not None and points[-1][0] >= 1000:
        bars.append((f"an idle client takes at most {IDLE_KIB_MAX} KiB in the gatekeeper",
                     growth.PASS if each <= IDLE_KIB_MAX else growth.FAIL, f"{each:.1f} KiB"))
    bars += filter(None, (bar_of(name, curve) for name, curve in found.items() if curve.judged))
    result["bars"] = [{"bar": name, "verdict": verdict, "found": words}
                      for name, verdict, words in bars]
    return all(verdict == growth.PASS for _, verdict, _ in bars)


# --- The picture -----------------------------------------------------------------------------

STYLE = """
:root{color-scheme:light dark;--ink:#1a1f24;--paper:#fff;--soft:#57606a;--rule:#d8dee4;
--bad:#b35900;--k0:#0969da;--k1:#b35900;--k2:#1a7f37;--k3:#8250df;--k4:#bf3989;--k5:#57606a}
@media(prefers-color-scheme:dark){:root{--ink:#d6dde4;--paper:#0d1117;--soft:#8b949e;
--rule:#30363d;--bad:#e3a04f;--k0:#58a6ff;--k1:#e3a04f;--k2:#56d364;--k3:#bc8cff;--k4:#f778ba;
--k5:#8b949e}}
""" + "".join(f".k{index}{{--own:var(--k{index})}}" for index in range(6)) + """
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:1340px;padding:0 1rem;
color:var(--ink);background:var(--paper)}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:1rem}
figure{margin:0;padding:.6rem;border:1px solid var(--rule);border-radius:6px;min-width:0}
figcaption{font-weight:600}small{color:var(--soft);font-weight:400}
small i{display:inline-block;width:.7em;height:.7em;border-radius:50%;background:var(--own);
margin-right:.3em}
svg{display:block;width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}
svg .grid{stroke:var(--rule)}svg .axis{stroke:var(--soft)}
svg polyline{fill:none;stroke:var(--own);stroke-width:2}
svg .range{stroke:var(--own);stroke-width:1.2;opacity:.7}
table{border-collapse:collapse}td{padding:.15rem .8rem .15rem 0;vertical-align:top}
.bad{color:var(--bad);font-weight:600}
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def charts_of(name, curve):
    """Medians of the rounds over clients, a line for each number of agents, and over agents, a line
    for each number of clients; how far the rounds lie apart as a stroke through each."""
    found = []
    for axis, (over, other) in enumerate((("clients", "agents"), ("agents", "clients"))):
        if len({at[axis] for at in curve.points}) < 2:
            continue
        series, ranges, legend = [], [], []
        for index, fixed in enumerate(sorted({at[1 - axis] for at in curve.points})):
            color = f"k{index % 6}"
            values = sorted((at[axis], ys) for at, ys in curve.points.items()
                            if at[1 - axis] == fixed)
            series.append((f"{fixed:,} {other}", color,
                           [(x, statistics.median(ys)) for x, ys in values]))
            ranges.append((color, [(x, min(ys), max(ys)) for x, ys in values]))
            told = ", ".join(plot.number(statistics.median(ys)) for _, ys in values)
            legend.append(f'<br><small class="{color}"><i></i>{fixed:,} {other}: {told}</small>')
        title = f"{name}, over {over}"
        found.append("<figure>" + plot.lines(title, series, over, curve.unit, log=False,
                                             ranges=ranges)
                     + f"<figcaption>{plot.escape(title)}{''.join(legend)}</figcaption></figure>")
    return "".join(found)


def about(result):
    """Where, and with what."""
    where, lines = result["machine"], []
    lines.append(f"{where['processors']} x {where['processor']}, {where['date']}, "
                 f"build {where['build']}, load before {where['load before']}.")
    options = result["options"]
    if result["grid"]:
        rounds = max(row["round"] for row in result["grid"])
        lines.append(f"Medians of {rounds} rounds; a stroke goes from the least to the greatest. "
                     f"The fixed rate is {options['rate']:g} requests a second of all together; as "
                     f"fast as it goes: {options['in_flight']} in flight.")
    if result["interrupted"]:
        lines.append("INTERRUPTED: this is what was measured until then.")
    return " ".join(lines)


def page(result):
    """All curves and bars, in one file that needs no other."""
    charts = "".join(charts_of(name, curve) for name, curve in curves(result).items()
                     if curve.points)
    bars = "".join(
        f'<tr><td{"" if bar["verdict"] == growth.PASS else " class=bad"}>{bar["verdict"]}</td>'
        f'<td>{plot.escape(bar["bar"])}</td><td>{plot.escape(bar["found"])}</td></tr>'
        for bar in result["bars"])
    return ('<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>Portcullis: scale</title><style>{STYLE}</style><h1>Scale</h1>"
            f"<p>{plot.escape(about(result))}</p>"
            f"<main>{charts}</main><h2>Bars</h2><table>{bars}</table></html>\n")


# --- Main --------------------------------------------------------------------------------------

def ladder(text):
    counts = sorted({int(word) for word in text.split(",")})
    if counts[0] < 1:
        raise argparse.ArgumentTypeError("counts must be over 0")
    return counts


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--clients", type=ladder, default=ladder(LADDER_CLIENTS))
    parser.add_argument("--agents", type=ladder, default=ladder(LADDER_AGENTS))
    parser.add_argument("--rounds", type=int, choices=range(1, 21), default=3, metavar="N")
    parser.add_argument("--rate", type=float, default=500, help="requests a second of all")
    parser.add_argument("--seconds", type=float, default=3, help="of each turn")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--idle-seconds", type=float, default=2)
    parser.add_argument("--beat-ms", type=int, choices=range(1, 10001), default=10000, metavar="N",
                        help="between two heartbeats of a client of the grid")
    parser.add_argument("--service-us", type=float, default=500, help="of a statement, on average")
    parser.add_argument("--workers", type=int, default=8, help="of each agent")
    parser.add_argument("--in-flight", type=int, default=256, help="of the closed loop")
    parser.add_argument("--idle-only", action="store_true", help="without the grid")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--html")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.agents = [50, 200], [2, 10]
        options.rate, options.seconds, options.warmup = 200, 0.5, 0.1
        options.idle_seconds, options.rounds = 0.2, 1
    return options


def interrupt_once():
    """The first signal of any kind ends the measurement; another one cuts no tidying up short."""
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
               if signal.getsignal(number) != signal.SIG_IGN]

    def interrupt(*_):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)


def tell_all(options, result):
    """The files first: nobody may read what is printed."""
    good = summarize(result)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    if options.html:
        pathlib.Path(options.html).write_text(page(result))
    for bar in result["bars"]:
        print(f"{bar['verdict']}  {bar['bar']}: {bar['found']}")
    return good


def main():
    options = arguments()
    missing = descriptors(max(options.clients))
    if missing:
        print(f"error: {missing}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    interrupt_once()
    result, good = nothing_yet(options), False
    try:
        measure(options, result)
    except KeyboardInterrupt:
        result["interrupted"] = True
        print("interrupted: this is what was measured until then")
    finally:
        good = tell_all(options, result)
    return 130 if result["interrupted"] else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
