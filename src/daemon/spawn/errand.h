#pragma once

/* A command that is run once and waited for: a hook, a health check, what goes before a start. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/spawn/spawn.h"

typedef struct Errand Errand;

typedef enum ErrandResult {
        ERRAND_OK,      /* exit status 0 */
        ERRAND_FAILED,  /* another status, or a signal */
        ERRAND_TIMEOUT, /* killed, since it took too long */
} ErrandResult;

/* @how  "exited with status 1", "was ended by SIGKILL", … */
typedef void (*ErrandHandler)(ErrandResult result, const char *how, void *userdata);

/* Starts it, with our own user and directory, with /dev/null as its input; its output is ours.
 *
 * @argv, @environment  borrowed for the time of the call
 * @handler             called once, from the loop; it may free the Errand
 *
 * Returns 0; or a negative errno, and then the handler is not called.
 * @reterr_what         what could not be done: "execute", … */
int errand_new(sd_event *event, char *const *argv, char *const *environment, uint64_t timeout_usec,
               ErrandHandler handler, void *userdata, Errand **ret, const char **reterr_what);

/* The same with a plan of one's own, borrowed for the time of the call. */
int errand_new_by_plan(sd_event *event, const SpawnPlan *plan, uint64_t timeout_usec,
                       ErrandHandler handler, void *userdata, Errand **ret,
                       const char **reterr_what);

/* Kills it if it still runs. */
Errand *errand_free(Errand *c);
DEFINE_CLEANUP(Errand, errand_free)

/* How many run now, in the whole process. */
unsigned errand_n_running(void);
