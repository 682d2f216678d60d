/* More or fewer workers, without a connection lost.
 *
 * More: sockets are appended to the bank, which moves no index, and a worker that is ready enters the rule.
 * Fewer: the last slots leave the rule, are drained like a bank that a deploy leaves, and only then are
 * their workers asked to stop.  Their sockets stay, so that the next growth finds them.
 */

#include <errno.h>

#include "base/log.h"
#include "daemon/deploy/drain.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service-verbs.h"
#include "daemon/service/service.h"
#include "daemon/why.h"

unsigned service_n_wanted(const Service *s) {
        return s->n_scaled > 0 ? s->n_scaled : s->settings->n_workers;
}

void service_scale_end(Service *s) {
        s->leaving = drain_free(s->leaving);
}

static void let_go(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank] && s->banks[bank]->number == s->leaving_number)
                        generation_let_go(s->banks[bank], s->settings->deploy.drain_timeout_usec);
}

static void on_drained(bool in_time, void *userdata) {
        Service *s = userdata;
        LogFields fields = { .service = s->settings->name };

        if (!in_time)
                log_fields(LOG_WARNING, &fields,
                           "%s: slots that are given up were not empty within drain_delay; who still "
                           "comes there is reset",
                           s->settings->name);
        s->leaving = drain_free(s->leaving);
        let_go(s);
}

/* The slots behind those that are wanted. */
static void drain_rest(Service *s, const Generation *g) {
        int r;

        service_scale_end(s);
        if (g->n_places == g->n_slots)
                return;

        s->leaving_number = g->number;
        r = drain_new(s, g->bank, g->n_slots, g->n_places - g->n_slots,
                      s->settings->deploy.drain_delay_usec, on_drained, s, &s->leaving);
        if (r < 0) {
                LogFields fields = { .service = s->settings->name };

                log_fields(LOG_WARNING, &fields,
                           "%s: slots that are given up cannot be watched while they empty: %s; their "
                           "workers are asked to stop now",
                           s->settings->name, reuse_strerror(r));
                let_go(s);
        }
}

void service_scale_resume(Service *s) {
        const Generation *g = service_current(s);
        bool has_more = false;

        for (unsigned i = g ? g->n_slots : 0; g && i < g->n_places; i++)
                has_more |= g->slots[i].worker && !g->slots[i].is_let_go;
        if (has_more && !g->is_stopping)
                drain_rest(s, g);
        service_scale_go_on(s);
}

static bool must_wait(const Service *s) {
        return s->deploy && !deploy_state_is_past_return(s->deploy->state);
}

static int apply(Service *s) {
        Generation *g = service_current(s);
        unsigned n = service_n_wanted(s);
        LogFields fields = { .service = s->settings->name, .generation = g ? g->number : 0 };
        int r;

        r = service_grow_bank(s, s->front, n);
        if (r < 0)
                return r;

        s->is_scale_due = false;
        if (!g && s->is_listening) { /* asleep */
                service_put_readers(s);
                return service_put_rule(s);
        }
        if (!g)
                return 0;
        if (g->is_stopping || g->n_slots == n)
                return 0;

        fields.message_id = MESSAGE_SERVICE_SCALED;
        log_fields(LOG_NOTICE, &fields, "%s: from %u to %u workers", s->settings->name, g->n_slots,
                   n);
        generation_set_n_slots(g, n);
        drain_rest(s, g);
        return 0;
}

static int on_later(sd_event_source *source, void *userdata) {
        Service *s = userdata;
        LogFields fields = { .service = s->settings->name };
        int r;

        if (!s->is_scale_due || must_wait(s))
                return 0;

        r = apply(s);
        if (r < 0) {
                s->is_scale_due = false;
                log_fields(LOG_ERR, &fields, "%s: it cannot be scaled to %u workers: %s",
                           s->settings->name, service_n_wanted(s), reuse_strerror(r));
        }
        return 0;
}

void service_scale_go_on(Service *s) {
        if (!s->is_scale_due || must_wait(s))
                return;

        /* Who calls us is in the middle of a deploy. */
        if (!s->scale_later &&
            sd_event_add_defer(s->manager->event, &s->scale_later, on_later, s) < 0)
                return;
        (void) sd_event_source_set_enabled(s->scale_later, SD_EVENT_ONESHOT);
}

int service_verb_scale(Service *s, unsigned n_workers, char **reterr_why) {
        unsigned before = s->n_scaled;
        int r;

        if (s->manager->is_stopping)
                return why_say(reterr_why, -ESHUTDOWN, "reuseportd is stopping");
        if (n_workers < 1 || n_workers > WORKERS_MAX)
                return why_say(reterr_why, -ERANGE, "a service has 1 to %u workers, not %u",
                               WORKERS_MAX, n_workers);

        s->n_scaled = n_workers;
        s->is_scale_due = true;
        r = must_wait(s) ? 0 : apply(s);
        if (r < 0) {
                s->n_scaled = before;
                s->is_scale_due = false;
                return why_say(reterr_why, r, "%s cannot have %u workers: %s", s->settings->name,
                               n_workers, reuse_strerror(r));
        }

        manager_on_service_changed(s->manager, s);
        return 0;
}
