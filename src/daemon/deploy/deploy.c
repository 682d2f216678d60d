#include "daemon/deploy/deploy.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "daemon/deploy/deploy-act.h"
#include "daemon/deploy/deploy-hook.h"
#include "daemon/deploy/drain.h"
#include "daemon/deploy/health.h"
#include "daemon/manager.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"

static sd_event *event_of(const Deploy *d) {
        return d->service->manager->event;
}

/* ---- the rule ---- */

void deploy_put(const Deploy *d, ReuseRule *rule) {
        rule->from_bank = (uint8_t) d->service->front;
        rule->to_bank = (uint8_t) d->service->front;
        rule->share_percent = 100;
        if (d->share_percent == 0 || d->service->front == d->new_bank)
                return;

        rule->share_by = d->share_by;
        rule->to_bank = (uint8_t) d->new_bank;
        rule->share_percent = (uint16_t) d->share_percent;
}

/* ---- the machine ---- */

static void deploy_set_state(Deploy *d, DeployState state) {
        if (d->state == state)
                return;

        deploy_log(d, LOG_DEBUG, "%s, then %s", deploy_state_to_string(d->state),
                   deploy_state_to_string(state));
        d->state = state;
        if (d->pending)
                (void) sd_event_source_set_enabled(d->pending, SD_EVENT_OFF);
}

bool deploy_event(Deploy *d, DeployEvent event, const char *why) {
        Service *s = d->service;
        DeployState next;
        DeployAction action;

        if (!deploy_table_look_up(d->state, event, &next, &action))
                return false;

        if (next == DEPLOY_REVERTING && d->state != DEPLOY_REVERTING)
                snprintf(d->result.reason, sizeof(d->result.reason), "%s",
                         why ?: deploy_event_to_string(event));

        deploy_set_state(d, next);
        CRASH_POINT("deploy-decided");
        state_touch_service(s);
        (void) state_flush(s->manager->state);
        CRASH_POINT("deploy-recorded");
        deploy_act(d, action); /* may free us */
        CRASH_POINT("deploy-acted");
        service_on_deploy_changed(s);
        return true;
}

void deploy_give_up(Deploy *d, const char *why) {
        if (!deploy_state_is_past_return(d->state) && d->result.outcome == DEPLOY_PENDING) {
                d->service->front = d->old_bank;
                d->result.left_bank = d->new_bank;
                d->share_percent = 0;
                snprintf(d->result.reason, sizeof(d->result.reason), "%s", why);
                (void) service_put_rule(d->service);
                deploy_publish_failure(d);
        }

        service_on_deploy_over(d->service);
}

/* ---- reports ---- */

void deploy_on_worker_lost(Deploy *d, Generation *g, const char *why) {
        if (g == d->new)
                (void) deploy_event(d, DEPLOY_ON_NEW_LOST, why);
}

void deploy_on_generation_changed(Deploy *d, Generation *g) {
        if (g == d->new &&generation_n_ready(g) == g->n_slots)
                (void) deploy_event(d, DEPLOY_ON_READY, NULL);
        else if (g == d->old && generation_is_failing(g))
                (void) deploy_event(d, DEPLOY_ON_OLD_GONE, NULL);
}

void deploy_on_generation_gone(Deploy *d, Generation *g) {
        bool was_old = g == d->old;

        if (was_old)
                d->old = NULL;
        else if (g == d->new)
                d->new = NULL;
        else
                return;

        if (was_old && !deploy_state_is_past_return(d->state) && d->state != DEPLOY_DRAINING)
                (void) deploy_event(d, DEPLOY_ON_OLD_GONE, NULL);
        else if (was_old == (d->service->front == d->new_bank))
                (void) deploy_event(d, DEPLOY_ON_LEFT_GONE, NULL);
        else
                (void) deploy_event(d, DEPLOY_ON_NEW_LOST, "all its workers are gone");
}

/* ---- birth and death ---- */

static void fail(Deploy *d, const char *why) {
        (void) deploy_event(d, DEPLOY_ON_ABORT, why);
}

static int on_progress_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Deploy *d = userdata;
        char why[128], duration[DURATION_TEXT_SIZE];

        snprintf(why, sizeof(why), "not ready for visitors within progress_deadline = %s",
                 format_duration(deploy_settings(d)->progress_deadline_usec, duration,
                                 sizeof(duration)));
        (void) deploy_event(d, DEPLOY_ON_PROGRESS_DEADLINE, why);
        return 0;
}

static void on_hook_pre(ErrandResult result, const char *how, void *userdata) {
        Deploy *d = userdata;
        char why[128];

        d->hook = errand_free(d->hook);
        if (result == ERRAND_OK) {
                generation_start(d->new, /* first= */ 0);
                return;
        }

        snprintf(why, sizeof(why), "hook_pre %s", how);
        (void) deploy_event(d, DEPLOY_ON_HOOK_FAILED, why);
}

static void take_request(Deploy *d, const DeployRequest *q) {
        const DeploySettings *s = deploy_settings(d);
        const unsigned *shares = q->shares ?: s->canary;
        bool has_streams = false;

        if (q->id)
                snprintf(d->result.id, sizeof(d->result.id), "%s", q->id);
        else
                snprintf(d->result.id, sizeof(d->result.id), "%s-%u-%llx",
                         d->service->settings->name, d->result.generation,
                         (unsigned long long) d->started_usec);

        d->n_shares = q->is_direct ? 0 : q->shares ? q->n_shares : s->n_canary;
        if (d->n_shares > DEPLOY_SHARES_MAX)
                d->n_shares = DEPLOY_SHARES_MAX;
        for (size_t i = 0; i < d->n_shares; i++)
                d->shares[i] = shares[i];

        d->step_usec = q->step_usec != USEC_INFINITY ? q->step_usec : s->step_usec;
        d->share_by = q->share_by >= 0 ? q->share_by : s->canary_by;
        d->is_preview = q->is_preview;

        /* A datagram is no connection: there it is always by flow. */
        for (size_t i = 0; i < d->service->n_endpoints; i++)
                has_streams |= d->service->endpoints[i]->settings->type == SOCK_STREAM;
        if (!has_streams && d->share_by == REUSE_SHARE_BY_CONNECTION)
                d->share_by = REUSE_SHARE_BY_FLOW;
}

static bool has_datagrams(const Service *s) {
        for (size_t i = 0; i < s->n_endpoints; i++)
                if (s->endpoints[i]->settings->type == SOCK_DGRAM)
                        return true;

        return false;
}

static int begin(Deploy *d) {
        char *const *hook = deploy_settings(d)->hook_pre;
        int r;

        r = timer_arm(event_of(d), &d->deadline, deploy_settings(d)->progress_deadline_usec,
                      on_progress_deadline, d);
        if (r < 0)
                return r;

        if (!hook) {
                generation_start(d->new, /* first= */ 0);
                return 0;
        }

        return deploy_hook_run(d, hook, "", on_hook_pre, &d->hook);
}

int deploy_new(Service *s, const DeployRequest *request, char **reterr_why) {
        Deploy *d;
        unsigned bank;
        int r;

        assert(!s->deploy);
        assert(service_current(s));

        r = service_find_free_bank(s, service_n_wanted(s), &bank, reterr_why);
        if (r < 0)
                return r;

        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;

        d->service = s;
        d->state = DEPLOY_STARTING;
        d->old = service_current(s);
        d->old_bank = s->front;
        d->new_bank = bank;
        d->build = build_ref(request->build);
        d->old_build = build_ref(d->old->build);
        d->started_usec = now_usec();
        d->result.left_bank = d->old_bank;
        d->result.previous = d->old->number;
        s->deploy = d;

        r = deploy_make_pending(d);
        if (r >= 0)
                r = service_add_generation(s, d->build, bank, &d->new);
        if (r < 0) {
                s->deploy = deploy_free(d);
                return r;
        }

        d->result.generation = d->new->number;
        take_request(d, request);
        generation_begin_trial(d->new);
        deploy_note(d, LOG_NOTICE, MESSAGE_DEPLOY_BEGAN, "starts in %s beside generation %u%s",
                    generation_color(d->new), d->result.previous,
                    has_datagrams(s) ? "; a flow of datagrams moves when the share reaches it"
                                     : "");

        state_touch_service(s);
        (void) state_flush(s->manager->state); /* a successor then leads back */
        CRASH_POINT("deploy-born");
        r = begin(d);
        CRASH_POINT("deploy-begun");
        state_touch_service(s);
        if (r < 0)
                fail(d, reuse_strerror(r));
        return 0;
}

/* ---- over the end of a daemon ---- */

DeployPending deploy_pending(const Deploy *d) {
        return (DeployPending){
                .progress_usec = timer_deadline(d->deadline),
                .next_step_usec = timer_deadline(d->step),
                .min_healthy_usec = timer_deadline(d->min_healthy),
                .has_event = deploy_has_pending(d),
                .event = d->pending_event,
                .has_hook = d->hook || d->has_lost_hook ||
                            (deploy_settings(d)->hook_pre && d->state == DEPLOY_STARTING &&
                             d->new && !generation_has_future(d->new)), /* it is about to run */
        };
}

int deploy_arm(Deploy *d, const DeployPending *pending) {
        int r;

        d->has_lost_hook = pending->has_hook;
        r = timer_arm_at(event_of(d), &d->deadline, pending->progress_usec, on_progress_deadline,
                         d);
        return r < 0 ? r : deploy_act_arm(d, pending);
}

void deploy_resume(Deploy *d) {
        deploy_log(d, LOG_INFO, "goes on, %s", deploy_state_to_string(d->state));
        deploy_act_resume(d);
}

Deploy *deploy_free(Deploy *d) {
        if (!d)
                return NULL;

        d->pending = sd_event_source_disable_unref(d->pending);
        d->deadline = timer_disarm(d->deadline);
        d->step = timer_disarm(d->step);
        d->min_healthy = timer_disarm(d->min_healthy);
        d->drain = drain_free(d->drain);
        d->health = health_free(d->health);
        d->hook = errand_free(d->hook);
        d->build = build_unref(d->build);
        d->old_build = build_unref(d->old_build);
        free(d);
        return NULL;
}
