#pragma once

/* listen_stream and listen_datagram: the addresses of an endpoint. */

#include "settings/report.h"
#include "settings/tree.h"

/* Reads one address or a list into @endpoint, which so becomes one of @type.
 *
 * Returns 0, also after a problem, which then is in @report; -ENOMEM. */
int address_list_read(const Tree *node, int type, EndpointSettings *endpoint, Report *report);
