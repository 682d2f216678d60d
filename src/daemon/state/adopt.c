#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/endpoint/endpoint-adopt.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/state/adoption.h"
#include "daemon/state/state-config.h"
#include "daemon/state/state-endpoint.h"
#include "daemon/state/state-fields.h"
#include "daemon/state/state-service.h"
#include "daemon/state/state-stored.h"
#include "daemon/why.h"

#define SETTINGS_MAX 4096U

/* ---- what came ---- */

int legacy_get(const Legacy *l, const char *key, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = state_log_get(l->log, key, &text);
        if (r < 0)
                return r;

        *ret = json_loads(text, 0, NULL);
        if (!*ret)
                return -EBADMSG;
        if (!json_is_object(*ret)) {
                json_decref(*ret);
                return -EBADMSG;
        }

        return 0;
}

void legacy_done(Legacy *l) {
        for (size_t i = 0; i < l->n_fds; i++)
                l->fds[i].fd = fd_close(l->fds[i].fd);
        free(l->fds);
        l->log = state_log_free(l->log);
        *l = (Legacy){ 0 };
}

int legacy_take_fd(Legacy *l, const char *name) {
        for (size_t i = 0; i < l->n_fds; i++)
                if (l->fds[i].fd >= 0 && strcmp(l->fds[i].name, name) == 0)
                        return TAKE_FD(l->fds[i].fd);

        return -ENOENT;
}

int adoption_take_fd(Adoption *a, const char *name) {
        int fd, r;

        fd = legacy_take_fd(a->legacy, name);
        if (fd < 0)
                return fd;

        r = state_keep_name(a->state, fd, name);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }

        return fd;
}

Settings *adoption_settings(const Adoption *a, uint64_t number) {
        for (size_t i = 0; i < a->n_settings; i++)
                if (a->settings[i]->id == number)
                        return a->settings[i];

        return NULL;
}

Endpoint *adoption_endpoint(const Adoption *a, uint64_t id) {
        for (size_t i = 0; i < a->n_endpoints; i++)
                if (a->endpoints[i] && a->endpoints[i]->id == id)
                        return a->endpoints[i];

        return NULL;
}

int legacy_give_up(int error, const char *why) {
        const char *help = "";

        if (error == -EPERM)
                help = "start it as that user again, or ";
        else if (error == -EPROTONOSUPPORT)
                help = "put back the reuseportd that wrote it, or ";

        log_note(LOG_ERR, MESSAGE_CANNOT_GO_ON,
                 "Cannot go on from the state of the reuseportd before: %s. Nothing was changed, and its "
                 "workers serve on; %sstop this one, which ends them, and start anew",
                 why ?: reuse_strerror(error), help);
        return error;
}

/* The records of a family, "service/", one after the other.  Returns 1; 0: that was the last; an error. */
static int next_of(Adoption *a, const char *family, size_t *index, json_t **ret) {
        const StateLog *log = a->legacy->log;
        size_t length = strlen(family);
        int r;

        for (; *index < state_log_n_records(log); (*index)++) {
                const char *key = state_log_key(log, *index);

                if (strncmp(key, family, length) != 0)
                        continue;
                a->record = key;
                r = legacy_get(a->legacy, key, ret);
                (*index)++;
                return r < 0 ? r : 1;
        }

        a->record = NULL;
        return 0;
}

/* ---- settings ---- */

static uint64_t number_of(const char *key) {
        uint64_t number = 0;

        (void) parse_unsigned(strchr(key, '/') + 1, UINT64_MAX - 1, &number);
        return number;
}

static void log_problems(const Problems *p) {
        STRV_FOREACH(line, p->lines)
                log_error("%s", *line);
}

/* Returns 0 with the Settings of the record @key. */
static int load_settings(const Legacy *l, const char *key, Problems *problems, Settings **ret) {
        _cleanup_state_json_ json_t *record = NULL;
        int r;

        r = legacy_get(l, key, &record);
        if (r >= 0)
                r = state_config_load(record, problems, ret);
        if (r >= 0)
                (*ret)->id = number_of(key);
        return r;
}

/* What is wrong with a record.  Returns @error. */
static int blame(const char *key, int error, const Problems *problems, char **reterr_why) {
        if (problems && problems->lines)
                return why_say(reterr_why, error,
                               "its record %s has settings that make no sense here any more: %s",
                               key, problems->lines[0]);

        return why_say(reterr_why, error, "its record %s %s", key,
                       error == -EBADMSG  ? "is damaged"
                       : error == -ENOENT ? "is missing"
                                          : reuse_strerror(error));
}

static int load_all_settings(const Legacy *l, Problems *problems, Settings ***ret, size_t *ret_n,
                             char **reterr_why) {
        _cleanup_free_ Settings **list = calloc(SETTINGS_MAX, sizeof(Settings *));
        size_t n = 0;
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < state_log_n_records(l->log) && r >= 0; i++) {
                const char *key = state_log_key(l->log, i);

                if (strncmp(key, "config/", strlen("config/")) != 0)
                        continue;
                r = n < SETTINGS_MAX ? load_settings(l, key, problems, list + n) : -E2BIG;
                if (r >= 0)
                        n++;
                else
                        (void) blame(key, r, problems, reterr_why);
        }
        for (; r < 0 && n > 0; n--)
                (void) settings_unref(list[n - 1]);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(list);
        *ret_n = n;
        return 0;
}

/* ---- the daemon ---- */

static int check_version(const json_t *daemon, char **reterr_why) {
        const char *program = NULL;
        uint64_t version;
        int r;

        r = state_get_uint64(daemon, "version", &version);
        if (r >= 0)
                r = state_get_text(daemon, "program", &program);
        if (r < 0)
                return blame("daemon", r, NULL, reterr_why);
        if (version != STATE_VERSION)
                return why_say(reterr_why, -EPROTONOSUPPORT,
                               "it is of reuseportd %s and has version %" PRIu64
                               ", and this one understands %u",
                               program ?: "?", version, STATE_VERSION);

        return 0;
}

static int get_daemon(const Legacy *l, json_t **ret, char **reterr_why) {
        int r = legacy_get(l, "daemon", ret);

        return r < 0 ? blame("daemon", r, NULL, reterr_why) : check_version(*ret, reterr_why);
}

static int load_daemon(Adoption *a, const json_t *from) {
        Manager *m = a->manager;
        State *st = a->state;
        uint64_t settings, next, seed, n_cut;
        int r;

        r = state_get_uint64(from, "settings", &settings);
        if (r >= 0)
                r = state_get_uint64(from, "settings_next", &next);
        if (r >= 0)
                r = state_get_uint64(from, "seed", &seed);
        if (r >= 0)
                r = state_get_uint64(from, "n_notify_sockets", &m->n_notify_sockets);
        if (r >= 0)
                r = state_get_uint64(from, "n_cut", &n_cut);
        if (r >= 0)
                r = state_get_uint64(from, "n_names", &st->n_names);
        if (r >= 0)
                r = state_get_uint64(from, "n_configs", &st->n_configs);
        if (r >= 0)
                r = state_get_uint64(from, "n_objects", &st->n_objects);
        if (r >= 0)
                r = state_get_uint64(from, "n_adopted", &st->n_adopted);
        if (r < 0 || !adoption_settings(a, settings))
                return -EBADMSG;

        st->n_adopted++;
        m->seed = (uint32_t) seed;
        m->n_cut = (unsigned) n_cut;
        m->must_stop = json_is_true(json_object_get(from, "is_stopping"));
        m->settings = settings_ref(adoption_settings(a, settings));
        if (next > 0 && adoption_settings(a, next))
                m->settings_next = settings_ref(adoption_settings(a, next));
        return 0;
}

/* ---- objects ---- */

static int load_endpoints(Adoption *a) {
        size_t index = 0;
        json_t *record;
        int r;

        a->endpoints = calloc(state_log_n_records(a->legacy->log) + 1, sizeof(Endpoint *));
        if (!a->endpoints)
                return -ENOMEM;

        while ((r = next_of(a, "endpoint/", &index, &record)) > 0) {
                r = state_endpoint_load(a, record, &a->endpoints[a->n_endpoints]);
                json_decref(record);
                if (r < 0)
                        return r;
                a->n_endpoints++;
        }

        return r;
}

static Endpoint *take_endpoint(Adoption *a, const EndpointSettings *settings) {
        for (size_t i = 0; i < a->n_endpoints; i++)
                if (a->endpoints[i] && a->endpoints[i]->settings == settings)
                        return TAKE_PTR(a->endpoints[i]);

        return NULL;
}

/* Those that the settings name are the manager's, in their order; one that is not there is new. */
static int place_endpoints(Adoption *a) {
        Manager *m = a->manager;
        const Settings *s = m->settings;

        m->endpoints = calloc(s->n_endpoints + 1, sizeof(Endpoint *));
        if (!m->endpoints)
                return -ENOMEM;

        for (; m->n_endpoints < s->n_endpoints; m->n_endpoints++) {
                Endpoint **place = &m->endpoints[m->n_endpoints];
                int r;

                *place = take_endpoint(a, s->endpoints[m->n_endpoints]);
                r = *place ? 0 : endpoint_new_closed(m, s->endpoints[m->n_endpoints], 0, place);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int place_service(const Manager *m, Service *s, Service **found) {
        if (s->is_leaving)
                return 0;

        for (size_t i = 0; i < m->settings->n_services; i++)
                if (s->settings == m->settings->services[i] && !found[i]) {
                        found[i] = s;
                        return 0;
                }

        s->n_endpoints = s->n_held; /* none is its own */
        (void) service_free(s);
        return -EBADMSG;
}

/* The services that the settings name, in their order; others have been put among the leaving. */
static int load_services(Adoption *a) {
        Manager *m = a->manager;
        _cleanup_free_ Service **found = calloc(m->settings->n_services + 1, sizeof(Service *));
        size_t index = 0;
        json_t *record;
        int r;

        m->services = calloc(m->settings->n_services + 1, sizeof(Service *));
        if (!found || !m->services)
                return -ENOMEM;

        while ((r = next_of(a, "service/", &index, &record)) > 0) {
                Service *s;

                r = state_service_load(a, record, &s);
                json_decref(record);
                if (r < 0)
                        break;
                r = place_service(m, s, found);
                if (r < 0)
                        break;
        }

        for (size_t i = 0; i < m->settings->n_services; i++)
                if (found[i])
                        m->services[m->n_services++] = found[i];
        return r;
}

/* Endpoints that belong to a service and not to the settings are its own from here on. */
static void give_endpoints(Adoption *a) {
        for (size_t i = 0; i < a->n_endpoints; i++)
                if (a->endpoints[i] && a->endpoints[i]->service)
                        a->endpoints[i] = NULL;
}

static int load_sockets_of(Adoption *a, const json_t *record) {
        Endpoint *e;
        uint64_t id;
        int r;

        r = state_get_uint64(record, "id", &id);
        if (r < 0)
                return r;
        e = adoption_endpoint(a, id);
        if (!e)
                return -EBADMSG;

        r = state_endpoint_load_sockets(a, record, e);
        if (r >= 0 && !e->service)
                r = state_endpoint_load_takers(a, record, e);
        if (r < 0 && !a->manager->must_stop) /* else they were closed already */
                log_error("Endpoint %s: its sockets could not be taken back: %s", e->settings->name,
                          reuse_strerror(r));
        return 0;
}

static int load_sockets(Adoption *a) {
        size_t index = 0;
        json_t *record;
        int r;

        while ((r = next_of(a, "endpoint/", &index, &record)) > 0) {
                r = load_sockets_of(a, record);
                json_decref(record);
                if (r < 0)
                        return r;
        }

        return r;
}

/* ---- together ---- */

/* When it fails the endpoints are not the services'. */
static void detach_endpoints(const Manager *m) {
        Service *s;

        for (size_t i = 0; i < m->n_services; i++)
                m->services[i]->n_endpoints = m->services[i]->n_held = 0;
        LIST_FOREACH(s, &m->leaving, leaving_others)
                s->n_endpoints = s->n_held = 0;
}

static void adoption_done(Adoption *a) {
        for (size_t i = 0; i < a->n_settings; i++)
                (void) settings_unref(a->settings[i]);
        free(a->settings);
        for (size_t i = 0; i < a->n_endpoints; i++)
                (void) endpoint_free(a->endpoints[i]);
        free(a->endpoints);
}

static int load_objects(Adoption *a, const json_t *daemon) {
        int r;

        r = load_daemon(a, daemon);
        if (r >= 0)
                r = load_endpoints(a);
        return r < 0 ? r : load_services(a);
}

static int load_all(Adoption *a, const json_t *daemon) {
        int r;

        r = load_objects(a, daemon);
        if (r >= 0)
                r = state_stored_load(a);
        if (r >= 0)
                r = load_sockets(a);
        if (r < 0) {
                detach_endpoints(a->manager);
                return r;
        }

        r = place_endpoints(a);
        give_endpoints(a);
        return r;
}

/* All objects in a manager that has nothing else. */
static int rehearse(Adoption *a, const json_t *daemon) {
        Manager *m = a->manager;
        int r;

        r = sd_event_new(&m->event);
        if (r >= 0)
                r = load_objects(a, daemon);
        detach_endpoints(m);
        return r;
}

static void rehearsal_done(Manager *m) {
        while (!LIST_EMPTY(&m->leaving))
                (void) service_free(LIST_FIRST(&m->leaving));
        for (size_t i = 0; i < m->n_services; i++)
                (void) service_free(m->services[i]);
        free(m->services);
        m->settings_next = settings_unref(m->settings_next);
        m->settings = settings_unref(m->settings);
        m->event = sd_event_unref(m->event);
}

int legacy_check(const Legacy *l, char **reterr_why) {
        _cleanup_(rehearsal_done) Manager m = { .is_adopting = true };
        _cleanup_(problems_done) Problems problems = { 0 };
        Legacy only_log = { .log = l->log, .is_from_exec = true };
        State state = { .manager = &m, .log = l->log };
        _cleanup_(adoption_done) Adoption a = {
                .manager = &m,
                .state = &state,
                .legacy = &only_log,
                .is_rehearsal = true,
        };
        _cleanup_state_json_ json_t *daemon = NULL;
        int r;

        LIST_INIT(&m.leaving);
        r = get_daemon(l, &daemon, reterr_why);
        if (r >= 0)
                r = load_all_settings(l, &problems, &a.settings, &a.n_settings, reterr_why);
        if (r < 0)
                return r;

        r = rehearse(&a, daemon);
        return r < 0 ? blame(a.record ?: "daemon", r, NULL, reterr_why) : 0;
}

/* No number is given twice: the record of the daemon may be older than others. */
static void count_records(State *st) {
        for (size_t i = 0; i < state_log_n_records(st->log); i++) {
                const char *key = state_log_key(st->log, i);
                bool is_config = strncmp(key, "config/", strlen("config/")) == 0;
                uint64_t *n = is_config ? &st->n_configs : &st->n_objects;

                if (strchr(key, '/') && number_of(key) > *n)
                        *n = number_of(key);
        }
}

int adopt(Manager *m, Legacy *legacy) {
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_(adoption_done) Adoption a = { .manager = m, .state = m->state, .legacy = legacy };
        _cleanup_state_json_ json_t *daemon = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        m->is_adopting = true;
        legacy->log = m->state->log; /* borrowed, until we return */
        r = get_daemon(legacy, &daemon, &why);
        if (r >= 0)
                r = load_all_settings(legacy, &problems, &a.settings, &a.n_settings, &why);
        if (r >= 0) {
                r = load_all(&a, daemon);
                if (r < 0)
                        (void) blame(a.record ?: "daemon", r, NULL, &why);
        }
        log_problems(&problems);
        count_records(m->state);
        (void) TAKE_PTR(legacy->log);
        return r < 0 ? legacy_give_up(r, why) : 0;
}
