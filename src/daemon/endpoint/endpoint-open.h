#pragma once

/* How one address of an endpoint is opened, and what is said when that fails. */

#include "daemon/endpoint/endpoint.h"

/* Opens the @i-th address of @settings, which need not count yet, in banks of @n_slots; it refuses.
 *
 * @port  that all addresses with port 0 have, 0: none is picked yet; it is written then
 *
 * What fails is logged. */
int endpoint_open_one(Endpoint *e, const EndpointSettings *settings, size_t i, unsigned n_slots,
                      uint16_t *port, ReuseGroup **ret);
