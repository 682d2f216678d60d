#pragma once

/* What a worker is given to begin with: its sockets, and arguments, environment and directory that speak of
 * them. */

#include <stddef.h>

#include "base/cleanup.h"
#include "daemon/service/build.h"

typedef struct Endpoint Endpoint;
typedef struct Generation Generation;
typedef struct Service Service;

/* Everything is owned, but the descriptors are borrowed. */
typedef struct Handoff {
        int *fds; /* that become 3, 4, … */
        size_t n_fds;
        int stdin_fd; /* that becomes 0; -EBADF: none of ours */
        char **arguments;
        char **environment;
        char *working_directory; /* NULL: ours */
} Handoff;

/* Makes it for one worker, with every template expanded.
 *
 * @notify_path  its NOTIFY_SOCKET; NULL: it is for a command beside the worker, which gets no sockets, and
 *               the arguments are left out
 *
 * Words whose value is the worker's own pid have a SPAWN_PID_HOLE.  Returns 0 or -ENOMEM. */
int handoff_init(const Generation *g, const Build *build, unsigned slot, const char *notify_path,
                 Handoff *ret);
void handoff_done(Handoff *h);

/* The environment of a command that runs for a generation, by our own user: templates are expanded in it as
 * for the worker in @slot.  Returns 0 or a negative errno. */
int handoff_make_environment(const Service *s, const Build *build, unsigned number, unsigned bank,
                             unsigned slot, char ***ret);
/* Parts of the environment, for one who is handed sockets in another way: REUSEPORTD_SERVICE, _GENERATION,
 * _COLOR, _WORKER; REUSEPORTD_ADDRESS_NAME.  Return 0 or -ENOMEM. */
int handoff_put_place(const Generation *g, unsigned slot, char ***environment);
int handoff_put_address(const Endpoint *e, char ***environment);
