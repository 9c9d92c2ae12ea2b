#!/usr/bin/env bash
# root.sh - roots of the distributions that packages are made for: one with a
# compiler, to build in, and a plain one, to install into.
#
#   infra/root.sh RELEASE make                 make both, once; later calls find them ready
#   infra/root.sh RELEASE build CMD...         run CMD in the one that has a compiler
#   infra/root.sh RELEASE try [--bind FROM:TO]... CMD...
#                                              run CMD in a copy of the plain one, which is
#                                              thrown away at its end
#   infra/root.sh RELEASE path                 print where the plain one is
#   infra/root.sh RELEASE clean                delete both
#
# RELEASE: 12 or 13 (Debian), ubuntu-22.04 or ubuntu-24.04.  They are kept in
# PORTCULLIS_ROOTS (default /var/cache/portcullis).  The checkout is mounted
# read-only at /src/portcullis; builds go to $PORTCULLIS_ROOT_BUILD, a folder of
# this checkout alone that stays between calls.  A run has its own mounts and
# process numbers: whatever CMD leaves running ends with it.  The network is the
# machine's.  TO is writable and stays.  PORTCULLIS_DEBIAN_MIRROR and
# PORTCULLIS_UBUNTU_MIRROR name other mirrors, PORTCULLIS_UBUNTU_KEYRING another file of
# Ubuntu's archive keys than that of the package ubuntu-keyring, which is fetched
# from Debian 13, by its root, where the machine has none.
#
# Exit: CMD's status; 69 when a root cannot be made here; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=infra/roots.sh
. "$(dirname "${BASH_SOURCE[0]}")/roots.sh"

readonly roots=${PORTCULLIS_ROOTS:-/var/cache/portcullis}
readonly inside=/src/portcullis

# What compiles the project, by Debian's names, which Ubuntu shares.
readonly build_packages=(
    gcc libc6-dev ccache cmake ninja-build pkgconf dpkg-dev file
    libczmq-dev libzmq3-dev libsodium-dev libmicrohttpd-dev libcurl4-openssl-dev libedit-dev
    libmariadb-dev ca-certificates
)
# What a cloud's image of the release has beside the least: what first boot calls is there.
readonly plain_packages=(
    systemd systemd-sysv udev curl ca-certificates openssl iproute2 procps python3-minimal
)

say_root()
{
    printf 'root: %s\n' "$*" >&2
}

refuse()
{
    say_root "$*"
    exit 69
}

release_decide()
{
    suite_mirror=${PORTCULLIS_DEBIAN_MIRROR:-} # empty: debootstrap knows its own
    msgpack=libmsgpack-c-dev
    case $1 in
        12 | debian-12) release=debian-12 suite=bookworm msgpack=libmsgpack-dev ;;
        13 | debian-13) release=debian-13 suite=trixie ;;
        ubuntu-22.04) release=$1 suite=jammy msgpack=libmsgpack-dev ;;
        ubuntu-24.04) release=$1 suite=noble msgpack=libmsgpack-dev ;;
        *) usage_fail "unknown release: $1" ;;
    esac
    if [[ $release == ubuntu-* ]]; then
        suite_mirror=${PORTCULLIS_UBUNTU_MIRROR:-}
        sources="deb @MIRROR@ $suite universe
deb @MIRROR@ $suite-updates main universe
deb @MIRROR@ $suite-security main universe"
    else
        sources="deb @MIRROR@ $suite-updates main
deb @MIRROR@-security $suite-security main"
    fi
}

ready()
{
    root_ready "$roots/$release-build" "${build_packages[@]}" "$msgpack" \
        && root_ready "$roots/$release" "${plain_packages[@]}"
}

# Debian 13 has Ubuntu's keys in a package, which its apt checks as any other.
keyring_decide()
{
    local name=ubuntu-archive-keyring keys=$roots/ubuntu-keys
    root_keyring=${PORTCULLIS_UBUNTU_KEYRING:-/usr/share/keyrings/$name.gpg}
    if [[ -z ${PORTCULLIS_UBUNTU_KEYRING:-} && ! -e $root_keyring ]]; then
        root_keyring=$keys/$name.gpg
    fi
    if [[ $root_keyring == "$keys"/* && ! -e $root_keyring ]]; then
        mkdir -p "$keys"
        # shellcheck disable=SC2016 # the inner shell expands these
        "$PCL_CHECKOUT/infra/root.sh" 13 try --bind "$keys:/keys" bash -euc '
            cd /tmp
            apt-get update
            apt-get download ubuntu-keyring
            dpkg-deb -x ubuntu-keyring_*.deb here
            cp "here/usr/share/keyrings/$1.gpg" /keys/new
            mv /keys/new "/keys/$1.gpg"' keys "$name" > "$keys.log" 2>&1 < /dev/null || true
    fi
    [[ -e $root_keyring ]] || refuse "Ubuntu's keys are missing: $root_keyring"
}

make_both()
{
    ! ready || return 0
    [[ $(id -u) -eq 0 ]] || refuse "making a root needs root"
    command -v debootstrap > /dev/null \
        || refuse "debootstrap is missing: apt-get install debootstrap"
    [[ -e /usr/share/debootstrap/scripts/$suite || $release == ubuntu-* ]] \
        || refuse "debootstrap does not know $suite"
    [[ $release != ubuntu-* ]] || keyring_decide
    root_make "$roots/$release" "$suite" "$suite_mirror" "$sources" "${plain_packages[@]}" \
        || exit 69
    root_make "$roots/$release-build" "$suite" "$suite_mirror" "$sources" \
        "${build_packages[@]}" "$msgpack" || exit 69
}

# enter ROOT BUILD BIND... -- CMD...: the shell stays as process 1 of the run, to reap what
# CMD's children leave.
enter()
{
    [[ $(id -u) -eq 0 ]] || refuse "running in a root needs root"
    # shellcheck disable=SC2016 # the inner shell expands these
    exec unshare --mount --pid --fork --kill-child bash -euc '
        root=$1 checkout=$2 inside=$3 build=$4 copy=$5
        shift 5
        mount --make-rprivate /
        if [[ -n $copy ]]; then
            mount -t tmpfs tmpfs "$copy"
            mkdir "$copy/changes" "$copy/work" "$copy/root"
            mount -t overlay overlay "$copy/root" \
                -o "lowerdir=$root,upperdir=$copy/changes,workdir=$copy/work"
            root=$copy/root
        fi
        mount --rbind /dev "$root/dev"
        mount -t proc proc "$root/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        mkdir -p "$root$inside"
        mount --bind -o ro "$checkout" "$root$inside"
        while [[ $1 != -- ]]; do
            mkdir -p "$root${1#*:}"
            mount --bind "${1%%:*}" "$root${1#*:}"
            shift
        done
        shift
        exec env -i TERM="${TERM:-dumb}" HOME=/root LC_ALL=C.UTF-8 \
            DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
            ${build:+PORTCULLIS_ROOT_BUILD="$build"} \
            chroot "$root" /bin/bash -c "\"\$@\"; exit \$?" run "$@"
    ' enter "$1" "$PCL_CHECKOUT" "$inside" "$2" "${copy:-}" "${@:3}"
}

build_run()
{
    local build
    [[ $# -gt 0 ]] || usage_fail "build wants a command"
    make_both
    build=/build/$(printf '%s' "$PCL_CHECKOUT" | sha256sum | cut -c1-12)
    mkdir -p "$roots/$release-build$inside" "$roots/$release-build$build"
    enter "$roots/$release-build" "$build" "${binds[@]}" -- "$@"
}

try_run()
{
    [[ $# -gt 0 ]] || usage_fail "try wants a command"
    make_both
    mkdir -p "$roots/copy"
    copy=$roots/copy
    enter "$roots/$release" '' "${binds[@]}" -- "$@"
}

main()
{
    local what
    binds=()
    copy=
    if [[ ${1-} == -h || ${1-} == --help ]]; then
        help_print "${BASH_SOURCE[0]}"
        exit 0
    fi
    [[ $# -ge 2 ]] || usage_fail "a release and what to do are wanted"
    release_decide "$1"
    what=$2
    shift 2
    while [[ ${1-} == --bind ]]; do
        [[ ${2-} == /*:/* ]] || usage_fail "--bind wants FROM:TO, both from the root on"
        binds+=("$2")
        shift 2
    done
    case $what in
        make) make_both ;;
        build) build_run "$@" ;;
        try) try_run "$@" ;;
        path) printf '%s\n' "$roots/$release" ;;
        clean)
            [[ $(id -u) -eq 0 ]] || refuse "deleting a root needs root"
            rm -rf --one-file-system "${roots:?}/$release"{,-build}{,.making,.log,.lock}
            ;;
        *) usage_fail "unknown: $what" ;;
    esac
}

main "$@"
