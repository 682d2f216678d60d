#pragma once

/* Established connections of a service, bank by bank: they inherit the colour mark of the listening socket
 * that they came through, and sock_diag shows it. */

#include <stdint.h>

#include "daemon/service/service.h"

/* Costs a dump for each address.  Returns 0 or a negative errno. */
int connections_count(const Service *s, uint64_t ret_n[static REUSE_BANKS_MAX]);
