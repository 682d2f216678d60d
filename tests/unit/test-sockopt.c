/* Each option of the table is really set, on each kind of socket that may have it; what is not for a kind
 * is refused before the kernel sees it. */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reuse/socket.h"
#include "unit.h"

static int new_socket(int family, int type) {
        return assert_ok(socket(family, type | SOCK_CLOEXEC, 0));
}

static int read_option(int fd, int level, int option) {
        int value = -1;
        socklen_t size = sizeof(value);

        assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
        return value;
}

typedef struct Row {
        const char *name;
        int64_t value;
        int level, option, expected; /* what the kernel says afterwards */
        int option_v6;               /* and of IPPROTO_IPV6 */
        int64_t effective;           /* 0: the value */
} Row;

static const Row rows[] = {
        { "no_delay", 1, IPPROTO_TCP, TCP_NODELAY, 1 },
        { "keep_alive", 1, SOL_SOCKET, SO_KEEPALIVE, 1 },
        { "keep_alive_time", 90 * INT64_C(1000000), IPPROTO_TCP, TCP_KEEPIDLE, 90 },
        { "keep_alive_interval", INT64_C(1500000), IPPROTO_TCP, TCP_KEEPINTVL, 2, 0, 2000000 },
        { "keep_alive_probes", 5, IPPROTO_TCP, TCP_KEEPCNT, 5 },
        { "defer_accept", INT64_C(5000000), IPPROTO_TCP, TCP_DEFER_ACCEPT, 7, 0, 7000000 },
        { "receive_buffer", 65536, SOL_SOCKET, SO_RCVBUF, 131072 },
        { "send_buffer", 65536, SOL_SOCKET, SO_SNDBUF, 131072 },
        { "ip_tos", 0x10, IPPROTO_IP, IP_TOS, 0x10, IPV6_TCLASS },
        { "ip_ttl", 33, IPPROTO_IP, IP_TTL, 33, IPV6_UNICAST_HOPS },
        { "priority", 6, SOL_SOCKET, SO_PRIORITY, 6 },
        { "free_bind", 1, IPPROTO_IP, IP_FREEBIND, 1 },
        { "broadcast", 1, SOL_SOCKET, SO_BROADCAST, 1 },
        { "pass_packet_info", 1, IPPROTO_IP, IP_PKTINFO, 1, IPV6_RECVPKTINFO },
        { "fast_open", 128, IPPROTO_TCP, TCP_FASTOPEN, 128 },
};

static void check_row(const Row *row, int family, int type) {
        const ReuseSockoptInfo *info = reuse_sockopt_find(row->name);
        const ReuseSockopt option = { .name = row->name, .value = row->value };
        _cleanup_close_ int fd = new_socket(family, type);
        int64_t effective = -1;
        int r;

        assert_non_null(info);
        r = reuse_sockopt_set(fd, &option, &effective);
        if (!(type == SOCK_STREAM ? info->for_stream : info->for_datagram)) {
                assert_int_equal(r, -ENOPROTOOPT);
                assert_int_equal(effective, -1);
                return;
        }

        if (r < 0)
                fail_msg("%s: %s", row->name, reuse_strerror(r));
        if (read_option(fd, row->level, row->option) != row->expected)
                fail_msg("%s: %d", row->name, read_option(fd, row->level, row->option));
        if (family == AF_INET6 && row->option_v6)
                assert_int_equal(read_option(fd, IPPROTO_IPV6, row->option_v6), row->expected);
        if (effective != (row->effective ? row->effective : row->value))
                fail_msg("%s: effective is %lld", row->name, (long long) effective);
}

static void each_option_is_set_where_it_belongs(void **state) {
        static const int families[] = { AF_INET, AF_INET6 }, types[] = { SOCK_STREAM, SOCK_DGRAM };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                for (size_t f = 0; f < 2; f++)
                        for (size_t t = 0; t < 2; t++)
                                check_row(rows + i, families[f], types[t]);
}

static void flags_can_be_cleared(void **state) {
        static const char *const names[] = { "no_delay", "keep_alive", "free_bind",
                                             "pass_packet_info", "broadcast" };

        for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
                ReuseSockopt option = { .name = names[i], .value = 1 };
                bool is_stream = reuse_sockopt_find(names[i])->for_stream;
                _cleanup_close_ int fd = new_socket(AF_INET, is_stream ? SOCK_STREAM : SOCK_DGRAM);
                int64_t effective;

                assert_ok(reuse_sockopt_set(fd, &option, NULL));
                option.value = 0;
                assert_ok(reuse_sockopt_set(fd, &option, &effective));
                assert_int_equal(effective, 0);
        }
}

static void texts_are_set(void **state) {
        static const ReuseSockopt congestion = { .name = "tcp_congestion", .text = "reno" };
        static const ReuseSockopt device = { .name = "bind_to_device", .text = "lo" };
        static const ReuseSockopt no_congestion = { .name = "tcp_congestion", .text = "none-such" };
        static const ReuseSockopt no_device = { .name = "bind_to_device", .text = "none-such" };
        static const ReuseSockopt no_text = { .name = "tcp_congestion" };
        _cleanup_close_ int fd = new_socket(AF_INET, SOCK_STREAM);
        _cleanup_close_ int udp = new_socket(AF_INET, SOCK_DGRAM);
        char text[32];
        socklen_t size = sizeof(text);

        assert_ok(reuse_sockopt_set(fd, &congestion, NULL));
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, text, &size), 0);
        assert_string_equal(text, "reno");
        assert_ok(reuse_sockopt_set(udp, &device, NULL));
        size = sizeof(text);
        assert_int_equal(getsockopt(udp, SOL_SOCKET, SO_BINDTODEVICE, text, &size), 0);
        assert_string_equal(text, "lo");

        assert_int_equal(reuse_sockopt_set(fd, &no_congestion, NULL), -ENOENT);
        assert_int_equal(reuse_sockopt_set(fd, &no_device, NULL), -ENODEV);
        assert_int_equal(reuse_sockopt_set(fd, &no_text, NULL), -EINVAL);
        assert_int_equal(reuse_sockopt_set(udp, &congestion, NULL), -ENOPROTOOPT);
}

static void time_stamps_have_names(void **state) {
        static const struct {
                const char *text;
                int us, ns;
        } names[] = { { "us", 1, 0 },   { "ns", 0, 1 },   { "off", 0, 0 },
                      { "usec", 1, 0 }, { "nsec", 0, 1 }, { "\u00b5s", 1, 0 } };

        for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
                const ReuseSockopt option = { .name = "timestamping", .text = names[i].text };
                _cleanup_close_ int fd = new_socket(AF_INET, SOCK_DGRAM);

                assert_ok(reuse_sockopt_set(fd, &option, NULL));
                assert_int_equal(read_option(fd, SOL_SOCKET, SO_TIMESTAMP), names[i].us);
                assert_int_equal(read_option(fd, SOL_SOCKET, SO_TIMESTAMPNS), names[i].ns);
        }
}

static void unknown_names_and_values_are_refused(void **state) {
        static const ReuseSockopt wrong[] = {
                { .name = "no_such_option" },
                { .name = NULL },
                { .name = "timestamping", .text = "sometimes" },
        };
        static const ReuseSockopt out_of_range[] = {
                { .name = "no_delay", .value = 2 },
                { .name = "no_delay", .value = -1 },
                { .name = "ip_tos", .value = 256 },
                { .name = "ip_ttl", .value = 0 },
                { .name = "keep_alive_probes", .value = 0 },
                { .name = "receive_buffer", .value = 0 },
                { .name = "keep_alive_time", .value = 1 },
                { .name = "mark", .value = 1LL << 32 },
                { .name = "send_buffer", .value = 1LL << 31 },
        };
        _cleanup_close_ int fd = new_socket(AF_INET, SOCK_STREAM);

        for (size_t i = 0; i < ELEMENTS_OF(wrong); i++)
                assert_int_equal(reuse_sockopt_set(fd, wrong + i, NULL), -EINVAL);
        for (size_t i = 0; i < ELEMENTS_OF(out_of_range); i++)
                assert_int_equal(reuse_sockopt_set(fd, out_of_range + i, NULL), -ERANGE);
        assert_int_equal(reuse_sockopt_set(-1, &(ReuseSockopt){ .name = "no_delay", .value = 1 },
                                           NULL),
                         -EBADF);
}

static void what_needs_a_right_is_named(void **state) {
        static const ReuseSockopt options[] = {
                { .name = "mark", .value = 7 },
                { .name = "transparent", .value = 1 },
                { .name = "priority", .value = 100 },
        };

        for (size_t i = 0; i < ELEMENTS_OF(options); i++) {
                _cleanup_close_ int fd = new_socket(AF_INET, SOCK_STREAM);
                int64_t effective;

                assert_string_equal(reuse_sockopt_find(options[i].name)->capability,
                                    "CAP_NET_ADMIN");
                if (geteuid() == 0) {
                        assert_ok(reuse_sockopt_set(fd, options + i, &effective));
                        assert_int_equal(effective, options[i].value);
                        assert_int_equal(seteuid(65534), 0);
                }
                fd = fd_close(fd);
                fd = new_socket(AF_INET, SOCK_STREAM);
                assert_int_equal(reuse_sockopt_set(fd, options + i, NULL), -EPERM);
                if (getuid() == 0)
                        assert_int_equal(seteuid(0), 0);
        }
}

static void a_mark_uses_all_its_bits(void **state) {
        static const ReuseSockopt mark = { .name = "mark", .value = 0xfffffffe };
        _cleanup_close_ int fd = -EBADF;
        int64_t effective;

        if (geteuid() != 0)
                unit_skip("needs CAP_NET_ADMIN");

        fd = new_socket(AF_INET, SOCK_STREAM);
        assert_ok(reuse_sockopt_set(fd, &mark, &effective));
        assert_int_equal(effective, 0xfffffffe);
}

/* What is beyond the limit is forced where we may, and told where we may not. */
static void a_buffer_tells_what_it_became(void **state) {
        static const ReuseSockopt huge = { .name = "receive_buffer", .value = 1 << 26 };
        _cleanup_close_ int forced = -EBADF, capped = -EBADF;
        int64_t effective;

        if (geteuid() != 0)
                unit_skip("needs root, to have and not to have CAP_NET_ADMIN");

        forced = new_socket(AF_INET, SOCK_STREAM);
        assert_ok(reuse_sockopt_set(forced, &huge, &effective));
        assert_int_equal(effective, 1 << 26);

        assert_int_equal(seteuid(65534), 0);
        capped = new_socket(AF_INET, SOCK_STREAM);
        assert_ok(reuse_sockopt_set(capped, &huge, &effective));
        assert_int_equal(seteuid(0), 0);
        assert_true(effective < 1 << 26);
}

static void the_table_can_be_walked(void **state) {
        const ReuseSockoptInfo *info = NULL;
        unsigned n = 0;

        while ((info = reuse_sockopt_next(info))) {
                assert_ptr_equal(reuse_sockopt_find(info->name), info);
                assert_true(info->for_stream || info->for_datagram);
                assert_true(info->min <= info->max);
                n++;
        }
        assert_int_equal(n, 20); /* as many as endpoints.conf(5) has */
        assert_null(reuse_sockopt_find("backlog"));
        assert_null(reuse_sockopt_next(&(ReuseSockoptInfo){ .name = "foreign" }));
}

static void the_first_that_fails_is_named(void **state) {
        static const ReuseSockopt options[] = {
                { .name = "no_delay", .value = 1 },
                { .name = "tcp_congestion", .text = "none-such" },
                { .name = "no_such_option" },
        };
        _cleanup_close_ int fd = new_socket(AF_INET, SOCK_STREAM);
        const char *name = NULL;

        assert_int_equal(reuse_sockopts_apply(fd, options, 3, &name), -ENOENT);
        assert_string_equal(name, "tcp_congestion");
        assert_int_equal(reuse_sockopts_apply(fd, options + 2, 1, &name), -EINVAL);
        assert_string_equal(name, "no_such_option");
        assert_int_equal(reuse_sockopts_apply(fd, options + 1, 2, NULL), -ENOENT);
        assert_ok(reuse_sockopts_apply(fd, NULL, 0, &name));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(each_option_is_set_where_it_belongs),
                UNIT_TEST(flags_can_be_cleared),
                UNIT_TEST(texts_are_set),
                UNIT_TEST(time_stamps_have_names),
                UNIT_TEST(unknown_names_and_values_are_refused),
                UNIT_TEST(what_needs_a_right_is_named),
                UNIT_TEST(a_mark_uses_all_its_bits),
                UNIT_TEST(a_buffer_tells_what_it_became),
                UNIT_TEST(the_table_can_be_walked),
                UNIT_TEST(the_first_that_fails_is_named),
        };

        return UNIT_RUN(tests);
}
