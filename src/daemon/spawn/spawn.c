#include "daemon/spawn/spawn.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/spawn/spawn-child.h"

#define STACK_SIZE_BYTES (64U * 1024U)

static void *stack_new(void) {
        char *stack;

        stack = mmap(NULL, STACK_SIZE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        return stack == MAP_FAILED ? NULL : stack;
}

int spawn(const SpawnPlan *plan, pid_t *ret_pid, int *ret_pidfd, const char **reterr_what) {
        _cleanup_free_ int *fds = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        SpawnShared shared = { .plan = plan, .parent = getpid() };
        sigset_t all, before;
        char *stack;
        pid_t pid;
        int error;

        *reterr_what = "start";

        shared.fds = fds = calloc(SPAWN_FIRST_FD + plan->n_fds, sizeof(int));
        stack = fds ? stack_new() : NULL;
        if (!stack)
                return -ENOMEM;

        /* No handler of ours may run in the child on memory that is still ours. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_BLOCK, &all, &before);
        pid = clone(spawn_child, stack + STACK_SIZE_BYTES,
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &shared, &pidfd, NULL, NULL);
        error = pid < 0 ? -errno : shared.error;
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        (void) munmap(stack, STACK_SIZE_BYTES);

        if (pid > 0 && error < 0)
                (void) waitid(P_PIDFD, (id_t) pidfd, &(siginfo_t){ 0 }, WEXITED);
        if (error < 0) {
                if (shared.what)
                        *reterr_what = shared.what;
                return error;
        }

        *ret_pid = pid;
        *ret_pidfd = TAKE_FD(pidfd);
        return 0;
}
