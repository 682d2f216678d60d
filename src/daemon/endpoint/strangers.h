#pragma once

/* Sockets of others at our addresses.
 *
 * Who has the sockets' uid can join a group, and takes a share of its visitors or, when he leaves, moves
 * our sockets to other indices.  We cannot keep him out without a user of our own for the sockets; we can
 * see him, since his inode is not one of ours, and say so: when an address opens, when a rule changes, when
 * somebody looks, and every 10 s.
 *
 * The same look sees a datagram socket of ours that a worker has connect()ed.  The kernel takes it out of the
 * group and moves the last one into the hole, and no event tells.  Nor can it come back: it joins by bind() alone.
 */

#include <stdbool.h>

#include "base/cleanup.h"

typedef struct Manager Manager;
typedef struct Endpoint Endpoint;
typedef struct Strangers Strangers;

/* Begins to look.  Returns 0 or a negative errno. */
int strangers_new(Manager *m, Strangers **ret);
Strangers *strangers_free(Strangers *s);
DEFINE_CLEANUP(Strangers, strangers_free)

/* Looks in a moment, once however often it is called until then; @s may be NULL. */
void strangers_look_soon(Strangers *s);

/* Looks now and counts them in every Endpoint. */
void strangers_look(Strangers *s);

/* The same, unless that was a moment ago. */
void strangers_look_if_old(Strangers *s);
