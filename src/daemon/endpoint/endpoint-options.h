#pragma once

/* What the kernel made of an endpoint's options, where it is less than the settings ask for. */

#include "daemon/endpoint/endpoint.h"

/* Says so in a warning for each; the sockets are open. */
void endpoint_report_options(const Endpoint *e);
