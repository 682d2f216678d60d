#pragma once

/* The deploy machine, as a value: what follows from what.  No I/O, no clock, no memory.
 *
 *                 promote, or all is well
 *      starting ──► checking ──► canary ──► draining ──► leaving ──► done
 *          │         │    ▲        │           │        (old was asked to stop:
 *          │         ▼    │        │           │         there is no way back)
 *          │       preview─────────┤           │
 *          ▼                       ▼           ▼
 *      reverting ──► retreating ──► rolled back
 *        (all to the old one again;  (the new one was asked to stop)
 *         the new one's bank empties)
 *
 * People see "draining" for leaving and "reverting" for retreating.  A pair that has no row is ignored;
 * a verb that has none is refused.
 *
 * Two things are not here because a generation does them by itself, deploy or not.  The old one replaces its
 * own workers until it is asked to stop, at once if somebody waits; the new one does so only from then on:
 * before, a loss is a verdict.  And who was asked to stop is killed after drain_timeout, also when the
 * deploy that asked is long forgotten.
 */

#include <errno.h>
#include <stdbool.h>

typedef enum DeployState {
        DEPLOY_STARTING,   /* the new generation rises; every visitor to the old one */
        DEPLOY_CHECKING,   /* only the door leads to the new one */
        DEPLOY_PREVIEW,    /* checked well, and held for somebody to look */
        DEPLOY_CANARY,     /* a share of the visitors to the new one */
        DEPLOY_DRAINING,   /* all to the new one, and the old one's bank empties */
        DEPLOY_LEAVING,    /* the old one finishes its connections */
        DEPLOY_REVERTING,  /* all to the old one, and the new one's bank empties */
        DEPLOY_RETREATING, /* the new one finishes its connections */
        DEPLOY_DONE,
        DEPLOY_ROLLED_BACK,
        DEPLOY_STATE_MAX,
        DEPLOY_STATE_INVALID = -EINVAL,
} DeployState;

typedef enum DeployEvent {
        DEPLOY_ON_READY,             /* every worker of the new generation is ready */
        DEPLOY_ON_NEW_LOST,          /* a worker of the new generation ended, or could not start */
        DEPLOY_ON_OLD_GONE,          /* the old one has no worker, and its next ones fail */
        DEPLOY_ON_PROBES_OK,         /* enough rounds in a row; go on */
        DEPLOY_ON_PROBES_OK_HOLD,    /* the same, but somebody wants to look first */
        DEPLOY_ON_PROBES_FAILED,     /* enough failures in a row */
        DEPLOY_ON_PROGRESS_DEADLINE, /* the way to the first visitor took too long */
        DEPLOY_ON_STEP,              /* the time of this share is over, and a larger one follows */
        DEPLOY_ON_LAST_STEP,         /* the time of the last share is over */
        DEPLOY_ON_LEFT_EMPTY,    /* no handshake and no queue is left in the bank that is left */
        DEPLOY_ON_DRAIN_DELAY,   /* that took too long */
        DEPLOY_ON_DRAIN_TIMEOUT, /* the connections of the left generation took too long */
        DEPLOY_ON_LEFT_GONE,     /* the last worker of the left generation is gone */
        DEPLOY_ON_PROMOTE,       /* somebody says: go on now */
        DEPLOY_ON_ABORT,         /* abort, rollback, or the daemon stops */
        DEPLOY_ON_HOOK_FAILED,   /* hook_pre failed, or took longer than 30 s */
        DEPLOY_EVENT_MAX,
        DEPLOY_EVENT_INVALID = -EINVAL,
} DeployEvent;

typedef enum DeployAction {
        DEPLOY_DO_NOTHING,
        DEPLOY_DO_CHECK,   /* open the door, probe every slot */
        DEPLOY_DO_HOLD,    /* tell people where the door is */
        DEPLOY_DO_SHARE,   /* the next share to the new one; without steps: all */
        DEPLOY_DO_SWITCH,  /* all to the new one; begin to empty the old one's bank */
        DEPLOY_DO_ASK_OLD, /* kill_signal to the old one */
        DEPLOY_DO_REVERT,  /* all to the old one; begin to empty the new one's bank */
        DEPLOY_DO_ASK_NEW,
        DEPLOY_DO_FINISH,    /* hook_post, publish "done" */
        DEPLOY_DO_ROLL_BACK, /* hook_failed, publish "rolled_back" */
        DEPLOY_ACTION_MAX,
        DEPLOY_ACTION_INVALID = -EINVAL,
} DeployAction;

/* What follows when @event happens in @state.
 *
 * Returns whether there is a row; if not, *ret_next is @state and *ret_action is DEPLOY_DO_NOTHING. */
bool deploy_table_look_up(DeployState state, DeployEvent event, DeployState *ret_next,
                          DeployAction *ret_action);

/* Whether the old generation was asked to stop: from here a further deploy counts this one as done. */
bool deploy_state_is_past_return(DeployState state);

/* Whether nothing more will happen. */
bool deploy_state_is_end(DeployState state);

/* Names for tests and the log, and those that people see. */
const char *deploy_state_to_string(DeployState state);
const char *deploy_state_to_public_string(DeployState state);
const char *deploy_event_to_string(DeployEvent event);
const char *deploy_action_to_string(DeployAction action);
