#pragma once

/* What a successor needs in order to go on where we stopped: the meaning of every descriptor, and how far
 * everything is.  A log in a memfd has it, a record for the daemon, for each Settings that somebody still
 * stands on, for each endpoint and each service.
 *
 *      daemon       counters, the seed of the hashes, which Settings count
 *      config/ID    the texts that a Settings was made of
 *      endpoint/ID  its sockets, in the order of their indices
 *      service/ID   its builds, generations, workers, deploy, results
 *      stored/ID    with a store above us: a descriptor that workers of a service have stored
 *      fds          for a re-exec only: numbers of the descriptors
 *      dropped      likewise: names that were about to be taken out of the store above us
 *
 * With a store above us the log and every descriptor are left there, and both are true at every step.  What
 * has changed is written before the turn of the loop ends, and before anything is done that it is about: a
 * descriptor is stored, then the record that gives it a meaning is written, then it is used.  The other way
 * round the record is written first, and then the descriptor is taken out of the store.
 *
 * Records speak of descriptors by names.  The successor is given both, by exec or by the store above us.
 * Times in it are points on CLOCK_MONOTONIC: what is left of a deadline needs no sum. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/state/state-log.h"
#include "settings/settings.h"

typedef struct Endpoint Endpoint;
typedef struct Legacy Legacy;
typedef struct Manager Manager;
typedef struct Service Service;

#define STATE_VERSION    1       /* of the meaning of the records */
#define STATE_STORE_NAME "state" /* of the log, in the store above us */
#define STATE_NAME_SIZE  9       /* of a descriptor, with the NUL: k30 */

#define STATE_STORED_KIND 'w' /* begins the name of what a worker has stored */

typedef struct State State;

typedef struct StateNames {
        uint64_t *items; /* packed */
        size_t n;
} StateNames;

struct State {
        Manager *manager; /* borrowed */
        StateLog *log;
        uint64_t n_names;   /* ever given to a descriptor */
        uint64_t n_configs; /* ever kept */
        uint64_t n_objects; /* services and endpoints, ever */
        uint64_t n_adopted; /* how often somebody has gone on where another stopped */
        uint64_t *names;    /* by descriptor; 0: it has none */
        uint64_t *stored; /* by descriptor: number of the record of what a worker has stored, or 0 */
        size_t n_fds;     /* of @names and of @stored */
        uint64_t *in_use; /* numbers of Settings, while everything is written */
        size_t n_in_use;
        size_t store_max;    /* of the store above us; 0: there is none */
        size_t n_stored;     /* in it */
        size_t n_foreign;    /* of those, what workers have stored */
        size_t n_shared;     /* descriptors that have the name of another one: the same open file */
        StateNames released; /* that are to be taken out of it */
        StateNames unstored; /* the same of what workers had stored, which takes its time */
        sd_event_source *retry; /* armed: something could not be written */
        bool is_late;           /* and that was said */
        sd_event_source *later; /* on: something is to be written in this turn of the loop */
        bool is_writing_all;    /* also for a successor by exec */
        bool is_all_dirty;
};

/* @log  taken always, to be gone on with; NULL: a new one
 *
 * Returns 0 or a negative errno. */
int state_new(Manager *manager, StateLog *log, State **ret);
State *state_free(State *st);
DEFINE_CLEANUP(State, state_free)

/* The name of a descriptor, given to it now if it has none.
 *
 * @kind  a letter that begins it: s listening socket, n notify socket, p pidfd, t pidfd of a taker; w is what
 *        a worker has stored, see state-stored.h
 *
 * Returns 0 or a negative errno. */
int state_name_fd(State *st, int fd, char kind, char ret[static STATE_NAME_SIZE]);

/* The same, and the store above us is not told. */
int state_give_name(State *st, int fd, char kind, char ret[static STATE_NAME_SIZE]);

/* The name that it has from before.  Returns 0 or -ENOMEM. */
int state_keep_name(State *st, int fd, const char *name);

/* It will be closed.  @st and @fd may be none. */
void state_release_fd(State *st, int fd);

/* The number by which a record names the Settings, whose own record is written if it is not yet.
 *
 * Returns 0 or a negative errno. */
int state_name_settings(State *st, Settings *s, uint64_t *ret);

/* An endpoint or a service is no more: @family is "endpoint" or "service".  @st may be NULL. */
void state_remove(State *st, const char *family, uint64_t id);

/* From now on everything is left in the store above us as well.  Returns 0 or a negative errno. */
int state_use_store(State *st, size_t store_max);
bool state_has_store(const State *st);

/* Something of it has changed, or will in this moment: it is written before the turn of the loop ends.  The
 * arguments may be NULL; without a store nothing happens. */
void state_touch_service(Service *s);
void state_touch_endpoint(Endpoint *e);
void state_touch_all(State *st);

/* Writes what has changed, now: before something is done that cannot be taken back.  Returns 0 or a
 * negative errno, and then what could not be written is tried again with the next, and twice a second. */
int state_flush(State *st);

/* A descriptor that came from before and has no meaning: taken out of the store, or will be. */
void state_drop_name(State *st, const char *name);

/* For state-stored.c: the descriptor gets the name of another one that is the same open file; a name goes on
 * a list; a name as it is written, and back: 0 is none of ours. */
int state_share_name(State *st, int fd, int other_fd);
int state_names_put(StateNames *names, uint64_t name);
uint64_t state_read_name(const char *name);
void state_unpack_name(uint64_t packed, char ret[static STATE_NAME_SIZE]);

/* Takes everything out of the store, and leaves nothing more there: nothing was started, or all has ended, so
 * there is nothing to go on from. */
void state_abandon(State *st);

/* Writes everything anew, and removes Settings that nobody stands on any more.  Returns 0 or a negative errno. */
int state_write_all(State *st);

/* Puts a record.  @object is taken always; NULL is -ENOMEM.  Returns 0 or a negative errno. */
int state_put(State *st, const char *key, json_t *object);
