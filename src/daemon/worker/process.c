#include "daemon/worker/process.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "daemon/timer.h"

/* So long its parent may take to reap it. */
#define REAP_USEC (5 * USEC_PER_SEC)

/* PIDFD_GET_INFO of linux/pidfd.h, with the exit code since Linux 6.15; the headers here may be older. */
typedef struct PidfdInfo {
        uint64_t mask;
        uint64_t cgroup;
        uint32_t ids[11]; /* pid, tgid, ppid and eight of users and groups */
        int32_t exit_code;
} PidfdInfo;

#define PIDFD_GET_INFO_IOCTL _IOWR(0xff, 11, char[64]) /* its first version's size */
static_assert(sizeof(PidfdInfo) == 64, "as the kernel's first version");
#define PIDFD_INFO_EXIT_BIT (1ULL << 3)

struct Process {
        sd_event *event; /* borrowed */
        pid_t pid;
        int pidfd;
        ProcessHandler handler;
        void *userdata;
        sd_event_source *source, *timer;
        bool is_foreign;
};

static void tell(Process *p, const siginfo_t *end) {
        p->source = sd_event_source_disable_unref(p->source);
        p->timer = timer_disarm(p->timer);
        p->handler(end, p->userdata);
}

/* Returns false if the kernel does not say, or not yet. */
static bool read_end(const Process *p, siginfo_t *end) {
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_BIT };

        if (ioctl(p->pidfd, PIDFD_GET_INFO_IOCTL, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT_BIT))
                return false;

        if (WIFSIGNALED(info.exit_code)) {
                end->si_code = WCOREDUMP(info.exit_code) ? CLD_DUMPED : CLD_KILLED;
                end->si_status = WTERMSIG(info.exit_code);
        } else {
                end->si_code = CLD_EXITED;
                end->si_status = WEXITSTATUS(info.exit_code);
        }

        return true;
}

bool process_kernel_tells_ends(int pidfd) {
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_BIT };

        return ioctl(pidfd, PIDFD_GET_INFO_IOCTL, &info) >= 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        Process *p = userdata;
        siginfo_t end = { 0 };

        end.si_pid = p->pid;
        (void) read_end(p, &end);
        tell(p, &end);
        return 0;
}

/* A pidfd is readable when its process has ended, and hangs up when it is reaped. */
static void on_foreign_end(Process *p, uint32_t events) {
        siginfo_t end = { 0 };

        p->is_foreign = true;
        end.si_pid = p->pid;
        if (read_end(p, &end) || events & EPOLLHUP) {
                tell(p, &end);
                return;
        }

        (void) sd_event_source_set_io_events(p->source, EPOLLET);
        if (!p->timer && timer_arm(p->event, &p->timer, REAP_USEC, on_late, p) < 0)
                tell(p, &end);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Process *p = userdata;
        siginfo_t end = { 0 };
        pid_t pid = p->pid;

        if (waitid(P_PIDFD, (id_t) fd, &end, WEXITED | WNOHANG | WNOWAIT) < 0) {
                on_foreign_end(p, events);
                return 0;
        }
        if (end.si_pid == 0) /* it has not ended */
                return 0;

        tell(p, &end); /* and may be gone */
        (void) waitid(P_PID, (id_t) pid, &end, WEXITED | WNOHANG);
        return 0;
}

int process_new(sd_event *event, pid_t pid, int pidfd, ProcessHandler handler, void *userdata,
                Process **ret) {
        _cleanup_(process_freep) Process *p = NULL;
        siginfo_t end;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p) {
                (void) fd_close(pidfd);
                return -ENOMEM;
        }

        p->event = event;
        p->pid = pid;
        p->pidfd = pidfd;
        p->handler = handler;
        p->userdata = userdata;
        p->is_foreign = waitid(P_PIDFD, (id_t) pidfd, &end, WEXITED | WNOHANG | WNOWAIT) < 0;

        /* By its descriptor: sd_event_add_child_pidfd(3) would read in /proc whose it is, for each.  Told once:
         * of thousands that are dead the loop would else be told again of all before it comes to the next. */
        r = sd_event_add_io(event, &p->source, pidfd, EPOLLIN | EPOLLET, on_end, p);
        if (r < 0)
                return r;

        /* A slot without a worker leaves the rule before anybody else is looked after. */
        r = sd_event_source_set_priority(p->source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

Process *process_free(Process *p) {
        if (!p)
                return NULL;

        p->source = sd_event_source_disable_unref(p->source);
        p->timer = timer_disarm(p->timer);
        p->pidfd = fd_close(p->pidfd);
        free(p);
        return NULL;
}

pid_t process_pid(const Process *p) {
        return p->pid;
}

int process_fd(const Process *p) {
        return p->pidfd;
}

/* Whether it has ended, so that its pid may be somebody else's. */
static bool has_ended(const Process *p) {
        struct pollfd polled = { .fd = p->pidfd, .events = POLLIN };

        return poll(&polled, 1, 0) != 0;
}

int process_signal(const Process *p, int signal_number) {
        if (syscall(SYS_pidfd_send_signal, p->pidfd, signal_number, NULL, 0) >= 0)
                return 0;
        if (errno != ENOSYS) /* of a cage that knows less than the kernel */
                return -errno;
        if (has_ended(p))
                return -ESRCH;

        return kill(p->pid, signal_number) < 0 ? -errno : 0;
}

bool process_is_foreign(const Process *p) {
        return p->is_foreign;
}
