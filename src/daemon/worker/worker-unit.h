#pragma once

/* A worker that is a unit of systemd: systemd starts and reaps it, and keeps its sandbox, its limits and its
 * output; we say when, and see what became of it.
 *
 *      asking ──► starting ──► running ──► ended
 *                    │            │
 *                    └────────────┴──► stopping ──► ended
 *
 * Running is an active unit.  One that runs already when it is to start is started anew: it has sockets of
 * somebody else's.  One that is no longer active is lost, whoever stopped it, and what is left of it when we
 * let go of it is stopped.
 */

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Worker Worker;
typedef struct WorkerUnit WorkerUnit;

/* Begins to start the unit that the settings of the worker's build name.  Of what follows the worker is told
 * by worker_on_unit_…().
 *
 * Returns 0 or a negative errno, with half a sentence in @reterr_why. */
int worker_unit_new(Worker *w, WorkerUnit **ret, char *reterr_why, size_t size_bytes);

/* The same with one that a worker that comes back from before has already.  Returns 0 or a negative errno. */
int worker_unit_adopt(Worker *w, WorkerUnit **ret);
WorkerUnit *worker_unit_free(WorkerUnit *u);
DEFINE_CLEANUP(WorkerUnit, worker_unit_free)

const char *worker_unit_name(const WorkerUnit *u);

/* 0: none now. */
pid_t worker_unit_pid(const WorkerUnit *u);

/* By systemd's own rules: ExecStop=, KillSignal=, TimeoutStopSec=.
 *
 * @timeout_usec  until the final signal, for a word of warning */
void worker_unit_stop(WorkerUnit *u, uint64_t timeout_usec);

/* For its main process, or with worker_unit_kill() for all of them, which ends it whatever it is doing. */
int worker_unit_signal(WorkerUnit *u, int signal_number);
void worker_unit_kill(WorkerUnit *u, int signal_number);

/* It was killed, and systemd says nothing. */
void worker_unit_give_up(WorkerUnit *u);

/* "unit web@green.service failed (exit-code: status 1)" */
void worker_unit_describe_end(const WorkerUnit *u, char *buffer, size_t size_bytes);
