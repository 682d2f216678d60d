#!/bin/sh
# From a fresh clone to a web server on SO_REUSEPORT sockets: http://127.0.0.1:8080/
#
# Installs what is missing (Debian 12, as root; else it says what to install), builds into
# build/quickstart, and runs reuseportd with config/quickstart.conf until Ctrl-C or SIGTERM.  Nothing
# of reuseportd is installed: rm -r build undoes it.
set -eu

cd "$(dirname "$0")/.."
build=build/quickstart

step() {
    printf '==> %s\n' "$*"
}

step "Looking for what the build needs"
if ! sh tests/install-packages.sh build; then
    for program in cc meson ninja pkg-config; do
        if ! command -v "$program" >/dev/null; then
            echo "Without $program there is nothing to build with. Install the above, then run this again." >&2
            exit 1
        fi
    done
    echo "Going on: perhaps what is missing came from elsewhere." >&2
fi

step "Building in $build"
# A directory that an earlier run could not finish is begun anew.
if [ ! -e "$build/build.ninja" ]; then
    rm -rf "$build"
    mkdir -p build
    if ! meson setup -Dtests=disabled "$build" >build/quickstart.log 2>&1; then
        cat build/quickstart.log >&2
        rm -rf "$build"
        exit 1
    fi
fi
ninja -C "$build" --quiet

cat <<'END'
==> Running reuseportd -c config/quickstart.conf

    In another terminal:

        curl http://127.0.0.1:8080/             again and again: two workers take turns
        curl 'http://[::1]:8080/'               the same port, IPv6
        pkill -9 -o demo-server                 one dies; reuseportd replaces it, try curl again
        build/quickstart/src/ctl/reuseportctl deploy demo -E VERSION=2
                                                the next version, without losing a visitor
        curl http://127.0.0.1:8080/slow &       two seconds; now press Ctrl-C here: it is answered

    Ctrl-C ends it.

END
if [ "$(id -u)" -ne 0 ] && [ -z "${RUNTIME_DIRECTORY:-}" ] && [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    RUNTIME_DIRECTORY=$PWD/$build/run
    mkdir -p "$RUNTIME_DIRECTORY"
    export RUNTIME_DIRECTORY
fi
exec "$build/src/daemon/reuseportd" -c config/quickstart.conf
