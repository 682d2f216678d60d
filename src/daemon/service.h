#pragma once

/* A program, its endpoints, its policy.
 *
 * A service has one generation that its visitors go to, *current*; while a deploy lasts there is a
 * second one, and others may still drain in further banks.  A bank holds at most one generation until
 * its last worker is gone.  The service alone makes the rule, from what its generations say is live.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/endpoint.h"
#include "daemon/generation.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

typedef enum ServiceState {
        SERVICE_STOPPED,
        SERVICE_STARTING, /* until every worker has been ready once */
        SERVICE_RUNNING,
        SERVICE_STOPPING,
        SERVICE_FAILED, /* nobody is left, and the settings say that nobody comes */
        SERVICE_STATE_MAX,
        SERVICE_STATE_INVALID = -EINVAL,
} ServiceState;

struct Service {
        Manager *manager;                /* borrowed */
        const ServiceSettings *settings; /* borrowed from the manager's Settings */
        Endpoint **endpoints; /* in the order of the settings; borrowed from the manager */
        size_t n_endpoints;
        Generation *banks[REUSE_BANKS_MAX]; /* owned */
        Generation *current;                /* one of them, or NULL */
        unsigned last_number;
        uint64_t n_reset; /* visitors who came where nobody would have served them */
        bool is_listening;
        bool has_failed;
};

/* Takes the endpoints that it names from @manager.  Returns 0 or a negative errno. */
int service_new(Manager *manager, const ServiceSettings *settings, Service **ret);
Service *service_free(Service *s);
DEFINE_CLEANUP(Service, service_free)

/* Lets visitors in and starts a generation for them; nothing if one is there.
 *
 * Returns 0 or a negative errno; what failed is logged. */
int service_start(Service *s);

/* Asks every generation to stop.  What of the sockets is left open or closed is the caller's affair. */
void service_stop(Service *s);

/* The final signal for all that are left. */
void service_kill(Service *s);

ServiceState service_state(const Service *s);
const char *service_state_to_string(ServiceState state);

unsigned service_n_workers(const Service *s);

/* From Endpoint: somebody came to a service that sleeps. */
void service_on_visitor(Service *s);

/* From Endpoint: @n visitors came to a bank where nobody will ever serve them, and were reset. */
void service_on_visitors_reset(Service *s, unsigned bank, unsigned n);

/* From Generation: a slot became live or dead. */
void service_on_generation_changed(Service *s, Generation *g);

/* From Generation: its last worker is gone and none comes; frees it. */
void service_on_generation_gone(Service *s, Generation *g);
