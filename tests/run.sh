#!/bin/sh
# Builds and tests everything, and ends with one line: N passed, N failed, N skipped.
#
#     sh tests/run.sh [--long]
#
# As root on Debian what is missing is installed first; else it is said what to install.  --long takes
# the long counts, and tries it all once more on a bare Debian in a chroot.  Logs stay in build/.
set -u

cd "$(dirname "$0")/.." || exit 1
python=/usr/bin/python3                         # Debian's, which has Debian's pytest
results=build/results
long=

for argument in "$@"; do
    case $argument in
    --long) long=yes ;;
    *)
        echo "usage: sh tests/run.sh [--long]" >&2
        exit 2
        ;;
    esac
done

# What a sanitizer finds must end the program that it is found in.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99

rm -rf "$results"
mkdir -p "$results" || exit 1
began=$(date +%s)

say() {
    printf '==> [%4d s] %s\n' "$(($(date +%s) - began))" "$*"
}

# One check of its own: passed, failed, or skipped with a reason.
record() {
    printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$results/checks"
    [ "$1" = passed ] || say "$1: $2 ${3:+($3)}"
}

# check NAME COMMAND…: 77 means that it was skipped, and the last line says why.
check() {
    name=$1
    shift
    say "$name"
    log=$results/$(echo "$name" | tr ' /' '--').log
    "$@" >"$log" 2>&1
    case $? in
    0) record passed "$name" ;;
    77) record skipped "$name" "$(tail -n 1 "$log")" ;;
    *)
        tail -n 60 "$log"
        record failed "$name" "see $log"
        return 1
        ;;
    esac
}

has() {
    command -v "$1" >/dev/null
}

# build NAME DIRECTORY OPTION…
build() {
    what=$1 directory=build/$2
    shift 2
    if [ ! -e "$directory/build.ninja" ]; then
        rm -rf "$directory"
        check "configure $what" meson setup "$@" "$directory" || return 1
    fi
    check "build $what" ninja -C "$directory" --quiet
}

# The unit tests of one build, each test of each program counted by what it reported.
unit_tests() {
    say "unit tests, $1"
    log=build/$2/meson-logs/testlog.junit.xml
    rm -f "$log"
    meson test -C "build/$2" --no-rebuild --print-errorlogs --quiet ${long:+-t 20}
    status=$?
    if [ -s "$log" ]; then
        cp "$log" "$results/unit-$2.xml"
    elif [ "$status" -ne 0 ] || has_cmocka; then
        record failed "unit tests, $1" "no results"
    else
        record skipped "unit tests, $1" "libcmocka-dev is not installed"
    fi
}

has_cmocka() {
    pkg-config --exists cmocka
}

# pytest_run NAME OPTION… leaves build/results/integration-NAME.xml.
pytest_run() {
    name=$1
    shift
    "$python" -B -m pytest -q -p no:cacheprovider --tb=short --junitxml="$results/integration-$name.xml" \
        -o junit_suite_name="integration, $name" "$@" tests/integration
    [ -s "$results/integration-$name.xml" ] || record failed "integration tests, $name" "no results"
}

# Most tests wait more than they work, so several run at once, and then those that measure time, alone.  The
# full counts are load enough.
integration_tests() {
    if ! "$python" -c 'import pytest' 2>/dev/null; then
        record skipped "integration tests, $1" "python3-pytest is not installed"
        return
    fi
    say "integration tests, $1"
    if [ -n "${REUSEPORT_TEST_LONG:-}" ] || ! "$python" -c 'import xdist' 2>/dev/null; then
        pytest_run "$2" --build="build/$2" -m "not crash_points"
        return
    fi
    once=
    [ "$2" = test ] || [ -n "$long" ] || once=" and not once"
    pytest_run "$2" --build="build/$2" -n 4 -m "not alone and not crash_points$once"
    # What a sanitizer makes slower is not measured, but with --long.
    if [ "$2" = test ] || [ -n "$long" ]; then
        say "integration tests that measure time, $1"
        pytest_run "$2-alone" --build="build/$2" -m alone
    fi
}

# Each in a booted systemd of its own; tests that no box can be had for are skipped, each with the reason.
# boxes NAME OPTION… leaves build/results/systemd-NAME.xml.
boxes() {
    name=$1
    shift
    "$python" -B -m pytest -q -p no:cacheprovider --tb=short --build="build/$name" \
        --junitxml="$results/systemd-$name.xml" -o junit_suite_name="in a booted systemd, $name" "$@" tests/systemd
    [ -s "$results/systemd-$name.xml" ] || record failed "tests in a booted systemd, $name" "no results"
}

# The daemon is killed at each of its steps, which only a build for that has.
crash_tests() {
    "$python" -c 'import pytest' 2>/dev/null || return  # counted above
    say "the daemon killed at each step"
    parallel=
    "$python" -c 'import xdist' 2>/dev/null && parallel=4
    pytest_run "$1" --build="build/$1" ${parallel:+-n $parallel} -m crash_points
    say "the daemon killed at each step, in a booted systemd"
    boxes "$1" ${parallel:+-n 3} -m crash_points
}

systemd_tests() {
    "$python" -c 'import pytest' 2>/dev/null || return  # counted above
    say "tests in a booted systemd"
    parallel=
    [ -z "${REUSEPORT_TEST_LONG:-}" ] && "$python" -c 'import xdist' 2>/dev/null && parallel=3
    boxes "$1" ${parallel:+-n $parallel} -m "not crash_points"
}

# With --long.
full_counts() {
    [ -z "$long" ] || export REUSEPORT_TEST_LONG=1
    "$@"
    status=$?
    unset REUSEPORT_TEST_LONG
    return $status
}

lint_scripts() {
    has shellcheck || { echo "shellcheck is not installed" && return 77; }
    # shellcheck disable=SC2046 # names of files without spaces
    shellcheck .ci/run debian/*.postinst debian/*.postrm $(find config tests -name '*.sh' ! -path '*/www/*')
}

lint_manuals() {
    sh tests/check-manuals.sh man/*.[1-8] build/test/man/*.[1-8]
}

say "packages"
sh tests/install-packages.sh build test server ${long:+long} ||
    echo "Going on with what is here; what cannot be tested without it is skipped."

# The full counts are for one build; in the others the small ones find what there is to find.
build "with gcc" test && full_counts unit_tests "gcc" test
build "with ASan and UBSan" asan -Db_sanitize=address,undefined -Db_lundef=false &&
    unit_tests "ASan and UBSan" asan
if has clang; then
    # The other compiler is also the other way to build: optimised, without assertions.
    export CC=clang
    build "with clang, -O3 and NDEBUG" clang -Dbuildtype=release -Db_ndebug=true &&
        unit_tests "clang, -O3 and NDEBUG" clang
    unset CC
else
    record skipped "build with clang" "clang is not installed"
fi

check "includes climb no floor" sh tests/check-layers.sh
check "format" sh tests/check-format.sh
check "scripts" lint_scripts
check "manuals" lint_manuals
check "install" sh tests/check-install.sh build/test
check "Debian packages" sh tests/package.sh
check "cases of the library" sh tests/cases.sh
if [ -n "$long" ]; then
    check "coverage of the library" sh tests/coverage.sh
    check "benchmarks" meson test -C build/test --benchmark --no-rebuild --verbose
fi

# What the daemon is upgraded from and to: what clang has built, and with --long this.
[ -z "$long" ] || check "build the commit before" sh tests/previous-build.sh
[ -x build/test/src/daemon/reuseportd ] && full_counts integration_tests "gcc" test
[ -x build/test/src/daemon/reuseportd ] && full_counts systemd_tests test
build "with crash points" crash -Dcrash_points=true && full_counts crash_tests crash
[ -x build/asan/src/daemon/reuseportd ] && integration_tests "ASan and UBSan" asan
[ -z "$long" ] || check "bare Debian 12" sh tests/bare-debian.sh

say "done"
exec "$python" -B tests/summary.py "$results"
