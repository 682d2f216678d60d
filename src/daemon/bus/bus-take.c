#include "daemon/bus/bus-take.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-error.h"
#include "daemon/bus/bus-object.h"
#include "daemon/bus/bus-socket.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/take.h"
#include "daemon/timer.h"
#include "daemon/why.h"

#ifndef SO_PEERPIDFD /* Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

struct BusTake {
        Bus *bus; /* borrowed */
        char *path;
        int fd;
        sd_event_source *io;
        sd_event_source *pause; /* armed: there was no descriptor for one more */
};

/* ---- the method ---- */

/* The process that has connected, not another that has its number now.  Returns a descriptor of the
 * caller's, or a negative errno. */
static int open_peer(const BusClient *c) {
        socklen_t size = sizeof(int);
        int pidfd = -EBADF;

        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) >= 0)
                return pidfd;
        if (errno != ENOPROTOOPT)
                return -errno;

        pidfd = (int) syscall(SYS_pidfd_open, c->pid, 0);
        return pidfd < 0 ? -errno : pidfd;
}

static int append_descriptors(sd_bus_message *reply, const Taken *taken) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sh)");
        for (size_t i = 0; i < taken->n_fds && r >= 0; i++)
                r = sd_bus_message_append(reply, "(sh)", taken->names[i], taken->fds[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int reply_with(sd_bus_message *m, const Taken *taken) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_descriptors(reply, taken);
        if (r >= 0)
                r = sd_bus_message_append_strv(reply, taken->environment);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int bus_take_on_take(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;
        _cleanup_close_ int pidfd = -EBADF;
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *why = NULL;
        TakeRequest q = { .uid = c->uid, .pid = c->pid };
        Taken taken;
        int r, for_store;

        r = sd_bus_message_read_strv(m, &names);
        if (r >= 0)
                r = sd_bus_message_read(m, "b", &for_store);
        if (r < 0)
                return r;

        pidfd = fd_move_above_stdio(open_peer(c));
        if (pidfd == -ESRCH)
                return bus_error_set(reterr, pidfd, "Whoever asks for sockets is gone");
        if (pidfd < 0) {
                (void) why_say(&why, pidfd, "Who asks for sockets cannot be known: %s",
                               strerror(-pidfd));
                return bus_error_set(reterr, pidfd, why);
        }

        q.pidfd = pidfd;
        q.for_store = for_store;
        q.endpoints = names;
        r = take(c->bus->manager, &q, &taken, &why);
        if (r == -EACCES)
                log_note(LOG_NOTICE, MESSAGE_ACCESS_REFUSED, "Refused: uid %u (pid %d): %s", c->uid,
                         (int) c->pid, why ? why : "");
        if (r < 0)
                return bus_error_set(reterr, r, why);

        r = reply_with(m, &taken);
        taken_done(&taken);
        return r;
}

const sd_bus_vtable bus_take_vtable[] = {
        SD_BUS_VTABLE_START(0),
        BUS_TAKE_METHOD,
        SD_BUS_VTABLE_END,
};

/* ---- the socket ---- */

static bool has_room_for(const Bus *b, uid_t uid) {
        const BusClient *c;
        unsigned n = 0;

        if (uid == 0)
                return b->n_takers < BUS_CLIENTS_MAX;

        TAILQ_FOREACH(c, &b->clients, others)
                n += c->only_takes && c->uid == uid ? 1 : 0;

        return b->n_takers < BUS_TAKERS_MAX && n < BUS_TAKERS_PER_UID_MAX;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        BusTake *t = userdata;

        (void) sd_event_source_set_enabled(t->io, SD_EVENT_ON);
        return 0;
}

/* Who cannot be taken stays in the queue, and being told of him again at once would keep us busy. */
static void pause_accepting(BusTake *t) {
        (void) sd_event_source_set_enabled(t->io, SD_EVENT_OFF);
        (void) timer_arm(t->bus->manager->event, &t->pause, BUS_PAUSE_USEC, on_pause_over, t);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        BusTake *t = userdata;
        _cleanup_close_ int peer = -EBADF;
        socklen_t size = sizeof(struct ucred);
        struct ucred who;
        BusClient *c;
        int r;

        peer = fd_move_above_stdio(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (peer == -EMFILE || peer == -ENFILE || peer == -ENOMEM || peer == -ENOBUFS)
                pause_accepting(t);
        if (peer < 0 || getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
                return 0;
        if (!has_room_for(t->bus, who.uid)) {
                t->bus->n_refused++;
                return 0;
        }

        r = bus_client_new(t->bus, TAKE_FD(peer), &who, /* only_takes= */ true, &c);
        if (r < 0)
                log_warning("Control: a client could not be taken: %s", strerror(-r));
        return 0;
}

static char *place_beside(const char *control) {
        char *path;

        return asprintf(&path, "%s-take", control) < 0 ? NULL : path;
}

bool bus_take_is_beside(const BusTake *t, const char *control) {
        _cleanup_free_ char *path = place_beside(control);

        return path && strcmp(path, t->path) == 0;
}

int bus_take_new(Bus *b, const char *control, BusTake **ret) {
        const BusAccess everybody = { .mode = 0666 };
        BusTake *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;

        t->bus = b;
        t->fd = -EBADF;
        t->path = place_beside(control);
        r = t->path ? bus_socket_open(t->path, &everybody, &t->fd) : -ENOMEM;
        if (r >= 0)
                r = sd_event_add_io(b->manager->event, &t->io, t->fd, EPOLLIN, on_connection, t);
        if (r < 0) {
                log_error("Cannot open %s: %s; only root and our own user may take endpoints",
                          t->path ? t->path : "a socket", strerror(-r));
                (void) bus_take_free(t);
                return r;
        }

        *ret = t;
        return 0;
}

BusTake *bus_take_free(BusTake *t) {
        if (!t)
                return NULL;

        t->io = sd_event_source_disable_unref(t->io);
        t->pause = timer_disarm(t->pause);
        if (t->fd >= 0)
                (void) unlink(t->path);
        t->fd = fd_close(t->fd);
        free(t->path);
        free(t);
        return NULL;
}
