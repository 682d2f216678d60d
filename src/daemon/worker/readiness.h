#pragma once

/* Whether a worker of type "exec" is ready: it has accepted a probe on every address of streams, so that a
 * program that starts and reads nothing is not called ready.  A service of datagrams alone is ready when
 * it has lived for a second. */

#include "base/cleanup.h"

typedef struct Readiness Readiness;
typedef struct Worker Worker;

/* Begins; reports to worker_on_accepted() from the loop, once, when all is well: how long to wait is the
 * worker's affair.  Returns 0 or a negative errno. */
int readiness_new(Worker *worker, Readiness **ret);
Readiness *readiness_free(Readiness *r);
DEFINE_CLEANUP(Readiness, readiness_free)

/* What was seen last, half a sentence; NULL if nothing yet. */
const char *readiness_why_not(const Readiness *r);
