#pragma once

/* Becoming another program, or the same anew, without anybody noticing: same pid, same sockets, the workers
 * still our children, a deploy goes on.
 *
 *      requested ──► no errand runs ──► the other program can read the state ──► exec
 *          │  60 s         │                        │                              │
 *          └──────────────►┴────────► refused ◄─────┴──────────────────────────────┘
 *
 * Who is refused goes on as if nothing had been.  The program is asked in a child whether it can read what
 * we would leave it: an older or newer one may not, and then it is too late for a good answer. */

#include "base/cleanup.h"
#include "daemon/state/adoption.h"

/* Descriptors that are no object's. */
#define REEXEC_LOCK    "lock"
#define REEXEC_CONTROL "control"

typedef struct Manager Manager;
typedef struct Reexec Reexec;

/* @why  a sentence: it was refused; NULL: it happens when this returns */
typedef void (*ReexecHandler)(const char *why, void *userdata);

/* Begins one; @handler is called once, from the loop.
 *
 * @reterr_why  a sentence, the caller's
 *
 * Returns 0 or a negative errno; -EBUSY: one is being prepared; -ESHUTDOWN: we are stopping. */
int reexec_new(Manager *m, ReexecHandler handler, void *userdata, char **reterr_why);

/* Gives it up, and calls nobody. */
Reexec *reexec_free(Reexec *x);
DEFINE_CLEANUP(Reexec, reexec_free)

/* What main() does for --can-adopt: tells on standard output why not, "it …".  Returns the exit code. */
int reexec_check_state(int fd);

/* On the other side: what was still to be taken out of the store above us is. */
void reexec_drop_rest(State *st, const Legacy *legacy);
