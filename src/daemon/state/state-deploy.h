#pragma once

/* A deploy that goes on, and how those before it ended. */

#include <jansson.h>

#include "daemon/deploy/deploy.h"
#include "daemon/state/state-build.h"

/* Each returns an object, the caller's; NULL: no memory. */
json_t *state_deploy_save(const Deploy *d, StateBuilds *builds);
json_t *state_result_save(const DeployResult *r);

/* Makes it again in a service that has its generations; it does nothing yet.  Returns 0 or a negative
 * errno. */
int state_deploy_load(const json_t *from, Service *s, const StateBuilds *builds, Deploy **ret);
int state_result_load(const json_t *from, DeployResult *ret);
