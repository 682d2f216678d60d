#pragma once

/* Users and groups of this system, kept at arm's length.
 *
 * Whoever asks for them gets modules into his process that nsswitch.conf(5) names, which may crash, wait for
 * a network or keep what they open; and the C library's own part (2.36) ends the process where memory is short
 * while it reads its configuration.  So a child asks (settings/helper.h), and what it found is remembered as
 * long as one Settings is being made: a thousand services of one user are one question.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define LOOKUP_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* What was found out; NULL is nothing yet. */
typedef struct Lookups Lookups;

Lookups *lookups_free(Lookups *l);

typedef struct LookupUser {
        uid_t uid;
        gid_t gid;
        const char *name, *home; /* borrowed of Lookups */
} LookupUser;

/* All of these return 1; 0: there is none.  -ETIME: no answer in time, and no further question is asked.
 * -EPROTO: whoever was asked crashed.  -ENOMEM, or another error of the system's databases. */

/* @name  NULL: the one with that @uid */
int lookup_user(Lookups **l, const char *name, uid_t uid, LookupUser *ret);
int lookup_group(Lookups **l, const char *name, gid_t *ret);

/* The groups of the user @name, and @gid.
 *
 * @ret_groups  borrowed of Lookups */
int lookup_groups_of(Lookups **l, const char *name, gid_t gid, const gid_t **ret_groups,
                     size_t *ret_n);

/* An error of these, in words. */
const char *lookup_strerror(int error);
