#include "daemon/fallback.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "daemon/worker/process.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
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

static bool can_signal(void) {
        _cleanup_close_ int own = (int) syscall(SYS_pidfd_open, getpid(), 0);

        return own < 0 || syscall(SYS_pidfd_send_signal, own, 0, NULL, 0) >= 0;
}

static bool has_ends(void) {
        _cleanup_close_ int own = (int) syscall(SYS_pidfd_open, getpid(), 0);

        return own < 0 || process_kernel_tells_ends(own);
}

static bool has_peer_pidfd(void) {
        int ends[2], pidfd = -EBADF;
        socklen_t size = sizeof(pidfd);
        bool has = true;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return true; /* not known */

        has = getsockopt(ends[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) >= 0 ||
              errno != ENOPROTOOPT;
        (void) fd_close(pidfd);
        (void) fd_close(ends[0]);
        (void) fd_close(ends[1]);
        return has;
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

/* Where it is switched off nothing has an address of it, not even the loopback device. */
static bool has_ipv6_addresses(void) {
        const struct sockaddr_in6 address = { .sin6_family = AF_INET6,
                                              .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd < 0 || bind(fd, (const struct sockaddr *) &address, sizeof(address)) >= 0 ||
               errno != EADDRNOTAVAIL;
}

static bool has_net_admin(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int bytes = 65536;

        return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) >= 0 ||
               errno != EPERM;
}

static bool keeps_in_place(void) {
        _cleanup_close_ int fd = open("/proc/sys/net/ipv4/tcp_migrate_req", O_RDONLY | O_CLOEXEC);
        char digit = '0';

        return fd < 0 || read(fd, &digit, 1) < 1 || digit == '0';
}

static const struct {
        bool (*is_there)(void);
        const char *sentence;
} fallbacks[] = {
        { has_ipv6, "no IPv6: \":PORT\" is IPv4 only, and an address of it cannot be opened" },
        { has_ipv6_addresses,
          "IPv6 is switched off: an address of it cannot be opened; \":PORT\" serves IPv4" },
        { has_sock_diag,
          "no sock_diag: connections, half-open requests and strangers are not seen; a deploy does not wait for handshakes, and services need type = \"notify\"" },
        { has_membarrier, "no membarrier(): 50 ms stand in for a grace period of the kernel" },
        { has_pidfd, "no pidfd_open(): MAINPID= of a worker is refused, and one that leaves its "
                     "work to another process counts as ended" },
        { can_signal, "no pidfd_send_signal(): workers are sent signals by their pids" },
        { has_ends, "no PIDFD_GET_INFO: how a worker ended that is not our child is not known" },
        { has_peer_pidfd, "no SO_PEERPIDFD: who takes an endpoint is looked up by the pid that it "
                          "had when it connected" },
        { has_kcmp, "no kcmp(): stored descriptors are the same if their inode and flags are" },
        { has_memfd,
          "no memfd_create(): the state for a successor is in a nameless file of /dev/shm or /run" },
        { has_close_range,
          "no close_range(): what a library has left open without close-on-exec is "
          "not closed in workers" },
        { has_net_admin,
          "no CAP_NET_ADMIN: receive_buffer and send_buffer end at net.core.rmem_max and wmem_max, "
          "and other options may be refused" },
        { keeps_in_place,
          "net.ipv4.tcp_migrate_req is on: who waits at a socket that a worker shuts goes to any "
          "other of its address, also of another generation" },
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
