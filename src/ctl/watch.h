#pragma once

/* Waiting until a service is in some state. */

#include <jansson.h>

#include "ctl/ctl.h"

/* Whether it is so now: *ret_result is what the verb then ends with. */
typedef bool (*WatchTest)(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result);

/* Calls @method of the service, if there is one, and waits until @test says that it is enough.
 *
 * No change is missed: we subscribe before we look. */
CtlResult watch_until(Ctl *c, const char *name, const char *method, WatchTest test);

/* Tests: workers serve; nobody is there. */
bool watch_is_running(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result);
bool watch_is_stopped(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result);
