#pragma once

/* One line of a list, as it goes over the bus. */

#include <systemd/sd-bus.h>

#include "daemon/endpoint/endpoint.h"
#include "daemon/service/service.h"

/* name, state, generation (0: none), colour, workers ready, wanted, restarts, pending, deploy: id,
 * state ("": none), share in percent, step from 1 */
#define BUS_ROW_SERVICE "(ssusuuubssuu)"

/* name, type ("stream", "datagram"), service or "", whether visitors get in, addresses, sockets, waiting in
 * their queues, limit of one queue, dropped by the kernel, strangers */
#define BUS_ROW_ENDPOINT "(sssbasuuutu)"

int bus_row_append_service(const Service *s, sd_bus_message *m);
int bus_row_append_endpoint(const Endpoint *e, sd_bus_message *m);
