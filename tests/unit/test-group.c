/* A group's life: opened, used, refusing, grown, freed.  Adoption and mending have files of their own. */

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reuse/address.h"
#include "reuse/group.h"
#include "reuse/socket.h"
#include "traffic.h"
#include "unit.h"

static bool is_root(void) {
        return geteuid() == 0;
}

static ReuseAddress address_of(const char *network, const char *text) {
        ReuseAddress a;

        assert_ok(reuse_address_parse(network, text, true, &a));
        return a;
}

/* What the index says and who answers to it are the same: each slot alone, then asked for. */
static void check_indices(ReuseGroup *g) {
        ReuseAddress target = traffic_target(g, false);
        ReuseRule before = *reuse_group_rule(g);

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        ReuseRule rule = reuse_rule_init(bank, 0);
                        unsigned met_bank, met_slot;

                        reuse_rule_set_live(&rule, bank, slot, true);
                        assert_ok(reuse_group_set_rule(g, &rule));
                        traffic_meet(g, &target, NULL, &met_bank, &met_slot);
                        assert_int_equal(met_bank, bank);
                        assert_int_equal(met_slot, slot);
                }

        assert_ok(reuse_group_set_rule(g, &before));
}

static void defaults_are_two_banks_of_one(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp", "127.0.0.1:0", NULL);

        assert_int_equal(reuse_group_n_banks(g), 2);
        assert_int_equal(reuse_group_n_slots(g, 0), 1);
        assert_int_equal(reuse_group_n_slots(g, 2), 0);
        assert_int_equal(reuse_group_rule(g)->from_bank, 0);
        assert_false(reuse_group_is_refusing(g));
        assert_int_equal(reuse_group_fd(g, 0, 1), -EBADF);
        assert_int_equal(reuse_group_index(g, 2, 0), -ENOENT);
        assert_null(reuse_group_free(NULL));
}

/* case 40: port 0 is found once and shared by all sockets */
static void all_share_the_port_that_was_found(void **state) {
        static const char *const networks[] = { "tcp", "udp", "tcp4", "udp4" };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                const ReuseGroupOptions options = { .n_banks = 2, .n_slots = 5 };
                _cleanup_(reuse_group_freep)
                                ReuseGroup *g = traffic_open(networks[i], ":0", &options);

                assert_int_not_equal(reuse_address_port(reuse_group_address(g)), 0);
                for (unsigned place = 0; place < 10; place++) {
                        ReuseAddress a;

                        assert_ok(reuse_address_of_socket(reuse_group_fd(g, place / 5, place % 5),
                                                          &a));
                        assert_true(reuse_address_equal(&a, reuse_group_address(g)));
                        assert_int_equal(reuse_group_index(g, place / 5, place % 5), place);
                }
        }
}

static void the_order_is_banks_then_slots(void **state) {
        static const char *const networks[] = { "tcp4", "udp4", "tcp", "udp" };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                const ReuseGroupOptions options = { .n_banks = 3, .n_slots = 4 };
                _cleanup_(reuse_group_freep)
                                ReuseGroup *g = traffic_open(networks[i], ":0", &options);

                check_indices(g);
        }
}

/* The rule says bank 1: while the group comes into being, bank 0 must not be met. */
static void whom_the_rule_names_comes_first(void **state) {
        ReuseRule rule = reuse_rule_init(1, 2);
        const ReuseGroupOptions options = { .n_slots = 2, .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp", "127.0.0.1:0", &options);

        assert_int_equal(reuse_group_index(g, 1, 0), 0);
        assert_int_equal(reuse_group_index(g, 1, 1), 1);
        assert_int_equal(reuse_group_index(g, 0, 0), 2);
        check_indices(g);
}

static void sockets_are_nonblocking_and_close_on_exec(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp", "127.0.0.1:0", NULL);

        for (unsigned bank = 0; bank < 2; bank++) {
                int fd = reuse_group_fd(g, bank, 0);

                assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
                assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        }
}

/* case 45: an address that cannot be had is told as EADDRINUSE, and nothing stays open */
static void an_exclusive_group_is_alone(void **state) {
        static const char *const networks[] = { "tcp4", "udp4", "tcp", "udp" };
        const ReuseGroupOptions shared = { .n_slots = 2 };
        const ReuseGroupOptions exclusive = { .n_slots = 2, .is_exclusive = true };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                _cleanup_(reuse_group_freep) ReuseGroup *a = NULL, *b = NULL, *c = NULL;
                ReuseAddress address;

                a = traffic_open(networks[i], ":0", &shared);
                address = *reuse_group_address(a);
                assert_int_equal(reuse_group_open(&address, &exclusive, &b, NULL), -EADDRINUSE);
                assert_null(b);
                /* whoever shares it: a rule over sockets of somebody else would not be true */
                assert_int_equal(reuse_group_open(&address, &shared, &b, NULL), -EADDRINUSE);

                a = reuse_group_free(a);
                assert_ok(reuse_group_open(&address, &exclusive, &c, NULL));
                assert_int_equal(reuse_group_open(&address, &exclusive, &b, NULL), -EADDRINUSE);
                check_indices(c);
        }
}

static int open_beside(const char *network, bool is_stream, const char *beside, const char *host,
                       ReuseAddress *ret_wide) {
        ReuseAddress address;
        char text[64];
        int fd = is_stream ? reuse_listen(network, beside, NULL)
                           : reuse_listen_packet(network, beside, NULL);

        assert_ok(reuse_address_of_socket(assert_ok(fd), &address));
        (void) snprintf(text, sizeof(text), "%s:%u", host, reuse_address_port(&address));
        *ret_wide = address_of(network, text);
        return fd;
}

/* Somebody of our own uid on 127.0.0.1 beside our wildcard: two groups for the kernel, so that ours is
 * true; only who wants to be alone minds. */
static void an_overlapping_address_may_be_allowed(void **state) {
        static const char *const rows[][3] = { { "tcp4", "udp4", "0.0.0.0" },
                                               { "tcp", "udp", "" },
                                               { "tcp6", "udp6", "[::]" } };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                for (unsigned kind = 0; kind < 2; kind++) {
                        const char *network = rows[i][kind];
                        const char *beside = i == 2 ? "[::1]:0" : "127.0.0.1:0";
                        ReuseGroupOptions options = { .n_slots = 2 };
                        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL, *same = NULL;
                        _cleanup_close_ int other = -EBADF;
                        ReuseAddress wide;
                        int r = -EADDRINUSE;

                        /* The port may be that of somebody's connection on another address. */
                        for (unsigned n = 0; n < 20 && r == -EADDRINUSE; n++) {
                                fd_close(other);
                                other = open_beside(network, kind == 0, beside, rows[i][2], &wide);
                                options.is_exclusive = true;
                                assert_int_equal(reuse_group_open(&wide, &options, &g, NULL),
                                                 -EADDRINUSE);
                                options.is_exclusive = false;
                                r = reuse_group_open(&wide, &options, &g, NULL);
                        }
                        assert_ok(r);
                        assert_int_equal(reuse_group_open(&wide, &options, &same, NULL),
                                         -EADDRINUSE);
                        assert_ok(reuse_address_of_socket(other, &wide));
                        assert_int_equal(reuse_group_open(&wide, &options, &same, NULL),
                                         -EADDRINUSE);

                        other = fd_close(other); /* the better match for loopback */
                        check_indices(g);
                }
}

/* fact k19, from our side: connections that have ended are nobody */
static void an_exclusive_group_passes_time_wait(void **state) {
        const ReuseGroupOptions options = { .is_exclusive = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseAddress address = *reuse_group_address(g);
        _cleanup_close_ int client = traffic_visit(&address, NULL, 0), server = -EBADF;

        server = unit_accept(reuse_group_fd(g, 0, 0));
        server = fd_close(server); /* the server closes first: TIME_WAIT is at its port */
        (void) unit_wait(client, POLLIN);
        client = fd_close(client);

        g = reuse_group_free(g);
        assert_ok(reuse_group_open(&address, &options, &g, NULL));
}

/* fact k13: nobody joins a group that belongs to somebody else, not even root */
static void an_owner_keeps_others_out(void **state) {
        static const char *const networks[] = { "tcp4", "udp4" };

        if (!is_root())
                unit_skip("needs CAP_CHOWN");

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++)
                for (unsigned is_exclusive = 0; is_exclusive < 2; is_exclusive++) {
                        const ReuseGroupOptions options = { .n_slots = 2,
                                                            .has_owner = true,
                                                            .owner = 64999,
                                                            .is_exclusive = is_exclusive };
                        const ReuseGroupOptions plain = { .n_slots = 1 };
                        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL, *other = NULL;
                        struct stat st;

                        g = traffic_open(networks[i], "127.0.0.1:0", &options);
                        assert_int_equal(fstat(reuse_group_fd(g, 1, 1), &st), 0);
                        assert_int_equal(st.st_uid, 64999);
                        assert_int_equal(reuse_group_open(reuse_group_address(g), &plain, &other,
                                                          NULL),
                                         -EADDRINUSE);
                        check_indices(g);
                        assert_ok(reuse_group_grow(g, 2, 2)); /* we can */
                        check_indices(g);
                }
}

static void an_owner_needs_a_right(void **state) {
        const ReuseGroupOptions options = { .has_owner = true, .owner = 64999 };
        ReuseAddress address = address_of("tcp4", "127.0.0.1:0");
        ReuseGroup *g = NULL;

        if (!is_root())
                unit_skip("needs root, to become somebody else");

        assert_int_equal(seteuid(65534), 0);
        assert_int_equal(reuse_group_open(&address, &options, &g, NULL), -EPERM);
        assert_int_equal(seteuid(0), 0);
        assert_null(g);
}

static bool is_refused(const ReuseAddress *target) {
        _cleanup_close_ int fd = socket(target->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return connect(fd, &target->sa, target->length) < 0 && errno == ECONNREFUSED;
}

/* fact k1, and the way back */
static void a_refusing_group_keeps_its_port(void **state) {
        const ReuseGroupOptions options = { .n_slots = 3, .is_refusing = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp", ":0", &options);
        ReuseAddress target = traffic_target(g, false), after;

        for (unsigned round = 0; round < 5; round++) {
                assert_true(reuse_group_is_refusing(g));
                assert_true(is_refused(&target));
                assert_int_equal(reuse_group_index(g, 0, 0), -ENOENT);
                assert_int_equal(reuse_group_mend(g), 0);

                assert_ok(reuse_group_listen(g));
                assert_ok(reuse_group_listen(g)); /* twice is once */
                assert_false(reuse_group_is_refusing(g));
                check_indices(g);
                assert_ok(reuse_address_of_socket(reuse_group_fd(g, 0, 0), &after));
                assert_true(reuse_address_equal(&after, reuse_group_address(g)));

                assert_ok(reuse_group_refuse(g));
                assert_ok(reuse_group_refuse(g));
        }
}

static void the_rule_can_be_changed_while_refusing(void **state) {
        const ReuseGroupOptions options = { .n_slots = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseRule rule = reuse_rule_init(1, 2), wrong = reuse_rule_init(1, 3);

        assert_ok(reuse_group_refuse(g));
        assert_int_equal(reuse_group_set_rule(g, &wrong), -ERANGE);
        assert_ok(reuse_group_set_rule(g, &rule));
        assert_true(reuse_rule_equal(reuse_group_rule(g), &rule));
        assert_ok(reuse_group_listen(g));
        assert_int_equal(traffic_visits(g, false, false, 50).in_bank[1], 50);
        assert_int_equal(reuse_group_index(g, 1, 0), 0);
}

/* fact k2, our use of it: who waits when we refuse is told at once, not left hanging */
static void refusing_resets_who_waits(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", NULL);
        ReuseAddress target = traffic_target(g, false);
        _cleanup_close_ int client = traffic_visit(&target, NULL, 0);
        unsigned waiting, limit;

        assert_ok(reuse_group_queue(g, 0, 0, &waiting, NULL));
        assert_int_equal(waiting, 1);
        assert_ok(reuse_group_refuse(g));
        assert_true(unit_wait(client, POLLIN) & POLLHUP);
        assert_ok(reuse_group_queue(g, 0, 0, &waiting, &limit));
        assert_int_equal(waiting, 0);
        assert_int_equal(limit, 0);
}

static void refused_datagrams_are_dropped(void **state) {
        const ReuseGroupOptions options = { .n_slots = 2, .is_refusing = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("udp4", "127.0.0.1:0", &options);
        ReuseAddress target = traffic_target(g, false);

        for (unsigned round = 0; round < 3; round++) {
                _cleanup_reset_ int dropped = traffic_visit(&target, NULL, 0), taken = -EBADF;
                Hits hits = { .total = 0 };

                traffic_take(g, &hits, NULL, NULL);
                assert_int_equal(hits.total, 0);
                assert_ok(reuse_group_listen(g));
                taken = traffic_visit(&target, NULL, 0);
                traffic_take(g, &hits, NULL, NULL);
                assert_int_equal(hits.total, 1);
                check_indices(g);
                assert_ok(reuse_group_refuse(g));
        }
}

static void a_wrong_rule_changes_nothing(void **state) {
        const ReuseGroupOptions options = { .n_slots = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("udp4", "127.0.0.1:0", &options);
        ReuseRule before = *reuse_group_rule(g), wrong[4];
        char text[4096], text_after[4096];

        for (size_t i = 0; i < ELEMENTS_OF(wrong); i++)
                wrong[i] = before;
        wrong[0].steering = REUSE_STEERING_RANDOM;
        reuse_rule_set_live(wrong + 1, 0, 2, true);
        wrong[2].live[0][0] = 0;
        wrong[3].to_bank = 2;

        (void) reuse_group_print_rule(g, text, sizeof(text));
        for (size_t i = 0; i < ELEMENTS_OF(wrong); i++) {
                assert_true(reuse_group_set_rule(g, wrong + i) < 0);
                assert_true(reuse_rule_equal(reuse_group_rule(g), &before));
                (void) reuse_group_print_rule(g, text_after, sizeof(text_after));
                assert_string_equal(text, text_after);
        }
        assert_int_equal(traffic_visits(g, false, false, 20).in_bank[0], 20);
}

static void a_group_that_cannot_be_opened_leaves_nothing(void **state) {
        ReuseAddress here = address_of("tcp4", "127.0.0.1:0"),
                     away = address_of("tcp4", "192.0.2.1:1");
        ReuseRule too_far = reuse_rule_init(0, 3);
        const ReuseSockopt bad = { .name = "tcp_congestion", .text = "no-such-algorithm" };
        const ReuseSockopt odd = { .name = "no_such_option" };
        const ReuseGroupOptions options[] = {
                { .n_banks = 5 },
                { .n_slots = 513 },
                { .n_slots = 2, .rule = &too_far },
                { .sockopts = &bad, .n_sockopts = 1 },
                { .sockopts = &odd, .n_sockopts = 1 },
        };
        static const int errors[] = { -ERANGE, -ERANGE, -ERANGE, -ENOENT, -EINVAL };
        const char *name = NULL;
        ReuseGroup *g = NULL;

        for (size_t i = 0; i < ELEMENTS_OF(options); i++)
                assert_int_equal(reuse_group_open(&here, options + i, &g, &name), errors[i]);
        assert_string_equal(name, "no_such_option");
        assert_int_equal(reuse_group_open(&away, NULL, &g, NULL), -EADDRNOTAVAIL);
        assert_null(g);
}

static void options_of_sockets_are_set_on_all(void **state) {
        char congestion[] = "reno";
        ReuseSockopt sockopts[] = { { .name = "no_delay", .value = 1 },
                                    { .name = "tcp_congestion", .text = congestion } };
        const ReuseGroupOptions options = { .sockopts = sockopts, .n_sockopts = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp", "127.0.0.1:0", &options);

        congestion[0] = 'x'; /* they were copied, for those that come by growth */
        assert_ok(reuse_group_grow(g, 2, 1));
        for (unsigned bank = 0; bank < 3; bank++) {
                char text[16];
                int value, fd = reuse_group_fd(g, bank, 0);
                socklen_t size = sizeof(value);

                assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
                assert_int_equal(value, 1);
                size = sizeof(text);
                assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &size), 0);
                assert_string_equal(text, "reno");
        }
}

/* Appended sockets are met when the rule says so, not before; third and fourth bank too. */
static void growth_appends(void **state) {
        static const char *const networks[] = { "tcp4", "udp4" };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                const ReuseGroupOptions options = { .n_slots = 2 };
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                Hits hits;

                g = traffic_open(networks[i], "127.0.0.1:0", &options);
                assert_ok(reuse_group_grow(g, 0, 4));
                assert_ok(reuse_group_grow(g, 2, 3));
                assert_ok(reuse_group_grow(g, 3, 1));
                assert_ok(reuse_group_grow(g, 3, 1));
                assert_int_equal(reuse_group_n_banks(g), 4);
                assert_int_equal(reuse_group_n_slots(g, 0), 4);
                assert_int_equal(reuse_group_index(g, 0, 3), 5);
                assert_int_equal(reuse_group_index(g, 3, 0), 9);

                hits = traffic_visits(g, false, false, 100);
                assert_int_equal(hits.of[0][0] + hits.of[0][1], 100);
                check_indices(g);

                assert_int_equal(reuse_group_grow(g, 4, 1), -ERANGE);
                assert_int_equal(reuse_group_grow(g, 0, 513), -ERANGE);
        }
}

static void growth_while_refusing_waits(void **state) {
        const ReuseGroupOptions options = { .n_slots = 1, .is_refusing = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseAddress target = traffic_target(g, false);

        assert_ok(reuse_group_grow(g, 2, 2));
        assert_true(is_refused(&target));
        assert_ok(reuse_group_listen(g));
        check_indices(g);
}

static unsigned count_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

/* Growth that fails in the middle: out of descriptors. */
static void growth_that_fails_takes_all_back(void **state) {
        const ReuseGroupOptions options = { .n_slots = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        struct rlimit before, few;
        unsigned n_open = count_descriptors();

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = before;
        few.rlim_cur = n_open + 5;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        assert_int_equal(reuse_group_grow(g, 0, 20), -EMFILE);
        assert_int_equal(reuse_group_grow(g, 2, 20), -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

        assert_int_equal(count_descriptors(), n_open);
        assert_int_equal(reuse_group_n_slots(g, 0), 2);
        assert_int_equal(reuse_group_n_banks(g), 2);
        check_indices(g);
        assert_ok(reuse_group_grow(g, 2, 2));
        check_indices(g);
}

static void opening_that_fails_leaves_nothing(void **state) {
        const ReuseGroupOptions options = { .n_slots = 20 };
        ReuseAddress address = address_of("tcp4", "127.0.0.1:0");
        ReuseGroup *g = NULL;
        struct rlimit before, few;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        for (unsigned spare = 0; spare < 12; spare++) {
                few = before;
                few.rlim_cur = count_descriptors() + spare;
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
                assert_int_equal(reuse_group_open(&address, &options, &g, NULL), -EMFILE);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
                assert_null(g);
        }
}

/* fact k10: what waits can be counted */
static void a_queue_tells_its_length(void **state) {
        const ReuseGroupOptions options = { .backlog = 50 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        _cleanup_(reuse_group_freep) ReuseGroup *u = traffic_open("udp4", "127.0.0.1:0", NULL);
        ReuseAddress target = traffic_target(g, false), target_u = traffic_target(u, false);
        int clients[10];
        unsigned waiting, limit;

        assert_ok(reuse_group_queue(g, 0, 0, &waiting, &limit));
        assert_int_equal(waiting, 0);
        assert_int_equal(limit, 50);
        for (unsigned i = 0; i < 10; i++) {
                clients[i] = traffic_visit(&target, NULL, 0);
                assert_ok(reuse_group_queue(g, 0, 0, &waiting, NULL));
                assert_int_equal(waiting, i + 1);
        }
        for (unsigned i = 0; i < 10; i++)
                (void) fd_close(clients[i]);

        assert_ok(reuse_group_queue(u, 0, 0, &waiting, &limit));
        assert_int_equal(waiting, 0);
        clients[0] = traffic_visit(&target_u, NULL, 0);
        assert_ok(reuse_group_queue(u, 0, 0, &waiting, &limit));
        assert_int_equal(waiting, 1);
        assert_int_equal(limit, 0);
        (void) fd_close(clients[0]);

        assert_int_equal(reuse_group_queue(g, 0, 1, &waiting, NULL), -EBADF);
}

/* Connections inherit the mark of the bank whose listener took them; over IPv4 and IPv6. */
static void connections_carry_the_mark_of_their_bank(void **state) {
        static const char *const hosts[][2] = { { "tcp4", "127.0.0.1:0" },
                                                { "tcp", ":0" },
                                                { "tcp6", "[::1]:0" } };

        for (size_t i = 0; i < ELEMENTS_OF(hosts); i++)
                for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                        ReuseRule rule = reuse_rule_init(bank, 1);
                        const ReuseGroupOptions options = { .n_banks = 4,
                                                            .has_marks = true,
                                                            .rule = &rule };
                        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                        _cleanup_close_ int client = -EBADF, server = -EBADF;
                        ReuseAddress target;
                        bool loop, all;
                        int value;
                        socklen_t size = sizeof(value);

                        g = traffic_open(hosts[i][0], hosts[i][1], &options);
                        target = traffic_target(g, false);
                        client = traffic_visit(&target, NULL, 0);
                        server = unit_accept(reuse_group_fd(g, bank, 0));
                        reuse_group_mark(bank, &loop, &all);
                        assert_int_equal(getsockopt(server, IPPROTO_IP, IP_MULTICAST_LOOP, &value,
                                                    &size),
                                         0);
                        assert_int_equal(value, loop);
                        assert_int_equal(getsockopt(server, IPPROTO_IP, IP_MULTICAST_ALL, &value,
                                                    &size),
                                         0);
                        assert_int_equal(value, all);
                }
}

static void members_are_told_in_the_order_of_their_indices(void **state) {
        const ReuseGroupOptions options = { .n_slots = 3 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseMember members[6];

        assert_int_equal(reuse_group_members(g, members, 0), 6);
        assert_int_equal(reuse_group_members(g, members, 6), 6);
        for (unsigned i = 0; i < 6; i++) {
                assert_int_equal(reuse_group_index(g, members[i].bank, members[i].slot), i);
                assert_int_equal(reuse_group_fd(g, members[i].bank, members[i].slot),
                                 members[i].fd);
        }

        assert_ok(reuse_group_refuse(g));
        assert_int_equal(reuse_group_members(g, members, 6), 6);
        assert_int_equal(reuse_group_members(g, members, 2), 6);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(defaults_are_two_banks_of_one),
                UNIT_TEST(all_share_the_port_that_was_found),
                UNIT_TEST(the_order_is_banks_then_slots),
                UNIT_TEST(whom_the_rule_names_comes_first),
                UNIT_TEST(sockets_are_nonblocking_and_close_on_exec),
                UNIT_TEST(an_exclusive_group_is_alone),
                UNIT_TEST(an_overlapping_address_may_be_allowed),
                UNIT_TEST(an_exclusive_group_passes_time_wait),
                UNIT_TEST(an_owner_keeps_others_out),
                UNIT_TEST(an_owner_needs_a_right),
                UNIT_TEST(a_refusing_group_keeps_its_port),
                UNIT_TEST(the_rule_can_be_changed_while_refusing),
                UNIT_TEST(refusing_resets_who_waits),
                UNIT_TEST(refused_datagrams_are_dropped),
                UNIT_TEST(a_wrong_rule_changes_nothing),
                UNIT_TEST(a_group_that_cannot_be_opened_leaves_nothing),
                UNIT_TEST(options_of_sockets_are_set_on_all),
                UNIT_TEST(growth_appends),
                UNIT_TEST(growth_while_refusing_waits),
                UNIT_TEST(growth_that_fails_takes_all_back),
                UNIT_TEST(opening_that_fails_leaves_nothing),
                UNIT_TEST(a_queue_tells_its_length),
                UNIT_TEST(connections_carry_the_mark_of_their_bank),
                UNIT_TEST(members_are_told_in_the_order_of_their_indices),
        };

        return UNIT_RUN(tests);
}
