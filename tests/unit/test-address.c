#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "reuse/address.h"
#include "unit.h"

typedef struct Row {
        const char *network, *text;
        const char *formatted; /* NULL: refused */
        bool is_dual_stack;
} Row;

static bool has_v6(void) {
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM, 0);

        return fd >= 0;
}

static void check(const Row *row, bool numeric_only) {
        ReuseAddress a, untouched = { .length = 77 };
        char buffer[REUSE_ADDRESS_TEXT_SIZE];
        int r;

        a = untouched;
        r = reuse_address_parse(row->network, row->text, numeric_only, &a);
        if (!row->formatted) {
                if (r != REUSE_EADDRESS)
                        fail_msg("%s %s: %d", row->network, row->text, r);
                assert_memory_equal(&a, &untouched, sizeof(a));
                return;
        }

        if (r < 0)
                fail_msg("%s %s: %s", row->network, row->text, reuse_strerror(r));
        assert_string_equal(reuse_address_format(&a, buffer, sizeof(buffer)), row->formatted);
        if (a.is_dual_stack != row->is_dual_stack)
                fail_msg("%s %s: dual-stack is %d", row->network, row->text, a.is_dual_stack);
        assert_int_equal(a.type, *row->network == 't' ? SOCK_STREAM : SOCK_DGRAM);
}

static void literals_are_read_and_written_back(void **state) {
        static const Row rows[] = {
                { "tcp", "127.0.0.1:80", "127.0.0.1:80" },
                { "tcp4", "0.0.0.0:0", "0.0.0.0:0" },
                { "udp", "255.255.255.255:65535", "255.255.255.255:65535" },
                { "udp4", "1.2.3.4:00080", "1.2.3.4:80" },
                { "tcp", "[::1]:443", "[::1]:443" },
                { "tcp6", "[2001:db8:0:0::1]:1", "[2001:db8::1]:1" },
                { "udp6", "[::]:53", "[::]:53" },
                { "tcp", "[::ffff:1.2.3.4]:5", "1.2.3.4:5" },
                { "tcp4", "[::ffff:1.2.3.4]:5", "1.2.3.4:5" },
                { "tcp", "[::1%lo]:9", "[::1%lo]:9" },
                { "tcp", "[fe80::1%1]:9", "[fe80::1%lo]:9" },
        };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                check(rows + i, true);
                check(rows + i, false);
        }
}

static void what_is_no_address_is_refused(void **state) {
        static const Row rows[] = {
                { "tcp", "" },
                { "tcp", "80" },
                { "tcp", ":" },
                { "tcp", ":65536" },
                { "tcp", ":443000" },
                { "tcp", ":99999999999999999999999999" },
                { "tcp", ":-1" },
                { "tcp", ":+1" },
                { "tcp", ": 1" },
                { "tcp", ":1 " },
                { "tcp", ":0x50" },
                { "tcp", "127.0.0.1" },
                { "tcp", "127.0.0.1:" },
                { "tcp", "127.1:80" },
                { "tcp", "2130706433:80" },
                { "tcp", "0x7f000001:80" },
                { "tcp", "1.2.3.256:80" },
                { "tcp", "1.2.3.4.5:80" },
                { "tcp", "::1:80" },
                { "tcp", "[::1]" },
                { "tcp", "[::1]80" },
                { "tcp", "[::1:80" },
                { "tcp", "[]:80" },
                { "tcp", "[1.2.3.4]:80" },
                { "tcp", "[::1]:80:81" },
                { "tcp", "1.2.3.4:80:81" },
                { "tcp", "[[::1]]:80" },
                { "tcp", "[::1%]:80" },
                { "tcp", "[::1%999999]:80" },
                { "tcp", "[::1%1x]:80" },
                { "tcp", "[::1%-1]:80" },
                { "tcp", "[::ffff:1.2.3.4%lo]:80" },
                { "tcp", "1.2.3.4%lo:80" },
                { "tcp4", "[::1]:80" },
                { "tcp6", "127.0.0.1:80" },
                { "tcp6", "[::ffff:1.2.3.4]:80" },
                { "udp4", "[::]:80" },
                { "udp6", "0.0.0.0:80" },
        };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                check(rows + i, true);
                check(rows + i, false);
        }

        assert_int_equal(reuse_address_parse("tcp", NULL, true, &(ReuseAddress){ .length = 0 }),
                         REUSE_EADDRESS);
}

static void a_host_is_no_longer_than_a_name(void **state) {
        char text[2 * NI_MAXHOST];

        memset(text, 'a', sizeof(text));
        memcpy(text + sizeof(text) - 4, ":80", 4);
        check(&(Row){ "tcp", text }, false);

        text[0] = '[';
        memcpy(text + sizeof(text) - 5, "]:80", 5);
        check(&(Row){ "tcp", text }, false);
}

/* case 4, 17, 33, 35: an unknown network is an error of its own */
static void a_network_is_one_of_six(void **state) {
        static const char *const networks[] = {
                "asd",  "xxx",  "unix",   "unixgram",          "ip", "", "TCP", "tcp5", "udp4xx",
                "udp*", "tcp ", "tcp4:6", "udp6_no_ipv_device"
        };
        ReuseAddress a;

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                assert_int_equal(reuse_address_parse(networks[i], "127.0.0.1:1", true, &a),
                                 REUSE_EPROTOCOL);
                assert_int_equal(reuse_network_type(networks[i]), REUSE_EPROTOCOL);
        }

        assert_int_equal(reuse_address_parse(NULL, "127.0.0.1:1", true, &a), REUSE_EPROTOCOL);
}

/* case 34: an invalid host in brackets is an error */
static void a_broken_v6_address_is_refused(void **state) {
        static const Row rows[] = { { "tcp", "[::x]:80" }, { "udp6", "[:::]:80" } };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                check(rows + i, false);
}

/* case 36: the zone of an unknown interface is an error, for both protocols */
static void an_unknown_zone_is_refused(void **state) {
        static const Row rows[] = { { "tcp", "[fe80::1%ethx]:80" },
                                    { "udp", "[fe80::1%ethx]:80" } };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                check(rows + i, false);
}

/* case 37, 44: a wildcard keeps its network: "tcp4" is IPv4, "tcp6" IPv6, "tcp" both */
static void an_empty_host_means_all_of_its_network(void **state) {
        static const Row with_v6[] = {
                { "tcp", ":80", "[::]:80", true }, { "tcp", "[::]:80", "[::]:80", true },
                { "tcp4", ":80", "0.0.0.0:80" },   { "tcp6", ":80", "[::]:80" },
                { "tcp6", "[::]:80", "[::]:80" },  { "tcp", "0.0.0.0:80", "0.0.0.0:80" },
                { "udp", ":80", "[::]:80", true }, { "udp4", ":80", "0.0.0.0:80" },
                { "udp6", ":80", "[::]:80" },      { "tcp", "[::%lo]:80", "[::%lo]:80" },
        };

        if (!has_v6())
                unit_skip("no IPv6 here");

        for (size_t i = 0; i < ELEMENTS_OF(with_v6); i++)
                check(with_v6 + i, true);
}

/* case 5: a name that does not resolve is an error */
static void names_are_resolved_only_if_asked(void **state) {
        ReuseAddress a;
        char buffer[REUSE_ADDRESS_TEXT_SIZE];

        assert_int_equal(reuse_address_parse("tcp", "localhost:80", true, &a), REUSE_EADDRESS);
        assert_int_equal(reuse_address_parse("tcp", "no.such.host.invalid:80", false, &a),
                         REUSE_EADDRESS);
        assert_int_equal(reuse_address_parse("tcp", "127.0.0.1:no-such-service", false, &a),
                         REUSE_EADDRESS);

        assert_ok(reuse_address_parse("tcp4", "localhost:80", false, &a));
        assert_string_equal(reuse_address_format(&a, buffer, sizeof(buffer)), "127.0.0.1:80");
        assert_ok(reuse_address_parse("tcp", "localhost:80", false, &a));
        assert_string_equal(reuse_address_format(&a, buffer, sizeof(buffer)), "127.0.0.1:80");
}

static void services_are_resolved_only_if_asked(void **state) {
        ReuseAddress a;

        if (!getservbyname("http", "tcp"))
                unit_skip("/etc/services does not know http");

        assert_int_equal(reuse_address_parse("tcp", "127.0.0.1:http", true, &a), REUSE_EADDRESS);
        assert_ok(reuse_address_parse("tcp", "localhost:http", false, &a));
        assert_int_equal(reuse_address_port(&a), 80);
}

static void a_name_of_both_families_gives_all_addresses(void **state) {
        ReuseAddress found[REUSE_RESOLVED_MAX];
        int n;

        n = assert_ok(reuse_address_resolve("udp", "localhost:7", 0, found, ELEMENTS_OF(found)));
        assert_true(n >= 1);
        assert_int_equal(found[0].sa.sa_family, AF_INET);
        for (int i = 0; i < n; i++) {
                assert_int_equal(reuse_address_port(found + i), 7);
                assert_int_equal(found[i].type, SOCK_DGRAM);
        }
}

static void addresses_are_equal_in_all_or_not(void **state) {
        static const char *const texts[] = { "1.2.3.4:5",      "1.2.3.5:5",  "1.2.3.4:6",
                                             "[::1]:5",        "[::2]:5",    "[::]:5",
                                             "[fe80::1%lo]:5", "[fe80::1]:5" };
        static const char *const networks[] = { "tcp", "udp" };
        ReuseAddress all[ELEMENTS_OF(texts) * ELEMENTS_OF(networks)];
        size_t n = 0;

        if (!has_v6())
                unit_skip("no IPv6 here");

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++)
                for (size_t j = 0; j < ELEMENTS_OF(texts); j++)
                        assert_ok(reuse_address_parse(networks[i], texts[j], true, all + n++));

        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++)
                        assert_int_equal(reuse_address_equal(all + i, all + j), i == j);

        assert_ok(reuse_address_parse("tcp6", "[::]:5", true, all));
        assert_false(reuse_address_equal(all, all + 5)); /* one of them is dual-stack */
}

static void a_buffer_that_is_short_is_not_overrun(void **state) {
        ReuseAddress a, unknown = { .length = 0 };
        char buffer[8] = "xxxxxxx";

        assert_ok(reuse_address_parse("tcp", "255.255.255.255:65535", true, &a));
        assert_string_equal(reuse_address_format(&a, buffer, 5), "255.");
        assert_string_equal(buffer + 5, "xx");
        assert_string_equal(reuse_address_format(&unknown, buffer, sizeof(buffer)), "?");

        a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_scope_id = 4000000000 };
        assert_string_equal(reuse_address_format(&a, (char[80]){ "" }, 80), "[::%4000000000]:0");
}

static void a_socket_tells_its_address(void **state) {
        _cleanup_close_ int fd = -EBADF;
        ReuseAddress a;

        assert_int_equal(reuse_address_of_socket(-1, &a), -EBADF);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_ok(reuse_address_of_socket(fd, &a));
        assert_int_equal(a.sa.sa_family, AF_UNIX);
}

static void the_texts_of_errors_are_sentences(void **state) {
        static const int errors[] = { 0,           REUSE_EFAILED,  REUSE_EPROTOCOL,
                                      REUSE_ESELF, REUSE_EADDRESS, -EADDRINUSE,
                                      -99999 };

        for (size_t i = 0; i < ELEMENTS_OF(errors); i++) {
                const char *text = reuse_strerror(errors[i]);

                assert_non_null(text);
                assert_true(strlen(text) > 5);
        }
        assert_string_equal(reuse_strerror(-EADDRINUSE), strerror(EADDRINUSE));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(literals_are_read_and_written_back),
                UNIT_TEST(what_is_no_address_is_refused),
                UNIT_TEST(a_host_is_no_longer_than_a_name),
                UNIT_TEST(a_network_is_one_of_six),
                UNIT_TEST(a_broken_v6_address_is_refused),
                UNIT_TEST(an_unknown_zone_is_refused),
                UNIT_TEST(an_empty_host_means_all_of_its_network),
                UNIT_TEST(names_are_resolved_only_if_asked),
                UNIT_TEST(services_are_resolved_only_if_asked),
                UNIT_TEST(a_name_of_both_families_gives_all_addresses),
                UNIT_TEST(addresses_are_equal_in_all_or_not),
                UNIT_TEST(a_buffer_that_is_short_is_not_overrun),
                UNIT_TEST(a_socket_tells_its_address),
                UNIT_TEST(the_texts_of_errors_are_sentences),
        };

        return UNIT_RUN(tests);
}
