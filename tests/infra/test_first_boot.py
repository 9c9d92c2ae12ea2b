"""First boot, in copies of plain roots, up to where a service manager is needed; against a
metadata service, a bucket and a secret that believe no signature which they cannot compute."""
import base64
import gzip
import io
import os
import shutil
import subprocess
import tarfile

import pytest

import cloud as clouds
import instance_services
import roots

FILL = roots.CHECKOUT / "infra/aws/first-boot-fill.sh"
NO_SYSTEMD = 75
PASSWORDS = ["admin.password", "read.password", "write.password", "replication.password"]
SECRETS = {"gatekeeper": ["gatekeeper.key"], "broker": ["broker.key", "token.key"],
           "proxy": ["proxy.key"], "worker-agent": ["agent.key", "token.key", *PASSWORDS],
           "client": ["client.bundle"]}
PARTS = {"gatekeeper": "gatekeeper1", "broker": "broker", "proxy": "proxy1",
         "worker-agent": "node2", "client": "client"}
SETTINGS = {"CLUSTER": "demo", "PART": "node2", "TIER": "worker-agent", "REGION": "eu-central-1",
            "BUCKET": "the-bucket", "SECRET_ID": "portcullis/demo/node2",
            "PACKAGES": "packages/x", "PACKAGES_SUM": "0" * 64, "FLAVOR": "mariadb",
            "ADDRESS": "127.0.0.1", "SERVER_ID": "1002", "TRIES": "3"}


@pytest.fixture
def services():
    with instance_services.serving(clouds.port_free()) as one:
        yield one


def fill(settings, then=""):
    words = [f"{key}={value}" for key, value in settings.items()]
    return subprocess.run(
        ["bash", "-euc", "set -o pipefail;"
         f'. "{roots.CHECKOUT}/infra/lib.sh"; . "{FILL}"; first_boot_fill "$@" {then}',
         "fill", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


# --- The user data by itself -------------------------------------------------------

def test_user_data_fits_and_is_a_script():
    done = fill(SETTINGS)
    assert done.returncode == 0, done.stderr
    packed = base64.b64decode(fill(SETTINGS, "| first_boot_pack").stdout)
    assert gzip.decompress(packed).decode() == done.stdout
    assert len(packed) < 16384 / 2, "there is room"
    assert done.stdout.startswith("#!/usr/bin/env bash\n")
    assert "#@SETTINGS@" not in done.stdout
    assert "readonly PART='node2'" in done.stdout


def test_user_data_that_does_not_fit_is_refused():
    done = fill(SETTINGS, "| (cat; head -c 20000 /dev/urandom) | first_boot_pack")
    assert done.returncode != 0 and done.stdout == "" and "too long" in done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_user_data_passes_shellcheck(tmp_path):
    script = tmp_path / "first-boot.sh"
    script.write_text(fill(SETTINGS).stdout)
    done = subprocess.run(["shellcheck", str(script)], stdout=subprocess.PIPE, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("change, words", [
    ({"PASSWORD": "x"}, "knows no"),
    ({"BUCKET": None}, "needs BUCKET"),
    ({"ADDRESS": None}, "needs ADDRESS"),
    ({"PART": "a'; rm -rf /"}, "not plain"),
    ({"PART": "$(id)"}, "not plain"),
])
def test_wrong_settings_are_refused(change, words):
    settings = {key: value for key, value in {**SETTINGS, **change}.items() if value is not None}
    done = fill(settings)
    assert done.returncode != 0 and done.stdout == ""
    assert words in done.stderr


# What a new configuration does, with the commands of an instance played.
PLAYED = """
bucket_get() { tar -czf "$2" -C @/new .; }
tune() { :; }
systemctl() { [[ $1 == daemon-reload ]] || echo "$1"; [[ $1 != restart || -z ${DIES-} ]]; }
portcullis-node() { echo "$1"; }
main "$@"
"""


def test_what_was_the_source_follows_before_its_agent_runs_again(tmp_path):
    text = fill(SETTINGS).stdout.replace('main "$@"\n', "") + PLAYED
    for path in ("/etc/portcullis", "/var/lib/portcullis", "/run/systemd/system", "/var/log"):
        text = text.replace(path, f"@{path}")
    for folder in ("new/worker-agent", "run/systemd/system", "var/log", "etc/portcullis"):
        (tmp_path / folder).mkdir(parents=True)

    def configure(role, **environment):
        (tmp_path / "new/worker-agent/worker-agent.cfg").write_text(f'node\n    role = "{role}"\n')
        done = subprocess.run(
            ["bash", "-c", text.replace("@/", f"{tmp_path}/"), "portcullis-boot", "configure"],
            env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout.split()
    assert configure("source") == (0, ["enable", "restart"])
    assert configure("source") == (0, ["enable", "start"])
    turned = ["stop", "follow", "enable", "restart"]
    assert configure("replica", DIES="1") == (1, turned)
    assert configure("replica") == (0, turned), "what was not restarted still has the old role"
    assert configure("replica") == (0, ["follow", "enable", "start"])


def test_the_bucket_is_asked_with_a_signature_that_needs_no_tool(services, tmp_path):
    """Whatever curl the release has; and no key stands in an argument, which anybody can read."""
    key = "packages/x/portcullis_1.0-1_amd64.deb"
    services.objects[f"the-bucket/{key}"] = octets = bytes(range(256)) * 40
    text = fill({**SETTINGS, "S3_ENDPOINT": services.url, "IMDS_ENDPOINT": services.url}).stdout
    text = text.replace('main "$@"\n', """
curl() { printf '%s\\n' "$@" >> arguments; command curl "$@"; }
sed() { printf '%s\\n' "$@" >> arguments; command sed "$@"; }
hmac 4a656665 'what do ya want for nothing?'
bucket_get "$@"
""")
    done = subprocess.run(["bash", "-c", text, "boot", key, "got"], cwd=tmp_path, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split() == [  # RFC 4231, the second
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"]
    assert (tmp_path / "got").read_bytes() == octets and not services.refused
    arguments = (tmp_path / "arguments").read_text()
    assert "aws-sigv4" not in arguments
    for secret in (instance_services.SECRET, instance_services.TOKEN):
        assert secret not in arguments


# --- In a root ---------------------------------------------------------------------

def tar_of(files, links=()):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return data.getvalue()


class Boot:
    """One instance's first boot: what AWS has for it, and what a run of it in a root left."""

    def __init__(self, services, release, tier, folder):
        self.services, self.release, self.tier, self.folder = services, release, tier, folder
        packages = roots.packages_or_skip(release)
        part = PARTS[tier]
        self.settings = {
            **SETTINGS, "PART": part, "TIER": tier, "SECRET_ID": f"portcullis/demo/{part}",
            "PACKAGES_SUM": (packages / "SUM").read_text().strip(),
            "S3_ENDPOINT": services.url, "SECRETS_ENDPOINT": services.url,
            "IMDS_ENDPOINT": services.url}
        for path in packages.iterdir():
            services.objects[f"the-bucket/packages/x/{path.name}"] = path.read_bytes()
        services.secrets[self.settings["SECRET_ID"]] = {
            name: f"content-of-{name}" for name in SECRETS[tier]}
        self.config({f"{tier}/{tier}.cfg": "# ours\n", f"{tier}/agents": "# list\n"})

    def config(self, files, links=()):
        key = f"the-bucket/config/{PARTS[self.tier]}.tar.gz"
        self.services.objects[key] = tar_of(files, links)

    def script(self, name, **changes):
        """User data with other settings, as /boot-data/NAME."""
        user_data = fill({**self.settings, **changes})
        assert user_data.returncode == 0, user_data.stderr
        script = self.folder / name
        script.write_text(user_data.stdout)
        script.chmod(0o700)

    def run(self, then=""):
        self.script("part-001")
        done = roots.attempt(
            self.release, "status=0; /boot-data/part-001 > /tmp/said 2>&1 || status=$?\n"
            f'echo "@@ status"; echo "$status"; echo "@@ said"; cat /tmp/said\nset +e\n{then}',
            [f"{self.folder}:/boot-data"])
        return roots.sections(done.stdout)


LOOK = r"""
echo '@@ secrets'; stat -c '%n %U %a' /etc/portcullis/secrets /etc/portcullis/secrets/* | sort
echo '@@ config'; stat -c '%n %G %a' /etc/portcullis/*/*.cfg
echo '@@ log'; cat /var/log/portcullis-first-boot.log
echo '@@ done'; ls /var/lib/portcullis/first-boot.done 2> /dev/null
echo '@@ installed'; dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p'
echo '@@ drop-in'; cat /etc/systemd/system/*/aws.conf 2> /dev/null
echo '@@ tuned'; cat /etc/mysql/mariadb.conf.d/zz-portcullis.cnf 2> /dev/null
echo '@@ again'; /usr/local/sbin/portcullis-boot > /tmp/again 2>&1; echo $?
echo '@@ version'; /usr/local/sbin/portcullis-boot version
echo '@@ ready'; /usr/local/sbin/portcullis-boot status > /tmp/ready; echo $?
"""
ROTATED = r"""
install -d /run/portcullis-worker-agent
/usr/local/sbin/portcullis-boot agent-secrets > /dev/null 2>&1
cd /run/portcullis-worker-agent
echo rotated > admin.password; rm read.password
sed 's|SECRET_ID=.*|SECRET_ID=portcullis/demo/nobody|' /usr/local/sbin/portcullis-boot > /tmp/alone
bash /tmp/alone agent-secrets > /dev/null 2>&1
echo '@@ kept'; cat admin.password; ls read.password; cd /
mkdir -p /run/systemd/system
printf '#!/bin/sh\necho "$@" >> /tmp/systemctl\n' > /usr/local/sbin/systemctl
chmod 755 /usr/local/sbin/systemctl
echo '@@ unit'; /boot-data/part-001 > /dev/null 2>&1; echo $?; cat /tmp/systemctl
cat /etc/systemd/system/portcullis-first-boot.service
rm -r /run/systemd/system /usr/local/sbin/systemctl
"""
SERVER = r"""
install -d -o mysql -g mysql /run/mysqld # which its unit makes; of Ubuntu nothing else does
mariadbd --user=mysql > /tmp/server 2>&1 &
printf x > /etc/portcullis/secrets/admin.password
for number in $(seq 100); do mariadb -e 'SELECT 1' > /dev/null 2>&1 && break; sleep 0.3; done
echo '@@ account'; portcullis-node setup 2>&1
mariadb -N -e "SELECT user, host FROM mysql.user WHERE user = 'portcullis_admin'"
mariadb -N -e 'SELECT @@server_id, @@read_only, @@log_bin, @@bind_address, @@innodb_flush_method'
mariadb-admin shutdown
"""


@pytest.fixture(scope="module")
def module_services():
    with instance_services.serving(clouds.port_free()) as one:
        yield one


@pytest.fixture(scope="module", params=roots.RELEASES)
def node(request, module_services, tmp_path_factory):
    """What a database's host of that release has said after its first boot: {section: lines}."""
    one = Boot(module_services, request.param, "worker-agent", tmp_path_factory.mktemp("boot"))
    module_services.asked.clear()
    return one.run(LOOK + ROTATED + SERVER)


def test_a_node_comes_as_far_as_it_can_without_systemd(node):
    assert node["status"] == [str(NO_SYSTEMD)], "\n".join(node["said"])
    assert node["log"][-1].endswith("systemd does not run here: nothing is started")
    assert node["done"] == [], "what is not started is not done"
    assert node["ready"] == ["1"]


def test_a_node_has_its_own_secrets_and_tells_nobody(node):
    assert node["secrets"] == ["/etc/portcullis/secrets root 700"] + sorted(
        f"/etc/portcullis/secrets/{name} root 400" for name in SECRETS["worker-agent"])
    for name in SECRETS["worker-agent"]:
        assert not any(f"content-of-{name}" in line for line in node["log"] + node["said"])


def test_every_signature_of_a_node_was_right(node, module_services):
    assert node["status"] and module_services.asked and not module_services.refused


def test_a_node_has_what_it_needs_and_no_compiler(node):
    assert "/etc/portcullis/worker-agent/worker-agent.cfg portcullis-worker-agent 640" \
        in node["config"]
    assert {"mariadb-server", "sysbench", "portcullis-worker-agent", "portcullis-node",
            "portcullis-secret", "nftables"} <= set(node["installed"])
    assert not {"gcc", "cmake", "libzmq3-dev"} & set(node["installed"])
    assert "IPAddressDeny=" in node["drop-in"]
    assert "ExecStartPre=+/usr/local/sbin/portcullis-boot agent-secrets" in node["drop-in"]


def test_a_nodes_server_takes_its_settings_and_the_agents_account(node):
    assert "server_id = 1002" in node["tuned"]
    assert node["account"][0].split() == ["portcullis_admin", "localhost"]
    assert node["account"][1].split() == ["1002", "1", "1", "127.0.0.1", "O_DIRECT"]


def test_an_old_password_does_not_come_back(node):
    """The agent has a newer one in memory, and nobody answers who could say so."""
    assert node["kept"] == ["rotated", "read.password"]


def test_a_unit_repeats_first_boot_until_it_is_done(node):
    assert node["unit"][0] == "0"
    assert "start --no-block portcullis-first-boot" in node["unit"]
    assert {"ConditionPathExists=!/var/lib/portcullis/first-boot.done", "Restart=on-failure",
            "ExecStart=/usr/local/sbin/portcullis-boot"} <= set(node["unit"])


def test_first_boot_again_fetches_no_package_twice(node, module_services):
    assert node["again"] == [str(NO_SYSTEMD)]
    assert node["version"][0].startswith("packages/x ")
    fetched = [path for _, path in module_services.asked if path.endswith(".deb")]
    assert 0 < len(fetched) == len(set(fetched))


BROKEN = {"sums": "not the one that was promised", "link": "more than files",
          "foreign": "is not for a broker", "config": "no configuration", "secret": "error",
          "damaged": "not what it should be"}


def test_faults_are_tried_again_and_what_is_not_as_promised_ends_it(services, tmp_path):
    """One root: a first boot with a fault of each kind on its way, then others of other parts."""
    one = Boot(services, roots.RELEASES[0], "broker", tmp_path)
    objects = services.objects
    services.faults = {"/latest/api/token": 503, "/the-bucket/packages/x/SHA256SUMS": 503,
                       "/the-bucket/packages/x/Packages": "cut",
                       "/the-bucket/config/broker.tar.gz": 500}
    objects["the-bucket/config/link.tar.gz"] = tar_of({}, [("broker/broker.cfg", "/etc/passwd")])
    objects["the-bucket/config/foreign.tar.gz"] = tar_of({"secrets/key": "x"})
    for key in [key for key in objects if key.startswith("the-bucket/packages/x/")]:
        objects[key.replace("/x/", "/damaged/")] = objects[key]
    deb = next(key for key in objects if "/damaged/portcullis-broker_" in key)
    objects[deb] = objects[deb][:-1] + b"x"
    changes = {"sums": {"PACKAGES_SUM": "1" * 64}, "link": {"PART": "link"},
               "foreign": {"PART": "foreign"}, "config": {"PART": "nobody", "TRIES": "1"},
               "secret": {"SECRET_ID": "portcullis/demo/other", "TRIES": "1"},
               "damaged": {"PACKAGES": "packages/damaged"}}
    for name, change in changes.items():
        one.script(name, **change)
    said = one.run("".join(
        (f"rm -f /var/lib/portcullis/packages/portcullis-broker_*\n" if name == "damaged" else "")
        + f"echo '@@ {name}'; /boot-data/{name} 2>&1; echo \"exit $?\"\n" for name in BROKEN))
    assert said["status"] == [str(NO_SYSTEMD)], "\n".join(said["said"])
    assert services.faults == {}, "each was met"
    for name, words in BROKEN.items():
        assert said[name][-1] == "exit 1", said[name]
        assert any(words in line for line in said[name]), said[name]
