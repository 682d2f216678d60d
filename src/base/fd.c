#include "base/fd.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
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

        if (fd < 0)
                return -errno;
        if (fd > STDERR_FILENO)
                return fd;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy < 0)
                copy = -errno;

        (void) fd_close(fd);
        return copy;
}

int fd_open_memory(const char *name) {
        static const char *const places[] = { "/dev/shm", "/run" };
        int fd = fd_move_above_stdio(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));

        for (size_t i = 0; i < ELEMENTS_OF(places) && (fd == -ENOSYS || fd == -EPERM); i++) {
                int other = fd_move_above_stdio(
                                open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));

                if (other >= 0)
                        return other;
        }

        return fd;
}

/* Those that are still needed make way before their number is taken. */
static int make_way(int *fds, size_t n_fds, int number, int above) {
        int other = -EBADF;

        for (size_t i = 0; i < n_fds; i++) {
                if (fds[i] != number)
                        continue;
                if (other < 0)
                        other = fcntl(number, F_DUPFD_CLOEXEC, above);
                if (other < 0)
                        return -errno;
                fds[i] = other;
        }

        return 0;
}

static bool is_among(const int *fds, size_t n_fds, int fd) {
        for (size_t i = 0; i < n_fds; i++)
                if (fds[i] == fd)
                        return true;

        return false;
}

int fd_arrange(int *fds, size_t n_fds, int first) {
        int end = first + (int) n_fds;

        for (size_t i = 0; i < n_fds; i++) {
                int number = first + (int) i, fd = fds[i], r;

                if (fd == number) {
                        if (fcntl(number, F_SETFD, 0) < 0)
                                return -errno;
                        continue;
                }

                r = make_way(fds + i + 1, n_fds - i - 1, number, end);
                if (r < 0)
                        return r;
                if (dup2(fd, number) < 0)
                        return -errno;
                /* One of an earlier place has the same number as it had to begin with, and stays. */
                if (!(fd >= first && fd < number) && !is_among(fds + i + 1, n_fds - i - 1, fd))
                        (void) close(fd);
        }

        return 0;
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
