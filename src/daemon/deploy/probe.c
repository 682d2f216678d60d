#include "daemon/deploy/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/deploy/door.h"
#include "daemon/endpoint/sockdiag.h"
#include "daemon/manager.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"

#define LOOK_MIN_USEC   (500ULL)
#define LOOK_MAX_USEC   (20 * USEC_PER_MSEC)
#define LINE_SIZE_BYTES 512U

/* A SYN that a full queue dropped is sent again after 1 s; meanwhile others need the door. */
#define CONNECT_USEC (300 * USEC_PER_MSEC)

struct Probe {
        ProbePlan plan;
        ProbeHandler handler;
        void *userdata;
        DoorTurn *turn; /* until we are connected */
        int fd;
        ReuseAddress near, far;
        sd_event_source *deadline, *io, *timer;
        uint64_t look_usec;
        char line[LINE_SIZE_BYTES]; /* the first of the answer */
        size_t n_read;
};

static sd_event *event_of(const Probe *p) {
        return p->plan.endpoint->manager->event;
}

static void let_go(Probe *p) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

        p->deadline = timer_disarm(p->deadline);
        p->timer = timer_disarm(p->timer);
        p->io = sd_event_source_disable_unref(p->io);
        p->turn = door_turn_free(p->turn);

        /* No TIME_WAIT: over IPv6 the door has one port. */
        if (p->fd >= 0)
                (void) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        p->fd = fd_close(p->fd);
}

static void end(Probe *p, const char *why) {
        let_go(p);
        p->handler(why, p->userdata);
}

/* ---- accepted ---- */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        Probe *p = userdata;
        int r;

        r = sockdiag_is_accepted(&p->near, &p->far);
        if (r == -ENOENT)
                end(p, "the connection was closed before anybody accepted it");
        else if (r < 0)
                end(p, "the kernel does not tell who accepts connections");
        else if (r > 0)
                end(p, NULL);
        else {
                if (timer_arm(event_of(p), &p->timer, p->look_usec, on_look, p) < 0)
                        end(p, "there is no memory for a timer");
                p->look_usec = p->look_usec * 2 < LOOK_MAX_USEC ? p->look_usec * 2 : LOOK_MAX_USEC;
        }

        return 0;
}

/* ---- HTTP ---- */

/* "HTTP/1.1 204 No Content".  Returns the status, or -EBADMSG. */
static int read_status(const char *line) {
        if ((strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0) ||
            strspn(line + 9, "0123456789") != 3)
                return -EBADMSG;

        return atoi(line + 9);
}

static void judge(Probe *p) {
        char why[LINE_SIZE_BYTES], path[128];
        int status;

        p->line[strcspn(p->line, "\r\n")] = '\0';
        status = read_status(p->line);
        if (status >= 200 && status < 400) {
                end(p, NULL);
                return;
        }

        text_escape(p->plan.http_path, path, sizeof(path));
        if (status >= 0)
                snprintf(why, sizeof(why), "it answered %d to %s", status, path);
        else
                snprintf(why, sizeof(why), "what it answered to %s is not HTTP/1.1", path);
        end(p, why);
}

static void read_answer(Probe *p) {
        ssize_t n;

        n = recv(p->fd, p->line + p->n_read, sizeof(p->line) - 1 - p->n_read, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                p->n_read += (size_t) n;

        if (memchr(p->line, '\n', p->n_read) || p->n_read + 1 == sizeof(p->line))
                judge(p);
        else if (n <= 0)
                end(p, n == 0 ? "it closed the connection without an answer"
                              : "it reset the connection");
}

static int send_request(const Probe *p) {
        char request[1536], host[REUSE_ADDRESS_TEXT_SIZE];
        int length;

        length = snprintf(request, sizeof(request),
                          "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: reuseportd\r\n"
                          "Connection: close\r\n\r\n",
                          p->plan.http_path, reuse_address_format(&p->far, host, sizeof(host)));
        if (length < 0 || (size_t) length >= sizeof(request))
                return -EMSGSIZE;

        /* Shorter than any socket buffer: all or nothing. */
        return send(p->fd, request, (size_t) length, MSG_NOSIGNAL) == length ? 0 : -EIO;
}

/* ---- the connection ---- */

static int read_names(Probe *p) {
        int error = 0;
        socklen_t size = sizeof(error);

        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
                return error != 0 ? -error : -errno;

        p->near = p->far = (ReuseAddress){ .type = SOCK_STREAM, .length = sizeof(p->near.storage) };
        if (getsockname(p->fd, &p->near.sa, &p->near.length) < 0 ||
            getpeername(p->fd, &p->far.sa, &p->far.length) < 0)
                return -errno;

        return 0;
}

/* It is in the queue of its slot, and the door is free for others. */
static void on_connected(Probe *p) {
        int r;

        p->timer = timer_disarm(p->timer);
        p->turn = door_turn_free(p->turn);

        r = read_names(p);
        if (r < 0) {
                end(p, r == -ECONNREFUSED ? "its socket refuses connections"
                                          : "no connection to it could be made");
                return;
        }

        if (p->plan.http_path) {
                r = send_request(p);
                if (r >= 0)
                        r = sd_event_source_set_io_events(p->io, EPOLLIN);
                if (r < 0)
                        end(p, "the request could not be sent");
                return;
        }

        p->io = sd_event_source_disable_unref(p->io);
        p->look_usec = LOOK_MIN_USEC;
        if (timer_arm(event_of(p), &p->timer, 0, on_look, p) < 0)
                end(p, "there is no memory for a timer");
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Probe *p = userdata;

        if (p->turn)
                on_connected(p);
        else
                read_answer(p);
        return 0;
}

static int on_late_connect(sd_event_source *source, uint64_t usec, void *userdata) {
        end(userdata, "its queue is full");
        return 0;
}

static void on_turn(int error, void *userdata) {
        Probe *p = userdata;
        int r = error;

        if (r >= 0)
                r = p->fd = door_dial(reuse_group_address(
                                endpoint_group(p->plan.endpoint, p->plan.bank, p->plan.address)));
        if (r >= 0)
                r = sd_event_add_io(event_of(p), &p->io, p->fd, EPOLLOUT, on_io, p);
        if (r >= 0)
                r = timer_arm(event_of(p), &p->timer, CONNECT_USEC, on_late_connect, p);
        if (r < 0)
                end(p, reuse_strerror(r));
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Probe *p = userdata;

        end(p, p->plan.http_path ? "it did not answer in time" : "nobody accepted in time");
        return 0;
}

int probe_new(const ProbePlan *plan, ProbeHandler handler, void *userdata, Probe **ret) {
        _cleanup_(probe_freep) Probe *p = NULL;
        int r;

        assert(plan->endpoint->service);

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;

        p->plan = *plan;
        p->handler = handler;
        p->userdata = userdata;
        p->fd = -EBADF;

        r = timer_arm(event_of(p), &p->deadline, plan->timeout_usec, on_deadline, p);
        if (r >= 0)
                r = door_turn_new(plan->endpoint->service, plan->bank, plan->slot, on_turn, p,
                                  &p->turn);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

Probe *probe_free(Probe *p) {
        if (!p)
                return NULL;

        let_go(p);
        free(p);
        return NULL;
}
