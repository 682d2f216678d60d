#pragma once

/* The main process of a worker, once that is no longer the one we started: a server that upgrades or
 * daemonizes says MAINPID=.  It is not our child, and it must be of the session that its worker began: a
 * worker can hand over to its own, and to nobody else. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/worker/process.h"

/* Watches @pid, as process_new().
 *
 * Returns 0; -EPERM: not of @session; -ESRCH: there is none; or another negative errno. */
int main_process_new(sd_event *event, pid_t pid, pid_t session, ProcessHandler handler,
                     void *userdata, Process **ret);
