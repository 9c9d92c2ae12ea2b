# shellcheck shell=bash
# roots.sh - what the scripts that make a root of another distribution share:
# its packages, its mounts.  A root is a folder that chroot can enter; made
# once under /var/cache/portcullis and kept.
#
# The caller has say_root(), which tells what goes on, and errexit, nounset and
# pipefail on.  All of it needs root.

# What apt needs to reach its archive from here is the machine's business: its
# proxies and its checks go along, and nothing else of its configuration.
root_apt_settings()
{
    local target=$1
    apt-config dump | grep -E '^Acquire::(http|https|Check|Retries|ForceIPv)' \
        > "$target/etc/apt/apt.conf.d/90machine" || true
    cat > "$target/etc/apt/apt.conf.d/91lean" << 'LEAN'
APT::Install-Recommends "false";
Acquire::Languages "none";
LEAN
    if [[ -f /etc/resolv.conf ]]; then
        cp -L /etc/resolv.conf "$target/etc/resolv.conf"
    fi
    printf '#!/bin/sh\nexit 101\n' > "$target/usr/sbin/policy-rc.d"
    chmod 755 "$target/usr/sbin/policy-rc.d"
}

# root_install ROOT PACKAGE...
root_install()
{
    local target=$1
    shift
    # shellcheck disable=SC2016 # the inner shell expands these
    unshare --mount --fork --kill-child bash -euc '
        mount --bind /dev "$1/dev"
        mount -t proc proc "$1/proc"
        export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin
        chroot "$1" apt-get update
        chroot "$1" apt-get install -y --no-install-recommends "${@:2}"
        chroot "$1" apt-get clean
    ' install "$target" "$@"
}

# root_ready ROOT PACKAGE...: is it there, with these packages?
root_ready()
{
    local target=$1
    shift
    [[ -f $target/.portcullis-packages && $(< "$target/.portcullis-packages") == "$*" ]]
}

# root_make ROOT SUITE MIRROR SOURCES PACKAGE...: makes it, unless it is ready.  MIRROR may be
# empty: debootstrap knows its own.  SOURCES: lines of sources.list besides those of debootstrap,
# @MIRROR@ being the mirror that it took.
# 1: it cannot be made, and the log, ROOT.log, has been shown.
root_make()
{
    local target=$1 suite=$2 mirror=$3 sources=$4 making=$1.making status=0
    shift 4
    ! root_ready "$target" "$@" || return 0
    mkdir -p "$(dirname "$target")"
    # Two runs at once: the second waits and then finds the root ready.
    exec 9> "$target.lock"
    flock 9
    if ! root_ready "$target" "$@"; then
        say_root "making $target: debootstrap of $suite, $# packages (log: $target.log)"
        # One with other packages is gone on with, as one that was left half-made.
        [[ ! -d $target || -e $making ]] || mv "$target" "$making"
        root_fill "$making" "$suite" "$mirror" "$sources" "$@" > "$target.log" 2>&1 9>&- || status=1
        if [[ $status -eq 0 ]]; then
            printf '%s' "$*" > "$making/.portcullis-packages"
            rm -rf --one-file-system "$target"
            mv "$making" "$target"
            say_root "ready: $target"
        else
            tail -n 15 "$target.log" >&2 || true
            say_root "$target could not be made, see $target.log"
        fi
    fi
    exec 9>&-
    return "$status"
}

root_keyring= # with other keys than Debian's

# debootstrap's folder; one older than a release of Ubuntu does not know its name, but the
# script of all of them is the same.
root_scripts()
{
    local suite=$1 folder=$2
    if [[ -e /usr/share/debootstrap/scripts/$suite ]]; then
        printf '/usr/share/debootstrap\n'
        return 0
    fi
    rm -rf --one-file-system "$folder"
    cp -a /usr/share/debootstrap "$folder"
    ln -s jammy "$folder/scripts/$suite"
    printf '%s\n' "$folder"
}

# One that was left half-made is gone on with: its packages are what takes time.
root_fill()
{
    local making=$1 suite=$2 mirror=$3 sources=$4 taken
    shift 4
    if [[ ! -x $making/usr/bin/apt-get || -d $making/debootstrap ]]; then
        rm -rf --one-file-system "$making"
        DEBOOTSTRAP_DIR=$(root_scripts "$suite" "$making.scripts") debootstrap \
            --variant=minbase ${root_keyring:+--keyring="$root_keyring"} "$suite" "$making" \
            ${mirror:+"$mirror"} || return 1
        rm -rf --one-file-system "$making.scripts"
    fi
    root_apt_settings "$making" || return 1
    if [[ -n $sources ]]; then
        taken=$(awk '$1 == "deb" { print $2; exit }' "$making/etc/apt/sources.list")
        printf '%s\n' "${sources//@MIRROR@/$taken}" > "$making/etc/apt/sources.list.d/more.list"
    fi
    root_install "$making" "$@"
}
