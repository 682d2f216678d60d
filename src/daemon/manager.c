#include "daemon/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/runtime.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/reload.h"
#include "daemon/reserve.h"
#include "daemon/service/store-queue.h"
#include "daemon/spawn/spawn.h"
#include "daemon/state/adoption.h"
#include "daemon/state/crash-point.h"
#include "daemon/state/reexec.h"
#include "daemon/state/store-limit.h"
#include "daemon/take.h"
#include "daemon/timer.h"

#define SOCKET_OWNER    "reuseportd-sockets"
#define PASSWD_LINE_MAX 4096

DEFINE_CLEANUP(FILE, fclose)

/* Endpoints and services have the order of their settings, but for those that there was no memory for. */
Endpoint *manager_find_endpoint(const Manager *m, const char *name) {
        const EndpointSettings *settings = settings_find_endpoint(m->settings, name);

        if (settings && settings->index < m->n_endpoints &&
            m->endpoints[settings->index]->settings == settings)
                return m->endpoints[settings->index];

        for (size_t i = 0; i < m->n_endpoints; i++)
                if (strcmp(m->endpoints[i]->settings->name, name) == 0)
                        return m->endpoints[i];

        return NULL;
}

Service *manager_find_service(const Manager *m, const char *name) {
        const ServiceSettings *settings = settings_find_service(m->settings, name);

        if (settings && settings->index < m->n_services &&
            m->services[settings->index]->settings == settings)
                return m->services[settings->index];

        for (size_t i = 0; i < m->n_services; i++)
                if (strcmp(m->services[i]->settings->name, name) == 0)
                        return m->services[i];

        return NULL;
}

char *manager_notify_path(Manager *m) {
        char *path;

        return asprintf(&path, "%s/notify/%" PRIu64, m->runtime_directory, m->n_notify_sockets++) <
                                               0
                               ? NULL
                               : path;
}

/* Who ends before it has begun must say why. */
static int say_no_memory(void) {
        log_error("No memory to start with");
        return -ENOMEM;
}

/* ---- the runtime directory ---- */

/* Whatever our umask: workers of other users must get to their notify sockets. */
static int make_directory(const char *path, mode_t mode) {
        if (mkdir(path, mode) < 0)
                return errno == EEXIST ? 0 : -errno;

        return chmod(path, mode) < 0 ? -errno : 0;
}

/* Two daemons in one directory would remove each other's sockets.
 *
 * @lock_fd  the lock that we have already, taken always; -EBADF: none */
static int open_runtime_directory(Manager *m, int lock_fd) {
        _cleanup_free_ char *notify = NULL, *lock = NULL;
        int r;

        m->lock_fd = lock_fd;
        m->runtime_directory = runtime_directory();
        if (!m->runtime_directory) {
                log_error("No place for our sockets: neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is "
                          "set; set one of them to a directory of yours");
                return -ENOENT;
        }

        if (asprintf(&notify, "%s/notify", m->runtime_directory) < 0 ||
            asprintf(&lock, "%s/lock", m->runtime_directory) < 0)
                return say_no_memory();

        r = make_directory(m->runtime_directory, 0755);
        if (r >= 0)
                r = make_directory(notify, 0711);
        if (r >= 0 && m->lock_fd < 0) {
                m->lock_fd = fd_move_above_stdio(
                                open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
                r = m->lock_fd < 0 ? -errno : 0;
        }
        if (r < 0) {
                log_error("Cannot use the runtime directory %s: %s", m->runtime_directory,
                          strerror(-r));
                return r;
        }

        if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                log_error("Another reuseportd uses %s; give this one a directory of its own by "
                          "RUNTIME_DIRECTORY",
                          m->runtime_directory);
                return -errno;
        }

        return 0;
}

/* ---- start ---- */

/* Of a user whom systemd-sysusers has made, who stands in the file.  The C library's own search (2.36) ends
 * the process where memory is short while it reads its configuration. */
static bool find_system_user(const char *name, uid_t *ret) {
        _cleanup_(fclosep) FILE *file = fopen("/etc/passwd", "re");
        struct passwd entry, *found;
        char text[PASSWD_LINE_MAX];

        while (file && fgetpwent_r(file, &entry, text, sizeof(text), &found) == 0)
                if (strcmp(entry.pw_name, name) == 0) {
                        *ret = entry.pw_uid;
                        return true;
                }

        return false;
}

/* Whose the sockets are: nobody but that user, who has no process, can join their groups. */
static void choose_socket_owner(Manager *m) {
        if (geteuid() != 0)
                return;

        m->has_socket_owner = find_system_user(SOCKET_OWNER, &m->socket_owner);
        if (!m->has_socket_owner)
                log_note(LOG_INFO, MESSAGE_NO_SOCKETS_USER,
                         "There is no user " SOCKET_OWNER
                         ": sockets belong to root, and any process of "
                         "root may join them (systemd-sysusers makes the user)");
}

static unsigned n_workers_of(const Settings *s, const EndpointSettings *e) {
        for (size_t i = 0; i < s->n_services; i++)
                for (size_t k = 0; k < s->services[i]->n_endpoints; k++)
                        if (s->services[i]->endpoints[k] == e)
                                return s->services[i]->n_workers;

        return 0;
}

static int open_endpoints(Manager *m) {
        int first = 0;

        m->endpoints = calloc(m->settings->n_endpoints + 1, sizeof(Endpoint *));
        if (!m->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < m->settings->n_endpoints; i++) {
                const EndpointSettings *e = m->settings->endpoints[i];
                int r;

                r = endpoint_new(m, e, endpoint_n_slots(e, n_workers_of(m->settings, e)),
                                 &m->endpoints[m->n_endpoints]);
                if (r >= 0)
                        m->n_endpoints++;
                else if (first == 0)
                        first = r;
        }

        return first;
}

static int make_services(Manager *m) {
        int r;

        m->services = calloc(m->settings->n_services + 1, sizeof(Service *));
        if (!m->services)
                return -ENOMEM;

        for (size_t i = 0; i < m->settings->n_services; i++) {
                r = service_new(m, m->settings->services[i], &m->services[m->n_services]);
                if (r < 0)
                        return r;
                m->n_services++;
        }

        return 0;
}

int manager_start(Manager *m) {
        int r;

        r = open_endpoints(m);
        if (r < 0) {
                log_error("Nothing was started: not every address could be opened");
                state_abandon(m->state);
                return r;
        }

        r = strangers_new(m, &m->strangers);
        if (r >= 0)
                r = make_services(m);
        if (r >= 0 && state_has_store(m->state))
                r = state_write_all(m->state); /* before anybody listens */
        for (size_t i = 0; i < m->n_services && r >= 0; i++)
                r = service_start(m->services[i]);
        if (r < 0) {
                log_error("Nothing was started: %s", reuse_strerror(r));
                state_abandon(m->state);
                return r;
        }

        (void) state_flush(m->state); /* it logs */
        above_tell(m->above, "READY=1\nSTATUS=%zu endpoints, %zu services", m->n_endpoints,
                   m->n_services);
        log_note(LOG_INFO, MESSAGE_DAEMON_READY, "Ready: %zu endpoints, %zu services",
                 m->n_endpoints, m->n_services);
        crash_points_arm();
        return 0;
}

/* ---- end ---- */

static unsigned n_workers_left(const Manager *m) {
        const Service *s;
        unsigned n = 0;

        for (size_t i = 0; i < m->n_services; i++)
                n += service_n_workers(m->services[i]);
        LIST_FOREACH(s, &m->leaving, leaving_others)
                n += service_n_workers(s);

        return n;
}

static void exit_if_empty(Manager *m) {
        if (!m->is_stopping || m->has_stopped || n_workers_left(m) > 0)
                return;

        m->has_stopped = true;
        state_abandon(m->state); /* whoever is started after us begins anew */
        if (m->n_cut > 0)
                log_note(LOG_WARNING, MESSAGE_DAEMON_STOPPED,
                         "Stopped; %u workers did not end in time and were cut off", m->n_cut);
        else
                log_note(LOG_INFO, MESSAGE_DAEMON_STOPPED, "Stopped");
        (void) sd_event_exit(m->event, m->n_cut > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Our copies of the sockets go in the same breath as the signal, so that a port refuses as soon as its
 * workers have let go. */
static void stop(Manager *m) {
        log_info("Stopping");
        above_tell(m->above, "STOPPING=1");
        m->is_stopping = true;
        state_touch_all(m->state);
        (void) state_flush(m->state);

        for (size_t i = 0; i < m->n_services; i++) {
                for (size_t k = 0; k < m->services[i]->n_endpoints; k++)
                        endpoint_close(m->services[i]->endpoints[k]);
                service_stop(m->services[i]);
        }
        for (size_t i = 0; i < m->n_endpoints; i++)
                endpoint_close(m->endpoints[i]);

        exit_if_empty(m);
}

/* Whoever told the one before us to stop may have told us as well, and means the same. */
static void take_pending_stop(void) {
        const struct timespec at_once = { 0 };
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigtimedwait(&mask, /* info= */ NULL, &at_once);
}

int manager_resume(Manager *m) {
        Service *s, *next;
        int r;

        r = strangers_new(m, &m->strangers);
        if (r < 0) {
                log_error("Cannot go on where the reuseportd before stopped: %s",
                          reuse_strerror(r));
                return r;
        }

        m->is_adopting = false; /* from here on it is ours */
        for (size_t i = 0; i < m->n_services; i++)
                service_resume(m->services[i]);
        for (s = LIST_FIRST(&m->leaving); s; s = next) {
                next = LIST_NEXT(s, leaving_others);
                service_resume(s);
        }

        state_touch_all(m->state);
        (void) state_flush(m->state);
        above_tell(m->above, "READY=1\nSTATUS=%zu endpoints, %zu services", m->n_endpoints,
                   m->n_services);
        log_note(LOG_NOTICE, MESSAGE_DAEMON_GOES_ON, "Ready: %zu endpoints, %zu services go on",
                 m->n_endpoints, m->n_services);
        if (m->must_stop) {
                take_pending_stop();
                stop(m);
        } else
                reload_if_changed(m);
        manager_do_chores(m);
        (void) malloc_trim(0); /* what was read is several times what was made of it */
        return 0;
}

static int on_chores(sd_event_source *source, void *userdata) {
        Manager *m = userdata;
        Service *s, *next;

        for (s = LIST_FIRST(&m->leaving); s; s = next) {
                next = LIST_NEXT(s, leaving_others);
                if (!service_has_generations(s))
                        (void) service_free(s);
        }

        reload_go_on(m);
        return 0;
}

void manager_do_chores(Manager *m) {
        if (!m->chores && sd_event_add_defer(m->event, &m->chores, on_chores, m) < 0)
                return;
        (void) sd_event_source_set_enabled(m->chores, SD_EVENT_ONESHOT);
}

void manager_on_service_changed(Manager *m, Service *s) {
        bus_on_service_changed(m->bus, s);
        state_touch_service(s);
        if (m->settings_next || s->is_leaving || s->has_to_give)
                manager_do_chores(m);
        exit_if_empty(m);
}

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                          void *userdata) {
        Manager *m = userdata;
        Service *s;

        if (!m->is_stopping) {
                stop(m);
                return 0;
        }

        log_warning("Told to stop again: whoever is left is killed");
        for (size_t i = 0; i < m->n_services; i++)
                service_kill(m->services[i]);
        LIST_FOREACH(s, &m->leaving, leaving_others)
                service_kill(s);
        return 0;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                            void *userdata) {
        _cleanup_(settings_unrefp) Settings *before = NULL;
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        _cleanup_free_ char *waits_for = NULL, *why = NULL;

        (void) reload(userdata, &diff, &before, &waits_for, &why); /* it logs */
        return 0;
}

/* Everything is in the store already: whoever comes next goes on. */
static int on_leave_signal(sd_event_source *source, const struct signalfd_siginfo *info,
                           void *userdata) {
        Manager *m = userdata;

        if (!state_has_store(m->state) || m->is_stopping) {
                log_note(LOG_WARNING, MESSAGE_LEAVE_REFUSED,
                         "SIGUSR2: there is no store to leave the sockets to; nothing was done. "
                         "SIGTERM stops, for which a systemctl restart that waits needs systemctl "
                         "kill; reuseportctl reexec takes a new program");
                return 0;
        }

        state_touch_all(m->state);
        if (state_flush(m->state) < 0) {
                log_note(LOG_ERR, MESSAGE_LEAVE_REFUSED,
                         "SIGUSR2: not everything could be left; nothing was done");
                return 0;
        }

        log_note(LOG_NOTICE, MESSAGE_DAEMON_LEAVES, "Leaving %zu descriptors; the workers serve on",
                 m->state->n_stored);
        m->has_left = true;
        (void) sd_event_exit(m->event, EXIT_SUCCESS);
        return 0;
}

int manager_run(Manager *m) {
        int r;

        r = loop_run(m->event);
        if (r < 0) {
                log_error("The event loop failed: %s", strerror(-r));
                return EXIT_FAILURE;
        }

        return r;
}

/* ---- birth and death ---- */

static int watch_signals(Manager *m) {
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } signals[] = {
                { SIGTERM, on_stop_signal },
                { SIGINT, on_stop_signal },
                { SIGHUP, on_reload_signal },
                { SIGUSR2, on_leave_signal },
        };
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD); /* sd_event_add_child_pidfd(3) insists */
        for (size_t i = 0; i < ELEMENTS_OF(signals); i++)
                (void) sigaddset(&mask, signals[i].number);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);

        for (size_t i = 0; i < ELEMENTS_OF(signals); i++) {
                int r = sd_event_add_signal(m->event, NULL, signals[i].number, signals[i].handler,
                                            m);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* @usual  "control" in the runtime directory */
static BusOptions control_options(const Manager *m, const char *usual) {
        const DaemonSettings *d = &m->settings->daemon;
        BusOptions options = {
                .path = usual,
                .mode = d->control_group ? 0660 : 0600,
                .has_group = d->control_group,
                .group = d->control_gid,
                .use_outer = d->dbus,
                .has_take = take_is_open(m),
        };

        if (d->control_mode != SETTING_UNSET)
                options.mode = (mode_t) d->control_mode;
        if (m->control)
                options.path = m->control;
        else if (d->control_socket)
                options.path = d->control_socket;
        return options;
}

/* @fd  a control socket that we have already, taken always; -EBADF: none */
static int open_control(Manager *m, int fd) {
        _cleanup_free_ char *usual = NULL;
        BusOptions options;

        if (asprintf(&usual, "%s/control", m->runtime_directory) < 0)
                return -ENOMEM;

        options = control_options(m, usual);
        options.fd = fd;
        if (!m->bus)
                return bus_new(m, &options, &m->bus);

        bus_configure(m->bus, &options);
        return 0;
}

void manager_reload_control(Manager *m) {
        if (open_control(m, -EBADF) < 0)
                log_error("No memory for the control socket");
}

/* What there is before there are settings.
 *
 * @lock_fd  as open_runtime_directory() */
static int make(const ManagerOptions *options, int lock_fd, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        m = calloc(1, sizeof(*m));
        if (!m) {
                (void) fd_close(lock_fd);
                return say_no_memory();
        }

        reserve_raise_limit();
        m->lock_fd = lock_fd;
        m->null_fd = -EBADF;
        m->control = options->control;
        m->program = options->program;
        m->arguments = options->arguments;
        spawn_reserve();
        r = sd_event_default(&m->event);
        if (r >= 0)
                r = watch_signals(m);
        if (r >= 0)
                timer_keep_spares(m->event);
        if (r >= 0)
                r = above_new(m->event, &m->above);
        if (r >= 0)
                r = outer_bus_new(m, &m->outer_bus);
        if (r >= 0)
                r = systemd1_new(m, &m->systemd1);
        if (r < 0) {
                log_error("Cannot make the event loop: %s", strerror(-r));
                return r;
        }

        if (getrandom(&m->seed, sizeof(m->seed), 0) != sizeof(m->seed)) {
                log_error("Cannot get random numbers: %s", strerror(errno));
                return -EIO;
        }

        r = open_runtime_directory(m, lock_fd);
        if (r < 0)
                return r;

        m->null_fd = fd_move_above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (m->null_fd < 0) {
                log_error("Cannot open /dev/null: %s", strerror(-m->null_fd));
                return m->null_fd;
        }

        choose_socket_owner(m);
        if (reserve_fill() < RESERVE_MAX)
                log_warning("RLIMIT_NOFILE leaves %u of %d descriptors for when there are none left; "
                            "more are needed than it allows",
                            reserve_fill(), RESERVE_MAX);
        *ret = TAKE_PTR(m);
        return 0;
}

/* Where a successor finds what we leave. */
static int use_store(Manager *m) {
        size_t max = store_limit(&m->settings->daemon), need = settings_store_need(m->settings);
        int r;

        if (max == 0)
                return 0;
        if (need > max)
                log_warning("The store above us keeps %zu descriptors, and %zu are needed while every "
                            "service is deployed at once and workers have stored what they may: then "
                            "a deploy may fail, or what they store is refused; see store_max",
                            max, need);

        r = state_use_store(m->state, max);
        if (r >= 0)
                r = store_queue_new(m, &m->store_queue);
        if (r < 0)
                log_error("Nothing can be left in the store above us: %s", strerror(-r));
        return r;
}

int manager_new(Settings *settings, const ManagerOptions *options, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        r = make(options, -EBADF, &m);
        if (r < 0)
                return r;

        r = state_new(m, NULL, &m->state);
        if (r < 0) {
                log_error("Cannot make the state: %s", strerror(-r));
                return r;
        }

        m->settings = settings;
        r = use_store(m);
        if (r >= 0)
                r = open_control(m, -EBADF);
        if (r == -ENOMEM)
                (void) say_no_memory();
        if (r < 0) {
                m->settings = NULL; /* still the caller's */
                return r;
        }

        *ret = TAKE_PTR(m);
        return 0;
}

/* What came from the store above and means nothing. */
static void drop_rest(Manager *m, const Legacy *legacy) {
        for (size_t i = 0; i < legacy->n_fds && !legacy->is_from_exec; i++)
                if (legacy->fds[i].fd >= 0)
                        state_drop_name(m->state, legacy->fds[i].name);
}

int manager_new_adopting(Legacy *legacy, const ManagerOptions *options, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        r = make(options, legacy_take_fd(legacy, REEXEC_LOCK), &m);
        if (r >= 0)
                r = state_new(m, TAKE_PTR(legacy->log), &m->state);
        if (r >= 0)
                r = adopt(m, legacy);
        if (r >= 0)
                r = use_store(m);
        if (r < 0)
                return r;

        m->has_lost_words = !legacy->is_from_exec;
        drop_rest(m, legacy);
        reexec_drop_rest(m->state, legacy);
        store_queue_wake(m->store_queue); /* or who was before us had no time for it */
        r = open_control(m, legacy_take_fd(legacy, REEXEC_CONTROL));
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        m->store_queue = store_queue_free(m->store_queue);
        for (Service *s = LIST_FIRST(&m->leaving), *next; s; s = next) {
                next = LIST_NEXT(s, leaving_others);
                (void) service_free(s);
        }
        for (size_t i = 0; i < m->n_services; i++)
                (void) service_free(m->services[i]);
        free(m->services);
        for (size_t i = 0; i < m->n_endpoints; i++)
                (void) endpoint_free(m->endpoints[i]);
        free(m->endpoints);
        m->strangers = strangers_free(m->strangers);
        m->bus = bus_free(m->bus);
        m->systemd1 = systemd1_free(m->systemd1);
        m->outer_bus = outer_bus_free(m->outer_bus);
        m->above = above_free(m->above);
        m->reexec = reexec_free(m->reexec);
        m->state = state_free(m->state);
        reserve_drop();
        timer_keep_spares(NULL);
        m->null_fd = fd_close(m->null_fd);
        spawn_release();
        m->lock_fd = fd_close(m->lock_fd);
        free(m->runtime_directory);
        m->chores = sd_event_source_disable_unref(m->chores);
        m->settings_next = settings_unref(m->settings_next);
        m->settings = settings_unref(m->settings);
        m->event = sd_event_unref(m->event);
        free(m);
        return NULL;
}
