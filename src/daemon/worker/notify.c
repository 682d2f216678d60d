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
#include "daemon/state/crash-point.h"
#include "daemon/store/fd-message.h"
#include "daemon/timer.h"
#include "daemon/worker/worker.h"

#define N_DRAIN_MAX 64U

/* At most so many messages in so long: the rest waits in the worker's own queue. */
#define RATE_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define RATE_BURST         100U
#define PAUSE_PER_FD_USEC  40U

struct Notify {
        Worker *worker;  /* borrowed; NULL: nobody's yet */
        sd_event *event; /* borrowed */
        char *path;
        int fd;
        sd_event_source *source;
        sd_event_source *pause; /* armed: it is not read */
        bool is_obeyed;         /* what the next message says of the store was done */
        bool is_waiting;        /* and is not yet where it should be: it is not read */
        uint64_t n_refused;
        bool is_left; /* the path is not ours to remove */
};

static void update_source(const Notify *n) {
        bool is_read = !n->is_waiting && timer_deadline(n->pause) == USEC_INFINITY;

        (void) sd_event_source_set_enabled(n->source, is_read ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        update_source(userdata);
        return 0;
}

void notify_go_on(Notify *n) {
        n->is_waiting = false;
        update_source(n);
}

/* Descriptors are dear: to take, to keep and to close hundreds takes longer than all else that a message can
 * ask for.  Who sends many at once is not listened to for a while. */
static void pay_for_fds(Notify *n, size_t n_fds) {
        if (n_fds > 1)
                (void) timer_arm(n->event, &n->pause, n_fds * PAUSE_PER_FD_USEC, on_pause_over, n);
        update_source(n);
}

/* A barrier is a descriptor that is waited for to be closed: by then all earlier messages were acted on,
 * since we read them in order.  Others were stored, or are refused; what the words that they came with say
 * still counts, as in systemd. */
static void check_fds(Notify *n, const NotifyMessage *m) {
        if (m->is_barrier && m->n_fds == 1)
                return;

        pay_for_fds(n, m->n_fds);
        for (size_t i = 0; i < m->n_fds; i++)
                if (m->fds[i] >= 0) {
                        n->n_refused++;
                        return;
                }
        n->n_refused += m->is_barrier; /* without one */
}

static void parse(FdMessage *message, NotifyMessage *ret) {
        notify_message_parse(message->text, ret);
        ret->fds = message->fds;
        ret->n_fds = message->n_fds;
}

/* Does what the next message says of the store.  Returns whether it may be taken out of the queue now. */
static bool obey_store(Notify *n, bool is_last) {
        FdMessage message;
        NotifyMessage m;
        StoreProgress progress;

        if (!n->worker || n->is_obeyed || fd_message_peek_text(n->fd, &message) <= 0)
                return true;
        parse(&message, &m);
        if (!worker_is_about_store(n->worker, &m) || fd_message_peek(n->fd, &message) <= 0)
                return true;

        parse(&message, &m);
        progress = worker_on_store(n->worker, &m);
        n->is_obeyed = progress != STORE_UNFINISHED;
        n->is_waiting = progress == STORE_WAITS && !is_last;
        check_fds(n, &m);
        fd_message_done(&message);
        return n->is_obeyed && !n->is_waiting;
}

/* @is_last  whoever said it is gone, and what it has stored will be where it should be
 *
 * Returns false when there is nothing to read. */
static bool read_one(Notify *n, bool is_last) {
        FdMessage message;
        NotifyMessage m;
        int r;

        if (!obey_store(n, is_last))
                return true;
        if (n->is_obeyed)
                CRASH_POINT("worker-obeyed");

        r = n->is_obeyed ? fd_message_receive_text(n->fd, &message)
                         : fd_message_receive(n->fd, &message);
        n->is_obeyed = n->is_waiting = false;
        if (r == 0)
                n->n_refused++;
        if (r <= 0)
                return r == 0;

        parse(&message, &m);
        if (n->worker)
                worker_on_message(n->worker, &m);
        check_fds(n, &m);
        fd_message_done(&message);
        return true;
}

void notify_drain(Notify *n) {
        for (unsigned i = 0; i < N_DRAIN_MAX && read_one(n, /* is_last= */ true); i++)
                ;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void) read_one(userdata, /* is_last= */ false);
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

/* @fd  taken always */
static int make(sd_event *event, const char *path, int fd, bool is_ours, Notify **ret) {
        _cleanup_(notify_freep) Notify *n = NULL;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n) {
                (void) fd_close(fd);
                return -ENOMEM;
        }

        n->event = event;
        n->is_left = !is_ours;
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

        n->is_left = false;
        *ret = TAKE_PTR(n);
        return 0;
}

int notify_open(sd_event *event, const char *path, uid_t uid, Notify **ret) {
        int fd = bind_to(path, uid);

        return fd < 0 ? fd : make(event, path, fd, /* is_ours= */ true, ret);
}

int notify_adopt(sd_event *event, const char *path, int fd, Notify **ret) {
        return make(event, path, fd, /* is_ours= */ false, ret);
}

void notify_leave(Notify *n) {
        n->is_left = true;
}

void notify_give(Notify *n, Worker *worker) {
        n->worker = worker;
}

Notify *notify_free(Notify *n) {
        if (!n)
                return NULL;

        n->source = sd_event_source_disable_unref(n->source);
        n->pause = timer_disarm(n->pause);
        n->fd = fd_close(n->fd);
        if (n->path && !n->is_left)
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
