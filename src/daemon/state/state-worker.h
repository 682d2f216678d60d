#pragma once

/* A worker: its process, its notify socket, how far it is. */

#include <jansson.h>

#include "daemon/state/adoption.h"
#include "daemon/state/state-build.h"
#include "daemon/state/state.h"
#include "daemon/worker/worker.h"

/* Returns an object, the caller's; NULL: no memory. */
json_t *state_worker_save(State *st, const Worker *w, StateBuilds *builds);

/* Makes it again; worker_resume() lets it go on.  Returns 0 or a negative errno. */
int state_worker_load(Adoption *a, const json_t *from, Generation *g, unsigned slot,
                      const StateBuilds *builds, Worker **ret);
