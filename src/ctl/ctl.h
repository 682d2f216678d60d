#pragma once

/* What every verb is given: the options, and the way to the daemon. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

/* What a verb returns, and the program ends with. */
typedef enum CtlResult {
        CTL_OK = 0,
        CTL_FAILED = 1, /* or refused */
        CTL_USAGE = 2,
        CTL_NOT_ACTIVE = 3,
        CTL_NO_SUCH_NAME = 4,
        CTL_NOT_REACHABLE = 5,
        CTL_ACCESS_DENIED = 6,
        CTL_ROLLED_BACK = 7,
        CTL_TIMED_OUT = 8,
        CTL_BAD_CONFIG = 78,
} CtlResult;

typedef struct DeployOptions {
        const char *canary; /* as it was written */
        bool has_step;
        uint64_t step_usec;
        const char *canary_by;
        bool preview;
        char **environment; /* "K=V" */
        const char *id;
        const char *wait; /* "ready", "switched", "drained"; NULL: not said */
        bool no_wait;
} DeployOptions;

typedef struct Ctl {
        bool json;
        bool no_pager;
        bool no_legend;
        bool quiet;
        uint64_t timeout_usec; /* USEC_INFINITY: none was given */
        const char *control;   /* NULL: the usual place */

        /* Of some verbs. */
        int signal_number;
        bool old;
        bool follow;
        bool diff;
        bool mdoc;
        bool nonblock;
        int n_behind;           /* words behind "--"; -1: there was none */
        const char *completion; /* a shell's name; NULL: not asked for */
        const char *wait_for;

        DeployOptions deploy;

        bool has_colors;
        sd_bus *bus;
        const char *destination; /* of calls; NULL: the only one at the other end */
        const char *news_of;     /* the service whose changes count; NULL: every signal does */
        bool has_news;           /* a signal came since this was last cleared */
        bool may_come_back; /* a connection that is lost is tried again by the caller, and not told */
        bool is_lenient;    /* whether a daemon is there is only a question */
} Ctl;

/* A line on standard error, "reuseportctl: …"; --quiet does not silence it. */
void ctl_error(const char *format, ...) _printf_(1, 2);

/* What it said last, without the prefix; "". */
const char *ctl_last_error(void);

/* A line on standard output for people, which --quiet and --json silence. */
void ctl_say(const Ctl *c, const char *format, ...) _printf_(2, 3);
