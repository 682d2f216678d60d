#pragma once

/* How often something may be started: a burst within an interval, as systemd's StartLimitBurst=. */

#include <stdbool.h>
#include <stdint.h>

/* All zero to begin with. */
typedef struct StartLimit {
        uint64_t begun_usec; /* of the interval; 0: none has begun */
        unsigned n_starts;   /* in it */
} StartLimit;

/* Counts one more start at @now_usec; returns whether it is within the limit.
 *
 * @interval_usec  0: there is no limit */
bool start_limit_take(StartLimit *l, uint64_t interval_usec, unsigned burst, uint64_t now_usec);
