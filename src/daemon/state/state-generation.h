#pragma once

/* A generation and its workers. */

#include <jansson.h>

#include "daemon/service/generation.h"
#include "daemon/state/adoption.h"
#include "daemon/state/state-build.h"
#include "daemon/state/state.h"

/* Returns an object, the caller's; NULL: no memory. */
json_t *state_generation_save(State *st, const Generation *g, StateBuilds *builds);

/* Makes it again in a service that has its endpoints; its workers do nothing yet.  Returns 0 or a negative
 * errno. */
int state_generation_load(Adoption *a, const json_t *from, Service *s, const StateBuilds *builds,
                          Generation **ret);
