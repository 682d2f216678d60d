#pragma once

/* A launching pad: a few low numbers of descriptors that are kept for what the next child is given.
 *
 * A child gets a copy of our table of descriptors, and closes what is not meant for it.  With 2,000 workers we
 * have 8,000, and both together take longer than all else that a start costs.  So what it is given is put on
 * the pad, the child shares our table, and close_range(CLOSE_RANGE_UNSHARE) from the end of the pad makes it a
 * copy that ends there. */

#include <stdbool.h>
#include <stddef.h>

#include "daemon/spawn/spawn.h"

#define SPAWN_PAD_SIZE 32U

/* Puts the descriptors of @plan on the pad.
 *
 * @ret      the same plan from there
 * @ret_fds  SPAWN_PAD_SIZE of them, which @ret borrows
 *
 * Returns the first number behind the pad; 0: not done, since there is none, it is too small for the plan, or
 * our table is short. */
int spawn_pad_put(const SpawnPlan *plan, SpawnPlan *ret, int *ret_fds);

/* What was put there goes; @pidfd of the child says how long our table is. */
void spawn_pad_clear(const SpawnPlan *plan, bool was_put, int pidfd);
