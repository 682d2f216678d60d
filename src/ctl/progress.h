#pragma once

/* How a deploy goes, for people: on a terminal a line that changes, elsewhere a line for each step. */

#include <jansson.h>

#include "ctl/ctl.h"

typedef struct Progress {
        char last[256]; /* what was said last */
        bool is_open;   /* the cursor stands behind a line that changes */
} Progress;

/* What is asked each time. */
typedef struct DeployNow {
        json_t *deploy;      /* the property of the service */
        json_t *connections; /* likewise; NULL: nobody looks at them */
        json_t *result;      /* what GetDeployResult gave */
} DeployNow;

void deploy_now_done(DeployNow *now);

/* Whether somebody looks at a line that changes. */
bool progress_shows_connections(const Ctl *c);

void progress_show(Progress *p, const Ctl *c, const char *name, const DeployNow *now);
void progress_end(Progress *p, const Ctl *c);
