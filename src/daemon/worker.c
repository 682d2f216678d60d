#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/bus.h"
#include "daemon/endpoint.h"
#include "daemon/generation.h"
#include "daemon/handoff.h"
#include "daemon/manager.h"
#include "daemon/service.h"
#include "daemon/spawn.h"
#include "daemon/timer.h"

/* Workers do not outlive us while there is no store that could give them back to a successor: they are
 * asked to end, as many a server that forks can end its own children only then. */
#define DEATH_SIGNAL SIGTERM

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
                .worker_pid = w->pid,
        };
}

#define worker_log(w, level, format, ...)                                                 \
        do {                                                                              \
                LogFields fields_ = fields_of(w);                                         \
                log_fields(level, &fields_, "%s/%u worker %u (pid %d) " format,           \
                           (w)->build->service->name, (w)->generation->number, (w)->slot, \
                           (int) (w)->pid, ##__VA_ARGS__);                                \
        } while (false)

pid_t worker_main_pid(const Worker *w) {
        return w->main ? main_process_pid(w->main) : w->pid;
}

static sd_event *event_of(const Worker *w) {
        return w->generation->service->manager->event;
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

static void worker_set_state(Worker *w, WorkerState state) {
        const ServiceSettings *s = w->build->service;
        uint64_t timeout_usec = USEC_INFINITY;

        w->state = state;
        w->since_usec = now_usec();
        if (state != WORKER_STARTING)
                w->readiness = readiness_free(w->readiness);

        switch (state) {
        case WORKER_STARTING:
                timeout_usec = s->timeout_start_usec;
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
 * anybody in its session. */
static void kill_group(const Worker *w, int signal_number) {
        if (w->main)
                (void) main_process_signal(w->main, signal_number);
        if (w->pid > 0 && (!w->has_left_main || getsid(worker_main_pid(w)) == w->pid))
                (void) kill(-w->pid, signal_number); /* ESRCH: all are gone */
}

void worker_stop(Worker *w, uint64_t timeout_usec) {
        char name[32];
        int signal_number = w->build->service->kill_signal;

        if (w->state == WORKER_STOPPING)
                return;

        w->stop_timeout_usec = timeout_usec;
        worker_set_state(w, WORKER_STOPPING);
        worker_log(w, LOG_DEBUG, "is sent %s", format_signal(signal_number, name, sizeof(name)));
        if (worker_signal(w, signal_number) < 0)
                worker_log(w, LOG_WARNING, "could not be sent %s: %m", name);
}

int worker_signal(const Worker *w, int signal_number) {
        if (w->main)
                return main_process_signal(w->main, signal_number);

        return kill(w->pid, signal_number) < 0 ? -errno : 0;
}

void worker_kill(Worker *w) {
        if (w->state != WORKER_STOPPING)
                worker_set_state(w, WORKER_STOPPING);
        w->timer = timer_disarm(w->timer);
        w->was_cut = true;
        generation_on_worker_cut(w->generation);
        kill_group(w, w->build->service->final_kill_signal);
        if (w->build->service->final_kill_signal != SIGKILL)
                (void) timer_arm(w->generation->service->manager->event, &w->timer,
                                 w->build->service->timeout_stop_usec, on_timer, w);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        const ServiceSettings *s = w->build->service;
        char duration[DURATION_TEXT_SIZE], name[32];

        if (w->state == WORKER_STARTING) {
                const char *why = w->readiness ? readiness_why_not(w->readiness) : NULL;

                worker_log(w, LOG_WARNING,
                           "was not ready within timeout_start = %s, killing it%s%s",
                           format_duration(s->timeout_start_usec, duration, sizeof(duration)),
                           why ? ": " : "", why ?: "");
                kill_group(w, SIGKILL);
                return 0;
        }

        if (w->was_cut) {
                worker_log(w, LOG_WARNING, "ignores even %s, killing it",
                           format_signal(s->final_kill_signal, name, sizeof(name)));
                kill_group(w, SIGKILL);
                return 0;
        }

        worker_log(w, LOG_WARNING, "did not end within %s, sending %s",
                   format_duration(w->stop_timeout_usec, duration, sizeof(duration)),
                   format_signal(s->final_kill_signal, name, sizeof(name)));
        worker_kill(w);
        return 0;
}

static void set_ready(Worker *w) {
        worker_set_state(w, WORKER_READY);
        worker_log(w, LOG_INFO, "is ready");
        generation_on_worker_ready(w->generation, w);
}

bool worker_ended_well(const Worker *w) {
        if (w->end.si_code == CLD_EXITED)
                return w->end.si_status == 0;

        return w->state == WORKER_STOPPING && !w->was_cut &&
               w->end.si_status == w->build->service->kill_signal;
}

void worker_describe_end(const Worker *w, char *buffer, size_t size_bytes) {
        const char *when = w->has_been_ready ? "" : " before it was ready";
        char name[32];

        if (w->end.si_code == CLD_EXITED)
                snprintf(buffer, size_bytes, "worker %u (pid %d) exited with status %d%s", w->slot,
                         (int) w->pid, w->end.si_status, when);
        else
                snprintf(buffer, size_bytes, "worker %u (pid %d) was ended by %s%s", w->slot,
                         (int) w->pid, format_signal(w->end.si_status, name, sizeof(name)), when);
}

static void log_end(const Worker *w) {
        int level = worker_ended_well(w) || w->state == WORKER_STOPPING ? LOG_INFO : LOG_WARNING;
        LogFields fields = fields_of(w);
        char how[128];

        worker_describe_end(w, how, sizeof(how));
        bus_on_worker_changed(w->generation->service->manager->bus, w, "gone", how);
        log_fields(level, &fields, "%s/%u %s", w->build->service->name, w->generation->number, how);
}

/* Who does not answer must not keep visitors: it leaves the rule when it is gone, and it goes at once. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Worker *w = userdata;
        char duration[DURATION_TEXT_SIZE];

        worker_log(w, LOG_WARNING, "has not said WATCHDOG=1 within %s, killing it",
                   format_duration(w->watchdog_usec, duration, sizeof(duration)));
        kill_group(w, SIGKILL);
        return 0;
}

/* Its main process is gone. */
static void on_end(Worker *w, const siginfo_t *info) {
        if (w->end.si_pid != 0)
                return;

        notify_drain(w->notify); /* it may have said READY=1 with its last breath */
        w->end = *info;
        log_end(w);

        /* Whom it leaves behind would keep our sockets, and steal from its successor. */
        kill_group(w, SIGKILL);

        generation_on_worker_gone(w->generation, w);
}

/* The pid, and with it the name of the group, is taken until we return. */
static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Worker *w = userdata;

        if (!w->main)
                notify_drain(w->notify); /* MAINPID, perhaps */
        if (!w->main) {
                on_end(w, info);
                return 0;
        }

        w->has_left_main = true;
        worker_log(w, LOG_DEBUG, "has left its work to %d", (int) worker_main_pid(w));
        return 0;
}

/* ---- what it says ---- */

static void on_main_end(int code, int status, void *userdata) {
        Worker *w = userdata;
        siginfo_t end = { 0 };

        end.si_pid = worker_main_pid(w);
        end.si_code = code;
        end.si_status = status;
        on_end(w, &end);
}

/* MAINPID.  Back to the one that we started is possible, too. */
static void take_main(Worker *w, pid_t pid) {
        MainProcess *other = NULL;
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

        w->main = main_process_free(w->main);
        w->main = other;
        worker_log(w, LOG_INFO, "says that its main process is %d", (int) pid);
}

void worker_on_message(Worker *w, const NotifyMessage *m) {
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

/* Returns a descriptor of the caller's, or a copy of ours. */
static int open_output(const Output *output, int inherited) {
        int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, fd;

        switch (output->kind) {
        case OUTPUT_NULL:
                fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
                break;
        case OUTPUT_FILE:
                fd = open(output->path, flags, 0644);
                break;
        case OUTPUT_APPEND:
                fd = open(output->path, flags | O_APPEND, 0644);
                break;
        case OUTPUT_INHERIT:
        case OUTPUT_JOURNAL:
        case OUTPUT_AUTO:
        case OUTPUT_KIND_MAX:
        case OUTPUT_KIND_INVALID:
        default:
                fd = fcntl(inherited, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        }

        return fd < 0 ? -errno : fd_move_above_stdio(fd);
}

static int spawn_worker(Worker *w, int *ret_pidfd, const char **reterr_what) {
        const ServiceSettings *s = w->build->service;
        _cleanup_close_ int in = -EBADF, out = -EBADF, err = -EBADF;
        _cleanup_(handoff_done) Handoff handoff = { .stdin_fd = -EBADF };
        SpawnPlan plan;
        int r;

        *reterr_what = "open the outputs of";
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (in < 0)
                return -errno;
        out = open_output(&s->standard_output, STDOUT_FILENO);
        if (out < 0)
                return out;
        err = open_output(&s->standard_error, STDERR_FILENO);
        if (err < 0)
                return err;

        *reterr_what = "prepare";
        r = handoff_init(w->generation, w->build, w->slot, notify_path(w->notify), &handoff);
        if (r < 0)
                return r;

        plan = (SpawnPlan){
                .program = w->build->program,
                .argv = handoff.arguments,
                .environment = handoff.environment,
                .fds = handoff.fds,
                .n_fds = handoff.n_fds,
                .stdin_fd = handoff.stdin_fd >= 0 ? handoff.stdin_fd : in,
                .stdout_fd = out,
                .stderr_fd = err,
                .working_directory = handoff.working_directory,
                .has_user = s->has_user,
                .uid = s->uid,
                .gid = s->gid,
                .groups = s->groups,
                .n_groups = s->n_groups,
                .death_signal = DEATH_SIGNAL,
        };
        return spawn(&plan, &w->pid, ret_pidfd, reterr_what);
}

/* @pidfd  taken always */
static int watch_child(Worker *w, int pidfd) {
        int r;

        r = sd_event_add_child_pidfd(w->generation->service->manager->event, &w->child, pidfd,
                                     WEXITED, on_child, w);
        if (r < 0) {
                (void) fd_close(pidfd);
                return r;
        }

        r = sd_event_source_set_child_pidfd_own(w->child, 1);
        if (r < 0)
                return r;

        /* A slot without a worker leaves the rule before anybody else is looked after. */
        return sd_event_source_set_priority(w->child, SD_EVENT_PRIORITY_IMPORTANT);
}

static int begin(Worker *w, const char **reterr_what) {
        Manager *manager = w->generation->service->manager;
        const ServiceSettings *s = w->build->service;
        _cleanup_free_ char *path = NULL;
        int r, pidfd;

        *reterr_what = "prepare";
        path = manager_notify_path(manager);
        if (!path)
                return -ENOMEM;

        r = notify_new(w, manager->event, path, s->has_user ? s->uid : geteuid(), &w->notify);
        if (r < 0)
                return r;
        r = spawn_worker(w, &pidfd, reterr_what);
        if (r < 0)
                return r;

        *reterr_what = "watch";
        r = watch_child(w, pidfd);
        if (r < 0 || s->type != SERVICE_TYPE_EXEC)
                return r;

        return readiness_new(w, &w->readiness);
}

int worker_start(Generation *g, unsigned slot, Build *build, Worker **ret) {
        _cleanup_(worker_freep) Worker *w = NULL;
        const char *what;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;

        w->generation = g;
        w->build = build_ref(build);
        w->slot = slot;
        w->watchdog_usec = build->service->watchdog_usec;
        r = begin(w, &what);
        if (r < 0) {
                LogFields fields = fields_of(w);

                log_fields(LOG_ERR, &fields, "%s/%u worker %u: cannot %s %s: %s",
                           build->service->name, g->number, slot, what, build->arguments[0],
                           strerror(-r));
                return r;
        }

        worker_set_state(w, WORKER_STARTING);
        worker_log(w, LOG_INFO, "started");

        *ret = TAKE_PTR(w);
        return 0;
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;

        if (w->pid > 0 && w->end.si_pid == 0) {
                kill_group(w, SIGKILL);
                if (!w->has_left_main)
                        (void) waitpid(w->pid, NULL, 0);
        }

        w->child = sd_event_source_disable_unref(w->child);
        w->main = main_process_free(w->main);
        w->watchdog = timer_disarm(w->watchdog);
        w->timer = timer_disarm(w->timer);
        w->readiness = readiness_free(w->readiness);
        w->notify = notify_free(w->notify);
        w->build = build_unref(w->build);
        free(w->status_text);
        free(w);
        return NULL;
}
