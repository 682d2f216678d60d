#include "daemon/state/state-service.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "daemon/manager.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service.h"
#include "daemon/state/state-build.h"
#include "daemon/state/state-deploy.h"
#include "daemon/state/state-fields.h"
#include "daemon/state/state-generation.h"
#include "daemon/state/state-stored.h"

#define ENDPOINTS_MAX 4096U

static const StateField fields[] = {
        STATE_FIELD(Service, id, STATE_UINT64),
        STATE_FIELD_MAX(Service, front, REUSE_BANKS_MAX - 1),
        STATE_FIELD(Service, last_number, STATE_UNSIGNED),
        STATE_FIELD(Service, n_reset, STATE_UINT64),
        STATE_FIELD(Service, n_cut_connections, STATE_UINT64),
        STATE_FIELD(Service, is_listening, STATE_BOOL),
        STATE_FIELD(Service, has_failed, STATE_BOOL),
        STATE_FIELD_MAX(Service, n_scaled, WORKERS_MAX),
        STATE_FIELD(Service, is_scale_due, STATE_BOOL),
        STATE_FIELD(Service, is_leaving, STATE_BOOL),
        STATE_FIELD(Service, has_to_give, STATE_BOOL),
};

/* ---- writing ---- */

static json_t *save_endpoints(const Service *s) {
        _cleanup_state_json_ json_t *array = json_array();

        for (size_t i = 0; i < s->n_held; i++)
                if (json_array_append_new(array, json_integer((json_int_t) s->endpoints[i]->id)) <
                    0)
                        return NULL;

        return TAKE_PTR(array);
}

static json_t *save_generations(State *st, const Service *s, StateBuilds *builds) {
        _cleanup_state_json_ json_t *array = json_array();

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank] &&
                    json_array_append_new(array,
                                          state_generation_save(st, s->banks[bank], builds)) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

/* The oldest first. */
static json_t *save_results(const Service *s) {
        _cleanup_state_json_ json_t *array = json_array();
        size_t n = s->n_results < SERVICE_RESULTS_MAX ? s->n_results : SERVICE_RESULTS_MAX;

        for (size_t i = s->n_results - n; i < s->n_results; i++)
                if (json_array_append_new(array,
                                          state_result_save(&s->results[i % SERVICE_RESULTS_MAX])) <
                    0)
                        return NULL;

        return TAKE_PTR(array);
}

static int put_own(State *st, const Service *s, StateBuilds *builds, json_t *to) {
        uint64_t held = 0, previous = 0;
        int r;

        r = state_fields_save(fields, ELEMENTS_OF(fields), s, to);
        if (r >= 0)
                r = state_put_text(to, "name", s->settings->name);
        if (r >= 0 && s->settings_held)
                r = state_name_settings(st, s->settings_held, &held);
        if (r >= 0)
                r = state_put_uint64(to, "settings_held", held);
        if (r >= 0)
                r = state_builds_number(builds, s->previous_build, &previous);
        if (r >= 0)
                r = state_put_uint64(to, "previous_build", previous);
        if (r >= 0)
                r = state_put_uint64(to, "n_endpoints", s->n_endpoints);
        return r < 0 ? r : state_put_json(to, "endpoints", save_endpoints(s));
}

json_t *state_service_save(State *st, Service *s) {
        _cleanup_(state_builds_done) StateBuilds builds = { 0 };
        _cleanup_state_json_ json_t *object = json_object();
        int r = object ? put_own(st, s, &builds, object) : -ENOMEM;

        if (r >= 0)
                r = state_put_json(object, "results", save_results(s));
        if (r >= 0 && st->is_writing_all && service_store_n(s) > 0)
                r = state_put_json(object, "stored", state_stored_save(st, s));
        if (r >= 0)
                r = state_put_json(object, "generations", save_generations(st, s, &builds));
        if (r >= 0 && s->deploy)
                r = state_put_json(object, "deploy", state_deploy_save(s->deploy, &builds));
        if (r >= 0)
                r = state_put_json(object, "builds", state_builds_save(st, &builds));

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

static int load_endpoints(Adoption *a, const json_t *from, Service *s) {
        const json_t *ids;
        uint64_t n_endpoints;
        int r;

        r = state_get_array(from, "endpoints", &ids);
        if (r >= 0)
                r = state_get_uint64(from, "n_endpoints", &n_endpoints);
        if (r < 0 || json_array_size(ids) > ENDPOINTS_MAX || n_endpoints > json_array_size(ids))
                return -EBADMSG;

        s->endpoints = calloc(json_array_size(ids) + 1, sizeof(Endpoint *));
        if (!s->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < json_array_size(ids); i++) {
                json_int_t id = json_integer_value(json_array_get(ids, i));
                Endpoint *e = adoption_endpoint(a, (uint64_t) id);

                if (!e || e->service)
                        return -EBADMSG;
                s->endpoints[s->n_held++] = e;
                s->n_endpoints = s->n_held;
                e->service = s;
        }

        s->n_endpoints = n_endpoints;
        return 0;
}

static int load_generations(Adoption *a, const json_t *from, Service *s,
                            const StateBuilds *builds) {
        const json_t *array;
        int r;

        r = state_get_array(from, "generations", &array);
        for (size_t i = 0; i < json_array_size(array) && r >= 0; i++) {
                _cleanup_(generation_freep) Generation *g = NULL;

                r = state_generation_load(a, json_array_get(array, i), s, builds, &g);
                if (r >= 0 && s->banks[g->bank])
                        r = -EBADMSG;
                if (r >= 0) {
                        unsigned bank = g->bank;

                        s->banks[bank] = TAKE_PTR(g);
                }
        }

        return r;
}

static int load_results(const json_t *from, Service *s) {
        const json_t *array;
        int r;

        r = state_get_array(from, "results", &array);
        if (r < 0 || json_array_size(array) > SERVICE_RESULTS_MAX)
                return -EBADMSG;

        if (json_array_size(array) > 0 || json_object_get(from, "deploy")) {
                s->results = calloc(SERVICE_RESULTS_MAX, sizeof(DeployResult));
                if (!s->results)
                        return -ENOMEM;
        }

        for (size_t i = 0; i < json_array_size(array) && r >= 0; i++)
                r = state_result_load(json_array_get(array, i), &s->results[s->n_results++]);

        return r;
}

static int load_rest(Adoption *a, const json_t *from, Service *s) {
        _cleanup_(state_builds_done) StateBuilds builds = { 0 };
        const json_t *array, *deploy = json_object_get(from, "deploy");
        uint64_t previous;
        int r;

        r = state_get_array(from, "builds", &array);
        if (r >= 0)
                r = state_builds_load(a, array, &builds);
        if (r >= 0)
                r = state_get_uint64(from, "previous_build", &previous);
        if (r >= 0 && state_builds_find(&builds, previous))
                s->previous_build = build_ref(state_builds_find(&builds, previous));
        if (r >= 0)
                r = load_generations(a, from, s, &builds);
        if (r >= 0 && a->legacy->is_from_exec)
                r = state_stored_load_list(a, from, s);
        if (r >= 0 && deploy)
                r = state_deploy_load(deploy, s, &builds, &s->deploy);

        return r;
}

/* What it is made of, before anything else: from here on it can be freed. */
static int make(Adoption *a, const json_t *from, Service **ret) {
        const char *name;
        Settings *of;
        uint64_t held;
        int r;

        r = state_get_text(from, "name", &name);
        if (r >= 0)
                r = state_get_uint64(from, "settings_held", &held);
        if (r < 0 || !name)
                return -EBADMSG;

        of = held > 0 ? adoption_settings(a, held) : a->manager->settings;
        if (!of || !settings_find_service(of, name))
                return -EBADMSG;

        r = service_new_empty(a->manager, settings_find_service(of, name), ret);
        if (r >= 0 && held > 0)
                (*ret)->settings_held = settings_ref(of);
        return r;
}

int state_service_load(Adoption *a, const json_t *from, Service **ret) {
        _cleanup_(service_freep) Service *s = NULL;
        int r;

        r = make(a, from, &s);
        if (r < 0)
                return r;

        r = state_fields_load(fields, ELEMENTS_OF(fields), from, s);
        if (r >= 0 && s->is_leaving)
                LIST_INSERT_HEAD(&a->manager->leaving, s, leaving_others);
        if (r >= 0)
                r = load_endpoints(a, from, s);
        if (r >= 0)
                r = load_results(from, s);
        if (r >= 0)
                r = load_rest(a, from, s);
        if (r < 0) {
                s->n_endpoints = s->n_held; /* none is ours yet */
                return r;
        }

        *ret = TAKE_PTR(s);
        return 0;
}
