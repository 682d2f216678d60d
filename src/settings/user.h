#pragma once

/* The keys user, group and supplementary_groups: names or numbers to what a worker's process needs.
 */

#include "settings/report.h"

/* Fills uid, gid, groups, user_name and home of @service from them; asks the system's
 * databases, which may block.
 *
 * Returns 0, also after a problem, which then is in @report; -ENOMEM. */
int user_resolve(ServiceSettings *service, Report *report);

/* Fills allow_uids of @endpoint from allow_users, in the same way. */
int user_resolve_allowed(EndpointSettings *endpoint, Report *report);

/* Fills control_gid of @daemon from control_group, in the same way. */
int user_resolve_control(DaemonSettings *daemon, Report *report);
