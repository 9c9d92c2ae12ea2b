#!/usr/bin/env bash
# mysql-root.sh - a root of Debian unstable with Oracle's MySQL, so that the
# tests also run on a real mysqld and the project also builds with
# libmysqlclient, whatever the machine itself has installed.
#
#   tests/mysql-root.sh make          make the root, once; later calls find it ready
#   tests/mysql-root.sh run CMD...    run CMD in the root, in the checkout (makes the root first)
#   tests/mysql-root.sh add PKG...    install more packages into it (makes the root first)
#   tests/mysql-root.sh path          print where the root is
#   tests/mysql-root.sh clean         delete it
#
# The root is PORTCULLIS_MYSQL_ROOT (default /var/cache/portcullis/mysql-root).
# Inside, the checkout is mounted at /src/portcullis, and builds go to
# $PORTCULLIS_ROOT_BUILD, a folder of this checkout alone that stays between
# calls.  A run has its own mounts and process numbers: whatever CMD leaves
# running ends with it.  The network is the machine's.
#
# Exit: CMD's status; 69 when the root cannot be made here; 64 usage.
set -euo pipefail

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly checkout
readonly root=${PORTCULLIS_MYSQL_ROOT:-/var/cache/portcullis/mysql-root}
readonly inside=/src/portcullis
# shellcheck source=infra/roots.sh
. "$checkout/infra/roots.sh"

# Debian's own names; one list, whose text also says whether a root is up to date.
readonly packages=(
    mysql-server-core mysql-client-core libmysqlclient-dev
    gcc libc6-dev cmake ninja-build pkgconf make
    libczmq-dev libzmq3-dev libmsgpack-c-dev libsodium-dev libmicrohttpd-dev
    libcurl4-openssl-dev libcmocka-dev libedit-dev
    python3 python3-zmq python3-msgpack python3-nacl python3-pytest
    python3-pytest-xdist
    curl procps iproute2 util-linux git ca-certificates
)

say_root()
{
    printf 'mysql-root: %s\n' "$*" >&2
}

s_refuse()
{
    say_root "$*"
    exit 69
}

s_make()
{
    ! root_ready "$root" "${packages[@]}" || return 0
    [[ $(id -u) -eq 0 ]] || s_refuse "making the root needs root"
    command -v debootstrap > /dev/null \
        || s_refuse "debootstrap is missing: apt-get install debootstrap"
    # No mirror named: debootstrap knows its own, PORTCULLIS_DEBIAN_MIRROR another.
    root_make "$root" unstable "${PORTCULLIS_DEBIAN_MIRROR:-}" '' "${packages[@]}" || exit 69
}

# What some need and not all: the mark of a root that is up to date does not know of it.
s_add()
{
    [[ $# -gt 0 ]] || s_usage
    s_make
    local package lacking=()
    for package in "$@"; do
        [[ -e $root/var/lib/dpkg/info/$package.list ]] || lacking+=("$package")
    done
    [[ ${#lacking[@]} -gt 0 ]] || return 0
    [[ $(id -u) -eq 0 ]] || s_refuse "installing into the root needs root"
    exec 9> "$root.lock"
    flock 9
    say_root "installing ${lacking[*]}"
    if ! root_install "$root" "${lacking[@]}" >> "$root.log" 2>&1 9>&-; then
        tail -n 15 "$root.log" >&2
        s_refuse "${lacking[*]} could not be installed, see $root.log"
    fi
    exec 9>&-
}

s_run()
{
    [[ $# -gt 0 ]] || s_usage
    s_make
    [[ $(id -u) -eq 0 ]] || s_refuse "running in the root needs root"
    local build
    build=/build/$(printf '%s' "$checkout" | sha256sum | cut -c1-12)
    mkdir -p "$root$inside" "$root$build"
    # The shell stays as process 1 of the run, to reap what CMD's children leave.
    # shellcheck disable=SC2016 # the inner shell expands these
    exec unshare --mount --pid --fork --kill-child bash -euc '
        root=$1 checkout=$2 inside=$3 build=$4
        shift 4
        mount --make-rprivate /
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        mount --bind "$checkout" "$root$inside"
        exec env -i ${CI+CI="$CI"} TERM="${TERM:-dumb}" HOME=/root \
            ${PCL_SEED+PCL_SEED="$PCL_SEED"} \
            ${PCL_TEST_SEED+PCL_TEST_SEED="$PCL_TEST_SEED"} \
            ${PORTCULLIS_PORTS+PORTCULLIS_PORTS="$PORTCULLIS_PORTS"} \
            ${PORTCULLIS_TEST_BAR+PORTCULLIS_TEST_BAR="$PORTCULLIS_TEST_BAR"} \
            LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin PORTCULLIS_ROOT_BUILD="$build" \
            chroot "$root" /bin/bash -c "cd $inside && \"\$@\"; exit \$?" run "$@"
    ' enter "$root" "$checkout" "$inside" "$build" "$@"
}

s_usage()
{
    sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
    exit 64
}

case ${1:-} in
    make) s_make ;;
    run) shift; s_run "$@" ;;
    add) shift; s_add "$@" ;;
    path) printf '%s\n' "$root" ;;
    clean)
        [[ $(id -u) -eq 0 ]] || s_refuse "deleting the root needs root"
        rm -rf --one-file-system "$root" "$root.making" "$root.log" "$root.lock"
        ;;
    *) s_usage ;;
esac
