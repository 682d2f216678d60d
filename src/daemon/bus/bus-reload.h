#pragma once

/* The part of org.reuseportd.Manager that is about other settings. */

#include <systemd/sd-bus.h>

/* kind ("added", "removed", "changed"), group ("endpoints", "services", "daemon"), name, key, when it applies
 * ("now", "pending", "new sockets"; "" for a whole object), before, after: as in a file, "" if unset or not
 * to be shown */
#define BUS_CHANGES "a(sssssss)"

/* Returns the service that it waits for ("": it is done), and what changes. */
int bus_reload_on_reload(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

/* What a reload from that file would change; "": from our own.  Another file is for root and our own uid,
 * since what is wrong in it is quoted. */
int bus_reload_on_diff(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
