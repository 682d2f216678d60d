/* What the library costs beside the same system calls by hand: ratios, measured alternately in one run, so
 * that whatever else the machine does hits both.  `meson test --benchmark`; goals: at most 1.10 for
 * opening and dialling, at most 1 ms for a rule over 512 slots.
 *
 * Case 31: open and close a listener, a datagram socket. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "reuse/reuseport.h"

#define ROUNDS 101U

static int failures;

static double now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int check(int r, const char *what) {
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", what, reuse_strerror(r));
                exit(EXIT_FAILURE);
        }
        return r;
}

static int by_errno(int r) {
        return r < 0 ? -errno : r;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
        qsort(values, n, sizeof(*values), compare);
        return values[n / 2];
}

static void set_flag(int fd, int option) {
        static const int on = 1;

        check(by_errno(setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on))), "setsockopt");
}

static int raw_socket(int type) {
        int fd = check(by_errno(socket(AF_INET, type | SOCK_CLOEXEC, 0)), "socket");

        if (type == SOCK_STREAM)
                set_flag(fd, SO_REUSEADDR);
        set_flag(fd, SO_REUSEPORT);
        return fd;
}

static struct sockaddr_in loopback(uint16_t port) {
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons(port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void raw_bind(int fd, uint16_t port) {
        struct sockaddr_in in = loopback(port);

        check(by_errno(bind(fd, (struct sockaddr *) &in, sizeof(in))), "bind");
}

static void raw_listen(void) {
        int fd = raw_socket(SOCK_STREAM);

        raw_bind(fd, 10081);
        check(by_errno(listen(fd, INT32_MAX)), "listen");
        (void) close(fd);
}

static void our_listen(void) {
        (void) close(check(reuse_listen("tcp", "127.0.0.1:10081", NULL), "reuse_listen"));
}

static void raw_wildcard(void) {
        int fd = check(by_errno(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)), "socket");
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(10083) };
        static const int off;

        set_flag(fd, SO_REUSEADDR);
        set_flag(fd, SO_REUSEPORT);
        check(by_errno(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))), "setsockopt");
        check(by_errno(bind(fd, (struct sockaddr *) &in6, sizeof(in6))), "bind");
        check(by_errno(listen(fd, INT32_MAX)), "listen");
        (void) close(fd);
}

static void our_wildcard(void) {
        (void) close(check(reuse_listen("tcp", ":10083", NULL), "reuse_listen"));
}

static void raw_packet(void) {
        int fd = raw_socket(SOCK_DGRAM);

        raw_bind(fd, 10082);
        (void) close(fd);
}

static void our_packet(void) {
        (void) close(check(reuse_listen_packet("udp4", "127.0.0.1:10082", NULL), "listen_packet"));
}

/* A listener to dial, and the reset that leaves no TIME_WAIT behind. */
static int dialled = -1;

static void end_dial(int fd) {
        static const struct linger reset = { .l_onoff = 1 };
        int server = accept4(dialled, NULL, NULL, SOCK_CLOEXEC);

        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        (void) close(fd);
        (void) close(check(by_errno(server), "accept"));
}

static void raw_dial(void) {
        struct sockaddr_in to = loopback(10084);
        int fd = raw_socket(SOCK_STREAM);

        raw_bind(fd, 10085);
        check(by_errno(connect(fd, (struct sockaddr *) &to, sizeof(to))), "connect");
        end_dial(fd);
}

static void our_dial(void) {
        end_dial(check(reuse_dial("tcp", "127.0.0.1:10085", "127.0.0.1:10084", NULL),
                       "reuse_dial"));
}

/* Runs both, one after the other, round by round; tells the median ratio. */
static void compare_both(const char *name, void (*raw)(void), void (*ours)(void), unsigned n,
                         unsigned n_rounds, double goal) {
        double ratios[ROUNDS], costs[ROUNDS], ratio;

        for (unsigned round = 0; round < n_rounds; round++) {
                double begin = now_usec(), middle, end;

                for (unsigned i = 0; i < n; i++)
                        raw();
                middle = now_usec();
                for (unsigned i = 0; i < n; i++)
                        ours();
                end = now_usec();
                ratios[round] = (end - middle) / (middle - begin);
                costs[round] = (middle - begin) / n;
        }

        ratio = median(ratios, n_rounds);
        printf("%-28s %8.2f us by hand, ratio %.3f, goal %.2f%s\n", name, median(costs, n_rounds),
               ratio, goal, ratio <= goal ? "" : "  MISSED");
        failures += ratio > goal;
}

#define N_GROUPED 500U /* sockets in a group */
static unsigned n_groups;

static void raw_groups(void) {
        static int fds[20 * N_GROUPED];

        for (unsigned group = 0; group < n_groups; group++)
                for (unsigned i = 0; i < N_GROUPED; i++) {
                        int fd = raw_socket(SOCK_STREAM);

                        raw_bind(fd, (uint16_t) (11000 + group));
                        fds[group * N_GROUPED + i] = fd;
                }
        for (unsigned i = 0; i < n_groups * N_GROUPED; i++)
                check(by_errno(listen(fds[i], INT32_MAX)), "listen");
        for (unsigned i = n_groups * N_GROUPED; i-- > 0;)
                (void) close(fds[i]);
}

static void our_groups(void) {
        const ReuseGroupOptions options = { .n_banks = 2, .n_slots = N_GROUPED / 2 };
        ReuseGroup *groups[20];

        for (unsigned group = 0; group < n_groups; group++) {
                ReuseAddress address;
                char text[32];

                (void) snprintf(text, sizeof(text), "127.0.0.1:%u", 11000 + group);
                check(reuse_address_parse("tcp", text, true, &address), "parse");
                check(reuse_group_open(&address, &options, groups + group, NULL), "open");
        }
        for (unsigned group = n_groups; group-- > 0;)
                (void) reuse_group_free(groups[group]);
}

/* Two banks of 512, a quarter of each dead, shares by source, a door: the longest that is usual. */
static void measure_rules(void) {
        const ReuseGroupOptions options = { .n_slots = 512 };
        double costs[1000];
        ReuseAddress address;
        ReuseRule rules[2];
        ReuseGroup *g;

        check(reuse_address_parse("tcp", "127.0.0.1:0", true, &address), "parse");
        check(reuse_group_open(&address, &options, &g, NULL), "open");
        for (unsigned i = 0; i < 2; i++) {
                rules[i] = reuse_rule_init(0, 512);
                rules[i].to_bank = 1;
                rules[i].share_by = REUSE_SHARE_BY_SOURCE;
                rules[i].share_percent = (uint16_t) (30 + i);
                rules[i].door = (ReuseDoor){ .is_open = true, .bank = 1 };
                for (unsigned slot = 0; slot < 512; slot++) {
                        reuse_rule_set_live(rules + i, 0, slot, slot % 4 != 3);
                        reuse_rule_set_live(rules + i, 1, slot, slot % 4 != 1);
                }
        }

        for (unsigned i = 0; i < 1000; i++) {
                double begin = now_usec();

                check(reuse_group_set_rule(g, rules + i % 2), "set_rule");
                costs[i] = now_usec() - begin;
        }

        (void) median(costs, 1000);
        printf("%-28s p50 %.0f us, p99 %.0f us, goal 1000 us\n", "rule over 2 x 512 slots",
               costs[500], costs[990]);
        failures += costs[500] > 1000;
        (void) reuse_group_free(g);
}

int main(int argc, char **argv) {
        bool is_long = getenv("REUSEPORT_TEST_LONG") &&
                       strcmp(getenv("REUSEPORT_TEST_LONG"), "1") == 0;
        unsigned n = is_long ? 400 : 50;
        struct rlimit files;

        (void) getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &files);
        n_groups = is_long ? 20 : 2;
        while (n_groups > 1 && n_groups * N_GROUPED + 100 > files.rlim_cur)
                n_groups--;

        compare_both("listen 127.0.0.1:10081", raw_listen, our_listen, n, ROUNDS, 1.10);
        compare_both("listen :10083", raw_wildcard, our_wildcard, n, ROUNDS, 1.10);
        compare_both("listen_packet", raw_packet, our_packet, n, ROUNDS, 1.10);

        dialled = check(reuse_listen("tcp", "127.0.0.1:10084", NULL), "reuse_listen");
        compare_both("dial", raw_dial, our_dial, n, ROUNDS, 1.10);
        (void) close(dialled);

        printf("%u sockets in %u groups:\n", n_groups * N_GROUPED, n_groups);
        compare_both("groups", raw_groups, our_groups, 1, 11, 1.10);
        measure_rules();
        return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
