#!/bin/sh
# The two commands of the README and CONTRIBUTING on a Debian 12 that has nothing but its base: a chroot
# made by debootstrap, thrown away afterwards.
#
#     sh tests/bare-debian.sh
#
# Needs root, debootstrap, a mirror (the one of /etc/apt, or $MIRROR), and port 8080.  The chroot shares
# the network, since apt-get in it must reach the mirror; mounts are its own.
set -eu

skip() {
    echo "$*"
    exit 77
}

cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || skip "needs root"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
command -v curl >/dev/null || skip "curl is not installed"

if [ "${1:-}" != --in-namespace ]; then
    exec unshare --mount --propagation private sh tests/bare-debian.sh --in-namespace
fi

if [ -z "${MIRROR:-}" ]; then
    # apt knows every form that a list of sources can have.
    # shellcheck disable=SC2016 # apt's variables, not the shell's
    MIRROR=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sed -n 's/ bookworm main$//p' | head -n 1)
fi
[ -n "$MIRROR" ] || skip "/etc/apt names no mirror of bookworm; set MIRROR"
proxy=
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "$proxy" ] || export http_proxy="$proxy"

root=$(mktemp -d)
chmod 755 "$root"                              # others must get into their /
daemon=
clean_up() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || :
    umount -R -l "$root" 2>/dev/null || :
    rm -rf --one-file-system "$root"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

echo "==> debootstrap from $MIRROR"
debootstrap --variant=minbase bookworm "$root" "$MIRROR" >/dev/null

# A root is a mount point, here too; without that nothing in it could make its mounts private.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/hosts "$root/etc/hosts"

# What a clone would have, and what is not committed yet.
mkdir "$root/root/reuseportd"
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
    tar --null --files-from=- --create | tar --extract --directory "$root/root/reuseportd"

in_chroot() {
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root ${proxy:+http_proxy="$proxy"} \
        chroot "$root" sh -c "cd /root/reuseportd && exec $*"
}

echo "==> sh config/quickstart.sh"
(in_chroot sh config/quickstart.sh) </dev/null &
daemon=$!
# Each second until it answers; the installation and the build come first.
for i in 1 2 3; do
    answer=$(curl --silent --show-error --fail --retry 600 --retry-delay 1 --retry-connrefused \
        --retry-max-time 600 http://127.0.0.1:8080/)
    echo "answer $i: $answer"
    case $answer in
    "Hello from version 1: worker "*) ;;
    *) exit 1 ;;
    esac
done
kill -TERM "$daemon"
wait "$daemon"
daemon=

echo "==> sh tests/run.sh"
log=$root/run.log
(in_chroot sh tests/run.sh) </dev/null 2>&1 | tee "$log"
tail -n 1 "$log" | grep -qE '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$'
