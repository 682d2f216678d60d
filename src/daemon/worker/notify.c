#include "daemon/worker/notify.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "daemon/timer.h"
#include "daemon/worker/worker.h"

#define MESSAGE_SIZE_BYTES 4096U
#define N_FDS_MAX          253U  /* SCM_MAX_FD of the kernel */
#define ERRNO_MAX          4095U /* MAX_ERRNO of the kernel */
#define N_DRAIN_MAX        64U

/* At most so many messages in so long: the rest waits in the worker's own queue. */
#define RATE_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define RATE_BURST         100U

struct Notify {
        Worker *worker; /* borrowed */
        char *path;
        int fd;
        sd_event_source *source;
        uint64_t n_refused;
};

/* ---- the language ---- */

typedef void (*ReadWord)(const char *value, NotifyMessage *m);

static void read_ready(const char *value, NotifyMessage *m) {
        m->is_ready = strcmp(value, "1") == 0;
}

static void read_stopping(const char *value, NotifyMessage *m) {
        m->is_stopping = strcmp(value, "1") == 0;
}

static void read_reloading(const char *value, NotifyMessage *m) {
        m->is_reloading = strcmp(value, "1") == 0;
}

static void read_barrier(const char *value, NotifyMessage *m) {
        m->is_barrier = strcmp(value, "1") == 0;
}

static void read_watchdog(const char *value, NotifyMessage *m) {
        m->is_watchdog = strcmp(value, "1") == 0;
        m->has_watchdog_failed = strcmp(value, "trigger") == 0;
}

static void read_watchdog_usec(const char *value, NotifyMessage *m) {
        (void) parse_unsigned(value, UINT64_MAX - 1, &m->watchdog_usec);
}

static void read_extend_timeout(const char *value, NotifyMessage *m) {
        (void) parse_unsigned(value, UINT64_MAX - 1, &m->extend_timeout_usec);
}

static void read_main_pid(const char *value, NotifyMessage *m) {
        uint64_t pid;

        if (parse_unsigned(value, INT32_MAX, &pid) >= 0)
                m->main_pid = (pid_t) pid;
}

static void read_errno(const char *value, NotifyMessage *m) {
        uint64_t number;

        if (parse_unsigned(value, ERRNO_MAX, &number) >= 0)
                m->error = (int) number;
}

static void read_status(const char *value, NotifyMessage *m) {
        m->status = value;
}

static const struct {
        const char *name;
        ReadWord read;
} words[] = {
        { "READY", read_ready },
        { "STOPPING", read_stopping },
        { "RELOADING", read_reloading },
        { "BARRIER", read_barrier },
        { "WATCHDOG", read_watchdog },
        { "WATCHDOG_USEC", read_watchdog_usec },
        { "EXTEND_TIMEOUT_USEC", read_extend_timeout },
        { "MAINPID", read_main_pid },
        { "ERRNO", read_errno },
        { "STATUS", read_status },
};

void notify_message_parse(char *text, NotifyMessage *ret) {
        char *rest = text, *line;

        *ret = (NotifyMessage){ 0 };

        while ((line = strsep(&rest, "\n"))) {
                char *value = strchr(line, '=');

                if (!value)
                        continue;

                *value++ = '\0';
                for (size_t i = 0; i < ELEMENTS_OF(words); i++)
                        if (strcmp(words[i].name, line) == 0)
                                words[i].read(value, ret);
        }
}

/* ---- the socket ---- */

/* Nobody may leave descriptors with us.  A barrier is one that is waited for to be closed: by then all
 * earlier messages were acted on, since we read them in order.  Returns how many there were. */
static size_t close_fds(struct msghdr *message) {
        size_t n_closed = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;

                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        (void) fd_close(fd);
                }
                n_closed += n;
        }

        return n_closed;
}

/* Takes one message from the queue.  Returns 1 with what it says, 0 if it was refused, -EAGAIN if
 * there is none. */
static int receive(Notify *n, char *text, NotifyMessage *ret) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(N_FDS_MAX * sizeof(int))];
        } control;
        struct iovec part = { text, MESSAGE_SIZE_BYTES - 1 };
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        ssize_t length;
        size_t n_fds;

        length = recvmsg(n->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
        if (length < 0)
                return errno == EINTR ? 0 : -errno;

        n_fds = close_fds(&message);
        if (length == 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
            memchr(text, '\0', (size_t) length)) {
                n->n_refused++;
                return 0;
        }

        text[length] = '\0';
        notify_message_parse(text, ret);
        if (n_fds != (ret->is_barrier ? 1 : 0)) {
                n->n_refused++; /* what the words say still counts, as in systemd */
                ret->is_barrier = false;
        }

        return 1;
}

/* Returns false when there is nothing to read. */
static bool read_one(Notify *n) {
        char text[MESSAGE_SIZE_BYTES];
        NotifyMessage m;
        int r;

        r = receive(n, text, &m);
        if (r > 0)
                worker_on_message(n->worker, &m);

        return r >= 0;
}

void notify_drain(Notify *n) {
        for (unsigned i = 0; i < N_DRAIN_MAX && read_one(n); i++)
                ;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) read_one(userdata);
        return 0;
}

static int bind_to(const char *path, uid_t uid) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(path);
        mode_t before;
        int r, one = 1;

        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length + 1);

        fd = fd_move_above_stdio(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (fd < 0)
                return fd;
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
                return -errno;

        (void) unlink(path); /* left by one who was killed; the directory is locked by us */
        before = umask(0177);
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(before);
        if (r < 0)
                return r;

        if (uid != geteuid() && chown(path, uid, (gid_t) -1) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int notify_new(Worker *worker, sd_event *event, const char *path, uid_t uid, Notify **ret) {
        int fd = bind_to(path, uid);

        return fd < 0 ? fd : notify_adopt(worker, event, path, fd, ret);
}

int notify_adopt(Worker *worker, sd_event *event, const char *path, int fd, Notify **ret) {
        _cleanup_(notify_freep) Notify *n = NULL;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n) {
                (void) fd_close(fd);
                return -ENOMEM;
        }

        n->worker = worker;
        n->fd = fd;
        n->path = strdup(path);
        if (!n->path)
                return -ENOMEM;

        r = sd_event_add_io(event, &n->source, n->fd, EPOLLIN, on_readable, n);
        if (r < 0)
                return r;
        r = sd_event_source_set_ratelimit(n->source, RATE_INTERVAL_USEC, RATE_BURST);
        if (r < 0)
                return r;

        /* READY=1 must be seen before the death of the one who said it. */
        r = sd_event_source_set_priority(n->source, SD_EVENT_PRIORITY_NORMAL - 5);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(n);
        return 0;
}

Notify *notify_free(Notify *n) {
        if (!n)
                return NULL;

        n->source = sd_event_source_disable_unref(n->source);
        n->fd = fd_close(n->fd);
        if (n->path)
                (void) unlink(n->path);
        free(n->path);
        free(n);
        return NULL;
}

int notify_fd(const Notify *n) {
        return n->fd;
}

const char *notify_path(const Notify *n) {
        return n->path;
}

uint64_t notify_n_refused(const Notify *n) {
        return n->n_refused;
}
