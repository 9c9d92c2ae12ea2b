#!/usr/bin/env bash
# run.sh - the one test command.
#
#   tests/run.sh                   everything (an hour on two cores)
#   tests/run.sh quick             build, unit, architecture and corpus tests, and
#                                  the smoke part of the system tests (under 3)
#   tests/run.sh unit              build and ctest
#   tests/run.sh system [ARGS...]  the system tests on MariaDB; ARGS go to pytest
#                                  (-n 0: one at a time; -m plain: what sanitizers
#                                  leave out)
#   tests/run.sh mysql [ARGS...]   the same on Oracle's MySQL, in the root that
#                                  tests/mysql-root.sh makes (needs root)
#   tests/run.sh infra [ARGS...]   the scripts for AWS against moto's server, and what
#                                  they install, in roots of Debian; without ARGS also
#                                  what the worker agent asks of AWS
#   tests/run.sh sanitizers        ctest and system tests with the address and
#                                  undefined-behaviour sanitizers; ctest and part
#                                  of the system tests with the thread sanitizer
#   tests/run.sh fuzz [SECONDS]    each fuzz target for so long (default 10)
#   tests/run.sh style             no warning of gcc and clang, clang-format and
#                                  the shell scripts
#   tests/run.sh instructions      what a request costs each hop, counted and held
#                                  against what it cost before (bench/instructions.py)
#
# Installs what is missing with apt (needs root or sudo only then;
# PORTCULLIS_NO_INSTALL=1 forbids it).  Builds in build/.  Logs are in
# build/test-logs.  A step that cannot run here is skipped and says so; with
# CI=true in the environment that is a failure.
#
# Everything has the system tests on MariaDB with the address and undefined-behaviour
# sanitizers, and without them what they leave out or hold to less (system-plain); on
# MySQL, without, all for which it matters which database it is.
#
# Everything and the sanitizers run in lanes at the same time: most tests wait most
# of their time.  There the terminal shows when a step starts and ends, and what a
# failed one wrote.
#
# What fails in a lane may have failed for want of the processor: a unit test is run
# once more there, and up to twelve system tests of a step when nothing else runs.
# Those that pass then are UNSTEADY, named in the summary, and no failure; their first
# failure stays in the log.
#
# Exit: 0 every step passed (or was skipped), 1 one failed, 64 usage.
set -euo pipefail
# shellcheck source=infra/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../infra/lib.sh"
cd "$PCL_CHECKOUT"

export PYTHONDONTWRITEBYTECODE=1
readonly logs=$PCL_CHECKOUT/build/test-logs
jobs=$(nproc)
readonly ctest_repeat=(--repeat until-pass:2)
scratch=
groups=()    # process groups of what runs now
in_lane=0    # this shell is one lane of several
results=     # a line a step: name, verdict, seconds

# --- Steps -----------------------------------------------------------------------

# step NAME COMMAND...: runs it with its output in a log, and remembers how it went.
# Alone it also shows the output; in a lane only that of a failure.  69 from a
# command means it cannot run here.
step()
{
    local name=$1 start=$SECONDS status=0 verdict=pass
    shift
    say_together "=== $name"
    step_run "$name" "$@" || status=$?
    if [[ $status -eq 69 && ${CI:-} != true ]]; then
        verdict=SKIPPED
    elif [[ $status -ne 0 ]]; then
        verdict=FAIL
    fi
    [[ $verdict != pass || -z $(failed_units "$name") ]] || verdict=UNSTEADY
    printf '%s %s %d\n' "$name" "$verdict" $((SECONDS - start)) >> "$results"
    step_tell "$name" "$verdict" $((SECONDS - start))
    [[ $verdict == pass || $verdict == UNSTEADY ]]
}

step_run()
{
    local name=$1 status=0
    shift
    if [[ $in_lane -eq 1 ]]; then
        # Of the lane's process group, which is ended as one.
        (
            set +e
            "$@"
        ) < /dev/null > "$logs/$name.log" 2>&1 || status=$?
        return "$status"
    fi
    # In the background, in a process group of its own: a signal to this script
    # is noticed at once, and all of the step can be ended.
    set -m
    (
        set +e
        "$@" < /dev/null 2>&1 | tee "$logs/$name.log"
        exit "${PIPESTATUS[0]}"
    ) &
    groups=("$!")
    set +m
    wait "${groups[0]}" || status=$?
    groups=()
    return "$status"
}

step_tell()
{
    local name=$1 verdict=$2 seconds=$3
    if [[ $verdict == SKIPPED ]]; then
        say_together "!!! $name was SKIPPED: $(tail -n 1 "$logs/$name.log")"
    elif [[ $in_lane -eq 1 && $verdict == FAIL ]]; then
        say_together "!!! $name FAILED after $seconds s:" "$logs/$name.log"
    elif [[ $in_lane -eq 1 ]]; then
        say_together "    $name: $verdict after $seconds s"
    fi
}

# say_together LINE [FILE]: one lane's words, and a file, are not cut by another's.
say_together()
{
    (
        flock 8
        say "$1"
        [[ $# -lt 2 ]] || cat "$2"
    ) 8> "$scratch.lock"
}

# lanes FUNCTION...: each at the same time as the others, until all have ended.  A
# cluster of one lane takes no port of another's, not even while nobody listens there.
lanes()
{
    local lane number=0 each=$((12000 / $#)) first
    set -m
    for lane in "$@"; do
        first=$((20000 + number * each))
        number=$((number + 1))
        (
            trap - EXIT INT TERM HUP
            set +m
            in_lane=1
            export PORTCULLIS_PORTS=$first-$((first + each - 1))
            "$lane"
        ) < /dev/null &
        groups+=("$!")
    done
    set +m
    for lane in "${groups[@]}"; do
        # Steps say themselves how they went; this is for a lane that broke.
        wait "$lane" || printf 'lane FAIL %d\n' "$SECONDS" >> "$results"
    done
    groups=()
}

# low COMMAND...: leaves the processor to what others of this run take the time of.
low()
{
    renice -n 10 -p "$BASHPID" > /dev/null
    "$@"
}

# Quiet unless it fails.
build()
{
    local preset=$1
    shift
    if ! { cmake --preset "$preset" "$@" && ninja -C "build/$preset"; } \
        > "$logs/build-$preset.log" 2>&1 < /dev/null; then
        grep -m 20 -E 'error|warning|FAILED' "$logs/build-$preset.log" || true
        tail -n 20 "$logs/build-$preset.log"
        return 1
    fi
    say "built build/$preset"
}

# The thread sanitizer of older compilers cannot live with much address
# randomization; where it may be turned off, it is.
run_ctest()
{
    local fixed=(setarch "$(uname -m)" -R)
    "${fixed[@]}" true 2> /dev/null || fixed=()
    "${fixed[@]}" ctest --preset "$1" -j "$jobs" "${ctest_repeat[@]}"
}

# Files among the arguments are run instead of all.  Two at a time, each with a cluster of its
# own: they wait for most of their time.
run_pytest()
{
    local folder=$1 argument what=(tests/system)
    shift
    for argument in "$@"; do
        [[ $argument != tests/* ]] || what=()
    done
    PORTCULLIS_TEST_BUILD=$folder PORTCULLIS_TEST_SCRATCH=$scratch \
        /usr/bin/python3 -m pytest -p no:cacheprovider -q -ra --durations=5 -n 2 \
        --dist loadfile "${what[@]}" "$@"
}

system_mariadb()
{
    PORTCULLIS_TEST_FLAVOR=mariadb run_pytest "$PCL_CHECKOUT/build/dev" "$@"
}

# What sanitizers leave out, or hold to less: memory, times, system calls.  That none is
# selected fails.
plain_system()
{
    system_mariadb -m plain "$@"
}

# Out here: into the root and on.  Exit 69 when there can be no root.
system_mysql()
{
    tests/mysql-root.sh make || return
    tests/mysql-root.sh run tests/run.sh inside-root "$@"
}

# moto and the AWS CLI are packages only in newer releases than Debian 12; where they are
# not to be had, the tests that want them say so and are skipped.
infra_tools()
{
    local names=() name
    [[ ${PORTCULLIS_NO_INSTALL:-} != 1 ]] || return 0
    for name in moto_server:python3-moto aws:awscli lintian:lintian; do
        if ! command -v "${name%:*}" > /dev/null \
            && [[ $(apt-cache policy "${name#*:}" 2> /dev/null) =~ Candidate:\ [^\(] ]]; then
            names+=("${name#*:}")
        fi
    done
    [[ ${#names[@]} -eq 0 ]] || say "installing: ${names[*]}"
    [[ ${#names[@]} -eq 0 ]] || apt_install "${names[@]}" > "$logs/infra-tools.log" 2>&1 \
        || warn "apt-get could not install them, see $logs/infra-tools.log"
}

infra_tests()
{
    local argument what=(tests/infra)
    infra_tools
    for argument in "$@"; do
        [[ $argument != tests/* ]] || what=()
    done
    PORTCULLIS_TEST_BUILD=$PCL_CHECKOUT/build/dev PORTCULLIS_TEST_SCRATCH=$scratch \
        /usr/bin/python3 -m pytest -p no:cacheprovider -q -ra --durations=5 "${what[@]}" "$@"
}

# What the worker agent and the node's own tool have to do with AWS; the whole run has it among
# the system tests.
agent_on_aws()
{
    system_mariadb tests/system/test_aws.py tests/system/test_zones.py \
        tests/system/test_node_tool.py tests/system/test_rotation.py \
        tests/system/test_handover.py::test_a_source_whose_instance_will_be_taken_away_hands_over
}

# In the root: its compiler changes from day to day, so that its warnings are
# shown and do not fail a run.
inside_root()
{
    local folder=$PORTCULLIS_ROOT_BUILD/mysql
    scratch=$(mktemp -d /tmp/portcullis-test.XXXXXX)
    build_folder "$folder" "$PORTCULLIS_ROOT_BUILD/mysql.log" -DCMAKE_BUILD_TYPE=Debug \
        -DPCL_MYSQL_CLIENT=mysql || return 1
    grep -E 'MySQL client library' "$PORTCULLIS_ROOT_BUILD/mysql.log" || true
    grep -E ': warning: ' "$PORTCULLIS_ROOT_BUILD/mysql.log" || true
    local status=0
    ctest --test-dir "$folder" -j "$jobs" --output-on-failure "${ctest_repeat[@]}" || status=1
    PORTCULLIS_TEST_FLAVOR=mysql run_pytest "$folder" "$@" || status=1
    return "$status"
}

# All of them; those for plain_system leave themselves out, or ask for less.  The quarantine
# of freed memory is kept small, or it would look like the growth that a test forbids.
asan_system()
{
    UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=quarantine_size_mb=2 \
        PORTCULLIS_TEST_FLAVOR=mariadb run_pytest "$PCL_CHECKOUT/build/asan" "$@"
}

# What kills, routes, holds and cancels: the thread sanitizer is too slow for tests
# of times.
tsan_system()
{
    local kept='test_routing or test_chaos or test_values.py or test_sessions.py or test_cancel'
    kept+=' or test_proxies'
    TSAN_OPTIONS=suppressions=$PCL_CHECKOUT/tests/lib/tsan.supp \
        run_pytest "$PCL_CHECKOUT/build/tsan" \
        -k "$kept" "$@"
}

# The edges that the last status line of a fuzzer's log says it has reached.
fuzz_edges()
{
    grep -o 'cov: [0-9]*' "$1" | tail -n 1 | cut -d ' ' -f 2
}

# A target must see more edges than a blind one would (its harness alone), and in a
# run of a minute or more reach some that its checked-in corpus does not.
# fuzz_all SECONDS [OPTION...]: options are libFuzzer's.
fuzz_all()
{
    local seconds=$1 target name from to found=0
    shift
    build fuzz || return 1
    for target in build/fuzz/tests/fuzz/fuzz_*; do
        [[ -x $target && -f $target ]] || continue
        found=$((found + 1))
        name=${target##*/fuzz_}
        mkdir -p "build/fuzz/corpus/$name"
        "$target" -runs=0 "tests/fuzz/corpus/$name" > "$logs/fuzz-$name-corpus.log" 2>&1 || true
        from=$(fuzz_edges "$logs/fuzz-$name-corpus.log")
        if ! "$target" "$@" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
            -print_final_stats=1 -artifact_prefix="build/fuzz/" "build/fuzz/corpus/$name" \
            "tests/fuzz/corpus/$name" > "$logs/fuzz-$name.log" 2>&1; then
            tail -n 30 "$logs/fuzz-$name.log"
            say "$name: a finding; its input is in build/fuzz/"
            return 1
        fi
        to=$(fuzz_edges "$logs/fuzz-$name.log")
        say "$name: $from edges by its corpus, $to in the end;" \
            "$(grep -o 'Done.*' "$logs/fuzz-$name.log" | tail -n 1)"
        if [[ ${from:-0} -lt 30 ]]; then
            say "$name: it is blind to the code that it shall test"
            return 1
        fi
        if [[ $seconds -ge 60 && ${to:-0} -le $from ]]; then
            say "$name: nothing new was reached in $seconds s"
            return 1
        fi
    done
    [[ $found -gt 0 ]] || { say "no fuzz target was built"; return 1; }
    say "$found fuzz targets without a finding, $seconds s each"
}

# --- Style -----------------------------------------------------------------------

own_files()
{
    find . \( -path ./build -o -path ./var -o -path ./.git \) -prune -o "$@" -print
}

# What optimizes sees more than what debugs, and clang other things than gcc.
# style_warnings COMPILER...
style_warnings()
{
    local compiler
    for compiler in "$@"; do
        build_folder "build/warnings-$compiler" "$logs/warnings-$compiler.log" \
            -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER="$compiler" -DPCL_WERROR=ON \
            || return 1
        say "$compiler: no warning"
    done
}

# In the optimized build that the step before has made.
count_instructions()
{
    bench/instructions.py --build build/warnings-gcc
}

style_format()
{
    # Each major version formats a little differently; this one is the judge.
    local version=14 tool=clang-format-14
    command -v "$tool" > /dev/null || tool=clang-format
    if [[ $("$tool" --version) != *"version $version."* ]]; then
        say "formatting is judged by clang-format $version, this is $("$tool" --version)"
        return 69
    fi
    own_files -name '*.[ch]' | xargs -r "$tool" --dry-run --Werror || return 1
    say "clang-format: $(own_files -name '*.[ch]' | wc -l) files as it wants them"
}

style_shell()
{
    local files
    mapfile -t files < <(own_files -name '*.sh'; printf '.ci/run\n'
        printf 'packaging/%s\n' node/portcullis-node postinst prerm postrm)
    shellcheck -x --source-path=SCRIPTDIR/.. "${files[@]}" || return 1
    say "shellcheck: ${#files[@]} scripts without a word"
}

# --- What is asked for -------------------------------------------------------------

prepare()
{
    local install=1
    [[ ${PORTCULLIS_NO_INSTALL:-} != 1 ]] || install=0
    local needs=("$PCL_NEED_RUN" "$PCL_NEED_BUILD" "$PCL_NEED_MARIADB" "$PCL_NEED_TEST")
    # promtool comes with a server that starts by itself: not on a person's machine.
    [[ ${CI:-} != true ]] || needs+=("$PCL_NEED_CI")
    packages_ensure "$install" "${needs[@]}"
    mkdir -p "$logs"
    scratch=$(mktemp -d /tmp/portcullis-test.XXXXXX)
    results=$scratch.results
    : > "$results"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# groups_end GROUP...: SIGTERM to all of them, SIGKILL to what outlives it.
groups_end()
{
    local group tries
    for group in "$@"; do
        kill -TERM -- "-$group" 2> /dev/null || true
    done
    for group in "$@"; do
        # Its shell ends at once; what that has started may want to tidy up.
        wait "$group" 2> /dev/null || true
        for ((tries = 0; tries < 150; tries++)); do
            kill -0 -- "-$group" 2> /dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$group" 2> /dev/null || true
    done
}

# No process of ours outlives the run, however it ends.
clean_up()
{
    local var
    # A second signal must not cut this short.
    trap '' INT TERM HUP
    groups_end "${groups[@]}"
    for var in "$scratch"/*/; do
        if [[ -d $var ]]; then
            infra/down.sh --kill --var "$var" > /dev/null 2>&1 || true
        fi
    done
    rm -f "$scratch.lock" "$scratch.results"
    if [[ ${PORTCULLIS_TEST_KEEP:-} != 1 ]]; then
        # Once more for what a database wrote while it was ending.
        rm -rf "$scratch" 2> /dev/null || { sleep 2; rm -rf "$scratch"; }
    fi
}

lane_asan()
{
    if step build-asan low build asan; then
        step asan-ubsan low run_ctest asan || true
        step asan-system asan_system || true
    fi
}

lane_tsan()
{
    if step build-tsan low build tsan; then
        step tsan low run_ctest tsan || true
        step tsan-system tsan_system || true
    fi
}

all_style()
{
    step warnings style_warnings gcc clang || true
    step clang-format style_format || true
    step shellcheck style_shell || true
}

lane_mariadb()
{
    lane_asan
    lane_tsan
    step infra infra_tests || true
}

lane_mysql()
{
    # One at a time, since the other lane takes what is left of two processors.
    step system-mysql system_mysql -n 0 -m 'not any_database' || true
    if step warnings low style_warnings gcc; then
        step instructions low count_instructions || true
    fi
    # Its build has no warning of clang's.  The same inputs each time: what fails here is
    # what was changed.
    step fuzz low fuzz_all "${PORTCULLIS_FUZZ_SECONDS:-5}" -seed=1 || true
}

everything()
{
    # The quick ones first; what does not build has nothing to run.
    step shellcheck style_shell || true
    step clang-format style_format || true
    if step build build dev; then
        step unit run_ctest dev || true
        lanes lane_mariadb lane_mysql
        # Times and processor time are nobody's while another lane runs.
        step system-plain plain_system || true
        second_look asan-system asan_system
        second_look system-plain plain_system
        second_look system-mysql system_mysql
        second_look tsan-system tsan_system
        second_look infra infra_tests
    fi
}

# The unit tests of a step that failed at least once, a name a line.
failed_units()
{
    sed -nE 's/^.*Test +#[0-9]+: ([^ ]+) .*\*\*\*(Failed|Timeout|Exception).*$/\1/p' \
        "$logs/$1.log" | sort -u
}

# The tests of a lane's step that failed, or whose cluster did not come up, an id a line.
failed_tests()
{
    sed -nE 's/^(FAILED|ERROR) (tests\/[^ ]*\.py::.*)$/\2/p' "$logs/$1.log" \
        | sed -E '/^[^ ]*\[/ { s/\] - .*/]/; b; }; s/ - .*//' | sort -u
}

# second_look NAME RUNNER: of a step that failed by a few tests.
second_look()
{
    local name=$1 runner=$2 few=12 tests seeds seed
    local unsound='(Address|Leak|Thread)Sanitizer|runtime error:|Assertion .* failed'
    unsound+='|tests passed, [1-9][0-9]* tests? failed'
    grep -q "^$name FAIL " "$results" || return 0
    mapfile -t tests < <(failed_tests "$name")
    # Many, other failures than those of tests, and what a sanitizer or an assertion has said
    # get none.
    if [[ ${#tests[@]} -eq 0 || ${#tests[@]} -gt $few ]] \
        || grep -qE '^ERROR [^:]*( -.*)?$|'"$unsound" "$logs/$name.log"; then
        return 0
    fi
    # A test of random cases must pass at the seed that it failed at.
    mapfile -t seeds < <(grep -oE 'PCL_TEST_SEED=[0-9]+' "$logs/$name.log" | sort -u)
    for seed in "${seeds[@]:-}"; do
        step "$name-alone${seed:+-${seed#*=}}" seeded "$seed" "$runner" -n 0 "${tests[@]}" \
            || return 0
    done
    sed -i "s/^$name FAIL /$name UNSTEADY /" "$results"
}

# seeded NAME=VALUE COMMAND...: with that in the environment, if it is anything.
seeded()
{
    [[ -z $1 ]] || export "${1?}"
    "${@:2}"
}

quick()
{
    if step build build dev; then
        step unit run_ctest dev || true
        step smoke-mariadb system_mariadb -m smoke || true
    fi
}

summary()
{
    local name verdict seconds
    say ""
    say "=== summary"
    # The runners' own last words.
    while read -r name verdict seconds; do
        [[ -e $logs/$name.log ]] || continue
        grep -hE '^[0-9]+% tests passed|^[0-9]+ (passed|failed)|without a (finding|word)' \
            "$logs/$name.log" | sed "s|^|$name: |" || true
    done < "$results"
    say ""
    while read -r name verdict seconds; do
        printf '%-20s %-8s %5d s\n' "$name" "$verdict" "$seconds"
    done < "$results"
    while read -r name verdict seconds; do
        [[ $verdict != UNSTEADY ]] \
            || { failed_units "$name"; failed_tests "$name"; } \
            | sed "s|^|!!! $name, failed once, then passed: |"
    done < "$results"
    while read -r name verdict seconds; do
        [[ $verdict != FAIL || ! -e $logs/$name.log ]] \
            || { say "" && say "!!! $name FAILED, at last:" && tail -n 20 "$logs/$name.log"; }
    done < "$results"
    say ""
    if grep -q ' FAIL ' "$results"; then
        say "FAILED; logs are in $logs"
        return 1
    fi
    say "passed in $SECONDS s"
}

main()
{
    local mode=${1:-everything}
    [[ $# -eq 0 ]] || shift
    case $mode in
        -h | --help)
            help_print "${BASH_SOURCE[0]}"
            exit 0
            ;;
        inside-root)
            inside_root "$@"
            exit
            ;;
        everything | quick | unit | system | mysql | infra | sanitizers | fuzz | style) ;;
        instructions) ;;
        *) usage_fail "unknown step: $mode" ;;
    esac
    prepare
    case $mode in
        everything) everything ;;
        quick) quick ;;
        unit)
            if step build build dev; then
                step unit run_ctest dev || true
            fi
            ;;
        system)
            if step build build dev; then
                step system-mariadb system_mariadb "$@" || true
            fi
            ;;
        mysql) step system-mysql system_mysql "$@" || true ;;
        infra)
            if step build build dev; then
                step infra infra_tests "$@" || true
                [[ $# -gt 0 ]] || step infra-agent agent_on_aws || true
            fi
            ;;
        sanitizers) lanes lane_asan lane_tsan ;;
        fuzz) step fuzz fuzz_all "${1:-10}" || true ;;
        style) all_style ;;
        instructions)
            if step warnings style_warnings gcc; then
                step instructions count_instructions || true
            fi
            ;;
    esac
    summary
}

main "$@"
