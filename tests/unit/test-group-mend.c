/* After a worker has shut a listener: the table is true again, the rule is in force, and nobody's queue
 * has suffered but that of the one that was shut. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "reuse/address.h"
#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

static void check_indices(ReuseGroup *g, bool by_v6) {
        ReuseAddress target = traffic_target(g, by_v6);
        Hits looks = { .total = 0 };

        traffic_take(g, &looks, NULL, NULL); /* what is left of looking who is where */

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
}

static void shut(const ReuseGroup *g, unsigned bank, unsigned slot) {
        assert_int_equal(shutdown(reuse_group_fd(g, bank, slot), SHUT_RDWR), 0);
}

/* fact k8, k16; case 47: the table is computed anew after a member shut its socket */
static void every_way_to_lose_some_of_six_is_mended(void **state) {
        static const char *const hosts[][2] = {
                { "tcp4", "127.0.0.1:0" }, { "tcp4", ":0" }, { "tcp", ":0" }, { "tcp6", "[::1]:0" }
        };
        const ReuseGroupOptions options = { .n_slots = 3 };

        for (size_t i = 0; i < ELEMENTS_OF(hosts); i++) {
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;

                g = traffic_open(hosts[i][0], hosts[i][1], &options);
                for (unsigned mask = 1; mask < 64; mask++) {
                        for (unsigned place = 0; place < 6; place++)
                                if (mask & (1U << place))
                                        shut(g, place / 3, place % 3);
                        assert_int_equal(reuse_group_mend(g), __builtin_popcount(mask));
                        assert_int_equal(reuse_group_mend(g), 0);
                        check_indices(g, false);
                }
        }
}

/* The order in which they were shut does not matter: that is what nobody tells us. */
static void any_order_of_leaving_is_mended(void **state) {
        const ReuseGroupOptions options = { .n_slots = 4 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);

        srandom(3);
        for (unsigned round = 0; round < unit_count(100, 2000); round++) {
                unsigned n = 1 + (unsigned) random() % 7, n_shut = 0;

                while (n_shut < n) {
                        int fd = reuse_group_fd(g, (unsigned) random() % 2,
                                                (unsigned) random() % 4);

                        n_shut += shutdown(fd, SHUT_RDWR) == 0; /* once each */
                }
                assert_int_equal(reuse_group_mend(g), n);
                check_indices(g, false);
        }
}

/* Visitors wait in every queue; three sockets are shut in such an order that two of those who stay move.
 * Only who waited at the three is reset. */
static void no_other_queue_suffers(void **state) {
        const ReuseGroupOptions options = { .n_slots = 3 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseAddress target = traffic_target(g, false);
        int clients[6];
        Hits hits = { .total = 0 };

        for (unsigned place = 0; place < 6; place++) {
                ReuseRule rule = reuse_rule_init(place / 3, 0);

                reuse_rule_set_live(&rule, place / 3, place % 3, true);
                assert_ok(reuse_group_set_rule(g, &rule));
                clients[place] = traffic_visit(&target, NULL, 0);
        }

        shut(g, 0, 2);
        shut(g, 0, 0);
        shut(g, 0, 1);
        assert_int_equal(reuse_group_mend(g), 3);
        for (unsigned slot = 0; slot < 3; slot++) {
                unsigned waiting;

                assert_ok(reuse_group_queue(g, 0, slot, &waiting, NULL));
                assert_in_range(waiting, 0, 1); /* the looks, which were reset, may be there */
        }

        traffic_take(g, &hits, NULL, NULL);
        for (unsigned slot = 0; slot < 3; slot++)
                assert_true(hits.of[1][slot] >= 1);
        for (unsigned place = 0; place < 6; place++)
                (void) fd_close(clients[place]);
        check_indices(g, false);
}

/* RULES §5: the rule is all green, a blue worker shuts its slot: visitors stay with green. */
static void the_other_bank_is_not_hit(void **state) {
        const ReuseGroupOptions options = { .n_slots = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseRule green = reuse_rule_init(1, 2);

        assert_ok(reuse_group_set_rule(g, &green));
        shut(g, 0, 1);
        assert_int_equal(reuse_group_mend(g), 1);
        assert_int_equal(traffic_visits(g, false, false, 80).in_bank[1], 80);
        assert_int_equal(reuse_group_index(g, 1, 1), 1); /* it moved into the hole */
        assert_int_equal(reuse_group_index(g, 0, 1), 3);
}

/* fact k16: our copy tells at once, without interest in any event */
static void a_copy_tells_that_it_was_shut(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", NULL);
        _cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);
        _cleanup_close_ int copy = fcntl(reuse_group_fd(g, 0, 0), F_DUPFD_CLOEXEC, 3);
        struct epoll_event event = { .events = 0 }, got;

        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, reuse_group_fd(g, 0, 0), &event), 0);
        assert_int_equal(epoll_wait(epoll, &got, 1, 0), 0);
        assert_int_equal(shutdown(copy, SHUT_RD), 0); /* the worker's */
        assert_int_equal(epoll_wait(epoll, &got, 1, 0), 1);
        assert_true(got.events & EPOLLHUP);
        assert_int_equal(reuse_group_mend(g), 1);
        assert_int_equal(epoll_wait(epoll, &got, 1, 0), 0);
}

/* The door that somebody had open is open again afterwards. */
static void the_rule_is_as_before(void **state) {
        const ReuseGroupOptions options = { .n_slots = 3 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        ReuseAddress target = traffic_target(g, false), door = traffic_source(AF_INET, 0);
        ReuseRule rule = reuse_rule_init(1, 3);
        Hits looks = { .total = 0 };
        unsigned bank, slot;

        rule.door = (ReuseDoor){ .is_open = true, .bank = 0, .slot = 1 };
        assert_ok(reuse_group_set_rule(g, &rule));
        shut(g, 0, 0);
        shut(g, 0, 1);
        shut(g, 0, 2);
        assert_int_equal(reuse_group_mend(g), 3);
        assert_true(reuse_rule_equal(reuse_group_rule(g), &rule));

        traffic_take(g, &looks, NULL, NULL);
        door.in.sin_addr.s_addr = htonl(REUSE_DOOR_SLOT_V4);
        traffic_meet(g, &target, &door, &bank, &slot);
        assert_int_equal(bank, 0);
        assert_int_equal(slot, 1);
}

/* Bound to an interface that we do not come in by: nobody can look, so all uncertain ones begin anew. */
static void where_nobody_can_look_all_begin_anew(void **state) {
        ReuseSockopt device = { .name = "bind_to_device", .text = "veth-far" };
        const ReuseGroupOptions options = { .n_slots = 3, .sockopts = &device, .n_sockopts = 1 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        unsigned waiting;

        unit_own_network();
        if (system("ip link add veth-near type veth peer name veth-far && ip link set veth-near up && "
                   "ip link set veth-far up") != 0)
                unit_skip("no veth interfaces");

        g = traffic_open("tcp4", "0.0.0.0:0", &options);
        shut(g, 0, 0);
        shut(g, 0, 1);
        shut(g, 0, 2);
        assert_int_equal(reuse_group_mend(g), 3);
        shut(g, 0, 1); /* a known prefix stays: one who moved is certain, two are not */
        shut(g, 0, 2);
        assert_int_equal(reuse_group_mend(g), 2);
        for (unsigned place = 0; place < 6; place++) {
                int index = reuse_group_index(g, place / 3, place % 3);

                assert_in_range(index, 0, 5);
                assert_ok(reuse_group_queue(g, place / 3, place % 3, &waiting, NULL));
                assert_int_equal(waiting, 0);
        }

        /* let it be reached, to ask who is where */
        for (unsigned place = 0; place < 6; place++)
                assert_int_equal(setsockopt(reuse_group_fd(g, place / 3, place % 3), SOL_SOCKET,
                                            SO_BINDTODEVICE, "", 0),
                                 0);
}

typedef struct Saboteur {
        ReuseGroup *group;
        bool stop;
        unsigned n_shut;
} Saboteur;

/* A worker that shuts its sockets while we mend. */
static void *sabotage(void *userdata) {
        Saboteur *s = userdata;
        unsigned seed = 5;

        while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
                unsigned place = (unsigned) rand_r(&seed) % 8;

                s->n_shut += shutdown(reuse_group_fd(s->group, place / 4, place % 4), SHUT_RDWR) ==
                             0;
                (void) sched_yield();
        }
        return NULL;
}

static void who_goes_on_shutting_does_not_confuse_us(void **state) {
        const ReuseGroupOptions options = { .n_slots = 4 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);

        for (unsigned round = 0; round < unit_count(5, 100); round++) {
                Saboteur saboteur = { .group = g };
                pthread_t thread;

                assert_int_equal(pthread_create(&thread, NULL, sabotage, &saboteur), 0);
                for (unsigned i = 0; i < 20; i++)
                        (void) reuse_group_mend(g);
                __atomic_store_n(&saboteur.stop, true, __ATOMIC_RELEASE);
                assert_int_equal(pthread_join(thread, NULL), 0);
                assert_ok(reuse_group_mend(g));
                assert_int_equal(reuse_group_mend(g), 0);
                check_indices(g, false);
        }
}

static void datagrams_have_nothing_to_mend(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("udp4", "127.0.0.1:0", NULL);

        (void) shutdown(reuse_group_fd(g, 0, 0), SHUT_RDWR); /* ENOTCONN: it does not leave */
        assert_int_equal(reuse_group_mend(g), 0);
        check_indices(g, false);
}

/* The same with net.ipv4.tcp_migrate_req: the kernel keeps who has left in another list then. */
static void mending_works_with_migration(void **state) {
        unit_own_network();
        if (!unit_write_file("/proc/sys/net/ipv4/tcp_migrate_req", "1"))
                unit_skip("cannot set net.ipv4.tcp_migrate_req");

        every_way_to_lose_some_of_six_is_mended(state);
        any_order_of_leaving_is_mended(state);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(every_way_to_lose_some_of_six_is_mended),
                UNIT_TEST(any_order_of_leaving_is_mended),
                UNIT_TEST(no_other_queue_suffers),
                UNIT_TEST(the_other_bank_is_not_hit),
                UNIT_TEST(a_copy_tells_that_it_was_shut),
                UNIT_TEST(the_rule_is_as_before),
                UNIT_TEST(who_goes_on_shutting_does_not_confuse_us),
                UNIT_TEST(datagrams_have_nothing_to_mend),
                /* from here on in networks of our own */
                UNIT_TEST(where_nobody_can_look_all_begin_anew),
                UNIT_TEST(mending_works_with_migration),
        };

        return UNIT_RUN(tests);
}
