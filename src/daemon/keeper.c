#include "daemon/keeper.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/runtime.h"
#include "daemon/above.h"
#include "daemon/keeper-start.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/fd-message.h"
#include "daemon/store/fd-store.h"
#include "daemon/worker/notify-message.h"

/* The daemon says WATCHDOG=1 at half of this. */
#define WATCHDOG_USEC      (10 * USEC_PER_SEC)
#define START_TIMEOUT_USEC (90 * USEC_PER_SEC)
#define ABORT_USEC         (2 * USEC_PER_SEC) /* SIGABRT until SIGKILL */

/* Between two starts, as long as they fail. */
#define DELAY_USEC     (100 * USEC_PER_MSEC)
#define DELAY_MAX_USEC (30 * USEC_PER_SEC)

/* While it is told to end, a daemon that crashes is started so often to end its workers in order. */
#define ENDING_STARTS_MAX 3U

#define MESSAGES_PER_TURN 64U

/* Beside the store: a message full of descriptors, and what we have ourselves. */
#define OTHER_FDS (FD_MESSAGE_FDS_MAX + 64U)

typedef struct Keeper {
        KeeperStart start;
        char program[PATH_MAX];
        FdStore *store;
        sd_event *event;
        sd_event_source *notify;
        Above *above;
        sd_event_source *
                        restart; /* these three exist always, since what must be done must not need memory */
        sd_event_source *watchdog;
        sd_event_source *abort;
        struct sockaddr_un address;
        int notify_fd;
        pid_t pid; /* of the daemon; 0: it is to be started again */
        bool is_ready;
        bool has_been_ready; /* one that we have started */
        bool has_said_stopping;
        bool is_ending;      /* somebody told us to */
        bool is_full;        /* and that was said */
        unsigned n_failures; /* before READY=1, in a row */
} Keeper;

bool keeper_is_above(void) {
        const char *text = getenv(KEEPER_VARIABLE);
        uint64_t pid;

        return text && parse_unsigned(text, INT32_MAX, &pid) >= 0 && (pid_t) pid == getppid();
}

static void arm(sd_event_source *timer, uint64_t usec) {
        (void) sd_event_source_set_time_relative(timer, usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void disarm(sd_event_source *timer) {
        (void) sd_event_source_set_enabled(timer, SD_EVENT_OFF);
}

/* ---- the end ---- */

static bool has_children(void) {
        siginfo_t info;

        return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) >= 0;
}

/* Whether there is anything that a daemon would have to end; one that has ended all leaves nothing here. */
static bool has_work(const Keeper *k) {
        return has_children() || fd_store_n(k->store) > 0;
}

/* Workers whose daemon does not come up to end them: they are in the store, as pidfds.  To what is none
 * nothing can be sent. */
static void end_workers(Keeper *k, int number) {
        for (size_t i = 0; i < fd_store_n(k->store); i++)
                (void) syscall(SYS_pidfd_send_signal, fd_store_fd(k->store, i), number, NULL, 0);
}

static void end(Keeper *k, int code) {
        if (has_children()) {
                log_warning("The daemon has left workers behind, killing them");
                end_workers(k, SIGKILL);
        }
        (void) sd_event_exit(k->event, code);
}

/* ---- the daemon: from start to end ---- */

static void start_daemon(Keeper *k) {
        pid_t pid;

        k->start.is_ending = k->is_ending;
        pid = fork();
        if (pid == 0)
                keeper_start(&k->start);
        if (pid < 0) {
                log_error("Cannot start the daemon: %m; trying again");
                arm(k->restart, DELAY_MAX_USEC / 10);
                return;
        }

        k->pid = pid;
        k->is_ready = k->has_said_stopping = false;
        disarm(k->restart);
        arm(k->watchdog, START_TIMEOUT_USEC);
        log_debug("Keeper: daemon is pid %d, with %zu descriptors", (int) pid,
                  fd_store_n(k->store));
}

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata) {
        start_daemon(userdata);
        return 0;
}

static uint64_t delay_usec(const Keeper *k) {
        uint64_t usec = DELAY_USEC;

        if (k->n_failures == 0)
                return 0;

        for (unsigned i = 1; i < k->n_failures && usec < DELAY_MAX_USEC; i++)
                usec *= 2;
        return usec < DELAY_MAX_USEC ? usec : DELAY_MAX_USEC;
}

static void describe(const siginfo_t *info, char *buffer, size_t size_bytes) {
        char name[32];

        if (info->si_code == CLD_EXITED)
                snprintf(buffer, size_bytes, "exited with status %d", info->si_status);
        else
                snprintf(buffer, size_bytes, "was ended by %s",
                         format_signal(info->si_status, name, sizeof(name)));
}

static void start_again(Keeper *k, pid_t pid, const char *how) {
        char delay[DURATION_TEXT_SIZE];

        k->n_failures = k->is_ready ? 0 : k->n_failures + 1;
        format_duration(delay_usec(k), delay, sizeof(delay));
        log_note(LOG_WARNING, MESSAGE_DAEMON_DIED,
                 "The daemon (pid %d) %s%s; it is started again %s%s, with %zu descriptors",
                 (int) pid, how, k->is_ready ? "" : " before it was ready",
                 k->n_failures > 0 ? "in " : "at once", k->n_failures > 0 ? delay : "",
                 fd_store_n(k->store));
        above_tell(k->above, "STATUS=The daemon %s, it is started again", how);

        if (k->n_failures == 0)
                start_daemon(k);
        else
                arm(k->restart, delay_usec(k));
}

static void on_daemon_end(Keeper *k, const siginfo_t *info) {
        bool is_exit = info->si_code == CLD_EXITED;
        int code = is_exit ? info->si_status : 128 + info->si_status;
        pid_t pid = k->pid;
        char how[64];

        k->pid = 0;
        disarm(k->watchdog);
        disarm(k->abort);

        if (is_exit && (k->has_said_stopping || (!k->is_ready && !k->has_been_ready))) {
                end(k, code);
                return;
        }
        if (k->is_ending && (!has_work(k) || k->n_failures >= ENDING_STARTS_MAX)) {
                end(k, code);
                return;
        }

        describe(info, how, sizeof(how));
        start_again(k, pid, how);
}

/* ---- what it says ---- */

/* What concerns whoever stands above us; the rest is between us and the daemon. */
static void pass_on(Keeper *k, const char *text) {
        static const char *const names[] = {
                "READY=",          "STATUS=", "STOPPING=",           "RELOADING=",
                "MONOTONIC_USEC=", "ERRNO=",  "EXTEND_TIMEOUT_USEC="
        };
        char message[FD_MESSAGE_SIZE_BYTES];
        size_t length = 0;

        for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
                end = strchrnul(line, '\n');
                for (size_t i = 0; i < ELEMENTS_OF(names); i++)
                        if (strncmp(line, names[i], strlen(names[i])) == 0) {
                                memcpy(message + length, line, (size_t) (end - line));
                                length += (size_t) (end - line);
                                message[length++] = '\n';
                        }
        }

        if (length > 0)
                above_tell(k->above, "%.*s", (int) length - 1, message);
}

static void keep_fds(Keeper *k, const NotifyMessage *m) {
        for (size_t i = 0; i < m->n_fds; i++) {
                int r = fd_store_put(k->store, k->start.store_max, m->fd_name, !m->is_unpolled,
                                     TAKE_FD(m->fds[i]));

                if (r < 0 && !k->is_full)
                        log_warning("Cannot keep a descriptor of the daemon: %s%s", strerror(-r),
                                    r == -ENOSPC ? "; store_max is too small" : "");
                k->is_full = r < 0;
        }
}

static void on_message(Keeper *k, FdMessage *message) {
        NotifyMessage m;

        pass_on(k, message->text);
        notify_message_parse(message->text, &m);
        m.fds = message->fds;
        m.n_fds = message->n_fds;

        if (m.is_store_remove)
                (void) fd_store_remove(k->store, m.fd_name, SIZE_MAX);
        else if (m.is_store)
                keep_fds(k, &m);

        if (m.is_ready) {
                k->is_ready = k->has_been_ready = true;
                k->n_failures = 0;
        }
        if (m.is_stopping)
                k->has_said_stopping = true;
        if (k->is_ready && (m.is_ready || m.is_watchdog))
                arm(k->watchdog, WATCHDOG_USEC);
}

/* Whoever else finds the socket is not listened to. */
static void read_messages(Keeper *k, unsigned n_max) {
        FdMessage message;
        int r = 0;

        for (unsigned i = 0; i < n_max && r >= 0; i++) {
                r = fd_message_receive(k->notify_fd, &message);
                if (r <= 0)
                        continue;
                if (message.pid == k->pid && k->pid > 0)
                        on_message(k, &message);
                fd_message_done(&message);
        }
}

static int on_notify(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        read_messages(userdata, MESSAGES_PER_TURN);
        return 0;
}

static int on_hung(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Keeper *k = userdata;

        (void) fd_store_drop_hung(k->store);
        return 0;
}

/* ---- what happens to it ---- */

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Keeper *k = userdata;

        log_error("The daemon (pid %d) %s, killing it", (int) k->pid,
                  k->is_ready ? "does not answer" : "is not ready in time");
        (void) kill(k->pid, SIGABRT);
        arm(k->abort, ABORT_USEC);
        return 0;
}

static int on_abort(sd_event_source *source, uint64_t usec, void *userdata) {
        Keeper *k = userdata;

        (void) kill(k->pid, SIGKILL);
        return 0;
}

/* Reaps everybody.  What the daemon said with its last breath is read while its pid is still its own. */
static int on_child(sd_event_source *source, const struct signalfd_siginfo *signal,
                    void *userdata) {
        Keeper *k = userdata;

        for (;;) {
                siginfo_t info = { 0 };

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
                        return 0;

                if (info.si_pid == k->pid)
                        read_messages(k, UINT32_MAX);
                (void) waitid(P_PID, (id_t) info.si_pid, &info, WEXITED | WNOHANG);
                if (info.si_pid == k->pid)
                        on_daemon_end(k, &info);
        }
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Keeper *k = userdata;
        int number = (int) info->ssi_signo;
        bool is_end = number == SIGTERM || number == SIGINT;

        k->is_ending = k->is_ending || is_end;
        if (k->pid > 0)
                (void) kill(k->pid, number);
        else if (is_end && has_children())
                start_daemon(k); /* which ends what it finds */
        else if (is_end)
                end(k, EXIT_SUCCESS);
        return 0;
}

/* ---- our own start ---- */

static int watch_signals(Keeper *k) {
        static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        for (size_t i = 0; i < ELEMENTS_OF(numbers); i++)
                (void) sigaddset(&mask, numbers[i]);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        (void) signal(SIGPIPE, SIG_IGN);

        r = sd_event_add_signal(k->event, NULL, SIGCHLD, on_child, k);
        for (size_t i = 0; i < ELEMENTS_OF(numbers) && r >= 0; i++)
                r = sd_event_add_signal(k->event, NULL, numbers[i], on_signal, k);
        return r;
}

static int make_timers(Keeper *k) {
        const struct {
                sd_event_source **source;
                sd_event_time_handler_t handler;
        } timers[] = {
                { &k->restart, on_restart },
                { &k->watchdog, on_watchdog },
                { &k->abort, on_abort },
        };

        for (size_t i = 0; i < ELEMENTS_OF(timers); i++) {
                int r = sd_event_add_time_relative(k->event, timers[i].source, CLOCK_MONOTONIC, 0,
                                                   USEC_PER_MSEC, timers[i].handler, k);

                if (r < 0)
                        return r;
                disarm(*timers[i].source);
        }

        return 0;
}

static bool is_answered(const struct sockaddr_un *address) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        return fd < 0 || connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0;
}

/* In the runtime directory, where nobody else can write.  A socket that answers is another keeper's, of
 * another pid namespace. */
static int bind_path(Keeper *k, int fd) {
        _cleanup_free_ char *directory = runtime_directory();
        mode_t before;
        int n, r;

        k->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (!directory || (mkdir(directory, 0755) < 0 && errno != EEXIST))
                return -ENOENT;
        n = snprintf(k->address.sun_path, sizeof(k->address.sun_path), "%s/keeper.%d", directory,
                     (int) getpid());
        if (n < 0 || (size_t) n >= sizeof(k->address.sun_path))
                return -ENAMETOOLONG;
        if (is_answered(&k->address))
                return -EADDRINUSE;

        (void) unlink(k->address.sun_path); /* left by one who was killed */
        before = umask(0177);
        r = bind(fd, (struct sockaddr *) &k->address, sizeof(k->address)) < 0 ? -errno : 0;
        (void) umask(before);
        return r;
}

/* A name that the kernel makes up, where no file can be made. */
static int bind_abstract(Keeper *k, int fd) {
        socklen_t length = sizeof(k->address);

        k->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (bind(fd, (struct sockaddr *) &k->address, sizeof(sa_family_t)) < 0 ||
            getsockname(fd, (struct sockaddr *) &k->address, &length) < 0)
                return -errno;

        k->address.sun_path[0] = '@'; /* as it stands in NOTIFY_SOCKET */
        return 0;
}

static int open_notify(Keeper *k) {
        int one = 1, r;

        k->notify_fd = fd_move_above_stdio(
                        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (k->notify_fd < 0)
                return k->notify_fd;

        r = bind_path(k, k->notify_fd);
        if (r < 0)
                r = bind_abstract(k, k->notify_fd);
        if (r < 0)
                return r;
        if (setsockopt(k->notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0)
                return -errno;

        k->start.notify_address = k->address.sun_path;
        r = sd_event_add_io(k->event, &k->notify, k->notify_fd, EPOLLIN, on_notify, k);
        if (r < 0)
                return r;

        /* If it was us who slept, what the daemon has said meanwhile counts before its deadline. */
        return sd_event_source_set_priority(k->notify, SD_EVENT_PRIORITY_NORMAL - 5);
}

/* The daemon gets what we were given. */
static int make_room(Keeper *k) {
        rlim_t wanted = k->start.store_max + OTHER_FDS;
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &k->start.files) < 0)
                return -errno;

        limit = k->start.files;
        if (limit.rlim_cur >= wanted)
                return 0;

        limit.rlim_cur = wanted;
        if (limit.rlim_max < wanted)
                limit.rlim_max = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) >= 0)
                return 0;

        limit = k->start.files;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
        k->start.store_max = limit.rlim_cur > OTHER_FDS ? limit.rlim_cur - OTHER_FDS : 0;
        log_warning("RLIMIT_NOFILE is %llu: at most %zu descriptors can be kept instead of "
                    "store_max",
                    (unsigned long long) limit.rlim_max, k->start.store_max);
        return 0;
}

static int make_store(Keeper *k) {
        int r;

        r = make_room(k);
        if (r >= 0)
                r = fd_store_new(k->start.store_max,
                                 FD_STORE_VARIABLE_MAX_BYTES - sizeof("LISTEN_FDNAMES="),
                                 &k->store);
        if (r < 0)
                return r;

        k->start.store = k->store;
        return sd_event_add_io(k->event, NULL, fd_store_poll_fd(k->store), EPOLLIN, on_hung, k);
}

static int open_all(Keeper *k) {
        ssize_t length;
        int r;

        k->notify_fd = -EBADF;
        k->start.keeper = getpid();
        k->start.watchdog_usec = WATCHDOG_USEC;
        length = readlink("/proc/self/exe", k->program, sizeof(k->program) - 1);
        k->start.program = length > 0 ? k->program : NULL;
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
                return -errno;

        r = sd_event_new(&k->event);
        if (r >= 0)
                r = watch_signals(k);
        if (r >= 0)
                r = make_timers(k);
        if (r >= 0)
                r = above_new(k->event, &k->above);
        if (r >= 0)
                r = open_notify(k);
        return r < 0 ? r : make_store(k);
}

static void close_all(Keeper *k) {
        if (k->start.notify_address && k->address.sun_path[0] == '/')
                (void) unlink(k->address.sun_path);
        k->notify = sd_event_source_disable_unref(k->notify);
        k->notify_fd = fd_close(k->notify_fd);
        k->store = fd_store_free(k->store);
        k->above = above_free(k->above);
        k->restart = sd_event_source_unref(k->restart);
        k->watchdog = sd_event_source_unref(k->watchdog);
        k->abort = sd_event_source_unref(k->abort);
        k->event = sd_event_unref(k->event);
}

int keeper_run(char *const argv[], unsigned store_max) {
        Keeper k = { .start.argv = argv, .start.store_max = store_max };
        int r;

        r = open_all(&k);
        if (r >= 0) {
                start_daemon(&k);
                r = loop_run(k.event);
        }
        if (r < 0) {
                log_error("The keeper cannot go on: %s", strerror(-r));
                r = EXIT_FAILURE;
        }

        close_all(&k);
        return r;
}
