#include "daemon/worker/main-process.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* PIDFD_GET_INFO of linux/pidfd.h, with the exit code since Linux 6.15; the headers here may be older. */
typedef struct PidfdInfo {
        uint64_t mask;
        uint64_t cgroup;
        uint32_t ids[12];
        int32_t exit_code;
} PidfdInfo;

#define PIDFD_GET_INFO_IOCTL _IOWR(0xff, 11, char[64]) /* its first version's size */
#define PIDFD_INFO_EXIT_BIT  (1ULL << 3)

struct MainProcess {
        pid_t pid;
        int pidfd;
        MainProcessHandler handler;
        void *userdata;
        sd_event_source *source;
};

/* Somebody must have reaped it: whoever became its parent does at once. */
static void read_end(const MainProcess *p, int *ret_code, int *ret_status) {
        PidfdInfo info = { .mask = PIDFD_INFO_EXIT_BIT };

        *ret_code = CLD_EXITED;
        *ret_status = 255;
        if (ioctl(p->pidfd, PIDFD_GET_INFO_IOCTL, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT_BIT))
                return;

        if (WIFSIGNALED(info.exit_code)) {
                *ret_code = CLD_KILLED;
                *ret_status = WTERMSIG(info.exit_code);
        } else
                *ret_status = WEXITSTATUS(info.exit_code);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        MainProcess *p = userdata;
        int code, status;

        p->source = sd_event_source_disable_unref(p->source);
        read_end(p, &code, &status);
        p->handler(code, status, p->userdata);
        return 0;
}

int main_process_new(sd_event *event, pid_t pid, pid_t session, MainProcessHandler handler,
                     void *userdata, MainProcess **ret) {
        _cleanup_(main_process_freep) MainProcess *p = NULL;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;

        p->pid = pid;
        p->handler = handler;
        p->userdata = userdata;
        p->pidfd = fd_move_above_stdio((int) syscall(SYS_pidfd_open, pid, 0));
        if (p->pidfd < 0)
                return errno == EINVAL ? -ESRCH : -errno;

        /* After the pidfd is open the pid cannot change its meaning unnoticed. */
        if (getsid(pid) != session)
                return -EPERM;

        r = sd_event_add_io(event, &p->source, p->pidfd, EPOLLIN, on_end, p);
        if (r >= 0)
                r = sd_event_source_set_priority(p->source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

MainProcess *main_process_free(MainProcess *p) {
        if (!p)
                return NULL;

        p->source = sd_event_source_disable_unref(p->source);
        p->pidfd = fd_close(p->pidfd);
        free(p);
        return NULL;
}

pid_t main_process_pid(const MainProcess *p) {
        return p->pid;
}

int main_process_signal(const MainProcess *p, int signal_number) {
        return syscall(SYS_pidfd_send_signal, p->pidfd, signal_number, NULL, 0) < 0 ? -errno : 0;
}
