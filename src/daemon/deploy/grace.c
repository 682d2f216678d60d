#include "daemon/deploy/grace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "daemon/timer.h"

#define STAND_IN_USEC    (50 * USEC_PER_MSEC)
#define STACK_SIZE_BYTES (64U * 1024U)

struct Grace {
        GraceHandler handler;
        void *userdata;
        int fd;
        sd_event_source *source; /* of the thread's word, or of the timer */
};

/* All that the thread knows is a descriptor of its own, so that it may outlive whoever waits. */
static void *wait_for_grace(void *userdata) {
        int fd = (int) (intptr_t) userdata;
        uint64_t one = 1;

        (void) syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
        if (write(fd, &one, sizeof(one)) < 0) {
                /* An eventfd at 0 always has room for 1. */
        }
        (void) fd_close(fd);
        return NULL;
}

static int start_thread(int fd) {
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void) pthread_attr_setstacksize(&attributes, STACK_SIZE_BYTES);

        (void) sigfillset(&all); /* signals are for the loop */
        (void) pthread_sigmask(SIG_BLOCK, &all, &before);
        r = pthread_create(&thread, &attributes, wait_for_grace, (void *) (intptr_t) fd);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void) pthread_attr_destroy(&attributes);

        return -r;
}

static void report(Grace *g) {
        g->source = sd_event_source_disable_unref(g->source);
        g->handler(g->userdata);
}

static int on_word(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        report(userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        report(userdata);
        return 0;
}

static int listen_to_thread(sd_event *event, Grace *g) {
        _cleanup_close_ int copy = -EBADF;
        int r;

        g->fd = fd_move_above_stdio(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (g->fd < 0)
                return -errno;
        copy = fcntl(g->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy < 0)
                return -errno;

        r = sd_event_add_io(event, &g->source, g->fd, EPOLLIN, on_word, g);
        if (r >= 0)
                r = start_thread(copy);
        if (r < 0) {
                g->source = sd_event_source_disable_unref(g->source);
                return r;
        }

        (void) TAKE_FD(copy);
        return 0;
}

static bool has_membarrier(void) {
        long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

        return commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL);
}

int grace_new(sd_event *event, GraceHandler handler, void *userdata, Grace **ret) {
        _cleanup_(grace_freep) Grace *g = NULL;
        int r = -EOPNOTSUPP;

        g = calloc(1, sizeof(*g));
        if (!g)
                return -ENOMEM;

        g->handler = handler;
        g->userdata = userdata;
        g->fd = -EBADF;

        if (has_membarrier())
                r = listen_to_thread(event, g);
        if (r < 0)
                r = timer_arm(event, &g->source, STAND_IN_USEC, on_timer, g);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(g);
        return 0;
}

Grace *grace_free(Grace *g) {
        if (!g)
                return NULL;

        g->source = sd_event_source_disable_unref(g->source);
        g->fd = fd_close(g->fd);
        free(g);
        return NULL;
}
