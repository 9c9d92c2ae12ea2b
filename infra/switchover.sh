#!/usr/bin/env bash
# switchover.sh - another node of the cluster on this machine becomes the source.
#
#   infra/switchover.sh [--var DIR] [NODE]
#
#   NODE         the one that shall be; without it, the replica that is least behind
#   --var DIR    state folder (default: var/ in the checkout)
#
# Clients see no error: writes wait in the proxies until the other node takes them, for half
# a second or so, and no acknowledged one is lost.  Transactions in sessions of the source
# fail at their COMMIT.  On AWS: infra/deploy.sh aws --switchover NODE.  docs/operating.md
# ("Moving the source") says how it goes, and what to do where a source is lost.
#
# Exit: 0 it is the source; 1 the source is who it was, and it says why; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly limit_s=60
told=()

# By the settings of its agent, which takes them over by SIGHUP; its file is restored at the end.
leave_tell()
{
    local file=$PCL_VAR/etc/agent-$1.cfg pid
    if ! pid=$(part_pid "agent-$1"); then
        return 0 # nobody asks it either
    fi
    [[ -e $file.before ]] || cp -p "$file" "$file.before"
    told+=("$1")
    awk '$1 != "leave" { print } /^topology/ { print "    leave = 1" }' "$file.before" > "$file"
    kill -HUP "$pid"
}

leave_take_back()
{
    local node file pid
    for node in "${told[@]}"; do
        file=$PCL_VAR/etc/agent-$node.cfg
        mv "$file.before" "$file"
        if pid=$(part_pid "agent-$node"); then
            kill -HUP "$pid"
        fi
    done
}

# Until another than the node is the source, and takes writes.
source_wait()
{
    local before=$1 deadline=$((SECONDS + limit_s)) term stage source
    while true; do
        read -r term stage source <<< "$(topology_now)"
        if [[ $source != "$before" && $stage == open ]]; then
            say "$source is the source, term $term"
            return 0
        fi
        if [[ $SECONDS -ge $deadline ]]; then
            grep -hE 'event=(handover_given_up|handover_refused|topology_unsaved)' \
                "$PCL_VAR"/log/agent-*.log | tail -n 3 >&2 || true
            fail "$before has not handed over within $limit_s s (term $term, stage $stage);" \
                "$PCL_VAR/log/agent-*.log say more, and docs/operating.md what it means"
        fi
        sleep 0.1
    done
}

main()
{
    local wanted='' source node
    while [[ $# -gt 0 ]]; do
        case $1 in
            --var)
                [[ -d ${2-} ]] || usage_fail "--var wants a state folder"
                state_use "$2"
                shift
                ;;
            -h | --help)
                help_print "${BASH_SOURCE[0]}"
                exit 0
                ;;
            -*) usage_fail "unknown option: $1" ;;
            *) wanted=$1 ;;
        esac
        shift
    done
    cluster_exists || fail "$PCL_VAR holds no cluster; infra/up.sh makes one"
    [[ -z $wanted || " $(nodes_list | tr '\n' ' ')" == *" $wanted "* ]] \
        || usage_fail "there is no $wanted; infra/status.sh shows the nodes"
    state_lock
    source=$(source_now)
    if [[ $wanted == "$source" ]]; then
        say "$source is the source already"
        exit 0
    fi
    part_pid "agent-$source" > /dev/null || fail "agent-$source does not run; infra/up.sh starts it"
    trap leave_take_back EXIT
    for node in $(nodes_list); do
        if [[ -n $wanted && $node != "$wanted" && $node != "$source" ]]; then
            leave_tell "$node"
        fi
    done
    [[ ${#told[@]} -eq 0 ]] || sleep 1 # so that the proxies know, before they name somebody
    leave_tell "$source"
    source_wait "$source"
    [[ -z $wanted || $(source_now) == "$wanted" ]] || fail "that was not to be; say it again"
}

main "$@"
