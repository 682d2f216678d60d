#pragma once

/* The event loop of the daemon and of its keeper. */

#include <systemd/sd-event.h>

/* Runs it until somebody has called sd_event_exit().  A turn for which there was no memory is tried again:
 * whatever it was about is still there.
 *
 * Returns the exit code, or a negative errno: the loop is broken. */
int loop_run(sd_event *event);
