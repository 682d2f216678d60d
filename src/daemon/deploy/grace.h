#pragma once

/* Waiting for an RCU grace period of the kernel.
 *
 * When a rule has been replaced, a CPU in the middle of a SYN may still finish by the old one (seen once
 * in 2,500 switches).  After a grace period none does.  membarrier(MEMBARRIER_CMD_GLOBAL) is exactly
 * that, but it blocks, for 10 ms or 100: a thread does it.  Where it is refused (nohz_full) a timer of
 * 50 ms stands in for it, which no sane softirq outlasts.
 */

#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct Grace Grace;
typedef void (*GraceHandler)(void *userdata);

/* Calls @handler once, from the loop, after a grace period that begins now.
 *
 * The Grace may be freed at any time, also from the handler.  Returns 0 or a negative errno. */
int grace_new(sd_event *event, GraceHandler handler, void *userdata, Grace **ret);
Grace *grace_free(Grace *g);
DEFINE_CLEANUP(Grace, grace_free)
