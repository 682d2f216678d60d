#include "daemon/state/state-build.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/state/state-fields.h"

#define BUILDS_MAX 2048U

static const StateField fields[] = {
        STATE_FIELD(Build, arguments, STATE_STRINGS),
        STATE_FIELD(Build, environment, STATE_STRINGS),
        STATE_FIELD(Build, program, STATE_STRING),
        STATE_FIELD(Build, working_directory, STATE_STRING),
};

/* What build_check_program() compares. */
typedef struct Stamp {
        uint64_t device, inode, seconds, nanoseconds;
} Stamp;

static const StateField stamp_fields[] = {
        STATE_FIELD(Stamp, device, STATE_UINT64),
        STATE_FIELD(Stamp, inode, STATE_UINT64),
        STATE_FIELD(Stamp, seconds, STATE_UINT64),
        STATE_FIELD(Stamp, nanoseconds, STATE_UINT64),
};

void state_builds_done(StateBuilds *b) {
        for (size_t i = 0; i < b->n_items; i++)
                (void) build_unref(b->items[i]);
        free(b->items);
        *b = (StateBuilds){ 0 };
}

static int append(StateBuilds *b, Build *build) {
        Build **longer = reallocarray(b->items, b->n_items + 1, sizeof(Build *));

        if (!longer)
                return -ENOMEM;

        b->items = longer;
        b->items[b->n_items++] = build;
        return 0;
}

int state_builds_number(StateBuilds *b, Build *build, uint64_t *ret) {
        int r;

        *ret = 0;
        if (!build)
                return 0;

        for (size_t i = 0; i < b->n_items; i++)
                if (b->items[i] == build) {
                        *ret = i + 1;
                        return 0;
                }

        r = append(b, build);
        if (r < 0)
                return r;

        (void) build_ref(build);
        *ret = b->n_items;
        return 0;
}

Build *state_builds_find(const StateBuilds *b, uint64_t number) {
        return number > 0 && number <= b->n_items ? b->items[number - 1] : NULL;
}

static json_t *save_build(State *st, const Build *b) {
        _cleanup_state_json_ json_t *object = json_object();
        const Stamp stamp = {
                .device = b->program_stat.st_dev,
                .inode = b->program_stat.st_ino,
                .seconds = (uint64_t) b->program_stat.st_mtim.tv_sec,
                .nanoseconds = (uint64_t) b->program_stat.st_mtim.tv_nsec,
        };
        uint64_t settings;
        int r;

        r = object ? state_name_settings(st, b->settings, &settings) : -ENOMEM;
        if (r >= 0)
                r = state_put_uint64(object, "settings", settings);
        if (r >= 0)
                r = state_put_text(object, "service", b->service->name);
        if (r >= 0)
                r = state_fields_save(fields, ELEMENTS_OF(fields), b, object);
        if (r >= 0)
                r = state_fields_save(stamp_fields, ELEMENTS_OF(stamp_fields), &stamp, object);

        return r < 0 ? NULL : TAKE_PTR(object);
}

json_t *state_builds_save(State *st, const StateBuilds *b) {
        _cleanup_state_json_ json_t *array = json_array();

        for (size_t i = 0; i < b->n_items; i++)
                if (json_array_append_new(array, save_build(st, b->items[i])) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

static int load_build(const Adoption *a, const json_t *from, Build **ret) {
        _cleanup_(build_unrefp) Build *b = NULL;
        Stamp stamp = { 0 };
        Settings *settings;
        const char *name;
        uint64_t number;
        int r;

        r = state_get_uint64(from, "settings", &number);
        if (r >= 0)
                r = state_get_text(from, "service", &name);
        if (r < 0)
                return r;

        settings = adoption_settings(a, number);
        if (!settings || !name || !settings_find_service(settings, name))
                return -EBADMSG;

        r = build_new_empty(settings, settings_find_service(settings, name), &b);
        if (r >= 0)
                r = state_fields_load(fields, ELEMENTS_OF(fields), from, b);
        if (r >= 0)
                r = state_fields_load(stamp_fields, ELEMENTS_OF(stamp_fields), from, &stamp);
        if (r < 0)
                return r;
        if (!b->service->unit && (!b->arguments || !b->arguments[0]))
                return -EBADMSG;

        b->program_stat.st_dev = stamp.device;
        b->program_stat.st_ino = stamp.inode;
        b->program_stat.st_mtim.tv_sec = (time_t) stamp.seconds;
        b->program_stat.st_mtim.tv_nsec = (long) stamp.nanoseconds;
        *ret = TAKE_PTR(b);
        return 0;
}

int state_builds_load(const Adoption *a, const json_t *from, StateBuilds *b) {
        if (json_array_size(from) > BUILDS_MAX)
                return -EBADMSG;

        for (size_t i = 0; i < json_array_size(from); i++) {
                _cleanup_(build_unrefp) Build *build = NULL;
                int r;

                r = load_build(a, json_array_get(from, i), &build);
                if (r >= 0)
                        r = append(b, build);
                if (r < 0)
                        return r;
                (void) TAKE_PTR(build);
        }

        return 0;
}
