#pragma once

/* Emptying a bank, or some slots of it, without losing a handshake.
 *
 * Called when a new rule is in force that leads nobody there.  Then, in this order:
 *   1. a grace period: a CPU in the middle of a SYN may still steer by the old rule;
 *   2. a snapshot of the port's half-open requests, by cookie.  The kernel does not say which bank a
 *      request belongs to, so it is all of the port: more than needed, and finite;
 *   3. wait until none of *those* is left.  One whose SYN-ACK was sent again three times (7 s) does not
 *      count: every public port has dead ones;
 *   4. a grace period again: a request leaves the table a moment before its child is in the queue;
 *   5. wait until the queues are empty: their readers still read.
 * Datagrams have no handshake: 1, then 5.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct Drain Drain;
typedef struct Service Service;

/* @in_time  whether all is empty; else @delay_usec is over and somebody may still come */
typedef void (*DrainHandler)(bool in_time, void *userdata);

/* Begins; @handler is called once, from the loop.  It may free the Drain.
 *
 * @n_slots  from @first_slot, counted by worker
 *
 * Returns 0 or a negative errno. */
int drain_new(Service *s, unsigned bank, unsigned first_slot, unsigned n_slots, uint64_t delay_usec,
              DrainHandler handler, void *userdata, Drain **ret);
Drain *drain_free(Drain *d);
DEFINE_CLEANUP(Drain, drain_free)

/* Handshakes and connections that are still waited for. */
unsigned drain_n_waiting(const Drain *d);
