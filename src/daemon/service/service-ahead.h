#pragma once

/* What a service that sleeps has ready, so that its first visitor does not wait until it is made: the build,
 * if it still is what would be made now, and the notify socket of the worker that serves him. */

#include <sys/types.h>

typedef struct Build Build;
typedef struct Notify Notify;
typedef struct Service Service;

/* Embedded in the service; NULL: not there. */
typedef struct ServiceAhead {
        Build *build;
        Notify *notify;
        uid_t notify_uid;
} ServiceAhead;

/* Makes what is missing, if it sleeps.  What cannot be made now is made, or told, when somebody comes. */
void service_ahead_prepare(Service *s);
void service_ahead_drop(Service *s);

/* The caller's; NULL: there is none, or it is out of date. */
Build *service_ahead_take_build(Service *s);
Notify *service_ahead_take_notify(Service *s, uid_t uid);
