#pragma once

/* How a deploy goes, for people: on a terminal a line that changes, elsewhere a line for each step. */

#include <jansson.h>

#include "ctl/ctl.h"

typedef struct Progress {
        char last[256]; /* what was said last */
        bool is_open;   /* the cursor stands behind a line that changes */
} Progress;

/* @service  the properties of the service
 * @result   what GetDeployResult gave */
void progress_show(Progress *p, const Ctl *c, const char *name, const json_t *service,
                   const json_t *result);
void progress_end(Progress *p, const Ctl *c);
