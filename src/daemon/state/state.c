#include "daemon/state/state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "daemon/manager.h"
#include "daemon/state/crash-point.h"
#include "daemon/state/state-config.h"
#include "daemon/state/state-endpoint.h"
#include "daemon/state/state-fields.h"
#include "daemon/state/state-service.h"
#include "daemon/state/state-stored.h"
#include "daemon/timer.h"

#define KEY_SIZE   32U
#define RETRY_USEC (500 * USEC_PER_MSEC)

/* ---- descriptors ---- */

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* A letter, and a number to the base of 36. */
static void format_name(char kind, uint64_t number, char name[static STATE_NAME_SIZE]) {
        char *at = name + STATE_NAME_SIZE - 1;
        size_t n;

        *at = '\0';
        do
                *--at = digits[number % 36];
        while ((number /= 36) > 0 && at > name + 1);
        *--at = kind;

        n = (size_t) (name + STATE_NAME_SIZE - at);
        memmove(name, at, n);
}

/* A table by descriptors, with room for so many, where there is none yet zero. */
static int lengthen(uint64_t **table, size_t n_before, size_t n) {
        uint64_t *longer = reallocarray(*table, n, sizeof(*longer));

        if (!longer)
                return -ENOMEM;

        memset(longer + n_before, 0, (n - n_before) * sizeof(*longer));
        *table = longer;
        return 0;
}

static int make_room_for_fd(State *st, int fd) {
        size_t n = st->n_fds > 0 ? st->n_fds : 64;
        int r;

        if ((size_t) fd < st->n_fds)
                return 0;

        while (n <= (size_t) fd)
                n *= 2;
        r = lengthen(&st->names, st->n_fds, n);
        if (r >= 0)
                r = lengthen(&st->stored, st->n_fds, n);
        if (r >= 0)
                st->n_fds = n;
        return r;
}

/* The letter is kept in the lowest byte. */
static uint64_t pack_name(char kind, uint64_t number) {
        return number << 8 | (uint8_t) kind;
}

void state_unpack_name(uint64_t packed, char ret[static STATE_NAME_SIZE]) {
        format_name((char) (packed & UINT8_MAX), packed >> 8, ret);
}

static bool is_foreign(uint64_t packed) {
        return (packed & UINT8_MAX) == STATE_STORED_KIND;
}

static int store(State *st, const char *name, int fd) {
        int r;

        if (st->store_max == 0)
                return 0;
        if (st->n_stored >= st->store_max) {
                log_error("The store above us is full: store_max = %zu", st->store_max);
                return -ENOSPC;
        }

        CRASH_POINT("store");
        r = above_store(st->manager->above, name, fd);
        CRASH_POINT("stored");
        if (r >= 0)
                st->n_stored++;
        return r;
}

/* One of them would be the name of the log. */
static uint64_t next_number(const State *st, char kind) {
        char name[STATE_NAME_SIZE];

        state_unpack_name(pack_name(kind, st->n_names + 1), name);
        return st->n_names + (strcmp(name, STATE_STORE_NAME) == 0 ? 2 : 1);
}

static int name_fd(State *st, int fd, char kind, bool is_for_store,
                   char ret[static STATE_NAME_SIZE]) {
        int r;

        assert(fd >= 0);

        r = make_room_for_fd(st, fd);
        if (r < 0)
                return r;

        if (st->names[fd] == 0) {
                uint64_t number = next_number(st, kind);

                state_unpack_name(pack_name(kind, number), ret);
                r = is_for_store ? store(st, ret, fd) : 0;
                if (r < 0)
                        return r;
                st->names[fd] = pack_name(kind, number);
                st->n_names = number;
        }

        state_unpack_name(st->names[fd], ret);
        return 0;
}

int state_name_fd(State *st, int fd, char kind, char ret[static STATE_NAME_SIZE]) {
        return name_fd(st, fd, kind, /* is_for_store= */ true, ret);
}

int state_give_name(State *st, int fd, char kind, char ret[static STATE_NAME_SIZE]) {
        return name_fd(st, fd, kind, /* is_for_store= */ false, ret);
}

uint64_t state_read_name(const char *name) {
        char again[STATE_NAME_SIZE];
        uint64_t packed = name[0] ? pack_name(name[0], strtoull(name + 1, NULL, 36)) : 0;

        state_unpack_name(packed, again);
        return strcmp(again, name) == 0 && strcmp(name, STATE_STORE_NAME) != 0 ? packed : 0;
}

/* No number is given twice. */
static void note_name(State *st, uint64_t packed) {
        if (packed >> 8 > st->n_names)
                st->n_names = packed >> 8;
}

int state_keep_name(State *st, int fd, const char *name) {
        int r;

        r = make_room_for_fd(st, fd);
        if (r < 0)
                return r;

        st->names[fd] = state_read_name(name);
        note_name(st, st->names[fd]);
        st->n_stored++;
        st->n_foreign += is_foreign(st->names[fd]);
        return 0;
}

int state_share_name(State *st, int fd, int other_fd) {
        int r = make_room_for_fd(st, fd);

        if (r < 0)
                return r;

        st->names[fd] = st->names[other_fd];
        st->n_shared++;
        return 0;
}

static void write_later(State *st);

int state_names_put(StateNames *names, uint64_t name) {
        uint64_t *longer = reallocarray(names->items, names->n + 1, sizeof(*longer));

        if (!longer)
                return -ENOMEM;

        names->items = longer;
        names->items[names->n++] = name;
        return 0;
}

/* What workers had stored is taken out when its record is gone, a little at a time; all else when the record
 * that speaks of it is written.  Without memory a successor does it. */
void state_release_fd(State *st, int fd) {
        uint64_t name;

        if (!st || fd < 0 || (size_t) fd >= st->n_fds || st->names[fd] == 0)
                return;

        name = st->names[fd];
        st->names[fd] = 0;
        if (st->manager->is_adopting ? is_foreign(name) : st->store_max == 0)
                return;

        if (is_foreign(name))
                state_stored_release(st, fd, name);
        else if (state_names_put(&st->released, name) >= 0)
                write_later(st);
}

void state_drop_name(State *st, const char *name) {
        uint64_t packed = state_read_name(name);

        note_name(st, packed);
        if (is_foreign(packed) && state_names_put(&st->unstored, packed) >= 0) {
                st->n_stored++;
                st->n_foreign++;
        } else if (st->store_max > 0)
                (void) above_unstore(st->manager->above, name); /* else the next one does it */
}

static int unstore(const State *st, uint64_t name) {
        char text[STATE_NAME_SIZE];

        state_unpack_name(name, text);
        return above_unstore(st->manager->above, text);
}

static int unstore_all(const State *st, StateNames *names) {
        int r = 0;

        while (names->n > 0 && r >= 0)
                r = unstore(st, names->items[--names->n]);

        names->n = 0;
        return r;
}

/* The log last: who is killed before that has a successor who stops as well, and does the rest.  So has who
 * is not listened to, and does not wait for each anew. */
static int drop_all(State *st) {
        int r = unstore_all(st, &st->released);

        if (r >= 0)
                r = unstore_all(st, &st->unstored);
        for (size_t fd = 0; fd < st->n_fds && r >= 0; fd++)
                if (st->names[fd] != 0)
                        r = unstore(st, st->names[fd]);

        return r < 0 ? r : above_unstore(st->manager->above, STATE_STORE_NAME);
}

void state_abandon(State *st) {
        if (state_has_store(st))
                (void) drop_all(st);

        st->released.n = st->unstored.n = 0;
        st->store_max = 0; /* nothing is written any more */
}

static void drop_released(State *st) {
        StateNames *names = &st->released;
        size_t n = 0;

        while (n < names->n) {
                CRASH_POINT("unstore");
                if (unstore(st, names->items[n]) < 0)
                        break;
                n++;
                st->n_stored -= st->n_stored > 0;
        }

        names->n -= n;
        if (n > 0)
                memmove(names->items, names->items + n, names->n * sizeof(uint64_t));
}

/* ---- records ---- */

int state_put(State *st, const char *key, json_t *object) {
        _cleanup_state_json_ json_t *own = object;
        _cleanup_free_ char *text = NULL;

        if (!own)
                return -ENOMEM;

        text = json_dumps(own, JSON_COMPACT);
        return text ? state_log_put(st->log, key, text) : -ENOMEM;
}

void state_remove(State *st, const char *family, uint64_t id) {
        char key[KEY_SIZE];

        if (!st || id == 0 || st->manager->is_adopting)
                return;

        snprintf(key, sizeof(key), "%s/%" PRIu64, family, id);
        (void) state_log_remove(st->log, key); /* else a successor drops it */
}

static int note_use(State *st, uint64_t number) {
        uint64_t *longer;

        for (size_t i = 0; i < st->n_in_use; i++)
                if (st->in_use[i] == number)
                        return 0;

        longer = reallocarray(st->in_use, st->n_in_use + 1, sizeof(*longer));
        if (!longer)
                return -ENOMEM;
        st->in_use = longer;
        st->in_use[st->n_in_use++] = number;
        return 0;
}

/* After everything was written: what was not named is not needed. */
static void remove_unused_settings(State *st) {
        for (size_t i = state_log_n_records(st->log); i-- > 0;) {
                const char *key = state_log_key(st->log, i);
                bool is_used = strncmp(key, "config/", strlen("config/")) != 0;

                for (size_t k = 0; k < st->n_in_use && !is_used; k++)
                        is_used = strtoull(key + strlen("config/"), NULL, 10) == st->in_use[k];
                if (!is_used)
                        (void) state_log_remove(st->log, key);
        }
}

int state_name_settings(State *st, Settings *s, uint64_t *ret) {
        char key[KEY_SIZE];
        int r;

        if (s->id == 0) {
                snprintf(key, sizeof(key), "config/%" PRIu64, st->n_configs + 1);
                r = state_put(st, key, state_config_save(s));
                if (r < 0)
                        return r;
                s->id = ++st->n_configs;
        }

        *ret = s->id;
        return note_use(st, s->id);
}

static int put_daemon(State *st) {
        const Manager *m = st->manager;
        json_t *object = json_object();
        uint64_t now = 0, next = 0;
        int r;

        r = object ? state_name_settings(st, m->settings, &now) : -ENOMEM;
        if (r >= 0 && m->settings_next)
                r = state_name_settings(st, m->settings_next, &next);
        if (r >= 0)
                r = state_put_uint64(object, "version", STATE_VERSION);
        if (r >= 0)
                r = state_put_text(object, "program", PROJECT_VERSION);
        if (r >= 0)
                r = state_put_uint64(object, "settings", now);
        if (r >= 0)
                r = state_put_uint64(object, "settings_next", next);
        if (r >= 0)
                r = state_put_uint64(object, "seed", m->seed);
        if (r >= 0)
                r = state_put_uint64(object, "n_notify_sockets", m->n_notify_sockets);
        if (r >= 0)
                r = state_put_uint64(object, "n_cut", m->n_cut);
        if (r >= 0 && m->is_stopping)
                r = state_put_json(object, "is_stopping", json_true());
        if (r >= 0)
                r = state_put_uint64(object, "n_names", st->n_names);
        if (r >= 0)
                r = state_put_uint64(object, "n_configs", st->n_configs);
        if (r >= 0)
                r = state_put_uint64(object, "n_objects", st->n_objects);
        if (r >= 0)
                r = state_put_uint64(object, "n_adopted", st->n_adopted);
        if (r < 0) {
                json_decref(object);
                return r;
        }

        return state_put(st, "daemon", object);
}

static int put_endpoint(State *st, Endpoint *e) {
        char key[KEY_SIZE];

        if (e->id == 0)
                e->id = ++st->n_objects;
        snprintf(key, sizeof(key), "endpoint/%" PRIu64, e->id);
        return state_put(st, key, state_endpoint_save(st, e));
}

static int put_service(State *st, Service *s) {
        char key[KEY_SIZE];
        int r = 0;

        if (s->id == 0)
                s->id = ++st->n_objects;
        for (size_t i = 0; i < s->n_held && r >= 0; i++)
                if (s->endpoints[i]->id == 0)
                        r = put_endpoint(st, s->endpoints[i]);
        if (r < 0)
                return r;

        snprintf(key, sizeof(key), "service/%" PRIu64, s->id);
        return state_put(st, key, state_service_save(st, s));
}

int state_write_all(State *st) {
        Manager *m = st->manager;
        Service *s;
        int r = 0;

        st->n_in_use = 0;
        st->is_writing_all = true;
        for (size_t i = 0; i < m->n_endpoints && r >= 0; i++)
                r = put_endpoint(st, m->endpoints[i]);
        for (size_t i = 0; i < m->n_services && r >= 0; i++) {
                s = m->services[i];
                for (size_t k = s->n_endpoints; k < s->n_held && r >= 0; k++)
                        r = put_endpoint(st, s->endpoints[k]);
                if (r >= 0)
                        r = put_service(st, s);
        }
        LIST_FOREACH(s, &m->leaving, leaving_others) {
                for (size_t k = 0; k < s->n_held && r >= 0; k++)
                        r = put_endpoint(st, s->endpoints[k]);
                if (r >= 0)
                        r = put_service(st, s);
        }

        st->is_writing_all = false;
        if (r >= 0)
                r = put_daemon(st);
        if (r >= 0)
                remove_unused_settings(st);
        return r;
}

/* ---- what has changed ---- */

bool state_has_store(const State *st) {
        return st && st->store_max > 0;
}

static void write_later(State *st) {
        if (st->later)
                (void) sd_event_source_set_enabled(st->later, SD_EVENT_ONESHOT);
}

void state_touch_service(Service *s) {
        State *st = s->manager->state;

        if (!state_has_store(st))
                return;
        s->is_dirty = true;
        write_later(st);
}

void state_touch_endpoint(Endpoint *e) {
        State *st = e->manager->state;

        if (!state_has_store(st))
                return;
        e->is_dirty = true;
        write_later(st);
}

void state_touch_all(State *st) {
        if (!state_has_store(st))
                return;
        st->is_all_dirty = true;
        write_later(st);
}

static int flush_endpoint(State *st, Endpoint *e) {
        int r = e->is_dirty || e->id == 0 ? put_endpoint(st, e) : 0;

        if (r >= 0)
                e->is_dirty = false;
        return r;
}

static int flush_service(State *st, Service *s) {
        int r = 0;

        for (size_t i = 0; i < s->n_held && r >= 0; i++)
                r = flush_endpoint(st, s->endpoints[i]);
        if (r >= 0 && (s->is_dirty || s->id == 0))
                r = put_service(st, s);
        if (r >= 0)
                s->is_dirty = false;
        return r;
}

/* Endpoints first: services speak of them. */
static int flush_dirty(State *st) {
        Manager *m = st->manager;
        Service *s;
        int r = 0;

        for (size_t i = 0; i < m->n_endpoints && r >= 0; i++)
                r = flush_endpoint(st, m->endpoints[i]);
        for (size_t i = 0; i < m->n_services && r >= 0; i++)
                r = flush_service(st, m->services[i]);
        LIST_FOREACH(s, &m->leaving, leaving_others)
                if (r >= 0)
                        r = flush_service(st, s);

        return r;
}

static int on_later(sd_event_source *source, void *userdata) {
        (void) state_flush(userdata); /* it logs, and tries again */
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) state_flush(userdata);
        return 0;
}

/* If nothing changes any more, what is left above would stay behind what is. */
static void flush_again(State *st, int error) {
        if (!st->is_late)
                log_warning("What a successor would need cannot be written now: %s",
                            reuse_strerror(error));
        st->is_late = true;
        (void) timer_arm(st->manager->event, &st->retry, RETRY_USEC, on_retry, st);
}

int state_flush(State *st) {
        int r;

        if (!state_has_store(st) || st->manager->is_adopting)
                return 0;

        r = st->is_all_dirty ? state_write_all(st) : flush_dirty(st);
        if (r < 0) {
                flush_again(st, r);
                return r;
        }

        if (st->is_late)
                log_info("What a successor would need is written again");
        st->is_late = st->is_all_dirty = false;
        st->retry = timer_disarm(st->retry);
        drop_released(st);
        return 0;
}

int state_use_store(State *st, size_t store_max) {
        char name[] = STATE_STORE_NAME;
        int r;

        r = sd_event_add_defer(st->manager->event, &st->later, on_later, st);
        if (r >= 0)
                r = sd_event_source_set_enabled(st->later, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(st->later, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = above_store(st->manager->above, name, state_log_fd(st->log));
        if (r < 0)
                return r;

        st->store_max = store_max;
        st->n_stored++;
        return 0;
}

/* ---- birth and death ---- */

int state_new(Manager *manager, StateLog *log, State **ret) {
        _cleanup_(state_freep) State *st = NULL;
        int r;

        st = calloc(1, sizeof(*st));
        if (!st) {
                (void) state_log_free(log);
                return -ENOMEM;
        }

        st->manager = manager;
        st->log = log;
        r = log ? 0 : state_log_new(&st->log);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(st);
        return 0;
}

State *state_free(State *st) {
        if (!st)
                return NULL;

        st->log = state_log_free(st->log);
        free(st->names);
        free(st->stored);
        free(st->in_use);
        free(st->released.items);
        free(st->unstored.items);
        st->later = sd_event_source_disable_unref(st->later);
        st->retry = timer_disarm(st->retry);
        free(st);
        return NULL;
}
