#pragma once

/* What runs before a worker's program (exec_start_pre) and after it (exec_stop_post): one command after the
 * other, as the worker's user and in its surroundings, without its sockets. */

#include <stdint.h>

#include "base/cleanup.h"
#include "settings/settings.h"

typedef struct Worker Worker;
typedef struct WorkerCommands WorkerCommands;

/* @why  NULL: all went well; else half a sentence: "/bin/x exited with status 1" */
typedef void (*WorkerCommandsHandler)(const char *why, void *userdata);

/* Begins; @handler is called once, from the loop, and may free the WorkerCommands.  One that fails ends the
 * row, unless the settings say that it may.
 *
 * @list          borrowed from the worker's build
 * @key           its name in the settings, for messages
 * @variables     taken always; "K=V" beside those of the worker; may be NULL
 * @timeout_usec  of each command
 *
 * Returns 0 or a negative errno. */
int worker_commands_new(Worker *w, const CommandList *list, const char *key, char **variables,
                        uint64_t timeout_usec, WorkerCommandsHandler handler, void *userdata,
                        WorkerCommands **ret);

/* Kills the one that runs. */
WorkerCommands *worker_commands_free(WorkerCommands *c);
DEFINE_CLEANUP(WorkerCommands, worker_commands_free)
