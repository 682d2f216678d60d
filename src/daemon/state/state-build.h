#pragma once

/* The builds of one service, each once, however many stand on it. */

#include <jansson.h>

#include "daemon/service/build.h"
#include "daemon/state/adoption.h"
#include "daemon/state/state.h"

typedef struct StateBuilds {
        Build **items; /* references */
        size_t n_items;
} StateBuilds;

void state_builds_done(StateBuilds *b);

/* The number of @build, from 1, which is put among them if it is not there; NULL is 0.
 *
 * Returns 0 or -ENOMEM. */
int state_builds_number(StateBuilds *b, Build *build, uint64_t *ret);

/* Returns an array, the caller's; NULL: no memory. */
json_t *state_builds_save(State *st, const StateBuilds *b);

/* Makes them again.  Returns 0 or a negative errno. */
int state_builds_load(const Adoption *a, const json_t *from, StateBuilds *b);

/* Borrowed; NULL: there is none of that number. */
Build *state_builds_find(const StateBuilds *b, uint64_t number);
