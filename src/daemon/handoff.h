#pragma once

/* How a worker gets its sockets: descriptors from 3 up, and an environment that speaks of them. */

#include <stddef.h>

#include "base/cleanup.h"
#include "daemon/build.h"

typedef struct Generation Generation;

/* What to pass; everything is owned, the descriptors are borrowed. */
typedef struct Handoff {
        int *fds;
        size_t n_fds;
        char **environment;
} Handoff;

/* Makes it for one worker.
 *
 * @notify_path  its NOTIFY_SOCKET
 *
 * Words whose value is the worker's own pid have a SPAWN_PID_HOLE.  Returns 0 or -ENOMEM. */
int handoff_init(const Generation *g, const Build *build, unsigned slot, const char *notify_path,
                 Handoff *ret);
void handoff_done(Handoff *h);
