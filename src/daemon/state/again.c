#include "daemon/state/again.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/keeper.h"
#include "daemon/timer.h"

#define MSEC_USEC 1000U

struct Again {
        char *notify_socket; /* NULL: nobody stands above us */
        sd_event *event;     /* never runs */
        Above *above;
        int signals;
};

int again_new(Again **ret) {
        _cleanup_(again_freep) Again *a = calloc(1, sizeof(*a));
        const char *notify_socket = getenv("NOTIFY_SOCKET");

        if (!a)
                return -ENOMEM;

        a->signals = -EBADF;
        a->notify_socket = notify_socket ? strdup(notify_socket) : NULL;
        if (notify_socket && !a->notify_socket)
                return -ENOMEM;

        *ret = TAKE_PTR(a);
        return 0;
}

Again *again_free(Again *a) {
        if (!a)
                return NULL;

        a->above = above_free(a->above);
        a->event = sd_event_unref(a->event);
        a->signals = fd_close(a->signals);
        free(a->notify_socket);
        free(a);
        return NULL;
}

/* A reload has nothing to read for. */
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

int again_open(Again *a) {
        int r;

        a->signals = open_signals();
        if (a->signals < 0)
                return a->signals;
        if (a->notify_socket && setenv("NOTIFY_SOCKET", a->notify_socket, /* overwrite= */ 1) < 0)
                return -errno;

        r = sd_event_new(&a->event);
        return r < 0 ? r : above_new(a->event, &a->above);
}

Above *again_above(const Again *a) {
        return a->above;
}

int again_fd(const Again *a) {
        return a->signals;
}

int again_read_signal(const Again *a) {
        struct signalfd_siginfo info;

        return read(a->signals, &info, sizeof(info)) == sizeof(info) ? (int) info.ssi_signo : 0;
}

int again_wait(const Again *a, uint64_t usec) {
        struct pollfd wait = { .fd = a->signals, .events = POLLIN };
        uint64_t deadline_usec = now_usec() + usec, now;

        for (;;) {
                int number = again_read_signal(a);

                now = now_usec();
                if (number > 0 || now >= deadline_usec)
                        return number;
                (void) poll(&wait, 1, (int) ((deadline_usec - now + MSEC_USEC - 1) / MSEC_USEC));
        }
}

int again_after_failed_start(Again *a, bool has_failed) {
        _cleanup_close_ int mark = fd_move_above_stdio(open("/dev/null", O_RDWR | O_CLOEXEC));

        if (!a || !a->notify_socket || keeper_is_above() || again_open(a) < 0)
                return EXIT_FAILURE;

        if (mark >= 0)
                (void) above_store(a->above, AGAIN_NAME, mark);
        if (!has_failed)
                return EXIT_FAILURE;

        log_info("Trying again in 10s");
        above_tell(a->above, "STATUS=Could not start, trying again in 10s");
        return again_wait(a, AGAIN_USEC) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
