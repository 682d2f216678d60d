#pragma once

/* Going on where another daemon stopped: what its state is read with.
 *
 * First all objects are made, of which none does anything yet; then the sockets come back, with the rule
 * that the services want; then everything wakes up.  What is missing costs what it belongs to and is
 * logged; only a state that cannot be understood at all is refused. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/state/state-log.h"
#include "daemon/state/state.h"
#include "settings/settings.h"

/* A descriptor that came, and under which name. */
typedef struct AdoptedFd {
        char name[STATE_NAME_SIZE];
        int fd; /* -EBADF: somebody has taken it */
} AdoptedFd;

/* Whether it is the pidfd of a worker: see state_name_fd() for the letters. */
static inline bool adopted_fd_is_worker(const AdoptedFd *f) {
        return f->fd >= 0 && f->name[0] == 'p';
}

/* What came: the log and descriptors by name. */
struct Legacy {
        StateLog *log;
        AdoptedFd *fds;
        size_t n_fds;
        bool is_from_exec; /* else from the store above us */
        bool has_failed; /* nothing came but word that the start before this one failed: see again.h */
};

typedef struct Adoption {
        Manager *manager; /* borrowed, as all that follows */
        State *state;
        Legacy *legacy;
        Settings **settings; /* by number; references */
        size_t n_settings;
        Endpoint **endpoints; /* all that there are, owned until somebody takes them */
        size_t n_endpoints;
        const char *record; /* the key of what is being read; NULL: none is */
        bool is_rehearsal;  /* no descriptors came, and none are missed */
} Adoption;

/* Takes what a re-exec has left for us; see reexec.h.  Returns 1; 0: nothing was; or a negative errno. */
int legacy_from_exec(Legacy *ret);

/* Takes what the store above us gives back, by LISTEN_FDS; what is no daemon's state is closed.  The same; when
 * it is a daemon's and cannot be read the descriptors are in @ret all the same. */
int legacy_from_above(Legacy *ret);

/* Closes what nobody has taken. */
void legacy_done(Legacy *l);

/* A descriptor that is no object's; -ENOENT. */
int legacy_take_fd(Legacy *l, const char *name);

/* The descriptor of that name, which the caller owns from now on and which keeps the name; -ENOENT. */
int adoption_take_fd(Adoption *a, const char *name);

/* Borrowed; NULL: there is none of that number. */
Settings *adoption_settings(const Adoption *a, uint64_t number);
Endpoint *adoption_endpoint(const Adoption *a, uint64_t id);

/* A record as JSON, the caller's.  Returns 0; -EBADMSG; -ENOENT; another negative errno. */
int legacy_get(const Legacy *l, const char *key, json_t **ret);

/* Whether we would understand it: makes everything of it that can be made without the descriptors, and throws
 * it away.
 *
 * @reterr_why  what is wrong with it, and where: "it …", the caller's; NULL: no memory
 *
 * Returns 0 or a negative errno. */
int legacy_check(const Legacy *l, char **reterr_why);

/* Says, once, that a state cannot be gone on from, and what can be done about it.  Returns @error.
 *
 * @why  "it …"; NULL: not known */
int legacy_give_up(int error, const char *why);

/* Makes of @m, which is new but has the log, what the other one was.  Until manager_resume() it is
 * adopting: it can be freed, and then workers, paths and sockets stay as they were.
 *
 * @legacy  the rest; what nobody takes stays there
 *
 * Returns 0, and it is adopting until manager_resume(); or a negative errno, which is logged, and then the
 * manager can only be freed. */
int adopt(Manager *m, Legacy *legacy);
