#pragma once

/* What workers have stored for their successors, in the store above us: each by a name of ours, since what
 * a worker calls it may be long and may be another's as well, and with a record of its own, so that one more
 * costs no more than itself.
 *
 *      stored/ID  {"service": its number, "fd": the name above, "name": FDNAME, "is_polled"}
 *
 * Their numbers grow: they come back in the order in which they came.  First the descriptor is stored, then
 * the record is written; the other way round the record goes first.  Two services may have stored the same
 * open file, and one twice if it has very many of its kind; a store above us keeps it once: then their
 * records have the same name.
 *
 * A successor by exec finds them in the record of their service, by which also an older program finds them. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/state/adoption.h"
#include "daemon/state/state.h"

/* Leaves one in the store above us, with its record, without waiting.
 *
 * @fd         in the store of the service
 * @name       of the worker's choice
 *
 * Returns 0; -EAGAIN: the store above us does not read in this moment; -EXFULL: it has no more room than we
 * need for ourselves; another negative errno.  Then no record speaks of it. */
int state_stored_put(State *st, Service *s, int fd, const char *name, bool is_polled);

/* Whether it is there. */
bool state_stored_has(const State *st, int fd);

/* From State: it will be closed and has lost its name. */
void state_stored_release(State *st, int fd, uint64_t name);

/* Takes one that was released out of the store above us, without waiting.  Returns 1; 0: there is none;
 * -EAGAIN; another negative errno. */
int state_stored_drop_one(State *st);

/* For the record of the service; NULL: no memory. */
json_t *state_stored_save(State *st, const Service *s);

/* The same, made again: by a successor by exec, from the record of the service; by another one, when all
 * services are there.  Returns 0 or a negative errno. */
int state_stored_load_list(Adoption *a, const json_t *service, Service *s);
int state_stored_load(Adoption *a);
