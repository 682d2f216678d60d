#pragma once

/* Take: sockets for "reuseportctl exec" and "reuseportctl store", and where those may ask for them who may
 * say nothing else to us: a socket beside the control socket, "control-take", open to every user.  What
 * daemon/take.h says decides. */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

typedef struct Bus Bus;
typedef struct BusTake BusTake;

#define BUS_TAKERS_MAX         16U /* connections at that socket, but for root */
#define BUS_TAKERS_PER_UID_MAX 4U

/* Opens it.  What fails is logged. */
int bus_take_new(Bus *b, const char *control, BusTake **ret);
BusTake *bus_take_free(BusTake *t);

/* Whether it is where it belongs if the control socket is there. */
bool bus_take_is_beside(const BusTake *t, const char *control);

int bus_take_on_take(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

/* Takes names of endpoints, and whether they are for a store; returns descriptors with their names, and
 * variables "K=V". */
#define BUS_TAKE_METHOD                                                                          \
        SD_BUS_METHOD_WITH_NAMES("Take", "asb", SD_BUS_PARAM(endpoints) SD_BUS_PARAM(for_store), \
                                 "a(sh)as", SD_BUS_PARAM(descriptors) SD_BUS_PARAM(environment), \
                                 bus_take_on_take, SD_BUS_VTABLE_UNPRIVILEGED)
