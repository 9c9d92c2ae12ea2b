#!/usr/bin/env bash
# daemon_cost.sh - what a request costs each daemon of a cluster that infra/up.sh
# started: instructions of its own and of the kernel for it, processor time, and
# how often it was put to sleep.  All threads count, libzmq's with CURVE too.
#
#   bench/daemon_cost.sh VAR BUILD [CLIENTS [SECONDS]]
#
# VAR is the cluster's state folder, BUILD the build with portcullis-bench.  The
# load is point selects in a closed loop (64 clients, 5 seconds).  Needs perf, and a
# processor that counts for it.  Instructions are steady on a busy machine too.
#
# Exit: 0; 1 the load or a daemon failed; 64 usage; 69 it cannot run here.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../infra/lib.sh"

folder=
started=() # processes in the background

# The load and perf end with this script, whatever ends it.
clean_up()
{
    [[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" 2> /dev/null || true
    rm -rf "$folder"
}

requests_so_far()
{
    curl -fsS "http://$1/metrics" | awk '/^portcullis_gatekeeper_requests_total/ { print $2 }'
}

# What perf wrote, for one daemon and so many requests.
tell()
{
    awk -F, -v name="$1" -v requests="$3" '
        $3 == "instructions:u" { user = $1 }
        $3 == "instructions:k" { kernel = $1 }
        $3 ~ /^task-clock/     { milliseconds = $1 }
        $3 ~ /^context-sw/     { switches = $1 }
        END {
            printf "%-14s %8.0f %8.0f %8.2f %8.3f\n", name, user / requests, kernel / requests,
                   1000 * milliseconds / requests, switches / requests
        }' "$2"
}

main()
{
    [[ $# -ge 2 ]] || usage_fail "which state folder, and which build?"
    local var=$1 build=$2 clients=${3:-64} seconds=${4:-5}
    local address file name load before count status=0 watchers=() names=()
    command -v perf > /dev/null || { say "there is no perf"; exit 69; }
    folder=$(mktemp -d /tmp/portcullis-test.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    address=$(awk '/^http/ { found = 1 } found && /address/ { gsub(/"/, "", $3); print $3; exit }' \
        "$var/etc/gatekeeper.cfg")
    PORTCULLIS_BUNDLE=$var/client.bundle "$build/bench/driver/portcullis-bench" point \
        --clients "$clients" --time $((seconds + 3)) --warmup 0 > "$folder/load" 2>&1 &
    load=$!
    started=("$load")
    sleep 1
    before=$(requests_so_far "$address")
    for file in "$var"/run/*.pid; do
        name=$(basename "$file" .pid)
        case $name in gatekeeper | broker | proxy | agent-* | portcullisd) ;; *) continue ;; esac
        perf stat -x, -e instructions:u,instructions:k,task-clock,context-switches \
            -p "$(cut -d ' ' -f 1 "$file")" -o "$folder/$name" sleep "$seconds" &
        watchers+=("$!")
        started+=("$!")
        names+=("$name")
    done
    [[ ${#watchers[@]} -gt 0 ]] || fail "no daemon runs in $var"
    wait "${watchers[@]}"
    count=$(($(requests_so_far "$address") - before))
    wait "$load" || status=$?
    started=()
    # 3: it has measured, with doubts, which are of its own figures.
    if [[ $status -ne 0 && $status -ne 3 ]]; then
        log_tail "$folder/load"
        fail "the load failed"
    fi
    [[ $count -gt 0 ]] || fail "no request came through the gatekeeper meanwhile"
    say "$count requests, $clients at a time"
    printf '%-14s %8s %8s %8s %8s\n' 'a request:' user kernel us sleeps
    for name in "${names[@]}"; do
        tell "$name" "$folder/$name" "$count"
    done
}

main "$@"
