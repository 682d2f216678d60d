#pragma once

/* Every verb, once: running, help and the manual go by these rows. */

#include <stddef.h>

#include "ctl/ctl.h"

typedef struct Verb {
        const char *name;
        const char *arguments; /* as the help shows them; "" */
        unsigned n_min, n_max; /* of the arguments that are not options */
        const char *options;   /* letters of VerbOption that it takes */
        const char *help;      /* a sentence or two, of plain text */
        CtlResult (*run)(Ctl *c, char *const *arguments);
        bool takes_endpoint; /* NAME may be one's too */
} Verb;

typedef struct VerbOption {
        char letter; /* of the short form, if it is one */
        bool has_short;
        bool is_global;
        const char *name;
        const char *argument; /* NULL: takes none */
        const char *help;
} VerbOption;

extern const Verb verbs[];
extern const size_t n_verbs;
extern const VerbOption verb_options[];
extern const size_t n_verb_options;

const Verb *verb_find(const char *name);
const VerbOption *verb_option_find(char letter);

/* list.c */
CtlResult verb_list(Ctl *c, char *const *arguments);
CtlResult verb_list_endpoints(Ctl *c, char *const *arguments);

/* status.c */
CtlResult verb_status(Ctl *c, char *const *arguments);
CtlResult verb_show(Ctl *c, char *const *arguments);

/* act.c */
CtlResult verb_start(Ctl *c, char *const *arguments);
CtlResult verb_stop(Ctl *c, char *const *arguments);
CtlResult verb_scale(Ctl *c, char *const *arguments);
CtlResult verb_kill(Ctl *c, char *const *arguments);
CtlResult verb_reset_failed(Ctl *c, char *const *arguments);

/* deploy.c */
CtlResult verb_deploy(Ctl *c, char *const *arguments);
CtlResult verb_restart(Ctl *c, char *const *arguments);
CtlResult verb_promote(Ctl *c, char *const *arguments);
CtlResult verb_abort(Ctl *c, char *const *arguments);
CtlResult verb_rollback(Ctl *c, char *const *arguments);

/* wait.c */
CtlResult verb_wait(Ctl *c, char *const *arguments);
CtlResult verb_is_active(Ctl *c, char *const *arguments);
CtlResult verb_is_failed(Ctl *c, char *const *arguments);
CtlResult verb_events(Ctl *c, char *const *arguments);

/* config.c */
CtlResult verb_reexec(Ctl *c, char *const *arguments);
CtlResult verb_reload(Ctl *c, char *const *arguments);
CtlResult verb_check(Ctl *c, char *const *arguments);

/* exec.c */
CtlResult verb_exec(Ctl *c, char *const *arguments);

/* store.c */
CtlResult verb_store(Ctl *c, char *const *arguments);

/* logs.c */
CtlResult verb_logs(Ctl *c, char *const *arguments);

/* help.c */
CtlResult verb_help(Ctl *c, char *const *arguments);
