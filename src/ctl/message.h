#pragma once

/* What comes over D-Bus, as JSON: arrays and structs are arrays, dictionaries are objects, a variant is
 * what it holds. */

#include <jansson.h>
#include <systemd/sd-bus.h>

/* Reads all that is left of the message, or of the container that it stands in, into an array.
 *
 * Returns NULL when it cannot be read, or there is no memory. */
json_t *message_to_json(sd_bus_message *m);
