#pragma once

/* A service in one line, computed: what lists show, and what is told when it changes. */

#include <stdbool.h>

#include "daemon/service/service.h"

typedef struct ServiceSummary {
        ServiceState state;
        unsigned generation; /* 0: there is none */
        const char *color;   /* of that; "": there is none */
        unsigned n_ready;
        unsigned n_wanted;
        unsigned n_restarts;
        bool is_pending;          /* a reload brought what only new workers will have */
        const char *deploy_state; /* as people see it; NULL: no deploy goes on */
        unsigned share_percent;   /* to the new generation */
        unsigned step;            /* from 1; 0: none yet */
        bool is_decided;          /* how the deploy ends is known */
} ServiceSummary;

/* How many messages of the workers that are there were refused; how many handshakes and connections are
 * still waited for where nobody is led to any more. */
uint64_t service_n_notifications_refused(const Service *s);
unsigned service_n_draining(const Service *s);

ServiceSummary service_summarize(const Service *s);
bool service_summary_equal(const ServiceSummary *a, const ServiceSummary *b);
