/* What a reload means for one service. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/manager.h"
#include "daemon/service/service-idle.h"
#include "daemon/service/service-sockets.h"
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

static int add_pending(char ***list, const char *group, const char *name, const char *key) {
        char word[256];

        snprintf(word, sizeof(word), "%s.%s.%s", group, name, key);
        return strv_contains(*list, word) ? 0 : strv_push(list, word);
}

static int add_pending_keys(const Service *s, const Generation *g, char ***list) {
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        int r;

        r = settings_diff_service(g->settings, s->settings, &diff);
        for (size_t i = 0; i < diff.n_changes && r >= 0; i++)
                if (diff.changes[i].applies != APPLIES_NOW)
                        r = add_pending(list, "services", s->settings->name,
                                        diff.changes[i].row->name);

        return r;
}

static const EndpointSettings *settings_then(const Generation *g, const char *name) {
        for (size_t i = 0; i < g->settings->n_endpoints; i++)
                if (strcmp(g->settings->endpoints[i]->name, name) == 0)
                        return g->settings->endpoints[i];

        return NULL;
}

/* Sockets of its endpoints, and how its workers call them. */
static int add_pending_endpoint(const Generation *g, const Endpoint *e, char ***list) {
        const EndpointSettings *then = settings_then(g, e->settings->name);
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        int r = 0;

        if (!then ||
            strcmp(endpoint_descriptor_name(then), endpoint_descriptor_name(e->settings)) != 0)
                r = add_pending(list, "endpoints", e->settings->name, "file_descriptor_name");
        if (r < 0 || !then || !endpoint_is_outdated(e, g->bank))
                return r;

        r = settings_diff_endpoint(then, e->settings, &diff);
        for (size_t i = 0; i < diff.n_changes && r >= 0; i++)
                if (diff.changes[i].applies == APPLIES_BY_NEW_SOCKETS &&
                    strcmp(diff.changes[i].row->name, "exclusive") != 0)
                        r = add_pending(list, "endpoints", e->settings->name,
                                        diff.changes[i].row->name);
        return r;
}

static int list_pending(const Service *s, const Generation *g, char ***ret) {
        _cleanup_strv_ char **list = NULL;
        int r;

        r = add_pending_keys(s, g, &list);
        for (size_t i = 0; i < g->n_endpoints && r >= 0; i++)
                if (g->endpoints[i]->service == s)
                        r = add_pending_endpoint(g, g->endpoints[i], &list);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(list);
        return 0;
}

int service_list_pending(const Service *s, char ***ret) {
        const Generation *g = service_current(s);

        *ret = NULL;
        return g ? list_pending(s, g, ret) : 0;
}

/* Whether its workers are such as the settings want. */
static bool is_outdated(const Service *s, const Generation *g) {
        _cleanup_strv_ char **list = NULL;

        return list_pending(s, g, &list) >= 0 && strv_length(list) > 0;
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
                        s->banks[bank]->is_outdated = is_outdated(s, s->banks[bank]);

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_reload(s->banks[bank]);

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
        service_idle_update(s);
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
