#!/bin/sh
# Compiles and runs the example of libreuseport(3), against the library as it is installed:
# tests/library/check-example.sh BUILD SOURCE
set -eu

for program in mandoc pkg-config; do
        if ! command -v "$program" >/dev/null; then
                echo "$program is not installed"
                exit 77
        fi
done

build=$(cd "$1" && pwd)
source=$(cd "$2" && pwd)
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

DESTDIR=$target meson install -C "$build" --no-rebuild --quiet --tags devel,runtime >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$target" -name reuseport.pc)")
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR="$target"
library=$(dirname "$(find "$target" -name libreuseport.so)")

# The text between .Bd -literal and .Ed, with roff's backslashes as they are read.
awk '/^\.Ed/ { on = 0 } on { gsub(/\\e/, "\\"); print } /^\.Bd -literal/ { on = 1 }' \
        "$source/man/libreuseport.3" >"$target/example.c"
[ -s "$target/example.c" ]

# shellcheck disable=SC2046
${CC:-cc} -Wall -Wextra -Werror -o "$target/example" "$target/example.c" \
        $(pkg-config --cflags --libs reuseport)
LD_LIBRARY_PATH=$library "$target/example"

# And linked statically, where nothing but reuse_* must be in the way of other names.
# shellcheck disable=SC2046
${CC:-cc} -o "$target/static" "$target/example.c" $(pkg-config --cflags reuseport) \
        "$(dirname "$library/x")/libreuseport.a"
"$target/static"
