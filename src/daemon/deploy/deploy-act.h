#pragma once

/* What each action of deploy-table does. */

#include "base/log.h"
#include "daemon/deploy/deploy.h"
#include "daemon/messages.h"
#include "daemon/service/service.h"

/* @message  a MESSAGE_ of messages.h, or NULL */
#define deploy_note(d, level, message, format, ...)                                              \
        do {                                                                                     \
                LogFields fields_ = { .message_id = message,                                     \
                                      .service = (d)->service->settings->name,                   \
                                      .deploy_id = (d)->result.id,                               \
                                      .generation = (d)->result.generation };                    \
                log_fields(level, &fields_, "%s: deploy %s of generation %u: " format,           \
                           (d)->service->settings->name, (d)->result.id, (d)->result.generation, \
                           ##__VA_ARGS__);                                                       \
        } while (false)
#define deploy_log(d, level, format, ...) deploy_note(d, level, NULL, format, ##__VA_ARGS__)

/* Those of today, whatever build is deployed; a reload waits as long as there is a way back. */
static inline const DeploySettings *deploy_settings(const Deploy *d) {
        return &d->service->settings->deploy;
}

/* What is needed for going on, and back, is there from the start: then memory may be short.  Returns 0 or a
 * negative errno. */
int deploy_make_pending(Deploy *d);

/* Whether something follows in the loop's next turn. */
bool deploy_has_pending(const Deploy *d);

/* Carries it out; may free the deploy.  What follows at once from it happens in the loop's next turn. */
void deploy_act(Deploy *d, DeployAction action);

/* The timers of what it does, of a deploy that comes back from before; and that itself, anew. */
int deploy_act_arm(Deploy *d, const DeployPending *pending);
void deploy_act_resume(Deploy *d);

/* Tells who waits that it did not succeed, once. */
void deploy_publish_failure(Deploy *d);
