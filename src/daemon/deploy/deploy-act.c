#include "daemon/deploy/deploy-act.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/deploy/deploy-hook.h"
#include "daemon/deploy/drain.h"
#include "daemon/deploy/health.h"
#include "daemon/manager.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service.h"
#include "daemon/spawn/errand.h"
#include "daemon/timer.h"

/* How long a bank that nobody was led to is drained: requests of people at the door. */
#define EMPTY_BANK_USEC (1 * USEC_PER_SEC)

static sd_event *event_of(const Deploy *d) {
        return d->service->manager->event;
}

/* ---- events that follow from what we just did ---- */

static int on_pending(sd_event_source *source, void *userdata) {
        Deploy *d = userdata;
        DeployEvent event = d->pending_event;

        (void) deploy_event(d, event,
                            event == DEPLOY_ON_HOOK_FAILED ? "reuseportd ended while hook_pre ran"
                                                           : NULL);
        return 0;
}

int deploy_make_pending(Deploy *d) {
        int r;

        r = sd_event_add_defer(event_of(d), &d->pending, on_pending, d);
        return r < 0 ? r : sd_event_source_set_enabled(d->pending, SD_EVENT_OFF);
}

bool deploy_has_pending(const Deploy *d) {
        int enabled = SD_EVENT_OFF;

        return d->pending && sd_event_source_get_enabled(d->pending, &enabled) >= 0 &&
               enabled != SD_EVENT_OFF;
}

/* No recursion through events: it happens when we have returned. */
static void post(Deploy *d, DeployEvent event) {
        d->pending_event = event;
        if (d->pending || deploy_make_pending(d) >= 0)
                (void) sd_event_source_set_enabled(d->pending, SD_EVENT_ONESHOT);
}

static void on_health(const char *why, void *userdata) {
        Deploy *d = userdata;

        if (why)
                (void) deploy_event(d, DEPLOY_ON_PROBES_FAILED, why);
        else
                (void) deploy_event(d,
                                    d->is_preview ? DEPLOY_ON_PROBES_OK_HOLD : DEPLOY_ON_PROBES_OK,
                                    NULL);
}

static bool has_health_check(const Deploy *d) {
        const HealthCheck *h = &deploy_settings(d)->health_check;

        return h->http || h->is_tcp || h->exec;
}

static void begin_checks(Deploy *d) {
        int r;

        r = health_new(d->new, on_health, d, &d->health);
        if (r < 0) {
                deploy_log(d, LOG_ERR, "the health check cannot be made: %s", reuse_strerror(r));
                post(d, DEPLOY_ON_PROBES_FAILED);
        }
}

static void do_check(Deploy *d) {
        if (!d->old || generation_is_failing(d->old)) {
                post(d, DEPLOY_ON_OLD_GONE);
                return;
        }
        (void) service_put_rule(d->service); /* the door */
        if (!has_health_check(d)) {
                post(d, d->is_preview ? DEPLOY_ON_PROBES_OK_HOLD : DEPLOY_ON_PROBES_OK);
                return;
        }

        begin_checks(d);
}

static void do_hold(Deploy *d) {
        char door[192];

        d->deadline = timer_disarm(d->deadline);
        if (door_describe(d->service->endpoints[0], door, sizeof(door)))
                deploy_note(d, LOG_NOTICE, MESSAGE_DEPLOY_PREVIEW,
                            "have a look: curl %s ; then promote or abort", door);
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata) {
        Deploy *d = userdata;

        (void) deploy_event(d, d->n_steps_done < d->n_shares ? DEPLOY_ON_STEP : DEPLOY_ON_LAST_STEP,
                            NULL);
        return 0;
}

static void do_share(Deploy *d) {
        unsigned before = d->share_percent;
        int r;

        d->deadline = timer_disarm(d->deadline);
        if (d->n_shares == 0) {
                post(d, DEPLOY_ON_LAST_STEP);
                return;
        }

        d->share_percent = d->shares[d->n_steps_done++];
        d->had_visitors = true;
        r = service_put_rule(d->service);
        if (r >= 0)
                r = timer_arm(event_of(d), &d->step, d->step_usec, on_step, d);
        if (r < 0) {
                d->share_percent = before;
                post(d, DEPLOY_ON_PROBES_FAILED);
                return;
        }
        deploy_note(d, LOG_NOTICE, MESSAGE_DEPLOY_SHARE, "%u %% of new connections",
                    d->share_percent);
}

static void go_on_when_empty(Deploy *d) {
        if (d->is_drained && d->is_healthy_long_enough)
                (void) deploy_event(d,
                                    d->was_drained_in_time ? DEPLOY_ON_LEFT_EMPTY
                                                           : DEPLOY_ON_DRAIN_DELAY,
                                    NULL);
}

static void on_drained(bool in_time, void *userdata) {
        Deploy *d = userdata;

        d->drain = drain_free(d->drain);
        d->is_drained = true;
        d->was_drained_in_time = in_time;
        if (!in_time)
                deploy_note(d, LOG_WARNING, MESSAGE_DRAIN_LATE,
                            "the left bank was not empty after drain_delay: who comes there now is reset");
        go_on_when_empty(d);
}

static int on_min_healthy(sd_event_source *source, uint64_t usec, void *userdata) {
        Deploy *d = userdata;

        d->is_healthy_long_enough = true;
        go_on_when_empty(d);
        return 0;
}

static int empty_bank(Deploy *d, unsigned bank, unsigned n_slots, uint64_t delay_usec) {
        uint64_t now = now_usec();

        d->drain = drain_free(d->drain);
        d->is_drained = d->was_drained_in_time = false;
        d->drain_deadline_usec = delay_usec < USEC_INFINITY - now ? now + delay_usec
                                                                  : USEC_INFINITY;
        return drain_new(d->service, bank, 0, n_slots, delay_usec, on_drained, d, &d->drain);
}

/* The old generation is gone, but somebody waits in its bank: workers of the new build serve him there.
 * Returns whether there is anybody to leave that bank. */
static bool rescue_left_bank(Deploy *d) {
        unsigned n_waiting = 0;

        for (size_t i = 0; i < d->service->n_endpoints; i++)
                for (unsigned slot = 0; slot < service_n_wanted(d->service); slot++)
                        n_waiting += endpoint_queue(d->service->endpoints[i], d->old_bank, slot);

        if (n_waiting == 0 ||
            service_add_generation(d->service, d->build, d->old_bank, &d->old) < 0)
                return false;

        deploy_log(d, LOG_NOTICE,
                   "%u visitors wait in %s, which has no worker: it gets new ones for them",
                   n_waiting, bank_color(d->old_bank));
        generation_start(d->old, /* first= */ 0);
        return true;
}

/* @delay_usec  at most so long */
static void leave_old_bank(Deploy *d, uint64_t delay_usec) {
        int r;

        if (!d->old && !rescue_left_bank(d)) {
                post(d, DEPLOY_ON_LEFT_GONE);
                return;
        }

        r = empty_bank(d, d->old_bank, d->old->n_slots, delay_usec);
        if (r < 0)
                on_drained(false, d);
}

static void do_switch(Deploy *d) {
        uint64_t min_healthy_usec = deploy_settings(d)->min_healthy_time_usec;
        int r;

        d->deadline = timer_disarm(d->deadline);
        d->step = timer_disarm(d->step);
        d->service->front = d->new_bank;
        d->share_percent = 100;
        d->had_visitors = true;
        r = service_put_rule(d->service);
        if (r < 0) {
                d->service->front = d->old_bank;
                post(d, DEPLOY_ON_PROBES_FAILED);
                return;
        }

        deploy_note(d, LOG_NOTICE, MESSAGE_DEPLOY_SWITCHED, "all new connections");
        d->is_healthy_long_enough = min_healthy_usec == 0;
        if (!d->is_healthy_long_enough)
                (void) timer_arm(event_of(d), &d->min_healthy, min_healthy_usec, on_min_healthy, d);
        leave_old_bank(d, deploy_settings(d)->drain_delay_usec);
}

/* From here there is no way back: for whoever waits it is done. */
static void do_ask_old(Deploy *d) {
        Service *s = d->service;

        d->health = health_free(d->health);
        d->min_healthy = timer_disarm(d->min_healthy);
        d->result.outcome = DEPLOY_SUCCEEDED;
        d->result.duration_usec = now_usec() - d->started_usec;
        service_set_previous_build(s, d->old_build);
        if (d->new)
                generation_end_trial(d->new);

        deploy_note(d, LOG_NOTICE, MESSAGE_DEPLOY_DONE,
                    "done; generation %u finishes its connections", d->result.previous);
        service_publish_result(s, &d->result);
        generation_stop(d->old, deploy_settings(d)->drain_timeout_usec);
}

static void do_revert(Deploy *d) {
        uint64_t delay_usec = deploy_settings(d)->drain_delay_usec;
        int r = 0;

        d->health = health_free(d->health);
        d->hook = errand_free(d->hook);
        d->deadline = timer_disarm(d->deadline);
        d->step = timer_disarm(d->step);
        d->min_healthy = timer_disarm(d->min_healthy);
        d->service->front = d->old_bank;
        d->result.left_bank = d->new_bank;
        d->share_percent = 0;
        (void) service_put_rule(d->service);

        deploy_note(d, LOG_WARNING, MESSAGE_DEPLOY_REVERTS, "rolling back: %s", d->result.reason);
        if (!d->new) {
                post(d, DEPLOY_ON_LEFT_GONE);
                return;
        }

        d->is_healthy_long_enough = true;
        if (d->had_visitors)
                generation_rescue(d->new, d->old_build);
        else if (delay_usec > EMPTY_BANK_USEC)
                delay_usec = EMPTY_BANK_USEC;

        r = empty_bank(d, d->new_bank, d->new->n_slots, delay_usec);
        if (r < 0)
                on_drained(false, d);
}

void deploy_publish_failure(Deploy *d) {
        if (d->result.outcome != DEPLOY_PENDING)
                return;

        d->result.outcome = DEPLOY_FAILED;
        d->result.duration_usec = now_usec() - d->started_usec;
        service_publish_result(d->service, &d->result);
}

static void do_ask_new(Deploy *d) {
        deploy_publish_failure(d);
        generation_stop(d->new, deploy_settings(d)->drain_timeout_usec);
}

void deploy_count_as_done(Deploy *d) {
        assert(deploy_state_is_past_return(d->state));

        deploy_hook_run_detached(d, deploy_settings(d)->hook_post, "done");
        service_on_deploy_over(d->service);
}

static void do_finish(Deploy *d) {
        Service *s = d->service;

        if (d->result.outcome == DEPLOY_PENDING) { /* the old one was gone by itself */
                d->result.outcome = DEPLOY_SUCCEEDED;
                d->result.duration_usec = now_usec() - d->started_usec;
                service_set_previous_build(s, d->old_build);
                if (d->new)
                        generation_end_trial(d->new);
        }

        deploy_log(d, LOG_INFO, "generation %u is gone", d->result.previous);
        deploy_hook_run_detached(d, deploy_settings(d)->hook_post, "done");
        service_publish_result(s, &d->result);
        service_on_deploy_over(s);
}

static void do_roll_back(Deploy *d) {
        Service *s = d->service;

        deploy_publish_failure(d);
        deploy_note(d, LOG_WARNING, MESSAGE_DEPLOY_ROLLED_BACK, "rolled back: %s",
                    d->result.reason);
        deploy_hook_run_detached(d, deploy_settings(d)->hook_failed, "rolled_back");
        service_on_deploy_over(s);
}

/* ---- all of them ---- */

void deploy_act(Deploy *d, DeployAction action) {
        switch (action) {
        case DEPLOY_DO_NOTHING:
                break;
        case DEPLOY_DO_CHECK:
                do_check(d);
                break;
        case DEPLOY_DO_HOLD:
                do_hold(d);
                break;
        case DEPLOY_DO_SHARE:
                do_share(d);
                break;
        case DEPLOY_DO_SWITCH:
                do_switch(d);
                break;
        case DEPLOY_DO_ASK_OLD:
                do_ask_old(d);
                break;
        case DEPLOY_DO_REVERT:
                do_revert(d);
                break;
        case DEPLOY_DO_ASK_NEW:
                do_ask_new(d);
                break;
        case DEPLOY_DO_FINISH:
                do_finish(d);
                break;
        case DEPLOY_DO_ROLL_BACK:
                do_roll_back(d);
                break;
        case DEPLOY_ACTION_MAX:
        case DEPLOY_ACTION_INVALID:
                assert(false);
        }
}

/* ---- over the end of a daemon ---- */

int deploy_act_arm(Deploy *d, const DeployPending *pending) {
        int r;

        if (pending->has_event)
                post(d, pending->event);
        r = timer_arm_at(event_of(d), &d->step, pending->next_step_usec, on_step, d);
        return r < 0 ? r
                     : timer_arm_at(event_of(d), &d->min_healthy, pending->min_healthy_usec,
                                    on_min_healthy, d);
}

static void resume_starting(Deploy *d) {
        if (d->has_lost_hook)
                post(d, DEPLOY_ON_HOOK_FAILED);
        else if (!d->new)
                post(d, DEPLOY_ON_NEW_LOST);
        else if (generation_n_ready(d->new) == d->new->n_slots)
                post(d, DEPLOY_ON_READY);
        else if (!generation_has_future(d->new))
                generation_start(d->new, /* first= */ 0);
}

/* The share was in the record, its time was not: it has all of it again. */
static void resume_canary(Deploy *d) {
        if (d->step)
                return;

        if (d->n_steps_done > 0)
                d->n_steps_done--;
        do_share(d);
}

/* The front is in the record before the rule is replaced, and all else of the switch after it. */
static void resume_draining(Deploy *d) {
        uint64_t now = now_usec();
        bool has_switched = d->drain_deadline_usec > 0;

        if (!has_switched)
                do_switch(d);
        else if (d->is_drained)
                go_on_when_empty(d);
        else
                leave_old_bank(d, d->drain_deadline_usec > now ? d->drain_deadline_usec - now : 0);
}

/* What is still to happen by itself is armed; the rest begins again, which does no harm twice. */
void deploy_act_resume(Deploy *d) {
        bool is_checked = d->state == DEPLOY_PREVIEW || d->state == DEPLOY_CANARY ||
                          d->state == DEPLOY_DRAINING;

        if (deploy_has_pending(d))
                return;
        if (is_checked && d->new &&has_health_check(d))
                begin_checks(d);

        switch (d->state) {
        case DEPLOY_STARTING:
                resume_starting(d);
                break;
        case DEPLOY_CHECKING:
                do_check(d);
                break;
        case DEPLOY_PREVIEW:
                break;
        case DEPLOY_CANARY:
                resume_canary(d);
                break;
        case DEPLOY_DRAINING:
                resume_draining(d);
                break;
        case DEPLOY_LEAVING:
                if (!d->old)
                        post(d, DEPLOY_ON_LEFT_GONE);
                else
                        do_ask_old(d);
                break;
        case DEPLOY_REVERTING:
                do_revert(d);
                break;
        case DEPLOY_RETREATING:
                if (!d->new)
                        post(d, DEPLOY_ON_LEFT_GONE);
                else
                        do_ask_new(d);
                break;
        case DEPLOY_DONE:
                do_finish(d);
                break;
        case DEPLOY_ROLLED_BACK:
                do_roll_back(d);
                break;
        case DEPLOY_STATE_MAX:
        case DEPLOY_STATE_INVALID:
                assert(false);
        }
}
