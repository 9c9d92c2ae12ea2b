#!/usr/bin/env bash
# run_all.sh - one command: a cluster comes up, is filled, all strategies are compared
# under every condition, the results are written, the cluster goes away.
#
#   ./run_all.sh [options]
#
#   --quick              four strategies, short turns: under two minutes, not ten
#   --out DIR            where the results go (default: the checkout)
#   --nodes N            database nodes, 3 to 9 (default 4: a source, three replicas)
#   --flavor F           mariadb or mysql
#   --as-installed       with hedging and with ejection for slowness, which are left
#                        off otherwise, since they hide what a strategy does by itself
#   --conditions LIST    of those of bench/conditions.py
#   --strategies LIST
#   --seconds N          of each turn of a strategy
#   --rounds N
#   --build-dir DIR      where the binaries are built (default: build/release)
#   --no-build           use the binaries that are there
#   --no-install         install no package; say which ones are missing
#
# Writes benchmark_results.txt, benchmark_results.json and report.html, one page
# for a browser.  Time for packages and for the first build comes on top.
#
# The cluster has a state folder of its own and disturbs no other.  Whatever ends
# this script, no process and no file but the results is left.  Ctrl-C writes what
# was measured until then; a second one writes nothing.  What was measured before
# something failed is written, too.
#
# Exit: 0; 1 something failed; 64 usage; 130 or 143 it was interrupted.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/infra/lib.sh"

export PYTHONDONTWRITEBYTECODE=1
readonly strategies_all=direct,random,round-robin,least-inflight,peak-ewma,c3,prequal,custom
out=$PCL_CHECKOUT
build_dir=$PCL_CHECKOUT/build/release
nodes=4
may_build=1
may_install=1
as_installed=0
up_options=(--no-demo --roles-apart)
flavor=
strategies=
conditions=healthy,slow,paused,killed,lagging,full
seconds=
rounds=
quick=0
state=
group=        # process group of what runs now
interrupted=0 # by which signal

# --- Options -------------------------------------------------------------------

options_read()
{
    while [[ $# -gt 0 ]]; do
        case $1 in
            --quick) quick=1 ;;
            --as-installed) as_installed=1 ;;
            --no-build) may_build=0 ;;
            --no-install) may_install=0 ;;
            --out | --nodes | --flavor | --conditions | --strategies | --seconds | --rounds \
                | --build-dir)
                [[ $# -ge 2 ]] || usage_fail "$1 wants a value"
                option_with_value "$1" "$2"
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
    if [[ $quick -eq 1 ]]; then
        strategies=${strategies:-random,round-robin,least-inflight,custom}
        seconds=${seconds:-2}
        rounds=${rounds:-1}
    fi
    strategies=${strategies:-$strategies_all}
    seconds=${seconds:-4}
    rounds=${rounds:-2}
}

option_with_value()
{
    local value=$2
    case $1 in
        --out)
            mkdir -p "$value"
            out=$(cd "$value" && pwd -P)
            ;;
        --nodes)
            [[ $value =~ ^[3-9]$ ]] || usage_fail "--nodes wants 3 to 9, not '$value'"
            nodes=$value
            ;;
        --flavor)
            [[ $value == mariadb || $value == mysql ]] \
                || usage_fail "--flavor wants mariadb or mysql, not '$value'"
            flavor=$value
            ;;
        --conditions) conditions=$value ;;
        --strategies) strategies=$value ;;
        --seconds)
            [[ $value =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage_fail "--seconds wants a number"
            seconds=$value
            ;;
        --rounds)
            [[ $value =~ ^[1-9][0-9]*$ ]] || usage_fail "--rounds wants a number from 1"
            rounds=$value
            ;;
        --build-dir)
            mkdir -p "$value"
            build_dir=$(cd "$value" && pwd -P)
            ;;
    esac
}

# --- Steps -----------------------------------------------------------------------

# run COMMAND...: in a process group of its own, so that a signal to this script is
# noticed at once, and passed on once.
run()
{
    local status=0
    [[ $interrupted -eq 0 ]] || return 130
    set -m
    "$@" < /dev/null &
    group=$!
    set +m
    while true; do
        status=0
        wait "$group" || status=$?
        # A signal ends the waiting, not the process.
        kill -0 "$group" 2> /dev/null || break
    done
    group=
    return "$status"
}

# logged WHAT COMMAND...: its words go to a log, of which the end is shown if it fails.
logged()
{
    local what=$1 log=$state/$1.log status=0
    shift
    run "$@" > "$log" 2>&1 || status=$?
    if [[ $status -ne 0 && $interrupted -eq 0 ]]; then
        log_tail "$log"
        fail "$what failed"
    fi
    return "$status"
}

on_signal()
{
    if [[ $interrupted -ne 0 ]]; then
        exit "$interrupted"
    fi
    interrupted=$1
    # As Ctrl-C to all of them, and not ignored by what was started in the background.
    [[ -z $group ]] || kill -TERM -- "-$group" 2> /dev/null || true
}

# Gives what runs three seconds to end what it has started.
group_end()
{
    local tries
    kill -TERM -- "-$group" 2> /dev/null || true
    for ((tries = 0; tries < 30; tries++)); do
        kill -0 -- "-$group" 2> /dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$group" 2> /dev/null || true
}

# No process and no file of ours outlives this script, however it ends.
clean_up()
{
    trap '' INT TERM HUP
    [[ -z $group ]] || group_end
    if [[ -n $state ]]; then
        "$PCL_CHECKOUT/infra/down.sh" --kill --var "$state/var" > /dev/null 2>&1 || true
        # Once more for what a database wrote while it was ending.
        rm -rf "$state" 2> /dev/null || { sleep 1; rm -rf "$state"; }
    fi
}

prepare()
{
    local needs=("$PCL_NEED_REPORT")
    packages_ensure "$may_install" "${needs[@]}"
    # What it does not know is said before anything starts.
    conditions_run --check --json - || exit
    state=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-run.XXXXXX")
    trap clean_up EXIT
    trap 'on_signal 130' INT
    trap 'on_signal 143' TERM HUP
}

# conditions_run ARGUMENT...: bench/conditions.py, which compares.
conditions_run()
{
    run /usr/bin/python3 "$PCL_CHECKOUT/bench/conditions.py" --conditions "$conditions" \
        --strategies "$strategies" --seconds "$seconds" --rounds "$rounds" "$@"
}

cluster_start()
{
    up_options+=(--var "$state/var" --nodes "$nodes" --build-dir "$build_dir")
    [[ -z $flavor ]] || up_options+=(--flavor "$flavor")
    [[ $may_build -eq 1 ]] || up_options+=(--no-build)
    [[ $may_install -eq 1 ]] || up_options+=(--no-install)
    up_options+=(--set proxy:routing/lag_ms_max=1500 --set proxy:routing/replicas_min=1)
    if [[ $as_installed -eq 0 ]]; then
        up_options+=(--set proxy:ejection/latency_factor=0 --set proxy:hedge/enabled=0)
    fi
    logged up "$PCL_CHECKOUT/infra/up.sh" "${up_options[@]}" || return
    state_use "$state/var"
}

measure()
{
    local status=0
    PORTCULLIS_TEST_BUILD=$build_dir PORTCULLIS_TEST_FLAVOR=$(setting_get flavor) \
        conditions_run --var "$state/var" --json "$state/results.json" || status=$?
    # However it ended, it has written what it had.
    if [[ $status -ne 0 && $interrupted -eq 0 ]]; then
        printf 'error: the comparison failed\n' >&2
    fi
    return "$status"
}

results_write()
{
    [[ -s $state/results.json ]] || return 0
    /usr/bin/python3 "$PCL_CHECKOUT/bench/report.py" "$state/results.json" \
        --html "$out/report.html" --text "$out/benchmark_results.txt" || return
    cp "$state/results.json" "$out/benchmark_results.json" || return
    cat "$out/benchmark_results.txt"
    say ""
    say "written: $out/benchmark_results.txt, benchmark_results.json, report.html"
}

main()
{
    local failed=0
    options_read "$@"
    prepare
    say "starting a cluster of $nodes nodes"
    cluster_start || true
    [[ $interrupted -ne 0 ]] || say "comparing $strategies under $conditions"
    measure || failed=1
    results_write || failed=1
    logged down "$PCL_CHECKOUT/infra/down.sh" --purge --var "$state/var" || true
    say "done in $SECONDS s"
    [[ $interrupted -eq 0 ]] || return "$interrupted"
    return "$failed"
}

main "$@"
