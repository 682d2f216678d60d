#pragma once

/* The same objects on the bus that everybody shares, as org.reuseportd: see bus-permit.h for who may call.
 *
 * Events go to those who have subscribed, and to nobody else; that properties have changed is told to all
 * while anybody has.
 */

#include <systemd/sd-bus.h>

#include "base/cleanup.h"
#include "daemon/bus/bus.h"

typedef struct BusPublic BusPublic;

#define BUS_PUBLIC_NAME            "org.reuseportd"
#define BUS_PUBLIC_SUBSCRIBERS_MAX 64U

/* Appears there as soon as there is such a bus.
 *
 * @must  what fails is an error, else it is only noted
 *
 * Returns 0 or a negative errno. */
int bus_public_new(Bus *b, bool must, BusPublic **ret);
BusPublic *bus_public_free(BusPublic *p);
DEFINE_CLEANUP(BusPublic, bus_public_free)

/* @p may be NULL. */
void bus_public_send_event(BusPublic *p, const BusEvent *e);
void bus_public_emit_properties(BusPublic *p, const char *path, char **names);
