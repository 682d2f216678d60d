#pragma once

/* An endpoint whose sockets come back from before: first all that it has, of which nothing is changed, since
 * what was in force still is; then the rule that its service wants. */

#include "daemon/endpoint/endpoint.h"

/* One without sockets, with room for @n_open groups.  Returns 0 or -ENOMEM. */
int endpoint_new_closed(Manager *manager, const EndpointSettings *settings, size_t n_open,
                        Endpoint **ret);

/* Takes the sockets of its next address.
 *
 * @members  as reuse_group_adopt() takes them; taken on success
 *
 * Returns 0 or a negative error. */
int endpoint_adopt_group(Endpoint *e, const ReuseMember *members, size_t n_members);

/* Puts the rule in force, and watches the sockets.
 *
 * @rule  counts slots by worker; NULL: it refuses
 *
 * Returns 0 or a negative error. */
int endpoint_resume(Endpoint *e, const ReuseRule *rule);
