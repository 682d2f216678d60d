#pragma once

/* What somebody who looks at a service should know and might not see: a sentence each, with what to do. */

#include "daemon/service/service.h"

/* @ret  the caller's; NULL when there is nothing to say
 *
 * Returns 0 or -ENOMEM. */
int hints_list(const Service *s, char ***ret);
