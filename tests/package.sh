#!/bin/sh
# Builds the Debian packages in a clean copy of the sources, and lets lintian look at them.
#
#     sh tests/package.sh [DIRECTORY]
#
# They are left in DIRECTORY (build/package), where the tests of tests/systemd/test_package.py find them: these install
# them in a booted systemd.  77 where the tools are missing.
set -eu

cd "$(dirname "$0")/.."
target=${1:-build/package}

for tool in dpkg-buildpackage dh lintian; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed"
        exit 77
    fi
done

# What a clone would have, and what is not committed yet.
list_sources() {
    if command -v git >/dev/null && git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
    else
        find . -path './build*' -prune -o ! -type d -print0
    fi
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir "$place/reuseportd"
list_sources | tar --null --files-from=- --create --ignore-failed-read | tar --extract --directory "$place/reuseportd"

# Its unit tests run in every other build; the package's own run of them is for build machines.
(cd "$place/reuseportd" &&
    DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage --no-sign --build=full)

lintian --allow-root --info --display-info --pedantic --fail-on=error,warning,info,pedantic \
    --tag-display-limit 0 "$place"/*.changes

rm -rf "$target"
mkdir -p "$target"
mv "$place"/*.deb "$place"/*.changes "$target"
ls -l "$target"
