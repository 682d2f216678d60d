#pragma once

/* A daemon that ends because it could not begin, under somebody who starts it again at once and for ever:
 * systemd has no back-off before version 254.  So it stays a while before it ends, and hears if it is told to
 * stop.  A keeper waits by itself. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/above.h"

/* Of a mark in the store above us: the start before this one has failed. */
#define AGAIN_NAME "failed"

#define AGAIN_USEC (10 * USEC_PER_SEC)

typedef struct Again Again;

/* Notes how to reach whoever stands above us, before others remove it from the environment.  Returns 0 or
 * -ENOMEM. */
int again_new(Again **ret);
Again *again_free(Again *a);
DEFINE_CLEANUP(Again, again_free)

/* When all else has been closed.  Returns 0 or a negative errno. */
int again_open(Again *a);

/* Borrowed, and what signals are read from. */
Above *again_above(const Again *a);
int again_fd(const Again *a);

/* One that ends us: SIGTERM, SIGINT, SIGUSR2.  Returns its number; 0: none has come, yet or in that time. */
int again_read_signal(const Again *a);
int again_wait(const Again *a, uint64_t usec);

/* Nothing could be started, and why was logged.
 *
 * The first that fails does not wait: whoever asked for it shall hear it.
 *
 * @a           may be NULL
 * @has_failed  so did the start before this one
 *
 * Returns the exit code. */
int again_after_failed_start(Again *a, bool has_failed);
