#!/usr/bin/env bash
# part.sh - one part of the cluster by itself, for trying out what its loss does.
#
#   infra/part.sh [--var DIR] start|stop|kill|restart|pause|resume|wait PART...
#
#   start     the same command again that infra/up.sh started it with
#   stop      SIGTERM, and wait until it is gone
#   kill      SIGKILL
#   restart   stop and start
#   pause     SIGSTOP; resume continues it
#   wait      until /ready says yes, at most 60 s
#
# PART: node1, agent-node1, ..., proxy, proxy-2, ..., broker, gatekeeper or portcullisd, as
# infra/status.sh names them.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ ${1-} == -h || ${1-} == --help ]]; then
    help_print "${BASH_SOURCE[0]}"
    exit 0
fi
if [[ ${1-} == --var ]]; then
    [[ -d ${2-} ]] || usage_fail "--var wants a state folder"
    state_use "$2"
    shift 2
fi
[[ $# -ge 2 ]] || usage_fail "an action and a part are wanted"
cluster_exists || fail "$PCL_VAR holds no cluster"
action=$1
shift

part_signal()
{
    local pid
    pid=$(part_pid "$2") || fail "$2 is not running"
    kill "-$1" "$pid"
}

part_wait()
{
    local role address said='' deadline=$((SECONDS + 60))
    if [[ $1 == node* ]]; then
        until said=$(node_sql "$1" -e 'SELECT 1' 2>&1); do
            [[ $SECONDS -lt $deadline ]] || fail "$1 does not answer: $said"
            sleep 0.05
        done
        return
    fi
    while read -r role address; do
        until said=$(http_ready "$address"); do
            [[ $SECONDS -lt $deadline ]] || fail "$1: $role is not ready: $said"
            sleep 0.05
        done
    done < <(part_http "$1")
}

for part in "$@"; do
    [[ -e $PCL_VAR/run/$part.cmd ]] || fail "there is no part $part; infra/status.sh shows them"
    case $action in
        start) part_relaunch "$part" ;;
        stop) parts_stop 60 "$part" ;;
        kill) parts_kill "$part" ;;
        restart)
            parts_stop 60 "$part"
            part_relaunch "$part"
            ;;
        pause) part_signal STOP "$part" ;;
        resume) part_signal CONT "$part" ;;
        wait) part_wait "$part" ;;
        *) usage_fail "unknown action: $action" ;;
    esac
done
