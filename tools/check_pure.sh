#!/bin/sh
# usage: check_pure.sh ARCHIVE
# Fails when a library declared PURE needs a symbol that reaches outside the
# process, or reads time or randomness behind the caller's back; and when the
# archive defines nothing, since then nothing was checked.
set -eu
if ! nm --defined-only "$1" 2>/dev/null | grep -q ' T '; then
    printf '%s defines no function: nothing was checked\n' "$1" >&2
    exit 1
fi
undefined=$(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u)
libraries='zmq_|zsock_|zactor_|zloop_|zpoller_|zmsg_|zframe_|zsys_|zclock_|mysql_|pthread_'
files='socket$|connect$|bind$|send$|recv$|poll$|epoll_|open$|fopen$|getenv$'
clocks='time$|gettimeofday$|clock_gettime$|clock$|usleep$|nanosleep$|sleep$'
banned="^($libraries|$files|$clocks|rand$|random$|srand$|getrandom$)"
if leaks=$(printf '%s\n' "$undefined" | grep -E "$banned"); then
    printf '%s is not pure; it uses:\n%s\n' "$1" "$leaks" >&2
    exit 1
fi
