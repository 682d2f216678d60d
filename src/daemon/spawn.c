#include "daemon/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define STACK_SIZE_BYTES (64U * 1024U)

/* What parent and child share while the parent is held in clone(). */
typedef struct Shared {
        const SpawnPlan *plan;
        int *fds; /* scratch, n_fds of them */
        pid_t parent;
        int error;
        const char *what;
} Shared;

/* The C library's wrappers would try to tell the other threads of *our* process about it. */
static int become_user(const SpawnPlan *p) {
        if (syscall(SYS_setgroups, p->n_groups, p->groups) < 0)
                return -errno;
        if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0)
                return -errno;
        if (syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
                return -errno;

        return 0;
}

/* First everything above the places that will be filled, then down into them: no source can be
 * overwritten before it was copied.  dup2() clears close-on-exec. */
static int arrange_fds(const SpawnPlan *p, int *fds) {
        int end = SPAWN_FIRST_FD + (int) p->n_fds;
        int standard[] = { p->stdin_fd, p->stdout_fd, p->stderr_fd };

        for (size_t i = 0; i < p->n_fds; i++) {
                fds[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, end);
                if (fds[i] < 0)
                        return -errno;
        }
        for (int i = 0; i < (int) ELEMENTS_OF(standard); i++) {
                standard[i] = fcntl(standard[i], F_DUPFD_CLOEXEC, end);
                if (standard[i] < 0)
                        return -errno;
        }

        for (int i = 0; i < (int) ELEMENTS_OF(standard); i++)
                if (dup2(standard[i], i) < 0)
                        return -errno;
        for (size_t i = 0; i < p->n_fds; i++)
                if (dup2(fds[i], SPAWN_FIRST_FD + (int) i) < 0)
                        return -errno;

        /* All of ours are close-on-exec; this catches what a library may have left open. */
        if (close_range((unsigned) end, ~0U, 0) < 0 && errno != ENOSYS)
                return -errno;

        return 0;
}

static void reset_signals(void) {
        const struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, &standard,
                                 NULL); /* fails for KILL, STOP and the C library's own */

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static void fill_pid_holes(char *const *environment) {
        char pid[sizeof(SPAWN_PID_HOLE)], *end = pid + sizeof(pid) - 1;
        unsigned number = (unsigned) getpid();

        *end = '\0';
        do
                *--end = (char) ('0' + number % 10);
        while ((number /= 10) > 0);

        for (; *environment; environment++) {
                char *value = strchr(*environment, '=');

                if (value && strcmp(value + 1, SPAWN_PID_HOLE) == 0)
                        memcpy(value + 1, end, strlen(end) + 1);
        }
}

static int fail(Shared *shared, int error, const char *what) {
        shared->error = error;
        shared->what = what;
        _exit(127);
}

static int child(void *userdata) {
        Shared *shared = userdata;
        const SpawnPlan *p = shared->plan;
        int r;

        reset_signals();
        (void) setsid(); /* a session and a process group of its own, so that all of it can be killed */

        r = arrange_fds(p, shared->fds);
        if (r < 0)
                return fail(shared, r, "pass descriptors to");

        if (p->has_user) {
                r = become_user(p);
                if (r < 0)
                        return fail(shared, r, "change the user of");
        }

        if (p->working_directory && chdir(p->working_directory) < 0)
                return fail(shared, -errno, "change the directory of");

        /* After the change of user, which clears it; and we may have died before. */
        if (p->death_signal > 0) {
                if (prctl(PR_SET_PDEATHSIG, p->death_signal) < 0)
                        return fail(shared, -errno, "prepare");
                if (getppid() != shared->parent)
                        return fail(shared, -ESRCH, "start");
        }

        fill_pid_holes(p->environment);
        (void) execve(p->program ?: p->argv[0], p->argv, p->environment);
        return fail(shared, -errno, "execute");
}

static void *stack_new(void) {
        char *stack;

        stack = mmap(NULL, STACK_SIZE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        return stack == MAP_FAILED ? NULL : stack;
}

int spawn(const SpawnPlan *plan, pid_t *ret_pid, int *ret_pidfd, const char **reterr_what) {
        _cleanup_free_ int *fds = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        Shared shared = { .plan = plan, .parent = getpid() };
        sigset_t all, before;
        char *stack;
        pid_t pid;
        int error;

        *reterr_what = "start";

        shared.fds = fds = calloc(plan->n_fds + 1, sizeof(int));
        stack = fds ? stack_new() : NULL;
        if (!stack)
                return -ENOMEM;

        /* No handler of ours may run in the child on memory that is still ours. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_BLOCK, &all, &before);
        pid = clone(child, stack + STACK_SIZE_BYTES, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    &shared, &pidfd, NULL, NULL);
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
