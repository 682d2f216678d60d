/* What the rule costs the kernel for each connection: connect() over loopback runs the whole handshake, SYN
 * and rule included, before it returns.  Two groups of the same size, one with our rule and one without any,
 * where the kernel's own hash chooses; a batch to each in turn, and the difference of their medians.
 *
 *      bench-rule ROUNDS
 *
 * Prints one JSON object a line. */

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "reuse/reuseport.h"

#define BATCH      400U
#define ROUNDS_MAX 2000U

typedef struct Target {
        ReuseGroup *group;
        unsigned n_slots;
        double costs[ROUNDS_MAX]; /* ns of a connect(), the median of each batch */
} Target;

static _Noreturn void give_up(const char *what, int error) {
        fprintf(stderr, "bench-rule: %s: %s\n", what, reuse_strerror(error));
        exit(EXIT_FAILURE);
}

static double now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static double quantile(double *values, unsigned n, unsigned percent) {
        qsort(values, n, sizeof(*values), compare);
        return values[(n - 1) * percent / 100];
}

static void target_open(Target *t, unsigned n_slots, unsigned n_dead, bool has_rule) {
        ReuseRule rule = reuse_rule_init(0, n_slots);
        const ReuseGroupOptions options = { .n_slots = n_slots, .rule = &rule };
        ReuseAddress address;
        int r;

        t->n_slots = n_slots;
        for (unsigned i = 0; i < n_dead; i++)
                reuse_rule_set_live(&rule, 0, i * (n_slots / n_dead), false);
        r = reuse_address_parse("tcp", "127.0.0.1:0", true, &address);
        if (r >= 0)
                r = reuse_group_open(&address, &options, &t->group, NULL);
        if (r < 0)
                give_up("open", r);
        if (!has_rule) {
                int unused = 0;

                if (setsockopt(reuse_group_fd(t->group, 0, 0), SOL_SOCKET, SO_DETACH_REUSEPORT_BPF,
                               &unused, sizeof(unused)) < 0)
                        give_up("detach", -errno);
        }
}

static void empty_queues(const Target *t) {
        for (unsigned bank = 0; bank < reuse_group_n_banks(t->group); bank++)
                for (unsigned slot = 0; slot < t->n_slots; slot++) {
                        int fd;

                        while ((fd = accept4(reuse_group_fd(t->group, bank, slot), NULL, NULL,
                                             SOCK_CLOEXEC)) >= 0)
                                (void) close(fd);
                }
}

static double connect_once(const Target *t) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
        const ReuseAddress *a = reuse_group_address(t->group);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        double begun, cost;

        if (fd < 0)
                give_up("socket", -errno);
        begun = now_nsec();
        if (connect(fd, &a->sa, a->length) < 0)
                give_up("connect", -errno);
        cost = now_nsec() - begun;
        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        (void) close(fd);
        return cost;
}

static double measure_batch(const Target *t) {
        static double costs[BATCH];

        for (unsigned i = 0; i < BATCH; i++)
                costs[i] = connect_once(t);
        empty_queues(t);
        return quantile(costs, BATCH, 50);
}

static void measure(unsigned n_slots, unsigned n_dead, unsigned n_rounds) {
        static Target with, without;
        static double differences[ROUNDS_MAX];
        double q1, q2, q3;

        target_open(&with, n_slots, n_dead, true);
        target_open(&without, n_slots, 0, false);
        for (unsigned i = 0; i < n_rounds; i++) {
                bool is_first = i % 2 == 0; /* who goes first changes */
                double a = measure_batch(is_first ? &with : &without);
                double b = measure_batch(is_first ? &without : &with);

                with.costs[i] = is_first ? a : b;
                without.costs[i] = is_first ? b : a;
                differences[i] = with.costs[i] - without.costs[i];
        }
        q1 = quantile(differences, n_rounds, 25);
        q2 = quantile(differences, n_rounds, 50);
        q3 = quantile(differences, n_rounds, 75);
        printf("{\"slots\": %u, \"dead\": %u, \"connections\": %u, \"with_ns\": %.0f, "
               "\"without_ns\": %.0f, \"difference_ns\": %.0f, \"quartiles_ns\": [%.0f, %.0f]}\n",
               n_slots, n_dead, 2 * n_rounds * BATCH, quantile(with.costs, n_rounds, 50),
               quantile(without.costs, n_rounds, 50), q2, q1, q3);
        (void) fflush(stdout);
        with.group = reuse_group_free(with.group);
        without.group = reuse_group_free(without.group);
}

int main(int argc, char *argv[]) {
        const struct rlimit limit = { .rlim_cur = 8192, .rlim_max = 8192 };
        unsigned n_rounds = argc == 2 ? (unsigned) atoi(argv[1]) : 0;

        if (n_rounds < 1 || n_rounds > ROUNDS_MAX) {
                fprintf(stderr, "usage: bench-rule ROUNDS (at most %u)\n", ROUNDS_MAX);
                return 2;
        }
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                give_up("setrlimit", -errno);

        measure(1, 0, n_rounds);
        measure(16, 0, n_rounds);
        measure(512, 0, n_rounds);
        measure(512, 128, n_rounds);
        return EXIT_SUCCESS;
}
