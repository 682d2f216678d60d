#!/bin/sh
# Boots this machine's systemd, as PID 1 of a container over a throw-away overlay of "/", and runs one
# command in it as a unit.
#
#     sh tests/systemd/boot.sh [-l DIRECTORY]… [-b DIRECTORY]… [-t SECONDS] COMMAND [ARGUMENT…]
#
#     -l DIRECTORY   laid over "/": what is in it is installed in the box
#     -b DIRECTORY   at the same place in the box, and writable; all else that is written is thrown away
#     -t SECONDS     the time that the command has (300)
#
# The command runs in the directory where boot.sh was started, which is read-only; /tmp and /run are new, and
# the network is a loopback.  Ends with what the command ends with; 77 where no box can be had, and the last
# line says why.  Needs root, systemd-container and dbus.
set -eu

skip() {
    echo "$*"
    exit 77
}

# Both names of an option's directory are the same after this, also when it is a link.
real() {
    realpath -e -- "$1"
}

# ---- in a mount namespace of our own ----

# Of what this machine has enabled nothing runs in the box but what boots it.
quiet_units() {
    units=$1/etc/systemd/system
    rm -rf "$units"/*.wants "$units"/*.requires
    for unit in systemd-firstboot.service systemd-journal-flush.service systemd-tmpfiles-clean.timer \
        systemd-update-utmp.service dev-hugepages.mount getty.target; do
        ln -sf /dev/null "$units/$unit"
    done
}

write_settings() {
    mkdir -p "$1/etc/systemd/journald.conf.d" "$1/etc/systemd/system.conf.d"
    # Every line counts in a test: none may fall to a limit of rates.
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >"$1/etc/systemd/journald.conf.d/box.conf"
    # What the command left running would delay the end by 90 seconds.
    printf '[Manager]\nDefaultTimeoutStopSec=5s\n' >"$1/etc/systemd/system.conf.d/box.conf"
    # /tmp is empty but for what is bound there, which nobody shall clear away.
    mkdir -p "$1/etc/tmpfiles.d"
    ln -sf /dev/null "$1/etc/tmpfiles.d/tmp.conf"
}

# write_unit FILE COMMAND…: each word is quoted for systemd.
write_unit() {
    file=$1
    shift
    command=
    for word in "$@"; do
        command="$command \"$(printf '%s' "$word" | sed -e 's/[\\"]/\\&/g' -e 's/[%$]/&&/g')\""
    done
    cat >"$file" <<END
[Unit]
Requires=basic.target dbus.socket
After=basic.target dbus.socket
SuccessAction=exit
FailureAction=exit

[Service]
Type=oneshot
TimeoutStartSec=$BOX_SECONDS
WorkingDirectory=$PWD
Environment=HOME=/root BOX=1
ExecStartPre=touch /run/box/is-booted
ExecStart=$command
StandardOutput=append:/run/box/output
StandardError=append:/run/box/output
END
}

boot() {
    mkdir "$BOX/memory"
    mount -t tmpfs tmpfs "$BOX/memory"
    mkdir "$BOX/memory/upper" "$BOX/memory/work" "$BOX/memory/root"
    root=$BOX/memory/root
    mount -t overlay overlay \
        -o "lowerdir=/,upperdir=$BOX/memory/upper,workdir=$BOX/memory/work" "$root"
    # Copied: as further lower directories they would have to lie outside "/".
    for layer in $BOX_LAYERS; do
        tar --create --directory="$layer" . |
            tar --extract --directory="$root" --no-overwrite-dir --keep-directory-symlink
    done
    quiet_units "$root"
    write_settings "$root"
    write_unit "$root/etc/systemd/system/box.service" "$@"

    # What systemd-nspawn leaves at run time is ours alone, and the box sees one hierarchy of cgroups.
    mkdir -p /run/systemd
    mount -t tmpfs tmpfs /run/systemd
    umount -R -l /sys/fs/cgroup 2>/dev/null || :
    mount -t cgroup2 cgroup2 /sys/fs/cgroup

    set --
    for directory in $BOX_WRITABLE; do
        set -- "$@" "--bind=$directory"
    done
    exec systemd-nspawn --quiet --boot --directory="$root" --machine=box --register=no --keep-unit \
        --private-network --capability=all --system-call-filter=bpf --link-journal=no \
        --resolv-conf=off --timezone=off --console=read-only \
        --bind-ro="$PWD" --bind="$BOX/run:/run/box" "$@" \
        -- --unit=box.service --show-status=no </dev/null >"$BOX/boot.log" 2>&1
}

if [ "${1:-}" = --in-namespace ]; then
    shift
    boot "$@"
fi

# ---- outside ----

layers='' writable='' seconds=300
while getopts l:b:t: option; do
    case $option in
    l) layers="$layers $(real "$OPTARG")" ;;
    b) writable="$writable $(real "$OPTARG")" ;;
    t) seconds=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -eq 0 ]; then
    echo "usage: sh tests/systemd/boot.sh [-l DIRECTORY]… [-b DIRECTORY]… [-t SECONDS] COMMAND [ARGUMENT…]" >&2
    exit 2
fi

[ "$(id -u)" -eq 0 ] || skip "needs root"
command -v systemd-nspawn >/dev/null || skip "systemd-container is not installed"
[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
[ -e /lib/systemd/system/dbus.socket ] || skip "dbus is not installed"

BOX=$(mktemp -d /tmp/reuseportd-box.XXXXXX)
BOX_LAYERS=$layers BOX_WRITABLE=$writable BOX_SECONDS=$seconds
export BOX BOX_LAYERS BOX_WRITABLE BOX_SECONDS

# A cgroup for the box alone: its systemd must never move what this machine runs.
cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
own_cgroups=
if [ -z "$cgroups" ]; then
    own_cgroups=$(mktemp -d)
    if ! mount -t cgroup2 cgroup2 "$own_cgroups" 2>/dev/null; then
        rmdir "$own_cgroups" "$BOX"
        skip "cgroup2 cannot be mounted"
    fi
    cgroups=$own_cgroups
fi
cgroup=$cgroups/$(basename "$BOX")

# shellcheck disable=SC2317 # called by the trap
clean_up() {
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || :
    if [ -n "$own_cgroups" ]; then
        umount "$own_cgroups"
        rmdir "$own_cgroups"
    fi
    rm -rf "$BOX"
}
trap clean_up EXIT
if ! mkdir "$cgroup" 2>/dev/null; then
    skip "no cgroup can be made in $cgroups"
fi

mkdir "$BOX/run"
: >"$BOX/run/output"

(
    echo 0 >"$cgroup/cgroup.procs"
    exec setpriv --pdeathsig KILL unshare --mount --propagation private \
        sh "$(real "$0")" --in-namespace "$@"
) >"$BOX/early.log" 2>&1 &
box=$!
# systemd-nspawn asks its systemd to shut down; asked again, it kills.
interrupted=
trap 'interrupted=yes; kill -TERM "$box" 2>/dev/null || :' INT TERM HUP

while :; do
    status=0
    wait "$box" || status=$?
    kill -0 "$box" 2>/dev/null || break         # else it was the trap that ended the waiting
done

cat "$BOX/run/output"
[ -z "$interrupted" ] || exit 143
if [ ! -e "$BOX/run/is-booted" ]; then
    cat "$BOX/early.log" "$BOX/boot.log" 2>/dev/null || :
    skip "systemd does not boot here: $(cat "$BOX/early.log" "$BOX/boot.log" 2>/dev/null | tail -n 1)"
fi
exit "$status"
