#include "daemon/state/state-worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/state/state-fields.h"

static const StateField fields[] = {
        STATE_FIELD_MAX(Worker, state, WORKER_STATE_MAX - 1),
        STATE_FIELD(Worker, since_usec, STATE_UINT64),
        STATE_FIELD(Worker, start_timeout_usec, STATE_UINT64),
        STATE_FIELD(Worker, stop_timeout_usec, STATE_UINT64),
        STATE_FIELD(Worker, pid, STATE_INT),
        STATE_FIELD(Worker, has_left_main, STATE_BOOL),
        STATE_FIELD(Worker, deadline_usec, STATE_UINT64),
        STATE_FIELD(Worker, watchdog_usec, STATE_UINT64),
        STATE_FIELD(Worker, status_text, STATE_STRING),
        STATE_FIELD(Worker, is_spawning, STATE_BOOL),
        STATE_FIELD(Worker, has_been_ready, STATE_BOOL),
        STATE_FIELD(Worker, was_asked, STATE_BOOL),
        STATE_FIELD(Worker, was_cut, STATE_BOOL),
        STATE_FIELD(Worker, has_ended, STATE_BOOL),
        STATE_FIELD(Worker, why_not_started, STATE_STRING),
        STATE_FIELD(Worker, end.si_code, STATE_INT),
        STATE_FIELD(Worker, end.si_status, STATE_INT),
};

/* ---- writing ---- */

/* Under @name a pid, and under @fd_name the name of its pidfd. */
static int save_process(State *st, const Process *p, const char *name, const char *fd_name,
                        json_t *to) {
        char text[STATE_NAME_SIZE];
        int r;

        if (!p)
                return 0;

        r = state_name_fd(st, process_fd(p), 'p', text);
        if (r >= 0)
                r = state_put_uint64(to, name, (uint64_t) process_pid(p));
        return r < 0 ? r : state_put_text(to, fd_name, text);
}

static int save_notify(State *st, const Worker *w, json_t *to) {
        char text[STATE_NAME_SIZE];
        int r;

        if (!w->notify)
                return 0;

        r = state_name_fd(st, notify_fd(w->notify), 'n', text);
        if (r >= 0)
                r = state_put_text(to, "notify_fd", text);
        return r < 0 ? r : state_put_text(to, "notify_path", notify_path(w->notify));
}

json_t *state_worker_save(State *st, const Worker *w, StateBuilds *builds) {
        _cleanup_state_json_ json_t *object = json_object();
        uint64_t build = 0;
        int r = object ? state_builds_number(builds, w->build, &build) : -ENOMEM;

        if (r >= 0)
                r = state_fields_save(fields, ELEMENTS_OF(fields), w, object);
        if (r >= 0)
                r = state_put_uint64(object, "build", build);
        if (r >= 0)
                r = state_put_text(object, "result", w->result);
        if (r >= 0)
                r = save_process(st, w->process, "process_pid", "process_fd", object);
        if (r >= 0)
                r = save_process(st, w->main, "main_pid", "main_fd", object);
        if (r >= 0)
                r = save_notify(st, w, object);

        return r < 0 ? NULL : TAKE_PTR(object);
}

/* ---- reading ---- */

/* Returns 1; 0: there is none; -ENOENT: its descriptor is missing; -EBADMSG. */
static int take_process(Adoption *a, const json_t *from, const char *name, const char *fd_name,
                        pid_t *ret_pid, int *ret_fd) {
        const char *text;
        unsigned pid;
        int r;

        r = state_get_unsigned(from, name, INT32_MAX, &pid);
        if (r >= 0)
                r = state_get_text(from, fd_name, &text);
        if (r < 0 || !text)
                return r;

        r = adoption_take_fd(a, text);
        if (r < 0)
                return r;

        *ret_pid = (pid_t) pid;
        *ret_fd = r;
        return 1;
}

static int load_processes(Adoption *a, const json_t *from, Worker *w) {
        pid_t pid;
        int r, fd;

        r = take_process(a, from, "process_pid", "process_fd", &pid, &fd);
        if (r > 0)
                r = worker_take_process(w, pid, fd);
        if (r < 0 && r != -ENOENT)
                return r;

        r = take_process(a, from, "main_pid", "main_fd", &pid, &fd);
        if (r > 0)
                r = worker_take_main(w, pid, fd);
        return r < 0 && r != -ENOENT ? r : 0;
}

/* The next path is none that is in use: the record of the daemon may be older. */
static void note_number(Manager *m, const char *path) {
        const char *slash = strrchr(path, '/');
        uint64_t number;

        if (slash && parse_unsigned(slash + 1, UINT64_MAX - 1, &number) >= 0 &&
            number >= m->n_notify_sockets)
                m->n_notify_sockets = number + 1;
}

static int load_notify(Adoption *a, const json_t *from, Worker *w) {
        const char *name, *path;
        int r, fd;

        r = state_get_text(from, "notify_fd", &name);
        if (r >= 0)
                r = state_get_text(from, "notify_path", &path);
        if (r < 0)
                return r;
        if (!name || !path) /* a unit's is systemd's */
                return w->build->service->unit ? 0 : -EBADMSG;
        if (a->is_rehearsal)
                return 0;

        note_number(a->manager, path);
        fd = adoption_take_fd(a, name);
        r = fd < 0 ? fd : notify_adopt(a->manager->event, path, fd, &w->notify);
        if (r >= 0)
                notify_give(w->notify, w);
        return r;
}

/* What may stand in @result is a constant of ours. */
static int load_result(const json_t *from, Worker *w) {
        static const char *const known[] = { "timeout", "watchdog", "resources" };
        const char *text;
        int r;

        r = state_get_text(from, "result", &text);
        for (size_t i = 0; r >= 0 && text && i < ELEMENTS_OF(known); i++)
                if (strcmp(text, known[i]) == 0)
                        w->result = known[i];

        return r;
}

int state_worker_load(Adoption *a, const json_t *from, Generation *g, unsigned slot,
                      const StateBuilds *builds, Worker **ret) {
        _cleanup_(worker_freep) Worker *w = NULL;
        uint64_t number;
        Build *build;
        int r;

        r = state_get_uint64(from, "build", &number);
        if (r < 0)
                return r;
        build = state_builds_find(builds, number);
        if (!build)
                return -EBADMSG;

        r = worker_new(g, slot, build, &w);
        if (r >= 0)
                r = state_fields_load(fields, ELEMENTS_OF(fields), from, w);
        if (r >= 0)
                r = load_result(from, w);
        if (r >= 0)
                r = load_notify(a, from, w);
        if (r >= 0)
                r = load_processes(a, from, w);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(w);
        return 0;
}
