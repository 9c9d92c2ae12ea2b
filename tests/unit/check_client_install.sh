#!/bin/bash
# usage: check_client_install.sh SOURCE BUILD
# Installs what belongs to the client below a folder of its own, as a package does, and uses it
# from there: the example against the shared and the static library, the command, the manual page,
# the completion.  The library must show its API and nothing else, and need neither CZMQ nor HTTP.
set -euo pipefail
readonly source_dir=$1 build_dir=$2
readonly here=${BASH_SOURCE[0]%/*}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail()
{
    printf '%s: %s\n' "${here##*/}" "$*" >&2
    exit 1
}

for component in lib dev client; do
    DESTDIR=$root cmake --install "$build_dir" --component "$component" > "$root/install.log" \
        || fail "component $component: $(cat "$root/install.log")"
done

pc=$(find "$root" -name portcullis.pc)
[[ -n $pc ]] || fail "no portcullis.pc was installed"
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=${pc%/*}
read -ra flags <<< "$(pkg-config --cflags --libs portcullis)"
library=$(find "$root" -name libportcullis.so)
archive=$(find "$root" -name libportcullis.a)
cc "$source_dir/client/examples/query.c" "${flags[@]}" -o "$root/shared"
cc "$source_dir/client/examples/transfer.c" "${flags[@]}" -o "$root/transfer"
cc "$source_dir/client/examples/causal.c" "${flags[@]}" -o "$root/causal"
if command -v c++ > /dev/null; then
    c++ -x c++ -fsyntax-only -Wall -Wextra -Werror "${flags[@]}" - <<< '#include <portcullis.h>'
fi
read -ra private <<< "$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --libs libzmq libsodium)"
cc "$source_dir/client/examples/query.c" -I"$(dirname "$(find "$root" -name portcullis.h)")" \
    "$archive" "${private[@]}" -pthread -o "$root/static"
export LD_LIBRARY_PATH=${library%/*}
for example in shared static transfer; do
    code=0
    "$root/$example" /nonexistent/bundle 2> "$root/error" || code=$?
    [[ $code -eq 78 ]] || fail "the $example example ended with $code: $(cat "$root/error")"
done

foreign=$(nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' |
    grep -v '^portcullis_' || true)
[[ -z $foreign ]] || fail "the library shows what is not its API: $foreign"
[[ $(nm -D --defined-only "$library" | grep -c ' T portcullis_') -gt 80 ]] || fail "the API is gone"
needed=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')
[[ ! $needed =~ czmq|microhttpd|msgpack ]] || fail "the library needs too much: $needed"
[[ $(readelf -d "$library") == *"SONAME"*"libportcullis.so.0]"* ]] || fail "the SONAME is wrong"

command=$(find "$root" -name portcullis -perm -u+x -type f)
[[ $("$command" --version) == portcullis\ * ]] || fail "the command does not run"
bash -n "$(find "$root" -path '*bash-completion*' -type f)"
if command -v zsh > /dev/null; then
    zsh -n "$(find "$root" -name _portcullis)"
fi
if command -v fish > /dev/null; then
    fish --no-execute "$(find "$root" -name portcullis.fish)"
fi
manual=$(find "$root" -name portcullis.1)
commands=$("$command" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[[ $commands == *query* ]] || fail "--help names no commands"
for name in $commands; do
    options=$("$command" "$name" --help | grep -oE '^ .*--[a-z]+' | grep -oE -- '--[a-z]+')
    for option in $options; do
        grep -q -- "\\\\-\\\\-${option#--}" "$manual" ||
            fail "$option of $name is not in the manual"
    done
done
if command -v man > /dev/null && [[ $(uname -o) == GNU/Linux ]]; then
    complaints=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 \
        man --warnings -E UTF-8 -l -Tutf8 -Z "$manual" 2>&1 > /dev/null)
    [[ -z $complaints ]] || fail "the manual page is not well formed: $complaints"
fi
for file in portcullis.py req_example.py req_paging.py req_sealed.py; do
    [[ -f $(find "$root" -path "*portcullis/python/$file") ]] || fail "no $file"
done
printf 'installed and used: library, example, command, manual, completion\n'
