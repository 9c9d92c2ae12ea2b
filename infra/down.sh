#!/usr/bin/env bash
# down.sh - stops the cluster that infra/up.sh started on this machine.
#
#   infra/down.sh [options]
#   infra/down.sh aws ...   of a cluster on AWS: infra/down.sh aws --help
#
#   --purge      also delete the state folder: databases, keys, logs, all of it
#   --kill       do not wait for work in hand or for clean databases: SIGKILL at once
#   --var DIR    state folder (default: var/ in the checkout)
#
# From the outside in: first the gatekeeper, so that no new request comes, then
# broker, proxies and agents, the databases last.
#
# Exit: 0 nothing of it runs any more; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

purge=0
kill_at_once=0
if [[ ${1-} == aws ]]; then
    exec "$PCL_CHECKOUT/infra/aws/down.sh" "${@:2}"
fi
while [[ $# -gt 0 ]]; do
    case $1 in
        --purge) purge=1 ;;
        --kill) kill_at_once=1 ;;
        --var)
            [[ $# -ge 2 ]] || usage_fail "--var wants a value"
            [[ -d $2 ]] || { say "nothing to stop: there is no $2"; exit 0; }
            state_use "$2"
            shift
            ;;
        -h | --help)
            help_print "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) usage_fail "unknown option: $1" ;;
    esac
    shift
done

# purge must never delete a folder that is not a cluster's.
if ! cluster_exists; then
    say "nothing to stop: $PCL_VAR holds no cluster"
    exit 0
fi
state_lock

databases=() agents=() proxies=() others=()
for part in $(parts_known); do
    case $part in
        node*) databases+=("$part") ;;
        agent-*) agents+=("$part") ;;
        proxy-*) proxies+=("$part") ;;
        *) others+=("$part") ;;
    esac
done

if [[ $kill_at_once -eq 1 ]]; then
    parts_kill "${others[@]}" "${proxies[@]}" "${agents[@]}" "${databases[@]}"
else
    for part in gatekeeper portcullisd broker proxy "${proxies[@]}"; do
        if part_pid "$part" > /dev/null; then
            parts_stop 15 "$part"
            say "$part: stopped"
        fi
    done
    for part in agents databases; do
        declare -n group=$part
        if [[ ${#group[@]} -gt 0 ]]; then
            parts_stop 60 "${group[@]}"
            say "$part: stopped (${group[*]})"
        fi
    done
fi

folder=$(socket_folder)
if [[ $folder != "$PCL_VAR/run" && -O $folder ]]; then
    rm -rf --one-file-system "$folder"
fi
if [[ $purge -eq 1 ]]; then
    rm -rf --one-file-system "$PCL_VAR"
    if [[ $PCL_VAR_OWN -eq 1 ]]; then
        rm -f "$PCL_CHECKOUT/portcullis"
    fi
    say "deleted $PCL_VAR"
fi
