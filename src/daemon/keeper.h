#pragma once

/* The keeper: a tiny parent of the daemon where nobody else keeps descriptors for it, in containers, under
 * runit, on a terminal.
 *
 *      whoever started us
 *        └─ keeper       keeps the pid; the store, in which the daemon leaves its sockets
 *             └─ daemon  the same program, started again when it dies
 *                  └─ workers, who become the keeper's children while there is no daemon
 *
 * It speaks the protocol that systemd's store speaks (FDSTORE=1 to $NOTIFY_SOCKET, back by LISTEN_FDS), so
 * that the daemon need not know who stands above it.  It reaps whoever is left to it, passes on signals, and
 * what the daemon tells its own supervisor.
 *
 * A daemon that was killed, crashed, hung or left (exit 0 without STOPPING=1) is started again at once; one
 * that dies before its READY=1 after a delay, which doubles.  One that ends by itself takes the keeper with
 * it: after STOPPING=1, or with an error before the first READY=1 that there ever was.
 *
 * A keeper that dies takes the daemon with it, which stops as by SIGTERM: whoever watches the keeper will
 * start another, and the ports must be free for that one.
 */

#include <stdbool.h>

/* Whether our parent is a keeper. */
bool keeper_is_above(void);

/* Starts the daemon as a child, from the same program with the same arguments, and keeps it until it has
 * ended for good.  To be called before anything is opened but the log: settings are read again by the
 * daemon, which finds that keeper_is_above().
 *
 * The daemon has in its environment what systemd would give it: NOTIFY_SOCKET, WATCHDOG_USEC and
 * WATCHDOG_PID, FDSTORE (the limit), LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES.  SIGTERM, SIGINT, SIGHUP,
 * SIGUSR1 and SIGUSR2 are blocked from its birth, so that none is lost before it reads them.
 *
 * @store_max  how many descriptors the daemon may leave here
 *
 * Returns the exit code: the daemon's, or 128 and its signal. */
int keeper_run(char *const argv[], unsigned store_max);
