#pragma once

/* "reuseportctl exec" and "reuseportctl store": somebody whom we did not start asks for sockets.
 *
 * Who may: root and our own uid; whom allow_users of the endpoint names; and a process of a unit that we have
 * just started as a worker, whoever it runs as.  It is handed the sockets of that worker's place; of an
 * endpoint that belongs to no service, the only ones there are, and the endpoint listens from then on.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Manager Manager;

#define TAKE_FDS_MAX 253U /* the kernel's limit for one message */

typedef struct TakeRequest {
        uid_t uid;
        pid_t pid;
        int pidfd; /* of that process; borrowed */
        bool for_store;
        char *const *endpoints; /* names */
} TakeRequest;

typedef struct Taken {
        int fds[TAKE_FDS_MAX];           /* borrowed */
        const char *names[TAKE_FDS_MAX]; /* as in LISTEN_FDNAMES; borrowed */
        size_t n_fds;
        char **environment; /* "K=V", owned */
} Taken;

/* @reterr_why  a sentence, the caller's
 *
 * Returns 0.  -ENOENT: no such endpoint; -EACCES: he may not; -EBUSY: it belongs to somebody else; another
 * negative error.  Then nothing was handed out. */
int take(Manager *m, const TakeRequest *q, Taken *ret, char **reterr_why);
void taken_done(Taken *t);

/* Whether anybody may ask who may not say anything else to us. */
bool take_is_open(const Manager *m);
