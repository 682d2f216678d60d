#pragma once

/* Units of systemd: started, stopped, signalled and watched over D-Bus (org.freedesktop.systemd1).
 *
 * What is known of a unit is what systemd said last; after each change, and whenever a job of ours has
 * ended, everything is asked for anew, so that nobody decides by halves.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct Manager Manager;
typedef struct Systemd1 Systemd1;
typedef struct Systemd1Unit Systemd1Unit;

typedef enum UnitActivity {
        UNIT_UNKNOWN, /* systemd has not answered yet, or there is no bus any more */
        UNIT_INACTIVE,
        UNIT_ACTIVATING,
        UNIT_ACTIVE, /* reloading, too */
        UNIT_DEACTIVATING,
        UNIT_FAILED,
        UNIT_ACTIVITY_MAX,
        UNIT_ACTIVITY_INVALID = -EINVAL,
} UnitActivity;

#define UNIT_TEXT_SIZE 64

typedef struct UnitState {
        UnitActivity activity;
        char sub_state[UNIT_TEXT_SIZE];
        char load_state[UNIT_TEXT_SIZE];
        char result[UNIT_TEXT_SIZE];     /* "success", "exit-code", …: systemd.exec(5) */
        char job_result[UNIT_TEXT_SIZE]; /* of the last job of ours: "done", "failed", …; "" */
        pid_t main_pid;                  /* 0: none */
        int main_code, main_status;      /* CLD_… and what belongs to it; 0: it never ran */
        uint64_t timeout_stop_usec;
        bool has_job; /* of ours, not over yet */
} UnitState;

/* Something is other than before.  May free the unit. */
typedef void (*Systemd1UnitHandler)(void *userdata);

int systemd1_new(Manager *m, Systemd1 **ret);
Systemd1 *systemd1_free(Systemd1 *s);
DEFINE_CLEANUP(Systemd1, systemd1_free)

/* Whether there is anybody to ask; else @ret_why is half a sentence. */
bool systemd1_is_there(const Systemd1 *s, const char **ret_why);

/* Watches a unit: @handler is called from the loop when its state is known, and at each change.  Returns 0
 * or a negative errno. */
int systemd1_unit_new(Systemd1 *s, const char *name, Systemd1UnitHandler handler, void *userdata,
                      Systemd1Unit **ret);
Systemd1Unit *systemd1_unit_free(Systemd1Unit *u);
DEFINE_CLEANUP(Systemd1Unit, systemd1_unit_free)

const char *systemd1_unit_name(const Systemd1Unit *u);
const UnitState *systemd1_unit_state(const Systemd1Unit *u);

/* Why the last request failed, as systemd said it; NULL: it did not. */
const char *systemd1_unit_error(const Systemd1Unit *u);

/* Each asks for a job and returns; has_job is set until it is over.  A unit that runs is started anew, and
 * what systemd counts against its start limit is forgotten: the limit is ours.  Return 0 or a negative
 * errno. */
int systemd1_unit_start(Systemd1Unit *u);
int systemd1_unit_stop(Systemd1Unit *u);

/* Sends a signal to its main process, or to @all of its processes.  Returns 0 or a negative errno; -ESRCH:
 * there is none. */
int systemd1_unit_kill(Systemd1Unit *u, int signal_number, bool all);
