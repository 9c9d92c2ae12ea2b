"""The packages: made in a root of each release, installed in a plain one from their folder alone,
and asked there whether they hold together."""
import hashlib
import re
import shutil
import subprocess

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
    nftables \
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
    echo "@@ $tier user"; stat -c '%U %G %a' "/etc/portcullis/$tier"
    getent passwd "$daemon" | cut -d : -f 1,6,7
    echo "@@ $tier sample"; $daemon --config "$config" --check-config 2>&1 || echo "exit $?"
    while read -r section key value; do
        fill "$config" "$section" "$key" "$value"
    done < "/answers/$tier"
    echo "@@ $tier filled"; $daemon --config "$config" --check-config 2>&1 || echo "exit $?"
done
echo '@@ units'
analyze() { systemd-analyze "$1" --man=no "${@:2}" 2>&1 | grep portcullis || true; }
analyze verify /usr/lib/systemd/system/portcullis*.service
sed 's/^Protect/Protekt/' /usr/lib/systemd/system/portcullis-broker.service \
    > /tmp/portcullis-wrong.service
echo '@@ wrong unit'; analyze verify /tmp/portcullis-wrong.service
echo '@@ exposure'
if systemd-analyze --help | grep -q -e --offline; then
    for unit in /usr/lib/systemd/system/portcullis*.service; do
        systemd-analyze security --offline=yes --no-pager "$unit" \
            | sed -n 's/.*level for \([^ ]*\).service: \([0-9.]*\) .*/\1 \2/p'
    done
fi
newer() { # PACKAGE: one of a greater version, whose sample has another end
    rm -rf /tmp/newer
    dpkg-deb -R /packages/"$1"_*.deb /tmp/newer
    sed -i 's/^Version: .*/&.newer/' /tmp/newer/DEBIAN/control
    for sample in /tmp/newer/etc/portcullis/*/*.cfg; do echo '# newer' >> "$sample"; done
    dpkg-deb -Znone -b /tmp/newer /tmp/newer.deb > /dev/null
    dpkg --force-confdef --force-confold -i /tmp/newer.deb > /tmp/log 2>&1 || cat /tmp/log
}
cd /etc/portcullis/portcullisd
echo '# ours' >> proxy.cfg
newer portcullisd
echo '@@ upgraded'; dpkg-query -W -f '${Version}\n' portcullisd | grep -o 'newer$'
tail -qn 1 proxy.cfg broker.cfg proxy.cfg.dpkg-dist
cp /etc/portcullis/{gatekeeper,broker,proxy}/*.cfg /etc/portcullis/portcullisd/
echo '@@ portcullisd filled'
portcullisd --roles gatekeeper,broker,proxy --config-dir /etc/portcullis/portcullisd \
    --check-config 2>&1 || echo "exit $?"
echo '@@ secrets'; stat -c '%U %G %a' /etc/portcullis/secrets
echo '@@ client'; portcullis keygen /root/own.key > /dev/null && stat -c %a /root/own.key
echo '@@ header'; ls /usr/include/portcullis.h; ls /usr/lib/*/pkgconfig/portcullis.pc
mkdir /var/lib/portcullis-proxy
systemctl enable --quiet portcullis-proxy portcullis-firewall-proxy
apt-get -qq purge -y portcullis-proxy > /dev/null 2>&1
echo '@@ purged'; find / -xdev -path '*portcullis*' -name '*proxy*' -not -path '*/portcullisd/*' \
    -not -path '/src/*'
echo '@@ others'; ls /etc/portcullis
cd /
echo own > /etc/portcullis/secrets/own.key
apt-get -qq purge -y 'portcullis*' 'libportcullis*' > /tmp/log 2>&1 || cat /tmp/log
left() { find / -xdev -path '*portcullis*' -not -path '/src/*' -not -name '.portcullis-*' | sort; }
echo '@@ left'; left
rm -r /etc/portcullis
dpkg -i /packages/portcullis-broker_*.deb > /tmp/log 2>&1 || cat /tmp/log
dpkg --purge portcullis-broker > /tmp/log 2>&1 || cat /tmp/log
echo '@@ left of one alone'; left
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
def test_a_daemon_has_its_user_and_folder(installed, tier):
    daemon = f"portcullis-{tier}"
    assert installed[f"{tier} version"], "it runs"
    assert installed[f"{tier} user"] == [f"root {daemon} 750", f"{daemon}:/:/usr/sbin/nologin"]


def test_the_units_are_right(installed):
    assert installed["units"] == []
    assert any("Protekt" in line for line in installed["wrong unit"]), "what is wrong is found"


EXPOSURE_MAX = 2.0  # of 10, as systemd counts; what is below is "OK"


def test_the_units_leave_little_open(installed):
    exposure = dict(line.split() for line in installed["exposure"])
    if not exposure:
        pytest.skip("this systemd cannot tell of a unit that does not run")
    assert len(exposure) == 2 * len(TIERS) + 1
    assert {unit: level for unit, level in exposure.items() if float(level) > EXPOSURE_MAX} == {}


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


def test_an_upgrade_keeps_what_was_edited_and_replaces_what_was_not(installed):
    assert installed["upgraded"] == ["newer", "# ours", "# newer", "# newer"]


def test_a_purge_leaves_what_the_operator_made(installed):
    assert installed["purged"] == []
    assert {"broker", "secrets", "portcullisd"} <= set(installed["others"])
    secrets = "/etc/portcullis/secrets"
    assert installed["left"] == ["/etc/portcullis", secrets, f"{secrets}/own.key"]
    assert installed["left of one alone"] == []


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_finds_no_error():
    folder = roots.packages_or_skip(roots.RELEASES[0])
    own = sorted(folder.glob("*portcullis*.deb"))
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", "--suppress-tags",
                           "uncompressed-manual-page", *map(str, own)],  # man reads it as it is
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert len(own) == 10 and done.returncode == 0, done.stdout
