#include "daemon/keeper-start.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"

#define FIRST_FD (STDERR_FILENO + 1) /* SD_LISTEN_FDS_START */

/* Whoever started us would look for the reason here. */
_Noreturn static void fail(const char *what, int error) {
        (void) dprintf(STDERR_FILENO, "reuseportd: cannot %s: %s\n", what, strerror(error));
        _exit(EXIT_FAILURE);
}

/* They become 3, 4, … in the order in which they came; all else is closed. */
static int arrange_fds(const FdStore *store) {
        size_t n_fds = fd_store_n(store);
        _cleanup_free_ int *fds = calloc(n_fds + 1, sizeof(int));
        int r;

        if (!fds)
                return -ENOMEM;

        for (size_t i = 0; i < n_fds; i++)
                fds[i] = fd_store_fd(store, i);
        r = fd_arrange(fds, n_fds, FIRST_FD);
        if (r < 0)
                return r;

        return close_range((unsigned) (FIRST_FD + (int) n_fds), ~0U, 0) < 0 && errno != ENOSYS
                               ? -errno
                               : 0;
}

static int set_number(const char *name, unsigned long long value) {
        char text[32];

        snprintf(text, sizeof(text), "%llu", value);
        return setenv(name, text, /* overwrite= */ 1) < 0 ? -errno : 0;
}

static int set_names(const FdStore *store) {
        _cleanup_free_ char *names = NULL;
        size_t size = 1;
        char *end;

        for (size_t i = 0; i < fd_store_n(store); i++)
                size += strlen(fd_store_name(store, i)) + 1;

        names = end = malloc(size);
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < fd_store_n(store); i++) {
                if (i > 0)
                        *end++ = ':';
                end = stpcpy(end, fd_store_name(store, i));
        }
        *end = '\0';

        return setenv("LISTEN_FDNAMES", names, /* overwrite= */ 1) < 0 ? -errno : 0;
}

static int set_environment(const KeeperStart *start) {
        size_t n_fds = fd_store_n(start->store);
        int r;

        (void) unsetenv("LISTEN_FDS");
        (void) unsetenv("LISTEN_PID");
        (void) unsetenv("LISTEN_FDNAMES");
        (void) unsetenv("LISTEN_PIDFDID");
        if (setenv("NOTIFY_SOCKET", start->notify_address, /* overwrite= */ 1) < 0)
                return -errno;

        r = set_number(KEEPER_VARIABLE, (unsigned long long) start->keeper);
        if (r >= 0)
                r = set_number("FDSTORE", start->store_max);
        if (r >= 0)
                r = set_number("WATCHDOG_USEC", start->watchdog_usec);
        if (r >= 0)
                r = set_number("WATCHDOG_PID", (unsigned long long) getpid());
        if (r < 0 || n_fds == 0)
                return r;

        r = set_number("LISTEN_FDS", n_fds);
        if (r >= 0)
                r = set_number("LISTEN_PID", (unsigned long long) getpid());
        return r < 0 ? r : set_names(start->store);
}

void keeper_start(const KeeperStart *start) {
        int r;

        /* A session of its own: what a terminal sends to all comes once, through the keeper. */
        (void) setsid();
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
                fail("follow the keeper", errno);
        if (getppid() != start->keeper)
                _exit(EXIT_FAILURE); /* it died before we could notice */
        if (start->is_ending)
                (void) raise(SIGTERM); /* blocked: it waits until the daemon reads it */

        r = set_environment(start);
        if (r >= 0)
                r = arrange_fds(start->store);
        if (r >= 0 && setrlimit(RLIMIT_NOFILE, &start->files) < 0)
                r = -errno;
        if (r < 0)
                fail("pass descriptors to the daemon", -r);

        /* By its name, which after an upgrade is another program; or ours, while there is none. */
        if (start->program)
                (void) execv(start->program, start->argv);
        (void) execv("/proc/self/exe", start->argv);
        fail("execute the daemon", errno);
}
