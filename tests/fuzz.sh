#!/bin/sh
# Fuzzes for a while: sh tests/fuzz.sh [SECONDS] [TARGET…]; half a minute each of all by default.  Builds
# what it needs in build-fuzz with clang.  What it finds stays there as crash-*; it becomes a file of the
# target's corpus together with the mend.
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-30}
[ $# -eq 0 ] || shift

if ! command -v clang >/dev/null; then
        echo "clang is not installed"
        exit 77
fi
[ -d build-fuzz ] || CC=clang meson setup -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false build-fuzz >/dev/null

[ $# -gt 0 ] || set -- tests/fuzz/fuzz-*.c
for target; do
        target=$(basename "$target" .c)
        target=${target#fuzz-}
        ninja -C build-fuzz "tests/fuzz/fuzz-$target" >/dev/null
        mkdir -p "build-fuzz/corpus-$target"
        echo "$target: $seconds s"
        "build-fuzz/tests/fuzz/fuzz-$target" -max_total_time="$seconds" -print_final_stats=1 \
                -close_fd_mask=1 -artifact_prefix=build-fuzz/ \
                "build-fuzz/corpus-$target" "tests/fuzz/corpus/$target" 2>&1 |
                grep -E '^stat::number_of_executed|ERROR|SUMMARY|BINGO|Test unit' || true
        if ls build-fuzz/crash-* build-fuzz/timeout-* build-fuzz/leak-* 2>/dev/null; then
                exit 1
        fi
done
