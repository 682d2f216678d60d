#pragma once

/* Descriptors put by for the day when there are none left.
 *
 * RLIMIT_NOFILE, or the system's own limit, must end an operation and never the daemon: a worker that died
 * is replaced, a visitor whom nobody will serve is reset, whoever asks at the control socket gets an answer.
 * What can be refused (one more endpoint, a further bank, a stored descriptor) finds the limit earlier,
 * since the reserve is held; what cannot is tried again with the reserve lent:
 *
 *      r = worker_start(…);
 *      if (reserve_lend(r)) {
 *              r = worker_start(…);
 *              reserve_fill();
 *      }
 *
 * There is one, as there is one table of descriptors. */

#include <stdbool.h>
#include <sys/resource.h>

#define RESERVE_MAX 32

/* Raises our limit of descriptors to the highest that we may have; reserve_given_limit() is what it was, and
 * what those who are started by us get. */
void reserve_raise_limit(void);
const struct rlimit *reserve_given_limit(void);

/* Gives the limit back, for who is executed in our place and raises it himself. */
void reserve_restore_limit(void);

/* Takes as many as are missing and can be had.  Returns how many there are. */
unsigned reserve_fill(void);

/* If @error is -EMFILE or -ENFILE, gives back all that there are.  Returns whether that makes it worth to
 * try again; then reserve_fill() must follow. */
bool reserve_lend(int error);

/* At the end. */
void reserve_drop(void);
