#pragma once

/* A service as the daemon describes it, in the words of our JSON. */

#include <jansson.h>

#include "ctl/ctl.h"

/* From a row of ListServices; NULL without memory. */
json_t *service_from_row(const json_t *row);

/* From the properties of one: what a row has, and more.  NULL without memory. */
json_t *service_from_properties(const json_t *properties);

/* From one ListEvents entry. */
json_t *event_from_row(const json_t *row);

/* What a service is now, in one object, for those who asked for JSON; nothing for others. */
CtlResult service_print_state(Ctl *c, const char *name);
