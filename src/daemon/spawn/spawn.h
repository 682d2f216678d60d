#pragma once

/* One process: from a plan to a pid.
 *
 * The child is made by clone(CLONE_VM | CLONE_VFORK), so that its cost does not grow with our memory
 * (fork() with a heap of 256 MiB takes 5 ms, this 0.06), and so that an exec that fails is known when
 * spawn() returns.  Until exec the child shares our memory: it makes system calls only.
 */

#include <linux/filter.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "settings/settings.h"

/* Everything is borrowed for the time of the call; what is zero is inherited from us. */
typedef struct SpawnPlan {
        const char *program; /* a path; NULL: argv[0] */
        char *const *argv;
        char *const *environment; /* of "K=V"; at most 63 words may be "K=" + SPAWN_PID_HOLE */
        const int *fds;           /* become 3, 4, … in this order; all else is closed */
        size_t n_fds;
        int stdin_fd, stdout_fd, stderr_fd;
        int cgroup_fd;    /* cgroup.procs of one that the child joins first; 0 = ours */
        int death_signal; /* sent to the child when we die; 0 = none */
        bool outlives_us; /* that counts until its exec, and no longer */

        /* as whom */
        bool has_user;
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t n_groups;
        uint64_t ambient_capabilities; /* bit = capability */
        bool no_new_privileges;
        const struct sock_fprog *system_calls; /* a filter for seccomp(2) */

        /* in what surroundings */
        const char *root_directory;
        const char *working_directory; /* within the root */
        const ResourceLimit *limits;   /* RLIMIT_NLIMITS of them, by resource */
        const struct rlimit *files;    /* RLIMIT_NOFILE, unless @limits have it */
        const cpu_set_t *cpus;
        const char *oom_score_adjust; /* in decimal */
        bool has_nice;
        int nice;
        bool has_umask;
        mode_t umask;
} SpawnPlan;

/* Of the descriptors that are passed. */
#define SPAWN_FIRST_FD 3

/* Room for the child's own pid, which nobody knows before it exists. */
#define SPAWN_PID_HOLE "          "

/* Keeps a few low numbers of descriptors for spawn(), which makes its cost independent of how many we have
 * (spawn-pad.h).  To be called before many are open; what cannot be had is done without. */
void spawn_reserve(void);
void spawn_release(void);

/* Starts the process in a session of its own with all signals at their defaults; which are not is looked at
 * by the first call, so nobody begins to ignore one after that.  From one thread only.
 *
 * @ret_pidfd   of the child, close-on-exec, the caller's
 * @reterr_what what failed, for a sentence: "execute", "change the user of", …; a constant
 *
 * Returns 0, and then the program runs; or a negative errno, and then nothing is left behind. */
int spawn(const SpawnPlan *plan, pid_t *ret_pid, int *ret_pidfd, const char **reterr_what);
