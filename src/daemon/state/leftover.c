#include "daemon/state/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/above.h"
#include "daemon/keeper.h"
#include "daemon/messages.h"
#include "daemon/timer.h"

#define AGAIN_USEC (10 * USEC_PER_SEC)
#define END_USEC   (90 * USEC_PER_SEC) /* SIGTERM until SIGKILL: the default of timeout_stop */
#define KILL_USEC  (5 * USEC_PER_SEC)  /* and until we do not wait any more */
#define MSEC_USEC  1000U

struct Leftover {
        char *notify_socket; /* which others remove from the environment; NULL: there is none */
        char **names;        /* of all that came */
        size_t n_names;
        struct pollfd *waits; /* a place for signals, then the workers' pidfds */
        size_t n_workers;
};

/* ---- who they are ---- */

static int note(const Legacy *legacy, Leftover *l) {
        const char *notify_socket = getenv("NOTIFY_SOCKET");

        l->names = calloc(legacy->n_fds + 1, sizeof(char *));
        l->waits = calloc(legacy->n_fds + 1, sizeof(struct pollfd));
        l->notify_socket = notify_socket ? strdup(notify_socket) : NULL;
        if (!l->names || !l->waits || (notify_socket && !l->notify_socket))
                return -ENOMEM;

        l->waits[0].fd = -EBADF;
        for (size_t i = 0; i < legacy->n_fds; i++) {
                l->names[l->n_names] = strdup(legacy->fds[i].name);
                if (!l->names[l->n_names++])
                        return -ENOMEM;
                if (!adopted_fd_is_worker(&legacy->fds[i]))
                        continue;

                l->waits[1 + l->n_workers] = (struct pollfd){
                        .fd = fcntl(legacy->fds[i].fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1),
                        .events = POLLIN,
                };
                if (l->waits[1 + l->n_workers].fd < 0)
                        return -errno;
                l->n_workers++;
        }

        return 0;
}

int leftover_new(const Legacy *legacy, Leftover **ret) {
        _cleanup_(leftover_freep) Leftover *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;

        r = note(legacy, l);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

Leftover *leftover_free(Leftover *l) {
        if (!l)
                return NULL;

        for (size_t i = 0; i < l->n_names; i++)
                free(l->names[i]);
        free(l->names);
        for (size_t i = 0; i < l->n_workers; i++)
                (void) fd_close(l->waits[1 + i].fd);
        free(l->waits);
        free(l->notify_socket);
        free(l);
        return NULL;
}

/* ---- signals ---- */

/* Those that end us, as a descriptor; a reload has nothing to read for. */
static int open_signals(void) {
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGUSR2);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        (void) sigdelset(&mask, SIGHUP);
        return fd_move_above_stdio(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

/* Returns its number, or 0. */
static int read_signal(int fd) {
        struct signalfd_siginfo info;

        return read(fd, &info, sizeof(info)) == sizeof(info) ? (int) info.ssi_signo : 0;
}

/* Until one comes.  Returns its number; 0: none has. */
static int wait_for_signal(int fd, uint64_t usec) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        uint64_t deadline_usec = now_usec() + usec, now;

        for (;;) {
                int number = read_signal(fd);

                now = now_usec();
                if (number > 0 || now >= deadline_usec)
                        return number;
                (void) poll(&wait, 1, (int) ((deadline_usec - now + MSEC_USEC - 1) / MSEC_USEC));
        }
}

/* ---- the workers' end ---- */

static void send_all(const Leftover *l, int number) {
        for (size_t i = 0; i < l->n_workers; i++)
                (void) syscall(SYS_pidfd_send_signal, l->waits[1 + i].fd, number, NULL, 0);
}

/* Until all are gone, or until a signal.  Returns how many are left. */
static size_t wait_for_workers(Leftover *l, int signals, uint64_t usec) {
        uint64_t deadline_usec = now_usec() + usec, now;

        l->waits[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
        while (l->n_workers > 0 && (now = now_usec()) < deadline_usec) {
                (void) poll(l->waits, l->n_workers + 1,
                            (int) ((deadline_usec - now + MSEC_USEC - 1) / MSEC_USEC));
                for (size_t i = l->n_workers; i > 0; i--)
                        if (l->waits[i].revents) {
                                (void) fd_close(l->waits[i].fd);
                                l->waits[i] = l->waits[l->n_workers--];
                        }
                if (read_signal(signals) > 0)
                        break;
        }

        return l->n_workers;
}

/* Whoever comes next shall begin anew, though nobody could tell it what this was. */
static void forget(const Leftover *l, const Above *above) {
        for (size_t i = 0; i < l->n_names; i++)
                (void) above_unstore(above, l->names[i]);
}

static int end(Leftover *l, int signals, Above *above) {
        size_t n_cut;

        log_info("Stopping: %zu workers of the daemon before us are asked to end", l->n_workers);
        above_tell(above, "STOPPING=1");
        send_all(l, SIGTERM);
        n_cut = wait_for_workers(l, signals, END_USEC);
        if (n_cut > 0) {
                send_all(l, SIGKILL);
                (void) wait_for_workers(l, -EBADF, KILL_USEC);
        }
        forget(l, above);

        if (n_cut > 0)
                log_note(LOG_WARNING, MESSAGE_DAEMON_STOPPED,
                         "Stopped; %zu workers did not end in time and were cut off", n_cut);
        else
                log_note(LOG_INFO, MESSAGE_DAEMON_STOPPED, "Stopped");
        return n_cut > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- all of it ---- */

/* What somebody can do about it. */
static void say(const Leftover *l, Above *above) {
        log_note(LOG_ERR, MESSAGE_CANNOT_GO_ON,
                 "%zu workers serve on without a daemon, and this is tried again. Start the "
                 "reuseportd that they had, and it goes on; or stop this one (SIGTERM, "
                 "systemctl stop), which ends them, and a start begins anew",
                 l->n_workers);
        above_tell(above,
                   "STATUS=Cannot go on where the daemon before stopped; "
                   "%zu workers serve on without one",
                   l->n_workers);
}

/* Memory or descriptors may be there the next time. */
static bool may_pass(int error) {
        return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
}

int leftover_wait(Leftover *l, int error) {
        _cleanup_(above_freep) Above *above = NULL;
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_close_ int signals = open_signals();
        uint64_t usec = may_pass(error) || keeper_is_above() ? 0 : AGAIN_USEC;
        int number;

        if (!l || signals < 0)
                return EXIT_FAILURE;

        if (l->notify_socket)
                (void) setenv("NOTIFY_SOCKET", l->notify_socket, /* overwrite= */ 1);
        if (sd_event_new(&event) < 0 || above_new(event, &above) < 0)
                return EXIT_FAILURE;

        number = read_signal(signals);
        if (number == 0) {
                say(l, above);
                number = wait_for_signal(signals, usec);
        }
        if (number == SIGTERM || number == SIGINT)
                return end(l, signals, above);

        return number == SIGUSR2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
