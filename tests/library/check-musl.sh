#!/bin/sh
# Builds the library with musl, and a program that uses it: tests/library/check-musl.sh SOURCE
# The kernel's own headers come from the system; they are the same for every libc.
set -eu

if ! command -v musl-gcc >/dev/null; then
        echo "musl-gcc is not installed"
        exit 77
fi

cd "$1"
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

mkdir "$target/include"
for name in linux asm asm-generic; do
        for place in /usr/include "/usr/include/$(uname -m)-linux-gnu"; do
                if [ -d "$place/$name" ]; then
                        ln -s "$place/$name" "$target/include/$name"
                        break
                fi
        done
done

musl-gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers \
        -Werror -O2 -static -Isrc -idirafter "$target/include" -o "$target/smoke" \
        tests/library/smoke.c src/base/fd.c src/reuse/*.c
"$target/smoke"
