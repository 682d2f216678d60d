/* Options of sockets that are open already: what a reload changes. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

#define N_SLOTS 3U

static ReuseGroup *open_group(void) {
        static const ReuseSockopt quick = { .name = "no_delay", .value = 1 };
        const ReuseGroupOptions options = {
                .n_slots = N_SLOTS, .backlog = 100, .sockopts = &quick, .n_sockopts = 1
        };

        return traffic_open("tcp4", "127.0.0.1:0", &options);
}

static void check_all(const ReuseGroup *g, int level, int option, int wanted) {
        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        int value = -1;
                        socklen_t size = sizeof(value);

                        assert_int_equal(getsockopt(reuse_group_fd(g, bank, slot), level, option,
                                                    &value, &size),
                                         0);
                        assert_int_equal(value, wanted);
                }
}

static void check_backlogs(const ReuseGroup *g, unsigned wanted) {
        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        unsigned waiting, limit;

                        assert_ok(reuse_group_queue(g, bank, slot, &waiting, &limit));
                        assert_int_equal(limit, wanted);
                }
}

static void every_socket_gets_what_differs(void **state) {
        static const ReuseSockopt other[] = { { .name = "no_delay", .value = 0 },
                                              { .name = "keep_alive", .value = 1 },
                                              { .name = "tcp_congestion", .text = "reno" } };
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();

        check_all(g, IPPROTO_TCP, TCP_NODELAY, 1);
        assert_ok(reuse_group_configure(g, 100, other, 3, NULL));
        check_all(g, IPPROTO_TCP, TCP_NODELAY, 0);
        check_all(g, SOL_SOCKET, SO_KEEPALIVE, 1);
        check_backlogs(g, 100);

        /* the same again, and then less: what is no longer named keeps its value */
        assert_ok(reuse_group_configure(g, 100, other, 3, NULL));
        assert_ok(reuse_group_configure(g, 100, NULL, 0, NULL));
        check_all(g, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static void sockets_to_come_have_them_too(void **state) {
        static const ReuseSockopt other = { .name = "keep_alive", .value = 1 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();

        assert_ok(reuse_group_configure(g, 50, &other, 1, NULL));
        assert_ok(reuse_group_grow(g, 1, N_SLOTS + 2));
        check_all(g, SOL_SOCKET, SO_KEEPALIVE, 1);
        check_backlogs(g, 50);
}

/* Nobody is sent away, and no index moves. */
static void another_backlog_leaves_who_waits(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();
        ReuseAddress target = traffic_target(g, false);
        ReuseRule rule = reuse_rule_init(1, N_SLOTS);
        _cleanup_reset_ int client = -EBADF;
        unsigned total = 0;

        assert_ok(reuse_group_set_rule(g, &rule));
        client = traffic_visit(&target, NULL, 0);
        assert_ok(reuse_group_configure(g, 7, NULL, 0, NULL));
        check_backlogs(g, 7);
        for (unsigned slot = 0; slot < N_SLOTS; slot++) {
                unsigned waiting;

                assert_ok(reuse_group_queue(g, 1, slot, &waiting, NULL));
                total += waiting;
                assert_int_equal(reuse_group_index(g, 1, slot), (int) (N_SLOTS + slot));
        }
        assert_int_equal(total, 1);
}

static void a_bad_option_is_named_and_the_group_stays(void **state) {
        static const ReuseSockopt unknown = { .name = "no_such_option", .value = 1 };
        static const ReuseSockopt bad = { .name = "tcp_congestion", .text = "no_such_algorithm" };
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();
        const char *name = NULL;

        assert_int_equal(reuse_group_configure(g, 100, &unknown, 1, &name), -EINVAL);
        assert_int_equal(reuse_group_configure(g, 100, &bad, 1, &name), -ENOENT);
        assert_string_equal(name, "tcp_congestion");
        check_all(g, IPPROTO_TCP, TCP_NODELAY, 1);
        check_backlogs(g, 100);
}

/* Who refuses has no queue; the backlog is for when it listens again. */
static void a_group_that_refuses_remembers(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();

        assert_ok(reuse_group_refuse(g));
        assert_ok(reuse_group_configure(g, 9, NULL, 0, NULL));
        assert_true(reuse_group_is_refusing(g));
        assert_ok(reuse_group_listen(g));
        check_backlogs(g, 9);
}

/* The kernel moves the last into the hole, which is the one that has just joined: nobody else moves, and
 * nobody is lost who comes meanwhile. */
static void other_sockets_take_the_places_of_a_bank(void **state) {
        static const ReuseSockopt early = { .name = "free_bind", .value = 1 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();
        ReuseAddress target = traffic_target(g, false);
        ReuseRule rule = reuse_rule_init(0, N_SLOTS);

        assert_ok(reuse_group_configure(g, 100, &early, 1, NULL));
        assert_int_equal(reuse_group_renew(g, 0, NULL), -EBUSY);
        assert_int_equal(reuse_group_renew(g, 2, NULL), -ERANGE);

        for (unsigned round = 0; round < 4; round++) {
                unsigned idle = 1 - rule.from_bank;
                _cleanup_reset_ int waits = traffic_visit(&target, NULL, 0);
                Hits hits = { .total = 0 };

                assert_ok(reuse_group_renew(g, idle, NULL));
                for (unsigned bank = 0; bank < 2; bank++)
                        for (unsigned slot = 0; slot < N_SLOTS; slot++)
                                assert_int_equal(reuse_group_index(g, bank, slot),
                                                 (int) (bank * N_SLOTS + slot));

                traffic_take(g, &hits, NULL, NULL);
                assert_int_equal(hits.total, 1);
                hits = traffic_visits(g, false, false, 60);
                assert_int_equal(hits.in_bank[rule.from_bank], 60);

                rule = reuse_rule_init(idle, N_SLOTS);
                assert_ok(reuse_group_set_rule(g, &rule));
                hits = traffic_visits(g, false, false, 60);
                for (unsigned slot = 0; slot < N_SLOTS; slot++)
                        assert_true(hits.of[idle][slot] > 0);
                assert_int_equal(hits.in_bank[idle], 60);
        }

        check_all(g, IPPROTO_IP, IP_FREEBIND, 1);
}

/* Whoever still holds the one that was there before. */
static void the_socket_of_a_worker_that_lingers_leaves(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();
        _cleanup_close_ int held = assert_ok(dup(reuse_group_fd(g, 1, 0)));
        ReuseRule rule = reuse_rule_init(1, N_SLOTS);

        assert_ok(reuse_group_renew(g, 1, NULL));
        assert_ok(reuse_group_set_rule(g, &rule));
        assert_int_equal(traffic_visits(g, false, false, 60).in_bank[1], 60);
        assert_int_equal(accept(held, NULL, NULL), -1);
        assert_int_equal(errno, EINVAL);
}

static void places_that_refuse_are_renewed_at_any_time(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group();
        _cleanup_(reuse_group_freep) ReuseGroup *datagrams = traffic_open(
                        "udp4", "127.0.0.1:0", &(ReuseGroupOptions){ .n_slots = N_SLOTS });
        ReuseRule rule = reuse_rule_init(1, N_SLOTS);

        assert_ok(reuse_group_refuse(g));
        assert_ok(reuse_group_renew(g, 0, NULL));
        assert_ok(reuse_group_renew(g, 1, NULL));
        assert_ok(reuse_group_listen(g));
        assert_int_equal(traffic_visits(g, false, false, 60).in_bank[0], 60);

        assert_ok(reuse_group_renew(datagrams, 1, NULL));
        assert_int_equal(traffic_visits(datagrams, false, false, 60).in_bank[0], 60);
        assert_ok(reuse_group_set_rule(datagrams, &rule));
        assert_ok(reuse_group_renew(datagrams, 0, NULL));
        assert_int_equal(traffic_visits(datagrams, false, false, 60).in_bank[1], 60);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(every_socket_gets_what_differs),
                UNIT_TEST(sockets_to_come_have_them_too),
                UNIT_TEST(another_backlog_leaves_who_waits),
                UNIT_TEST(a_bad_option_is_named_and_the_group_stays),
                UNIT_TEST(a_group_that_refuses_remembers),
                UNIT_TEST(other_sockets_take_the_places_of_a_bank),
                UNIT_TEST(the_socket_of_a_worker_that_lingers_leaves),
                UNIT_TEST(places_that_refuse_are_renewed_at_any_time),
        };

        return UNIT_RUN(tests);
}
