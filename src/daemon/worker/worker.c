#include "daemon/worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bus/bus.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/proc.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/generation.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service.h"
#include "daemon/spawn/scope.h"
#include "daemon/spawn/spawn.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"
#include "daemon/worker/worker-end.h"
#include "daemon/worker/worker-plan.h"

#define WHY_SIZE_BYTES 512
#define UNIT_END_USEC \
        (30 * USEC_PER_SEC) /* for systemd, to say that a unit that was killed has ended */

static const char *const state_names[WORKER_STATE_MAX] = {
        [WORKER_STARTING] = "starting",
        [WORKER_READY] = "ready",
        [WORKER_STOPPING] = "stopping",
};

const char *worker_state_to_string(WorkerState state) {
        return state_names[state];
}

static LogFields fields_of(const Worker *w) {
        return (LogFields){
                .service = w->build->service->name,
                .generation = w->generation->number,
                .color = generation_color(w->generation),
                .worker_pid = worker_pid(w),
        };
}

/* @message  a MESSAGE_ of messages.h, or NULL */
#define worker_note(w, level, message, format, ...)                                       \
        do {                                                                              \
                LogFields fields_ = fields_of(w);                                         \
                fields_.message_id = message;                                             \
                log_fields(level, &fields_, "%s/%u worker %u (pid %d) " format,           \
                           (w)->build->service->name, (w)->generation->number, (w)->slot, \
                           (int) worker_pid(w), ##__VA_ARGS__);                           \
        } while (false)
#define worker_log(w, level, format, ...) worker_note(w, level, NULL, format, ##__VA_ARGS__)

pid_t worker_main_pid(const Worker *w) {
        return w->unit ? worker_unit_pid(w->unit) : w->main ? process_pid(w->main) : w->pid;
}

/* For people: a unit's may be another each time. */
pid_t worker_pid(const Worker *w) {
        return w->unit ? worker_unit_pid(w->unit) : w->pid;
}

static sd_event *event_of(const Worker *w) {
        return w->generation->service->manager->event;
}

static State *state_of(const Worker *w) {
        return w->generation->service->manager->state;
}

/* Returns NULL. */
static Process *forget_process(const Worker *w, Process *p) {
        if (p)
                state_release_fd(state_of(w), process_fd(p));
        return process_free(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void set_deadline(Worker *w, uint64_t timeout_usec) {
        w->deadline_usec = timeout_usec == USEC_INFINITY ? USEC_INFINITY
                                                         : now_usec() + timeout_usec;
        (void) timer_arm(event_of(w), &w->timer, timeout_usec, on_timer, w);
}

/* EXTEND_TIMEOUT_USEC: never earlier than it was. */
static void extend_deadline(Worker *w, uint64_t usec) {
        if (w->state != WORKER_READY && w->deadline_usec != USEC_INFINITY &&
            (usec >= USEC_INFINITY - now_usec() || now_usec() + usec > w->deadline_usec))
                set_deadline(w, usec);
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata);

/* Only who is ready is expected to say so again and again. */
static void feed_watchdog(Worker *w) {
        uint64_t usec = w->state == WORKER_READY && w->watchdog_usec > 0 ? w->watchdog_usec
                                                                         : USEC_INFINITY;

        (void) timer_arm(event_of(w), &w->watchdog, usec, on_watchdog, w);
}

/* What a reload says counts at once, where it is no matter of the build. */
static const ServiceSettings *settings_of(const Worker *w) {
        return w->generation->service->settings;
}

static void worker_set_state(Worker *w, WorkerState state) {
        uint64_t timeout_usec = USEC_INFINITY;

        w->state = state;
        state_touch_service(w->generation->service);
        w->since_usec = now_usec();
        if (state != WORKER_STARTING)
                w->readiness = readiness_free(w->readiness);

        switch (state) {
        case WORKER_STARTING:
                timeout_usec = w->start_timeout_usec = settings_of(w)->timeout_start_usec;
                break;
        case WORKER_READY:
                w->has_been_ready = true;
                break;
        case WORKER_STOPPING:
                timeout_usec = w->stop_timeout_usec;
                break;
        case WORKER_STATE_MAX:
        case WORKER_STATE_INVALID:
                assert(false);
        }

        set_deadline(w, timeout_usec);
        feed_watchdog(w);
        worker_log(w, LOG_DEBUG, "is %s", state_names[state]);
        bus_on_worker_changed(w->generation->service->manager->bus, w, state_names[state], "");
}

/* The process group is named by the pid, which stays taken until we reap it, and as long as there is
 * anybody in its session.  Somebody else may have reaped it: then it must not be a process again. */
static bool group_is_ours(const Worker *w) {
        if (w->process && process_is_foreign(w->process) && w->has_ended)
                return kill(w->pid, 0) < 0 && errno == ESRCH;

        return !w->has_left_main || getsid(worker_main_pid(w)) == w->pid;
}

static void kill_group(const Worker *w, int signal_number) {
        if (w->unit) {
                worker_unit_kill(w->unit, signal_number);
                return;
        }
        if (w->build->service->kill_mode == KILL_MODE_PROCESS) {
                if (!w->has_ended)
                        (void) worker_signal(w, signal_number);
                return;
        }

        if (w->main)
                (void) process_signal(w->main, signal_number);
        if (w->pid > 0 && group_is_ours(w))
                (void) kill(-w->pid, signal_number); /* ESRCH: all are gone */
}

/* Who has no process is gone as soon as its command is; but not while our caller looks at it. */
static void end_in_next_turn(Worker *w) {
        w->commands = worker_commands_free(w->commands);
        set_deadline(w, 0);
}

void worker_reload(Worker *w) {
        uint64_t timeout_usec = settings_of(w)->timeout_start_usec, passed_usec;

        if (w->state != WORKER_STARTING || w->start_timeout_usec == timeout_usec)
                return;

        passed_usec = now_usec() - w->since_usec;
        w->start_timeout_usec = timeout_usec;
        if (timeout_usec != USEC_INFINITY)
                timeout_usec = timeout_usec > passed_usec ? timeout_usec - passed_usec : 0;
        set_deadline(w, timeout_usec);
}

void worker_stop(Worker *w, uint64_t timeout_usec) {
        char name[32];
        int signal_number = w->build->service->kill_signal;

        if (w->state == WORKER_STOPPING)
                return;

        w->was_asked = true;
        w->stop_timeout_usec = timeout_usec;
        worker_set_state(w, WORKER_STOPPING);
        if (w->unit) {
                worker_unit_stop(w->unit, timeout_usec);
                return;
        }
        if (w->pid == 0) {
                end_in_next_turn(w);
                return;
        }

        worker_log(w, LOG_DEBUG, "is sent %s", format_signal(signal_number, name, sizeof(name)));
        CRASH_POINT("ask");
        if (worker_signal(w, signal_number) < 0)
                worker_log(w, LOG_WARNING, "could not be sent %s: %m", name);
}

int worker_signal(const Worker *w, int signal_number) {
        if (w->unit)
                return worker_unit_signal(w->unit, signal_number);
        if (w->main)
                return process_signal(w->main, signal_number);

        if (!w->process || w->has_ended)
                return -ESRCH;

        return process_signal(w->process, signal_number);
}

void worker_kill(Worker *w) {
        if (w->state != WORKER_STOPPING)
                worker_set_state(w, WORKER_STOPPING);
        w->timer = timer_disarm(w->timer);
        w->was_cut = true;
        generation_on_worker_cut(w->generation);
        kill_group(w, w->build->service->final_kill_signal);
        if (w->unit)
                (void) timer_arm(event_of(w), &w->timer, UNIT_END_USEC, on_timer, w);
        else if (w->build->service->final_kill_signal != SIGKILL)
                (void) timer_arm(w->generation->service->manager->event, &w->timer,
                                 settings_of(w)->timeout_stop_usec, on_timer, w);
}

static void set_ready(Worker *w) {
        worker_set_state(w, WORKER_READY);
        worker_log(w, LOG_INFO, "is ready");
        generation_on_worker_ready(w->generation, w);
}

static void log_end(const Worker *w) {
        int level = worker_ended_well(w) || w->was_asked ? LOG_INFO : LOG_WARNING;
        LogFields fields = fields_of(w);
        char how[WHY_SIZE_BYTES];

        fields.message_id = level == LOG_WARNING ? MESSAGE_WORKER_DIED : NULL;
        worker_describe_end(w, how, sizeof(how));
        bus_on_worker_changed(w->generation->service->manager->bus, w, "gone", how);
        log_fields(level, &fields, "%s/%u %s", w->build->service->name, w->generation->number, how);
}

/* Who does not answer must not keep visitors: it leaves the rule when it is gone, and it goes at once. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        char duration[DURATION_TEXT_SIZE];

        worker_note(w, LOG_WARNING, MESSAGE_WORKER_SILENT,
                    "has not said WATCHDOG=1 within %s, killing it",
                    format_duration(w->watchdog_usec, duration, sizeof(duration)));
        w->result = "watchdog";
        kill_group(w, SIGKILL);
        return 0;
}

static void on_post(const char *why, void *userdata) {
        Worker *w = userdata;

        w->commands = worker_commands_free(w->commands);
        generation_on_worker_gone(w->generation,
                                  w); /* what failed is logged, and nobody waits for it */
}

/* Nothing of it is left but what the settings want to be run behind it. */
static void worker_ended(Worker *w) {
        const ServiceSettings *s = w->build->service;
        char **variables = NULL;

        if (s->exec_stop_post.n_commands == 0) {
                generation_on_worker_gone(w->generation, w);
                return;
        }

        w->stop_timeout_usec = USEC_INFINITY; /* each command has its own */
        worker_set_state(w, WORKER_STOPPING);
        if (worker_put_end(w, &variables) < 0 ||
            worker_commands_new(w, &s->exec_stop_post, "exec_stop_post", variables,
                                s->timeout_stop_usec, on_post, w, &w->commands) < 0)
                end_in_next_turn(w);
        generation_on_worker_ended(w->generation, w);
}

/* Its main process is gone. */
static void on_end(Worker *w, const siginfo_t *info) {
        if (w->has_ended)
                return;

        notify_drain(w->notify); /* it may have said READY=1 with its last breath */
        w->has_ended = true;
        w->end = *info;
        log_end(w);

        /* Whom it leaves behind would keep our sockets, and steal from its successor. */
        kill_group(w, SIGKILL);

        worker_ended(w);
}

/* ---- a unit of systemd ---- */

void worker_on_unit_active(Worker *w) {
        const char *why = "cannot be looked at";

        worker_log(w, LOG_INFO, "started");
        if (w->was_asked)
                return;
        if (w->build->service->type == SERVICE_TYPE_NOTIFY)
                set_ready(w);
        else if (readiness_new(w, &w->readiness) < 0) {
                worker_log(w, LOG_ERR, "%s", why);
                kill_group(w, SIGKILL);
        }
}

/* Visitors wait for the next, unless there are others. */
void worker_on_unit_leaving(Worker *w) {
        w->stop_timeout_usec = w->build->service->timeout_stop_usec;
        worker_set_state(w, WORKER_STOPPING);
        generation_on_worker_ended(w->generation, w);
}

void worker_end_soon(Worker *w) {
        w->was_cut = true; /* for all that we know */
        set_deadline(w, 0);
}

void worker_on_unit_ended(Worker *w, const siginfo_t *end) {
        w->has_ended = true;
        w->end = *end;
        log_end(w);
        generation_on_worker_gone(w->generation, w);
}

/* There was no process, and none will be. */
static void end_unstarted(Worker *w, const char *why) {
        w->commands = worker_commands_free(w->commands);
        w->why_not_started = strdup(why);
        w->has_ended = true;
        w->end = (siginfo_t){ .si_code = CLD_EXITED, .si_status = EXIT_FAILURE };
        w->result = "resources";
        log_end(w);
        worker_ended(w);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        const ServiceSettings *s = w->build->service;
        char duration[DURATION_TEXT_SIZE], name[32];

        if (w->is_lost) {
                on_end(w, &(siginfo_t){ .si_pid = w->pid });
                return 0;
        }

        if (w->pid == 0 && !w->unit) {
                end_unstarted(w, w->was_asked ? "it was asked to stop"
                                              : "timeout_start was over before exec_start_pre");
                return 0;
        }
        if (w->has_ended) { /* exec_stop_post was cut short */
                generation_on_worker_gone(w->generation, w);
                return 0;
        }

        if (w->state == WORKER_STARTING) {
                const char *why = w->readiness ? readiness_why_not(w->readiness) : NULL;

                worker_note(w, LOG_WARNING, MESSAGE_WORKER_LATE,
                            "was not ready within timeout_start = %s, killing it%s%s",
                            format_duration(settings_of(w)->timeout_start_usec, duration,
                                            sizeof(duration)),
                            why ? ": " : "", why ?: "");
                w->result = "timeout";
                kill_group(w, SIGKILL);
                return 0;
        }

        if (w->unit && w->was_cut) {
                worker_unit_give_up(w->unit);
                return 0;
        }
        if (w->was_cut) {
                worker_note(w, LOG_WARNING, MESSAGE_WORKER_CUT, "ignores even %s, killing it",
                            format_signal(s->final_kill_signal, name, sizeof(name)));
                kill_group(w, SIGKILL);
                return 0;
        }

        worker_note(w, LOG_WARNING, MESSAGE_WORKER_CUT, "did not end within %s, sending %s",
                    format_duration(w->stop_timeout_usec, duration, sizeof(duration)),
                    format_signal(s->final_kill_signal, name, sizeof(name)));
        worker_kill(w);
        return 0;
}

/* The pid, and with it the name of the group, is taken until we return. */
static void on_process(const siginfo_t *end, void *userdata) {
        Worker *w = userdata;

        if (!w->main)
                notify_drain(w->notify); /* MAINPID, perhaps */
        if (!w->main) {
                on_end(w, end);
                return;
        }

        w->has_left_main = true;
        worker_log(w, LOG_DEBUG, "has left its work to %d", (int) worker_main_pid(w));
}

/* ---- what it says ---- */

static void on_main_end(const siginfo_t *end, void *userdata) {
        on_end(userdata, end);
}

/* MAINPID.  Back to the one that we started is possible, too. */
static void take_main(Worker *w, pid_t pid) {
        Process *other = NULL;
        int r;

        if (pid == worker_main_pid(w) || (pid == w->pid && w->has_left_main))
                return;

        if (pid != w->pid) {
                r = main_process_new(event_of(w), pid, w->pid, on_main_end, w, &other);
                if (r < 0) {
                        worker_log(w, LOG_WARNING,
                                   "says that its main process is %d, which is none of its own, ignoring",
                                   (int) pid);
                        return;
                }
        }

        w->main = forget_process(w, w->main);
        w->main = other;
        state_touch_service(w->generation->service);
        worker_log(w, LOG_INFO, "says that its main process is %d", (int) pid);
}

void worker_on_message(Worker *w, NotifyMessage *m) {
        service_store_obey(w->generation->service, w->build->service->fd_store_max, m);
        if (m->status) {
                free(w->status_text);
                w->status_text = strdup(m->status);
                worker_log(w, LOG_DEBUG, "says \"%s\"", m->status);
        }

        if (m->main_pid > 0)
                take_main(w, m->main_pid);
        if (m->extend_timeout_usec > 0)
                extend_deadline(w, m->extend_timeout_usec);
        if (m->watchdog_usec > 0 && w->watchdog_usec > 0) /* an interval, not a way out */
                w->watchdog_usec = m->watchdog_usec;
        if (m->is_watchdog || m->watchdog_usec > 0)
                feed_watchdog(w);

        if (m->is_ready && w->state == WORKER_STARTING &&
            w->build->service->type == SERVICE_TYPE_NOTIFY)
                set_ready(w);
        if (m->has_watchdog_failed && w->state == WORKER_READY)
                (void) timer_arm(event_of(w), &w->watchdog, 0, on_watchdog, w);
}

void worker_on_accepted(Worker *w) {
        set_ready(w);
}

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

/* Ends it at once. */
static void reap(Worker *w) {
        kill_group(w, SIGKILL);
        if (!w->has_left_main)
                (void) waitpid(w->pid, NULL, 0);
        w->process = forget_process(w, w->process);
        w->pid = 0;
}

int worker_take_process(Worker *w, pid_t pid, int pidfd) {
        w->pid = pid;
        return process_new(event_of(w), pid, pidfd, on_process, w, &w->process);
}

int worker_take_main(Worker *w, pid_t pid, int pidfd) {
        return process_new(event_of(w), pid, pidfd, on_main_end, w, &w->main);
}

/* Returns 0 or a negative errno, and then there is no process. */
static int launch(Worker *w, char *reterr_why, size_t size_bytes) {
        const char *what = "record";
        int r, pidfd;

        w->is_spawning = true;
        state_touch_service(w->generation->service);
        r = state_flush(state_of(w));
        CRASH_POINT("spawn");
        if (r >= 0)
                r = spawn_worker(w, &pidfd, &what);
        CRASH_POINT("spawned");
        w->is_spawning = false;
        if (r >= 0) {
                what = "watch";
                r = process_new(event_of(w), w->pid, pidfd, on_process, w, &w->process);
                if (r >= 0 && w->build->service->type == SERVICE_TYPE_EXEC)
                        r = readiness_new(w, &w->readiness);
                if (r < 0)
                        reap(w);
        }
        if (r >= 0) {
                state_touch_service(w->generation->service);
                (void) state_flush(state_of(w)); /* else a successor looks for it */
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
                end_unstarted(w, text);
}

static int begin_unit(Worker *w) {
        LogFields fields = fields_of(w);
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
                r = notify_open(event_of(w), path, uid, &w->notify);
                if (r < 0)
                        return r;
        }

        notify_give(w->notify, w);
        return 0;
}

static int begin(Worker *w) {
        const ServiceSettings *s = w->build->service;
        LogFields fields = fields_of(w);
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
                set_deadline(w, 0);
                return;
        }

        w->is_spawning = false;
        (void) timer_arm_at(event_of(w), &w->timer, w->deadline_usec, on_timer, w);
        feed_watchdog(w);

        if (w->build->service->unit && !w->has_ended)
                r = worker_unit_adopt(w, &w->unit);
        else if (w->pid == 0 && !w->was_asked &&
                 !w->has_ended) /* before its process: begins anew */
                r = worker_commands_new(w, &w->build->service->exec_start_pre, "exec_start_pre",
                                        NULL, USEC_INFINITY, on_pre, w, &w->commands);
        else if (w->has_ended || w->pid == 0)
                end_in_next_turn(w);
        else if (w->state == WORKER_STARTING && (w->build->service->type == SERVICE_TYPE_EXEC ||
                                                 w->generation->service->manager->has_lost_words))
                r = readiness_new(w, &w->readiness); /* its READY=1 may be among them */
        if (r < 0)
                set_deadline(w, 0);
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;

        if (w->pid > 0 && !w->has_ended && !w->generation->service->manager->is_adopting)
                reap(w);

        w->process = forget_process(w, w->process);
        w->unit = worker_unit_free(w->unit);
        w->main = forget_process(w, w->main);
        w->watchdog = timer_disarm(w->watchdog);
        w->timer = timer_disarm(w->timer);
        w->readiness = readiness_free(w->readiness);
        if (w->notify)
                state_release_fd(state_of(w), notify_fd(w->notify));
        w->notify = notify_free(w->notify);
        w->commands = worker_commands_free(w->commands);
        w->build = build_unref(w->build);
        free(w->why_not_started);
        free(w->status_text);
        free(w);
        return NULL;
}
