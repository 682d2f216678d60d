#include "daemon/spawn/spawn.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void) 0)
#endif

#include "base/fd.h"
#include "daemon/spawn/spawn-child.h"
#include "daemon/spawn/spawn-pad.h"

#define STACK_SIZE_BYTES (64U * 1024U)

/* We are held while a child is on it, so one is enough, and its pages stay warm. */
static char the_stack[STACK_SIZE_BYTES] __attribute__((__aligned__(64)));

/* Signals that are ignored or handled.  Sixty calls, so they are asked for once. */
static const sigset_t *changed_signals(void) {
        static sigset_t changed;
        static bool is_known;
        struct sigaction now;

        if (is_known)
                return &changed;

        (void) sigemptyset(&changed);
        for (int i = 1; i < NSIG; i++)
                if (sigaction(i, NULL, &now) >= 0 && now.sa_handler != SIG_DFL)
                        (void) sigaddset(&changed, i);
        is_known = true;
        return &changed;
}

int spawn(const SpawnPlan *plan, pid_t *ret_pid, int *ret_pidfd, const char **reterr_what) {
        _cleanup_free_ int *fds = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        SpawnPlan from_pad;
        int pad_fds[SPAWN_PAD_SIZE];
        SpawnShared shared = {
                .plan = plan,
                .changed = changed_signals(),
                .parent = getpid(),
        };
        sigset_t all, before;
        pid_t pid;
        int error;

        *reterr_what = "start";

        shared.fds = fds = calloc(SPAWN_FIRST_FD + plan->n_fds, sizeof(int));
        if (!fds)
                return -ENOMEM;

        shared.table_end = spawn_pad_put(plan, &from_pad, pad_fds);
        if (shared.table_end > 0)
                shared.plan = &from_pad;

        /* No handler of ours may run in the child on memory that is still ours. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_BLOCK, &all, &before);
        ASAN_UNPOISON_MEMORY_REGION(the_stack, sizeof(the_stack)); /* the last one never returned */
        pid = clone(spawn_child, the_stack + sizeof(the_stack),
                    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD |
                                    (shared.table_end > 0 ? CLONE_FILES : 0),
                    &shared, &pidfd, NULL, NULL);
        error = pid < 0 ? -errno : shared.error;
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        spawn_pad_clear(plan, shared.table_end > 0, pidfd);

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
