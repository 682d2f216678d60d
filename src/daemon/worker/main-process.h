#pragma once

/* The main process of a worker, once that is no longer the one we started: a server that upgrades or
 * daemonizes says MAINPID=.  It is not our child, so it is watched by a pidfd, and it must be of the session
 * that its worker began: a worker can hand over to its own, and to nobody else. */

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct MainProcess MainProcess;

/* @code, @status  as si_code and si_status of waitid(2); CLD_EXITED and 255 if the kernel does not tell */
typedef void (*MainProcessHandler)(int code, int status, void *userdata);

/* Watches @pid; @handler is called once, from the loop, when it has ended, and may free the MainProcess.
 *
 * Returns 0; -EPERM: not of @session; -ESRCH: there is none; or another negative errno. */
int main_process_new(sd_event *event, pid_t pid, pid_t session, MainProcessHandler handler,
                     void *userdata, MainProcess **ret);
MainProcess *main_process_free(MainProcess *p);
DEFINE_CLEANUP(MainProcess, main_process_free)

pid_t main_process_pid(const MainProcess *p);

/* Returns 0 or a negative errno.  Never hits another process of that pid. */
int main_process_signal(const MainProcess *p, int signal_number);
