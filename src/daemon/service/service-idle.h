#pragma once

/* Sending an on-demand service back to sleep when nobody has been connected for idle_timeout.
 *
 * Nobody is lost by it: visitors are first led to another bank, whose sockets wake the service; then what was
 * on its way to the old bank is waited for, as after a deploy; then the old generation is asked to stop, and
 * finishes the connections that it got meanwhile.  Who comes in between wakes a generation of his own.
 *
 * Connections are looked at again and again, since the kernel does not tell when the last one ends: one that
 * begins and ends between two looks counts for nothing.
 */

#include "base/cleanup.h"

typedef struct Service Service;
typedef struct ServiceIdle ServiceIdle;

/* Something of the service has changed: looks begin, go on or end.  Cheap. */
void service_idle_update(Service *s);

/* Of one that comes back from before: a generation that visitors were being led away from is left. */
void service_idle_resume(Service *s);

ServiceIdle *service_idle_free(ServiceIdle *i);
