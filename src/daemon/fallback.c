#include "daemon/fallback.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027 /* Linux 6.10 */
#endif

static bool opens(int fd) {
        bool is_open = fd >= 0;

        (void) fd_close(fd);
        return is_open;
}

static bool has_pidfd(void) {
        return opens((int) syscall(SYS_pidfd_open, getpid(), 0));
}

static bool has_kcmp(void) {
        return fcntl(STDERR_FILENO, F_DUPFD_QUERY, STDERR_FILENO) >= 0 ||
               syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, STDERR_FILENO, STDERR_FILENO) >= 0;
}

static bool has_memfd(void) {
        return opens(memfd_create("fallback", MFD_CLOEXEC));
}

/* An empty range, beyond what a descriptor can be. */
static bool has_close_range(void) {
        return syscall(SYS_close_range, ~0U, ~0U, 0) >= 0;
}

static bool has_membarrier(void) {
        long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

        return commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL);
}

static bool has_sock_diag(void) {
        return opens(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

static bool has_ipv6(void) {
        return opens(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static const struct {
        bool (*is_there)(void);
        const char *sentence;
} fallbacks[] = {
        { has_ipv6, "no IPv6: \":PORT\" is IPv4 only, and an address of it cannot be opened" },
        { has_sock_diag,
          "no sock_diag: connections, half-open requests and strangers are not seen; a deploy does not wait for handshakes, and services need type = \"notify\"" },
        { has_membarrier, "no membarrier(): 50 ms stand in for a grace period of the kernel" },
        { has_pidfd, "no pidfd_open(): MAINPID= of a worker is refused, and one that leaves its "
                     "work to another process counts as ended" },
        { has_kcmp, "no kcmp(): stored descriptors are the same if their inode and flags are" },
        { has_memfd,
          "no memfd_create(): the state for a successor is in a nameless file of /dev/shm or /run" },
        { has_close_range,
          "no close_range(): what a library has left open without close-on-exec is "
          "not closed in workers" },
};

int fallback_list(char ***ret) {
        _cleanup_strv_ char **list = NULL;

        for (size_t i = 0; i < ELEMENTS_OF(fallbacks); i++) {
                int r = fallbacks[i].is_there() ? 0 : strv_push(&list, fallbacks[i].sentence);

                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(list);
        return 0;
}
