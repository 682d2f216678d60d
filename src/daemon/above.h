#pragma once

/* Whoever stands above us: the manager that started us and listens on $NOTIFY_SOCKET.
 *
 * The same words as sd_notify(3), but never blocking: a manager that does not read for long loses
 * messages instead of stopping the daemon.  Without $NOTIFY_SOCKET everything here does nothing. */

#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct Above Above;

/* Reads $NOTIFY_SOCKET and $WATCHDOG_USEC and removes them from the environment; with a watchdog, keeps
 * it quiet from @event's loop.  Returns 0 or a negative errno. */
int above_new(sd_event *event, Above **ret);
Above *above_free(Above *a);
DEFINE_CLEANUP(Above, above_free)

/* Puts back what above_new() has removed from the environment, for a program that we become; and removes it
 * again.  Returns 0 or a negative errno. */
int above_put_environment(const Above *a);
void above_drop_environment(void);

/* Leaves a descriptor in the store above us, under a name; and takes all of that name out of it.  Each waits
 * a moment for a slow reader, and never longer.  Returns 0 or a negative errno; -EAGAIN: it did not read. */
int above_store(const Above *a, const char *name, int fd);
int above_unstore(const Above *a, const char *name);

/* The same without waiting; -EAGAIN: not in this moment. */
int above_try_store(const Above *a, const char *name, int fd);
int above_try_unstore(const Above *a, const char *name);

/* Sends newline-separated assignments.  While the other side is slow some wait, in their order; a process that
 * ends, or becomes another program, takes those with it. */
void above_tell(Above *a, const char *format, ...) _printf_(2, 3);
