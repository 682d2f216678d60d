#include "daemon/endpoint/taker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/manager.h"

struct Taker {
        Endpoint *endpoint;
        LIST_ENTRY(Taker) others;
        pid_t pid; /* 0: a unit */
        int pidfd;
        sd_event_source *source;
        Systemd1Unit *unit;
};

static LogFields fields_of(const Taker *t) {
        return (LogFields){ .endpoint = t->endpoint->settings->name, .worker_pid = t->pid };
}

static const char *describe(const Taker *t, char *buffer, size_t size_bytes) {
        if (t->unit)
                snprintf(buffer, size_bytes, "unit %s", systemd1_unit_name(t->unit));
        else
                snprintf(buffer, size_bytes, "pid %d", (int) t->pid);
        return buffer;
}

const char *takers_describe(const Endpoint *e, char *buffer, size_t size_bytes) {
        buffer[0] = '\0';
        return e->n_takers > 0 ? describe(LIST_FIRST(&e->takers), buffer, size_bytes) : buffer;
}

const Taker *taker_next(const Endpoint *e, const Taker *after) {
        return after ? LIST_NEXT(after, others) : LIST_FIRST(&e->takers);
}

pid_t taker_pid(const Taker *t) {
        return t->pid;
}

int taker_pidfd(const Taker *t) {
        return t->pidfd;
}

const char *taker_unit(const Taker *t) {
        return t->unit ? systemd1_unit_name(t->unit) : NULL;
}

ReuseRule taker_rule(const Endpoint *e) {
        ReuseRule rule = reuse_rule_init(TAKER_BANK, 1);

        rule.seed = e->manager->seed;
        return rule;
}

static Taker *taker_free(Taker *t) {
        if (!t)
                return NULL;

        state_release_fd(t->endpoint->manager->state, t->pidfd);
        state_touch_endpoint(t->endpoint);
        LIST_REMOVE(t, others);
        t->endpoint->n_takers--;
        t->source = sd_event_source_disable_unref(t->source);
        t->pidfd = fd_close(t->pidfd);
        t->unit = systemd1_unit_free(t->unit);
        free(t);
        return NULL;
}
DEFINE_CLEANUP(Taker, taker_free)

void takers_free(Endpoint *e) {
        while (!LIST_EMPTY(&e->takers))
                (void) taker_free(LIST_FIRST(&e->takers));
}

static void taker_gone(Taker *t) {
        Endpoint *e = t->endpoint;
        LogFields fields = fields_of(t);
        char text[320];
        int r = 0;

        describe(t, text, sizeof(text));
        (void) taker_free(t);
        if (e->n_takers == 0 && !e->service)
                r = endpoint_refuse(e);
        log_fields(LOG_INFO, &fields, "Endpoint %s: %s is gone%s", e->settings->name, text,
                   e->n_takers == 0 ? "; it refuses until somebody takes it" : "");
        if (r < 0)
                log_fields(LOG_ERR, &fields, "Endpoint %s cannot be made to refuse: %s",
                           e->settings->name, reuse_strerror(r));
        bus_tell(e->manager->bus, "endpoint", e->settings->name, "let go", text);
}

static int on_process_gone(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        taker_gone(userdata);
        return 0;
}

static void on_unit(void *userdata) {
        Taker *t = userdata;
        UnitActivity activity = systemd1_unit_state(t->unit)->activity;

        if (activity == UNIT_INACTIVE || activity == UNIT_FAILED)
                taker_gone(t);
}

/* Only the first bank is handed out: who is led to another, by a rule that is gone, is reset. */
static int listen_for(Endpoint *e) {
        const ReuseRule rule = taker_rule(e);
        int r;

        r = endpoint_renew(e, TAKER_BANK); /* after a reload while another had it */
        if (r >= 0)
                r = endpoint_listen(e, &rule);
        if (r < 0)
                return r;

        for (size_t i = 0; i < e->n_sockets; i++)
                if (e->sockets[i].bank != TAKER_BANK || e->sockets[i].slot != TAKER_SLOT)
                        endpoint_socket_set_reader(&e->sockets[i], ENDPOINT_READER_RESET);

        return 0;
}

static int taker_new(Endpoint *e, Taker **ret) {
        Taker *t;

        assert(!e->service);
        if (e->n_takers >= TAKERS_MAX)
                return -EUSERS;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;

        t->endpoint = e;
        t->pidfd = -EBADF;
        LIST_INSERT_HEAD(&e->takers, t, others);
        e->n_takers++;
        *ret = t;
        return 0;
}

static int admit(Taker *t) {
        Endpoint *e = t->endpoint;
        LogFields fields = fields_of(t);
        char text[320];
        int r;

        state_touch_endpoint(e);
        r = e->n_takers == 1 ? listen_for(e) : 0;

        if (r < 0)
                return r;

        describe(t, text, sizeof(text));
        log_fields(LOG_NOTICE, &fields, "Endpoint %s: taken by %s", e->settings->name, text);
        bus_tell(e->manager->bus, "endpoint", e->settings->name, "taken", text);
        return 0;
}

int taker_add_process(Endpoint *e, pid_t pid, int pidfd) {
        _cleanup_close_ int own = pidfd;
        _cleanup_(taker_freep) Taker *t = NULL;
        struct pollfd gone = { .fd = pidfd, .events = POLLIN };
        int r;

        if (poll(&gone, 1, 0) != 0)
                return -ESRCH;

        r = taker_new(e, &t);
        if (r < 0)
                return r;

        t->pid = pid;
        t->pidfd = TAKE_FD(own);
        r = sd_event_add_io(e->manager->event, &t->source, t->pidfd, EPOLLIN, on_process_gone, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = admit(t);
        if (r < 0)
                return r;

        (void) TAKE_PTR(t);
        return 0;
}

int taker_add_unit(Endpoint *e, const char *unit) {
        _cleanup_(taker_freep) Taker *t = NULL;
        Taker *other;
        int r;

        LIST_FOREACH(other, &e->takers, others)
                if (other->unit && strcmp(systemd1_unit_name(other->unit), unit) == 0)
                        return 0;

        r = taker_new(e, &t);
        if (r >= 0)
                r = systemd1_unit_new(e->manager->systemd1, unit, on_unit, t, &t->unit);
        if (r >= 0)
                r = admit(t);
        if (r < 0)
                return r;

        (void) TAKE_PTR(t);
        return 0;
}
