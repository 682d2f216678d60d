#!/bin/sh
# What `meson install` of a build puts where: sh tests/check-install.sh BUILD
set -eu

target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
DESTDIR=$target meson install -C "$1" --no-rebuild --quiet

status=0
for pattern in sbin/reuseportd bin/reuseportctl etc/reuseportd/endpoints.conf man1/reuseportctl.1 \
    man3/libreuseport.3 man5/endpoints.conf.5 man8/reuseportd.8 systemd/system/reuseportd.service \
    systemd/system/reuseportd@.service systemd/system/reuseportd-dynamic.service \
    systemd/user/reuseportd.service systemd/system-preset/90-reuseportd.preset sysusers.d/reuseportd.conf \
    tmpfiles.d/reuseportd.conf share/reuseportd/hardened.conf \
    systemd/catalog/reuseportd.catalog bash-completion/completions/reuseportctl \
    zsh/site-functions/_reuseportctl fish/vendor_completions.d/reuseportctl.fish; do
    if ! find "$target" -path "*/$pattern" -size +0 | grep -q .; then
        echo "not installed: $pattern"
        status=1
    fi
done

# A unit that names another place than the program's would never start.
find "$target" -name '*.service' >"$target/units"
while read -r unit; do
    programs=$(sed -n 's/^Exec[A-Za-z]*=\([^ ]*\).*/\1/p' "$unit")
    for program in $programs; do
        if [ ! -x "$target$program" ]; then
            echo "${unit#"$target"} starts $program, which is not installed"
            status=1
        fi
    done
    if grep -q '@[a-z_]*@' "$unit"; then
        echo "${unit#"$target"} has a place that the build did not fill"
        status=1
    fi
done <"$target/units"
exit $status
