#include "daemon/state/state-generation.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "daemon/service/service.h"
#include "daemon/state/state-fields.h"
#include "daemon/state/state-worker.h"
#include "daemon/timer.h"

#define ENDPOINTS_MAX 4096U

static const StateField fields[] = {
        STATE_FIELD(Generation, number, STATE_UNSIGNED),
        STATE_FIELD_MAX(Generation, bank, REUSE_BANKS_MAX - 1),
        STATE_FIELD_MAX(Generation, n_slots, WORKERS_MAX),
        STATE_FIELD_MAX(Generation, n_places, WORKERS_MAX),
        STATE_FIELD(Generation, n_restarts, STATE_UNSIGNED),
        STATE_FIELD(Generation, n_cut, STATE_UNSIGNED),
        STATE_FIELD(Generation, is_stopping, STATE_BOOL),
        STATE_FIELD(Generation, is_cut, STATE_BOOL),
        STATE_FIELD(Generation, is_on_trial, STATE_BOOL),
        STATE_FIELD(Generation, has_failed, STATE_BOOL),
        STATE_FIELD(Generation, is_outdated, STATE_BOOL),
        STATE_FIELD(Generation, was_complete, STATE_BOOL),
};

static const StateField slot_fields[] = {
        STATE_FIELD(GenerationSlot, starts.begun_usec, STATE_UINT64),
        STATE_FIELD(GenerationSlot, starts.n_starts, STATE_UNSIGNED),
        STATE_FIELD(GenerationSlot, n_failures, STATE_UNSIGNED),
        STATE_FIELD(GenerationSlot, is_due, STATE_BOOL),
        STATE_FIELD(GenerationSlot, has_been_ready, STATE_BOOL),
        STATE_FIELD(GenerationSlot, is_let_go, STATE_BOOL),
};

/* ---- writing ---- */

static json_t *save_slot(State *st, const GenerationSlot *slot, StateBuilds *builds) {
        _cleanup_state_json_ json_t *object = json_object();
        int r = object ? state_fields_save(slot_fields, ELEMENTS_OF(slot_fields), slot, object)
                       : -ENOMEM;

        if (r >= 0 && slot->restart)
                r = state_put_uint64(object, "restart_usec", timer_deadline(slot->restart));
        if (r >= 0 && slot->worker)
                r = state_put_json(object, "worker", state_worker_save(st, slot->worker, builds));

        return r < 0 ? NULL : TAKE_PTR(object);
}

static json_t *save_endpoints(const Generation *g) {
        _cleanup_state_json_ json_t *array = json_array();

        for (size_t i = 0; i < g->n_endpoints; i++)
                if (json_array_append_new(array, json_integer((json_int_t) g->endpoints[i]->id)) <
                    0)
                        return NULL;

        return TAKE_PTR(array);
}

json_t *state_generation_save(State *st, const Generation *g, StateBuilds *builds) {
        _cleanup_state_json_ json_t *object = json_object();
        json_t *slots = object ? json_array() : NULL;
        uint64_t build = 0;
        int r = slots ? state_put_json(object, "slots", slots) : -ENOMEM;

        if (r >= 0)
                r = state_builds_number(builds, g->build, &build);
        if (r >= 0)
                r = state_put_uint64(object, "build", build);
        if (r >= 0)
                r = state_put_json(object, "endpoints", save_endpoints(g));
        if (r >= 0)
                r = state_fields_save(fields, ELEMENTS_OF(fields), g, object);
        for (unsigned i = 0; i < g->n_places && r >= 0; i++)
                if (json_array_append_new(slots, save_slot(st, &g->slots[i], builds)) < 0)
                        r = -ENOMEM;

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

static int load_endpoints(const Adoption *a, const json_t *from, Generation *g) {
        const json_t *ids;
        int r;

        r = state_get_array(from, "endpoints", &ids);
        if (r < 0 || json_array_size(ids) > ENDPOINTS_MAX)
                return -EBADMSG;

        free(g->endpoints);
        g->n_endpoints = 0;
        g->endpoints = calloc(json_array_size(ids) + 1, sizeof(Endpoint *));
        if (!g->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < json_array_size(ids); i++) {
                json_int_t id = json_integer_value(json_array_get(ids, i));
                Endpoint *e = adoption_endpoint(a, (uint64_t) id);

                if (!e)
                        return -EBADMSG;
                g->endpoints[g->n_endpoints++] = e;
        }

        return 0;
}

static int load_slot(Adoption *a, const json_t *from, GenerationSlot *slot,
                     const StateBuilds *builds) {
        const json_t *worker = json_object_get(from, "worker");
        uint64_t restart_usec;
        int r;

        r = state_fields_load(slot_fields, ELEMENTS_OF(slot_fields), from, slot);
        if (r >= 0)
                r = state_get_uint64(from, "restart_usec", &restart_usec);
        if (r >= 0 && restart_usec > 0)
                r = generation_restart_at(slot, restart_usec);
        if (r >= 0 && worker)
                r = state_worker_load(a, worker, slot->generation, slot->number, builds,
                                      &slot->worker);
        return r;
}

int state_generation_load(Adoption *a, const json_t *from, Service *s, const StateBuilds *builds,
                          Generation **ret) {
        _cleanup_(generation_freep) Generation *g = NULL;
        const json_t *slots;
        uint64_t build;
        int r;

        r = state_get_uint64(from, "build", &build);
        if (r >= 0)
                r = state_get_array(from, "slots", &slots);
        if (r < 0 || !state_builds_find(builds, build))
                return -EBADMSG;

        r = generation_new(s, state_builds_find(builds, build), 0, 0, &g);
        if (r < 0)
                return r;

        g->n_slots = g->n_places = 0;
        r = state_fields_load(fields, ELEMENTS_OF(fields), from, g);
        if (r >= 0)
                r = load_endpoints(a, from, g);
        if (r >= 0 &&
            (g->n_slots == 0 || g->n_places < g->n_slots || json_array_size(slots) != g->n_places))
                r = -EBADMSG;
        for (unsigned i = 0; r >= 0 && i < g->n_places; i++)
                r = load_slot(a, json_array_get(slots, i), &g->slots[i], builds);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(g);
        return 0;
}
