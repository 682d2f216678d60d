#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "load-report.h"

static const char *const outcome_names[OUTCOME_MAX] = {
        [OUTCOME_ANSWERED] = "answered",         [OUTCOME_BAD_ANSWER] = "bad_answer",
        [OUTCOME_REFUSED] = "refused",           [OUTCOME_RESET] = "reset",
        [OUTCOME_CLOSED_EARLY] = "closed_early", [OUTCOME_TIMED_OUT] = "timed_out",
};

/* Exact up to 64 µs, then 32 steps for each doubling: at most 3 % off. */
static unsigned histogram_index(uint64_t usec) {
        unsigned exponent, i;

        if (usec < 64)
                return (unsigned) usec;
        exponent = 63 - (unsigned) __builtin_clzll(usec);
        i = 64 + (exponent - 6) * 32 + (unsigned) ((usec >> (exponent - 5)) & 31);
        return i < HISTOGRAM_LENGTH ? i : HISTOGRAM_LENGTH - 1;
}

/* The largest time that is counted there. */
static uint64_t histogram_usec(unsigned i) {
        unsigned exponent;

        if (i < 64)
                return i;
        exponent = (i - 64) / 32 + 6;
        return (UINT64_C(1) << exponent) + ((uint64_t) ((i - 64) % 32 + 1) << (exponent - 5)) - 1;
}

static uint64_t percentile(const LoadReport *r, unsigned per_mille) {
        uint64_t n = r->n_outcomes[OUTCOME_ANSWERED], wanted = (n * per_mille + 999) / 1000;

        for (unsigned i = 0; i < HISTOGRAM_LENGTH && n > 0; i++) {
                if (r->histogram[i] >= wanted) {
                        uint64_t usec = histogram_usec(i);

                        return usec < r->max_usec ? usec : r->max_usec;
                }
                wanted -= r->histogram[i];
        }
        return 0;
}

void load_report_count(LoadReport *r, Outcome outcome, uint64_t latency_usec) {
        r->n_outcomes[outcome]++;
        if (outcome != OUTCOME_ANSWERED)
                return;
        r->histogram[histogram_index(latency_usec)]++;
        if (latency_usec > r->max_usec)
                r->max_usec = latency_usec;
}

void load_report_count_server(LoadReport *r, int pid, const char *version) {
        unsigned i = 0;

        while (i < r->n_pids && r->pids[i] != pid)
                i++;
        if (pid > 0 && i == r->n_pids && i < PIDS_MAX)
                r->pids[r->n_pids++] = pid;
        if (pid > 0 && i < PIDS_MAX)
                r->n_by_pid[i]++;

        i = 0;
        while (i < r->n_versions && strcmp(r->versions[i].name, version) != 0)
                i++;
        if (!*version || i == VERSIONS_MAX)
                return;
        if (i == r->n_versions) {
                (void) snprintf(r->versions[i].name, VERSION_SIZE, "%s", version);
                r->n_versions++;
        }
        r->versions[i].n++;
}

void load_report_print(const LoadReport *r, uint64_t duration_usec, FILE *to) {
        uint64_t n = 0;

        for (Outcome o = 0; o < OUTCOME_MAX; o++)
                n += r->n_outcomes[o];
        fprintf(to, "{\"requests\": %" PRIu64 ", \"lost\": %" PRIu64, n,
                n - r->n_outcomes[OUTCOME_ANSWERED]);
        for (Outcome o = 0; o < OUTCOME_MAX; o++)
                fprintf(to, ", \"%s\": %" PRIu64, outcome_names[o], r->n_outcomes[o]);
        fprintf(to, ", \"connections\": %" PRIu64 ", \"retried\": %" PRIu64, r->n_connections,
                r->n_retried);
        fprintf(to, ", \"closed_idle\": %" PRIu64 ", \"duration_usec\": %" PRIu64, r->n_closed_idle,
                duration_usec);
        fprintf(to,
                ", \"p50_usec\": %" PRIu64 ", \"p99_usec\": %" PRIu64 ", \"p999_usec\": %" PRIu64
                ", \"max_usec\": %" PRIu64,
                percentile(r, 500), percentile(r, 990), percentile(r, 999), r->max_usec);

        fprintf(to, ", \"pids\": [");
        for (unsigned i = 0; i < r->n_pids; i++)
                fprintf(to, "%s%d", i > 0 ? ", " : "", r->pids[i]);
        fprintf(to, "], \"n_by_pid\": [");
        for (unsigned i = 0; i < r->n_pids; i++)
                fprintf(to, "%s%" PRIu64, i > 0 ? ", " : "", r->n_by_pid[i]);
        fprintf(to, "], \"versions\": {");
        for (unsigned i = 0; i < r->n_versions; i++)
                fprintf(to, "%s\"%s\": %" PRIu64, i > 0 ? ", " : "", r->versions[i].name,
                        r->versions[i].n);
        fprintf(to, "}}\n");
}
