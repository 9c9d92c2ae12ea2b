#!/bin/sh
# usage: check_no_alloc.sh ARCHIVE
# Fails when a library that must not allocate needs an allocator's symbol, and
# when the archive defines nothing, since then nothing was checked.
set -eu
if ! nm --defined-only "$1" 2>/dev/null | grep -q ' T '; then
    printf '%s defines no function: nothing was checked\n' "$1" >&2
    exit 1
fi
names='malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|valloc'
allocators="^($names|strdup|strndup|asprintf|vasprintf|alloca|mmap|free)\$"
if found=$(nm -u "$1" | awk '$1 == "U" { print $2 }' | sort -u | grep -E "$allocators"); then
    printf '%s allocates; it uses:\n%s\n' "$1" "$found" >&2
    exit 1
fi
