#pragma once

/* What workers have stored, on its way to the store above us, and out of it again.
 *
 * Each is a message, and systemd compares what comes with all that it has: a worker that stores thousands
 * must hold up neither us nor process 1.  So a few go at a time, and then there is a pause, the longer the
 * more there are; what was dropped goes before what has come, so that there are never more above us than
 * may be; and of several services one has its turn after the other.
 *
 * Meanwhile the message of the worker stays in its own queue: if we die, who comes next reads it again, and
 * a barrier behind it is not passed. */

#include "base/cleanup.h"

typedef struct Manager Manager;
typedef struct StoreQueue StoreQueue;

/* Only where there is a store above us.  Returns 0 or a negative errno. */
int store_queue_new(Manager *m, StoreQueue **ret);
StoreQueue *store_queue_free(StoreQueue *q);
DEFINE_CLEANUP(StoreQueue, store_queue_free)

/* There is something to do, in the next turn of the loop if not later.  @q may be NULL. */
void store_queue_wake(StoreQueue *q);

/* Begins with it now, unless it pauses. */
void store_queue_run(StoreQueue *q);

/* Goes on with it now, pause or not: a worker that has ended will not come again, so it floods nobody. */
void store_queue_hurry(StoreQueue *q);
