#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/endpoint/taker.h"
#include "daemon/messages.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"
#include "daemon/why.h"

/* The new state, on the side. */
typedef struct Plan {
        Settings *settings;   /* borrowed */
        Endpoint **endpoints; /* one for each of the settings: new, or one that stays */
        bool *are_new;
        EndpointChange **changes; /* of those that stay and get other sockets; else NULL */
        Service **services;       /* one for each of the settings: one that stays, or NULL */
} Plan;

static void plan_done(Plan *p) {
        for (size_t i = 0; p->endpoints && p->are_new && i < p->settings->n_endpoints; i++)
                if (p->are_new[i])
                        (void) endpoint_free(p->endpoints[i]);
        for (size_t i = 0; p->changes && i < p->settings->n_endpoints; i++)
                (void) endpoint_change_free(p->changes[i]);
        free(p->changes);
        free(p->endpoints);
        free(p->are_new);
        free(p->services);
}

/* ---- which endpoints stay ---- */

/* `exclusive` is no property of sockets: it is looked at when they open, or here. */
static bool needs_other_sockets(const SettingsChange *c) {
        return c->applies == APPLIES_BY_NEW_SOCKETS && strcmp(c->row->name, "exclusive") != 0;
}

/* Whether the sockets of @before are what @now wants. */
static bool can_stay(const EndpointSettings *before, const EndpointSettings *now) {
        SettingsDiff diff = { 0 };
        bool can = settings_diff_endpoint(before, now, &diff) >= 0;

        for (size_t i = 0; i < diff.n_changes; i++)
                can &= !needs_other_sockets(&diff.changes[i]);
        settings_diff_done(&diff);

        return can;
}

static bool is_taken(const Plan *p, const Endpoint *e) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++)
                if (p->endpoints[i] == e)
                        return true;

        return false;
}

/* One with such sockets that is called otherwise, or one that was given up lately. */
static Endpoint *find_other(const Manager *m, const Plan *p, const EndpointSettings *now) {
        for (size_t i = 0; i < m->n_endpoints; i++) {
                Endpoint *e = m->endpoints[i];

                if (!is_taken(p, e) && can_stay(e->settings, now))
                        return e;
        }

        for (size_t i = 0; i < m->n_services; i++)
                for (size_t k = m->services[i]->n_endpoints; k < m->services[i]->n_held; k++) {
                        Endpoint *e = m->services[i]->endpoints[k];

                        if (!is_taken(p, e) && can_stay(e->settings, now))
                                return e;
                }

        return NULL;
}

static void find_staying(const Manager *m, Plan *p) {
        const Settings *s = p->settings;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                Endpoint *e = manager_find_endpoint(m, s->endpoints[i]->name);

                if (e && can_stay(e->settings, s->endpoints[i]))
                        p->endpoints[i] = e;
        }

        for (size_t i = 0; i < s->n_endpoints; i++)
                if (!p->endpoints[i])
                        p->endpoints[i] = find_other(m, p, s->endpoints[i]);
}

static bool has_open(const Endpoint *e, const ReuseAddress *address) {
        for (size_t i = 0; i < e->n_open; i++) {
                ReuseAddress open = *reuse_group_address(e->groups[i]);

                open.is_dual_stack = address->is_dual_stack;
                if (reuse_address_equal(&open, address))
                        return true;
        }

        return false;
}

/* New sockets at an address whose old ones are still open would join their group, or be another one from
 * which the kernel picks before any rule. */
static int check_address_is_free(const Endpoint *e, const EndpointSettings *now,
                                 char **reterr_why) {
        char text[REUSE_ADDRESS_TEXT_SIZE];

        for (size_t k = 0; k < now->n_addresses; k++)
                if (reuse_address_port(&now->addresses[k]) != 0 && has_open(e, &now->addresses[k]))
                        return why_say(reterr_why, -EBUSY,
                                       "endpoint %s: %s is open as endpoint %s, and bind_to_device, "
                                       "bind_ipv6_only, flows or the endpoint of an open address cannot be "
                                       "changed so; give it another address, or restart reuseportd",
                                       now->name,
                                       reuse_address_format(&now->addresses[k], text, sizeof(text)),
                                       e->settings->name);

        return 0;
}

static int check_addresses_are_free(const Manager *m, const EndpointSettings *now,
                                    char **reterr_why) {
        int r = 0;

        for (size_t i = 0; i < m->n_endpoints && r >= 0; i++)
                r = check_address_is_free(m->endpoints[i], now, reterr_why);

        return r;
}

/* Who is at the address already, if nobody may be from now on. */
static int check_exclusive(Manager *m, Endpoint *e, const EndpointSettings *now,
                           char **reterr_why) {
        const EndpointSettings *before = e->settings;

        if (before->is_exclusive || !now->is_exclusive)
                return 0;

        e->settings = now;
        strangers_look(m->strangers);
        e->settings = before;
        if (e->n_strangers > 0)
                return why_say(reterr_why, -EADDRINUSE,
                               "endpoint %s cannot be exclusive: there are %u sockets of others at its "
                               "addresses; the log says more",
                               now->name, e->n_strangers);

        return 0;
}

/* Who has taken it would share the visitors of a service, or hold sockets that are no longer ours. */
static int check_takers(const Endpoint *e, const EndpointSettings *now, bool stays,
                        char **reterr_why) {
        char text[320];

        if (!e || e->n_takers == 0 || (stays && !now->service))
                return 0;

        return why_say(reterr_why, -EBUSY, "endpoint %s is taken by %s; end that before %s%s%s",
                       now->name, takers_describe(e, text, sizeof(text)),
                       now->service ? "service " : "it has other sockets",
                       now->service ? now->service->name : "", now->service ? " gets it" : "");
}

static unsigned n_slots_of(const EndpointSettings *e) {
        return endpoint_n_slots(e, e->service ? e->service->n_workers : 0);
}

static int open_new(Manager *m, Plan *p, size_t i, char **reterr_why) {
        const EndpointSettings *now = p->settings->endpoints[i];
        Endpoint *e = manager_find_endpoint(m, now->name);
        int r;

        if (e && !is_taken(p, e) && endpoint_can_change(e, now)) {
                r = endpoint_change_new(e, now, n_slots_of(now), &p->changes[i]);
                if (r >= 0) {
                        p->endpoints[i] = e;
                        return 0;
                }
        } else {
                r = check_addresses_are_free(m, now, reterr_why);
                if (r < 0)
                        return r;
                r = endpoint_new(m, now, n_slots_of(now), &p->endpoints[i]);
                p->are_new[i] = r >= 0;
        }

        return r < 0 ? why_say(reterr_why, r, "endpoint %s cannot be opened: %s; the log says more",
                               now->name, reuse_strerror(r))
                     : 0;
}

static int plan_endpoints(Manager *m, Plan *p, char **reterr_why) {
        const Settings *s = p->settings;
        int r = 0;

        find_staying(m, p);
        for (size_t i = 0; i < s->n_endpoints && r >= 0; i++)
                r = check_takers(p->endpoints[i] ?: manager_find_endpoint(m, s->endpoints[i]->name),
                                 s->endpoints[i], p->endpoints[i], reterr_why);
        for (size_t i = 0; i < s->n_endpoints && r >= 0; i++)
                if (!p->endpoints[i])
                        r = open_new(m, p, i, reterr_why);
        for (size_t i = 0; i < s->n_endpoints && r >= 0; i++)
                if (!p->are_new[i])
                        r = check_exclusive(m, p->endpoints[i], s->endpoints[i], reterr_why);

        return r;
}

static bool has_place(const Plan *p, const Service *s) {
        for (size_t i = 0; i < p->settings->n_services; i++)
                if (p->services[i] == s)
                        return true;

        return false;
}

/* A service that goes and whose endpoint that one takes: it is the same by another name, and its next
 * generation what the settings say. */
static Service *find_former(const Plan *p, const ServiceSettings *now) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                Service *s = p->endpoints[i] && !p->are_new[i] ? p->endpoints[i]->service : NULL;

                if (s && p->settings->endpoints[i]->service == now && s->is_listening &&
                    !settings_find_service(p->settings, s->settings->name) && !has_place(p, s))
                        return s;
        }

        return NULL;
}

static void find_services(const Manager *m, Plan *p) {
        const Settings *s = p->settings;

        for (size_t i = 0; i < s->n_services; i++)
                p->services[i] = manager_find_service(m, s->services[i]->name);
        for (size_t i = 0; i < s->n_services; i++)
                if (!p->services[i])
                        p->services[i] = find_former(p, s->services[i]);
}

static int plan_new(Manager *m, Settings *settings, Plan *ret, char **reterr_why) {
        Plan p = { .settings = settings };
        int r = -ENOMEM;

        p.endpoints = calloc(settings->n_endpoints + 1, sizeof(Endpoint *));
        p.are_new = calloc(settings->n_endpoints + 1, sizeof(bool));
        p.changes = calloc(settings->n_endpoints + 1, sizeof(EndpointChange *));
        p.services = calloc(settings->n_services + 1, sizeof(Service *));
        if (p.endpoints && p.are_new && p.changes && p.services)
                r = plan_endpoints(m, &p, reterr_why);
        if (r < 0) {
                plan_done(&p);
                return r;
        }

        find_services(m, &p);
        *ret = p;
        return 0;
}

/* ---- what it has to wait for ---- */

static bool has_generations(const Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        return true;

        return false;
}

/* What a service is called from now on; NULL: it goes. */
static const ServiceSettings *next_settings(const Plan *p, const Service *s) {
        for (size_t i = 0; i < p->settings->n_services; i++)
                if (p->services[i] == s)
                        return p->settings->services[i];

        return NULL;
}

/* One endpoint of several that moves to another service does so when the workers of the old one are gone. */
static Service *find_giver(const Plan *p) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                const EndpointSettings *now = p->settings->endpoints[i];
                Service *before = p->endpoints[i] ? p->endpoints[i]->service : NULL;

                if (before && now->service && next_settings(p, before) != now->service &&
                    has_generations(before))
                        return before;
        }

        return NULL;
}

static Service *find_deploying(const Manager *m) {
        for (size_t i = 0; i < m->n_services; i++) {
                const Deploy *d = m->services[i]->deploy;

                if (d && !deploy_state_is_past_return(d->state))
                        return m->services[i];
        }

        return NULL;
}

/* ---- the switch: nothing fails but for memory, and then the service that met it stays as it is ---- */

static void leave_services(Manager *m, const Plan *p) {
        for (size_t i = 0; i < m->n_services; i++) {
                Service *s = m->services[i];
                _cleanup_free_ bool *are_ours = NULL;

                if (has_place(p, s))
                        continue;

                are_ours = calloc(s->n_endpoints + 1, sizeof(bool));
                for (size_t k = 0; are_ours && k < s->n_endpoints; k++)
                        are_ours[k] = !is_taken(p, s->endpoints[k]);
                if (!are_ours)
                        continue;

                bus_tell(m->bus, "service", s->settings->name, "removed", "");
                service_leave(s, m->settings, are_ours);
        }
}

/* The endpoints of a service in the order of its settings. */
static Endpoint **list_endpoints(const Plan *p, const ServiceSettings *s) {
        Endpoint **list = calloc(s->n_endpoints + 1, sizeof(Endpoint *));

        for (size_t i = 0; list && i < s->n_endpoints; i++)
                list[i] = p->endpoints[s->endpoints[i]->index];

        return list;
}

/* Visitors of one that sleeps go where nobody is, and other sockets come by a new generation: so it has to
 * wake, still by the settings before. */
static void wake_changing(const Plan *p) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                Service *s = p->changes[i] ? p->endpoints[i]->service : NULL;

                if (s && s->is_listening && !service_current(s))
                        (void) service_wake(s, /* slot= */ 0); /* it logs */
        }
}

/* Those that no service takes along are closed. */
static void put_endpoints(Manager *m, Plan *p, Settings *before) {
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

static void put_services(Manager *m, Plan *p, Endpoint **const *lists) {
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

static int commit(Manager *m, Plan *p, Settings *settings) {
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
        _cleanup_(plan_done) Plan p = { .settings = settings };
        int r;

        *ret_waits_for = find_deploying(m);
        if (*ret_waits_for)
                return 1;

        r = plan_new(m, settings, &p, reterr_why);
        if (r < 0)
                return r;
        *ret_waits_for = find_giver(&p);
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

                if (!s->has_to_give || has_generations(s))
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
