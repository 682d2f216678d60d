#pragma once

/* A service and all that it has. */

#include <jansson.h>

#include "daemon/state/adoption.h"
#include "daemon/state/state.h"

/* Returns the object of a record, the caller's; NULL: no memory. */
json_t *state_service_save(State *st, Service *s);

/* Makes it again; the endpoints are there, without sockets.  A service that is leaving is put among those;
 * another one is the caller's.
 *
 * Returns 0 or a negative errno. */
int state_service_load(Adoption *a, const json_t *from, Service **ret);
