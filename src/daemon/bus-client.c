#include "daemon/bus-client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bus-object.h"
#include "daemon/manager.h"
#include "daemon/timer.h"

#define FIRST_CALL_USEC    (5 * USEC_PER_SEC)
#define IDLE_USEC          (60 * USEC_PER_SEC)
#define MESSAGES_PER_TURN  16U
#define MESSAGE_SIZE_BYTES (256U * 1024U)
#define FRUITLESS_MAX      16U   /* sd-bus and libdbus write a message at once */
#define QUEUE_READ_STOP    16U   /* replies that were not taken: no further call is read */
#define QUEUE_MAX          1024U /* signals that were not taken: he is dropped */

static uint64_t n_queued(const BusClient *c) {
        uint64_t n = 0;

        (void) sd_bus_get_n_queued_write(c->peer, &n);
        return n;
}

static void drop(BusClient *c, const char *why) {
        log_debug("Control client of uid %u (pid %d) is dropped: %s", c->uid, (int) c->pid, why);
        (void) bus_client_free(c);
}

/* Handlers up the stack may still use it. */
static void doom(BusClient *c, const char *why) {
        if (c->is_doomed)
                return;

        log_debug("Control client of uid %u (pid %d) is dropped: %s", c->uid, (int) c->pid, why);
        c->is_doomed = true;
        c->is_subscribed = false;
        (void) sd_event_source_set_time_relative(c->timer, 0);
}

bool bus_client_wants_signals(BusClient *c) {
        if (!c->is_subscribed)
                return false;
        if (n_queued(c) < QUEUE_MAX)
                return true;

        doom(c, "it does not read its signals");
        return false;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        BusClient *c = userdata;

        if (c->is_doomed) {
                (void) bus_client_free(c);
                return 0;
        }
        if (c->n_messages == 0) {
                drop(c, "no call within 5 s");
                return 0;
        }
        if (c->n_messages == c->n_at_timer && !c->is_subscribed) {
                drop(c, "idle");
                return 0;
        }

        c->n_at_timer = c->n_messages;
        (void) timer_arm(c->bus->manager->event, &c->timer, IDLE_USEC, on_timer, c);
        return 0;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;

        c->n_messages++;
        c->n_fruitless = 0;
        c->fruitless_bytes = 0;
        return 0;
}

/* Handles what has come, but not more than its share of our time.
 *
 * Returns whether all was handled, or a negative errno: the connection has ended. */
static int process(BusClient *c) {
        for (unsigned i = 0; i < MESSAGES_PER_TURN; i++) {
                int r = sd_bus_process(c->peer, NULL);

                if (r <= 0)
                        return r < 0 ? r : 1;
                if (c->is_doomed || n_queued(c) > QUEUE_READ_STOP)
                        return 1;
        }

        return 0;
}

/* A message that does not end, in large pieces or byte by byte, as on_message() sees none. */
static bool is_fruitless(BusClient *c) {
        int waiting = 0;

        (void) ioctl(sd_bus_get_fd(c->peer), FIONREAD, &waiting);
        c->fruitless_bytes += (size_t) waiting;
        return ++c->n_fruitless > FRUITLESS_MAX || c->fruitless_bytes > MESSAGE_SIZE_BYTES;
}

/* @reads  whether there is, or may be, something to read */
static void turn(BusClient *c, bool reads) {
        int r;

        if (reads && is_fruitless(c)) {
                drop(c, "its message does not end");
                return;
        }

        r = process(c);
        if (r < 0) {
                (void) bus_client_free(c);
                return;
        }

        (void) sd_event_source_set_enabled(c->more, r > 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_more(sd_event_source *source, void *userdata) {
        turn(userdata, /* reads= */ true);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        turn(userdata, /* reads= */ events & EPOLLIN);
        return 0;
}

/* What we wait for changes with every message that is queued, by whomever. */
static int on_prepare(sd_event_source *source, void *userdata) {
        BusClient *c = userdata;
        int events = sd_bus_get_events(c->peer);

        if (events < 0)
                events = 0; /* it is closing: the hang-up comes unasked */
        if (n_queued(c) > QUEUE_READ_STOP)
                events &= ~EPOLLIN;

        return sd_event_source_set_io_events(source, (uint32_t) events);
}

static int open_peer(BusClient *c, int fd) {
        sd_id128_t id;
        int r;

        r = sd_bus_new(&c->peer);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        r = sd_bus_set_fd(c->peer, fd, fd);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }

        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(c->peer, /* b= */ true, id);
        if (r >= 0)
                r = sd_bus_set_anonymous(c->peer, /* b= */ false);
        if (r >= 0)
                r = sd_bus_set_trusted(c->peer, /* b= */ true); /* who he is was checked */
        if (r >= 0)
                r = sd_bus_negotiate_fds(c->peer, /* b= */ false);
        if (r >= 0)
                r = sd_bus_add_filter(c->peer, NULL, on_message, c);
        if (r >= 0)
                r = bus_object_add_all(c);
        return r < 0 ? r : sd_bus_start(c->peer);
}

static int watch(BusClient *c) {
        sd_event *event = c->bus->manager->event;
        int fd = sd_bus_get_fd(c->peer), r;

        if (fd < 0)
                return fd;

        r = sd_event_add_io(event, &c->io, fd, EPOLLIN, on_io, c);
        if (r >= 0)
                r = sd_event_source_set_prepare(c->io, on_prepare);
        if (r >= 0)
                r = sd_event_add_defer(event, &c->more, on_more, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->more, SD_EVENT_OFF);
        if (r >= 0)
                r = timer_arm(event, &c->timer, FIRST_CALL_USEC, on_timer, c);
        if (r < 0)
                return r;

        /* Workers and their sockets come first. */
        (void) sd_event_source_set_priority(c->io, SD_EVENT_PRIORITY_NORMAL + 10);
        return sd_event_source_set_priority(c->more, SD_EVENT_PRIORITY_NORMAL + 10);
}

int bus_client_new(Bus *b, int fd, const struct ucred *who, BusClient **ret) {
        _cleanup_(bus_client_freep) BusClient *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c) {
                (void) fd_close(fd);
                return -ENOMEM;
        }

        c->bus = b;
        c->uid = who->uid;
        c->pid = who->pid;
        TAILQ_INSERT_TAIL(&b->clients, c, others);
        b->n_clients++;

        r = open_peer(c, fd);
        if (r >= 0)
                r = watch(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

BusClient *bus_client_free(BusClient *c) {
        if (!c)
                return NULL;

        TAILQ_REMOVE(&c->bus->clients, c, others);
        c->bus->n_clients--;
        c->io = sd_event_source_disable_unref(c->io);
        c->more = sd_event_source_disable_unref(c->more);
        c->timer = timer_disarm(c->timer);
        c->peer = sd_bus_close_unref(c->peer);
        free(c);
        return NULL;
}
