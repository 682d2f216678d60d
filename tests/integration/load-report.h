#pragma once

/* What a load generator counts, and how it tells it. */

#include <stdint.h>
#include <stdio.h>

/* How a request can end. */
typedef enum Outcome {
        OUTCOME_ANSWERED,     /* whole, with 2xx or 3xx */
        OUTCOME_BAD_ANSWER,   /* whole, with another status, or not HTTP */
        OUTCOME_REFUSED,      /* no connection */
        OUTCOME_RESET,        /* by an RST */
        OUTCOME_CLOSED_EARLY, /* an end before the end of the answer */
        OUTCOME_TIMED_OUT,    /* no whole answer in time */
        OUTCOME_MAX,
} Outcome;

#define PIDS_MAX         16384U
#define VERSIONS_MAX     64U
#define VERSION_SIZE     32
#define HISTOGRAM_LENGTH 1024U

typedef struct LoadReport {
        uint64_t n_outcomes[OUTCOME_MAX];
        uint64_t n_connections;
        uint64_t n_retried;     /* kept-alive connections that closed before a byte of the answer */
        uint64_t n_closed_idle; /* kept-alive connections that closed while nothing was asked */
        uint64_t max_usec;
        uint64_t histogram[HISTOGRAM_LENGTH];
        int pids[PIDS_MAX];
        uint64_t n_by_pid[PIDS_MAX];
        unsigned n_pids;
        struct {
                char name[VERSION_SIZE];
                uint64_t n;
        } versions[VERSIONS_MAX];
        unsigned n_versions;
} LoadReport;

/* @latency_usec  from asking to the last byte; of answers only, ignored otherwise */
void load_report_count(LoadReport *r, Outcome outcome, uint64_t latency_usec);

/* Who answered; @pid 0 and @version "" mean: it did not say. */
void load_report_count_server(LoadReport *r, int pid, const char *version);

/* One JSON object, on one line. */
void load_report_print(const LoadReport *r, uint64_t duration_usec, FILE *to);
