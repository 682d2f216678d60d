#include "daemon/state/state-stored.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "daemon/manager.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service.h"
#include "daemon/service/store-queue.h"
#include "daemon/state/crash-point.h"
#include "daemon/state/state-fields.h"
#include "daemon/store/fd-store.h"

#define FAMILY "stored"

/* With zeros, so that the order of the keys is that of the numbers. */
#define KEY_FORMAT FAMILY "/%012" PRIu64
#define KEY_SIZE   32U

bool state_stored_has(const State *st, int fd) {
        return (size_t) fd < st->n_fds && st->stored[fd] != 0;
}

/* ---- out ---- */

static bool is_shared(const State *st, uint64_t name) {
        for (size_t fd = 0; fd < st->n_fds && st->n_shared > 0; fd++)
                if (st->names[fd] == name)
                        return true;

        return false;
}

/* What no record speaks of any more; without memory a successor does it. */
static void drop_name(State *st, uint64_t name) {
        if (is_shared(st, name))
                st->n_shared--;
        else if (state_names_put(&st->unstored, name) >= 0)
                store_queue_wake(st->manager->store_queue);
}

static int forget_record(State *st, uint64_t number) {
        char key[KEY_SIZE];

        snprintf(key, sizeof(key), KEY_FORMAT, number);
        return state_log_remove(st->log, key);
}

void state_stored_release(State *st, int fd, uint64_t name) {
        uint64_t number = st->stored[fd];

        st->stored[fd] = 0;
        if (number == 0) /* it was not there yet */
                return;
        if (forget_record(st, number) < 0) /* a successor has it once more */
                return;

        CRASH_POINT("worker-released");
        drop_name(st, name);
}

int state_stored_drop_one(State *st) {
        StateNames *names = &st->unstored;
        char name[STATE_NAME_SIZE];
        int r;

        if (names->n == 0)
                return 0;

        state_unpack_name(names->items[names->n - 1], name);
        r = above_try_unstore(st->manager->above, name);
        if (r < 0)
                return r;

        CRASH_POINT("worker-unstored");
        names->n--;
        st->n_stored -= st->n_stored > 0;
        st->n_foreign -= st->n_foreign > 0;
        return 1;
}

/* ---- in ---- */

/* The same open file, stored by workers of that service; -ENOENT. */
static int find_in(const State *st, const Service *s, int fd) {
        int r = -ENOENT;

        if (service_stored_fds(s))
                r = fd_store_find(service_stored_fds(s), fd);
        return r >= 0 && state_stored_has(st, r) ? r : -ENOENT;
}

/* Systemd compares with all that it has, and keeps none twice. */
static int find_same(const State *st, int fd) {
        const Manager *m = st->manager;
        const Service *s;
        int r = -ENOENT;

        for (size_t i = 0; i < m->n_services && r < 0; i++)
                r = find_in(st, m->services[i], fd);
        LIST_FOREACH(s, &m->leaving, leaving_others)
                r = r < 0 ? find_in(st, s, fd) : r;

        return r;
}

/* What a deploy of everything may need is ours. */
static bool has_room(const State *st) {
        return st->n_foreign + settings_store_need_of_daemon(st->manager->settings) <
                               st->store_max &&
               st->n_stored < st->store_max;
}

static int store(State *st, const char *name, int fd) {
        int r;

        if (!has_room(st))
                return -EXFULL;

        CRASH_POINT("worker-store");
        r = above_try_store(st->manager->above, name, fd);
        if (r < 0)
                return r;

        CRASH_POINT("worker-stored");
        st->n_stored++;
        st->n_foreign++;
        return 0;
}

static int put_record(State *st, const Service *s, int fd, const char *above, const char *name,
                      bool is_polled) {
        char key[KEY_SIZE];
        int r;

        snprintf(key, sizeof(key), KEY_FORMAT, st->n_objects + 1);
        r = state_put(st, key,
                      json_pack("{s:I, s:s, s:s, s:b}", "service", (json_int_t) s->id, "fd", above,
                                "name", name, "is_polled", is_polled));
        if (r < 0)
                return r;

        CRASH_POINT("worker-recorded");
        st->stored[fd] = ++st->n_objects;
        return 0;
}

/* It was stored, and cannot be said to be. */
static void take_out(State *st, int fd) {
        uint64_t name = st->names[fd];

        st->names[fd] = 0;
        drop_name(st, name);
}

int state_stored_put(State *st, Service *s, int fd, const char *name, bool is_polled) {
        char above[STATE_NAME_SIZE];
        int r, other;

        assert(!state_stored_has(st, fd));

        if (s->id == 0) { /* nobody would know whose it is */
                r = state_flush(st);
                if (r < 0 || s->id == 0)
                        return r < 0 ? r : -EAGAIN;
        }

        r = state_give_name(st, fd, STATE_STORED_KIND, above);
        if (r < 0)
                return r;

        other = find_same(st, fd);
        r = other >= 0 ? state_share_name(st, fd, other) : store(st, above, fd);
        if (r < 0)
                return r;

        state_unpack_name(st->names[fd], above);

        r = put_record(st, s, fd, above, name, is_polled);
        if (r < 0)
                take_out(st, fd);
        return r;
}

/* ---- for a successor by exec ---- */

/* ["w1", name, whether it is dropped when it hangs up, number of its record].  What is not in the store
 * above us yet has no record, and the successor goes on from there. */
json_t *state_stored_save(State *st, const Service *s) {
        _cleanup_state_json_ json_t *array = json_array();
        const FdStore *stored = service_stored_fds(s);

        for (size_t i = 0; i < fd_store_n(stored); i++) {
                int fd = fd_store_fd(stored, i);
                char name[STATE_NAME_SIZE];

                if (state_give_name(st, fd, STATE_STORED_KIND, name) < 0 ||
                    json_array_append_new(array,
                                          json_pack("[s, s, b, I]", name, fd_store_name(stored, i),
                                                    fd_store_is_polled(stored, i),
                                                    (json_int_t) st->stored[fd])) < 0)
                        return NULL;
        }

        return TAKE_PTR(array);
}

typedef struct Stored {
        const char *above; /* its name in the store above us */
        const char *name;
        bool is_polled;
        uint64_t record; /* 0: none, and it is not above us */
} Stored;

/* It was taken already, by another record. */
static int find_named(const State *st, const char *name) {
        uint64_t packed = state_read_name(name);

        for (size_t fd = 0; fd < st->n_fds; fd++)
                if (packed != 0 && st->names[fd] == packed)
                        return (int) fd;

        return -ENOENT;
}

/* Returns 0, also if it is not kept, or -ENOMEM. */
static int take_back(Adoption *a, Service *s, const Stored *stored) {
        State *st = a->state;
        int fd = legacy_take_fd(a->legacy, stored->above), other = -EBADF, r;

        if (fd < 0) {
                other = find_named(st, stored->above);
                fd = other < 0 ? other : fcntl(other, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        }
        if (fd < 0)
                return forget_record(st, stored->record); /* it never came there */

        r = service_store_put(s, SIZE_MAX, stored->name, stored->is_polled, fd);
        if (r <= 0) {
                if (other < 0)
                        state_drop_name(st, stored->above);
                return forget_record(st, stored->record);
        }

        if (stored->record == 0)
                return 0;
        r = other < 0 ? state_keep_name(st, fd, stored->above) : state_share_name(st, fd, other);
        if (r >= 0)
                st->stored[fd] = stored->record;
        return r;
}

int state_stored_load_list(Adoption *a, const json_t *service, Service *s) {
        const json_t *array;
        int r;

        r = state_get_array(service, "stored", &array);
        for (size_t i = 0; i < json_array_size(array) && r >= 0; i++) {
                const json_t *one = json_array_get(array, i);
                Stored stored = {
                        .above = json_string_value(json_array_get(one, 0)),
                        .name = json_string_value(json_array_get(one, 1)),
                        .is_polled = json_is_true(json_array_get(one, 2)),
                        .record = (uint64_t) json_integer_value(json_array_get(one, 3)),
                };

                if (!stored.above || !stored.name || !fd_name_is_valid(stored.name))
                        return -EBADMSG;
                r = take_back(a, s, &stored);
        }

        return r;
}

/* ---- for a successor by the store above us ---- */

static Service *find_service(const Manager *m, uint64_t id) {
        Service *s;

        for (size_t i = 0; i < m->n_services; i++)
                if (m->services[i]->id == id)
                        return m->services[i];
        LIST_FOREACH(s, &m->leaving, leaving_others)
                if (s->id == id)
                        return s;

        return NULL;
}

static int load_one(Adoption *a, const char *key, const json_t *record) {
        Stored stored = { .record = strtoull(key + strlen(FAMILY "/"), NULL, 10) };
        Service *s = NULL;
        uint64_t id;
        int r;

        r = state_get_uint64(record, "service", &id);
        if (r >= 0)
                r = state_get_text(record, "fd", &stored.above);
        if (r >= 0)
                r = state_get_text(record, "name", &stored.name);
        if (r < 0 || !stored.above || !stored.name || !fd_name_is_valid(stored.name) ||
            stored.record == 0)
                return -EBADMSG;

        stored.is_polled = json_is_true(json_object_get(record, "is_polled"));
        s = find_service(a->manager, id);
        return s ? take_back(a, s, &stored) : forget_record(a->state, stored.record);
}

static bool is_ours(const State *st, uint64_t number) {
        for (size_t fd = 0; fd < st->n_fds; fd++)
                if (st->stored[fd] == number)
                        return true;

        return false;
}

/* Who was before us may be older and know nothing of records: what they speak of is no more. */
static int check_one(Adoption *a, const char *key, const json_t *record) {
        uint64_t number = strtoull(key + strlen(FAMILY "/"), NULL, 10);
        const char *above;

        if (is_ours(a->state, number))
                return 0;

        if (state_get_text(record, "fd", &above) >= 0 && above)
                state_drop_name(a->state, above);
        return state_log_remove(a->state->log, key);
}

int state_stored_load(Adoption *a) {
        const StateLog *l = a->state->log;
        int r = 0;

        for (size_t i = 0; i < state_log_n_records(l) && r >= 0;) {
                _cleanup_state_json_ json_t *record = NULL;
                size_t n = state_log_n_records(l);
                char key[STATE_KEY_MAX + 1];

                strcpy(key, state_log_key(l, i));
                if (strncmp(key, FAMILY "/", strlen(FAMILY "/")) == 0) {
                        r = legacy_get(a->legacy, key, &record);
                        if (r >= 0)
                                r = a->legacy->is_from_exec ? check_one(a, key, record)
                                                            : load_one(a, key, record);
                }
                i += state_log_n_records(l) == n; /* else the next one has taken its place */
        }

        return r;
}
