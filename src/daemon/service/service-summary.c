#include "daemon/service/service-summary.h"

#include <string.h>

#include "daemon/deploy/drain.h"
#include "daemon/service/generation.h"
#include "daemon/worker/notify.h"

static unsigned n_restarts(const Service *s) {
        unsigned n = 0;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                n += s->banks[bank] ? s->banks[bank]->n_restarts : 0;

        return n;
}

uint64_t service_n_notifications_refused(const Service *s) {
        uint64_t n = 0;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                const Generation *g = s->banks[bank];

                for (unsigned i = 0; g && i < g->n_places; i++)
                        if (g->slots[i].worker && g->slots[i].worker->notify)
                                n += notify_n_refused(g->slots[i].worker->notify);
        }

        return n;
}

unsigned service_n_draining(const Service *s) {
        return (s->leaving ? drain_n_waiting(s->leaving) : 0) +
               (s->deploy && s->deploy->drain ? drain_n_waiting(s->deploy->drain) : 0);
}

ServiceSummary service_summarize(const Service *s) {
        const Generation *g = service_current(s);
        const Deploy *d = s->deploy;

        return (ServiceSummary){
                .state = service_state(s),
                .generation = g ? g->number : 0,
                .color = g ? generation_color(g) : "",
                .n_ready = g ? generation_n_ready(g) : 0,
                .n_wanted = g ? g->n_slots : service_n_wanted(s),
                .n_restarts = n_restarts(s),
                .is_pending = g && g->is_outdated,
                .deploy_state = d ? deploy_state_to_public_string(d->state) : NULL,
                .share_percent = d ? d->share_percent : 0,
                .step = d ? (unsigned) d->n_steps_done : 0,
                .is_decided = d && d->result.outcome != DEPLOY_PENDING,
        };
}

bool service_summary_equal(const ServiceSummary *a, const ServiceSummary *b) {
        return a->state == b->state && a->generation == b->generation &&
               strcmp(a->color, b->color) == 0 && a->n_ready == b->n_ready &&
               a->n_wanted == b->n_wanted && a->n_restarts == b->n_restarts &&
               a->is_pending == b->is_pending && a->deploy_state == b->deploy_state &&
               a->share_percent == b->share_percent && a->step == b->step &&
               a->is_decided == b->is_decided;
}
