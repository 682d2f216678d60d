#pragma once

/* Speaking to the daemon.  Every error is told here; what is returned is what the program ends with. */

#include <jansson.h>

#include "ctl/ctl.h"

#define CLIENT_MANAGER  "org.reuseportd.Manager"
#define CLIENT_SERVICE  "org.reuseportd.Service"
#define CLIENT_ENDPOINT "org.reuseportd.Endpoint"
#define CLIENT_PATH     "/org/reuseportd"

static inline void json_freep(json_t **j) {
        json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_freep)

/* Connects, if that is not done already. */
CtlResult client_connect(Ctl *c);

/* Connects and subscribes anew, when the connection was lost: c->may_come_back makes that no error.
 *
 * @deadline_usec  CLOCK_MONOTONIC; it takes 10 s at most */
CtlResult client_come_back(Ctl *c, uint64_t deadline_usec);

/* Calls a method of the manager.
 *
 * @ret    an array of what it returned, the caller's; may be NULL
 * @types  of the arguments that follow, as sd_bus_message_append(3) takes them; may be NULL */
CtlResult client_call_manager(Ctl *c, const char *member, json_t **ret, const char *types, ...);

/* Calls a method of a service; that it does not exist is told with the nearest name. */
CtlResult client_call_service(Ctl *c, const char *name, const char *member, json_t **ret,
                              const char *types, ...);

/* The same in two steps, for arguments that no list of types can say.  *ret is the caller's. */
CtlResult client_new_call(Ctl *c, const char *name, const char *member, sd_bus_message **ret);
CtlResult client_send(Ctl *c, sd_bus_message *m, json_t **ret);

/* Asks for the sockets of endpoints; where the control socket is not ours to speak to, at the one beside it.
 *
 * @ret  the answer, the caller's: a(sh)as, see daemon/bus/bus-take.h */
CtlResult client_take(Ctl *c, char *const *endpoints, bool for_store, sd_bus_message **ret);

/* All properties: of the manager, a service, an endpoint.  *ret is an object, the caller's.
 *
 * @interface  one of the above */
CtlResult client_get(Ctl *c, const char *interface, const char *name, json_t **ret);

/* One of a service; some cost more than others.  *ret is its value, the caller's. */
CtlResult client_get_property(Ctl *c, const char *service, const char *property, json_t **ret);

/* A property of an object from client_get(); "" and 0 if it is not there. */
const char *client_text(const json_t *properties, const char *name);
json_int_t client_number(const json_t *properties, const char *name);

/* From now on the daemon tells us of all changes. */
CtlResult client_subscribe(Ctl *c);

/* Handles what has come, and waits for a signal if none has; c->has_news is set if one came.  Comes back
 * early, without news, when a Unix signal was handled.
 *
 * @deadline_usec  CLOCK_MONOTONIC; USEC_INFINITY: none */
CtlResult client_wait_news(Ctl *c, uint64_t deadline_usec);

/* When --timeout is over, on CLOCK_MONOTONIC; USEC_INFINITY: never. */
uint64_t client_deadline(const Ctl *c);
