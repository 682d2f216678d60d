#pragma once

/* A process by its pidfd, which no other ever is: our child, or one that was a child of the daemon before us
 * and belongs to somebody else now.
 *
 * A child's end is read by waitid().  That of another process is only known once its parent has reaped it,
 * and since Linux 6.15 (PIDFD_GET_INFO); for that we wait a moment, and then it has ended nobody knows how. */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct Process Process;

/* @end  as waitid(2) tells: si_pid, si_code, si_status; si_code 0: nobody knows
 *
 * While it runs the pid of a child is still taken.  It may free the Process. */
typedef void (*ProcessHandler)(const siginfo_t *end, void *userdata);

/* Watches it; @handler is called once, from the loop, when it has ended.
 *
 * @pidfd  taken always
 *
 * Returns 0 or a negative errno. */
int process_new(sd_event *event, pid_t pid, int pidfd, ProcessHandler handler, void *userdata,
                Process **ret);
Process *process_free(Process *p);
DEFINE_CLEANUP(Process, process_free)

pid_t process_pid(const Process *p);

/* Borrowed. */
int process_fd(const Process *p);

/* Returns 0 or a negative errno; -ESRCH: it has ended.  Never hits another process of that pid, but where there is
 * no pidfd_send_signal() one that has it since this very moment. */
int process_signal(const Process *p, int signal_number);

/* Whether the kernel tells how a process ended that is not our child: Linux 6.15.
 *
 * @pidfd  of any process */
bool process_kernel_tells_ends(int pidfd);

/* Whether somebody else reaps it. */
bool process_is_foreign(const Process *p);
