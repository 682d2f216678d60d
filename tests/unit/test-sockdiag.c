#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/endpoint/proc.h"
#include "daemon/endpoint/sockdiag.h"
#include "unit.h"

static ReuseAddress name_of(int fd, int type) {
        ReuseAddress a = { .type = type, .length = sizeof(a.storage) };

        assert_int_equal(getsockname(fd, &a.sa, &a.length), 0);
        return a;
}

static uint32_t inode_of(int fd) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return (uint32_t) st.st_ino;
}

static void check_holder(const char *network, const char *address, const char *other) {
        int fd = network[0] == 't' ? reuse_listen(network, address, NULL)
                                   : reuse_listen_packet(network, address, NULL);
        ReuseAddress a, b;
        Holder holders[8];
        SocketHolder who = { 0 };

        assert_true(fd >= 0);
        a = name_of(fd, network[0] == 't' ? SOCK_STREAM : SOCK_DGRAM);
        assert_int_equal(sockdiag_find_holders(&a, holders, 8), 1);
        assert_int_equal(holders[0].inode, inode_of(fd));
        assert_int_equal(holders[0].uid, geteuid());

        who.inode = holders[0].inode;
        proc_find_holders(&who, 1, /* except= */ 0);
        assert_int_equal(who.pid, getpid());
        assert_true(strncmp(who.name, "test-sockdiag", 13) == 0);

        /* another address of the same port is nobody's business */
        assert_int_equal(reuse_address_parse(network, other, true, &b), 0);
        if (b.sa.sa_family == AF_INET)
                b.in.sin_port = htons(reuse_address_port(&a));
        else
                b.in6.sin6_port = htons(reuse_address_port(&a));
        assert_int_equal(sockdiag_find_holders(&b, holders, 8), 0);
        (void) close(fd);
}

static void a_holder_is_found_by_its_address(void **state) {
        check_holder("tcp", "127.0.0.1:0", "127.0.0.2:1");
        check_holder("udp", "127.0.0.1:0", "127.0.0.2:1");
        check_holder("tcp", "[::1]:0", "127.0.0.1:1");
        check_holder("udp", "[::1]:0", "127.0.0.1:1");
}

static void a_wildcard_stands_in_the_way_of_all(void **state) {
        int fd = reuse_listen("tcp", ":0", NULL);
        ReuseAddress a, b;
        Holder holders[8];

        assert_true(fd >= 0);
        a = name_of(fd, SOCK_STREAM);
        assert_int_equal(reuse_address_parse("tcp", "127.0.0.1:1", true, &b), 0);
        b.in.sin_port = htons(reuse_address_port(&a));
        assert_int_equal(sockdiag_find_holders(&b, holders, 8), 1);
        (void) close(fd);
}

static void only_what_somebody_accepted_is_accepted(void **state) {
        int listener = reuse_listen("tcp", "127.0.0.1:0", NULL), client, server;
        ReuseAddress near, far;
        char text[REUSE_ADDRESS_TEXT_SIZE];

        assert_true(listener >= 0);
        far = name_of(listener, SOCK_STREAM);
        client = reuse_dial("tcp", NULL, reuse_address_format(&far, text, sizeof(text)), NULL);
        assert_true(client >= 0);
        near = name_of(client, SOCK_STREAM);

        assert_int_equal(sockdiag_is_accepted(&near, &far), 0);
        server = unit_accept(listener);
        assert_int_equal(sockdiag_is_accepted(&near, &far), 1);

        near.in.sin_port = htons((uint16_t) (ntohs(near.in.sin_port) ^ 1));
        assert_int_equal(sockdiag_is_accepted(&near, &far), -ENOENT);
        (void) close(server);
        (void) close(client);
        (void) close(listener);
}

/* A visitor over IPv4 of a socket of IPv6. */
static void a_mapped_connection_is_found_too(void **state) {
        int listener = reuse_listen("tcp", ":0", NULL), client, server;
        ReuseAddress near, far = { .type = SOCK_STREAM, .length = sizeof(far.storage) };
        char text[REUSE_ADDRESS_TEXT_SIZE];

        assert_true(listener >= 0);
        near = name_of(listener, SOCK_STREAM);
        if (near.sa.sa_family != AF_INET6)
                unit_skip("there is no IPv6 here");
        snprintf(text, sizeof(text), "127.0.0.1:%u", reuse_address_port(&near));
        client = reuse_dial("tcp", NULL, text, NULL);
        assert_true(client >= 0);
        near = name_of(client, SOCK_STREAM);
        assert_int_equal(getpeername(client, &far.sa, &far.length), 0);

        assert_int_equal(sockdiag_is_accepted(&near, &far), 0);
        server = unit_accept(listener);
        assert_int_equal(sockdiag_is_accepted(&near, &far), 1);
        (void) close(server);
        (void) close(client);
        (void) close(listener);
}

/* With defer_accept a client that says nothing stays a half-open request. */
static void a_handshake_under_way_is_seen_until_it_ends(void **state) {
        const ReuseSockopt defer = { .name = "defer_accept", .value = 5000000 };
        const ReuseOptions options = { .sockopts = &defer, .n_sockopts = 1 };
        int listener = reuse_listen("tcp", "127.0.0.1:0", &options), client, server;
        ReuseAddress far;
        char text[REUSE_ADDRESS_TEXT_SIZE];
        HalfOpen *found;

        assert_true(listener >= 0);
        far = name_of(listener, SOCK_STREAM);
        assert_int_equal(sockdiag_find_half_open(&far, &found), 0);
        free(found);

        client = reuse_dial("tcp", NULL, reuse_address_format(&far, text, sizeof(text)), NULL);
        assert_true(client >= 0);
        assert_int_equal(sockdiag_find_half_open(&far, &found), 1);
        assert_true(found[0].cookie != 0);
        assert_int_equal(found[0].n_retransmissions, 0);
        free(found);

        assert_int_equal(write(client, "x", 1), 1);
        server = unit_accept(listener);
        assert_int_equal(sockdiag_find_half_open(&far, &found), 0);
        free(found);
        (void) close(server);
        (void) close(client);
        (void) close(listener);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_holder_is_found_by_its_address),
                UNIT_TEST(a_wildcard_stands_in_the_way_of_all),
                UNIT_TEST(only_what_somebody_accepted_is_accepted),
                UNIT_TEST(a_mapped_connection_is_found_too),
                UNIT_TEST(a_handshake_under_way_is_seen_until_it_ends),
        };

        return UNIT_RUN(tests);
}
