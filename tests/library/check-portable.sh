#!/bin/sh
# Compiles the portable half as where there is no Linux: tests/library/check-portable.sh SOURCE FILE…
# This shows that nothing of Linux's is used outside an #ifdef; it is no test on another system.
set -eu

cd "$1"
shift
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

# What the others do not have, taken away from Linux's headers.
cat >"$target/elsewhere.h" <<'END'
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#undef __linux__
#undef SOCK_CLOEXEC
#undef SOCK_NONBLOCK
#undef SO_MARK
#undef SO_PRIORITY
#undef SO_BINDTODEVICE
#undef SO_TIMESTAMPNS
#undef IP_FREEBIND
#undef IP_TRANSPARENT
#undef IP_PKTINFO
#undef TCP_DEFER_ACCEPT
#undef TCP_FASTOPEN
#undef TCP_CONGESTION
END

for file; do
        ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter \
                -Wno-missing-field-initializers -Werror -Isrc -include "$target/elsewhere.h" \
                -fsyntax-only "$file"
done
