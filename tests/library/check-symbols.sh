#!/bin/sh
# The shared library shows what reuseport.h declares and nothing else, and needs libc only:
# tests/library/check-symbols.sh LIBRARY HEADER
set -eu

target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

nm -D --defined-only "$1" | awk '{ print $3 }' | sort >"$target/shown"
grep -oE '\breuse_[a-z0-9_]+\(' "$2" | tr -d '(' | sort -u >"$target/named"
# Of what the header names, comments may name what is none.
grep -vE '^ \*|^/\*' "$2" | grep -oE '\breuse_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$target/declared"
diff "$target/declared" "$target/shown"

if readelf -d "$1" | grep NEEDED | grep -vE 'libc\.so|ld-linux|libasan|libubsan|libgcov'; then
        echo "more than libc is needed"
        exit 1
fi
