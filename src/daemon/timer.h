#pragma once

/* Deadlines on CLOCK_MONOTONIC, exact to a millisecond: sd-event's default slack is 250 ms. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

#define _cleanup_source_ _cleanup_(sd_event_source_disable_unrefp)

/* Arms *source, which may be NULL, to fire once in @usec; USEC_INFINITY disarms it.  The handler must
 * return 0.  Returns 0 or a negative errno. */
int timer_arm(sd_event *event, sd_event_source **source, uint64_t usec,
              sd_event_time_handler_t handler, void *userdata);

/* Puts some timers of that loop by, for when there is no memory: what waits for a deadline must not wait for
 * ever.  NULL, before the loop is freed: no more. */
void timer_keep_spares(sd_event *event);

/* The same at a point of CLOCK_MONOTONIC, which may be over. */
int timer_arm_at(sd_event *event, sd_event_source **source, uint64_t deadline_usec,
                 sd_event_time_handler_t handler, void *userdata);

/* When it fires; USEC_INFINITY: it is not armed.  @source may be NULL. */
uint64_t timer_deadline(sd_event_source *source);

/* Returns NULL: `w->timer = timer_disarm(w->timer);`. */
sd_event_source *timer_disarm(sd_event_source *source);

/* CLOCK_MONOTONIC in µs. */
uint64_t now_usec(void);
