#!/bin/bash
# usage: check_causal_file.sh PORTCULLIS
# The file of `query --causal`, which must never lose what it holds: the next run would read what is
# old, and say nothing.  No gatekeeper is there, so each run saves what it has loaded.
set -euo pipefail
umask 077 # a bundle has a secret
readonly portcullis=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cd "$root"
readonly mac=AAAAAAAAAAAAAAAAAAAAAA
readonly key='rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'

fail()
{
    printf '%s\n' "$*" >&2
    exit 1
}

# keeps EXPECTED [COMMAND...]: what a run, after that command, leaves of the file `seen`.
keeps()
{
    local expected=$1 held
    shift
    ("${@:-true}"; exec "$portcullis" --bundle none.bundle query --timeout 1 --causal seen \
        'SELECT 1') 2>&1 | cat > out || true
    held=$(< seen)
    [[ $held == "$expected" ]] || fail "expected '$expected', found '$held': $(< out)"
}

allow_nothing() # to be written to a file
{
    trap '' XFSZ
    ulimit -f 0
}

tokens() # tokens COUNT: so many of which none covers another
{
    local domain
    for ((domain = 0; domain < $1; domain++)); do
        printf ' 1.%s.%d-1-42' "$mac" "$domain"
    done
}

{
    printf 'bundle\n    version = 1\n    principal = app\n'
    printf 'gatekeeper\n    endpoint = "ipc://%s/nobody"\n' "$root"
    printf 'curve\n    public-key = "%s"\n    secret-key = "%s"\n' "$key" "$key"
} > none.bundle

keeps ''
first=1.$mac.0-1-42
printf '%s\n' "$first" > seen
keeps "$first"
keeps "$first" allow_nothing
[[ $(< out) == *'--causal seen: '* ]] || fail "nothing was said: $(< out)"

# What is longer is not left behind what is written.
printf '%s 1.%s.0-1-41\n\n%s\n' "$first" "$mac" "$first" > seen
keeps "$first"
[[ $(wc -c < seen) -eq $((${#first} + 1)) ]] || fail "the file was not cut: $(cat -A seen)"

# More than a request may name.
all=$(tokens 8)
printf '%s 1.%s.8-1-42\n' "$all" "$mac" > seen
keeps "source$all"

# What is no token is left as it is, and said.
printf 'caf\xc3\xa9\n' > seen
keeps $'caf\xc3\xa9'
[[ $(< out) == *'holds something that is no token'* ]] || fail "nothing was said: $(< out)"
