#pragma once

/* What the daemon itself sees at the sockets of an endpoint: a peer that shut one that it shares with
 * us, a visitor who wakes a service, a visitor who comes where nobody will ever serve him. */

#include "daemon/endpoint/endpoint.h"

/* Puts every socket into the loop, with a worker as its reader.  Only while the endpoint listens: a
 * socket that does not is always hung up.  Returns 0 or a negative errno. */
int endpoint_watch(Endpoint *e);

void endpoint_unwatch(Endpoint *e);

/* By worker → by slot: a shared socket is slot 0 of everybody. */
unsigned endpoint_slot_of(const Endpoint *e, unsigned bank, unsigned worker);
