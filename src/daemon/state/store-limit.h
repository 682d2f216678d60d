#pragma once

/* How many descriptors may be left in the store above us. */

#include <stddef.h>

#include "settings/settings.h"

/* As the settings and whoever stands above us say; 0: there is no store.
 *
 * systemd says it in $FDSTORE since 254, and so does the keeper; an older one is asked over the bus. */
size_t store_limit(const DaemonSettings *settings);
