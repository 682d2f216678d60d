#!/bin/sh
# Sees to it that the packages of some kinds in tests/packages are there.
#
#     sh tests/install-packages.sh KIND…
#
# As root on a system with apt-get, what is missing is installed; else the exact command is printed.
# Ends with 0 when everything is there, 1 when something is missing and could not be had.
set -eu

list=$(dirname "$0")/packages

wanted=
for kind in "$@"; do
    wanted="$wanted $(sed -n "s/^${kind}[[:space:]]\{1,\}//p" "$list" | tr '\n' ' ')"
done

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian: on Debian 12 these packages would be needed:$wanted" >&2
    exit 0
fi

# pkgconf provides pkg-config, a vendor's nodejs is as good as Debian's: what counts is the name.
missing=
for package in $wanted; do
    if ! dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed; then
        missing="$missing $package"
    fi
done
missing=${missing# }
[ -n "$missing" ] || exit 0

command="apt-get install --yes --no-install-recommends $missing"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    printf 'Missing, to be installed as root:\n\n    %s\n\n' "$command" >&2
    exit 1
fi

echo "Installing: $missing" >&2
export DEBIAN_FRONTEND=noninteractive
# The lists may be missing, as in a fresh container, or too old to find the files.
# shellcheck disable=SC2086 # a list of words
if ! $command >&2; then
    apt-get update >&2
    $command >&2
fi
