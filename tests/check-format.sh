#!/bin/sh
# White space is clang-format's business; 77 where its version 14 is not to be had.
set -eu

cd "$(dirname "$0")/.."
format=$(command -v clang-format-14 || command -v clang-format || true)
case $("${format:-false}" --version 2>/dev/null) in
*"version 14."*) ;;
*)
    echo "clang-format 14 is not installed"
    exit 77
    ;;
esac

status=0
for file in $(find config src tests -name '*.[ch]' | sort); do
    if ! "$format" "$file" | diff -u --label "$file" --label "$file, formatted" "$file" -; then
        status=1
    fi
done
exit $status
