#include "daemon/store/fd-store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027 /* Linux 6.10 */
#endif

#define N_EVENTS 64

/* A system call each: thousands that share one inode must not become millions of calls.  What is then kept
 * twice counts twice. */
#define N_COMPARED_MAX 128U

typedef struct Entry {
        int fd;
        bool is_polled;
        dev_t device; /* the same open file has the same inode: who differs need not be compared */
        ino_t inode;
        char name[FD_STORE_NAME_MAX + 1];
} Entry;

struct FdStore {
        Entry *entries;
        size_t n, n_reserved;
        size_t names_bytes, names_max_bytes;
        int epoll_fd;
        FdStoreHandler on_drop; /* NULL: nobody cares */
        void *userdata;
        dev_t anonymous_device; /* what all have that are neither file nor socket, in older kernels */
        ino_t anonymous_inode;
};

bool fd_name_is_valid(const char *name) {
        size_t n;

        for (n = 0; name[n]; n++)
                if (name[n] < ' ' || name[n] >= 127 || name[n] == ':' || n >= FD_STORE_NAME_MAX)
                        return false;

        return true;
}

void fd_close_foreign(int fd) {
        struct linger linger;
        socklen_t size = sizeof(linger);

        if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0 && linger.l_onoff &&
            linger.l_linger > 0) {
                linger.l_onoff = 0;
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        }
        (void) fd_close(fd);
}

int fd_store_new(size_t n_reserved, size_t names_max_bytes, FdStore **ret) {
        _cleanup_(fd_store_freep) FdStore *s = NULL;
        struct stat st;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;

        s->epoll_fd = -EBADF;
        s->names_max_bytes = names_max_bytes;
        s->entries = calloc(n_reserved + 1, sizeof(Entry));
        if (!s->entries)
                return -ENOMEM;
        s->n_reserved = n_reserved;

        s->epoll_fd = fd_move_above_stdio(epoll_create1(EPOLL_CLOEXEC));
        if (s->epoll_fd < 0 || fstat(s->epoll_fd, &st) < 0)
                return -errno;

        s->anonymous_device = st.st_dev;
        s->anonymous_inode = st.st_ino;
        *ret = TAKE_PTR(s);
        return 0;
}

void fd_store_on_drop(FdStore *s, FdStoreHandler handler, void *userdata) {
        s->on_drop = handler;
        s->userdata = userdata;
}

FdStore *fd_store_free(FdStore *s) {
        if (!s)
                return NULL;

        fd_store_clear(s);
        s->epoll_fd = fd_close(s->epoll_fd);
        free(s->entries);
        free(s);
        return NULL;
}

/* ---- is it there already? ---- */

/* Whether two descriptors of the same inode are the same open file. */
static bool is_same_file(const FdStore *s, const Entry *e, int fd) {
        long r;

        r = fcntl(e->fd, F_DUPFD_QUERY, fd);
        if (r >= 0)
                return r == 1;
        r = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, e->fd, fd);
        if (r >= 0)
                return r == 0;

        /* Neither is allowed here.  Two ends of a pipe differ in their flags; what has no inode of its own
         * cannot be told apart, and to keep it twice harms nobody. */
        if (e->device == s->anonymous_device && e->inode == s->anonymous_inode)
                return false;
        return fcntl(e->fd, F_GETFL) == fcntl(fd, F_GETFL);
}

static bool has(const FdStore *s, int fd, const struct stat *st) {
        unsigned n_compared = 0;

        for (size_t i = s->n; i-- > 0 && n_compared < N_COMPARED_MAX;) {
                const Entry *e = &s->entries[i];

                if (e->inode != st->st_ino || e->device != st->st_dev)
                        continue;
                if (is_same_file(s, e, fd))
                        return true;
                n_compared++;
        }

        return false;
}

int fd_store_find(const FdStore *s, int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;

        for (size_t i = 0; i < s->n; i++) {
                const Entry *e = &s->entries[i];

                if (e->inode == st.st_ino && e->device == st.st_dev && e->fd != fd &&
                    is_same_file(s, e, fd))
                        return e->fd;
        }

        return -ENOENT;
}

/* ---- in and out ---- */

static int reserve(FdStore *s) {
        size_t n_wanted = s->n_reserved * 2 + 8;
        Entry *more;

        if (s->n < s->n_reserved)
                return 0;

        more = reallocarray(s->entries, n_wanted, sizeof(Entry));
        if (!more)
                return -ENOMEM;

        s->entries = more;
        s->n_reserved = n_wanted;
        return 0;
}

/* Returns 1, 0 if it is one that cannot hang up, or a negative errno. */
static int watch(FdStore *s, int fd) {
        struct epoll_event event = { .data.fd = fd }; /* EPOLLHUP and EPOLLERR are always meant */

        if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) >= 0)
                return 1;

        return errno == EPERM ? 0 : -errno;
}

static int put(FdStore *s, size_t n_max, const char *name, bool is_polled, int fd) {
        size_t length = strlen(name);
        struct stat st;
        Entry *e;
        int r;

        if (s->n >= n_max)
                return -ENOSPC;
        if (s->names_bytes + length + 1 > s->names_max_bytes)
                return -E2BIG;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (has(s, fd, &st))
                return 0;

        r = reserve(s);
        if (r >= 0 && is_polled)
                r = watch(s, fd);
        if (r < 0)
                return r;

        e = &s->entries[s->n++];
        *e = (Entry){
                .fd = fd,
                .is_polled = is_polled,
                .device = st.st_dev,
                .inode = st.st_ino,
        };
        memcpy(e->name, name, length + 1);
        s->names_bytes += length + 1;
        return 1;
}

int fd_store_put(FdStore *s, size_t n_max, const char *name, bool is_polled, int fd) {
        int r;

        assert(!name || fd_name_is_valid(name));

        r = put(s, n_max, name ?: FD_STORE_DEFAULT_NAME, is_polled, fd);
        if (r <= 0)
                fd_close_foreign(fd);
        return r;
}

/* The watch goes first: it stays while anybody holds the open file, and its number means another soon. */
static void drop(FdStore *s, Entry *e) {
        if (s->on_drop)
                s->on_drop(e->fd, s->userdata);
        (void) epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, e->fd, NULL); /* ENOENT: it was not watched */
        fd_close_foreign(e->fd);
        e->fd = -EBADF;
        s->names_bytes -= strlen(e->name) + 1;
}

/* Closes the gaps, in one go.  Returns how many there were. */
static size_t pack(FdStore *s) {
        size_t n = 0, n_gaps;

        for (size_t i = 0; i < s->n; i++)
                if (s->entries[i].fd >= 0) {
                        if (n < i)
                                s->entries[n] = s->entries[i];
                        n++;
                }

        n_gaps = s->n - n;
        s->n = n;
        return n_gaps;
}

size_t fd_store_remove(FdStore *s, const char *name, size_t n_max) {
        size_t n = 0;

        for (size_t i = 0; i < s->n && n < n_max; i++)
                if (strcmp(s->entries[i].name, name ?: FD_STORE_DEFAULT_NAME) == 0) {
                        drop(s, &s->entries[i]);
                        n++;
                }

        return pack(s);
}

void fd_store_drop(FdStore *s, int fd) {
        for (size_t i = 0; i < s->n; i++)
                if (s->entries[i].fd == fd) {
                        drop(s, &s->entries[i]);
                        break;
                }

        (void) pack(s);
}

void fd_store_clear(FdStore *s) {
        for (size_t i = 0; i < s->n; i++)
                drop(s, &s->entries[i]);
        (void) pack(s);
}

int fd_store_poll_fd(const FdStore *s) {
        return s->epoll_fd;
}

size_t fd_store_drop_hung(FdStore *s) {
        struct epoll_event events[N_EVENTS];
        int n;

        n = epoll_wait(s->epoll_fd, events, N_EVENTS, 0);
        for (int k = 0; k < n; k++)
                for (size_t i = 0; i < s->n; i++)
                        if (s->entries[i].fd == events[k].data.fd) {
                                drop(s, &s->entries[i]);
                                break;
                        }

        return pack(s);
}

/* ---- what is there ---- */

size_t fd_store_n(const FdStore *s) {
        return s ? s->n : 0;
}

int fd_store_fd(const FdStore *s, size_t i) {
        assert(i < s->n);
        return s->entries[i].fd;
}

const char *fd_store_name(const FdStore *s, size_t i) {
        assert(i < s->n);
        return s->entries[i].name;
}

bool fd_store_is_polled(const FdStore *s, size_t i) {
        assert(i < s->n);
        return s->entries[i].is_polled;
}
