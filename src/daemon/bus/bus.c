#include "daemon/bus/bus.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-event.h"
#include "daemon/bus/bus-public.h"
#include "daemon/bus/bus-socket.h"
#include "daemon/bus/bus-take.h"
#include "daemon/manager.h"
#include "daemon/reserve.h"
#include "daemon/timer.h"

#define ACCEPTS_PER_TURN    64U
#define PEER_GROUPS_MAX     1024U
#define CLIENT_FDS          4 /* that one needs */
#define RESERVE_CLIENTS_MAX 2U

/* ---- who may come in ---- */

static bool is_in_group(int fd, gid_t primary, gid_t wanted) {
        gid_t groups[PEER_GROUPS_MAX];
        socklen_t size = sizeof(groups);

        if (primary == wanted)
                return true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;

        for (size_t i = 0; i < size / sizeof(gid_t); i++)
                if (groups[i] == wanted)
                        return true;

        return false;
}

static bool may_connect(const Bus *b, int fd, const struct ucred *who) {
        if (who->uid == 0 || who->uid == geteuid())
                return true;

        return b->has_group && is_in_group(fd, who->gid, b->group);
}

static unsigned n_clients_of(const Bus *b, uid_t uid) {
        const BusClient *c;
        unsigned n = 0;

        TAILQ_FOREACH(c, &b->clients, others)
                n += c->uid == uid && !c->only_takes ? 1 : 0;

        return n;
}

static bool has_room_for(const Bus *b, uid_t uid) {
        if (uid == 0)
                return b->n_clients < BUS_CLIENTS_MAX;

        return b->n_clients < BUS_CLIENTS_MAX - 1 && n_clients_of(b, uid) < BUS_CLIENTS_PER_UID_MAX;
}

/* A line of the D-Bus authentication protocol, so that the other side knows that it was meant. */
static void refuse(Bus *b, int fd, const char *line) {
        b->n_refused++;
        (void) send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* When descriptors are scarce, somebody must still be able to ask why. */
static bool is_worth_the_reserve(const Bus *b, uid_t uid) {
        return (uid == 0 || uid == geteuid()) && b->n_clients < RESERVE_CLIENTS_MAX;
}

/* @fd         taken always
 * @is_scarce  it could be accepted by the reserve only */
static void admit(Bus *b, int fd, bool is_scarce) {
        _cleanup_close_ int own = fd;
        socklen_t size = sizeof(struct ucred);
        struct ucred who;
        BusClient *c;
        int r;

        if (getsockopt(own, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
                return;
        if (!may_connect(b, own, &who)) {
                log_debug("Control: uid %u (pid %d) is refused", who.uid, (int) who.pid);
                refuse(b, own, "REJECTED\r\n");
                return;
        }
        if (!has_room_for(b, who.uid)) {
                log_debug("Control: there are too many clients for one more of uid %u", who.uid);
                refuse(b, own, "ERROR too many clients\r\n");
                return;
        }

        if (is_scarce && !is_worth_the_reserve(b, who.uid)) {
                log_debug("Control: there are no descriptors for a client of uid %u", who.uid);
                refuse(b, own, "ERROR no descriptors are left\r\n");
                return;
        }

        r = bus_client_new(b, TAKE_FD(own), &who, /* only_takes= */ false, &c);
        if (r < 0)
                log_warning("Control: a client could not be taken: %s", strerror(-r));
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *b = userdata;

        (void) sd_event_source_set_enabled(b->io, SD_EVENT_ON);
        return 0;
}

static int accept_client(int fd) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        return peer < 0 ? -errno : fd_move_above_stdio(peer);
}

static bool has_room_for_one(void) {
        int fds[CLIENT_FDS - 1], n = 0;
        bool has_room;

        while (n < (int) ELEMENTS_OF(fds) &&
               (fds[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) >= 0)
                n++;

        has_room = n == (int) ELEMENTS_OF(fds);
        while (n > 0)
                (void) fd_close(fds[--n]);
        return has_room;
}

/* Returns 0 or a negative errno; -EAGAIN: there is nobody. */
static int take_client(Bus *b, int fd) {
        int peer = accept_client(fd);
        bool is_scarce = reserve_lend(peer);

        if (is_scarce)
                peer = accept_client(fd);
        else if (peer >= 0 && !has_room_for_one())
                is_scarce = reserve_lend(-EMFILE);
        if (peer >= 0)
                admit(b, peer, is_scarce);
        if (is_scarce)
                (void) reserve_fill();

        return peer < 0 ? peer : 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Bus *b = userdata;
        int r = 0;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN && r >= 0; i++)
                r = take_client(b, fd);

        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS) {
                /* It stays readable, and asking again at once would keep us busy. */
                (void) sd_event_source_set_enabled(b->io, SD_EVENT_OFF);
                (void) timer_arm(b->manager->event, &b->pause, BUS_PAUSE_USEC, on_pause_over, b);
        }
        return 0;
}

/* ---- the socket ---- */

static BusAccess access_of(const BusOptions *options) {
        return (BusAccess){ options->mode, options->has_group, options->group };
}

static int open_socket(Bus *b, const BusOptions *options) {
        const BusAccess access = access_of(options);
        _cleanup_free_ char *path = strdup(options->path);
        int r;

        r = path ? bus_socket_open(path, &access, &b->fd) : -ENOMEM;
        if (r >= 0)
                b->path = TAKE_PTR(path);
        return r;
}

static void close_socket(Bus *b) {
        b->io = sd_event_source_disable_unref(b->io);
        b->fd = fd_close(b->fd);
        if (b->path)
                (void) unlink(b->path);
        free(b->path);
        b->path = NULL;
}

/* One that comes from before. */
static int take_socket(Bus *b, const BusOptions *options) {
        const BusAccess access = access_of(options);

        b->fd = options->fd;
        b->path = strdup(options->path);
        return b->path ? bus_socket_set_access(b->path, &access) : -ENOMEM;
}

static int open_bus(Bus *b, const BusOptions *options) {
        int r;

        r = options->fd >= 0 ? take_socket(b, options) : open_socket(b, options);
        if (r >= 0)
                r = sd_event_add_io(b->manager->event, &b->io, b->fd, EPOLLIN, on_connection, b);
        if (r < 0) {
                log_error("Cannot open the control socket %s: %s", options->path,
                          r == -EADDRINUSE ? "somebody listens there" : strerror(-r));
                return r;
        }

        b->mode = options->mode;
        b->has_group = options->has_group;
        b->group = options->group;
        return 0;
}

/* Another place: the new one is open before the old one is closed. */
static void move(Bus *b, const BusOptions *options) {
        Bus old = *b;

        b->path = NULL;
        b->fd = -EBADF;
        b->io = NULL;
        if (open_bus(b, options) >= 0) {
                close_socket(&old);
                return;
        }

        close_socket(b);
        b->path = old.path;
        b->fd = old.fd;
        b->io = old.io;
}

/* Its place follows from ours. */
static void open_take(Bus *b, const BusOptions *options) {
        if (!options->has_take || (b->take && !bus_take_is_beside(b->take, b->path)))
                b->take = bus_take_free(b->take);
        if (options->has_take && !b->take)
                (void) bus_take_new(b, b->path, &b->take); /* it says why not */
}

static void open_public(Bus *b, const BusOptions *options) {
        if (b->public && b->use_outer == options->use_outer)
                return;

        b->public = bus_public_free(b->public);
        b->use_outer = options->use_outer;
        if (b->use_outer != USE_OUTER_BUS_NO &&
            bus_public_new(b, b->use_outer == USE_OUTER_BUS_YES, &b->public) < 0)
                log_error("No memory for the system bus");
}

static void reopen(Bus *b, const BusOptions *options) {
        const BusAccess access = access_of(options);
        int r;

        if (strcmp(b->path, options->path) != 0) {
                move(b, options);
                return;
        }
        if (b->mode == options->mode && b->has_group == options->has_group &&
            b->group == options->group)
                return;

        r = bus_socket_set_access(b->path, &access);
        if (r < 0) {
                log_error("The access to %s cannot be changed: %s", b->path, strerror(-r));
                return;
        }

        b->mode = options->mode;
        b->has_group = options->has_group;
        b->group = options->group;
}

void bus_configure(Bus *b, const BusOptions *options) {
        reopen(b, options);
        open_take(b, options);
        open_public(b, options);
}

int bus_new(Manager *manager, const BusOptions *options, Bus **ret) {
        _cleanup_(bus_freep) Bus *b = NULL;
        int r;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;

        b->manager = manager;
        b->fd = -EBADF;
        TAILQ_INIT(&b->clients);

        b->events = calloc(BUS_EVENTS_MAX, sizeof(BusEvent));
        if (!b->events)
                return -ENOMEM;

        r = open_bus(b, options);
        if (r < 0)
                return r;

        open_take(b, options);
        open_public(b, options);
        *ret = TAKE_PTR(b);
        return 0;
}

Bus *bus_free(Bus *b) {
        BusClient *c, *next;

        if (!b)
                return NULL;

        for (c = TAILQ_FIRST(&b->clients); c; c = next) {
                next = TAILQ_NEXT(c, others);
                (void) bus_client_free(c);
        }
        b->take = bus_take_free(b->take);
        b->public = bus_public_free(b->public);
        b->flush = sd_event_source_disable_unref(b->flush);
        b->pause = timer_disarm(b->pause);
        b->again = timer_disarm(b->again);
        close_socket(b);
        free(b->events);
        free(b);
        return NULL;
}
