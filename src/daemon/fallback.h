#pragma once

/* What this kernel, or whoever has put us into a cage, does not offer, and what happens without it.
 *
 * Nothing of it is needed to serve: each has another way, which does less.  --version and status say which
 * ways are taken, so that nobody wonders. */

#include "base/cleanup.h"

/* @ret  sentences, one for each that is missing; the caller's
 *
 * Returns 0 or -ENOMEM. */
int fallback_list(char ***ret);
