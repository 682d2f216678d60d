#pragma once

/* An endpoint and its sockets. */

#include <jansson.h>

#include "daemon/state/adoption.h"
#include "daemon/state/state.h"

/* Returns the object of a record, the caller's; NULL: no memory. */
json_t *state_endpoint_save(State *st, Endpoint *e);

/* Makes it again, without its sockets.  Returns 0 or a negative errno. */
int state_endpoint_load(Adoption *a, const json_t *from, Endpoint **ret);

/* Takes its sockets back; nothing is changed on them yet.
 *
 * Returns 0 or a negative errno; then it has none. */
int state_endpoint_load_sockets(Adoption *a, const json_t *from, Endpoint *e);

/* Of one that belongs to no service: whoever has taken it.  Returns 0 or a negative errno. */
int state_endpoint_load_takers(Adoption *a, const json_t *from, Endpoint *e);
