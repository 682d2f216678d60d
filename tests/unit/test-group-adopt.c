/* A group that comes back as descriptors, and all the ways in which that must be refused. */

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reuse/address.h"
#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

#define N_PLACES 6U

static ReuseGroup *open_group(const char *network) {
        const ReuseGroupOptions options = { .n_slots = N_PLACES / 2 };

        return traffic_open(network, "127.0.0.1:0", &options);
}

/* Copies of all members, as a store would give them back. */
static void copy_members(const ReuseGroup *g, ReuseMember *ret) {
        assert_int_equal(reuse_group_members(g, ret, N_PLACES), N_PLACES);
        for (unsigned i = 0; i < N_PLACES; i++)
                ret[i].fd = assert_ok(fcntl(ret[i].fd, F_DUPFD_CLOEXEC, 3));
}

static void close_members(ReuseMember *members) {
        for (unsigned i = 0; i < N_PLACES; i++)
                members[i].fd = fd_close(members[i].fd);
}

static void check_indices(ReuseGroup *g) {
        ReuseAddress target = traffic_target(g, false);
        Hits looks = { .total = 0 };

        traffic_take(g, &looks, NULL, NULL); /* what is left of looking who is where */
        for (unsigned place = 0; place < N_PLACES; place++) {
                unsigned bank, slot;
                ReuseRule rule = reuse_rule_init(place / 3, 0);

                reuse_rule_set_live(&rule, place / 3, place % 3, true);
                assert_ok(reuse_group_set_rule(g, &rule));
                traffic_meet(g, &target, NULL, &bank, &slot);
                assert_int_equal(bank, place / 3);
                assert_int_equal(slot, place % 3);
        }
}

/* Queues live on while somebody holds the sockets: fact k3, as far as the library goes. */
static void a_group_comes_back_with_its_queues(void **state) {
        static const char *const networks[] = { "tcp4", "udp4" };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                _cleanup_(reuse_group_freep) ReuseGroup *g = open_group(networks[i]), *back = NULL;
                ReuseRule rule = reuse_rule_init(1, 3);
                const ReuseGroupOptions options = { .rule = &rule };
                ReuseAddress target = traffic_target(g, false), address = *reuse_group_address(g);
                ReuseMember members[N_PLACES];
                _cleanup_close_ int client = -EBADF;
                Hits hits = { .total = 0 };

                client = traffic_visit(&target, NULL, 0);
                copy_members(g, members);
                g = reuse_group_free(g);

                assert_ok(reuse_group_adopt(members, N_PLACES, &options, &back));
                assert_true(reuse_address_equal(reuse_group_address(back), &address));
                traffic_take(back, &hits, NULL, NULL);
                assert_int_equal(hits.in_bank[0], 1);
                assert_int_equal(traffic_visits(back, false, false, 50).in_bank[1], 50);
                check_indices(back);
                assert_ok(reuse_group_grow(back, 2, 2));
        }
}

/* The table as it was after growth and a mended loss, given back in the order of the indices. */
static void a_table_in_disorder_comes_back(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp4"), *back = NULL;
        ReuseMember members[N_PLACES];

        srandom(9);
        for (unsigned round = 0; round < 20; round++) {
                unsigned place = (unsigned) random() % N_PLACES;

                (void) shutdown(reuse_group_fd(g, place / 3, place % 3), SHUT_RDWR);
                assert_int_equal(reuse_group_mend(g), 1);
                copy_members(g, members);
                g = reuse_group_free(g);
                assert_ok(reuse_group_adopt(members, N_PLACES, NULL, &back));
                g = TAKE_PTR(back);
                check_indices(g);
        }
}

/* Somebody shut his socket while nobody of us was there. */
static void who_left_meanwhile_is_mended(void **state) {
        for (unsigned mask = 1; mask < 1U << N_PLACES; mask++) {
                _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp4"), *back = NULL;
                ReuseMember members[N_PLACES];

                copy_members(g, members);
                for (unsigned i = 0; i < N_PLACES; i++)
                        if (mask & (1U << i))
                                (void) shutdown(members[i].fd, SHUT_RDWR);
                g = reuse_group_free(g);
                assert_ok(reuse_group_adopt(members, N_PLACES, NULL, &back));
                assert_false(reuse_group_is_refusing(back));
                check_indices(back);
        }
}

static void a_refusing_group_comes_back_refusing(void **state) {
        static const char *const networks[] = { "tcp4", "udp4" };

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++)
                for (unsigned was_refusing = 0; was_refusing < 2; was_refusing++)
                        for (unsigned shall_refuse = 0; shall_refuse < 2; shall_refuse++) {
                                const ReuseGroupOptions options = { .is_refusing = shall_refuse };
                                _cleanup_(reuse_group_freep)
                                                ReuseGroup *g = open_group(networks[i]);
                                _cleanup_(reuse_group_freep) ReuseGroup *back = NULL;
                                ReuseMember members[N_PLACES];

                                if (was_refusing)
                                        assert_ok(reuse_group_refuse(g));
                                copy_members(g, members);
                                g = reuse_group_free(g);
                                assert_ok(reuse_group_adopt(members, N_PLACES, &options, &back));
                                assert_int_equal(reuse_group_is_refusing(back), shall_refuse);
                                assert_ok(reuse_group_listen(back));
                                check_indices(back);
                        }
}

/* Tries @members, expects @error, and that they are still the caller's. */
/* What it accepts then is no connection that was born shut. */
static void who_refused_twice_serves_again(void **state) {
        const ReuseGroupOptions refusing = { .is_refusing = true };
        ReuseMember members[N_PLACES];
        ReuseGroup *g = open_group("tcp4"), *back = NULL;
        _cleanup_reset_ int client = -EBADF, server = -EBADF;
        ReuseAddress target;
        struct pollfd polled;
        char byte = 0;

        assert_ok(reuse_group_refuse(g));
        copy_members(g, members);
        reuse_group_free(g);
        assert_ok(reuse_group_adopt(members, N_PLACES, &refusing, &back));
        assert_ok(reuse_group_listen(back));

        target = traffic_target(back, false);
        client = traffic_visit(&target, NULL, 0);
        for (unsigned slot = 0; slot < reuse_group_n_slots(back, 0) && server < 0; slot++) {
                polled = (struct pollfd){ .fd = reuse_group_fd(back, 0, slot), .events = POLLIN };
                if (poll(&polled, 1, 100) > 0)
                        server = accept4(polled.fd, NULL, NULL, SOCK_CLOEXEC);
        }
        assert_true(server >= 0);
        assert_int_equal(send(client, "x", 1, 0), 1);
        assert_int_equal(recv(server, &byte, 1, 0), 1);
        assert_int_equal(byte, 'x');
        reuse_group_free(back);
}

static void refuse(const ReuseMember *members, size_t n, int error) {
        ReuseGroup *g = NULL;
        int r;

        r = reuse_group_adopt(members, n, NULL, &g);
        if (r != error)
                fail_msg("%d instead of %d", r, error);
        assert_null(g);
        for (size_t i = 0; i < n; i++)
                if (members[i].fd >= 0)
                        assert_true(fcntl(members[i].fd, F_GETFD) >= 0);
}

static void wrong_places_are_refused(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp4"), *back = NULL;
        ReuseMember good[N_PLACES], m[N_PLACES];

        copy_members(g, good);
        refuse(good, 0, -EINVAL);
        assert_int_equal(
                        reuse_group_adopt(good, REUSE_BANKS_MAX * REUSE_SLOTS_MAX + 1, NULL, &back),
                        -ERANGE);

        memcpy(m, good, sizeof(m));
        m[5].slot = 1; /* two in one place */
        refuse(m, N_PLACES, -EINVAL);
        m[5].slot = 3; /* a hole */
        refuse(m, N_PLACES, -EINVAL);
        memcpy(m, good, sizeof(m));
        for (unsigned i = 3; i < 6; i++)
                m[i].bank = 2; /* a bank is missing */
        refuse(m, N_PLACES, -EINVAL);
        memcpy(m, good, sizeof(m));
        m[0].bank = 4;
        refuse(m, N_PLACES, -ERANGE);
        memcpy(m, good, sizeof(m));
        m[0].slot = 512;
        refuse(m, N_PLACES, -ERANGE);

        close_members(good);
        check_indices(g); /* and the group is as it was */
}

static void wrong_descriptors_are_refused(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp4"),
                                                *other = open_group("tcp4"),
                                                *udp = open_group("udp4");
        _cleanup_close_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_close_ int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_close_ int fresh_shared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ReuseAddress target = traffic_target(g, false);
        _cleanup_reset_ int client = traffic_visit(&target, NULL, 0), server = -EBADF;
        static const int on = 1;
        ReuseMember good[N_PLACES], m[N_PLACES];

        for (unsigned slot = 0; server < 0; slot++)
                server = accept4(reuse_group_fd(g, 0, slot), NULL, NULL, SOCK_CLOEXEC);
        assert_int_equal(setsockopt(fresh_shared, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);

        copy_members(g, good);
        memcpy(m, good, sizeof(m));
        m[3].fd = -1;
        refuse(m, N_PLACES, -EBADF);
        m[3].fd = null;
        refuse(m, N_PLACES, -ENOTSOCK);
        m[3].fd = unix_fd;
        refuse(m, N_PLACES, -EPROTOTYPE);
        m[3].fd = fresh;
        refuse(m, N_PLACES, REUSE_EFAILED);
        m[3].fd = fresh_shared;
        refuse(m, N_PLACES, -EADDRNOTAVAIL);
        m[3].fd = server;
        refuse(m, N_PLACES, -EISCONN);
        m[3].fd = reuse_group_fd(other, 0, 0);
        refuse(m, N_PLACES, -EADDRNOTAVAIL);
        m[3].fd = reuse_group_fd(udp, 0, 0);
        refuse(m, N_PLACES, -EPROTOTYPE);
        m[3].fd = good[2].fd; /* one socket twice */
        refuse(m, N_PLACES, -EINVAL);
        m[3].fd = reuse_group_fd(g, good[2].bank, good[2].slot); /* and by another descriptor */
        refuse(m, N_PLACES, -EINVAL);

        for (unsigned i = 0; i < N_PLACES; i++)
                m[i] = (ReuseMember){ .fd = fresh_shared, .bank = 0, .slot = (uint16_t) i };
        refuse(m, 1, -EADDRNOTAVAIL); /* not bound */

        close_members(good);
}

static void a_rule_that_does_not_fit_is_refused(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp4"), *back = NULL;
        ReuseRule rule = reuse_rule_init(0, 4);
        const ReuseSockopt odd = { .name = "no_such_option" };
        const ReuseGroupOptions options = { .rule = &rule };
        const ReuseGroupOptions odd_options = { .sockopts = &odd, .n_sockopts = 1 };
        ReuseMember members[N_PLACES];

        copy_members(g, members);
        assert_int_equal(reuse_group_adopt(members, N_PLACES, &options, &back), -ERANGE);
        assert_int_equal(reuse_group_adopt(members, N_PLACES, &odd_options, &back), -EINVAL);
        close_members(members);
        check_indices(g);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_group_comes_back_with_its_queues),
                UNIT_TEST(a_table_in_disorder_comes_back),
                UNIT_TEST(who_left_meanwhile_is_mended),
                UNIT_TEST(a_refusing_group_comes_back_refusing),
                UNIT_TEST(who_refused_twice_serves_again),
                UNIT_TEST(wrong_places_are_refused),
                UNIT_TEST(wrong_descriptors_are_refused),
                UNIT_TEST(a_rule_that_does_not_fit_is_refused),
        };

        return UNIT_RUN(tests);
}
