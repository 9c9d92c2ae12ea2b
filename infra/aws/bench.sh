# shellcheck shell=bash
# bench.sh - the comparison of strategies, from a client instance beside the cluster: what
# --bench asks for.  Sourced by up.sh.
# shellcheck disable=SC2154 # variables of up.sh

# The bundle of the client inside reaches gatekeepers at their private addresses.
bench_bundle()
{
    (umask 077 && bundle_write "$memory/bench.bundle" inside)
}

# bench_measure WORKLOAD: what portcullis-bench says as JSON, small enough for the output of a
# command, of which AWS keeps 24,000 characters.
bench_measure()
{
    local file=$aws_folder/$1.json
    say "bench: $1, all strategies (some minutes)"
    ssm_run "${have[instance/client]}" 1800 \
        "export PORTCULLIS_BUNDLE=/etc/portcullis/secrets/client.bundle;" \
        "portcullis-bench $1 ${PORTCULLIS_AWS_BENCH_LOAD:---clients 32 --time 10 --rounds 3}" \
        "--strategies direct,random,round-robin,least-inflight,peak-ewma,c3,prequal,custom" \
        "--quiet --json /tmp/portcullis-bench.json > /tmp/portcullis-bench.log 2>&1;" \
        "[ \$? -eq 0 -o \$? -eq 3 ] || { tail -n 15 /tmp/portcullis-bench.log >&2; exit 1; };" \
        "gzip -9c /tmp/portcullis-bench.json | base64 -w 0" > "$aws_work/bench" || {
        cat "$aws_work/bench" >&2
        return 1
    }
    if ! tr -d ' \n' < "$aws_work/bench" | base64 -d 2> /dev/null | gzip -dc > "$file" \
        2> /dev/null || [[ ! -s $file ]]; then
        rm -f "$file"
        return 1
    fi
}

# Reports are put beside the bundle.  1: nothing came back.
bench_run()
{
    local workload
    say "bench: filling the table"
    if ! ssm_run "${have[instance/client]}" 600 \
        "PORTCULLIS_BUNDLE=/etc/portcullis/secrets/client.bundle portcullis-bench fill" \
        > "$aws_work/bench" 2>&1; then
        cat "$aws_work/bench" >&2
        warn "the table of the comparison could not be filled"
        return 1
    fi
    for workload in point mixed; do
        if ! bench_measure "$workload"; then
            warn "the client instance gave no results of $workload"
            return 1
        fi
    done
    /usr/bin/python3 "$PCL_CHECKOUT/bench/report.py" "$aws_folder/point.json" \
        "$aws_folder/mixed.json" --html "$aws_folder/report.html" \
        --text "$aws_folder/benchmark_results.txt" || {
        warn "the results are in $aws_folder/*.json; bench/report.py could not draw them"
        return 1
    }
    say "bench: $aws_folder/benchmark_results.txt and $aws_folder/report.html"
}
