#pragma once

/* Whether a generation is healthy: rounds of probes, of every slot in turn, as health_check says.
 *
 * A round counts once, good if every slot was.  After `healthy` good rounds, or `unhealthy` bad ones, in a
 * row a verdict is reported; then it goes on, since a canary may fall ill later. */

#include <stdbool.h>

#include "base/cleanup.h"

typedef struct Generation Generation;
typedef struct Health Health;

/* @why  NULL: it is healthy; else a sentence */
typedef void (*HealthHandler)(const char *why, void *userdata);

/* Begins the first round.  @handler is called from the loop, at each change of verdict, the first
 * included; it may free the Health.  Returns 0 or a negative errno. */
int health_new(Generation *g, HealthHandler handler, void *userdata, Health **ret);
Health *health_free(Health *h);
DEFINE_CLEANUP(Health, health_free)
