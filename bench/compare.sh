#!/usr/bin/env bash
# compare.sh - Portcullis beside HAProxy, MySQL Router and ProxySQL, and beside the bare database:
# the same sysbench, data and database node for all, in interleaved repeats.
#
#   bench/compare.sh [options]
#
#   --quick            two repeats of little, in four minutes: does it work?
#   --clients N,N,...  how many clients (default 1,8,64,128,1000,2000)
#   --workloads W,...  of point_select, read_only, read_write (default point_select)
#   --repeats N        how often each has its turn (default 5)
#   --seconds N        how long a turn is, after a second of warm-up (default 2)
#   --json FILE        all that was measured (default compare.json)
#   --text FILE        the same for people (default compare.txt)
#   --no-install       install nothing: a peer that is missing is left out, and said so; what
#                      all need has to be there
#   --no-build         use the binaries that are there
#   --build-dir DIR    where they are built (default build/release)
#   --help-all         all other options, those of bench/compare.py
#
# It installs HAProxy and sysbench from the distribution, and MySQL Router into the root of
# Debian unstable that tests/mysql-root.sh makes.  ProxySQL is not in Debian: it takes part
# where `proxysql` is on the path.  The standard form takes 20 to 25 minutes, ends whatever it
# started, and is worth something only on a machine that does nothing else; it says so when that
# was not the case.
#
# Exit: 0 measured; 1 not; 64 usage; 130 interrupted, and what was measured until then is written.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../infra/lib.sh"

may_install=1
may_build=1
build_dir=$PCL_CHECKOUT/build/release
passed_on=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --no-install) may_install=0 ;;
        --no-build) may_build=0 ;;
        --build-dir)
            [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
            mkdir -p "$2"
            build_dir=$(cd "$2" && pwd -P)
            shift
            ;;
        -h | --help)
            help_print "${BASH_SOURCE[0]}"
            exit 0
            ;;
        --help-all) exec /usr/bin/python3 "$PCL_CHECKOUT/bench/compare_options.py" --help ;;
        *) passed_on+=("$1") ;;
    esac
    shift
done

export PYTHONDONTWRITEBYTECODE=1
# What is wrong is said before anything is installed; without Python, only behind that.
if [[ -x /usr/bin/python3 ]]; then
    /usr/bin/python3 "$PCL_CHECKOUT/bench/compare_options.py" "${passed_on[@]}"
fi

# Peers are wanted and not needed: without one the comparison says so and goes on.
peers_install()
{
    local running=0
    if ! command -v haproxy > /dev/null; then
        say "installing haproxy"
        if apt_install haproxy > "$log" 2>&1; then
            running=1
        else
            log_tail "$log"
            warn "haproxy could not be installed"
        fi
    fi
    # Its package starts a service; nobody asked for that.
    if [[ $running -eq 1 ]] && command -v systemctl > /dev/null; then
        as_root systemctl disable --now haproxy > /dev/null 2>&1 || true
    fi
    if ! command -v mysqlrouter > /dev/null && [[ $(id -u) -eq 0 ]]; then
        "$PCL_CHECKOUT/tests/mysql-root.sh" add mysql-router \
            || warn "MySQL Router could not be installed into the root of Debian unstable"
    fi
}

log=$(mktemp /tmp/portcullis-compare.XXXXXX)
trap 'rm -f "$log"' EXIT
needs=("$PCL_NEED_RUN" "$PCL_NEED_MARIADB" "$PCL_NEED_BENCH")
[[ $may_build -eq 0 ]] || needs+=("$PCL_NEED_BUILD")
packages_ensure "$may_install" "${needs[@]}"
[[ $may_install -eq 0 ]] || peers_install
if [[ $may_build -eq 1 ]]; then
    say "building in $build_dir"
    build_folder "$build_dir" "$log" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF -DPCL_WERROR=OFF || fail "the build failed"
fi
rm -f "$log"
export PORTCULLIS_TEST_BUILD=$build_dir
exec /usr/bin/python3 "$PCL_CHECKOUT/bench/compare.py" "${passed_on[@]}"
