#include "daemon/service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/manager.h"

static const char *const state_names[SERVICE_STATE_MAX] = {
        [SERVICE_LISTENING] = "listening", [SERVICE_STOPPED] = "stopped",
        [SERVICE_STARTING] = "starting",   [SERVICE_RUNNING] = "running",
        [SERVICE_STOPPING] = "stopping",   [SERVICE_FAILED] = "failed",
};

const char *service_state_to_string(ServiceState state) {
        return state_names[state];
}

Generation *service_current(const Service *s) {
        return s->banks[s->front];
}

const Generation *service_checked_generation(const Service *s) {
        return NULL;
}

static LogFields fields_of(const Service *s) {
        const Generation *g = service_current(s);

        return (LogFields){ .service = s->settings->name, .generation = g ? g->number : 0 };
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
        TAILQ_INIT(&s->door_line);
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
        free(s->told);
        free(s);
        return NULL;
}

static ReuseRule make_rule(const Service *s) {
        /* While it sleeps visitors wait in every slot of the front. */
        ReuseRule rule = reuse_rule_init(s->front, s->settings->n_workers);

        rule.seed = s->manager->seed;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_put_live(s->banks[bank], &rule);
        door_put(s, &rule);

        return rule;
}

int service_put_rule(Service *s) {
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

static bool is_on_demand(const Service *s) {
        return s->settings->activation == ACTIVATION_ON_DEMAND;
}

static EndpointReader reader_of(const Service *s, unsigned bank, unsigned slot) {
        const Generation *g = s->banks[bank];

        if (g && !g->is_stopping && generation_has_reader(g, slot))
                return ENDPOINT_READER_WORKER;

        return bank == s->front && is_on_demand(s) ? ENDPOINT_READER_WAKE : ENDPOINT_READER_RESET;
}

/* A shared socket is read as long as anybody reads it. */
static EndpointReader shared_reader_of(const Service *s, unsigned bank) {
        for (unsigned slot = 0; s->banks[bank] && slot < s->banks[bank]->n_slots; slot++)
                if (reader_of(s, bank, slot) == ENDPOINT_READER_WORKER)
                        return ENDPOINT_READER_WORKER;

        return reader_of(s, bank, 0);
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

int service_wake(Service *s) {
        Generation *g;
        int r;

        if (service_current(s))
                return 0;

        r = generation_new(s, s->settings, s->last_number + 1, s->front, &g);
        if (r < 0) {
                service_log(s, LOG_ERR, "No generation can be made: %s", strerror(-r));
                return r;
        }

        s->last_number = g->number;
        s->banks[s->front] = g;
        s->has_failed = false;
        service_log(s, LOG_NOTICE, "Generation %u starts in %s with %u workers", g->number,
                    generation_color(g), g->n_slots);
        generation_start(g);
        return 0;
}

int service_start(Service *s) {
        int r;

        if (s->is_listening)
                return 0;

        /* First the door, then the waiters: visitors queue from here on. */
        r = listen_all(s);
        if (r < 0)
                return r;

        if (is_on_demand(s)) {
                put_readers(s);
                return 0;
        }

        r = service_wake(s);
        if (r < 0)
                refuse_all(s);
        return r;
}

void service_refuse(Service *s) {
        refuse_all(s);
}

void service_forget_failures(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_forget_failures(s->banks[bank]);
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
        const Generation *g = service_current(s);

        if (!g && s->is_listening)
                return SERVICE_LISTENING;
        if (!g)
                return s->has_failed ? SERVICE_FAILED : SERVICE_STOPPED;
        if (g->is_stopping)
                return SERVICE_STOPPING;

        return generation_has_all_been_ready(g) ? SERVICE_RUNNING : SERVICE_STARTING;
}

unsigned service_n_workers(const Service *s) {
        unsigned n = 0;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        n += generation_n_workers(s->banks[bank]);

        return n;
}

void service_on_generation_changed(Service *s, Generation *g) {
        if (s->is_listening && !g->is_stopping) {
                (void) service_put_rule(s);
                put_readers(s);
        }

        manager_on_service_changed(s->manager, s);
}

void service_on_visitor(Service *s, unsigned bank, unsigned slot) {
        Generation *g = s->banks[bank];

        if (g)
                generation_wake(g, slot);
        else if (service_wake(s) < 0)
                refuse_all(s); /* nobody would ever come, and he would wait for ever */
}

void service_on_visitors_reset(Service *s, unsigned bank, unsigned n) {
        s->n_reset += n;
        service_log(s, LOG_WARNING, "%u visitors came to the sockets of %s too late and were reset",
                    n, bank_color(bank));
}

/* Nobody is left in the bank that visitors go to. */
static void front_is_empty(Service *s, bool has_failed) {
        if (s->is_listening && is_on_demand(s) && !has_failed) {
                service_log(s, LOG_INFO, "Asleep");
                (void) service_put_rule(s);
                put_readers(s);
                return;
        }

        s->has_failed = has_failed;
        refuse_all(s);
}

void service_on_generation_gone(Service *s, Generation *g) {
        bool has_failed = g->has_failed;
        unsigned bank = g->bank;

        assert(s->banks[bank] == g);

        service_log(s, has_failed ? LOG_ERR : LOG_NOTICE, "Generation %u is gone%s", g->number,
                    has_failed ? ": its workers ended badly and none will follow" : "");

        s->manager->n_cut += g->n_cut;
        s->banks[bank] = NULL;
        (void) generation_free(g);

        if (bank == s->front)
                front_is_empty(s, has_failed);
        manager_on_service_changed(s->manager, s);
}
