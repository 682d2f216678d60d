#pragma once

/* What the files of the worker know of each other: worker.c its states and its end, worker-start.c how it comes
 * to its process, or back to it. */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "daemon/state/state.h"
#include "daemon/worker/worker.h"

#define WHY_SIZE_BYTES 512

LogFields worker_fields(const Worker *w);

/* @message  a MESSAGE_ of messages.h, or NULL */
#define worker_note(w, level, message, format, ...)                                       \
        do {                                                                              \
                LogFields fields_ = worker_fields(w);                                     \
                fields_.message_id = message;                                             \
                log_fields(level, &fields_, "%s/%u worker %u (pid %d) " format,           \
                           (w)->build->service->name, (w)->generation->number, (w)->slot, \
                           (int) worker_pid(w), ##__VA_ARGS__);                           \
        } while (false)
#define worker_log(w, level, format, ...) worker_note(w, level, NULL, format, ##__VA_ARGS__)

sd_event *worker_event(const Worker *w);
State *worker_record(const Worker *w);

void worker_set_state(Worker *w, WorkerState state);

/* The timer of its state: from now; and as its deadline says, which comes from before. */
void worker_set_deadline(Worker *w, uint64_t timeout_usec);
void worker_rearm(Worker *w);

/* Only who is ready is expected to say so again and again. */
void worker_feed_watchdog(Worker *w);

/* Who has no process is gone as soon as its command is; but not while our caller looks at it. */
void worker_end_in_next_turn(Worker *w);

/* There was no process, and none will be. */
void worker_end_unstarted(Worker *w, const char *why);

/* Ends its process at once. */
void worker_reap(Worker *w);
