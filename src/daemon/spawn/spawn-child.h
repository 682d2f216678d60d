#pragma once

/* The child's side of spawn(). */

#include <signal.h>
#include <sys/types.h>

#include "daemon/spawn/spawn.h"

/* What parent and child share while the parent is held in clone(). */
typedef struct SpawnShared {
        const SpawnPlan *plan;
        int *fds;                /* scratch, SPAWN_FIRST_FD + n_fds of them */
        const sigset_t *changed; /* signals that are not at their defaults */
        int table_end; /* > 0: we share our parent's table of descriptors, and need it up to here */
        pid_t parent;
        int error;
        const char *what;
} SpawnShared;

/* Runs in the child on a stack of its own and on its parent's memory; returns only if there was no exec. */
int spawn_child(void *shared);
