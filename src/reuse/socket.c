/* One socket at a time: what the Go packages offer.
 *
 * TCP sets SO_REUSEADDR and SO_REUSEPORT, so that an old and a new socket of whatever make rebind
 * through TIME_WAIT.  UDP sets SO_REUSEPORT only: two UDP sockets that both have SO_REUSEADDR share a
 * port across uids on Linux, and the newest takes everything.
 */

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
                defined(__DragonFly__)
#include <sys/sysctl.h>
#endif

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/socket.h"

#ifdef SO_REUSEPORT_LB /* FreeBSD: its SO_REUSEPORT gives all to the newest */
#define SHARE_PORT SO_REUSEPORT_LB
#else
#define SHARE_PORT SO_REUSEPORT
#endif

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)

static int set_flag(int fd, int option) {
        static const int on = 1;

        return setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

int reuse_socket_new(const ReuseAddress *a, bool nonblock) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        assert(a);

#ifdef SOCK_CLOEXEC
        fd = socket(a->sa.sa_family, a->type | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
        if (fd < 0)
                return -errno;
#else
        fd = socket(a->sa.sa_family, a->type, 0);
        if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        r = fd_set_nonblock(fd, nonblock);
        if (r < 0)
                return r;
#endif

        if (a->sa.sa_family == AF_INET6) {
                int only = !a->is_dual_stack;

                r = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
                if (r < 0)
                        return -errno;
        }

        return TAKE_FD(fd);
}

int reuse_socket_share(int fd, int type, ReuseSharing sharing) {
        int r;

        if (type == SOCK_STREAM) {
                r = set_flag(fd, SO_REUSEADDR);
                if (r < 0)
                        return REUSE_EFAILED;
        }

        if (sharing == REUSE_SHARING_EXCLUSIVE)
                return 0;

        r = set_flag(fd, SHARE_PORT);
        return r < 0 ? REUSE_EFAILED : 0;
}

static bool probe_available(void) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0) /* no IPv4 here, or no descriptors now: this is not an answer */
                fd = socket(AF_INET6, SOCK_STREAM, 0);

        return fd < 0 || set_flag(fd, SHARE_PORT) != -ENOPROTOOPT;
}

bool reuse_available(void) {
        static int answer; /* 0: not asked yet; two threads that ask at once get the same */
        int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);

        if (known == 0) {
                known = probe_available() ? 1 : -1;
                __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
        }

        return known > 0;
}

int reuse_somaxconn_read(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char line[32], *end;
        unsigned long value;
        ssize_t n;

        n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
        if (n <= 0)
                return SOMAXCONN;

        line[n] = '\0';
        value = strtoul(line, &end, 10);
        if (end == line || *end != '\n' || value == 0 || value > INT32_MAX)
                return SOMAXCONN;

        return (int) value;
}

int reuse_somaxconn(void) {
#if defined(__APPLE__) || defined(__NetBSD__) || defined(__FreeBSD__) || defined(__DragonFly__)
        int value;
        size_t size = sizeof(value);

        if (sysctlbyname("kern.ipc.somaxconn", &value, &size, NULL, 0) >= 0 && value > 0)
                return value;
        return SOMAXCONN;
#else
        return reuse_somaxconn_read("/proc/sys/net/core/somaxconn");
#endif
}

int reuse_socket_listen(int fd, int backlog) {
        /* every kernel cuts what is too large to its limit, which we need not read for that */
        return listen(fd, backlog > 0 ? backlog : INT32_MAX) < 0 ? -errno : 0;
}

/* A socket that shares its port, with the caller's options, bound. */
static int open_bound_at(const ReuseAddress *address, const ReuseOptions *options) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_socket_new(address, /* nonblock= */ false);
        if (fd < 0)
                return fd;

        r = reuse_socket_share(fd, address->type, REUSE_SHARING_FULL);
        if (r < 0)
                return r;

        if (options) {
                r = reuse_sockopts_apply(fd, options->sockopts, options->n_sockopts, NULL);
                if (r < 0)
                        return r;
        }

        if (bind(fd, &address->sa, address->length) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static int open_bound(const char *network, const char *text, int type,
                      const ReuseOptions *options) {
        ReuseAddress address;
        int r;

        if (reuse_network_type(network) != type)
                return REUSE_EPROTOCOL;

        r = reuse_address_resolve(network, text, REUSE_RESOLVE_ASSUME_DUAL, &address, 1);
        if (r < 0)
                return r;

        r = open_bound_at(&address, options);
        if (r >= 0 || !address.is_dual_stack)
                return r;

        /* perhaps there is no dual-stack here: then it is IPv4, and the same error otherwise */
        address = reuse_address_wildcard(&address, AF_UNSPEC);
        return address.is_dual_stack ? r : open_bound_at(&address, options);
}

int reuse_listen(const char *network, const char *address, const ReuseOptions *options) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_bound(network, address, SOCK_STREAM, options);
        if (fd < 0)
                return fd;

        r = reuse_socket_listen(fd, options ? options->backlog : 0);
        return r < 0 ? r : TAKE_FD(fd);
}

int reuse_listen_packet(const char *network, const char *address, const ReuseOptions *options) {
        return open_bound(network, address, SOCK_DGRAM, options);
}

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* Milliseconds for poll(), rounded up; -1 for ever. */
static int remaining_msec(uint64_t deadline_usec) {
        uint64_t now, msec;

        if (deadline_usec == 0)
                return -1;

        now = now_usec();
        if (now >= deadline_usec)
                return 0;

        msec = (deadline_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        return msec > INT32_MAX ? INT32_MAX : (int) msec;
}

/* Waits until connect() has ended one way or the other. */
static int wait_connected(int fd, int cancel_fd, uint64_t deadline_usec) {
        struct pollfd polled[] = {
                { .fd = fd, .events = POLLOUT },
                { .fd = cancel_fd > 0 ? cancel_fd : -1, .events = POLLIN },
        };
        socklen_t size = sizeof(int);
        int error, n;

        do
                n = poll(polled, ELEMENTS_OF(polled), remaining_msec(deadline_usec));
        while (n < 0 && errno == EINTR);

        if (n < 0)
                return -errno;
        if (n == 0)
                return -ETIMEDOUT;
        if (!polled[0].revents)
                return -ECANCELED;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                return -errno;

        return -error;
}

/* A socket that has connected to itself: its own port as source reached no listener.  Closed by a
 * reset, so that nothing of the pair stays and close() waits for nothing. */
static bool is_self(int fd, const ReuseAddress *remote) {
        static const struct linger reset = { .l_onoff = 1 };
        ReuseAddress us = { .type = remote->type, .length = sizeof(us.storage) };

        if (getsockname(fd, &us.sa, &us.length) < 0 || !reuse_address_equal(&us, remote))
                return false;

        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        return true;
}

static int dial_one(const ReuseAddress *local, const ReuseAddress *remote,
                    const ReuseOptions *options, uint64_t deadline_usec) {
        bool may_be_stopped = deadline_usec > 0 || options->cancel_fd > 0;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_socket_new(remote, may_be_stopped);
        if (fd < 0)
                return fd;

        r = reuse_socket_share(fd, remote->type, REUSE_SHARING_FULL);
        if (r >= 0)
                r = reuse_sockopts_apply(fd, options->sockopts, options->n_sockopts, NULL);
        if (r < 0)
                return r;

        if (local && bind(fd, &local->sa, local->length) < 0)
                return -errno;

        r = connect(fd, &remote->sa, remote->length) < 0 ? -errno : 0;
        if (r == -EINPROGRESS || r == -EINTR) /* a signal does not stop it either */
                r = wait_connected(fd, options->cancel_fd, deadline_usec);
        if (r >= 0 && is_self(fd, remote))
                r = REUSE_ESELF;
        if (r >= 0 && may_be_stopped)
                r = fd_set_nonblock(fd, false);

        return r < 0 ? r : TAKE_FD(fd);
}

/* What to bind to before connecting to @remote; 0, or REUSE_EADDRESS if the two cannot meet.  A
 * wildcard is of either family, since ":80" and "[::]:80" are what a listener was opened with. */
static int match_local(const ReuseAddress *local, const ReuseAddress *remote, ReuseAddress *ret) {
        int family = remote->sa.sa_family;

        if (reuse_address_is_wildcard(local))
                *ret = reuse_address_wildcard(local, family);
        else if (local->sa.sa_family == family)
                *ret = *local;
        else
                return REUSE_EADDRESS;

        return 0;
}

/* Nowhere is no place to connect to; Go means this host by it, over IPv4 unless "tcp6" or "udp6". */
static void wildcard_to_loopback(ReuseAddress *a) {
        if (!reuse_address_is_wildcard(a))
                return;

        if (a->sa.sa_family == AF_INET6 && a->is_dual_stack)
                *a = reuse_address_wildcard(a, AF_INET);

        if (a->sa.sa_family == AF_INET6)
                a->in6.sin6_addr = in6addr_loopback;
        else
                a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static int dial_all(const ReuseAddress *local, const ReuseAddress *remotes, size_t n,
                    const ReuseOptions *options) {
        uint64_t deadline_usec = options->timeout_usec > 0 ? now_usec() + options->timeout_usec : 0;
        int r = REUSE_EADDRESS;

        for (size_t i = 0; i < n; i++) {
                ReuseAddress matched;
                int q = 0;

                if (local)
                        q = match_local(local, remotes + i, &matched);
                if (q < 0)
                        continue; /* a name may have addresses of both families */
                if (local && reuse_address_equal(&matched, remotes + i))
                        return REUSE_ESELF;

                r = dial_one(local ? &matched : NULL, remotes + i, options, deadline_usec);
                if (r >= 0 || r == -ETIMEDOUT || r == -ECANCELED)
                        return r;
        }

        return r;
}

int reuse_dial(const char *network, const char *local_address, const char *remote_address,
               const ReuseOptions *options) {
        static const ReuseOptions defaults;
        ReuseAddress local, remotes[REUSE_RESOLVED_MAX];
        bool has_local = local_address && *local_address;
        int n, r;

        n = reuse_address_resolve(network, remote_address, REUSE_RESOLVE_ASSUME_DUAL, remotes,
                                  ELEMENTS_OF(remotes));
        if (n < 0)
                return n;

        if (has_local) {
                r = reuse_address_parse(network, local_address, /* numeric_only= */ false, &local);
                if (r < 0)
                        return r;
        }

        for (int i = 0; i < n; i++)
                wildcard_to_loopback(remotes + i);

        return dial_all(has_local ? &local : NULL, remotes, (size_t) n,
                        options ? options : &defaults);
}
