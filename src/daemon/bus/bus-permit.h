#pragma once

/* Who may call what on the bus that everybody shares.
 *
 * A call is held back until it is known who calls (the bus daemon is asked) and whether he may: root, our
 * own user and members of control_group may everything, all others what polkit allows them,
 * org.reuseportd.read or org.reuseportd.manage.  Then it is read again as if it came now.  Nothing of this
 * is waited for, and everything has a deadline; without an answer it is refused.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

typedef struct Bus Bus;
typedef struct BusPermits BusPermits;

#define BUS_PERMITS_MAX            64U /* calls that are held back */
#define BUS_PERMITS_PER_SENDER_MAX 8U

/* Who makes the call that is being handled. */
typedef struct BusCaller {
        uid_t uid;
        pid_t pid;
} BusCaller;

/* @bus  what is held back for it goes with it: bus_permits_free() before it is closed */
int bus_permits_new(Bus *b, sd_bus *bus, BusPermits **ret);
BusPermits *bus_permits_free(BusPermits *p);
DEFINE_CLEANUP(BusPermits, bus_permits_free)

/* Looks at a message before anybody else.
 *
 * Returns 1: it is held back, or answered; 0: it may be handled, by @ret. */
int bus_permits_check(BusPermits *p, sd_bus_message *m, BusCaller *ret);
