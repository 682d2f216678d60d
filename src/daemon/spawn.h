#pragma once

/* One process: from a plan to a pid.
 *
 * The child is made by clone(CLONE_VM | CLONE_VFORK), so that its cost does not grow with our memory
 * (fork() with a heap of 256 MiB takes 5 ms, this 0.06), and so that an exec that fails is known when
 * spawn() returns.  Until exec the child shares our memory: it makes system calls only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Everything is borrowed for the time of the call. */
typedef struct SpawnPlan {
        const char *program; /* a path; NULL: argv[0] */
        char *const *argv;
        char *const *environment; /* of "K=V"; at most 63 words may be "K=" + SPAWN_PID_HOLE */
        const int *fds;           /* become 3, 4, … in this order; all else is closed */
        size_t n_fds;
        int stdin_fd, stdout_fd, stderr_fd;
        const char *working_directory; /* NULL: stay */
        bool has_user;
        uid_t uid;
        gid_t gid;
        const gid_t *groups;
        size_t n_groups;
        int death_signal; /* sent to the child when we die; 0 = none */
} SpawnPlan;

/* Of the descriptors that are passed. */
#define SPAWN_FIRST_FD 3

/* Room for the child's own pid, which nobody knows before it exists. */
#define SPAWN_PID_HOLE "          "

/* Starts the process in a session of its own with all signals at their defaults.
 *
 * @ret_pidfd   of the child, close-on-exec, the caller's
 * @reterr_what what failed, for a sentence: "exec", "chdir", …; a constant
 *
 * Returns 0, and then the program runs; or a negative errno, and then nothing is left behind. */
int spawn(const SpawnPlan *plan, pid_t *ret_pid, int *ret_pidfd, const char **reterr_what);
