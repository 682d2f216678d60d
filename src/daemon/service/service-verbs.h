#pragma once

/* What people ask of a service.
 *
 * Each returns 0 when it is under way, or a negative errno with the reason in *reterr_why, the caller's, and then nothing has
 * changed. */

#include <stdbool.h>

#include "daemon/service/service.h"

/* Fills a bank; one that sleeps is woken. */
int service_verb_start(Service *s, char **reterr_why);

/* The port refuses at once and stays ours; established connections have timeout_stop. */
int service_verb_stop(Service *s, char **reterr_why);

/* Sends a signal to every worker of the generation that visitors go to, or of those that leave.
 *
 * -EBUSY: there is no such worker. */
int service_verb_kill(Service *s, int signal_number, bool of_old, char **reterr_why);

/* More or fewer workers, until a reload changes their number; while a deploy goes on it waits for that.
 *
 * -ERANGE: not 1…WORKERS_MAX; -EADDRINUSE: a stranger is in the group; an error of sockets. */
int service_verb_scale(Service *s, unsigned n_workers, char **reterr_why);

/* Forgets failures: one that failed is stopped, or asleep if it is on demand; delays begin anew. */
int service_verb_reset_failed(Service *s, char **reterr_why);
