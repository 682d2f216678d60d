#pragma once

#include "reuse/reuseport.h"

/* Whether somebody listens (datagrams: is bound) at this very address and port; overlapping ones do not
 * count.  True also where the kernel does not tell, /proc not being there. */
bool reuse_address_is_taken(const ReuseAddress *address);
