#pragma once

/* Our connection to the bus that everybody shares: the system's if we are root, else our user's.
 *
 * It may be missing, come later, and break; whoever needs it is told when it is there, and asks the bus
 * daemon nothing that it would wait for.  What is sent before the connection stands is queued.
 */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

typedef struct Manager Manager;
typedef struct OuterBus OuterBus;

typedef void (*OuterBusHandler)(sd_bus *bus, void *userdata);

#define OUTER_BUS_USERS_MAX 4U

/* Makes one that nobody wants yet.  Returns 0 or -ENOMEM. */
int outer_bus_new(Manager *m, OuterBus **ret);
OuterBus *outer_bus_free(OuterBus *o);
DEFINE_CLEANUP(OuterBus, outer_bus_free)

/* From now on it is wanted: connects, and tries again and again. */
void outer_bus_want(OuterBus *o);

/* NULL: there is none at the moment. */
sd_bus *outer_bus_get(const OuterBus *o);

/* Why there is none; 0: there is. */
int outer_bus_error(const OuterBus *o);

/* Whether it is the bus of a user. */
bool outer_bus_is_user(const OuterBus *o);

/* Calls @handler at each new connection, and now if there is one; and with NULL when it is lost, before what
 * was made on it goes. */
void outer_bus_use(OuterBus *o, OuterBusHandler handler, void *userdata);

/* From now on not any more. */
void outer_bus_leave(OuterBus *o, const void *userdata);
