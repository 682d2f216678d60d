#pragma once

/* The workers started from one build, living in one bank; numbered from 1.
 *
 * A generation keeps its slots filled until it is asked to stop: a worker that ends is replaced as the
 * settings say.  It tells its service when a slot becomes live or dead, and when its last worker is
 * gone; which share of the visitors it gets is the service's business. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "daemon/service/build.h"
#include "daemon/worker/start-limit.h"
#include "daemon/worker/worker.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

typedef struct Endpoint Endpoint;
typedef struct Service Service;

/* A place in the bank and who is, or will be, there. */
typedef struct GenerationSlot {
        Generation *generation;
        unsigned number;
        Worker *worker;           /* NULL: none now */
        sd_event_source *restart; /* armed: one comes */
        bool is_due;              /* its first comes in one of the next turns of the loop */
        StartLimit starts;
        unsigned n_failures; /* in a row, before ready: for the back-off */
        bool has_been_ready;
        bool is_let_go; /* asked to stop, since fewer are wanted */
} GenerationSlot;

struct Generation {
        Service *service;                /* borrowed */
        Build *build;                    /* a reference */
        const ServiceSettings *settings; /* of the build */
        Endpoint **endpoints;            /* that its workers hold; owned by whom the service says */
        size_t n_endpoints;
        unsigned number;
        unsigned bank;
        GenerationSlot *slots; /* WORKERS_MAX */
        unsigned n_slots;      /* that are wanted */
        unsigned n_places;     /* those, and behind them such as are given up but not yet empty */
        sd_event_source *start_more; /* of those that are due */
        unsigned first_due;
        unsigned n_restarts;
        unsigned n_cut;      /* workers that needed the final signal */
        struct Scope *scope; /* of its processes; NULL: there is none */
        bool has_no_scope;   /* since there can be none here */
        bool is_stopping;
        bool is_cut;       /* the final signal was needed, and what it cut was counted */
        bool is_on_trial;  /* a lost worker is a verdict, not to be replaced */
        bool has_failed;   /* a worker ended badly and is not replaced */
        bool is_outdated;  /* a reload brought what only another generation will have */
        bool was_complete; /* every worker that was wanted has been ready once */
};

/* Makes one without workers.
 *
 * @build  a reference is taken
 *
 * Returns 0 or -ENOMEM. */
int generation_new(Service *s, Build *build, unsigned number, unsigned bank, Generation **ret);
Generation *generation_free(Generation *g);
DEFINE_CLEANUP(Generation, generation_free)

/* Starts a worker in every slot, first in that where somebody waits; of many the others follow in the next
 * turns of the loop, so that all else goes on meanwhile.  One that cannot be started is tried again like one that died.  May
 * free the generation if it is on trial and none could be started. */
void generation_start(Generation *g, unsigned first);

/* One that comes back from before is complete again: its workers go on, and who was about to be started or
 * asked to stop is. */
void generation_resume(Generation *g);

/* Replaces the worker of a slot at that time. */
int generation_restart_at(GenerationSlot *slot, uint64_t deadline_usec);

/* While it is on trial the loss of a worker is reported to service_on_worker_lost() instead of mended. */
void generation_begin_trial(Generation *g);

/* From now on its workers are replaced, those that are missing at once. */
void generation_end_trial(Generation *g);

/* Fills its empty slots with workers from another build: who waits there was led there by a version that
 * is gone, and must be served by one that works. */
void generation_rescue(Generation *g, Build *build);

/* Starts a worker in a slot that sleeps; with a shared socket, in every slot that does. */
void generation_wake(Generation *g, unsigned slot);

/* From now on so many are wanted.  Those that are missing start, unless they sleep until somebody comes;
 * those that are too many leave the rule and work on until generation_let_go(). */
void generation_set_n_slots(Generation *g, unsigned n_slots);

/* The service has other settings: what applies now to workers that are there is applied. */
void generation_reload(Generation *g);

/* Asks the workers that are too many to stop.
 *
 * @timeout_usec  until the final signal */
void generation_let_go(Generation *g, uint64_t timeout_usec);

/* Asks every worker to stop; none is replaced from now on.
 *
 * @timeout_usec  until the final signal
 *
 * service_on_generation_gone() follows, or has been called when this returns if there was none. */
void generation_stop(Generation *g, uint64_t timeout_usec);

/* The final signal for all that are left. */
void generation_kill(Generation *g);

/* Sends a signal to each worker; returns to how many. */
unsigned generation_signal(const Generation *g, int signal_number);

/* Delays between restarts begin anew, those that run now included. */
void generation_forget_failures(Generation *g);

/* Where its processes are to be, made now if need be; NULL: with us. */
struct Scope *generation_scope(Generation *g);

unsigned generation_n_workers(const Generation *g);
unsigned generation_n_ready(const Generation *g);
/* Whether nobody of it serves, and those that followed failed before they could. */
bool generation_is_failing(const Generation *g);
bool generation_has_all_been_ready(const Generation *g);

/* Writes which slots are live into @rule: those whose worker is ready; if there is none, all, so that
 * visitors wait for the first that will be. */
void generation_put_live(const Generation *g, ReuseRule *rule);

/* Whether its workers hold the sockets of @e. */
bool generation_holds(const Generation *g, const Endpoint *e);

/* From ServiceStore: what its workers have stored is where it should be. */
void generation_on_stored(const Generation *g);

/* Whether anybody is, or will be, in any of its slots. */
bool generation_has_future(const Generation *g);

/* Whether a worker is, or will be, in that slot. */
bool generation_has_reader(const Generation *g, unsigned slot);

/* "blue", "green", "amber", "violet". */
const char *generation_color(const Generation *g);
const char *bank_color(unsigned bank);

/* From Worker: it gets the final signal now. */
void generation_on_worker_cut(Generation *g);

/* From Worker. */
void generation_on_worker_ready(Generation *g, Worker *w);
/* Its process has ended; what goes after it still runs. */
void generation_on_worker_ended(Generation *g, Worker *w);
void generation_on_worker_gone(Generation *g, Worker *w);
