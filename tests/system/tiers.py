"""Tiers in network namespaces: each on a host of its own, joined by a bridge, with the firewall
rules that packaging/firewall ships for it.  Needs root, ip and nft; `why_not` says what is
missing."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

RULES = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "firewall"
METADATA = "169.254.169.254"
PORTS = {"client_port": 5555, "broker_port": 5556, "proxy_port": 5557, "agents_port": 5558,
         "database_port": 3306}
# Name of the host: its address and the rules it has.
HOSTS = {"client": ("10.77.0.10", None), "stranger": ("10.78.0.10", None),
         "gatekeeper": ("10.77.1.10", "gatekeeper"), "broker": ("10.77.2.10", "broker"),
         "proxy": ("10.77.3.10", "proxy"), "node1": ("10.77.4.10", "worker-agent"),
         "node2": ("10.77.4.11", "worker-agent"), "metadata": (METADATA, None)}


def why_not():
    """Why there can be no tiers here; "" when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "nft"):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"{tool} is not installed"
    name = f"pcl{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    ruled = subprocess.run(["ip", "netns", "exec", name, "nft", "add table inet portcullis"],
                           capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], check=False)
    return "" if ruled.returncode == 0 else f"no nftables here: {ruled.stderr.strip()}"


def run(*words, **options):
    """A command that must succeed; its output."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, words))}:\n{done.stdout}"
    return done.stdout


class Tiers:
    """The hosts.  `with Tiers() as tiers:` makes them, and takes them down whatever happens.  All
    are neighbours on one wire, so that nothing but the rules keeps them apart."""

    def __init__(self):
        self.prefix = f"pcl{os.getpid()}-"
        self.made = []
        self.children = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="portcullis-tiers-"))

    def __enter__(self):
        try:
            self.make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def make(self):
        """The wire and everyone on it, without rules yet."""
        self.add("wire")
        self.inside("wire", "ip", "link", "add", "br0", "type", "bridge")
        self.inside("wire", "ip", "link", "set", "br0", "up")
        for number, (host, (address, _)) in enumerate(HOSTS.items()):
            self.add(host)
            run("ip", "-n", self.prefix + host, "link", "add", "eth0", "type", "veth",
                "peer", "name", f"port{number}", "netns", self.prefix + "wire")
            self.inside("wire", "ip", "link", "set", f"port{number}", "master", "br0", "up")
            self.inside(host, "ip", "address", "add", f"{address}/32", "dev", "eth0")
            self.inside(host, "ip", "link", "set", "eth0", "up")
            self.inside(host, "ip", "link", "set", "lo", "up")
            self.inside(host, "ip", "route", "add", "default", "dev", "eth0")

    def add(self, host):
        run("ip", "netns", "add", self.prefix + host)
        self.made.append(self.prefix + host)

    def close(self):
        """Ends what was started, and leaves no namespace behind."""
        for child in self.children:
            child.kill()
            child.wait()
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self, host, *words):
        """A command on a host; its output."""
        return run("ip", "netns", "exec", self.prefix + host, *words)

    def start(self, host, *words, **options):
        """A process on a host, killed in the end."""
        child = subprocess.Popen(["ip", "netns", "exec", self.prefix + host,
                                  *[str(word) for word in words]], **options)
        self.children.append(child)
        return child

    def python(self, host, program, *arguments, **options):
        """start() for a few lines of Python."""
        return self.start(host, sys.executable, "-c", program, *arguments,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def address(self, host):
        return HOSTS[host][0]

    def rules(self, **local):
        """Loads the shipped rules on every host that has some, as an operator would: with one list
        of addresses, and rules of the site for a tier (`worker_agent="add rule ..."`)."""
        own = self.folder / "portcullis" / "firewall"
        (own / "local").mkdir(parents=True, exist_ok=True)
        lists = {"clients": ["10.77.0.0/24"],
                 "gatekeepers": [self.address("gatekeeper")], "brokers": [self.address("broker")],
                 "proxies": [self.address("proxy")],
                 "databases": [self.address("node1"), self.address("node2")]}
        text = "".join(f"define {name} = {{ {', '.join(values)} }}\n"
                       for name, values in lists.items())
        text += "".join(f"define {name} = {port}\n" for name, port in PORTS.items())
        (own / "addresses.nft").write_text(text)
        for host, (_, tier) in HOSTS.items():
            if tier is not None:
                (own / "local" / "site.nft").write_text(local.get(tier.replace("-", "_"), ""))
                self.inside(host, "nft", "-I", self.folder, "-f", RULES / f"{tier}.nft")

    def counter(self, host, name):
        """Packets that a counter of the rules has seen."""
        words = self.inside(host, "nft", "list", "counter", "inet", "portcullis", name).split()
        return int(words[words.index("packets") + 1])
