#!/bin/sh
# A folder of src is a floor, and uses only floors below it: see src/README.md.
#
#     sh tests/check-layers.sh [SRC]
#
# Prints each include that climbs, as FILE:LINE: and ends with 1 if there is one.
set -eu

src=${1:-$(dirname "$0")/../src}

# What each floor may include of ours, beside its own headers.
may_use() {
    case $1 in
    base) ;;
    reuse) echo "base" ;;
    settings) echo "base reuse" ;;
    daemon) echo "base reuse settings" ;;
    ctl) echo "base settings" ;;
    *) return 1 ;;
    esac
}

# The library is installed alone: libc and the kernel's headers are all that it knows.
is_foreign_to_reuse() {
    case $1 in
    systemd/* | libconfig* | libmnl/* | jansson* | libsmartcols/* | cmocka*) return 0 ;;
    *) return 1 ;;
    esac
}

check_include() {
    floor=$1 place=$2 header=$3
    case $header in
    config.h) return 0 ;;                       # made by the build
    */*) ;;
    *)
        if [ -e "$src/$floor/$header" ]; then
            return 0
        fi
        echo "$place: \"$header\" is not a header of $floor; ours are named from the root"
        return 1
        ;;
    esac
    to=${header%%/*}
    if [ "$to" != "$floor" ]; then
        case " $(may_use "$floor") " in
        *" $to "*) ;;
        *)
            echo "$place: $floor may not use \"$header\""
            return 1
            ;;
        esac
    fi
    if [ ! -e "$src/$header" ]; then
        echo "$place: there is no \"$header\""
        return 1
    fi
}

status=0
for directory in "$src"/*/; do
    floor=$(basename "$directory")
    if ! may_use "$floor" >/dev/null; then
        echo "$src/$floor: not a floor that anybody knows; say in this script what it may use"
        status=1
        continue
    fi
    includes=$(grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' "$directory" |
        sed -nE 's/^([^:]*:[0-9]+):[^"<]*(["<])([^">]*)[">].*/\1 \2 \3/p')
    while read -r place kind header; do
        case $kind in
        '"') check_include "$floor" "$place" "$header" || status=1 ;;
        '<')
            if [ "$floor" = reuse ] && is_foreign_to_reuse "$header"; then
                echo "$place: reuse is libc only, and may not use <$header>"
                status=1
            fi
            ;;
        esac
    done <<EOI
$includes
EOI
done
exit $status
