#!/usr/bin/env bash
# run.sh - stock sysbench, its workload run through a Portcullis cluster.
#
#   bench/sysbench/run.sh [--var DIR] [--build-dir DIR] WORKLOAD [sysbench's options] COMMAND
#
#   --var DIR        state folder of the cluster (default: var/ in the checkout)
#   --build-dir DIR  where the libraries are (default: what the cluster was built in)
#
# WORKLOAD is one of sysbench's own: oltp_point_select, oltp_read_only, oltp_read_write,
# oltp_write_only, oltp_insert, oltp_update_index, oltp_update_non_index, oltp_delete,
# select_random_points, select_random_ranges; or a script.lua of yours that says
# require("oltp_common"), as they do.  COMMAND is prepare, run, cleanup or help.  Options and what
# is printed are sysbench's, and besides
#
#   --portcullis-connections=N     that all threads share (default 1); 0: each has its own
#   --portcullis-transactions=HOW  session (default), read-only or txn: what BEGIN to COMMIT become
#   --portcullis-strategy=NAME, --portcullis-causal=on, --portcullis-timeout=MS,
#   --portcullis-bundle=FILE
#
# The schema is --mysql-db, here `demo` where it is not given, since that is the one which a cluster
# of infra/up.sh has; other --mysql options are without effect.  $PORTCULLIS_BUNDLE,
# $PORTCULLIS_LIBRARY and $PORTCULLIS_SYSBENCH_LIBRARY go before --var and --build-dir.
#
#   bench/sysbench/run.sh oltp_read_write --tables=4 --table-size=10000 --threads=4 prepare
#   bench/sysbench/run.sh oltp_read_write --tables=4 --table-size=10000 --threads=64 --time=30 run
#
# Exit: sysbench's; 64 usage.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=infra/lib.sh
. "$here/../../infra/lib.sh"

build_dir=
while [[ $# -gt 0 ]]; do
    case $1 in
        --var | --build-dir)
            [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
            [[ -d $2 ]] || usage_fail "$1: there is no folder $2"
            if [[ $1 == --var ]]; then state_use "$2"; else build_dir=$(cd "$2" && pwd -P); fi
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

# A script that does not ask for oltp_common would not come here, and measure something else.
workload=$1
shift
case $workload in
    oltp_point_select | oltp_read_only | oltp_read_write | oltp_write_only | oltp_insert | \
        oltp_update_index | oltp_update_non_index | oltp_delete | select_random_points | \
        select_random_ranges) ;;
    *.lua)
        grep -Eqs "require *\(? *[\"']oltp_common" "$workload" \
            || usage_fail "$workload is not there, or does not say require(\"oltp_common\")"
        ;;
    *) usage_fail "unknown workload: $workload" ;;
esac
[[ " $*" == *" --mysql-db="* || " $*" == *" --mysql_db="* ]] || set -- --mysql-db=demo "$@"

build_dir=${build_dir:-$(setting_get build "$PCL_CHECKOUT/build/release")}
export PORTCULLIS_LIBRARY=${PORTCULLIS_LIBRARY:-$build_dir/client/libportcullis.so.0}
default=$build_dir/bench/sysbench/libportcullis-sysbench.so
export PORTCULLIS_SYSBENCH_LIBRARY=${PORTCULLIS_SYSBENCH_LIBRARY:-$default}
export PORTCULLIS_BUNDLE=${PORTCULLIS_BUNDLE:-$PCL_VAR/client.bundle}
for library in "$PORTCULLIS_LIBRARY" "$PORTCULLIS_SYSBENCH_LIBRARY"; do
    [[ -e $library ]] || fail "$library is not there; see --build-dir"
done
[[ -e $PORTCULLIS_BUNDLE ]] || fail "$PORTCULLIS_BUNDLE is not there; infra/up.sh makes it"
export LUA_PATH="$here/?.lua;;"
exec sysbench "$workload" "$@"
