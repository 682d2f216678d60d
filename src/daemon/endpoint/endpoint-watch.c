#include "daemon/endpoint/endpoint-watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/reserve.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"

/* At one wake-up; the rest wakes us again. */
#define N_RESETS_MAX 64U

/* Until we try again what could not be done for want of something. */
#define PAUSE_USEC (100 * USEC_PER_MSEC)

static int fd_of(const EndpointSocket *s) {
        return reuse_group_fd(s->endpoint->groups[s->group], s->bank, s->slot);
}

static void mend(EndpointSocket *s) {
        Endpoint *e = s->endpoint;
        LogFields fields = { .message_id = MESSAGE_SOCKET_SHUT, .endpoint = e->settings->name };
        int r;

        state_touch_endpoint(e);
        r = reuse_group_mend(e->groups[s->group]);
        if (r < 0) {
                /* A level that we cannot lower would keep us busy for ever. */
                (void) sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
                log_fields(LOG_ERR, &fields,
                           "Endpoint %s: a worker has shut a socket that it shares with us, and it "
                           "cannot be put right: %s; restart the service",
                           e->settings->name, reuse_strerror(r));
        } else if (r > 0)
                log_fields(LOG_WARNING, &fields,
                           "Endpoint %s: a worker has shut a socket that it shares with us; it listens "
                           "again. What waited in its queue was reset",
                           e->settings->name);
}

/* Not a byte of it is read.  Returns 0 or a negative errno. */
static int reset_connection(int fd) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
        _cleanup_close_ int connection = -EBADF;

        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0)
                return errno == ECONNABORTED || errno == EINTR ? 0 : -errno;

        (void) setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        return 0;
}

static int drop_datagram(int fd) {
        return recv(fd, NULL, 0, MSG_DONTWAIT) >= 0 ? 0 : -errno;
}

/* Returns how many there were. */
static unsigned reset_some(int fd, bool is_stream, int *ret) {
        unsigned n = 0;

        for (*ret = 0; n < N_RESETS_MAX && *ret >= 0; n += *ret >= 0)
                *ret = is_stream ? reset_connection(fd) : drop_datagram(fd);

        return n;
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        EndpointSocket *s = userdata;

        s->pause = timer_disarm(s->pause);
        (void) sd_event_source_set_enabled(s->source, SD_EVENT_ON);
        return 0;
}

/* Somebody waits whom we cannot reset: without memory or descriptors accept() fails and leaves him there,
 * and asking again at once would keep us busy. */
static void pause_watching(EndpointSocket *s) {
        if (timer_arm(s->endpoint->manager->event, &s->pause, PAUSE_USEC, on_pause_over, s) >= 0)
                (void) sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
}

/* accept() has no flag for "do not wait", and a worker that lets go may be quicker than we; so the
 * socket, whose flags we share with it, is non-blocking for this moment. */
static void reset_visitors(EndpointSocket *s) {
        Endpoint *e = s->endpoint;
        bool is_stream = e->settings->type == SOCK_STREAM;
        int fd = fd_of(s), was_blocking = 0, r;
        unsigned n;

        if (is_stream)
                was_blocking = fd_set_nonblock(fd, true);
        if (was_blocking < 0)
                return;

        n = reset_some(fd, is_stream, &r);
        if (reserve_lend(r)) {
                n += reset_some(fd, is_stream, &r);
                (void) reserve_fill();
        }
        if (r < 0 && r != -EAGAIN)
                pause_watching(s);
        if (was_blocking > 0)
                (void) fd_set_nonblock(fd, false);

        e->n_reset += n;
        if (n > 0 && e->service)
                service_on_visitors_reset(e->service, s->bank, n);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        EndpointSocket *s = userdata;

        if (events & (EPOLLHUP | EPOLLERR) && s->endpoint->settings->type == SOCK_STREAM) {
                mend(s);
                return 0;
        }

        switch (s->reader) {
        case ENDPOINT_READER_WAKE:
                if (s->endpoint->service)
                        service_on_visitor(s->endpoint->service, s->bank, s->slot);
                break;
        case ENDPOINT_READER_RESET:
                reset_visitors(s);
                break;
        case ENDPOINT_READER_WORKER:
        case ENDPOINT_READER_MAX:
        case ENDPOINT_READER_INVALID:
                break;
        }

        return 0;
}

/* EPOLLHUP comes without being asked for.  A datagram socket that a peer has shut still gets its
 * datagrams; it is not watched unless we read it. */
static int arm(EndpointSocket *s, EndpointReader reader) {
        bool is_ours = reader != ENDPOINT_READER_WORKER;
        uint32_t events = is_ours ? EPOLLIN : 0;
        int r;

        s->reader = reader;
        s->pause = timer_disarm(s->pause);
        if (s->endpoint->settings->type != SOCK_STREAM && !is_ours) {
                s->source = sd_event_source_disable_unref(s->source);
                return 0;
        }
        if (s->source) {
                (void) sd_event_source_set_enabled(s->source, SD_EVENT_ON);
                return sd_event_source_set_io_events(s->source, events);
        }

        r = sd_event_add_io(s->endpoint->manager->event, &s->source, fd_of(s), events, on_socket,
                            s);
        if (r < 0)
                return r;

        /* Before anything else: visitors of other banks are hit while a socket is missing. */
        return sd_event_source_set_priority(s->source, SD_EVENT_PRIORITY_IMPORTANT);
}

static size_t n_sockets(const Endpoint *e) {
        size_t n = 0;

        for (size_t i = 0; i < e->n_open; i++)
                for (unsigned bank = 0; bank < reuse_group_n_banks(e->groups[i]); bank++)
                        n += reuse_group_n_slots(e->groups[i], bank);

        return n;
}

static int watch_bank(Endpoint *e, unsigned group, unsigned bank) {
        for (unsigned slot = 0; slot < reuse_group_n_slots(e->groups[group], bank); slot++) {
                EndpointSocket *s = &e->sockets[e->n_sockets++];
                int r;

                *s = (EndpointSocket){ e, group, bank, slot, 0, NULL };
                r = arm(s, ENDPOINT_READER_WORKER);
                if (r < 0)
                        return r;
        }

        return 0;
}

int endpoint_watch(Endpoint *e) {
        int r = 0;

        state_touch_endpoint(e); /* others listen than before, or in another order */
        endpoint_unwatch(e);
        e->sockets = calloc(n_sockets(e) + 1, sizeof(EndpointSocket));
        if (!e->sockets)
                return -ENOMEM;

        for (unsigned i = 0; i < e->n_open && r >= 0; i++) {
                if (reuse_group_is_refusing(e->groups[i]))
                        continue;
                for (unsigned bank = 0; bank < reuse_group_n_banks(e->groups[i]) && r >= 0; bank++)
                        r = watch_bank(e, i, bank);
        }
        if (r < 0)
                endpoint_unwatch(e);

        return r;
}

void endpoint_unwatch(Endpoint *e) {
        for (size_t i = 0; i < e->n_sockets; i++) {
                e->sockets[i].pause = timer_disarm(e->sockets[i].pause);
                e->sockets[i].source = sd_event_source_disable_unref(e->sockets[i].source);
        }
        free(e->sockets);
        e->sockets = NULL;
        e->n_sockets = 0;
}

void endpoint_socket_set_reader(EndpointSocket *s, EndpointReader reader) {
        if (s->reader != reader && arm(s, reader) < 0)
                log_warning("Endpoint %s: slot %u of %s cannot be watched",
                            s->endpoint->settings->name, s->slot, bank_color(s->bank));
}
