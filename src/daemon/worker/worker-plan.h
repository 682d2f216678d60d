#pragma once

/* What is needed to start a process for a worker, from its settings: the program itself, or a command that
 * runs before or after it with the same user and surroundings. */

#include <linux/filter.h>
#include <sched.h>

#include "base/cleanup.h"
#include "daemon/spawn/handoff.h"
#include "daemon/spawn/spawn.h"

typedef struct ServiceSettings ServiceSettings;
typedef struct Worker Worker;

typedef struct WorkerPlan {
        SpawnPlan spawn; /* borrows from what follows: a plan does not move */
        Handoff handoff;
        int output, error; /* descriptors, such as were opened for it */
        struct sock_fprog lock;
        cpu_set_t cpus;
        char oom_score_adjust[16];
} WorkerPlan;

/* As whom it runs. */
uid_t worker_uid(const ServiceSettings *s);

/* Makes the plan of a worker's program, or with @command of that one.
 *
 * @command      argv without templates; NULL: the program
 * @variables    "K=V" beside the others; may be NULL
 * @ret          must stay where it is until worker_plan_done(), also on failure
 * @reterr_what  what could not be done, for a sentence: "open the outputs of", …
 *
 * Returns 0 or a negative errno. */
int worker_plan_init(WorkerPlan *ret, const Worker *w, char *const *command, char *const *variables,
                     const char **reterr_what);
void worker_plan_done(WorkerPlan *p);
