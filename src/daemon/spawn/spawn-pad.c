#include "daemon/spawn/spawn-pad.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

#define N_STANDARD 3U

/* A shorter table is copied as quickly. */
#define LONG_TABLE 256

static struct {
        int null; /* what lies there when nothing else does */
        int first;
        int end;
        int last_pidfd;
} the_pad = { .null = -EBADF };

/* Takes SPAWN_PAD_SIZE numbers in a row from @first on, or as many as are free.  Returns how many, or a
 * negative errno; @ret_next the number after which to try again. */
static int take_row(int first, int *ret_next) {
        for (int n = 0; n < (int) SPAWN_PAD_SIZE; n++) {
                int fd = fcntl(the_pad.null, F_DUPFD_CLOEXEC, first + n);

                if (fd == first + n)
                        continue;

                *ret_next = fd;
                (void) fd_close(fd);
                while (n-- > 0)
                        (void) close(first + n);
                return fd < 0 ? -EMFILE : 0;
        }

        return (int) SPAWN_PAD_SIZE;
}

void spawn_reserve(void) {
        int first = SPAWN_FIRST_FD, n = 0;

        the_pad.null = fd_move_above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));
        while (the_pad.null >= 0 && n == 0)
                n = take_row(first, &first);
        if (n <= 0) {
                the_pad.null = fd_close(the_pad.null);
                return;
        }

        the_pad.first = first;
        the_pad.end = first + n;
}

void spawn_release(void) {
        if (the_pad.null < 0)
                return;

        for (int fd = the_pad.first; fd < the_pad.end; fd++)
                (void) close(fd);
        the_pad.null = fd_close(the_pad.null);
        the_pad.end = the_pad.last_pidfd = 0;
}

static void clear(int n) {
        for (int i = 0; i < n; i++)
                (void) dup3(the_pad.null, the_pad.first + i, O_CLOEXEC);
}

int spawn_pad_put(const SpawnPlan *plan, SpawnPlan *ret, int *ret_fds) {
        const int standard[N_STANDARD] = { plan->stdin_fd, plan->stdout_fd, plan->stderr_fd };
        int *places[N_STANDARD] = { &ret->stdin_fd, &ret->stdout_fd, &ret->stderr_fd };

        if (the_pad.null < 0 || the_pad.last_pidfd < LONG_TABLE ||
            plan->n_fds + N_STANDARD > SPAWN_PAD_SIZE)
                return 0;

        *ret = *plan;
        ret->fds = ret_fds;
        for (int i = 0; i < (int) (plan->n_fds + N_STANDARD); i++) {
                int fd = i < (int) N_STANDARD ? standard[i] : plan->fds[i - (int) N_STANDARD];

                if (dup3(fd, the_pad.first + i, O_CLOEXEC) < 0) {
                        clear(i);
                        return 0;
                }
                if (i < (int) N_STANDARD)
                        *places[i] = the_pad.first + i;
                else
                        ret_fds[i - (int) N_STANDARD] = the_pad.first + i;
        }

        return the_pad.end;
}

void spawn_pad_clear(const SpawnPlan *plan, bool was_put, int pidfd) {
        if (was_put)
                clear((int) (plan->n_fds + N_STANDARD));
        if (pidfd >= 0)
                the_pad.last_pidfd = pidfd;
}
