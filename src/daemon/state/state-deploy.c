#include "daemon/state/state-deploy.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/service/service.h"
#include "daemon/state/state-fields.h"

static const StateField fields[] = {
        STATE_FIELD_MAX(Deploy, state, DEPLOY_STATE_MAX - 1),
        STATE_FIELD_MAX(Deploy, old_bank, REUSE_BANKS_MAX - 1),
        STATE_FIELD_MAX(Deploy, new_bank, REUSE_BANKS_MAX - 1),
        STATE_FIELD(Deploy, n_steps_done, STATE_UNSIGNED),
        STATE_FIELD(Deploy, step_usec, STATE_UINT64),
        STATE_FIELD_MAX(Deploy, share_by, REUSE_SHARE_BY_MAX - 1),
        STATE_FIELD_MAX(Deploy, share_percent, 100),
        STATE_FIELD(Deploy, is_preview, STATE_BOOL),
        STATE_FIELD(Deploy, had_visitors, STATE_BOOL),
        STATE_FIELD(Deploy, is_drained, STATE_BOOL),
        STATE_FIELD(Deploy, is_healthy_long_enough, STATE_BOOL),
        STATE_FIELD(Deploy, was_drained_in_time, STATE_BOOL),
        STATE_FIELD(Deploy, started_usec, STATE_UINT64),
        STATE_FIELD(Deploy, drain_deadline_usec, STATE_UINT64),
};
static const StateField result_fields[] = {
        STATE_FIELD(DeployResult, id, STATE_TEXT),
        STATE_FIELD_MAX(DeployResult, outcome, DEPLOY_FAILED),
        STATE_FIELD(DeployResult, generation, STATE_UNSIGNED),
        STATE_FIELD(DeployResult, previous, STATE_UNSIGNED),
        STATE_FIELD_MAX(DeployResult, left_bank, REUSE_BANKS_MAX),
        STATE_FIELD(DeployResult, cut_connections, STATE_UINT64),
        STATE_FIELD(DeployResult, duration_usec, STATE_UINT64),
        STATE_FIELD(DeployResult, reason, STATE_TEXT),
};

static const StateField pending_fields[] = {
        STATE_FIELD(DeployPending, progress_usec, STATE_UINT64),
        STATE_FIELD(DeployPending, next_step_usec, STATE_UINT64),
        STATE_FIELD(DeployPending, min_healthy_usec, STATE_UINT64),
        STATE_FIELD(DeployPending, has_event, STATE_BOOL),
        STATE_FIELD_MAX(DeployPending, event, DEPLOY_EVENT_MAX - 1),
        STATE_FIELD(DeployPending, has_hook, STATE_BOOL),
};

/* ---- writing ---- */

json_t *state_result_save(const DeployResult *result) {
        _cleanup_state_json_ json_t *object = json_object();

        if (!object ||
            state_fields_save(result_fields, ELEMENTS_OF(result_fields), result, object) < 0)
                return NULL;

        return TAKE_PTR(object);
}

static json_t *save_shares(const Deploy *d) {
        _cleanup_state_json_ json_t *array = json_array();

        for (size_t i = 0; i < d->n_shares; i++)
                if (json_array_append_new(array, json_integer(d->shares[i])) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

json_t *state_deploy_save(const Deploy *d, StateBuilds *builds) {
        _cleanup_state_json_ json_t *object = json_object();
        DeployPending pending = deploy_pending(d);
        uint64_t build = 0, old_build = 0;
        int r = object ? state_fields_save(fields, ELEMENTS_OF(fields), d, object) : -ENOMEM;

        if (r >= 0)
                r = state_fields_save(pending_fields, ELEMENTS_OF(pending_fields), &pending,
                                      object);
        if (r >= 0)
                r = state_put_json(object, "result", state_result_save(&d->result));
        if (r >= 0)
                r = state_put_json(object, "shares", save_shares(d));
        if (r >= 0)
                r = state_builds_number(builds, d->build, &build);
        if (r >= 0)
                r = state_builds_number(builds, d->old_build, &old_build);
        if (r >= 0)
                r = state_put_uint64(object, "build", build);
        if (r >= 0)
                r = state_put_uint64(object, "old_build", old_build);
        if (r >= 0 && d->old)
                r = state_put_uint64(object, "old_number", d->old->number);
        if (r >= 0 && d->new)
                r = state_put_uint64(object, "new_number", d->new->number);

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

int state_result_load(const json_t *from, DeployResult *ret) {
        *ret = (DeployResult){ 0 };
        return state_fields_load(result_fields, ELEMENTS_OF(result_fields), from, ret);
}

static int load_shares(const json_t *from, Deploy *d) {
        const json_t *shares;
        unsigned before = 0;
        int r;

        r = state_get_array(from, "shares", &shares);
        if (r < 0 || json_array_size(shares) > DEPLOY_SHARES_MAX)
                return -EBADMSG;

        for (size_t i = 0; i < json_array_size(shares); i++) {
                json_int_t share = json_integer_value(json_array_get(shares, i));

                if (share <= before || share > 100)
                        return -EBADMSG;
                d->shares[d->n_shares++] = before = (unsigned) share;
        }

        return d->n_steps_done > d->n_shares ? -EBADMSG : 0;
}

static int load_builds(const json_t *from, const StateBuilds *builds, Deploy *d) {
        uint64_t build, old_build;
        int r;

        r = state_get_uint64(from, "build", &build);
        if (r >= 0)
                r = state_get_uint64(from, "old_build", &old_build);
        if (r < 0 || !state_builds_find(builds, build) || !state_builds_find(builds, old_build))
                return -EBADMSG;

        d->build = build_ref(state_builds_find(builds, build));
        d->old_build = build_ref(state_builds_find(builds, old_build));
        return 0;
}

/* The one in that bank, if it is the one of that number. */
static int load_generation(const json_t *from, const char *name, Generation *there,
                           Generation **ret) {
        uint64_t number;
        int r;

        r = state_get_uint64(from, name, &number);
        if (r < 0)
                return r;

        *ret = there && number == there->number ? there : NULL;
        return 0;
}

int state_deploy_load(const json_t *from, Service *s, const StateBuilds *builds, Deploy **ret) {
        _cleanup_(deploy_freep) Deploy *d = calloc(1, sizeof(*d));
        DeployPending pending = { 0 };
        int r;

        if (!d)
                return -ENOMEM;

        d->service = s;
        r = state_fields_load(fields, ELEMENTS_OF(fields), from, d);
        if (r >= 0)
                r = state_fields_load(pending_fields, ELEMENTS_OF(pending_fields), from, &pending);
        if (r >= 0)
                r = state_result_load(json_object_get(from, "result"), &d->result);
        if (r >= 0)
                r = load_shares(from, d);
        if (r >= 0)
                r = load_builds(from, builds, d);
        if (r >= 0)
                r = load_generation(from, "old_number", s->banks[d->old_bank], &d->old);
        if (r >= 0)
                r = load_generation(from, "new_number", s->banks[d->new_bank], &d->new);
        if (r >= 0)
                r = d->old_bank == d->new_bank ? -EBADMSG : deploy_arm(d, &pending);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(d);
        return 0;
}
