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

/* How the groups of an endpoint are opened, or come back. */
ReuseGroupOptions endpoint_group_options(const Manager *m, const EndpointSettings *settings,
                                         unsigned n_slots);

/* The sockets of a bank are about to be closed, and their numbers to be used again: a successor must not
 * take others for them. */
void endpoint_forget_bank(const Endpoint *e, const ReuseGroup *g, unsigned bank);

/* Closes all sockets of a group, whose names are forgotten.  Returns NULL. */
ReuseGroup *endpoint_close_group(const Endpoint *e, ReuseGroup *g);

/* By worker → by slot of this address.  Returns whether there is anybody for its visitors. */
bool endpoint_rule_of(const Endpoint *e, const ReuseGroup *g, const ReuseRule *rule,
                      ReuseRule *ret);
