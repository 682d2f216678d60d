#include "daemon/bus/bus-client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bus/bus-object.h"
#include "daemon/manager.h"
#include "daemon/reserve.h"
#include "daemon/timer.h"

#define FIRST_CALL_USEC   (5 * USEC_PER_SEC)
#define IDLE_USEC         (60 * USEC_PER_SEC)
#define MESSAGES_PER_TURN 16U
#define PIECE_SIZE_BYTES  16384U
#define FRUITLESS_MAX     64U   /* pieces that make no whole message */
#define QUEUE_READ_STOP   16U   /* replies that were not taken: no further call is read */
#define QUEUE_MAX         1024U /* signals that were not taken: he is dropped */
#define HALF_TABLES_MAX   256U  /* some KiB each */

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
        if (c->input.n_messages == 0) {
                drop(c, "no call within 5 s");
                return 0;
        }
        if (c->input.n_messages == c->n_at_timer && !c->is_subscribed) {
                drop(c, "idle");
                return 0;
        }

        c->n_at_timer = c->input.n_messages;
        (void) timer_arm(c->bus->manager->event, &c->timer, IDLE_USEC, on_timer, c);
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

/* Gives sd-bus what is measured, as much as it takes.  Returns 0 or a negative errno. */
static int hand_over(BusClient *c) {
        ssize_t n;

        if (c->n_pending == 0)
                return 0;

        n = send(c->input_fd, c->pending, c->n_pending, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;

        c->n_pending -= (size_t) n;
        memmove(c->pending, c->pending + n, c->n_pending);
        return 0;
}

/* Reads one piece; descriptors that come with it are closed by the kernel, since there is no room for
 * them.  Returns 1 if there was one, 0 if not, or a negative errno: it is over. */
static int read_piece(BusClient *c) {
        uint64_t n_before = c->input.n_messages;
        ssize_t n;
        int r;

        if (c->n_pending > 0)
                return 0;

        n = recv(c->fd, c->pending, PIECE_SIZE_BYTES, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;

        r = bus_input_measure(&c->input, c->pending, (size_t) n);
        if (r < 0)
                return r;

        c->n_pending = (size_t) n;
        c->n_fruitless = c->input.n_messages > n_before ? 0 : c->n_fruitless + 1;
        return c->n_fruitless > FRUITLESS_MAX ? -EMSGSIZE : 1;
}

/* @reads  whether there may be something to read */
static void turn(BusClient *c, bool reads) {
        int r = reads ? read_piece(c) : 0;
        bool has_more;

        if (r >= 0)
                r = hand_over(c);
        if (r >= 0)
                r = process(c);
        if (r < 0) {
                drop(c, r == -EMSGSIZE ? "it sends what is too long, or never ends" : strerror(-r));
                return;
        }

        /* Who does not take his replies is waited for, not asked again. */
        has_more = r == 0 || (c->n_pending > 0 && n_queued(c) <= QUEUE_READ_STOP);
        (void) sd_event_source_set_enabled(c->more, has_more ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int on_more(sd_event_source *source, void *userdata) {
        turn(userdata, /* reads= */ false);
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        turn(userdata, /* reads= */ events & (EPOLLIN | EPOLLHUP));
        return 0;
}

/* What we wait for changes with every message that is queued, by whomever. */
static int on_prepare(sd_event_source *source, void *userdata) {
        BusClient *c = userdata;
        int events = sd_bus_get_events(c->peer);

        events = events >= 0 ? events & EPOLLOUT : 0; /* closing: the hang-up comes unasked */
        if (c->n_pending == 0 && n_queued(c) <= QUEUE_READ_STOP)
                events |= EPOLLIN;

        return sd_event_source_set_io_events(source, (uint32_t) events);
}

/* sd-bus reads from one end of a pair of ours, and writes to the client itself. */
static int open_ends(BusClient *c) {
        _cleanup_close_ int out = fcntl(c->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int ends[2], r;

        if (out < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return -errno;

        c->input_fd = ends[0];
        r = sd_bus_set_fd(c->peer, ends[1], out);
        if (r < 0) {
                (void) fd_close(ends[1]);
                return r;
        }

        (void) TAKE_FD(out);
        return 0;
}

static int open_peer(BusClient *c) {
        sd_id128_t id;
        int r;

        r = sd_bus_new(&c->peer);
        if (r >= 0)
                r = open_ends(c);
        if (r >= 0)
                r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_set_server(c->peer, /* b= */ true, id);
        /* Who he is was asked of the kernel; sd-bus would see us at the other end of the pair. */
        if (r >= 0)
                r = sd_bus_set_anonymous(c->peer, /* b= */ true);
        if (r >= 0)
                r = sd_bus_set_trusted(c->peer, /* b= */ true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(c->peer, /* b= */ true); /* from us: see read_piece() */
        if (r < 0)
                return r;

        r = c->only_takes ? bus_object_add_take(c) : bus_object_add_all(c);
        c->has_half_table = r < 0;
        return r < 0 ? r : sd_bus_start(c->peer);
}

static int watch(BusClient *c) {
        sd_event *event = c->bus->manager->event;
        int r;

        r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_io, c);
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

static unsigned *count_of(const BusClient *c) {
        return c->only_takes ? &c->bus->n_takers : &c->bus->n_clients;
}

int bus_client_new(Bus *b, int fd, const struct ucred *who, bool only_takes, BusClient **ret) {
        _cleanup_(bus_client_freep) BusClient *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c) {
                (void) fd_close(fd);
                return -ENOMEM;
        }

        c->fd = fd;
        c->input_fd = -EBADF;
        c->bus = b;
        c->uid = who->uid;
        c->pid = who->pid;
        c->only_takes = only_takes;
        TAILQ_INSERT_TAIL(&b->clients, c, others);
        *count_of(c) += 1;

        c->pending = malloc(PIECE_SIZE_BYTES);
        r = c->pending ? open_peer(c) : -ENOMEM;
        if (r >= 0)
                r = watch(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* libsystemd (252) leaves what it has added of a vtable that it cannot add whole, for want of memory, among what
 * can be called, with names that it has freed; and compares these with others when the bus is freed.  So such a
 * bus is closed and kept.  Those that come when that many are kept are freed all the same: it only reads. */
static void keep_for_ever(sd_bus *bus) {
        static sd_bus *kept[HALF_TABLES_MAX];

        sd_bus_close(bus);
        for (size_t i = 0; i < ELEMENTS_OF(kept); i++)
                if (!kept[i]) {
                        kept[i] = bus;
                        return;
                }

        (void) sd_bus_unref(bus);
}

static void close_peer(BusClient *c) {
        if (c->has_half_table)
                keep_for_ever(TAKE_PTR(c->peer));
        else {
                bus_object_remove(c);
                c->peer = sd_bus_close_unref(c->peer);
        }
}

BusClient *bus_client_free(BusClient *c) {
        if (!c)
                return NULL;

        TAILQ_REMOVE(&c->bus->clients, c, others);
        *count_of(c) -= 1;
        c->io = sd_event_source_disable_unref(c->io);
        c->more = sd_event_source_disable_unref(c->more);
        c->timer = timer_disarm(c->timer);
        close_peer(c);
        c->fd = fd_close(c->fd);
        c->input_fd = fd_close(c->input_fd);
        free(c->pending);
        free(c);
        (void) reserve_fill(); /* if that was lent, here is some of it */
        return NULL;
}
