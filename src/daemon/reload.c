#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/messages.h"
#include "daemon/reload-plan.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"
#include "daemon/why.h"

/* ---- what it has to wait for ---- */

static Service *find_deploying(const Manager *m) {
        for (size_t i = 0; i < m->n_services; i++) {
                const Deploy *d = m->services[i]->deploy;

                if (d && !deploy_state_is_past_return(d->state))
                        return m->services[i];
        }

        return NULL;
}

/* ---- the switch: nothing fails but for memory, and then the service that met it stays as it is ---- */

static void leave_services(Manager *m, const ReloadPlan *p) {
        for (size_t i = 0; i < m->n_services; i++) {
                Service *s = m->services[i];
                _cleanup_free_ bool *are_ours = NULL;

                if (reload_plan_service(p, s))
                        continue;

                are_ours = calloc(s->n_endpoints + 1, sizeof(bool));
                for (size_t k = 0; are_ours && k < s->n_endpoints; k++)
                        are_ours[k] = !reload_plan_keeps(p, s->endpoints[k]);
                if (!are_ours)
                        continue;

                bus_tell(m->bus, "service", s->settings->name, "removed", "");
                service_leave(s, m->settings, are_ours);
        }
}

/* The endpoints of a service in the order of its settings. */
static Endpoint **list_endpoints(const ReloadPlan *p, const ServiceSettings *s) {
        Endpoint **list = calloc(s->n_endpoints + 1, sizeof(Endpoint *));

        for (size_t i = 0; list && i < s->n_endpoints; i++)
                list[i] = p->endpoints[s->endpoints[i]->index];

        return list;
}

/* Visitors of one that sleeps go where nobody is, and other sockets come by a new generation: so it has to
 * wake, still by the settings before. */
static void wake_changing(const ReloadPlan *p) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                Service *s = p->changes[i] ? p->endpoints[i]->service : NULL;

                if (s && s->is_listening && !service_current(s))
                        (void) service_wake(s, /* slot= */ 0); /* it logs */
        }
}

/* Those that no service takes along are closed. */
static void put_endpoints(Manager *m, ReloadPlan *p, Settings *before) {
        Endpoint **old = m->endpoints;
        size_t n_old = m->n_endpoints;

        m->endpoints = TAKE_PTR(p->endpoints);
        m->n_endpoints = p->settings->n_endpoints;
        for (size_t i = 0; i < m->n_endpoints; i++) {
                if (p->changes[i])
                        endpoint_change_apply(p->changes[i]);
                endpoint_reload(m->endpoints[i], p->settings->endpoints[i]);
                m->endpoints[i]->settings_held = settings_unref(m->endpoints[i]->settings_held);
        }

        /* Those that stay have new settings, and so their place among the new ones. */
        for (size_t i = 0; i < n_old; i++) {
                size_t index = old[i]->settings->index;

                if (index < m->n_endpoints && m->endpoints[index] == old[i])
                        continue;
                if (old[i]->service)
                        old[i]->settings_held = settings_ref(before);
                else
                        (void) endpoint_free(old[i]);
        }
        free(old);
}

static void start_service(Manager *m, const ServiceSettings *settings, Service **ret) {
        if (service_new(m, settings, ret) < 0) {
                log_error("%s: no memory for it", settings->name);
                *ret = NULL;
                return;
        }

        (void) service_start(*ret); /* it logs */
}

static void put_services(Manager *m, ReloadPlan *p, Endpoint **const *lists) {
        Service **old = m->services;
        size_t n = 0;

        m->services = TAKE_PTR(p->services);
        m->n_services = p->settings->n_services;
        free(old);

        /* First those that stay give up what others take. */
        for (size_t i = 0; i < m->n_services; i++)
                if (m->services[i] &&
                    service_reload(m->services[i], p->settings->services[i], lists[i],
                                   p->settings->services[i]->n_endpoints) < 0)
                        log_error("%s: no memory to reload it", m->services[i]->settings->name);
        for (size_t i = 0; i < m->n_services; i++)
                if (!m->services[i])
                        start_service(m, p->settings->services[i], &m->services[i]);

        for (size_t i = 0; i < m->n_services; i++)
                if (m->services[i])
                        m->services[n++] = m->services[i];
        m->n_services = n;
}

static void apply_daemon(Manager *m, const Settings *before) {
        const DaemonSettings *now = &m->settings->daemon;

        if (!m->has_own_log_level)
                log_set_level(now->log_level);
        if (!m->has_own_log_target && before->daemon.log_target != now->log_target)
                (void) log_open(now->log_target, NULL); /* it was checked */
        manager_reload_control(m);
}

/* Nobody lives in the banks of an endpoint that belongs to no service, unless somebody has taken it. */
static void renew_free(Manager *m) {
        for (size_t i = 0; i < m->n_endpoints; i++)
                for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                        if (!m->endpoints[i]->service && m->endpoints[i]->n_takers == 0)
                                (void) endpoint_renew(m->endpoints[i], bank); /* it logs */
}

static int commit(Manager *m, ReloadPlan *p, Settings *settings) {
        _cleanup_(settings_unrefp) Settings *before = NULL;
        Endpoint ***lists = calloc(settings->n_services + 1, sizeof(Endpoint **));
        int r = lists ? 0 : -ENOMEM;

        for (size_t i = 0; i < settings->n_services && r >= 0; i++) {
                lists[i] = list_endpoints(p, settings->services[i]);
                r = lists[i] ? 0 : -ENOMEM;
        }

        if (r >= 0) {
                leave_services(m, p);
                wake_changing(p);
                before = m->settings;
                m->settings = settings_ref(settings);
                put_endpoints(m, p, before);
                put_services(m, p, lists);
                renew_free(m);
                apply_daemon(m, before);
        }

        for (size_t i = 0; lists && i < settings->n_services; i++)
                free(lists[i]);
        free(lists);
        return r;
}

/* ---- together ---- */

/* Returns 0; 1: it waits for *ret_waits_for. */
static int apply(Manager *m, Settings *settings, Service **ret_waits_for, char **reterr_why) {
        _cleanup_(reload_plan_done) ReloadPlan p = { .settings = settings };
        int r;

        *ret_waits_for = find_deploying(m);
        if (*ret_waits_for)
                return 1;

        r = reload_plan_new(m, settings, &p, reterr_why);
        if (r < 0)
                return r;
        *ret_waits_for = reload_plan_giver(&p);
        if (*ret_waits_for) {
                (*ret_waits_for)->has_to_give = true;
                service_refuse(*ret_waits_for);
                service_stop(*ret_waits_for);
                return 1;
        }

        above_tell(m->above, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) now_usec());
        r = commit(m, &p, settings);
        above_tell(m->above, "READY=1\nSTATUS=%zu endpoints, %zu services", m->n_endpoints,
                   m->n_services);
        if (r < 0)
                return why_say(reterr_why, r, "no memory");

        manager_do_chores(m);
        CRASH_POINT("reloaded");
        state_touch_all(m->state);
        log_note(LOG_NOTICE, MESSAGE_RELOADED, "Reloaded: %zu endpoints, %zu services",
                 m->n_endpoints, m->n_services);
        bus_tell(m->bus, "daemon", "", "reloaded", m->settings->files[0]);
        return 0;
}

/* Those that were stopped only because they had to give an endpoint away. */
static void start_givers(Manager *m) {
        for (size_t i = 0; i < m->n_services; i++) {
                Service *s = m->services[i];

                if (!s->has_to_give || service_has_generations(s))
                        continue;
                s->has_to_give = false;
                (void) service_start(s); /* it logs */
        }
}

static int load(Manager *m, Settings **ret, char **reterr_why) {
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        const char *file = m->settings->files[0];
        size_t size = 0;
        FILE *stream;
        int r;

        r = settings_load(file, &problems, ret);
        STRV_FOREACH(line, problems.warnings)
                log_warning("%s", *line);
        if (r >= 0)
                return 0;

        stream = open_memstream(&text, &size);
        if (!stream)
                return -ENOMEM;
        fprintf(stream, "%s: %s; nothing was changed", file,
                r == -EBADMSG ? "it has problems" : strerror(-r));
        STRV_FOREACH(line, problems.lines) {
                log_error("%s", *line);
                fprintf(stream, "\n%s", *line);
        }
        if (fclose(stream) != 0)
                return -ENOMEM;

        log_note(LOG_ERR, MESSAGE_RELOAD_REFUSED, "%s: not reloaded, nothing was changed", file);
        return why_say(reterr_why, r, "%s", text);
}

int reload(Manager *m, SettingsDiff *ret_diff, Settings **ret_before, char **ret_waits_for,
           char **reterr_why) {
        _cleanup_(settings_unrefp) Settings *settings = NULL, *before = settings_ref(m->settings);
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        Service *waits_for = NULL;
        int r;

        if (m->is_stopping)
                return why_say(reterr_why, -ESHUTDOWN, "reuseportd is stopping");

        r = load(m, &settings, reterr_why);
        if (r >= 0)
                r = settings_diff(before, settings, &diff);
        if (r < 0)
                return r;

        m->settings_next = settings_unref(m->settings_next);
        r = apply(m, settings, &waits_for, reterr_why);
        if (r <= 0)
                start_givers(m);
        if (r < 0) {
                log_note(LOG_ERR, MESSAGE_RELOAD_REFUSED, "Not reloaded, nothing was changed: %s",
                         *reterr_why ? *reterr_why : strerror(-r));
                return r;
        }
        if (r > 0) {
                log_note(LOG_NOTICE, MESSAGE_RELOAD_WAITS, "The reload waits for %s",
                         waits_for->settings->name);
                m->settings_next = settings_ref(settings);
                state_touch_all(m->state);
                *ret_waits_for = strdup(waits_for->settings->name);
        }

        *ret_diff = diff;
        diff = (SettingsDiff){ 0 };
        *ret_before = TAKE_PTR(before);
        return 0;
}

void reload_go_on(Manager *m) {
        _cleanup_(settings_unrefp) Settings *settings = TAKE_PTR(m->settings_next);
        _cleanup_free_ char *why = NULL;
        Service *waits_for;
        int r;

        if (m->is_stopping)
                return;
        if (!settings) {
                start_givers(m);
                return;
        }

        r = apply(m, settings, &waits_for, &why);
        if (r <= 0)
                start_givers(m);
        if (r > 0)
                m->settings_next = TAKE_PTR(settings);
        else if (r < 0)
                log_note(LOG_ERR, MESSAGE_RELOAD_REFUSED, "Not reloaded, nothing was changed: %s",
                         why ? why : strerror(-r));
}

void reload_if_changed(Manager *m) {
        _cleanup_(settings_unrefp) Settings *settings = NULL, *before = NULL;
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        _cleanup_free_ char *waits_for = NULL, *why = NULL;
        int r;

        r = load(m, &settings, &why);
        if (r < 0) {
                log_error("The configuration has problems, the settings of before stay in force: %s",
                          why ? why : strerror(-r));
                return;
        }
        if (settings_texts_equal(&settings->texts, &m->settings->texts) ||
            (m->settings_next && settings_texts_equal(&settings->texts, &m->settings_next->texts)))
                return;

        log_notice("The configuration has changed meanwhile");
        (void) reload(m, &diff, &before, &waits_for, &why); /* it logs */
}
