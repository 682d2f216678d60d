#include "daemon/deploy/deploy-table.h"

#include <assert.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct Row {
        DeployState state;
        DeployEvent event;
        DeployState next;
        DeployAction action;
} Row;

/* clang-format off: a table is read in columns */
static const Row rows[] = {
        { DEPLOY_STARTING, DEPLOY_ON_READY, DEPLOY_CHECKING, DEPLOY_DO_CHECK },
        { DEPLOY_STARTING, DEPLOY_ON_NEW_LOST, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_STARTING, DEPLOY_ON_PROGRESS_DEADLINE, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_STARTING, DEPLOY_ON_HOOK_FAILED, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_STARTING, DEPLOY_ON_ABORT, DEPLOY_REVERTING, DEPLOY_DO_REVERT },

        { DEPLOY_CHECKING, DEPLOY_ON_PROBES_OK, DEPLOY_CANARY, DEPLOY_DO_SHARE },
        { DEPLOY_CHECKING, DEPLOY_ON_PROBES_OK_HOLD, DEPLOY_PREVIEW, DEPLOY_DO_HOLD },
        { DEPLOY_CHECKING, DEPLOY_ON_PROBES_FAILED, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_CHECKING, DEPLOY_ON_NEW_LOST, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_CHECKING, DEPLOY_ON_OLD_GONE, DEPLOY_DRAINING, DEPLOY_DO_SWITCH },
        { DEPLOY_CHECKING, DEPLOY_ON_PROGRESS_DEADLINE, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_CHECKING, DEPLOY_ON_ABORT, DEPLOY_REVERTING, DEPLOY_DO_REVERT },

        { DEPLOY_PREVIEW, DEPLOY_ON_PROMOTE, DEPLOY_CANARY, DEPLOY_DO_SHARE },
        { DEPLOY_PREVIEW, DEPLOY_ON_NEW_LOST, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_PREVIEW, DEPLOY_ON_OLD_GONE, DEPLOY_DRAINING, DEPLOY_DO_SWITCH },
        { DEPLOY_PREVIEW, DEPLOY_ON_ABORT, DEPLOY_REVERTING, DEPLOY_DO_REVERT },

        { DEPLOY_CANARY, DEPLOY_ON_STEP, DEPLOY_CANARY, DEPLOY_DO_SHARE },
        { DEPLOY_CANARY, DEPLOY_ON_LAST_STEP, DEPLOY_DRAINING, DEPLOY_DO_SWITCH },
        { DEPLOY_CANARY, DEPLOY_ON_PROMOTE, DEPLOY_DRAINING, DEPLOY_DO_SWITCH },
        { DEPLOY_CANARY, DEPLOY_ON_PROBES_FAILED, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_CANARY, DEPLOY_ON_NEW_LOST, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_CANARY, DEPLOY_ON_OLD_GONE, DEPLOY_DRAINING, DEPLOY_DO_SWITCH },
        { DEPLOY_CANARY, DEPLOY_ON_ABORT, DEPLOY_REVERTING, DEPLOY_DO_REVERT },

        { DEPLOY_DRAINING, DEPLOY_ON_LEFT_EMPTY, DEPLOY_LEAVING, DEPLOY_DO_ASK_OLD },
        { DEPLOY_DRAINING, DEPLOY_ON_DRAIN_DELAY, DEPLOY_LEAVING, DEPLOY_DO_ASK_OLD },
        { DEPLOY_DRAINING, DEPLOY_ON_PROBES_FAILED, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_DRAINING, DEPLOY_ON_NEW_LOST, DEPLOY_REVERTING, DEPLOY_DO_REVERT },
        { DEPLOY_DRAINING, DEPLOY_ON_LEFT_GONE, DEPLOY_DONE, DEPLOY_DO_FINISH },
        { DEPLOY_DRAINING, DEPLOY_ON_ABORT, DEPLOY_REVERTING, DEPLOY_DO_REVERT },

        { DEPLOY_LEAVING, DEPLOY_ON_LEFT_GONE, DEPLOY_DONE, DEPLOY_DO_FINISH },

        { DEPLOY_REVERTING, DEPLOY_ON_LEFT_EMPTY, DEPLOY_RETREATING, DEPLOY_DO_ASK_NEW },
        { DEPLOY_REVERTING, DEPLOY_ON_DRAIN_DELAY, DEPLOY_RETREATING, DEPLOY_DO_ASK_NEW },
        { DEPLOY_REVERTING, DEPLOY_ON_LEFT_GONE, DEPLOY_ROLLED_BACK, DEPLOY_DO_ROLL_BACK },

        { DEPLOY_RETREATING, DEPLOY_ON_LEFT_GONE, DEPLOY_ROLLED_BACK, DEPLOY_DO_ROLL_BACK },
};
/* clang-format on */

static const char *const state_names[DEPLOY_STATE_MAX] = {
        [DEPLOY_STARTING] = "starting",   [DEPLOY_CHECKING] = "checking",
        [DEPLOY_PREVIEW] = "preview",     [DEPLOY_CANARY] = "canary",
        [DEPLOY_DRAINING] = "draining",   [DEPLOY_LEAVING] = "leaving",
        [DEPLOY_REVERTING] = "reverting", [DEPLOY_RETREATING] = "retreating",
        [DEPLOY_DONE] = "done",           [DEPLOY_ROLLED_BACK] = "rolled_back",
};

static const char *const event_names[DEPLOY_EVENT_MAX] = {
        [DEPLOY_ON_READY] = "all new ready",
        [DEPLOY_ON_NEW_LOST] = "new worker lost",
        [DEPLOY_ON_OLD_GONE] = "old generation gone",
        [DEPLOY_ON_PROBES_OK] = "probes ok",
        [DEPLOY_ON_PROBES_OK_HOLD] = "probes ok, hold",
        [DEPLOY_ON_PROBES_FAILED] = "probes failed",
        [DEPLOY_ON_PROGRESS_DEADLINE] = "progress_deadline over",
        [DEPLOY_ON_STEP] = "step over",
        [DEPLOY_ON_LAST_STEP] = "last step over",
        [DEPLOY_ON_LEFT_EMPTY] = "left bank empty",
        [DEPLOY_ON_DRAIN_DELAY] = "drain_delay over",
        [DEPLOY_ON_LEFT_GONE] = "left generation gone",
        [DEPLOY_ON_PROMOTE] = "promote",
        [DEPLOY_ON_ABORT] = "abort",
        [DEPLOY_ON_HOOK_FAILED] = "hook_pre failed",
};

static const char *const action_names[DEPLOY_ACTION_MAX] = {
        [DEPLOY_DO_NOTHING] = "nothing", [DEPLOY_DO_CHECK] = "check",
        [DEPLOY_DO_HOLD] = "hold",       [DEPLOY_DO_SHARE] = "next share",
        [DEPLOY_DO_SWITCH] = "switch",   [DEPLOY_DO_ASK_OLD] = "ask old to stop",
        [DEPLOY_DO_REVERT] = "revert",   [DEPLOY_DO_ASK_NEW] = "ask new to stop",
        [DEPLOY_DO_FINISH] = "finish",   [DEPLOY_DO_ROLL_BACK] = "publish rolled_back",
};

bool deploy_table_look_up(DeployState state, DeployEvent event, DeployState *ret_next,
                          DeployAction *ret_action) {
        for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                if (rows[i].state == state && rows[i].event == event) {
                        *ret_next = rows[i].next;
                        *ret_action = rows[i].action;
                        return true;
                }

        *ret_next = state;
        *ret_action = DEPLOY_DO_NOTHING;
        return false;
}

bool deploy_state_is_past_return(DeployState state) {
        return state == DEPLOY_LEAVING || state == DEPLOY_DONE;
}

bool deploy_state_is_end(DeployState state) {
        return state == DEPLOY_DONE || state == DEPLOY_ROLLED_BACK;
}

const char *deploy_state_to_string(DeployState state) {
        assert(state >= 0 && state < DEPLOY_STATE_MAX);
        return state_names[state];
}

const char *deploy_state_to_public_string(DeployState state) {
        if (state == DEPLOY_LEAVING)
                return state_names[DEPLOY_DRAINING];
        if (state == DEPLOY_RETREATING)
                return state_names[DEPLOY_REVERTING];

        return deploy_state_to_string(state);
}

const char *deploy_event_to_string(DeployEvent event) {
        assert(event >= 0 && event < DEPLOY_EVENT_MAX);
        return event_names[event];
}

const char *deploy_action_to_string(DeployAction action) {
        assert(action >= 0 && action < DEPLOY_ACTION_MAX);
        return action_names[action];
}
