#pragma once

/* One process that we start, holding exactly one descriptor for each address of its service.
 *
 *      spawned ──► starting ──► ready ──► stopping ──► reaped, freed
 *                      │                     ▲
 *                      └─────────────────────┘  asked to stop, or timeout_start is over
 *
 * Its death is seen from every state by its pidfd.  What follows from readiness and death is decided
 * by the generation; a worker only looks after its own process, its notify socket and its deadline.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/build.h"
#include "daemon/notify.h"
#include "daemon/readiness.h"

typedef struct Generation Generation;

typedef enum WorkerState {
        WORKER_STARTING,
        WORKER_READY,
        WORKER_STOPPING,
        WORKER_STATE_MAX,
        WORKER_STATE_INVALID = -EINVAL,
} WorkerState;

struct Worker {
        Generation *generation; /* borrowed */
        Build *build;           /* a reference; a rescuer's is not its generation's */
        unsigned slot;
        WorkerState state; /* written by worker_set_state() alone */
        uint64_t since_usec;
        uint64_t stop_timeout_usec;
        pid_t pid;
        sd_event_source *child; /* owns the pidfd */
        sd_event_source *timer; /* of the state */
        Notify *notify;
        Readiness *readiness; /* of type "exec", while starting */
        char *status_text;
        bool has_been_ready;
        bool was_cut;  /* the final signal was needed */
        siginfo_t end; /* how it ended; si_pid 0 before */
};

/* Starts a process for that slot.
 *
 * What fails is logged.  Returns 0 or a negative errno, and then there is no process. */
int worker_start(Generation *g, unsigned slot, Build *build, Worker **ret);

/* Asks it to stop; after @timeout_usec the final signal follows. */
void worker_stop(Worker *w, uint64_t timeout_usec);

/* Any signal, for the process that was started.  Returns 0 or a negative errno. */
int worker_signal(const Worker *w, int signal_number);

/* The final signal, now, for its whole process group. */
void worker_kill(Worker *w);

/* Frees it; a process that still runs is killed. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker, worker_free)

const char *worker_state_to_string(WorkerState state);

/* Whether it ended as it should: exit status 0, or the signal that we sent. */
bool worker_ended_well(const Worker *w);

/* "worker 2 (pid 4711) exited with status 1 before it was ready" */
void worker_describe_end(const Worker *w, char *buffer, size_t size_bytes);

/* From Readiness: it has accepted on every address. */
void worker_on_accepted(Worker *w);

/* From Notify.  Does not free the worker. */
void worker_on_message(Worker *w, const NotifyMessage *m);
