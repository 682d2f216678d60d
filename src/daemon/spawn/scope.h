#pragma once

/* A control group for all processes of one generation, as a transient scope of systemd below
 * reuseportd.slice: for systemd-cgls, systemctl status and limits; and so that nobody of it, however often
 * forked and in whatever session, outlives it.
 *
 * The directory is made by us, and each worker joins it before its first instruction, so nobody slips out and
 * nobody waits for systemd; then systemd is told that this is a unit.  Where we are not root under systemd, or
 * may not write there (ProtectControlGroups=), there is none, and process groups have to do.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Manager Manager;
typedef struct Scope Scope;

/* Returns 0, or -ENOTSUP: there can be none here; -ENOMEM.  What else fails is logged, once. */
int scope_new(Manager *m, const char *service, unsigned generation, Scope **ret);

/* The one that a process of ours is in.  Returns 0; -ENOENT: it is in none; -ENOTSUP; -ENOMEM. */
int scope_find(Manager *m, pid_t pid, Scope **ret);

/* Kills whoever is left, if @kills; what is empty goes. */
Scope *scope_free(Scope *s, bool kills);

/* Where a process joins by writing "0": borrowed until scope_tell().  -EBADF: it cannot. */
int scope_open(Scope *s);

/* A process was started, and perhaps is the first: systemd is told.  0: none was. */
void scope_tell(Scope *s, pid_t pid);
