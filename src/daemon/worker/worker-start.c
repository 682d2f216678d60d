#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "daemon/endpoint/proc.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/spawn/scope.h"
#include "daemon/spawn/spawn.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"
#include "daemon/worker/worker-inside.h"
#include "daemon/worker/worker-plan.h"
#include "daemon/worker/worker.h"

static int spawn_worker(Worker *w, int *ret_pidfd, const char **reterr_what) {
        Scope *scope = generation_scope(w->generation);
        WorkerPlan plan;
        int r;

        r = worker_plan_init(&plan, w, /* command= */ NULL, /* variables= */ NULL, reterr_what);
        if (r >= 0 && scope)
                plan.spawn.cgroup_fd = scope_open(scope);
        if (r >= 0)
                r = spawn(&plan.spawn, &w->pid, ret_pidfd, reterr_what);
        if (scope)
                scope_tell(scope, r < 0 ? 0 : w->pid);
        worker_plan_done(&plan);
        return r;
}

/* Returns 0 or a negative errno, and then there is no process. */
static int launch(Worker *w, char *reterr_why, size_t size_bytes) {
        const char *what = "record";
        int r, pidfd;

        w->is_spawning = true;
        state_touch_service(w->generation->service);
        r = state_flush(worker_record(w));
        CRASH_POINT("spawn");
        if (r >= 0)
                r = spawn_worker(w, &pidfd, &what);
        CRASH_POINT("spawned");
        w->is_spawning = false;
        if (r >= 0) {
                what = "watch";
                r = worker_take_process(w, w->pid, pidfd);
                if (r >= 0 && w->build->service->type == SERVICE_TYPE_EXEC)
                        r = readiness_new(w, &w->readiness);
                if (r < 0)
                        worker_reap(w);
        }
        if (r >= 0) {
                state_touch_service(w->generation->service);
                (void) state_flush(worker_record(w)); /* else a successor looks for it */
                CRASH_POINT("spawn-recorded");
                worker_log(w, LOG_INFO, "started");
        } else
                snprintf(reterr_why, size_bytes, "cannot %s %s: %s", what, w->build->arguments[0],
                         strerror(-r));

        return r;
}

static void on_pre(const char *why, void *userdata) {
        Worker *w = userdata;
        char text[WHY_SIZE_BYTES];
        bool is_failed;

        is_failed = why;
        snprintf(text, sizeof(text), "exec_start_pre: %s", why ?: "");
        w->commands = worker_commands_free(w->commands); /* and @why with them */
        if (is_failed || launch(w, text, sizeof(text)) < 0)
                worker_end_unstarted(w, text);
}

static int begin_unit(Worker *w) {
        LogFields fields = worker_fields(w);
        char why[WHY_SIZE_BYTES] = "no memory";
        int r = worker_unit_new(w, &w->unit, why, sizeof(why));

        if (r < 0)
                log_fields(LOG_ERR, &fields, "%s/%u worker %u: %s", fields.service,
                           fields.generation, w->slot, why);
        return r;
}

static int open_notify(Worker *w) {
        Service *s = w->generation->service;
        uid_t uid = worker_uid(w->build->service);
        _cleanup_free_ char *path = NULL;
        int r;

        w->notify = service_ahead_take_notify(s, uid);
        if (!w->notify) {
                path = manager_notify_path(s->manager);
                if (!path)
                        return -ENOMEM;
                r = notify_open(worker_event(w), path, uid, &w->notify);
                if (r < 0)
                        return r;
        }

        notify_give(w->notify, w);
        return 0;
}

static int begin(Worker *w) {
        const ServiceSettings *s = w->build->service;
        LogFields fields = worker_fields(w);
        char why[WHY_SIZE_BYTES];
        int r;

        if (s->unit)
                return begin_unit(w);

        r = open_notify(w);
        if (r >= 0 && s->exec_start_pre.n_commands > 0)
                r = worker_commands_new(w, &s->exec_start_pre, "exec_start_pre", NULL,
                                        USEC_INFINITY, on_pre, w, &w->commands);
        snprintf(why, sizeof(why), "cannot prepare %s: %s", w->build->arguments[0],
                 r < 0 ? strerror(-r) : "");
        if (r >= 0 && !w->commands)
                r = launch(w, why, sizeof(why));
        fields.message_id = MESSAGE_WORKER_NOT_STARTED;
        if (r < 0)
                log_fields(LOG_ERR, &fields, "%s/%u worker %u: %s", s->name, w->generation->number,
                           w->slot, why);

        return r;
}

int worker_new(Generation *g, unsigned slot, Build *build, Worker **ret) {
        Worker *w;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;

        w->generation = g;
        w->build = build_ref(build);
        w->slot = slot;
        w->watchdog_usec = build->service->watchdog_usec;
        w->deadline_usec = USEC_INFINITY;
        *ret = w;
        return 0;
}

int worker_start(Generation *g, unsigned slot, Build *build, Worker **ret) {
        int r;

        /* In its place from the beginning: its record is written before it is spawned. */
        r = worker_new(g, slot, build, ret);
        if (r < 0)
                return r;

        r = begin(*ret);
        if (r < 0) {
                *ret = worker_free(*ret);
                return r;
        }

        worker_set_state(*ret, WORKER_STARTING);
        return 0;
}

/* One whose end nobody has seen, or that was about to be spawned. */
static int find_again(Worker *w) {
        char why[WHY_SIZE_BYTES];
        pid_t pid;
        int r, pidfd;

        r = proc_find_by_variable("NOTIFY_SOCKET", notify_path(w->notify), &pid, &pidfd);
        if (r >= 0) {
                worker_log(w, LOG_INFO, "was found as pid %d", (int) pid);
                return worker_take_process(w, pid, pidfd);
        }

        if (w->pid > 0) {
                w->is_lost = true;
                return -ESRCH;
        }
        if (!w->is_spawning || w->was_asked)
                return -ESRCH;

        r = launch(w, why, sizeof(why));
        if (r < 0)
                worker_log(w, LOG_ERR, "%s", why);
        return r;
}

static bool has_process(const Worker *w) {
        return w->process || w->main || w->build->service->unit;
}

void worker_resume(Worker *w) {
        int r = 0;

        if (!has_process(w) && !w->has_ended && (w->pid > 0 || w->is_spawning) &&
            find_again(w) < 0) {
                worker_set_deadline(w, 0);
                return;
        }

        w->is_spawning = false;
        worker_rearm(w);
        worker_feed_watchdog(w);

        if (w->build->service->unit && !w->has_ended)
                r = worker_unit_adopt(w, &w->unit);
        else if (w->pid == 0 && !w->was_asked &&
                 !w->has_ended) /* before its process: begins anew */
                r = worker_commands_new(w, &w->build->service->exec_start_pre, "exec_start_pre",
                                        NULL, USEC_INFINITY, on_pre, w, &w->commands);
        else if (w->has_ended || w->pid == 0)
                worker_end_in_next_turn(w);
        else if (w->state == WORKER_STARTING && (w->build->service->type == SERVICE_TYPE_EXEC ||
                                                 w->generation->service->manager->has_lost_words))
                r = readiness_new(w, &w->readiness); /* its READY=1 may be among them */
        if (r < 0)
                worker_set_deadline(w, 0);
}
