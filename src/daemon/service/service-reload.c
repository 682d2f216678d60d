/* What a reload means for one service. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/manager.h"
#include "daemon/service/service.h"
#include "settings/diff.h"

static bool is_held(const Service *s, const Endpoint *e) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank] && generation_holds(s->banks[bank], e))
                        return true;

        return false;
}

void service_drop_endpoints(Service *s) {
        size_t n = s->n_endpoints;

        for (size_t i = s->n_endpoints; i < s->n_held; i++) {
                if (is_held(s, s->endpoints[i]))
                        s->endpoints[n++] = s->endpoints[i];
                else
                        (void) endpoint_free(s->endpoints[i]);
        }
        s->n_held = n;
}

static bool is_among(Endpoint *const *list, size_t n, const Endpoint *e) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == e)
                        return true;

        return false;
}

/* Returns 1 if they are others than before. */
static int put_endpoints(Service *s, Endpoint *const *endpoints, size_t n_endpoints) {
        bool are_same = s->n_endpoints == n_endpoints &&
                        memcmp(s->endpoints, endpoints, n_endpoints * sizeof(Endpoint *)) == 0;
        Endpoint **all;
        size_t n = 0;

        if (are_same)
                return 0;

        all = calloc(n_endpoints + s->n_held, sizeof(Endpoint *));
        if (!all)
                return -ENOMEM;

        for (; n < n_endpoints; n++) {
                all[n] = endpoints[n];
                all[n]->service = s;
        }
        for (size_t i = 0; i < s->n_held; i++) {
                Endpoint *e = s->endpoints[i];

                if (is_among(endpoints, n_endpoints, e))
                        continue;
                if (!is_among(s->manager->endpoints, s->manager->n_endpoints, e))
                        all[n++] = e; /* not named any more: ours now */
                else if (e->service == s)
                        e->service = NULL;
        }

        free(s->endpoints);
        s->endpoints = all;
        s->n_endpoints = n_endpoints;
        s->n_held = n;
        service_drop_endpoints(s);
        return 1;
}

/* Whether its workers are such as the settings want. */
static bool is_outdated(const Generation *g, const ServiceSettings *settings) {
        SettingsDiff diff = { 0 };
        bool found = false;

        if (settings_diff_service(g->settings, settings, &diff) >= 0)
                for (size_t i = 0; i < diff.n_changes; i++)
                        found |= diff.changes[i].applies != APPLIES_NOW;
        settings_diff_done(&diff);

        return found;
}

/* Whether its sockets or their names are others than the settings say. */
static bool has_other_sockets(const Generation *g) {
        for (size_t i = 0; i < g->n_endpoints; i++) {
                const Endpoint *e = g->endpoints[i];
                const EndpointSettings *then = NULL;

                if (endpoint_is_outdated(e, g->bank))
                        return true;

                for (size_t k = 0; k < g->settings->n_endpoints; k++)
                        if (strcmp(g->settings->endpoints[k]->name, e->settings->name) == 0)
                                then = g->settings->endpoints[k];
                if (!then || strcmp(endpoint_descriptor_name(then),
                                    endpoint_descriptor_name(e->settings)) != 0)
                        return true;
        }

        return false;
}

static bool wants_other_sockets(const Service *s) {
        for (size_t i = 0; i < s->n_endpoints; i++)
                if (endpoint_is_outdated(s->endpoints[i], s->front))
                        return true;

        return false;
}

/* Its front has other endpoints than the settings say, or none yet. */
static void move_to_endpoints(Service *s) {
        LogFields fields = { .service = s->settings->name };
        char *why = NULL;
        int r;

        if (!s->is_listening)
                return;
        if (!service_current(s)) { /* asleep */
                (void) service_grow_bank(s, s->front, service_n_wanted(s));
                (void) service_put_rule(s);
                service_put_readers(s);
                return;
        }

        r = service_restart(s, &why);
        if (r < 0)
                log_fields(LOG_ERR, &fields,
                           "%s: its endpoints have changed, but no new generation can take them: %s; "
                           "reuseportctl restart %s tries again",
                           s->settings->name, why ? why : reuse_strerror(r), s->settings->name);
        free(why);
}

/* Whoever looks sees one go and another come. */
static void rename_service(Service *s, const ServiceSettings *settings) {
        LogFields fields = { .service = settings->name };

        log_fields(LOG_NOTICE, &fields, "%s: takes over from %s", settings->name,
                   s->settings->name);
        bus_tell(s->manager->bus, "service", s->settings->name, "removed", "");
        free(s->told);
        s->told = NULL;
}

int service_reload(Service *s, const ServiceSettings *settings, Endpoint *const *endpoints,
                   size_t n_endpoints) {
        bool has_scaled = s->settings->n_workers != settings->n_workers;
        bool is_renamed = strcmp(s->settings->name, settings->name) != 0;
        int r;

        r = put_endpoints(s, endpoints, n_endpoints);
        if (r < 0)
                return r;

        if (is_renamed)
                rename_service(s, settings);
        s->settings = settings;
        service_ahead_drop(s);
        if (has_scaled)
                s->n_scaled = 0;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        s->banks[bank]->is_outdated = is_outdated(s->banks[bank], settings) ||
                                                      has_other_sockets(s->banks[bank]);

        if (r > 0 || is_renamed || wants_other_sockets(s))
                move_to_endpoints(s);
        else if (s->is_listening) {
                if (!service_current(s))
                        (void) service_grow_bank(s, s->front, service_n_wanted(s));
                (void) service_put_rule(s);
                service_put_readers(s);
        }
        if (s->is_listening && settings->activation == ACTIVATION_EAGER && !service_current(s))
                (void) service_wake(s, /* slot= */ 0);

        service_ahead_prepare(s);
        manager_on_service_changed(s->manager, s);
        return 0;
}

void service_leave(Service *s, Settings *settings, const bool *is_ours) {
        size_t n = 0;

        s->is_leaving = true;
        LIST_INSERT_HEAD(&s->manager->leaving, s, leaving_others);
        s->settings_held = settings_ref(settings);
        service_refuse(s);

        for (size_t i = 0; i < s->n_endpoints; i++) {
                Endpoint *e = s->endpoints[i];

                if (!is_ours[i])
                        e->service = NULL;
        }
        for (size_t i = 0; i < s->n_held; i++) {
                Endpoint *e = s->endpoints[i];

                if (i < s->n_endpoints && !is_ours[i])
                        continue;
                endpoint_close(e);
                s->endpoints[n++] = e;
        }
        s->n_endpoints = 0;
        s->n_held = n;
        service_stop(s);
}
