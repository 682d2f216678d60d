#pragma once

/* The move of a service from one generation to the next: what carries out deploy-table.
 *
 * A Deploy exists while that happens and until it is known how it ended; it is born only when there is a
 * past to go back to.  It owns its timers, its checks and its drain; the generations are the service's.
 *
 *      new()  hook_pre ─► generation into a free bank ─► all ready ─► health through the door ─► shares
 *             ─► all to the new bank ─► drain the old bank ─► ask the old generation to stop: *done* for
 *             whoever waits ─► its last worker is gone ─► hook_post
 *
 * Whatever fails before the old one was asked to stop leads back: the old bank gets everything, the new one
 * is drained and asked to stop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/deploy/deploy-table.h"
#include "daemon/service/build.h"
#include "daemon/service/generation.h"
#include "reuse/reuseport.h"

typedef struct Service Service;
typedef struct Deploy Deploy;

#define DEPLOY_ID_SIZE     65U /* with the NUL */
#define DEPLOY_REASON_SIZE 512U
#define DEPLOY_SHARES_MAX  100U

/* What was asked for; what is not said comes from the settings.  Everything is borrowed. */
typedef struct DeployRequest {
        const char *id;         /* NULL: made here; letters, digits, "-", "_", "." */
        bool is_direct;         /* no canary, no steps: restart and rollback */
        const unsigned *shares; /* growing, 1…100; NULL: those of the settings */
        size_t n_shares;
        uint64_t step_usec;    /* USEC_INFINITY: that of the settings */
        ReuseShareBy share_by; /* REUSE_SHARE_BY_INVALID: that of the settings */
        bool is_preview;
        Build *build;
} DeployRequest;

/* How a deploy stands or ended; a plain value. */
typedef struct DeployResult {
        char id[DEPLOY_ID_SIZE];
        enum {
                DEPLOY_PENDING,
                DEPLOY_SUCCEEDED,
                DEPLOY_FAILED
        } outcome;
        unsigned generation, previous; /* numbers */
        unsigned left_bank; /* that nobody is led to any more; REUSE_BANKS_MAX: none was left */
        uint64_t cut_connections;        /* that were ended by us: late handshakes, final signals */
        uint64_t duration_usec;          /* until it was known */
        char reason[DEPLOY_REASON_SIZE]; /* of a failure; "" */
} DeployResult;

struct Deploy {
        Service *service;  /* borrowed */
        DeployState state; /* written by deploy_set_state() alone */
        DeployResult result;
        Generation *old, *new; /* borrowed; NULL when gone */
        unsigned old_bank, new_bank;
        Build *build, *old_build; /* references */
        unsigned shares[DEPLOY_SHARES_MAX];
        size_t n_shares;
        unsigned n_steps_done; /* the current step, from 1 */
        uint64_t step_usec;
        ReuseShareBy share_by;
        unsigned share_percent; /* to the new one */
        bool is_preview;
        bool had_visitors;            /* the new one */
        uint64_t drain_deadline_usec; /* of the drain */
        bool is_drained, is_healthy_long_enough, was_drained_in_time;
        uint64_t started_usec;
        struct Errand *hook;
        struct Health *health;
        struct Drain *drain;
        sd_event_source *deadline, *step, *min_healthy, *pending;
        DeployEvent pending_event;
        bool has_lost_hook; /* who was before us died while hook_pre ran */
};

/* What a deploy waits for, as points on CLOCK_MONOTONIC; USEC_INFINITY: not for that. */
typedef struct DeployPending {
        uint64_t progress_usec, next_step_usec, min_healthy_usec;
        bool has_event; /* which follows from what was just done */
        DeployEvent event;
        bool has_hook; /* hook_pre runs */
} DeployPending;

DeployPending deploy_pending(const Deploy *d);

/* One that comes back from before, in two steps: it waits for the same again; and, when everything else is
 * there, what its state does begins anew.  The second may free it. */
int deploy_arm(Deploy *d, const DeployPending *pending);
void deploy_resume(Deploy *d);

/* Begins a deploy of @request->build into a bank that is free, or a further one.
 *
 * @reterr_why  a sentence, the caller's
 *
 * Returns 0 and makes it the service's.  -EBUSY: no bank is free; -ENOMEM; an error of sockets. */
int deploy_new(Service *s, const DeployRequest *request, char **reterr_why);

/* Forgets it; what it had begun with generations goes on by itself. */
Deploy *deploy_free(Deploy *d);
DEFINE_CLEANUP(Deploy, deploy_free)

/* Tells it what happened.  @why is kept as the reason if it leads back.
 *
 * Returns whether the state has a row for it.  May end and free the deploy. */
bool deploy_event(Deploy *d, DeployEvent event, const char *why);

/* Past return: what is left of it goes on by itself, and another deploy may begin.  Frees it. */
void deploy_count_as_done(Deploy *d);

/* Takes everything back at once, without waiting for anything: the service stops. */
void deploy_give_up(Deploy *d, const char *why);

/* Writes its part of the rule: banks and share. */
void deploy_put(const Deploy *d, ReuseRule *rule);

/* From Service: a worker of the new generation is lost, a slot of either changed, one is gone. */
void deploy_on_worker_lost(Deploy *d, Generation *g, const char *why);
void deploy_on_generation_changed(Deploy *d, Generation *g);
void deploy_on_generation_gone(Deploy *d, Generation *g);
