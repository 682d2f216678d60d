#pragma once

/* What a client sees: see bus.h for the paths. */

#include <systemd/sd-bus.h>

#include "daemon/bus/bus-client.h"

#define BUS_PATH           "/org/reuseportd"
#define BUS_SERVICES_PATH  BUS_PATH "/service"
#define BUS_ENDPOINTS_PATH BUS_PATH "/endpoint"

#define BUS_MANAGER  "org.reuseportd.Manager"
#define BUS_SERVICE  "org.reuseportd.Service"
#define BUS_ENDPOINT "org.reuseportd.Endpoint"

extern const sd_bus_vtable bus_driver_vtable[];
extern const sd_bus_vtable bus_manager_vtable[];
extern const sd_bus_vtable bus_service_vtable[];
extern const sd_bus_vtable bus_endpoint_vtable[];
extern const sd_bus_vtable bus_take_vtable[];

/* Shows a new client all objects, or the one method that everybody may call.  Returns 0 or a negative
 * errno. */
int bus_object_add_all(BusClient *c);

/* The same but for what a bus without a bus daemon must have; and away with them. */
int bus_object_add_ours(BusClient *c);
void bus_object_remove(BusClient *c);

int bus_object_add_take(BusClient *c);
