/* From clone() to exec, by system calls alone: the memory is our parent's, who waits for us, and so are the
 * C library's locks.  The order is the story: what needs privileges stands before what takes them away. */

#include "daemon/spawn/spawn-child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define CAPABILITIES_MAX 64U
#define EXIT_STATUS      127

static void reset_signals(const sigset_t *changed) {
        const struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t none;

        for (int i = 1; i < NSIG; i++)
                if (sigismember(changed, i) > 0)
                        (void) sigaction(i, &standard, NULL);

        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Before there is anybody whom it could start.  If it cannot, ours has to do. */
static void join_cgroup(const SpawnPlan *p) {
        if (p->cgroup_fd > 0 && write(p->cgroup_fd, "0", 1) < 0)
                return;
}

/* Before anything is done to a descriptor. */
static int leave_table(const SpawnShared *shared) {
        if (shared->table_end == 0 ||
            close_range((unsigned) shared->table_end, ~0U, CLOSE_RANGE_UNSHARE) >= 0)
                return 0;

        return unshare(CLONE_FILES) < 0 ? -errno : 0; /* before Linux 5.9 */
}

/* 0, 1, 2, and those that are passed. */
static int arrange_fds(const SpawnPlan *p, int *fds) {
        size_t n_fds = SPAWN_FIRST_FD + p->n_fds;
        int r;

        fds[0] = p->stdin_fd;
        fds[1] = p->stdout_fd;
        fds[2] = p->stderr_fd;
        for (size_t i = 0; i < p->n_fds; i++)
                fds[SPAWN_FIRST_FD + i] = p->fds[i];
        r = fd_arrange(fds, n_fds, 0);
        if (r < 0)
                return r;

        /* All of ours are close-on-exec; this catches what a library may have left open. */
        if (close_range((unsigned) n_fds, ~0U, 0) < 0 && errno != ENOSYS)
                return -errno;

        return 0;
}

/* ---- surroundings ---- */

/* Of this process alone: the kernel knows that who shares its memory waits for it in vfork. */
static int set_oom_score_adjust(const SpawnPlan *p) {
        size_t length;
        int fd, r;

        if (!p->oom_score_adjust)
                return 0;

        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        length = strlen(p->oom_score_adjust);
        r = write(fd, p->oom_score_adjust, length) == (ssize_t) length ? 0 : -errno;
        (void) close(fd);
        return r;
}

static int set_nice(const SpawnPlan *p) {
        return p->has_nice && setpriority(PRIO_PROCESS, 0, p->nice) < 0 ? -errno : 0;
}

static int set_affinity(const SpawnPlan *p) {
        return p->cpus && sched_setaffinity(0, sizeof(*p->cpus), p->cpus) < 0 ? -errno : 0;
}

static int set_limits(const SpawnPlan *p) {
        if (p->files && syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, p->files, NULL) < 0)
                return -errno;

        for (int i = 0; p->limits && i < RLIMIT_NLIMITS; i++)
                if (p->limits[i].is_set &&
                    syscall(SYS_prlimit64, 0, i, &p->limits[i].limit, NULL) < 0)
                        return -errno;

        return 0;
}

static int enter_root(const SpawnPlan *p) {
        if (!p->root_directory)
                return 0;

        return chroot(p->root_directory) < 0 || chdir("/") < 0 ? -errno : 0;
}

static int enter_directory(const SpawnPlan *p) {
        return p->working_directory && chdir(p->working_directory) < 0 ? -errno : 0;
}

/* ---- as whom ---- */

static int renounce_privileges(const SpawnPlan *p) {
        return p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* While we are still allowed to, if privileges were not renounced. */
static int filter_system_calls(const SpawnPlan *p) {
        return p->system_calls && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, p->system_calls, 0,
                                        0) < 0
                               ? -errno
                               : 0;
}

/* The C library's wrappers would try to tell the other threads of *our* process about it. */
static int become_user(const SpawnPlan *p) {
        if (!p->has_user)
                return 0;

        if (p->ambient_capabilities && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
                return -errno;
        if (syscall(SYS_setgroups, p->n_groups, p->groups) < 0)
                return -errno;
        if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0)
                return -errno;
        if (syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
                return -errno;

        return 0;
}

/* Ambient ones must be permitted and inheritable; they alone pass through exec, unless we stay root. */
static int raise_capabilities(const SpawnPlan *p) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (!p->ambient_capabilities)
                return 0;
        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;

        for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                data[i].inheritable |= (uint32_t) (p->ambient_capabilities >> (32 * i));
        if (syscall(SYS_capset, &header, data) < 0)
                return -errno;

        for (unsigned i = 0; i < CAPABILITIES_MAX; i++)
                if (p->ambient_capabilities & (UINT64_C(1) << i) &&
                    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                        return -errno;

        return 0;
}

/* ---- the story ---- */

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

/* What the child's function returns, clone(2) makes its exit status. */
static int fail(SpawnShared *shared, int error, const char *what) {
        shared->error = error;
        shared->what = what;
        return EXIT_STATUS;
}

static const struct {
        int (*take)(const SpawnPlan *plan);
        const char *what; /* for a sentence: "cannot … PROGRAM" */
} steps[] = {
        { set_oom_score_adjust, "set oom_score_adjust of" },
        { set_nice, "set nice of" },
        { set_affinity, "set cpu_affinity of" },
        { set_limits, "set the limits of" },
        { renounce_privileges, "set no_new_privileges of" },
        { filter_system_calls, "set reuseport_lock of" },
        { enter_root, "enter root_directory of" },
        { become_user, "change the user of" },
        { enter_directory, "change the directory of" },
        { raise_capabilities, "set ambient_capabilities of" },
};

/* We may have died before. */
static int follow_parent(const SpawnShared *shared) {
        int number = shared->plan->death_signal;

        if (number == 0)
                return 0;
        if (prctl(PR_SET_PDEATHSIG, number) < 0)
                return -errno;

        return getppid() == shared->parent ? 0 : -ESRCH;
}

int spawn_child(void *userdata) {
        SpawnShared *shared = userdata;
        const SpawnPlan *p = shared->plan;
        int r;

        /* One whose parent dies now would not be known to anybody. */
        r = follow_parent(shared);
        if (r < 0)
                return fail(shared, r, "start");

        join_cgroup(p);
        reset_signals(shared->changed);
        (void) setsid(); /* a session and a process group of its own, so that all of it can be killed */
        if (p->has_umask)
                (void) umask(p->umask);

        r = leave_table(shared);
        if (r >= 0)
                r = arrange_fds(p, shared->fds);
        if (r < 0)
                return fail(shared, r, "pass descriptors to");

        for (size_t i = 0; i < ELEMENTS_OF(steps); i++) {
                r = steps[i].take(p);
                if (r < 0)
                        return fail(shared, r, steps[i].what);
        }

        /* After the change of user, which clears it. */
        r = follow_parent(shared);
        if (r < 0)
                return fail(shared, r, "start");
        if (p->outlives_us)
                (void) prctl(PR_SET_PDEATHSIG, 0);

        fill_pid_holes(p->environment);
        (void) execve(p->program ?: p->argv[0], p->argv, p->environment);
        return fail(shared, -errno, "execute");
}
