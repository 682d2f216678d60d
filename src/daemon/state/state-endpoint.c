#include "daemon/state/state-endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "daemon/endpoint/endpoint-adopt.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/taker.h"
#include "daemon/manager.h"
#include "daemon/state/state-fields.h"

#define MEMBERS_MAX (REUSE_BANKS_MAX * REUSE_SLOTS_MAX)
#define GROUPS_MAX  4096U

static const StateField fields[] = {
        STATE_FIELD(Endpoint, id, STATE_UINT64),
        STATE_FIELD(Endpoint, n_reset, STATE_UINT64),
        STATE_FIELD(Endpoint, n_early, STATE_UNSIGNED),
};

static const StateField bank_fields[] = {
        STATE_FIELD(EndpointBank, is_shared, STATE_BOOL),
        STATE_FIELD(EndpointBank, n_early, STATE_UNSIGNED),
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

static size_t index_of(const Endpoint *e, const ReuseGroup *g) {
        size_t i = 0;

        while (i < e->n_open && e->groups[i] != g)
                i++;
        return i;
}

/* Which of the groups it holds, if that is not what the settings say. */
static json_t *save_bank(const Endpoint *e, const EndpointBank *b) {
        _cleanup_state_json_ json_t *object = json_object();
        json_t *groups = object && b->groups ? json_array() : NULL;
        int r = object ? state_fields_save(bank_fields, ELEMENTS_OF(bank_fields), b, object)
                       : -ENOMEM;

        if (r >= 0 && b->groups)
                r = state_put_json(object, "groups", groups);
        for (size_t i = 0; b->groups && i < b->n_groups && r >= 0; i++)
                if (json_array_append_new(groups,
                                          json_integer((json_int_t) index_of(e, b->groups[i]))) < 0)
                        r = -ENOMEM;

        return r < 0 ? NULL : TAKE_PTR(object);
}

static json_t *save_banks(const Endpoint *e) {
        _cleanup_state_json_ json_t *array = json_array();

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (json_array_append_new(array, save_bank(e, &e->banks[bank])) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

static json_t *save_taker(State *st, const Taker *t) {
        char name[STATE_NAME_SIZE];

        if (taker_unit(t))
                return json_pack("{s:s}", "unit", taker_unit(t));
        if (state_name_fd(st, taker_pidfd(t), 't', name) < 0)
                return NULL;

        return json_pack("{s:i, s:s}", "pid", (int) taker_pid(t), "fd", name);
}

static json_t *save_takers(State *st, const Endpoint *e) {
        _cleanup_state_json_ json_t *array = json_array();

        for (const Taker *t = NULL; (t = taker_next(e, t));)
                if (json_array_append_new(array, save_taker(st, t)) < 0)
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
        if (r >= 0)
                r = state_put_uint64(object, "n_groups", e->n_groups);
        if (r >= 0)
                r = state_put_json(object, "banks", save_banks(e));
        if (r >= 0 && e->n_takers > 0)
                r = state_put_json(object, "takers", save_takers(st, e));
        for (size_t i = 0; i < e->n_open && r >= 0; i++)
                if (json_array_append_new(groups, save_group(st, e->groups[i])) < 0)
                        r = -ENOMEM;

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

int state_endpoint_load(Adoption *a, const json_t *from, Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;
        const EndpointSettings *settings = NULL;
        const json_t *groups;
        Settings *of;
        const char *name;
        uint64_t held;
        int r;

        r = state_get_text(from, "name", &name);
        if (r >= 0)
                r = state_get_uint64(from, "settings_held", &held);
        if (r >= 0)
                r = state_get_array(from, "groups", &groups);
        if (r < 0 || !name || json_array_size(groups) > GROUPS_MAX)
                return -EBADMSG;

        of = held > 0 ? adoption_settings(a, held) : a->manager->settings;
        settings = of ? settings_find_endpoint(of, name) : NULL;
        if (!settings)
                return -EBADMSG;

        r = endpoint_new_closed(a->manager, settings, json_array_size(groups), &e);
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
                    slot >= REUSE_SLOTS_MAX || *n >= MEMBERS_MAX)
                        return -EBADMSG;
                fd = adoption_take_fd(a, name);
                if (fd < 0)
                        r = fd;
                else
                        members[(*n)++] = (ReuseMember){ fd, (uint8_t) bank, (uint16_t) slot };
        }

        return r;
}

static int load_group(Adoption *a, const json_t *from, Endpoint *e) {
        _cleanup_free_ ReuseMember *members = calloc(MEMBERS_MAX, sizeof(ReuseMember));
        size_t n = 0;
        int r;

        if (!members)
                return -ENOMEM;

        r = take_members(a, from, members, &n);
        if (r >= 0)
                r = endpoint_adopt_group(e, members, n);
        for (size_t i = 0; i < n && r < 0; i++) {
                state_release_fd(a->state, members[i].fd);
                (void) fd_close(members[i].fd);
        }

        return r;
}

static int load_bank(const json_t *from, const Endpoint *e, EndpointBank *b) {
        const json_t *groups = json_object_get(from, "groups");
        size_t n = json_array_size(groups);
        int r;

        b->is_shared = false;
        r = state_fields_load(bank_fields, ELEMENTS_OF(bank_fields), from, b);
        if (r < 0 || !groups)
                return r;

        b->groups = calloc(n + 1, sizeof(ReuseGroup *));
        if (!b->groups)
                return -ENOMEM;
        for (; b->n_groups < n; b->n_groups++) {
                json_int_t i = json_integer_value(json_array_get(groups, b->n_groups));

                if (i < 0 || (size_t) i >= e->n_open)
                        return -EBADMSG;
                b->groups[b->n_groups] = e->groups[i];
        }

        return 0;
}

static int load_taker(Adoption *a, const json_t *from, Endpoint *e) {
        const char *unit, *name;
        unsigned pid;
        int r, fd;

        r = state_get_text(from, "unit", &unit);
        if (r >= 0)
                r = state_get_text(from, "fd", &name);
        if (r >= 0)
                r = state_get_unsigned(from, "pid", INT32_MAX, &pid);
        if (r < 0 || (!unit && !name))
                return -EBADMSG;

        if (unit)
                return taker_add_unit(e, unit);
        fd = adoption_take_fd(a, name);
        if (fd < 0)
                return fd;
        r = taker_add_process(e, (pid_t) pid, fd);
        if (r < 0)
                state_release_fd(a->state, fd); /* closed, and the next of that number is another */
        return r;
}

int state_endpoint_load_takers(Adoption *a, const json_t *from, Endpoint *e) {
        const ReuseRule rule = taker_rule(e);
        const json_t *takers;
        int r;

        r = state_get_array(from, "takers", &takers);
        if (r < 0)
                return r;

        r = endpoint_resume(e, json_array_size(takers) > 0 ? &rule : NULL);
        for (size_t i = 0; i < json_array_size(takers) && r >= 0; i++) {
                r = load_taker(a, json_array_get(takers, i), e);
                if (r == -ESRCH || r == -ENOENT) /* it has ended meanwhile */
                        r = 0;
        }
        if (r >= 0 && e->n_takers == 0)
                r = endpoint_refuse(e);
        return r;
}

int state_endpoint_load_sockets(Adoption *a, const json_t *from, Endpoint *e) {
        const json_t *groups, *banks;
        uint64_t n_groups;
        int r;

        r = state_get_array(from, "groups", &groups);
        if (r >= 0)
                r = state_get_array(from, "banks", &banks);
        if (r >= 0)
                r = state_get_uint64(from, "n_groups", &n_groups);
        if (r < 0)
                return r;
        if (n_groups > json_array_size(groups) ||
            (n_groups > 0 && n_groups != e->settings->n_addresses) ||
            json_array_size(banks) > REUSE_BANKS_MAX)
                return -EBADMSG;

        for (size_t i = 0; i < json_array_size(groups) && r >= 0; i++)
                r = load_group(a, json_array_get(groups, i), e);
        e->n_groups = n_groups < e->n_open ? n_groups : e->n_open;
        for (size_t i = 0; i < json_array_size(banks) && r >= 0; i++)
                r = load_bank(json_array_get(banks, i), e, &e->banks[i]);
        if (r < 0)
                endpoint_close(e);

        return r;
}
