#include "daemon/service/service-idle.h"

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/deploy/drain.h"
#include "daemon/endpoint/connections.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"

/* So often within idle_timeout, but not more often or more seldom than that. */
#define N_LOOKS       64U
#define LOOK_MIN_USEC (20 * USEC_PER_MSEC)
#define LOOK_MAX_USEC (1 * USEC_PER_SEC)

struct ServiceIdle {
        Service *service;        /* borrowed */
        sd_event_source *look;   /* armed: somebody may still be there */
        uint64_t last_seen_usec; /* when somebody was, or the generation became what it is */
        Drain *drain;            /* of a bank that visitors were led away from */
        unsigned drained_bank, drained_number;
};

static bool may_sleep(const Service *s) {
        const Generation *g = service_current(s);

        return s->settings->activation == ACTIVATION_ON_DEMAND &&
               s->settings->idle_timeout_usec != USEC_INFINITY && s->is_listening && !s->deploy &&
               g && !g->is_stopping && generation_has_all_been_ready(g);
}

static uint64_t look_usec(const Service *s) {
        uint64_t usec = s->settings->idle_timeout_usec / N_LOOKS;

        return usec < LOOK_MIN_USEC ? LOOK_MIN_USEC : usec > LOOK_MAX_USEC ? LOOK_MAX_USEC : usec;
}

static bool anybody_waits(const Service *s) {
        const Generation *g = service_current(s);

        for (size_t i = 0; i < s->n_endpoints; i++)
                for (unsigned slot = 0; slot < g->n_slots; slot++)
                        if (endpoint_queue(s->endpoints[i], g->bank, slot) > 0)
                                return true;

        return false;
}

/* What cannot be counted is there. */
static bool anybody_is_there(const Service *s) {
        uint64_t n[REUSE_BANKS_MAX];

        if (anybody_waits(s) || connections_count(s, n) < 0)
                return true;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (n[bank] > 0)
                        return true;

        return false;
}

/* Whoever lives in that bank may be another one by now. */
static void on_drained(bool in_time, void *userdata) {
        ServiceIdle *i = userdata;
        Service *s = i->service;
        Generation *g = s->banks[i->drained_bank];

        i->drain = drain_free(i->drain);
        if (g && g->number == i->drained_number)
                generation_stop(g, s->settings->deploy.drain_timeout_usec);
}

static ServiceIdle *get(Service *s) {
        if (!s->idle)
                s->idle = calloc(1, sizeof(*s->idle));
        if (s->idle)
                s->idle->service = s;

        return s->idle;
}

static int leave(ServiceIdle *i, const Generation *g) {
        int r;

        r = drain_new(i->service, g->bank, /* first_slot= */ 0, g->n_slots,
                      i->service->settings->deploy.drain_delay_usec, on_drained, i, &i->drain);
        i->drained_bank = g->bank;
        i->drained_number = g->number;
        return r;
}

void service_idle_resume(Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX && !s->deploy; bank++) {
                Generation *g = s->banks[bank];

                if (bank == s->front || !g || g->is_stopping)
                        continue;
                if (!get(s) || s->idle->drain || leave(s->idle, g) < 0)
                        generation_stop(g, s->settings->deploy.drain_timeout_usec);
        }
}

static int lead_away(ServiceIdle *i, char **reterr_why) {
        Service *s = i->service;
        const Generation *g = service_current(s);
        unsigned front = s->front;
        int r;

        r = service_find_free_bank(s, service_n_wanted(s), &s->front, reterr_why);
        if (r < 0)
                return r;

        service_put_readers(s); /* a visitor of the new front must wake us from the first on */
        r = service_put_rule(s);
        if (r >= 0)
                r = leave(i, g);
        if (r < 0) {
                s->front = front;
                (void) service_put_rule(s);
                service_put_readers(s);
                return r;
        }

        return 0;
}

static void fall_asleep(ServiceIdle *i) {
        Service *s = i->service;
        LogFields fields = { .service = s->settings->name };
        _cleanup_free_ char *why = NULL;
        char duration[DURATION_TEXT_SIZE];

        if (lead_away(i, &why) < 0) {
                log_fields(LOG_DEBUG, &fields, "%s: stays awake: %s", s->settings->name,
                           why ?: "its visitors cannot be led away");
                i->last_seen_usec = now_usec();
                service_idle_update(s);
                return;
        }

        fields.message_id = MESSAGE_SERVICE_ASLEEP;
        log_fields(LOG_INFO, &fields, "%s: nobody was connected for %s; asleep", s->settings->name,
                   format_duration(s->settings->idle_timeout_usec, duration, sizeof(duration)));
        service_idle_update(s);
        service_ahead_prepare(s);
        manager_on_service_changed(s->manager, s);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        ServiceIdle *i = userdata;
        Service *s = i->service;

        i->look = timer_disarm(i->look);
        if (!may_sleep(s))
                return 0;

        if (i->drain || anybody_is_there(s))
                i->last_seen_usec = now_usec();
        else if (now_usec() - i->last_seen_usec >= s->settings->idle_timeout_usec) {
                fall_asleep(i);
                return 0;
        }

        (void) timer_arm(s->manager->event, &i->look, look_usec(s), on_look, i);
        return 0;
}

void service_idle_update(Service *s) {
        ServiceIdle *i = s->idle;

        if (!may_sleep(s)) {
                if (i)
                        i->look = timer_disarm(i->look);
                return;
        }
        i = get(s);
        if (!i) /* and it stays awake */
                return;
        if (i->look)
                return;

        i->last_seen_usec = now_usec();
        (void) timer_arm(s->manager->event, &i->look, look_usec(s), on_look, i);
}

ServiceIdle *service_idle_free(ServiceIdle *i) {
        if (!i)
                return NULL;

        i->look = timer_disarm(i->look);
        i->drain = drain_free(i->drain);
        free(i);
        return NULL;
}
