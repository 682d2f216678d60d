#pragma once

/* What other settings make of a daemon that runs, on the side: nothing is changed, and what is new is open.
 *
 * Endpoints stay where their sockets can: by their name, else by what they are.  Services stay by their name; one
 * that goes and whose endpoint another takes is the same by another name.
 */

#include <stdbool.h>

#include "base/cleanup.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/manager.h"

typedef struct ReloadPlan {
        Settings *settings;   /* borrowed */
        Endpoint **endpoints; /* one for each of the settings: new, or one that stays */
        bool *are_new;
        EndpointChange **changes; /* of those that stay and get other sockets; else NULL */
        Service **services;       /* one for each of the settings: one that stays, or NULL */
} ReloadPlan;

/* Plans, and opens what is new.
 *
 * @settings  borrowed, until the plan is done
 *
 * Returns 0; else a negative errno, nothing has changed, and *reterr_why says why. */
int reload_plan_new(Manager *m, Settings *settings, ReloadPlan *ret, char **reterr_why);

/* Closes what is new and was not taken out of it. */
void reload_plan_done(ReloadPlan *p);

/* Whether an endpoint that is there has a place in it. */
bool reload_plan_keeps(const ReloadPlan *p, const Endpoint *e);

/* What a service that is there is called from now on; NULL: it goes. */
const ServiceSettings *reload_plan_service(const ReloadPlan *p, const Service *s);

/* One endpoint of several that moves to another service does so when the workers of the old one are gone: who
 * has to be stopped for that; NULL: nobody. */
Service *reload_plan_giver(const ReloadPlan *p);
