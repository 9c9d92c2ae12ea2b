#!/usr/bin/env bash
# nodes.sh - stock sysbench against each database of a cluster directly: what the cluster itself
# adds or takes is known from the difference to run.sh.
#
#   bench/sysbench/nodes.sh [--var DIR] [--nodes NODE,...] WORKLOAD [sysbench's options] COMMAND
#
#   --var DIR     state folder of the cluster (default: var/ in the checkout)
#   --nodes LIST  these only, as node1,node3 (default: all that the workload may use)
#
# `run` goes to one node after the other: workloads that only read (oltp_point_select,
# oltp_read_only, select_random_*) to all, those that write to the source alone, since what is
# written at a replica is the end of its replication.  `prepare` and `cleanup` go to the source, and
# wait until every replica has what they did.  Other commands (prewarm) go to all.  The schema is
# --mysql-db, here `demo` where it is not given.
#
# After `run` there is a table: events a second, queries a second, latency's mean and percentile
# (--percentile, 95) in milliseconds, errors.
#
# Exit: 0; 1 a node's run failed; 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../infra/lib.sh"

want_nodes=
while [[ $# -gt 0 ]]; do
    case $1 in
        --var | --nodes)
            [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
            if [[ $1 == --nodes ]]; then
                want_nodes=${2//,/ }
            else
                [[ -d $2 ]] || usage_fail "--var: there is no folder $2"
                state_use "$2"
            fi
            shift 2
            ;;
        -h | --help)
            help_print "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) break ;;
    esac
done
[[ $# -ge 2 ]] || usage_fail "a workload and a command are wanted"
command -v sysbench > /dev/null || fail "sysbench is not there: apt-get install sysbench"
[[ -n $(nodes_list) ]] || fail "$PCL_VAR has no cluster; infra/up.sh starts one"

workload=$1
action=${*: -1}
shift
[[ " $*" == *" --mysql-db="* || " $*" == *" --mysql_db="* ]] || set -- --mysql-db=demo "$@"

value_of()
{
    node_sql "$1" --batch --skip-column-names -e "SELECT $2"
}

source_find()
{
    local node
    for node in $(nodes_list); do
        if [[ $(value_of "$node" @@global.read_only 2> /dev/null) == 0 ]]; then
            printf '%s\n' "$node"
            return 0
        fi
    done
    fail "no node takes writes"
}

replicas_wait()
{
    local node position question
    if [[ $(setting_get flavor) == mariadb ]]; then
        position=$(value_of "$source" @@gtid_binlog_pos)
        question="MASTER_GTID_WAIT('$position', 300)"
    else
        position=$(value_of "$source" @@global.gtid_executed)
        question="WAIT_FOR_EXECUTED_GTID_SET('${position//\\n/}', 300)"
    fi
    for node in $(nodes_list); do
        if [[ $node != "$source" && $(value_of "$node" "$question") != 0 ]]; then
            fail "$node does not have all of it"
        fi
    done
}

# The password goes by a pipe: a command line can be read by anybody.
sysbench_at()
{
    local node=$1
    shift
    sysbench "$workload" \
        --config-file=<(printf 'mysql-password=%s\n' "$(< "$PCL_VAR/secrets/admin.password")") \
        --db-driver=mysql --mysql-user=root --mysql-socket="$(node_socket "$node")" "$@"
}

# What sysbench printed (standard input), as a line of the table.
row_print()
{
    awk -v node="$1" '
        /queries:/ { gsub(/[(]/, ""); queries = $3 }
        /transactions:/ { gsub(/[(]/, ""); events = $3 }
        /ignored errors:/ { errors = $3 }
        / avg:/ { mean = $2 }
        /th percentile:/ { percentile = $3 }
        END {
            printf "%-8s %12s %12s %10s %10s %8s\n", node, events, queries, mean, percentile, errors
        }'
}

source=$(source_find)
nodes=$(nodes_list)
case $action:$workload in
    prepare:* | cleanup:*) nodes=$source ;;
    run:oltp_point_select | run:oltp_read_only | run:select_random_*) ;;
    run:*) nodes=$source ;;
esac
if [[ -n $want_nodes ]]; then
    for node in $want_nodes; do
        [[ " ${nodes//$'\n'/ } " == *" $node "* ]] \
            || usage_fail "--nodes: $workload $action is not for '$node'"
    done
    nodes=$want_nodes
fi

table=()
failed=0
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for node in $nodes; do
    say "== $node"
    if sysbench_at "$node" "$@" < /dev/null | tee "$said"; then
        table+=("$(row_print "$node" < "$said")")
    else
        failed=1
    fi
done
case $action in
    prepare | cleanup) replicas_wait ;;
    run)
        say
        printf '%-8s %12s %12s %10s %10s %8s\n' node events/s queries/s mean percentile errors
        printf '%s\n' "${table[@]}"
        ;;
esac
exit "$failed"
