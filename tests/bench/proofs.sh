#!/bin/sh
# The figures behind what we claim, each beside the least that could be done or what others do, all in one run:
#
#     sh tests/bench/proofs.sh [--long] [--only CHAPTER]…
#
# Chapters: handshakes, waits, cost, data_path, side_by_side, scale, steering.  With --long (about 20 minutes on a quiet
# machine) docs/measured.md, docs/steering.md, the plots and the table in the README are written; without, it is a short
# try into build/bench/proofs.  Needs root, for networks of its own; servers that are not installed are left out, with a
# line that says so.
set -eu

cd "$(dirname "$0")/../.."
build=build/bench

# As it is installed: optimised; assertions stay in.
[ -e "$build/build.ninja" ] || meson setup --buildtype=debugoptimized "$build" >/dev/null
ninja -C "$build" --quiet
exec /usr/bin/python3 -B tests/bench/proofs.py "$build" "$@"
