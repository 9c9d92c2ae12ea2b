"""The packages: made in a root of each release, installed in a plain one from their folder alone,
and asked there whether they hold together."""
import hashlib
import re

import pytest

import roots

TIERS = ["gatekeeper", "broker", "proxy", "worker-agent"]

# What a configuration must say at least, in the words of sed: SECTION KEY VALUE.
FILLED = {
    "gatekeeper": [("clients", "endpoint", "tcp://127.0.0.1:5555"),
                   ("broker", "endpoint", "tcp://127.0.0.1:5556"), ("curve", "insecure", "1")],
    "broker": [("gatekeepers", "endpoint", "tcp://127.0.0.1:5556"),
               ("proxy", "endpoint", "tcp://127.0.0.1:5557"), ("curve", "insecure", "1")],
    "proxy": [("brokers", "endpoint", "tcp://127.0.0.1:5557"),
              ("agents", "endpoint", "tcp://127.0.0.1:5558"), ("curve", "insecure", "1")],
    "worker-agent": [("node", "name", "node1"), ("node", "role", "source"),
                     ("proxy", "endpoint", "tcp://127.0.0.1:5558"), ("curve", "insecure", "1"),
                     ("accounts", "read_password_file", "/root/password"),
                     ("accounts", "write_password_file", "/root/password"),
                     ("accounts", "replication_password_file", "/root/password")],
}

SCRIPT = r"""
fill() {
    awk -v section="$2" -v key="$3" -v value="$4" '
        /^[a-z]/ { now = $1 }
        now == section && $1 == key { printf "    %s = \"%s\"\n", key, value; next }
        { print }' "$1" > /tmp/filled
    cat /tmp/filled > "$1"
}
printf 'deb [trusted=yes] file:/packages ./\n' > /tmp/own.list
own() {
    apt-get -qq -o Dir::Etc::sourcelist=/tmp/own.list -o Dir::Etc::sourceparts=- "$@" < /dev/null
}
own update
own install -y --no-install-recommends portcullis-gatekeeper portcullis-broker portcullis-proxy \
    portcullis-worker-agent portcullisd portcullis-client portcullis-secret libportcullis-dev \
    > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
echo '@@ compilers'
for name in cc gcc clang c++; do command -v $name || true; done
echo '@@ audit'; dpkg --audit
echo '@@ unresolved'
for name in /usr/sbin/portcullis* /usr/bin/portcullis*; do
    ldd "$name" 2>&1 | grep 'not found' || true
done
umask 077; echo secret > /root/password; umask 022
for tier in gatekeeper broker proxy worker-agent; do
    config=/etc/portcullis/$tier/$tier.cfg
    daemon=portcullis-$tier
    echo "@@ $tier version"; $daemon --version
    echo "@@ $tier user"; stat -c '%U %G %a' "/etc/portcullis/$tier"; id -un "$daemon"
    echo "@@ $tier unit"
    systemd-analyze verify --man=no "$daemon.service" 2>&1 | grep "^$daemon\|/$daemon" || true
    echo "@@ $tier sample"; $daemon --config "$config" --check-config 2>&1 || echo "exit $?"
    while read -r section key value; do
        fill "$config" "$section" "$key" "$value"
    done < "/answers/$tier"
    echo "@@ $tier filled"; $daemon --config "$config" --check-config 2>&1 || echo "exit $?"
done
cp /etc/portcullis/{gatekeeper,broker,proxy}/*.cfg /etc/portcullis/portcullisd/
echo '@@ portcullisd filled'
portcullisd --roles gatekeeper,broker,proxy --config-dir /etc/portcullis/portcullisd \
    --check-config 2>&1 || echo "exit $?"
echo '@@ secrets'; stat -c '%U %G %a' /etc/portcullis/secrets
echo '@@ client'; portcullis keygen /root/own.key > /dev/null && stat -c %a /root/own.key
echo '@@ header'; ls /usr/include/portcullis.h; ls /usr/lib/*/pkgconfig/portcullis.pc
sum=$(sha256sum < /etc/portcullis/proxy/proxy.cfg)
own install -y --no-install-recommends --reinstall -o Dpkg::Options::=--force-confdef \
    portcullis-proxy > /tmp/log 2>&1 || { cat /tmp/log; exit 1; }
echo '@@ kept'; [ "$sum" = "$(sha256sum < /etc/portcullis/proxy/proxy.cfg)" ] && echo yes
apt-get -qq purge -y portcullis-proxy > /dev/null 2>&1
echo '@@ purged'
ls -d /etc/portcullis/proxy /usr/sbin/portcullis-proxy 2> /dev/null || true
echo '@@ others'; ls /etc/portcullis
"""


@pytest.fixture(scope="module", params=roots.RELEASES)
def installed(request, tmp_path_factory):
    """What the script above said in a plain root: {section: lines}."""
    folder = roots.packages_or_skip(request.param)
    answers = tmp_path_factory.mktemp("answers")
    for tier, settings in FILLED.items():
        (answers / tier).write_text("".join(f"{' '.join(one)}\n" for one in settings))
    done = roots.attempt(request.param, SCRIPT, [f"{folder}:/packages", f"{answers}:/answers"])
    assert done.returncode == 0, done.stdout
    return roots.sections(done.stdout)


@pytest.fixture(params=roots.RELEASES)
def folder(request):
    return roots.packages_or_skip(request.param)


def test_the_folder_is_whole_and_one_line_vouches_for_it(folder):
    listed = (folder / "SHA256SUMS").read_bytes()
    assert (folder / "SUM").read_text().strip() == hashlib.sha256(listed).hexdigest()
    names = set()
    for line in listed.decode().splitlines():
        sum_, name = line.split(maxsplit=1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sum_
        names.add(name)
    assert names == {path.name for path in folder.iterdir()} - {"SHA256SUMS", "SUM"}
    own = {name.split("_")[0] for name in names if "portcullis" in name}
    assert own == {f"portcullis-{tier}" for tier in TIERS} | {
        "portcullisd", "portcullis-client", "portcullis-secret", "portcullis-node",
        "libportcullis0", "libportcullis-dev"}
    assert {"mariadb-server", "sysbench", "nftables"} <= {name.split("_")[0] for name in names}


def test_all_install_from_the_folder_alone_and_bring_no_compiler(installed):
    assert installed["compilers"] == []
    assert installed["audit"] == []
    assert installed["unresolved"] == []


@pytest.mark.parametrize("tier", TIERS)
def test_a_daemon_has_its_user_folder_and_unit(installed, tier):
    daemon = f"portcullis-{tier}"
    assert installed[f"{tier} version"], "it runs"
    assert installed[f"{tier} user"] == [f"root {daemon} 750", daemon]
    assert installed[f"{tier} unit"] == []


@pytest.mark.parametrize("tier", TIERS)
def test_the_sample_lacks_only_what_nobody_else_can_know(installed, tier):
    said = installed[f"{tier} sample"]
    assert said[-1] == "exit 78"
    paths = {found[1] for line in said if (found := re.search(r"\.cfg: (\w+/\w+): ", line))}
    assert paths and paths <= {f"{section}/{key}" for section, key, _ in FILLED[tier]}


@pytest.mark.parametrize("tier", TIERS)
def test_the_sample_filled_in_is_right(installed, tier):
    assert not any(re.match(r"exit \d+", line) for line in installed[f"{tier} filled"])


def test_the_three_in_one_process_take_the_same_files(installed):
    assert not any(re.match(r"exit \d+", line) for line in installed["portcullisd filled"])


def test_secrets_are_of_root_alone(installed):
    assert installed["secrets"] == ["root root 700"]
    assert installed["client"] == ["600"]


def test_the_library_comes_with_its_header(installed):
    assert len(installed["header"]) == 2


def test_an_upgrade_keeps_what_was_edited_and_a_purge_leaves_nothing(installed):
    assert installed["kept"] == ["yes"]
    assert installed["purged"] == []
    assert "broker" in installed["others"] and "secrets" in installed["others"]
