#pragma once

/* Who still holds sockets of a generation that is gone.
 *
 * A worker's child that left its session, or was given the socket by it, outlives all signals of ours, and
 * may take visitors that are the next generation's.  We can see it in /proc and say its pid and name.  The
 * walk costs a stat() for each descriptor of each process, so that it begins a second later, when a deploy
 * that follows at once has made it needless, is made a process at a time, whenever there is nothing else to
 * do, and leaves out the workers that we have started: those are where they should be. */

#include "base/cleanup.h"

typedef struct Generation Generation;
typedef struct HeldLook HeldLook;
typedef struct Service Service;

/* Looks for holders of the sockets of @g, which is about to be freed, a little later; what is found is logged.  A
 * look that goes on already is given up. */
void held_look(Service *s, const Generation *g);

/* The bank has a generation again, whose processes may hold the same sockets: a look at it is given up. */
void held_forget(Service *s, unsigned bank);

HeldLook *held_look_free(HeldLook *l);
