#include "daemon/state/state-endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/manager.h"
#include "daemon/state/state-fields.h"

#define MEMBERS_MAX (REUSE_BANKS_MAX * REUSE_SLOTS_MAX)

static const StateField fields[] = {
        STATE_FIELD(Endpoint, id, STATE_UINT64),
        STATE_FIELD(Endpoint, n_reset, STATE_UINT64),
};

/* ---- writing ---- */

/* ["s1", bank, slot] */
static json_t *save_member(State *st, const ReuseMember *m) {
        char name[STATE_NAME_SIZE];

        if (state_name_fd(st, m->fd, 's', name) < 0)
                return NULL;

        return json_pack("[s, i, i]", name, (int) m->bank, (int) m->slot);
}

/* In the order of the indices. */
static json_t *save_group(State *st, const ReuseGroup *g) {
        _cleanup_free_ ReuseMember *members = calloc(MEMBERS_MAX, sizeof(ReuseMember));
        _cleanup_state_json_ json_t *array = json_array();
        size_t n;

        if (!members || !array)
                return NULL;

        n = reuse_group_members(g, members, MEMBERS_MAX);
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(array, save_member(st, members + i)) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

json_t *state_endpoint_save(State *st, Endpoint *e) {
        _cleanup_state_json_ json_t *object = json_object();
        json_t *groups = object ? json_array() : NULL;
        uint64_t held = 0;
        int r = groups ? state_put_json(object, "groups", groups) : -ENOMEM;

        if (r >= 0)
                r = state_fields_save(fields, ELEMENTS_OF(fields), e, object);
        if (r >= 0 && e->settings_held)
                r = state_name_settings(st, e->settings_held, &held);
        if (r >= 0)
                r = state_put_uint64(object, "settings_held", held);
        if (r >= 0)
                r = state_put_text(object, "name", e->settings->name);
        for (size_t i = 0; i < e->n_groups && r >= 0; i++)
                if (json_array_append_new(groups, save_group(st, e->groups[i])) < 0)
                        r = -ENOMEM;

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

int state_endpoint_load(Adoption *a, const json_t *from, Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;
        const EndpointSettings *settings = NULL;
        Settings *of;
        const char *name;
        uint64_t held;
        int r;

        r = state_get_text(from, "name", &name);
        if (r >= 0)
                r = state_get_uint64(from, "settings_held", &held);
        if (r < 0 || !name)
                return -EBADMSG;

        of = held > 0 ? adoption_settings(a, held) : a->manager->settings;
        settings = of ? settings_find_endpoint(of, name) : NULL;
        if (!settings)
                return -EBADMSG;

        r = endpoint_new_closed(a->manager, settings, &e);
        if (r >= 0)
                r = state_fields_load(fields, ELEMENTS_OF(fields), from, e);
        if (r < 0)
                return r;
        if (held > 0)
                e->settings_held = settings_ref(of);

        *ret = TAKE_PTR(e);
        return 0;
}

/* Returns 0 with all members of a group; or a negative errno, and then those that are there are closed. */
static int take_members(Adoption *a, const json_t *from, ReuseMember *members, size_t *n) {
        int r = 0;

        for (size_t i = 0; i < json_array_size(from) && r >= 0; i++) {
                const json_t *member = json_array_get(from, i);
                const char *name = json_string_value(json_array_get(member, 0));
                json_int_t bank = json_integer_value(json_array_get(member, 1));
                json_int_t slot = json_integer_value(json_array_get(member, 2));
                int fd;

                if (!name || bank < 0 || bank >= REUSE_BANKS_MAX || slot < 0 ||
                    slot >= REUSE_SLOTS_MAX || *n >= MEMBERS_MAX) {
                        r = -EBADMSG;
                        break;
                }
                fd = adoption_take_fd(a, name);
                if (fd < 0)
                        r = fd;
                else
                        members[(*n)++] = (ReuseMember){ fd, (uint8_t) bank, (uint16_t) slot };
        }

        return r;
}

static int load_group(Adoption *a, const json_t *from, Endpoint *e, const ReuseRule *rule) {
        _cleanup_free_ ReuseMember *members = calloc(MEMBERS_MAX, sizeof(ReuseMember));
        size_t n = 0;
        int r;

        if (!members)
                return -ENOMEM;

        r = take_members(a, from, members, &n);
        if (r >= 0)
                r = endpoint_adopt_group(e, members, n, rule);
        for (size_t i = 0; i < n && r < 0; i++) {
                state_release_fd(a->state, members[i].fd);
                (void) fd_close(members[i].fd);
        }

        return r;
}

int state_endpoint_load_sockets(Adoption *a, const json_t *from, Endpoint *e,
                                const ReuseRule *rule) {
        const json_t *groups;
        int r;

        r = state_get_array(from, "groups", &groups);
        if (r >= 0 && json_array_size(groups) > e->settings->n_addresses)
                r = -EBADMSG;
        for (size_t i = 0; i < json_array_size(groups) && r >= 0; i++)
                r = load_group(a, json_array_get(groups, i), e, rule);
        if (r >= 0 && rule && e->n_groups > 0)
                r = endpoint_watch(e);
        if (r < 0)
                endpoint_close(e);

        return r;
}
