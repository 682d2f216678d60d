#pragma once

/* One process that we start, holding exactly one descriptor for each address of its service.
 *
 *      starting ──► ready ──► stopping ──► reaped, freed
 *          │                     ▲
 *          └─────────────────────┘  asked to stop, or timeout_start is over
 *
 * Around it stand commands of the settings: while those before it run it is starting and has no process
 * yet, while those after it run it is stopping and has none any more.
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
#include "daemon/service/build.h"
#include "daemon/service/service-store.h"
#include "daemon/worker/main-process.h"
#include "daemon/worker/notify.h"
#include "daemon/worker/readiness.h"
#include "daemon/worker/worker-commands.h"
#include "daemon/worker/worker-unit.h"

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
        uint64_t start_timeout_usec; /* until ready, as the settings said last */
        uint64_t stop_timeout_usec;
        WorkerCommands *commands; /* that run before it or after it; NULL: none does now */
        pid_t pid;                /* 0: not started yet */
        Process *process;         /* that one; NULL: there is none */
        WorkerUnit *unit;         /* in place of a process of ours; NULL: there is none */
        Process *main;            /* another one than we started; NULL: the one that we started */
        bool has_left_main;       /* the one that we started is gone, and @main is still there */
        sd_event_source *timer;   /* of the state */
        uint64_t deadline_usec;   /* of the timer; USEC_INFINITY: none */
        sd_event_source *watchdog;
        uint64_t watchdog_usec; /* 0: none */
        Notify *notify;
        Readiness *readiness; /* of type "exec", while starting */
        char *status_text;
        bool is_spawning; /* it may run, though we have no pid yet */
        bool is_lost;     /* it has ended while there was no daemon, and nobody knows how */
        bool has_been_ready;
        bool was_asked; /* to stop */
        bool was_cut;   /* the final signal was needed */
        bool has_ended;
        const char *result; /* as systemd.exec(5) has it in SERVICE_RESULT, if not by its end alone */
        char *why_not_started; /* a command before it, or itself; NULL: it was */
        siginfo_t end;         /* how it ended */
};

/* Starts a process for that slot, or what goes before it.
 *
 * What fails is logged.  Returns 0 or a negative errno, and then there is no process. */
int worker_start(Generation *g, unsigned slot, Build *build, Worker **ret);

/* One that comes back from before, in three steps: without a process, which is given to it and watched, and
 * then it goes on.
 *
 * @pidfd  taken always */
int worker_new(Generation *g, unsigned slot, Build *build, Worker **ret);
int worker_take_process(Worker *w, pid_t pid, int pidfd);
int worker_take_main(Worker *w, pid_t pid, int pidfd);
void worker_resume(Worker *w);

/* Its service has other settings; those that apply now do. */
void worker_reload(Worker *w);

/* Asks it to stop; after @timeout_usec the final signal follows. */
void worker_stop(Worker *w, uint64_t timeout_usec);

/* Any signal, for the process that was started.  Returns 0 or a negative errno; -ESRCH: there is none. */
int worker_signal(const Worker *w, int signal_number);

/* The final signal, now, for its whole process group. */
void worker_kill(Worker *w);

/* Frees it; a process that still runs is killed. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker, worker_free)

const char *worker_state_to_string(WorkerState state);

/* Of the process that was started, or of a unit's; 0: there is none. */
pid_t worker_pid(const Worker *w);

/* Of its main process. */
pid_t worker_main_pid(const Worker *w);

/* From Readiness: it has accepted on every address. */
void worker_on_accepted(Worker *w);

/* From WorkerUnit: it is active; it is on its way to its end, unasked; nothing of it runs any more. */
void worker_on_unit_active(Worker *w);
void worker_on_unit_leaving(Worker *w);
void worker_end_soon(Worker *w); /* in the next turn, whatever becomes of the unit */
void worker_on_unit_ended(Worker *w, const siginfo_t *end);

/* From Notify.  Does not free the worker. */
void worker_on_message(Worker *w, NotifyMessage *m);

/* From Notify: whether the message speaks to the store; and what it says is done, before worker_on_message().
 * Descriptors that are kept are taken out of the message. */
bool worker_is_about_store(const Worker *w, const NotifyMessage *m);
StoreProgress worker_on_store(Worker *w, NotifyMessage *m);

/* From Generation: what it waited for is stored. */
void worker_on_stored(Worker *w);
