#include "daemon/worker/worker-unit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/worker/worker.h"
#include "settings/template.h"

typedef enum Phase {
        PHASE_ASKING,
        PHASE_STARTING,
        PHASE_RUNNING,
        PHASE_LEAVING, /* not active any more, and not asked to stop by us */
        PHASE_STOPPING,
        PHASE_ENDED,
} Phase;

struct WorkerUnit {
        Worker *worker; /* borrowed */
        Systemd1Unit *unit;
        Phase phase;
};

static LogFields fields_of(const WorkerUnit *u) {
        return (LogFields){
                .service = u->worker->build->service->name,
                .generation = u->worker->generation->number,
                .worker_pid = worker_unit_pid(u),
        };
}

#define unit_log(u, level, format, ...)                                               \
        do {                                                                          \
                LogFields fields_ = fields_of(u);                                     \
                log_fields(level, &fields_, "%s/%u unit %s " format, fields_.service, \
                           fields_.generation, worker_unit_name(u), ##__VA_ARGS__);   \
        } while (false)

const char *worker_unit_name(const WorkerUnit *u) {
        return systemd1_unit_name(u->unit);
}

pid_t worker_unit_pid(const WorkerUnit *u) {
        return systemd1_unit_state(u->unit)->main_pid;
}

static bool is_over(const UnitState *s) {
        return s->activity == UNIT_INACTIVE || s->activity == UNIT_FAILED;
}

/* ---- its end ---- */

static bool is_not_found(const WorkerUnit *u) {
        return strcmp(systemd1_unit_state(u->unit)->load_state, "not-found") == 0;
}

void worker_unit_describe_end(const WorkerUnit *u, char *buffer, size_t size_bytes) {
        const UnitState *s = systemd1_unit_state(u->unit);
        const char *error = systemd1_unit_error(u->unit),
                   *when = u->worker->has_been_ready ? "" : " before it was ready";
        char name[32];

        if (is_not_found(u))
                snprintf(buffer, size_bytes, "unit %s was not started: there is no such unit",
                         worker_unit_name(u));
        else if (error)
                snprintf(buffer, size_bytes, "unit %s was not started: %s", worker_unit_name(u),
                         error);
        else if (s->activity == UNIT_FAILED && s->main_code == CLD_EXITED)
                snprintf(buffer, size_bytes, "unit %s failed%s (%s, status %d)",
                         worker_unit_name(u), when, s->result, s->main_status);
        else if (s->activity == UNIT_FAILED && s->main_code > 0)
                snprintf(buffer, size_bytes, "unit %s failed%s (%s, %s)", worker_unit_name(u), when,
                         s->result, format_signal(s->main_status, name, sizeof(name)));
        else if (s->activity == UNIT_FAILED)
                snprintf(buffer, size_bytes, "unit %s failed%s (%s)", worker_unit_name(u), when,
                         s->result);
        else if (*s->job_result && strcmp(s->job_result, "done") != 0)
                snprintf(buffer, size_bytes, "unit %s was not started (job %s)",
                         worker_unit_name(u), s->job_result);
        else
                snprintf(buffer, size_bytes, "unit %s has stopped%s", worker_unit_name(u), when);
}

/* What it means for the restart policy: as the end of a process. */
static siginfo_t find_end(const WorkerUnit *u) {
        const UnitState *s = systemd1_unit_state(u->unit);
        siginfo_t end = { 0 };
        bool has_failed = s->activity == UNIT_FAILED || systemd1_unit_error(u->unit) ||
                          is_not_found(u) || (*s->job_result && strcmp(s->job_result, "done") != 0);

        end.si_code = CLD_EXITED;
        end.si_status = has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
        if (has_failed && s->main_code > 0 && s->main_status > 0) {
                end.si_code = s->main_code;
                end.si_status = s->main_status;
        }

        return end;
}

/* The last statement of whoever calls it. */
static void set_ended(WorkerUnit *u) {
        siginfo_t end = find_end(u);

        u->phase = PHASE_ENDED;
        worker_on_unit_ended(u->worker, &end);
}

/* ---- its life ---- */

static void start(WorkerUnit *u) {
        const UnitState *s = systemd1_unit_state(u->unit);

        if (!is_over(s))
                unit_log(u, LOG_WARNING,
                         "runs already, with sockets that are not of this generation; it is "
                         "started anew");
        u->phase = PHASE_STARTING;
        if (is_not_found(u) || systemd1_unit_start(u->unit) < 0) {
                set_ended(u);
                return;
        }

        unit_log(u, LOG_INFO, "is being started");
}

static void leave(WorkerUnit *u) {
        u->phase = PHASE_LEAVING;
        worker_on_unit_leaving(u->worker);
}

static void on_starting(WorkerUnit *u) {
        const UnitState *s = systemd1_unit_state(u->unit);

        if (s->has_job)
                return;
        if (systemd1_unit_error(u->unit) || is_over(s))
                set_ended(u);
        else if (s->activity == UNIT_ACTIVE) {
                u->phase = PHASE_RUNNING;
                worker_on_unit_active(u->worker);
        } else if (*s->job_result && strcmp(s->job_result, "done") != 0)
                set_ended(u); /* systemd's own Restart= may bring it back; we do by our own */
}

static void on_running(WorkerUnit *u) {
        switch (systemd1_unit_state(u->unit)->activity) {
        case UNIT_ACTIVE:
        case UNIT_UNKNOWN:
                break;
        case UNIT_DEACTIVATING: /* it finishes its connections */
                leave(u);
                break;
        case UNIT_ACTIVATING: /* Restart= of its own */
        case UNIT_INACTIVE:
        case UNIT_FAILED:
                set_ended(u);
                break;
        case UNIT_ACTIVITY_MAX:
        case UNIT_ACTIVITY_INVALID:
                assert(false);
        }
}

/* While we stop nobody waits for a bus that is gone, perhaps for good: the system is being shut down, and
 * systemd stops its units itself. */
static bool is_in_vain(const WorkerUnit *u) {
        return u->phase == PHASE_STOPPING && u->worker->generation->service->manager->is_stopping;
}

static void on_unit(void *userdata) {
        WorkerUnit *u = userdata;
        const UnitState *s = systemd1_unit_state(u->unit);

        if (s->activity == UNIT_UNKNOWN) {
                if (is_in_vain(u))
                        set_ended(u);
                return;
        }

        switch (u->phase) {
        case PHASE_ASKING:
                start(u);
                break;
        case PHASE_STARTING:
                on_starting(u);
                break;
        case PHASE_RUNNING:
                on_running(u);
                break;
        case PHASE_LEAVING:
                if (s->activity != UNIT_DEACTIVATING)
                        set_ended(u);
                break;
        case PHASE_STOPPING:
                if (!s->has_job && is_over(s))
                        set_ended(u);
                else if (!s->has_job && s->activity != UNIT_DEACTIVATING)
                        (void) systemd1_unit_stop(u->unit); /* another job has come between */
                break;
        case PHASE_ENDED:
                break;
        }
}

/* ---- what is asked of it ---- */

void worker_unit_stop(WorkerUnit *u, uint64_t timeout_usec) {
        const UnitState *s = systemd1_unit_state(u->unit);
        char theirs[DURATION_TEXT_SIZE], ours[DURATION_TEXT_SIZE];

        if (u->phase == PHASE_ENDED)
                return;
        if (s->timeout_stop_usec > 0 && s->timeout_stop_usec < timeout_usec)
                unit_log(u, LOG_WARNING,
                         "is cut off after TimeoutStopSec=%s, before the %s that it has by our "
                         "settings",
                         format_duration(s->timeout_stop_usec, theirs, sizeof(theirs)),
                         format_duration(timeout_usec, ours, sizeof(ours)));

        u->phase = PHASE_STOPPING;
        if (systemd1_unit_stop(u->unit) >= 0)
                return;

        unit_log(u, LOG_WARNING, "cannot be stopped now: there is no bus to systemd");
        if (is_in_vain(u))
                worker_end_soon(u->worker);
}

int worker_unit_signal(WorkerUnit *u, int signal_number) {
        return systemd1_unit_kill(u->unit, signal_number, /* all= */ false);
}

void worker_unit_give_up(WorkerUnit *u) {
        unit_log(u, LOG_WARNING, "has not ended, as far as systemd says; it is not waited for");
        set_ended(u);
}

void worker_unit_kill(WorkerUnit *u, int signal_number) {
        if (u->phase == PHASE_ENDED)
                return;

        (void) systemd1_unit_kill(u->unit, signal_number, /* all= */ true);
        if (u->phase != PHASE_STOPPING) {
                u->phase = PHASE_STOPPING;
                (void) systemd1_unit_stop(
                                u->unit); /* it may wait for something, without a process */
        }
}

/* ---- birth and death ---- */

static int make_name(const Worker *w, char **ret) {
        const TemplateContext context = {
                .service = w->build->service,
                .generation = w->generation->number,
                .color = generation_color(w->generation),
                .worker = w->slot,
        };

        return template_expand(w->build->service->unit, &context, ret);
}

int worker_unit_new(Worker *w, WorkerUnit **ret, char *reterr_why, size_t size_bytes) {
        Systemd1 *systemd1 = w->generation->service->manager->systemd1;
        _cleanup_(worker_unit_freep) WorkerUnit *u = calloc(1, sizeof(*u));
        _cleanup_free_ char *name = NULL;
        const char *why = NULL;
        int r;

        if (!u)
                return -ENOMEM;
        if (!systemd1_is_there(systemd1, &why)) {
                snprintf(reterr_why, size_bytes, "%s", why);
                return -ENOTCONN;
        }

        u->worker = w;
        r = make_name(w, &name);
        if (r >= 0)
                r = systemd1_unit_new(systemd1, name, on_unit, u, &u->unit);
        if (r < 0) {
                snprintf(reterr_why, size_bytes, "unit %s cannot be watched: %s",
                         name ? name : w->build->service->unit, strerror(-r));
                return r;
        }

        *ret = TAKE_PTR(u);
        return 0;
}

int worker_unit_adopt(Worker *w, WorkerUnit **ret) {
        static const Phase phases[WORKER_STATE_MAX] = {
                [WORKER_STARTING] = PHASE_STARTING,
                [WORKER_READY] = PHASE_RUNNING,
                [WORKER_STOPPING] = PHASE_STOPPING,
        };
        char why[256];
        int r;

        r = worker_unit_new(w, ret, why, sizeof(why));
        if (r >= 0)
                (*ret)->phase = phases[w->state];
        return r;
}

/* Nobody of it may keep our sockets. */
WorkerUnit *worker_unit_free(WorkerUnit *u) {
        if (!u)
                return NULL;

        if (u->unit && u->phase != PHASE_ASKING && !is_over(systemd1_unit_state(u->unit)) &&
            !u->worker->generation->service->manager->is_adopting)
                (void) systemd1_unit_stop(u->unit);
        u->unit = systemd1_unit_free(u->unit);
        free(u);
        return NULL;
}
