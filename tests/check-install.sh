#!/bin/sh
# What `meson install` of a build puts where: sh tests/check-install.sh BUILD
set -eu

target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
DESTDIR=$target meson install -C "$1" --no-rebuild --quiet

status=0
for pattern in sbin/reuseportd etc/reuseportd/endpoints.conf 'systemd/system/reuseportd.service' \
    'man8/reuseportd.8'; do
    if ! find "$target" -path "*/$pattern" -size +0 | grep -q .; then
        echo "not installed: $pattern"
        status=1
    fi
done

# A unit that names another place than the program's would never start.
unit=$(find "$target" -name reuseportd.service)
program=$([ -z "$unit" ] || sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit")
if [ -z "$program" ] || [ ! -x "$target$program" ]; then
    echo "the unit starts $program, which is not installed"
    status=1
fi
exit $status
