#!/bin/sh
# Line coverage of src/reuse by its own unit tests: sh tests/coverage.sh [GOAL].  Fails below the goal, 90.
set -eu

cd "$(dirname "$0")/.."
goal=${1:-90}

if ! command -v gcovr >/dev/null; then
        echo "gcovr is not installed"
        exit 77
fi

[ -d build-coverage ] || meson setup -Db_coverage=true -Dbuildtype=debug build-coverage >/dev/null
ninja -C build-coverage >/dev/null
find build-coverage -name '*.gcda' -delete
meson test -C build-coverage --no-rebuild --suite reuse >/dev/null
gcovr --root . --filter src/reuse/ --fail-under-line "$goal" build-coverage/src/reuse
