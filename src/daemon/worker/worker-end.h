#pragma once

/* How a worker ended, judged and in words. */

#include "base/cleanup.h"
#include "daemon/worker/worker.h"

/* Whether it ended as it should: exit status 0, the signal that we sent, or what the settings call a
 * success. */
bool worker_ended_well(const Worker *w);

/* "worker 2 (pid 4711) exited with status 1 before it was ready" */
void worker_describe_end(const Worker *w, char *buffer, size_t size_bytes);

/* Adds SERVICE_RESULT, EXIT_CODE and EXIT_STATUS, as systemd.exec(5) has them.  Returns 0 or -ENOMEM. */
int worker_put_end(const Worker *w, char ***variables);
