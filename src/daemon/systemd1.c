#include "daemon/systemd1.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/manager.h"
#include "daemon/outer-bus.h"

#define DESTINATION "org.freedesktop.systemd1"
#define PATH        "/org/freedesktop/systemd1"
#define MANAGER     DESTINATION ".Manager"
#define UNITS_PATH  PATH "/unit"

struct Systemd1 {
        Manager *manager; /* borrowed */
        sd_bus_slot *job_removed;
        LIST_HEAD(Systemd1Units, Systemd1Unit) units;
};

struct Systemd1Unit {
        Systemd1 *systemd1; /* borrowed */
        char *name;
        char *path;
        Systemd1UnitHandler handler;
        void *userdata;
        UnitState state;
        char *job; /* path of the job of ours; NULL: none, or systemd has not said yet */
        char *error;
        sd_bus_slot *changed;
        sd_bus_slot *asking; /* for all properties */
        sd_bus_slot *asking_job;
        bool is_stale;  /* it has changed since we asked */
        bool is_untold; /* that nobody can be asked any more */
        LIST_ENTRY(Systemd1Unit) others;
};

static sd_bus *bus_of(const Systemd1 *s) {
        return outer_bus_get(s->manager->outer_bus);
}

const char *systemd1_unit_name(const Systemd1Unit *u) {
        return u->name;
}

const UnitState *systemd1_unit_state(const Systemd1Unit *u) {
        return &u->state;
}

const char *systemd1_unit_error(const Systemd1Unit *u) {
        return u->error;
}

bool systemd1_is_there(const Systemd1 *s, const char **ret_why) {
        outer_bus_want(s->manager->outer_bus);
        if (outer_bus_error(s->manager->outer_bus) == 0)
                return true;

        *ret_why = outer_bus_is_user(s->manager->outer_bus)
                                   ? "systemd's user instance cannot be asked: there is no user bus"
                                   : "systemd cannot be asked: there is no system bus";
        return false;
}

/* ---- what is known ---- */

static const char *const activities[UNIT_ACTIVITY_MAX] = {
        [UNIT_INACTIVE] = "inactive", [UNIT_ACTIVATING] = "activating",
        [UNIT_ACTIVE] = "active",     [UNIT_DEACTIVATING] = "deactivating",
        [UNIT_FAILED] = "failed",
};

static UnitActivity parse_activity(const char *text) {
        int found = text_lookup(activities, UNIT_ACTIVITY_MAX, text);

        /* "reloading", "maintenance" and what comes after systemd 252 */
        return found > 0 ? (UnitActivity) found : UNIT_ACTIVE;
}

static int read_text(sd_bus_message *m, char *to) {
        const char *text;
        int r = sd_bus_message_read(m, "v", "s", &text);

        if (r >= 0)
                snprintf(to, UNIT_TEXT_SIZE, "%s", text);
        return r;
}

static int read_property(sd_bus_message *m, const char *name, UnitState *state) {
        char activity[UNIT_TEXT_SIZE];
        uint32_t pid;
        int r;

        if (strcmp(name, "ActiveState") == 0) {
                r = read_text(m, activity);
                if (r >= 0)
                        state->activity = parse_activity(activity);
                return r;
        }
        if (strcmp(name, "SubState") == 0)
                return read_text(m, state->sub_state);
        if (strcmp(name, "LoadState") == 0)
                return read_text(m, state->load_state);
        if (strcmp(name, "Result") == 0)
                return read_text(m, state->result);
        if (strcmp(name, "MainPID") == 0) {
                r = sd_bus_message_read(m, "v", "u", &pid);
                if (r >= 0)
                        state->main_pid = (pid_t) pid;
                return r;
        }
        if (strcmp(name, "ExecMainCode") == 0)
                return sd_bus_message_read(m, "v", "i", &state->main_code);
        if (strcmp(name, "ExecMainStatus") == 0)
                return sd_bus_message_read(m, "v", "i", &state->main_status);
        if (strcmp(name, "TimeoutStopUSec") == 0)
                return sd_bus_message_read(m, "v", "t", &state->timeout_stop_usec);

        return sd_bus_message_skip(m, "v");
}

static int read_properties(sd_bus_message *m, UnitState *state) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_property(m, name, state);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }

        return r;
}

static void ask(Systemd1Unit *u);

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Systemd1Unit *u = userdata;
        int r = -EIO;

        u->asking = sd_bus_slot_unref(u->asking);
        if (!sd_bus_message_is_method_error(m, NULL))
                r = read_properties(m, &u->state);
        if (r < 0)
                log_warning("systemd does not tell of %s: %s", u->name,
                            r == -EIO ? sd_bus_message_get_error(m)->message : strerror(-r));
        if (u->is_stale) {
                ask(u);
                return 0;
        }

        if (r >= 0)
                u->handler(u->userdata);
        return 0;
}

static void ask(Systemd1Unit *u) {
        if (!bus_of(u->systemd1))
                return;

        u->is_stale = u->asking;
        if (u->asking)
                return;

        (void) sd_bus_call_method_async(bus_of(u->systemd1), &u->asking, DESTINATION, u->path,
                                        "org.freedesktop.DBus.Properties", "GetAll", on_properties,
                                        u, "s", "");
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        ask(userdata);
        return 0;
}

static void watch(Systemd1Unit *u) {
        sd_bus *bus = bus_of(u->systemd1);

        if (bus && sd_bus_match_signal_async(bus, &u->changed, DESTINATION, u->path,
                                             "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                             on_changed, NULL, u) < 0)
                log_warning("%s cannot be watched", u->name);
        ask(u);
}

/* What was made on a connection goes with it; a job that ends meanwhile is seen by what it did. */
static void forget_calls(Systemd1Unit *u) {
        u->changed = sd_bus_slot_unref(u->changed);
        u->asking = sd_bus_slot_unref(u->asking);
        u->asking_job = sd_bus_slot_unref(u->asking_job);
        u->is_stale = false;
        u->state.has_job = false;
        free(u->job);
        u->job = NULL;
}

/* ---- jobs ---- */

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Systemd1 *s = userdata;
        const char *job, *unit, *result;
        Systemd1Unit *u;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;

        LIST_FOREACH(u, &s->units, others) {
                if (!u->job || strcmp(u->job, job) != 0)
                        continue;
                free(u->job);
                u->job = NULL;
                u->state.has_job = false;
                snprintf(u->state.job_result, sizeof(u->state.job_result), "%s", result);
                ask(u);
        }

        return 0;
}

static int on_job(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Systemd1Unit *u = userdata;
        const char *job;

        u->asking_job = sd_bus_slot_unref(u->asking_job);
        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "o", &job) >= 0 &&
            (u->job = strdup(job)))
                return 0;

        u->state.has_job = false;
        if (sd_bus_message_is_method_error(m, NULL))
                u->error = strdup(sd_bus_message_get_error(m)->message);
        if (!u->error)
                u->error = strdup("systemd gave no job");
        ask(u);
        return 0;
}

static int call_job(Systemd1Unit *u, const char *method) {
        sd_bus *bus = bus_of(u->systemd1);
        int r;

        if (!bus)
                return -ENOTCONN;

        u->asking_job = sd_bus_slot_unref(u->asking_job);
        free(u->error);
        u->error = NULL;
        free(u->job);
        u->job = NULL;
        u->state.job_result[0] = '\0';
        r = sd_bus_call_method_async(bus, &u->asking_job, DESTINATION, PATH, MANAGER, method,
                                     on_job, u, "ss", u->name, "replace");
        u->state.has_job = r >= 0;
        return r < 0 ? r : 0;
}

int systemd1_unit_start(Systemd1Unit *u) {
        bool runs = u->state.activity != UNIT_INACTIVE && u->state.activity != UNIT_FAILED;
        sd_bus *bus = bus_of(u->systemd1);

        if (!bus)
                return -ENOTCONN;

        (void) sd_bus_call_method_async(bus, NULL, DESTINATION, PATH, MANAGER, "ResetFailedUnit",
                                        NULL, NULL, "s", u->name); /* it need not have failed */
        return call_job(u, runs ? "RestartUnit" : "StartUnit");
}

int systemd1_unit_stop(Systemd1Unit *u) {
        return call_job(u, "StopUnit");
}

int systemd1_unit_kill(Systemd1Unit *u, int signal_number, bool all) {
        sd_bus *bus = bus_of(u->systemd1);
        int r;

        if (!bus)
                return -ENOTCONN;
        if (!all && u->state.main_pid == 0)
                return -ESRCH;

        r = sd_bus_call_method_async(bus, NULL, DESTINATION, PATH, MANAGER, "KillUnit", NULL, NULL,
                                     "ssi", u->name, all ? "all" : "main", signal_number);
        return r < 0 ? r : 0;
}

/* ---- birth and death ---- */

int systemd1_unit_new(Systemd1 *s, const char *name, Systemd1UnitHandler handler, void *userdata,
                      Systemd1Unit **ret) {
        _cleanup_(systemd1_unit_freep) Systemd1Unit *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;

        outer_bus_want(s->manager->outer_bus);
        u->systemd1 = s;
        u->handler = handler;
        u->userdata = userdata;
        LIST_INSERT_HEAD(&s->units, u, others);
        u->name = strdup(name);
        if (!u->name)
                return -ENOMEM;
        r = sd_bus_path_encode(UNITS_PATH, name, &u->path);
        if (r < 0)
                return r;

        watch(u);
        *ret = TAKE_PTR(u);
        return 0;
}

Systemd1Unit *systemd1_unit_free(Systemd1Unit *u) {
        if (!u)
                return NULL;

        LIST_REMOVE(u, others);
        forget_calls(u);
        free(u->error);
        free(u->path);
        free(u->name);
        free(u);
        return NULL;
}

static Systemd1Unit *find_untold(const Systemd1 *s) {
        Systemd1Unit *u;

        LIST_FOREACH(u, &s->units, others)
                if (u->is_untold)
                        return u;

        return NULL;
}

/* Each may free others. */
static void tell_lost(Systemd1 *s) {
        Systemd1Unit *u;

        LIST_FOREACH(u, &s->units, others) {
                u->is_untold = true;
                u->state.activity = UNIT_UNKNOWN;
        }

        while ((u = find_untold(s))) {
                u->is_untold = false;
                u->handler(u->userdata);
        }
}

static void on_bus(sd_bus *bus, void *userdata) {
        Systemd1 *s = userdata;
        Systemd1Unit *u;

        s->job_removed = sd_bus_slot_unref(s->job_removed);
        LIST_FOREACH(u, &s->units, others)
                forget_calls(u);
        if (!bus) {
                tell_lost(s);
                return;
        }

        (void) sd_bus_match_signal_async(bus, &s->job_removed, DESTINATION, PATH, MANAGER,
                                         "JobRemoved", on_job_removed, NULL, s);
        (void) sd_bus_call_method_async(bus, NULL, DESTINATION, PATH, MANAGER, "Subscribe", NULL,
                                        NULL, NULL);
        LIST_FOREACH(u, &s->units, others)
                watch(u);
}

int systemd1_new(Manager *m, Systemd1 **ret) {
        Systemd1 *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;

        s->manager = m;
        LIST_INIT(&s->units);
        *ret = s;
        outer_bus_use(m->outer_bus, on_bus, s);
        return 0;
}

Systemd1 *systemd1_free(Systemd1 *s) {
        if (!s)
                return NULL;

        outer_bus_leave(s->manager->outer_bus, s);
        s->job_removed = sd_bus_slot_unref(s->job_removed);
        free(s);
        return NULL;
}
