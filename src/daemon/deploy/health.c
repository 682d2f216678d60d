#include "daemon/deploy/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/deploy/door.h"
#include "daemon/deploy/probe.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/spawn/errand.h"
#include "daemon/spawn/fd-protocol.h"
#include "daemon/spawn/handoff.h"
#include "daemon/timer.h"

#define WHY_SIZE_BYTES 256U

struct Health {
        Generation *generation; /* borrowed */
        const HealthCheck *check;
        HealthHandler handler;
        void *userdata;
        const Endpoint *endpoint;
        unsigned slot; /* of this round */
        unsigned n_good, n_bad;
        enum {
                VERDICT_NONE,
                VERDICT_GOOD,
                VERDICT_BAD
        } verdict;
        Probe *probe;
        DoorTurn *turn; /* of an errand */
        Errand *errand;
        sd_event_source *timer;
        char why[WHY_SIZE_BYTES];
};

static sd_event *event_of(const Health *h) {
        return h->generation->service->manager->event;
}

static int on_interval(sd_event_source *source, uint64_t usec, void *userdata);

/* The end of a round. */
static void judge(Health *h, bool is_good) {
        bool has_changed = false;

        h->n_good = is_good ? h->n_good + 1 : 0;
        h->n_bad = is_good ? 0 : h->n_bad + 1;
        h->slot = 0;

        if (h->n_good >= h->check->healthy) {
                has_changed = h->verdict != VERDICT_GOOD;
                h->verdict = VERDICT_GOOD;
        } else if (h->n_bad >= h->check->unhealthy) {
                has_changed = h->verdict != VERDICT_BAD;
                h->verdict = VERDICT_BAD;
        }

        (void) timer_arm(event_of(h), &h->timer, h->check->interval_usec, on_interval, h);
        if (has_changed)
                h->handler(is_good ? NULL : h->why, h->userdata);
}

static void look_at_slot(Health *h);

/* One slot was looked at. */
static void on_seen(Health *h, const char *why) {
        h->probe = probe_free(h->probe);
        h->turn = door_turn_free(h->turn);
        h->errand = errand_free(h->errand);

        if (why) {
                snprintf(h->why, sizeof(h->why), "health check of worker %u: %s", h->slot, why);
                judge(h, false);
                return;
        }

        if (++h->slot >= h->generation->n_slots)
                judge(h, true);
        else
                look_at_slot(h);
}

/* ---- http and tcp ---- */

static void on_probed(const char *why, void *userdata) {
        on_seen(userdata, why);
}

static int probe(Health *h) {
        const ProbePlan plan = {
                .endpoint = h->endpoint,
                .address = 0,
                .bank = h->generation->bank,
                .slot = h->slot,
                .http_path = h->check->http,
                .timeout_usec = h->check->timeout_usec,
        };

        return probe_new(&plan, on_probed, h, &h->probe);
}

/* ---- exec ---- */

static void on_errand(ErrandResult result, const char *how, void *userdata) {
        Health *h = userdata;
        char why[WHY_SIZE_BYTES];

        snprintf(why, sizeof(why), "%s %s", h->check->exec[0], how);
        on_seen(h, result == ERRAND_OK ? NULL : why);
}

static int make_environment(const Health *h, char ***ret) {
        const Generation *g = h->generation;
        const ReuseAddress *a = reuse_group_address(endpoint_group(h->endpoint, g->bank, 0));
        bool has_v4 = a->sa.sa_family == AF_INET || a->is_dual_stack;
        _cleanup_strv_ char **environment = NULL;
        char text[REUSE_ADDRESS_TEXT_SIZE];
        uint16_t bank_port, slot_port;
        int r;

        r = handoff_make_environment(g->service, g->build, g->number, g->bank, h->slot,
                                     &environment);
        if (r >= 0)
                r = environment_put(&environment, "REUSEPORTD_DOOR=%s",
                                    has_v4 ? REUSE_DOOR_SLOT_ADDRESS : "::1");
        door_ports(&bank_port, &slot_port);
        if (r >= 0 && !has_v4)
                r = environment_put(&environment, "REUSEPORTD_DOOR_PORT=%u", slot_port);
        if (r >= 0)
                r = environment_put(&environment, "REUSEPORTD_ADDRESS=%s",
                                    reuse_address_format(a, text, sizeof(text)));
        if (r < 0)
                return r;

        *ret = TAKE_PTR(environment);
        return 0;
}

/* The door stays ours as long as the command runs: it may connect when it likes. */
static void on_turn(int error, void *userdata) {
        Health *h = userdata;
        _cleanup_strv_ char **environment = NULL;
        const char *what = "prepare";
        char why[WHY_SIZE_BYTES];
        int r = error;

        if (r >= 0)
                r = make_environment(h, &environment);
        if (r >= 0)
                r = errand_new(event_of(h), h->check->exec, environment, h->check->timeout_usec,
                               on_errand, h, &h->errand, &what);
        if (r >= 0)
                return;

        snprintf(why, sizeof(why), "cannot %s %s: %s", what, h->check->exec[0], reuse_strerror(r));
        on_seen(h, why);
}

static void look_at_slot(Health *h) {
        int r;

        r = h->check->exec ? door_turn_new(h->generation->service, h->generation->bank, h->slot,
                                           on_turn, h, &h->turn)
                           : probe(h);
        if (r < 0) {
                snprintf(h->why, sizeof(h->why), "no probe can be made: %s", reuse_strerror(r));
                judge(h, false);
        }
}

static int on_interval(sd_event_source *source, uint64_t usec, void *userdata) {
        look_at_slot(userdata);
        return 0;
}

/* ---- birth and death ---- */

/* The one that is named; else the first that the check can speak to. */
static const Endpoint *choose_endpoint(const Generation *g, const HealthCheck *check) {
        for (size_t i = 0; i < g->n_endpoints; i++) {
                const Endpoint *e = g->endpoints[i];

                if (check->endpoint ? strcmp(check->endpoint, e->settings->name) == 0
                                    : check->exec || e->settings->type == SOCK_STREAM)
                        return e;
        }

        return NULL;
}

int health_new(Generation *g, HealthHandler handler, void *userdata, Health **ret) {
        _cleanup_(health_freep) Health *h = NULL;
        int r;

        h = calloc(1, sizeof(*h));
        if (!h)
                return -ENOMEM;

        h->generation = g;
        h->check = &g->service->settings->deploy.health_check;
        h->handler = handler;
        h->userdata = userdata;
        h->endpoint = choose_endpoint(g, h->check);
        if (!h->endpoint)
                return -ENODEV;

        r = timer_arm(event_of(h), &h->timer, 0, on_interval, h);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(h);
        return 0;
}

Health *health_free(Health *h) {
        if (!h)
                return NULL;

        h->timer = timer_disarm(h->timer);
        h->probe = probe_free(h->probe);
        h->turn = door_turn_free(h->turn);
        h->errand = errand_free(h->errand);
        free(h);
        return NULL;
}
