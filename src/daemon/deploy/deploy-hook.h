#pragma once

/* hook_pre, hook_post, hook_failed: commands beside a deploy, 30 s each, told by their environment what it
 * is about: REUSEPORTD_SERVICE, _GENERATION, _STEP, _RESULT. */

#include <sys/queue.h>

#include "daemon/spawn/errand.h"

typedef struct Deploy Deploy;
typedef struct DetachedHook DetachedHook;
typedef LIST_HEAD(DetachedHooks, DetachedHook) DetachedHooks;

/* Starts one that the deploy waits for.  Returns 0 or a negative errno. */
int deploy_hook_run(Deploy *d, char *const *argv, const char *result, ErrandHandler handler,
                    Errand **ret);

/* Starts one that nobody waits for: how it ends is only logged.  @argv may be NULL. */
void deploy_hook_run_detached(Deploy *d, char *const *argv, const char *result);

/* Ends all that still run. */
void detached_hooks_free(DetachedHooks *hooks);
