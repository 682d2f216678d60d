#include "settings/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"

#define ANSWER_FD    (STDERR_FILENO + 1)
#define ANSWER_FIRST 65536U /* bytes that are allocated at once */

/* ---- in the child ---------------------------------------------------------------------------- */

/* Whoever ends a process writes to standard error before. */
static void leave_only(int fd) {
        int null;

        if (dup3(fd, ANSWER_FD, O_CLOEXEC) < 0 && fd != ANSWER_FD)
                _exit(EXIT_FAILURE);
        if (close_range(ANSWER_FD + 1, ~0U, 0) < 0)
                for (int i = ANSWER_FD + 1; i < sysconf(_SC_OPEN_MAX); i++)
                        (void) close(i); /* before Linux 5.9; none may keep a queue alive */

        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
                if (null < 0)
                        (void) close(i);
                else if (null != i)
                        (void) dup2(null, i);
        if (null > STDERR_FILENO)
                (void) close(null);
}

_Noreturn static void run_child(HelperFunction function, const void *userdata, int fd,
                                pid_t parent) {
        (void) prctl(PR_SET_DUMPABLE, 0); /* a core would be ours, and takes its time */
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);

        leave_only(fd);
        _exit(function(ANSWER_FD, userdata) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- in the parent --------------------------------------------------------------------------- */

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* Returns 1 when something can be read, 0 when the time is over. */
static int wait_readable(int fd, uint64_t until_usec) {
        for (;;) {
                uint64_t now = now_usec();
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int r;

                if (now >= until_usec)
                        return 0;

                r = poll(&p, 1, (int) ((until_usec - now) / USEC_PER_MSEC) + 1);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r > 0)
                        return 1;
        }
}

static int make_room(HelperAnswer *a, size_t size_max) {
        size_t n = a->n_allocated > 0 ? a->n_allocated * 2 : ANSWER_FIRST;
        uint8_t *longer;

        if (a->n_bytes < a->n_allocated)
                return 0;
        if (n > size_max)
                return -EFBIG;

        longer = realloc(a->bytes, n);
        if (!longer)
                return -ENOMEM;

        a->bytes = longer;
        a->n_allocated = n;
        return 0;
}

/* Returns 0 at the end of the answer; -ETIME, -EFBIG. */
static int read_answer(int fd, uint64_t until_usec, size_t size_max, HelperAnswer *ret) {
        for (;;) {
                ssize_t n;
                int r;

                r = make_room(ret, size_max);
                if (r < 0)
                        return r;
                r = wait_readable(fd, until_usec);
                if (r <= 0)
                        return r < 0 ? r : -ETIME;

                n = read(fd, ret->bytes + ret->n_bytes, ret->n_allocated - ret->n_bytes);
                if (n == 0)
                        return 0;
                if (n > 0)
                        ret->n_bytes += (size_t) n;
                else if (errno != EINTR && errno != EAGAIN)
                        return -errno;
        }
}

/* Ends the child in any case; it has nothing left to do once its pipe is closed. */
static int reap(pid_t pid, bool kill_it, int *ret_status) {
        if (kill_it)
                (void) kill(pid, SIGKILL);
        while (waitpid(pid, ret_status, 0) < 0)
                if (errno != EINTR)
                        return -errno;

        return 0;
}

int helper_run(HelperFunction function, const void *userdata, uint64_t timeout_usec,
               size_t size_max, HelperAnswer *ret, int *ret_status) {
        _cleanup_close_ int read_end = -EBADF, write_end = -EBADF;
        uint64_t until_usec = now_usec() + timeout_usec;
        pid_t parent = getpid(), pid;
        int ends[2], r, reaped;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        read_end = ends[0];
        write_end = ends[1];

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_child(function, userdata, write_end, parent);

        write_end = fd_close(write_end);
        r = read_answer(read_end, until_usec, size_max, ret);
        reaped = reap(pid, r < 0, ret_status);
        return reaped < 0 ? reaped : r;
}

void helper_answer_done(HelperAnswer *a) {
        free(a->bytes);
        *a = (HelperAnswer){ 0 };
}
