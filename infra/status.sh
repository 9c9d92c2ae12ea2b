#!/usr/bin/env bash
# status.sh - every part of the cluster on this machine, and whether it is ready; the policy,
# the seal, and whether the audit is whole.
#
#   infra/status.sh [--json] [--var DIR]
#   infra/status.sh aws ...   of a cluster on AWS: infra/status.sh aws --help
#
#   --json       everything a program or a test wants to know: roles, addresses,
#                process ids, key, configuration and log files, the databases'
#                sockets, ports and accounts
#   --var DIR    state folder (default: var/ in the checkout)
#
# Exit: 0 all of it is up and ready; 3 something is not, or there is no
# cluster; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

as_json=0
if [[ ${1-} == aws ]]; then
    exec "$PCL_CHECKOUT/infra/aws/status.sh" "${@:2}"
fi
while [[ $# -gt 0 ]]; do
    case $1 in
        --json) as_json=1 ;;
        --var)
            [[ $# -ge 2 ]] || usage_fail "--var wants a value"
            [[ -d $2 ]] || { printf 'there is no %s\n' "$2" >&2; exit 3; }
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

if ! cluster_exists; then
    printf '%s holds no cluster; infra/up.sh makes one\n' "$PCL_VAR" >&2
    exit 3
fi

declare -A pids=() ready=() words=()
all_up=1
source_node=node1
source_stage=none

# Looks at each part once; both forms of the answer print what was seen.
parts_look()
{
    local part role address said
    for part in $(parts_list); do
        pids[$part]=''
        ready[$part]=false
        words[$part]='down'
        if pids[$part]=$(part_pid "$part"); then
            ready[$part]=true
            words[$part]='ready'
            if [[ $part == node* ]]; then
                if ! said=$(node_sql "$part" -e 'SELECT 1' 2>&1 > /dev/null); then
                    ready[$part]=false
                    words[$part]=$said
                fi
            fi
            while read -r role address; do
                if [[ -n $role ]] && ! said=$(http_ready "$address"); then
                    ready[$part]=false
                    words[$part]=$said
                fi
            done < <(part_http "$part")
        fi
        [[ ${ready[$part]} == true ]] || all_up=0
    done
}

part_kind()
{
    case $1 in
        node*) printf 'database\n' ;;
        agent-*) printf 'agent\n' ;;
        proxy-*) printf 'proxy\n' ;;
        *) printf '%s\n' "$1" ;;
    esac
}

part_address()
{
    case $1 in
        node*) printf '127.0.0.1:%s\n' "$(port_get "$1")" ;;
        agent-*) printf '\n' ;;
        portcullisd | gatekeeper) printf 'tcp://127.0.0.1:%s\n' "$(port_get gatekeeper)" ;;
        *) printf 'tcp://127.0.0.1:%s\n' "$(port_get "$1")" ;;
    esac
}

text_print()
{
    local part
    say "$(setting_get nodes) nodes, $(setting_get flavor), source $source_node," \
        "roles $(setting_get roles), state in $PCL_VAR"
    [[ $source_stage != decided ]] \
        || say "$source_node has been named the source, and has not taken over:" \
            "nobody takes writes." \
            "infra/up.sh starts what is down; where $source_node is lost for good:" \
            "docs/operating.md, \"Where a source is lost\""
    printf '%-14s %-8s %-28s %-22s %s\n' PART PID ADDRESS HTTP STATE
    for part in $(parts_list); do
        printf '%-14s %-8s %-28s %-22s %s\n' "$part" "${pids[$part]:--}" \
            "$(part_address "$part")" "$(part_http "$part" | head -n 1 | cut -d ' ' -f 2)" \
            "${words[$part]//$'\n'/ }"
    done
    gate_print
    [[ $all_up -eq 1 ]] || say "logs: $PCL_VAR/log/PART.log; infra/up.sh starts what is down"
}

# Policy, seal and audit, each as the command itself sees them.
gate_print()
{
    local command
    command=$(setting_get build)/client/portcullis
    gate_line policy "$command" policy check "$PCL_VAR/etc/policy.cfg"
    printf '%-14s %s\n' seal "$(seal_word)"
    gate_line audit "$command" audit verify "$PCL_VAR/audit"
}

# gate_line NAME COMMAND...: what the command says; if it fails, not all is fine.
gate_line()
{
    local name=$1 answer
    shift
    answer=$("$@" 2>&1 < /dev/null) || all_up=0
    printf '%-14s %s\n' "$name" "${answer//$'\n'/; }"
}

seal_word()
{
    local required='no role of the policy says required'
    if bundle_seals; then
        printf 'client.bundle seals'
    else
        printf 'client.bundle has no key of the broker, so it does not seal'
    fi
    if grep -Eq '^[[:space:]]+seal[[:space:]]*=[[:space:]]*"?required' \
        "$PCL_VAR/etc/policy.cfg"; then
        required='roles of the policy say required'
    fi
    printf '; %s\n' "$required"
}

bundle_seals()
{
    grep -q '^broker' "$PCL_VAR/client.bundle"
}

# json_pair NAME VALUE: a text member; json_raw: the value as it stands.
json_pair()
{
    printf '%s:%s' "$(json_text "$1")" "$(json_text "$2")"
}

json_raw()
{
    printf '%s:%s' "$(json_text "$1")" "$2"
}

# Its arguments with commas between.
json_join()
{
    local IFS=,
    printf '%s' "$*"
}

json_part()
{
    local part=$1 argument members=() command=() http=() role address
    members+=("$(json_pair name "$part")" "$(json_pair kind "$(part_kind "$part")")")
    members+=("$(json_raw pid "${pids[$part]:-null}")" "$(json_raw ready "${ready[$part]}")")
    members+=("$(json_pair state "${words[$part]}")")
    members+=("$(json_pair address "$(part_address "$part")")")
    while read -r role address; do
        if [[ -n $role ]]; then
            http+=("$(json_pair "$role" "$address")")
        fi
    done < <(part_http "$part")
    members+=("$(json_raw http "{$(json_join "${http[@]}")}")")
    members+=("$(json_pair log "$PCL_VAR/log/$part.log")")
    case $part in
        node*) members+=("$(json_pair config "$PCL_VAR/$part/my.cnf")") ;;
        portcullisd) members+=("$(json_pair config "$PCL_VAR/etc")") ;;
        *)
            members+=("$(json_pair config "$PCL_VAR/etc/$part.cfg")")
            members+=("$(json_pair key "$PCL_VAR/secrets/$part.key")")
            ;;
    esac
    if [[ -s $PCL_VAR/run/$part.cmd ]]; then
        while IFS= read -r -d '' argument; do
            command+=("$(json_text "$argument")")
        done < "$PCL_VAR/run/$part.cmd"
    fi
    members+=("$(json_raw command "[$(json_join "${command[@]}")]")")
    printf '{%s}' "$(json_join "${members[@]}")"
}

json_node()
{
    local node=$1 role=replica
    [[ $node != "$source_node" ]] || role=source
    printf '{%s}' "$(json_join \
        "$(json_pair name "$node")" \
        "$(json_pair role "$role")" \
        "$(json_pair agent "agent-$node")" \
        "$(json_pair socket "$(node_socket "$node")")" \
        "$(json_raw port "$(port_get "$node")")" \
        "$(json_pair data "$PCL_VAR/$node/data")")"
}

json_account()
{
    printf '{%s}' "$(json_join "$(json_pair user "$1")" \
        "$(json_pair password_file "$PCL_VAR/secrets/$2.password")")"
}

json_print()
{
    local part parts=() nodes=() build up=false sealed=false
    ! bundle_seals || sealed=true
    [[ $all_up -eq 0 ]] || up=true
    for part in $(parts_list); do
        parts+=("$(json_part "$part")")
    done
    for part in $(nodes_list); do
        nodes+=("$(json_node "$part")")
    done
    build=$(setting_get build)
    printf '{%s}\n' "$(json_join \
        "$(json_raw up "$up")" \
        "$(json_pair var "$PCL_VAR")" \
        "$(json_pair flavor "$(setting_get flavor)")" \
        "$(json_pair roles "$(setting_get roles)")" \
        "$(json_pair build "$build")" \
        "$(json_pair command "$build/client/portcullis")" \
        "$(json_pair database_command "$(flavor_client "$(setting_get flavor)" || true)")" \
        "$(json_pair bundle "$PCL_VAR/client.bundle")" \
        "$(json_pair policy "$PCL_VAR/etc/policy.cfg")" \
        "$(json_pair audit "$PCL_VAR/audit")" \
        "$(json_raw sealed "$sealed")" \
        "$(json_pair endpoint "tcp://127.0.0.1:$(port_get gatekeeper)")" \
        "$(json_raw keys "{$(json_join \
            "$(json_pair clients "$PCL_VAR/keys/clients")" \
            "$(json_pair gatekeepers "$PCL_VAR/keys/gatekeepers")" \
            "$(json_pair brokers "$PCL_VAR/keys/brokers")" \
            "$(json_pair agents "$PCL_VAR/keys/agents")" \
            "$(json_pair client "$PCL_VAR/secrets/client.key")")}")" \
        "$(json_raw accounts "{$(json_join \
            "$(json_raw admin "$(json_account root admin)")" \
            "$(json_raw read "$(json_account portcullis_read read)")" \
            "$(json_raw write "$(json_account portcullis_write write)")" \
            "$(json_raw replication "$(json_account portcullis_repl replication)")")}")" \
        "$(json_pair admin_defaults_file "$PCL_VAR/secrets/admin.cnf")" \
        "$(json_raw nodes "[$(json_join "${nodes[@]}")]")" \
        "$(json_raw parts "[$(json_join "${parts[@]}")]")")"
}

parts_look
read -r _ source_stage source_node <<< "$(topology_now)"
if [[ $as_json -eq 1 ]]; then
    json_print
else
    text_print
fi
[[ $all_up -eq 1 ]] || exit 3
