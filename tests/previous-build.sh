#!/bin/sh
# Builds the daemon of the commit before, for tests that go from one to the other and back: the newest commit
# whose sources differ from those that are here.
#
#     sh tests/previous-build.sh
#
# It is build/previous/build/src/daemon/reuseportd, and is built once for a commit.  Where there is no history,
# in a tarball or a shallow clone, it ends with 77, and its last line says why.
set -eu

cd "$(dirname "$0")/.."
place=build/previous
daemon=src/daemon/reuseportd

history() {
    git -c safe.directory="$PWD" "$@"
}

if ! history rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    rm -rf "$place"
    echo "there is no git history here"
    exit 77
fi

commit=
for candidate in $(history rev-list --max-count=50 HEAD -- src); do
    if ! history diff --quiet "$candidate" -- src; then
        commit=$candidate
        break
    fi
done
if [ -z "$commit" ]; then
    rm -rf "$place"
    echo "no commit with other sources is here: a shallow clone?"
    exit 77
fi

history log -1 --format='%h %s' "$commit"
if [ -x "$place/build/$daemon" ] && [ "$(cat "$place/commit")" = "$commit" ]; then
    echo "it is built already"
    exit 0
fi

rm -rf "$place"
mkdir -p "$place/source"
history archive "$commit" | tar -x -C "$place/source"
meson setup -Dtests=disabled "$place/build" "$place/source"
ninja -C "$place/build" --quiet "$daemon"
echo "$commit" >"$place/commit"
