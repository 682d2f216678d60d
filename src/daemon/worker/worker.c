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
#include "daemon/service/service.h"
#include "daemon/service/store-queue.h"
#include "daemon/spawn/scope.h"
#include "daemon/spawn/spawn.h"
#include "daemon/state/crash-point.h"
#include "daemon/timer.h"
#include "daemon/worker/worker-end.h"
#include "daemon/worker/worker-inside.h"

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

LogFields worker_fields(const Worker *w) {
        return (LogFields){
                .service = w->build->service->name,
                .generation = w->generation->number,
                .color = generation_color(w->generation),
                .worker_pid = worker_pid(w),
        };
}

pid_t worker_main_pid(const Worker *w) {
        return w->unit ? worker_unit_pid(w->unit) : w->main ? process_pid(w->main) : w->pid;
}

/* For people: a unit's may be another each time. */
pid_t worker_pid(const Worker *w) {
        return w->unit ? worker_unit_pid(w->unit) : w->pid;
}

sd_event *worker_event(const Worker *w) {
        return w->generation->service->manager->event;
}

State *worker_record(const Worker *w) {
        return w->generation->service->manager->state;
}

/* Returns NULL. */
static Process *forget_process(const Worker *w, Process *p) {
        if (p)
                state_release_fd(worker_record(w), process_fd(p));
        return process_free(p);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

void worker_set_deadline(Worker *w, uint64_t timeout_usec) {
        w->deadline_usec = timeout_usec == USEC_INFINITY ? USEC_INFINITY
                                                         : now_usec() + timeout_usec;
        (void) timer_arm(worker_event(w), &w->timer, timeout_usec, on_timer, w);
}

void worker_rearm(Worker *w) {
        (void) timer_arm_at(worker_event(w), &w->timer, w->deadline_usec, on_timer, w);
}

/* EXTEND_TIMEOUT_USEC: never earlier than it was. */
static void extend_deadline(Worker *w, uint64_t usec) {
        if (w->state != WORKER_READY && w->deadline_usec != USEC_INFINITY &&
            (usec >= USEC_INFINITY - now_usec() || now_usec() + usec > w->deadline_usec))
                worker_set_deadline(w, usec);
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata);

void worker_feed_watchdog(Worker *w) {
        uint64_t usec = w->state == WORKER_READY && w->watchdog_usec > 0 ? w->watchdog_usec
                                                                         : USEC_INFINITY;

        (void) timer_arm(worker_event(w), &w->watchdog, usec, on_watchdog, w);
}

/* What a reload says counts at once, where it is no matter of the build. */
static const ServiceSettings *settings_of(const Worker *w) {
        return w->generation->service->settings;
}

void worker_set_state(Worker *w, WorkerState state) {
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

        worker_set_deadline(w, timeout_usec);
        worker_feed_watchdog(w);
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

void worker_end_in_next_turn(Worker *w) {
        w->commands = worker_commands_free(w->commands);
        worker_set_deadline(w, 0);
}

void worker_reload(Worker *w) {
        uint64_t timeout_usec = settings_of(w)->timeout_start_usec, passed_usec;

        if (w->state != WORKER_STARTING || w->start_timeout_usec == timeout_usec)
                return;

        passed_usec = now_usec() - w->since_usec;
        w->start_timeout_usec = timeout_usec;
        if (timeout_usec != USEC_INFINITY)
                timeout_usec = timeout_usec > passed_usec ? timeout_usec - passed_usec : 0;
        worker_set_deadline(w, timeout_usec);
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
                worker_end_in_next_turn(w);
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
                (void) timer_arm(worker_event(w), &w->timer, UNIT_END_USEC, on_timer, w);
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
        LogFields fields = worker_fields(w);
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
                worker_end_in_next_turn(w);
        generation_on_worker_ended(w->generation, w);
}

/* Its main process is gone. */
static void on_end(Worker *w, const siginfo_t *info) {
        if (w->has_ended)
                return;

        notify_drain(w->notify); /* it may have said READY=1 with its last breath */
        store_queue_hurry(w->generation->service->manager->store_queue);
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
        worker_set_deadline(w, 0);
}

void worker_on_unit_ended(Worker *w, const siginfo_t *end) {
        w->has_ended = true;
        w->end = *end;
        log_end(w);
        generation_on_worker_gone(w->generation, w);
}

void worker_end_unstarted(Worker *w, const char *why) {
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
                worker_end_unstarted(w,
                                     w->was_asked ? "it was asked to stop"
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
                r = main_process_new(worker_event(w), pid, w->pid, on_main_end, w, &other);
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

bool worker_is_about_store(const Worker *w, const NotifyMessage *m) {
        return service_store_is_meant(w->generation->service, w->build->service->fd_store_max, m);
}

StoreProgress worker_on_store(Worker *w, NotifyMessage *m) {
        return service_store_obey(w->generation->service, w->build->service->fd_store_max, m);
}

void worker_on_stored(Worker *w) {
        if (w->notify)
                notify_go_on(w->notify);
}

void worker_on_message(Worker *w, NotifyMessage *m) {
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
                worker_feed_watchdog(w);

        if (m->is_ready && w->state == WORKER_STARTING &&
            w->build->service->type == SERVICE_TYPE_NOTIFY)
                set_ready(w);
        if (m->has_watchdog_failed && w->state == WORKER_READY)
                (void) timer_arm(worker_event(w), &w->watchdog, 0, on_watchdog, w);
}

void worker_on_accepted(Worker *w) {
        set_ready(w);
}

void worker_reap(Worker *w) {
        kill_group(w, SIGKILL);
        if (!w->has_left_main)
                (void) waitpid(w->pid, NULL, 0);
        w->process = forget_process(w, w->process);
        w->pid = 0;
}

int worker_take_process(Worker *w, pid_t pid, int pidfd) {
        w->pid = pid;
        return process_new(worker_event(w), pid, pidfd, on_process, w, &w->process);
}

int worker_take_main(Worker *w, pid_t pid, int pidfd) {
        return process_new(worker_event(w), pid, pidfd, on_main_end, w, &w->main);
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;

        if (w->pid > 0 && !w->has_ended && !w->generation->service->manager->is_adopting)
                worker_reap(w);

        w->process = forget_process(w, w->process);
        w->unit = worker_unit_free(w->unit);
        w->main = forget_process(w, w->main);
        w->watchdog = timer_disarm(w->watchdog);
        w->timer = timer_disarm(w->timer);
        w->readiness = readiness_free(w->readiness);
        if (w->notify)
                state_release_fd(worker_record(w), notify_fd(w->notify));
        if (w->notify && w->generation->service->manager->is_adopting)
                notify_leave(w->notify); /* it still speaks there */
        w->notify = notify_free(w->notify);
        w->commands = worker_commands_free(w->commands);
        w->build = build_unref(w->build);
        free(w->why_not_started);
        free(w->status_text);
        free(w);
        return NULL;
}
