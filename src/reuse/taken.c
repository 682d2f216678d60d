/* Who is where, from /proc/net: read only when an address is in use and overlapping ones are allowed. */

#include "reuse/taken.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define STATE_LISTEN 0x0a

static void filep(FILE **file) {
        if (*file)
                (void) fclose(*file);
}

/* "0100007F:0050": words as the machine reads them, then the port. */
static void format_like_proc(const ReuseAddress *a, char *buffer, size_t size_bytes) {
        uint32_t words[4];

        if (a->sa.sa_family == AF_INET) {
                (void) snprintf(buffer, size_bytes, "%08X:%04X", a->in.sin_addr.s_addr,
                                reuse_address_port(a));
                return;
        }

        memcpy(words, &a->in6.sin6_addr, sizeof(words));
        (void) snprintf(buffer, size_bytes, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2],
                        words[3], reuse_address_port(a));
}

bool reuse_address_is_taken(const ReuseAddress *a) {
        _cleanup_(filep) FILE *file = NULL;
        char path[32], ours[48], line[512], local[48];
        unsigned state;

        assert(a);

        (void) snprintf(path, sizeof(path), "/proc/net/%s%s",
                        a->type == SOCK_STREAM ? "tcp" : "udp",
                        a->sa.sa_family == AF_INET6 ? "6" : "");
        file = fopen(path, "re");
        if (!file)
                return true;

        format_like_proc(a, ours, sizeof(ours));
        while (fgets(line, sizeof(line), file)) {
                if (sscanf(line, "%*s %47s %*s %x", local, &state) != 2 || strcmp(local, ours) != 0)
                        continue;
                if (a->type == SOCK_DGRAM || state == STATE_LISTEN)
                        return true;
        }

        return false;
}
