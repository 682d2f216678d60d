#pragma once

/* One look at one slot, through the door, before any visitor gets there.
 *
 * Our sockets listen, so connect() succeeds even if nobody reads: *accepted* is what counts, and
 * sock_diag tells, since only a connection that somebody accepted has an inode.  Over HTTP an answer of
 * 2xx or 3xx counts.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/endpoint/endpoint.h"

typedef struct Probe Probe;

typedef struct ProbePlan {
        const Endpoint *endpoint; /* of streams; borrowed */
        unsigned address;         /* which of the endpoint's */
        unsigned bank, slot;      /* slot by worker */
        const char *http_path;    /* NULL: accepted is enough; borrowed until the end */
        uint64_t timeout_usec;    /* USEC_INFINITY: until it is freed */
} ProbePlan;

/* @why  NULL if it went well; else what was seen, half a sentence */
typedef void (*ProbeHandler)(const char *why, void *userdata);

/* Begins; @handler is called once, from the loop, and may free the Probe.  Returns 0 or a negative
 * errno. */
int probe_new(const ProbePlan *plan, ProbeHandler handler, void *userdata, Probe **ret);
Probe *probe_free(Probe *p);
DEFINE_CLEANUP(Probe, probe_free)
