#!/usr/bin/env bash
# package.sh - packages of this checkout for one release of a distribution, and
# beside them every package of the distribution that a plain machine needs for
# them: so what installs them reaches no mirror, and compiles nothing.
#
#   infra/package.sh --release RELEASE [options]
#
#   --release RELEASE   12 or 13 (Debian), ubuntu-22.04 or ubuntu-24.04
#   --output DIR        where the folder RELEASE is put (default: build/packages)
#   --flavor F          the database that goes along: mariadb (default), mysql, or
#                       both; mysql is Ubuntu's own, Debian has none
#   --extra DIR         packages of yours that go along: a MySQL server for Debian,
#                       an agent of the cloud; installed where something needs them
#   --own-only          this checkout's packages alone
#
# Builds in a root of the release that debootstrap makes once (infra/root.sh),
# so it needs root.  The folder holds the packages, Packages (apt's index of
# it), SHA256SUMS, and SUM, the checksum of SHA256SUMS: who knows that one line
# knows that all of them are these.
#
# Exit: 0 the folder is there; 1 something failed; 64 usage; 69 the root cannot
# be made here.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

release=
output=$PCL_CHECKOUT/build/packages
flavor=mariadb
extra=
own_only=0

# What an instance may need of the distribution beside what the packages depend on.
readonly aside=(sysbench nftables)

options_read()
{
    while [[ $# -gt 0 ]]; do
        case $1 in
            --release | --output | --flavor | --extra)
                [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                option_with_value "$1" "$2"
                shift
                ;;
            --own-only) own_only=1 ;;
            -h | --help)
                help_print "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) usage_fail "unknown option: $1" ;;
        esac
        shift
    done
    [[ -n $release ]] || usage_fail "--release is wanted"
}

option_with_value()
{
    case $1 in
        --release)
            case $2 in
                12 | 13) release=debian-$2 ;;
                debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04) release=$2 ;;
                *) usage_fail "unknown release: $2" ;;
            esac
            ;;
        --output) output=$2 ;;
        --flavor)
            [[ $2 == mariadb || $2 == mysql || $2 == both ]] \
                || usage_fail "--flavor wants mariadb, mysql or both, not '$2'"
            flavor=$2
            ;;
        --extra)
            [[ -d $2 ]] || usage_fail "--extra wants a folder, and $2 is none"
            extra=$(cd "$2" && pwd -P)
            ;;
    esac
}

servers()
{
    [[ $flavor == mysql ]] || printf 'mariadb-server mariadb-backup '
    [[ $flavor == mariadb || -n $extra ]] || printf 'mysql-server '
}

# What runs in the root that has a compiler, at $1 the folder to fill.
# shellcheck disable=SC2016 # the inner shell expands these
readonly build_script='
    # What another checkout has compiled before need not be compiled again.
    export CCACHE_DIR=/build/ccache CCACHE_BASEDIR=$PORTCULLIS_ROOT_BUILD CCACHE_NOHASHDIR=1
    cmake -G Ninja -S /src/portcullis -B "$PORTCULLIS_ROOT_BUILD" \
        -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF \
        -DCPACK_STRIP_FILES=ON -DCMAKE_C_COMPILER_LAUNCHER=ccache -DPCL_PACKAGE_REVISION="$2"
    ninja -C "$PORTCULLIS_ROOT_BUILD"
    rm -rf "$1"/* "$PORTCULLIS_ROOT_BUILD/debs"
    (cd "$PORTCULLIS_ROOT_BUILD" && cpack -B debs)
    cp "$PORTCULLIS_ROOT_BUILD"/debs/*.deb "$1"/
'

# What runs in the plain one: apt says what is lacking there, and fetches it.
# shellcheck disable=SC2016
readonly fetch_script='
    folder=$1
    shift
    apt-get update
    apt-get install -y --no-install-recommends --download-only "$folder"/*.deb "$@"
    mkdir -p /tmp/none/partial
    apt-get install -y --no-install-recommends --print-uris -o Dir::Cache::archives=/tmp/none \
        "$folder"/*.deb "$@" | sed -n "s/^.http[^ ]* \([^ ]*\.deb\) .*/\1/p" > /tmp/wanted
    [ -s /tmp/wanted ]
    while read -r name; do
        cp "/var/cache/apt/archives/$name" "$folder/"
    done < /tmp/wanted
'

# Two folders made of two states of the checkout differ in their packages' version, and the later
# is the greater; so that apt sees that there is something to install.
revision()
{
    local stamp hash dirty
    if ! hash=$(git -C "$PCL_CHECKOUT" rev-parse --short=10 HEAD 2> /dev/null); then
        return 0
    fi
    dirty=$(git -C "$PCL_CHECKOUT" status --porcelain --untracked-files=no)
    if [[ -n $dirty ]]; then
        stamp=$(date -u +%Y%m%d.%H%M%S) hash+=.edited
    else
        stamp=$(TZ=UTC0 git -C "$PCL_CHECKOUT" log -1 --format=%cd \
            --date=format-local:%Y%m%d.%H%M%S)
    fi
    printf '+%s.g%s\n' "$stamp" "$hash"
}

build_own()
{
    say "building for $release (log: $log)"
    "$PCL_CHECKOUT/infra/root.sh" "$release" build --bind "$folder:/packages" \
        bash -euc "$build_script" build /packages "$(revision)" >> "$log" 2>&1 < /dev/null \
        || folder_failed $?
    say "$(find "$folder" -name '*.deb' | wc -l) packages of this checkout"
}

fetch_rest()
{
    if [[ -n $extra ]]; then
        cp "$extra"/*.deb "$folder/"
    fi
    # apt's cache stays between calls: the same packages are fetched once.
    mkdir -p "$cache/archives/partial" "$cache/lists/partial"
    say "fetching what a plain $release lacks"
    # shellcheck disable=SC2046 # words
    "$PCL_CHECKOUT/infra/root.sh" "$release" try --bind "$folder:/packages" \
        --bind "$cache/archives:/var/cache/apt/archives" --bind "$cache/lists:/var/lib/apt/lists" \
        bash -euc "$fetch_script" fetch /packages "${aside[@]}" $(servers) \
        >> "$log" 2>&1 < /dev/null || folder_failed $?
}

folder_failed()
{
    log_tail "$log"
    [[ $1 -ne 69 ]] || exit 69
    fail "the packages for $release could not be made"
}

index_write()
{
    # shellcheck disable=SC2016 # the inner shell expands these
    "$PCL_CHECKOUT/infra/root.sh" "$release" build --bind "$folder:/packages" bash -euc '
        cd /packages
        # Names that stand in an address as they are: no epoch, no plus, no tilde.
        for name in *.deb; do
            plain=${name//%3a/.}
            plain=${plain//[+~]/-}
            [[ $plain == "$name" ]] || mv -- "$name" "$plain"
        done
        dpkg-scanpackages --multiversion . > Packages
        sha256sum -- *.deb Packages > SHA256SUMS
        sha256sum < SHA256SUMS | cut -d " " -f 1 > SUM
    ' >> "$log" 2>&1 < /dev/null || folder_failed $?
}

main()
{
    options_read "$@"
    mkdir -p "$output/log"
    output=$(cd "$output" && pwd -P)
    local folder=$output/$release log=$output/log/$release.log
    local cache=${PORTCULLIS_ROOTS:-/var/cache/portcullis}/$release-apt
    mkdir -p "$folder"
    : > "$log"
    rm -f "$folder/SUM"
    build_own
    [[ $own_only -eq 1 ]] || fetch_rest
    index_write
    say "$(find "$folder" -name '*.deb' | wc -l) packages," \
        "$(du -sm "$folder" | cut -f 1) MB in $folder"
    say "sum $(< "$folder/SUM")"
}

main "$@"
