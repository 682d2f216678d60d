#include "daemon/service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/manager.h"

static const char *const state_names[SERVICE_STATE_MAX] = {
        [SERVICE_STOPPED] = "stopped", [SERVICE_STARTING] = "starting",
        [SERVICE_RUNNING] = "running", [SERVICE_STOPPING] = "stopping",
        [SERVICE_FAILED] = "failed",
};

const char *service_state_to_string(ServiceState state) {
        return state_names[state];
}

static LogFields fields_of(const Service *s) {
        return (LogFields){
                .service = s->settings->name,
                .generation = s->current ? s->current->number : 0,
        };
}

#define service_log(s, level, format, ...)                                                      \
        do {                                                                                    \
                LogFields fields_ = fields_of(s);                                               \
                log_fields(level, &fields_, "%s: " format, (s)->settings->name, ##__VA_ARGS__); \
        } while (false)

int service_new(Manager *manager, const ServiceSettings *settings, Service **ret) {
        _cleanup_(service_freep) Service *s = NULL;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;

        s->manager = manager;
        s->settings = settings;
        s->endpoints = calloc(settings->n_endpoints, sizeof(Endpoint *));
        if (!s->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < settings->n_endpoints; i++) {
                Endpoint *e = manager_find_endpoint(manager, settings->endpoints[i]->name);

                assert(e && !e->service);
                e->service = s;
                s->endpoints[s->n_endpoints++] = e;
        }

        *ret = TAKE_PTR(s);
        return 0;
}

Service *service_free(Service *s) {
        if (!s)
                return NULL;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                s->banks[bank] = generation_free(s->banks[bank]);
        for (size_t i = 0; i < s->n_endpoints; i++)
                s->endpoints[i]->service = NULL;
        free(s->endpoints);
        free(s);
        return NULL;
}

static ReuseRule make_rule(const Service *s) {
        ReuseRule rule = reuse_rule_init(s->current ? s->current->bank : 0, /* n_slots= */ 0);

        rule.seed = s->manager->seed;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_put_live(s->banks[bank], &rule);

        return rule;
}

/* All endpoints, or none: what was in force is put back. */
static int put_rule(Service *s) {
        ReuseRule rule = make_rule(s);
        int r;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                r = endpoint_set_rule(s->endpoints[i], &rule);
                if (r < 0) {
                        service_log(s, LOG_ERR,
                                    "The rule of endpoint %s cannot be replaced: %s; the one before stays "
                                    "in force",
                                    s->endpoints[i]->settings->name, reuse_strerror(r));
                        return r;
                }
        }

        return 0;
}

static EndpointReader reader_of(const Service *s, unsigned bank, unsigned slot) {
        const Generation *g = s->banks[bank];

        return g && !g->is_stopping && generation_has_reader(g, slot) ? ENDPOINT_READER_WORKER
                                                                      : ENDPOINT_READER_RESET;
}

/* A shared socket is read as long as anybody reads it. */
static EndpointReader shared_reader_of(const Service *s, unsigned bank) {
        for (unsigned slot = 0; s->banks[bank] && slot < s->banks[bank]->n_slots; slot++)
                if (reader_of(s, bank, slot) == ENDPOINT_READER_WORKER)
                        return ENDPOINT_READER_WORKER;

        return ENDPOINT_READER_RESET;
}

static void put_readers(Service *s) {
        for (size_t i = 0; i < s->n_endpoints; i++) {
                Endpoint *e = s->endpoints[i];

                for (size_t k = 0; k < e->n_sockets; k++) {
                        EndpointSocket *socket = &e->sockets[k];

                        endpoint_socket_set_reader(
                                        socket,
                                        e->settings->is_shared
                                                        ? shared_reader_of(s, socket->bank)
                                                        : reader_of(s, socket->bank, socket->slot));
                }
        }
}

static int listen_all(Service *s) {
        ReuseRule rule = make_rule(s);
        int r;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                r = endpoint_listen(s->endpoints[i], &rule);
                if (r < 0) {
                        service_log(s, LOG_ERR, "Endpoint %s cannot listen: %s",
                                    s->endpoints[i]->settings->name, reuse_strerror(r));
                        while (i-- > 0)
                                (void) endpoint_refuse(s->endpoints[i]);
                        return r;
                }
        }

        s->is_listening = true;
        return 0;
}

static void refuse_all(Service *s) {
        for (size_t i = 0; i < s->n_endpoints && s->is_listening; i++) {
                int r = endpoint_refuse(s->endpoints[i]);

                if (r < 0)
                        service_log(s, LOG_ERR, "Endpoint %s cannot be made to refuse: %s",
                                    s->endpoints[i]->settings->name, reuse_strerror(r));
        }
        s->is_listening = false;
}

int service_start(Service *s) {
        Generation *g;
        int r;

        if (s->current)
                return 0;

        r = generation_new(s, s->settings, s->last_number + 1, /* bank= */ 0, &g);
        if (r < 0)
                return r;

        s->last_number = g->number;
        s->banks[g->bank] = s->current = g;
        s->has_failed = false;

        /* First the door, then the waiters: visitors queue from here on. */
        r = listen_all(s);
        if (r < 0) {
                s->banks[g->bank] = s->current = NULL;
                (void) generation_free(g);
                return r;
        }

        service_log(s, LOG_NOTICE, "Generation %u starts in %s with %u workers", g->number,
                    generation_color(g), g->n_slots);
        generation_start(g);
        return 0;
}

void service_stop(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_stop(s->banks[bank]);
}

void service_kill(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_kill(s->banks[bank]);
}

ServiceState service_state(const Service *s) {
        if (!s->current)
                return s->has_failed ? SERVICE_FAILED : SERVICE_STOPPED;
        if (s->current->is_stopping)
                return SERVICE_STOPPING;

        return generation_has_all_been_ready(s->current) ? SERVICE_RUNNING : SERVICE_STARTING;
}

unsigned service_n_workers(const Service *s) {
        unsigned n = 0;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        n += generation_n_workers(s->banks[bank]);

        return n;
}

void service_on_generation_changed(Service *s, Generation *g) {
        if (!s->is_listening || g->is_stopping)
                return;

        (void) put_rule(s);
        put_readers(s);
}

void service_on_visitor(Service *s) {
        (void) service_start(s);
}

void service_on_visitors_reset(Service *s, unsigned bank, unsigned n) {
        s->n_reset += n;
        service_log(s, LOG_WARNING, "%u visitors came to the sockets of %s too late and were reset",
                    n, bank_color(bank));
}

void service_on_generation_gone(Service *s, Generation *g) {
        bool has_failed = g->has_failed;

        assert(s->banks[g->bank] == g);

        service_log(s, has_failed ? LOG_ERR : LOG_NOTICE, "Generation %u is gone%s", g->number,
                    has_failed ? ": its workers ended badly and restart forbids others" : "");

        s->manager->n_cut += g->n_cut;
        s->banks[g->bank] = NULL;
        if (s->current == g) {
                s->current = NULL;
                s->has_failed = has_failed;
                refuse_all(s);
        }

        (void) generation_free(g);
        manager_on_service_changed(s->manager, s);
}
