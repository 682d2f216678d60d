#include "daemon/reload-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/endpoint/taker.h"
#include "daemon/why.h"
#include "settings/diff.h"

void reload_plan_done(ReloadPlan *p) {
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

bool reload_plan_keeps(const ReloadPlan *p, const Endpoint *e) {
        const EndpointSettings *now = settings_find_endpoint(p->settings, e->settings->name);

        if (now && p->endpoints[now->index] == e)
                return true;

        for (size_t i = 0; i < p->settings->n_endpoints; i++)
                if (p->endpoints[i] == e)
                        return true;

        return false;
}

/* One with such sockets that is called otherwise, or one that was given up lately. */
static Endpoint *find_other(const Manager *m, const ReloadPlan *p, const EndpointSettings *now) {
        for (size_t i = 0; i < m->n_endpoints; i++) {
                Endpoint *e = m->endpoints[i];

                if (!reload_plan_keeps(p, e) && can_stay(e->settings, now))
                        return e;
        }

        for (size_t i = 0; i < m->n_services; i++)
                for (size_t k = m->services[i]->n_endpoints; k < m->services[i]->n_held; k++) {
                        Endpoint *e = m->services[i]->endpoints[k];

                        if (!reload_plan_keeps(p, e) && can_stay(e->settings, now))
                                return e;
                }

        return NULL;
}

static void find_staying(const Manager *m, ReloadPlan *p) {
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

/* New sockets at an address whose old ones are still open would join their group, or be another one from
 * which the kernel picks before any rule. */
static int check_address_is_free(const Endpoint *e, const EndpointSettings *now,
                                 char **reterr_why) {
        char text[REUSE_ADDRESS_TEXT_SIZE];

        for (size_t k = 0; k < now->n_addresses; k++)
                if (reuse_address_port(&now->addresses[k]) != 0 &&
                    endpoint_has_open(e, &now->addresses[k]))
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

static int open_new(Manager *m, ReloadPlan *p, size_t i, char **reterr_why) {
        const EndpointSettings *now = p->settings->endpoints[i];
        Endpoint *e = manager_find_endpoint(m, now->name);
        int r;

        if (e && !reload_plan_keeps(p, e) && endpoint_can_change(e, now)) {
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

static int plan_endpoints(Manager *m, ReloadPlan *p, char **reterr_why) {
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

const ServiceSettings *reload_plan_service(const ReloadPlan *p, const Service *s) {
        const ServiceSettings *now = settings_find_service(p->settings, s->settings->name);

        if (now && p->services[now->index] == s)
                return now;

        for (size_t i = 0; i < p->settings->n_services; i++)
                if (p->services[i] == s)
                        return p->settings->services[i];

        return NULL;
}

/* A service that goes and whose endpoint that one takes: it is the same by another name, and its next
 * generation what the settings say. */
static Service *find_former(const ReloadPlan *p, const ServiceSettings *now) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                Service *s = p->endpoints[i] && !p->are_new[i] ? p->endpoints[i]->service : NULL;

                if (s && p->settings->endpoints[i]->service == now && s->is_listening &&
                    !settings_find_service(p->settings, s->settings->name) &&
                    !reload_plan_service(p, s))
                        return s;
        }

        return NULL;
}

static void find_services(const Manager *m, ReloadPlan *p) {
        const Settings *s = p->settings;

        for (size_t i = 0; i < s->n_services; i++)
                p->services[i] = manager_find_service(m, s->services[i]->name);
        for (size_t i = 0; i < s->n_services; i++)
                if (!p->services[i])
                        p->services[i] = find_former(p, s->services[i]);
}

int reload_plan_new(Manager *m, Settings *settings, ReloadPlan *ret, char **reterr_why) {
        ReloadPlan p = { .settings = settings };
        int r = -ENOMEM;

        p.endpoints = calloc(settings->n_endpoints + 1, sizeof(Endpoint *));
        p.are_new = calloc(settings->n_endpoints + 1, sizeof(bool));
        p.changes = calloc(settings->n_endpoints + 1, sizeof(EndpointChange *));
        p.services = calloc(settings->n_services + 1, sizeof(Service *));
        if (p.endpoints && p.are_new && p.changes && p.services)
                r = plan_endpoints(m, &p, reterr_why);
        if (r < 0) {
                reload_plan_done(&p);
                return r;
        }

        find_services(m, &p);
        *ret = p;
        return 0;
}

Service *reload_plan_giver(const ReloadPlan *p) {
        for (size_t i = 0; i < p->settings->n_endpoints; i++) {
                const EndpointSettings *now = p->settings->endpoints[i];
                Service *before = p->endpoints[i] ? p->endpoints[i]->service : NULL;

                if (before && now->service && reload_plan_service(p, before) != now->service &&
                    service_has_generations(before))
                        return before;
        }

        return NULL;
}
