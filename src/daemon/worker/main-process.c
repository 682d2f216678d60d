#include "daemon/worker/main-process.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

int main_process_new(sd_event *event, pid_t pid, pid_t session, ProcessHandler handler,
                     void *userdata, Process **ret) {
        _cleanup_close_ int pidfd = -EBADF;

        pidfd = fd_move_above_stdio((int) syscall(SYS_pidfd_open, pid, 0));
        if (pidfd < 0)
                return errno == EINVAL ? -ESRCH : -errno;

        /* After the pidfd is open the pid cannot change its meaning unnoticed. */
        if (getsid(pid) != session)
                return -EPERM;

        return process_new(event, pid, TAKE_FD(pidfd), handler, userdata, ret);
}
