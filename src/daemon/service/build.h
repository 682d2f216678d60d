#pragma once

/* What a generation is started from, frozen: settings, arguments, environment, and the very program file
 * that was there when it was made.  A link that moves afterwards moves nobody; a deploy looks again. */

#include <stdbool.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "settings/settings.h"

typedef struct Build {
        unsigned n_ref;
        Settings *settings; /* a reference, which keeps the next alive */
        const ServiceSettings *service;
        char **arguments;   /* those of the settings, or those given to this deploy; NULL: a unit */
        char **environment; /* of the settings, and those given to this deploy */
        char *program;      /* arguments[0] without links; NULL: it was not there */
        char *working_directory; /* likewise; NULL: none is set */
        struct stat program_stat;
} Build;

/* @arguments    NULL: those of @service
 * @environment  "K=V" that count before those of @service; may be NULL
 *
 * Returns 0 or -ENOMEM. */
int build_new(Settings *settings, const ServiceSettings *service, char *const *arguments,
              char *const *environment, Build **ret);

/* One that comes back from before: what it is, its maker says.  Returns 0 or -ENOMEM. */
int build_new_empty(Settings *settings, const ServiceSettings *service, Build **ret);
Build *build_ref(Build *b);
Build *build_unref(Build *b);
DEFINE_CLEANUP(Build, build_unref)

/* Whether build_new() without arguments and environment would make the same again. */
bool build_is_current(const Build *b, const Settings *settings, const ServiceSettings *service);

/* Whether the program file is still the one that it was.
 *
 * @reterr_why  a sentence with both dates, the caller's
 *
 * Returns 0; -ESTALE: it is another; -ENOMEM. */
int build_check_program(const Build *b, char **reterr_why);
