#pragma once

/* What the daemon before us has left, when we cannot go on from it: it is damaged, or of another version.
 *
 * Its workers serve on, and nothing of it is touched, since the program that wrote it could go on.  To try
 * again at once would change nothing and keep a processor busy: so we stay a while, and then end, to be
 * started again.  A keeper waits by itself.
 *
 * Who is told to stop meanwhile ends the workers.  Nobody else knows them, and a start after that begins
 * anew. */

#include "base/cleanup.h"
#include "daemon/state/adoption.h"
#include "daemon/state/again.h"

typedef struct Leftover Leftover;

/* Notes who the workers are, before anybody takes their descriptors.  Returns 0 or a negative errno. */
int leftover_new(const Legacy *l, Leftover **ret);
Leftover *leftover_free(Leftover *l);
DEFINE_CLEANUP(Leftover, leftover_free)

/* Waits, unless it is for something that may have passed in a moment.
 *
 * @l, @a  may be NULL: nothing is known of it
 * @error  why we cannot go on; it was logged
 *
 * Returns the exit code. */
int leftover_wait(Leftover *l, Again *a, int error);
