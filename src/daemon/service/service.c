#include "daemon/service/service.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/endpoint/connections.h"
#include "daemon/endpoint/held.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service-idle.h"
#include "daemon/service/service-log.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service-store.h"

static const char *const state_names[SERVICE_STATE_MAX] = {
        [SERVICE_LISTENING] = "listening", [SERVICE_STOPPED] = "stopped",
        [SERVICE_STARTING] = "starting",   [SERVICE_RUNNING] = "running",
        [SERVICE_DEPLOYING] = "deploying", [SERVICE_STOPPING] = "stopping",
        [SERVICE_FAILED] = "failed",
};

const char *service_state_to_string(ServiceState state) {
        return state_names[state];
}

Generation *service_current(const Service *s) {
        return s->banks[s->front];
}

bool service_has_generations(const Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        return true;

        return false;
}

const Generation *service_checked_generation(const Service *s) {
        return s->deploy && s->front != s->deploy->new_bank ? s->deploy->new : NULL;
}

LogFields service_fields(const Service *s) {
        const Generation *g = service_current(s);

        return (LogFields){
                .service = s->settings->name,
                .generation = g ? g->number : 0,
                .color = g ? generation_color(g) : NULL,
        };
}

int service_new_empty(Manager *manager, const ServiceSettings *settings, Service **ret) {
        Service *s;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;

        s->manager = manager;
        s->settings = settings;
        TAILQ_INIT(&s->door_line);
        LIST_INIT(&s->hooks);
        *ret = s;
        return 0;
}

int service_new(Manager *manager, const ServiceSettings *settings, Service **ret) {
        _cleanup_(service_freep) Service *s = NULL;
        int r;

        r = service_new_empty(manager, settings, &s);
        if (r < 0)
                return r;

        s->endpoints = calloc(settings->n_endpoints, sizeof(Endpoint *));
        if (!s->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < settings->n_endpoints; i++) {
                Endpoint *e = manager_find_endpoint(manager, settings->endpoints[i]->name);

                assert(e && !e->service);
                e->service = s;
                s->endpoints[s->n_endpoints++] = e;
        }
        s->n_held = s->n_endpoints;

        *ret = TAKE_PTR(s);
        return 0;
}

Service *service_free(Service *s) {
        if (!s)
                return NULL;

        if (s->is_leaving)
                LIST_REMOVE(s, leaving_others);
        state_remove(s->manager->state, "service", s->id);
        service_scale_end(s);
        s->scale_later = sd_event_source_disable_unref(s->scale_later);
        s->deploy = deploy_free(s->deploy);
        s->idle = service_idle_free(s->idle);
        s->store = service_store_free(s->store);
        s->held = held_look_free(s->held);
        service_ahead_drop(s);
        detached_hooks_free(&s->hooks);
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                s->banks[bank] = generation_free(s->banks[bank]);
        s->previous_build = build_unref(s->previous_build);
        for (size_t i = 0; i < s->n_endpoints; i++)
                s->endpoints[i]->service = NULL;
        while (s->n_held > s->n_endpoints)
                (void) endpoint_free(s->endpoints[--s->n_held]);
        free(s->endpoints);
        free(s->told);
        free(s->results);
        settings_unref(s->settings_held);
        free(s);
        return NULL;
}

int service_add_generation(Service *s, Build *build, unsigned bank, Generation **ret) {
        Generation *g;
        int r;

        assert(!s->banks[bank]);

        r = generation_new(s, build, s->last_number + 1, bank, &g);
        if (r < 0)
                return r;

        s->last_number = g->number;
        s->banks[bank] = g;
        held_forget(s, bank);
        *ret = g;
        return 0;
}

int service_wake_build(Service *s, Build *build, unsigned slot) {
        Generation *g;
        int r;

        if (service_current(s))
                return 0;

        r = service_grow_bank(s, s->front, service_n_wanted(s));
        if (r >= 0)
                r = service_add_generation(s, build, s->front, &g);
        if (r < 0) {
                service_log(s, LOG_ERR, "No generation can be made: %s", reuse_strerror(r));
                return r;
        }

        s->has_failed = false;
        service_note(s, LOG_NOTICE, MESSAGE_GENERATION_STARTS,
                     "Generation %u starts in %s with %u workers", g->number, generation_color(g),
                     g->n_slots);
        generation_start(g, slot);
        return 0;
}

int service_wake(Service *s, unsigned slot) {
        _cleanup_(build_unrefp) Build *build = service_ahead_take_build(s);
        int r;

        if (!build) {
                r = build_new(s->manager->settings, s->settings, NULL, NULL, &build);
                if (r < 0)
                        return r;
        }

        return service_wake_build(s, build, slot);
}

int service_start_build(Service *s, Build *build) {
        int r = 0;

        /* First the door, then the waiters: visitors queue from here on. */
        if (!s->is_listening)
                r = service_sockets_listen(s);
        if (r >= 0)
                r = service_wake_build(s, build, /* slot= */ 0);
        if (r < 0 && s->is_listening)
                service_sockets_refuse(s);

        return r;
}

int service_start(Service *s) {
        int r;

        if (s->is_listening)
                return 0;

        r = service_sockets_listen(s);
        if (r < 0)
                return r;

        if (s->settings->activation == ACTIVATION_ON_DEMAND) {
                service_put_readers(s);
                service_ahead_prepare(s);
                return 0;
        }

        r = service_wake(s, /* slot= */ 0);
        if (r < 0)
                service_sockets_refuse(s);
        return r;
}

void service_refuse(Service *s) {
        service_sockets_refuse(s);
}

void service_forget_failures(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_forget_failures(s->banks[bank]);
}

void service_stop(Service *s) {
        service_scale_end(s);
        if (s->deploy)
                deploy_give_up(s->deploy, "the service was stopped");

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_stop(s->banks[bank], s->settings->timeout_stop_usec);
        service_store_update(s);
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
        if (s->deploy)
                return SERVICE_DEPLOYING;

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
        if (s->is_listening) {
                (void) service_put_rule(s);
                service_put_readers(s);
        }

        service_idle_update(s);
        manager_on_service_changed(s->manager, s);
        if (s->deploy)
                deploy_on_generation_changed(s->deploy, g);
}

void service_on_generation_cut(Service *s, const Generation *g) {
        uint64_t n[REUSE_BANKS_MAX];

        if (connections_count(s, n) < 0 || n[g->bank] == 0)
                return;

        s->n_cut_connections += n[g->bank];
        service_count_cut(s, g->bank, n[g->bank]);
        service_note(s, LOG_WARNING, MESSAGE_CONNECTIONS_CUT,
                     "%" PRIu64 " connections of generation %u are cut", n[g->bank], g->number);
}

void service_on_worker_lost(Service *s, Generation *g, const char *why) {
        if (s->deploy)
                deploy_on_worker_lost(s->deploy, g, why);
}

void service_on_deploy_changed(Service *s) {
        if (s->is_listening)
                service_put_readers(s);
        manager_on_service_changed(s->manager, s);
        service_scale_go_on(s);
}

void service_on_visitor(Service *s, unsigned bank, unsigned slot) {
        Generation *g = s->banks[bank];

        if (g)
                generation_wake(g, slot);
        else if (service_wake(s, slot) < 0)
                service_sockets_refuse(s); /* nobody would ever come, and he would wait for ever */
}

void service_on_visitors_reset(Service *s, unsigned bank, unsigned n) {
        s->n_reset += n;
        service_count_cut(s, bank, n);
        service_note(s, LOG_WARNING, MESSAGE_VISITORS_RESET,
                     "%u visitors came to the sockets of %s too late and were reset", n,
                     bank_color(bank));
}

/* Nobody is left in the bank that visitors go to. */
static void front_is_empty(Service *s, bool has_failed) {
        if (s->is_listening && s->settings->activation == ACTIVATION_ON_DEMAND && !has_failed) {
                service_note(s, LOG_INFO, MESSAGE_SERVICE_ASLEEP, "Asleep");
                (void) service_put_rule(s);
                service_put_readers(s);
                service_ahead_prepare(s);
                return;
        }

        s->has_failed = has_failed;
        service_sockets_refuse(s);
}

void service_on_generation_failed(Service *s, Generation *g) {
        if (g->bank == s->front && !s->deploy)
                service_sockets_refuse(s);
        generation_stop(g, s->settings->timeout_stop_usec);
}

void service_on_generation_gone(Service *s, Generation *g) {
        bool has_failed = g->has_failed;
        unsigned bank = g->bank;

        assert(s->banks[bank] == g);

        service_note(s, has_failed ? LOG_ERR : LOG_NOTICE,
                     has_failed ? MESSAGE_SERVICE_FAILED : MESSAGE_GENERATION_GONE,
                     "Generation %u is gone%s", g->number,
                     has_failed ? ": its workers ended badly and none will follow" : "");

        s->manager->n_cut += g->n_cut;
        s->banks[bank] = NULL;
        if (s->deploy)
                deploy_on_generation_gone(s->deploy, g);
        held_look(s, g);
        (void) generation_free(g);
        service_drop_endpoints(s);
        if (bank != s->front)
                (void) service_renew_bank(s, bank); /* it logs, and the next deploy tries again */

        /* While a deploy lasts visitors wait for the one that comes. */
        if (bank == s->front && !s->deploy)
                front_is_empty(s, has_failed);
        else if (s->is_listening)
                service_put_readers(s);
        service_store_update(s);
        manager_on_service_changed(s->manager, s);
}

/* ---- over the end of a daemon ---- */

void service_resume(Service *s) {
        LogFields fields = service_fields(s);

        service_store_resume(s);
        service_sockets_resume(s);
        if (s->is_listening)
                service_put_readers(s);
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank]) {
                        log_fields(LOG_INFO, &fields, "%s/%u: %u workers go on in %s",
                                   s->settings->name, s->banks[bank]->number,
                                   generation_n_workers(s->banks[bank]), bank_color(bank));
                        generation_resume(s->banks[bank]);
                }

        service_scale_resume(s);
        service_idle_resume(s);
        if (s->deploy)
                deploy_resume(s->deploy);
        service_idle_update(s);
        manager_on_service_changed(s->manager, s);
}
