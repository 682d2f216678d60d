#include "base/fd.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                if (close(fd) < 0)
                        assert(errno != EBADF); /* somebody else closed what we own */
                errno = saved;
        }

        return -EBADF;
}

int fd_move_above_stdio(int fd) {
        int copy;

        if (fd < 0 || fd > STDERR_FILENO)
                return fd;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy < 0)
                copy = -errno;

        (void) fd_close(fd);
        return copy;
}

int fd_set_nonblock(int fd, bool nonblock) {
        int flags, wanted;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0)
                return -errno;

        wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (wanted == flags)
                return 0;

        return fcntl(fd, F_SETFL, wanted) < 0 ? -errno : 1;
}
