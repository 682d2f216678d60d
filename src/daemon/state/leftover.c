#include "daemon/state/leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/keeper.h"
#include "daemon/messages.h"
#include "daemon/timer.h"

#define END_USEC  (90 * USEC_PER_SEC) /* SIGTERM until SIGKILL: the default of timeout_stop */
#define KILL_USEC (5 * USEC_PER_SEC)  /* and until we do not wait any more */
#define MSEC_USEC 1000U

struct Leftover {
        char **names; /* of all that came */
        size_t n_names;
        struct pollfd *waits; /* a place for signals, then the workers' pidfds */
        size_t n_workers;
};

/* ---- who they are ---- */

static int note(const Legacy *legacy, Leftover *l) {
        l->names = calloc(legacy->n_fds + 1, sizeof(char *));
        l->waits = calloc(legacy->n_fds + 1, sizeof(struct pollfd));
        if (!l->names || !l->waits)
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
        free(l);
        return NULL;
}

/* ---- the workers' end ---- */

static void send_all(const Leftover *l, int number) {
        for (size_t i = 0; i < l->n_workers; i++)
                (void) syscall(SYS_pidfd_send_signal, l->waits[1 + i].fd, number, NULL, 0);
}

/* Until all are gone, or until a signal.  Returns how many are left. */
static size_t wait_for_workers(Leftover *l, const Again *a, uint64_t usec) {
        uint64_t deadline_usec = now_usec() + usec, now;

        l->waits[0] = (struct pollfd){ .fd = again_fd(a), .events = POLLIN };
        while (l->n_workers > 0 && (now = now_usec()) < deadline_usec) {
                (void) poll(l->waits, l->n_workers + 1,
                            (int) ((deadline_usec - now + MSEC_USEC - 1) / MSEC_USEC));
                for (size_t i = l->n_workers; i > 0; i--)
                        if (l->waits[i].revents) {
                                (void) fd_close(l->waits[i].fd);
                                l->waits[i] = l->waits[l->n_workers--];
                        }
                if (again_read_signal(a) > 0)
                        break;
        }

        return l->n_workers;
}

/* Whoever comes next shall begin anew, though nobody could tell it what this was. */
static void forget(const Leftover *l, const Above *above) {
        for (size_t i = 0; i < l->n_names; i++)
                (void) above_unstore(above, l->names[i]);
}

static int end(Leftover *l, const Again *a) {
        Above *above = again_above(a);
        size_t n_cut;

        log_info("Stopping: %zu workers of the daemon before us are asked to end", l->n_workers);
        above_tell(above, "STOPPING=1");
        send_all(l, SIGTERM);
        n_cut = wait_for_workers(l, a, END_USEC);
        if (n_cut > 0) {
                send_all(l, SIGKILL);
                (void) wait_for_workers(l, a, KILL_USEC);
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

/* Why, and what somebody can do about it, has been said. */
static void say(const Leftover *l, Above *above) {
        log_warning("%zu workers serve on without a daemon; trying again", l->n_workers);
        above_tell(above,
                   "STATUS=Cannot go on where the daemon before stopped; "
                   "%zu workers serve on without one",
                   l->n_workers);
}

/* Memory or descriptors may be there the next time. */
static bool may_pass(int error) {
        return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EAGAIN;
}

int leftover_wait(Leftover *l, Again *a, int error) {
        uint64_t usec = may_pass(error) || keeper_is_above() ? 0 : AGAIN_USEC;
        int number;

        if (!l || !a || again_open(a) < 0)
                return EXIT_FAILURE;

        number = again_read_signal(a);
        if (number == 0) {
                say(l, again_above(a));
                number = again_wait(a, usec);
        }
        if (number == SIGTERM || number == SIGINT)
                return end(l, a);

        return number == SIGUSR2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
