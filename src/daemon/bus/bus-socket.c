#include "daemon/bus/bus-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define BACKLOG 128

static int make_address(const char *path, struct sockaddr_un *ret) {
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;

        memcpy(ret->sun_path, path, strlen(path));
        return 0;
}

/* Removes a socket that nobody listens at. */
static int remove_dead(const struct sockaddr_un *address) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0 ||
            errno == EAGAIN)
                return -EADDRINUSE;

        return unlink(address->sun_path) < 0 ? -errno : 0;
}

int bus_socket_set_access(const char *path, const BusAccess *access) {
        if (chown(path, (uid_t) -1, access->has_group ? access->group : getegid()) < 0 ||
            chmod(path, access->mode) < 0)
                return -errno;

        return 0;
}

int bus_socket_open(const char *path, const BusAccess *access, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address;
        mode_t before;
        int r;

        r = make_address(path, &address);
        if (r >= 0)
                r = remove_dead(&address);
        if (r < 0)
                return r;

        fd = fd_move_above_stdio(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd < 0)
                return fd;

        /* It is nobody's until we say whose it is. */
        before = umask(0777);
        r = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(before);
        if (r < 0)
                return r;

        r = bus_socket_set_access(path, access);
        if (r >= 0 && listen(fd, BACKLOG) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlink(path);
                return r;
        }

        *ret_fd = TAKE_FD(fd);
        return 0;
}
