#pragma once

/* A program, its endpoints, its policy.
 *
 * Visitors go to one bank, the *front*.  The generation that lives there serves them; while there is none
 * the service sleeps, and the first visitor wakes it.  While a deploy lasts there is a second generation,
 * and others may still drain in further banks.  A bank holds at most one generation until its last worker
 * is gone.  The service alone makes the rule, from what its generations, its deploy and its door say.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/cleanup.h"
#include "daemon/deploy/deploy-hook.h"
#include "daemon/deploy/deploy.h"
#include "daemon/deploy/door.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/service/build.h"
#include "daemon/service/generation.h"
#include "daemon/service/service-ahead.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

typedef enum ServiceState {
        SERVICE_STOPPED,
        SERVICE_LISTENING, /* asleep: the first visitor wakes it */
        SERVICE_STARTING,  /* until every worker has been ready once */
        SERVICE_RUNNING,
        SERVICE_DEPLOYING,
        SERVICE_STOPPING,
        SERVICE_FAILED, /* nobody is left, and the settings say that nobody comes */
        SERVICE_STATE_MAX,
        SERVICE_STATE_INVALID = -EINVAL,
} ServiceState;

/* Deploys that are remembered by their id, so that the same one asked for twice happens once. */
#define SERVICE_RESULTS_MAX 64U

struct Service {
        uint64_t id;                     /* of its record; 0: it has none yet */
        bool is_dirty;                   /* its record is to be written */
        Manager *manager;                /* borrowed */
        const ServiceSettings *settings; /* borrowed from the manager's Settings */
        Endpoint **endpoints; /* in the order of the settings; borrowed from the manager */
        size_t n_endpoints;
        size_t n_held; /* those, and behind them, our own, such as only older generations hold */
        Settings *settings_held; /* a reference, while the settings do not name us any more */
        Generation *banks[REUSE_BANKS_MAX]; /* owned */
        unsigned front;                     /* the bank that visitors go to */
        unsigned last_number;
        Deploy *deploy;        /* owned; NULL: none goes on */
        Build *previous_build; /* a reference; what rollback starts when the old generation is gone */
        DeployResult *results; /* the last SERVICE_RESULTS_MAX, around again; NULL: never deployed */
        size_t n_results;      /* ever */
        DetachedHooks hooks;
        struct HeldLook *held;      /* owned; NULL: nobody looks */
        struct ServiceStore *store; /* owned; NULL: its workers have stored nothing */
        struct ServiceIdle *idle;   /* owned; NULL: nothing of idle_timeout has begun */
        DoorLine door_line;         /* who waits for the door, the first has it */
        uint64_t n_reset;           /* visitors who came where nobody would have served them */
        uint64_t n_cut_connections; /* that were there when their worker got the final signal */
        bool is_listening;
        bool has_failed;
        unsigned n_scaled; /* workers that somebody asked for; 0: as the settings say */
        bool is_scale_due; /* and that is still to be done */
        sd_event_source *scale_later;
        struct Drain *leaving;   /* of the slots that are given up; NULL: none is drained */
        unsigned leaving_number; /* of their generation */
        ServiceAhead ahead;
        struct ServiceSummary *told; /* what the bus has told last; NULL: nothing yet */
        bool is_untold;
        bool has_to_give; /* it is stopped for a moment: an endpoint of it moves to another service */
        bool is_leaving; /* the settings do not name it any more */
        LIST_ENTRY(Service) leaving_others;
};

/* Takes the endpoints that it names from @manager.  Returns 0 or a negative errno. */
int service_new(Manager *manager, const ServiceSettings *settings, Service **ret);

/* One that comes back from before, in two steps: empty; and, when all that it has is there, it goes on. */
int service_new_empty(Manager *manager, const ServiceSettings *settings, Service **ret);
void service_resume(Service *s);
Service *service_free(Service *s);
DEFINE_CLEANUP(Service, service_free)

/* Lets visitors in.  A service that is eager starts a generation for them, another one sleeps until the
 * first comes.  Nothing if it does already.
 *
 * Returns 0 or a negative errno; what failed is logged. */
int service_start(Service *s);

/* Starts a generation in the front bank if there is none, also if the service is not eager.
 *
 * @slot  where somebody waits */
int service_wake(Service *s, unsigned slot);

/* The same with a build of one's own, and whatever the activation. */
int service_wake_build(Service *s, Build *build, unsigned slot);
int service_start_build(Service *s, Build *build);

/* Moves the service to another generation; if nothing runs this is a start of it.
 *
 * @reterr_why  a sentence, the caller's
 *
 * Returns 1 if it has begun, 0 if a deploy of this id goes on or has ended.  -EBUSY: another one goes on,
 * or no bank is free; -EINVAL: the request makes no sense; another negative error. */
int service_deploy(Service *s, const DeployRequest *request, char **reterr_why);

/* A deploy of the present settings without steps; a sleeper stays asleep (0). */
int service_restart(Service *s, char **reterr_why);

/* Back: the deploy that goes on is given up, or the previous build is deployed.  -ENODATA: there is none;
 * -ESTALE: its program file has changed. */
int service_roll_back(Service *s, char **reterr_why);

/* -ESRCH: no deploy goes on; -EBUSY: not in its state, which @reterr_why names. */
int service_promote(Service *s, char **reterr_why);
int service_abort(Service *s, char **reterr_why);

/* How the deploy of that id stands or ended; NULL: not remembered.  @id NULL: the last. */
const DeployResult *service_find_result(const Service *s, const char *id);

/* From now on its ports refuse, and stay ours. */
void service_refuse(Service *s);

/* Delays between restarts begin anew. */
void service_forget_failures(Service *s);

/* Asks every generation to stop.  What of the sockets is left open or closed is the caller's affair. */
void service_stop(Service *s);

/* The final signal for all that are left. */
void service_kill(Service *s);

/* The generation that visitors go to; NULL: asleep or stopped. */
Generation *service_current(const Service *s);

/* Whether anybody of it is in any bank. */
bool service_has_generations(const Service *s);

/* The one that the door to the bank leads to, NULL: none is being checked. */
const Generation *service_checked_generation(const Service *s);

ServiceState service_state(const Service *s);
const char *service_state_to_string(ServiceState state);

unsigned service_n_workers(const Service *s);

/* From Endpoint: somebody came to a place whose worker sleeps. */
void service_on_visitor(Service *s, unsigned bank, unsigned slot);

/* From Endpoint: @n visitors came to a bank where nobody will ever serve them, and were reset. */
void service_on_visitors_reset(Service *s, unsigned bank, unsigned n);

/* From Generation: a slot became live or dead. */
void service_on_generation_changed(Service *s, Generation *g);

/* From Generation: its connections are about to be cut by the final signal. */
void service_on_generation_cut(Service *s, const Generation *g);

/* From Generation: a worker of one on trial is lost. */
void service_on_worker_lost(Service *s, Generation *g, const char *why);

/* From Manager: other settings count from now on, and its endpoints are others, or the same.
 *
 * @endpoints  n_endpoints of them in the order of @settings; those that are left out and that a
 *             generation holds become ours, the others are closed
 *
 * What needs another generation gets one.  Returns 0 or -ENOMEM, and then nothing has changed. */
int service_reload(Service *s, const ServiceSettings *settings, Endpoint *const *endpoints,
                   size_t n_endpoints);

/* From Manager: the settings do not name it any more.  Its ports refuse, its workers are asked to stop.
 *
 * @settings  that still describe it
 * @is_ours   for each of its endpoints: whether it goes with it, else the manager keeps it */
void service_leave(Service *s, Settings *settings, const bool *is_ours);

/* What of the settings only another generation will have, as check --diff names it: "services.a.workers".
 * Returns 0 or -ENOMEM. */
int service_list_pending(const Service *s, char ***ret);

/* Closes endpoints that no generation holds any more. */
void service_drop_endpoints(Service *s);

/* How many workers the next generation has, and this one but for scaling to come. */
unsigned service_n_wanted(const Service *s);

/* Does what a scale has asked for and a deploy had to come first. */
void service_scale_go_on(Service *s);

/* Of one that comes back from before: slots that are given up are drained. */
void service_scale_resume(Service *s);

/* Slots that are given up are no longer drained: the ports refuse. */
void service_scale_end(Service *s);

/* From Generation: one of its workers was started too often.  May free it. */
void service_on_generation_failed(Service *s, Generation *g);

/* For Deploy. */
int service_add_generation(Service *s, Build *build, unsigned bank, Generation **ret);
void service_set_previous_build(Service *s, Build *build);
void service_publish_result(Service *s, const DeployResult *result);

/* @n connections at @bank were ended by us: the deploy that left it has cut them, also if it is over. */
void service_count_cut(Service *s, unsigned bank, uint64_t n);
void service_on_deploy_changed(Service *s);

/* From Deploy: it is over; frees it. */
void service_on_deploy_over(Service *s);

/* From Generation: its last worker is gone and none comes; frees it. */
void service_on_generation_gone(Service *s, Generation *g);
