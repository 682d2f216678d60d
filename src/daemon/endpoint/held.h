#pragma once

/* Who still holds sockets of a generation that is gone.
 *
 * A worker's child that left its session, or was given the socket by it, outlives all signals of ours, and
 * may take visitors that are the next generation's.  We can see it in /proc and say its pid and name.  The
 * walk costs a stat() for each descriptor of each process, so that it is made a process at a time, whenever
 * there is nothing else to do. */

#include "base/cleanup.h"

typedef struct Generation Generation;
typedef struct HeldLook HeldLook;
typedef struct Service Service;

/* Begins to look for holders of the sockets of @g, which is about to be freed; what is found is logged.  A look
 * that goes on already is given up. */
void held_look(Service *s, const Generation *g);

HeldLook *held_look_free(HeldLook *l);
