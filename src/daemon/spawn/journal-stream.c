#include "daemon/spawn/journal-stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define JOURNAL_STDOUT "/run/systemd/journal/stdout"

/* One line each: identifier, unit, priority, are there <N> prefixes, and to forward to syslog, the kernel's
 * log and the console: journald.conf(5) decides on that. */
#define HEADER "%s\n\n%d\n1\n0\n0\n0\n"

int journal_stream_open(const char *identifier, int priority) {
        const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_STDOUT };
        _cleanup_close_ int fd = -EBADF;
        char header[256];
        int length, r;

        length = snprintf(header, sizeof(header), HEADER, identifier, priority);
        if (length < 0 || (size_t) length >= sizeof(header))
                return -ENAMETOOLONG;

        fd = fd_move_above_stdio(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd < 0)
                return fd;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        /* Shorter than any socket buffer: all or nothing. */
        if (shutdown(fd, SHUT_RD) < 0)
                return -errno;
        if (send(fd, header, (size_t) length, MSG_NOSIGNAL) != length)
                return -EAGAIN;

        /* It becomes the output of a program, which knows nothing of sockets. */
        r = fd_set_nonblock(fd, /* nonblock= */ false);
        return r < 0 ? r : TAKE_FD(fd);
}
