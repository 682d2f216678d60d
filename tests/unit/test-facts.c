/* The facts of the kernel that the library stands on, each without the library where that is possible: if
 * one of these fails, the kernel has changed, not we. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

#define N_SOCKETS 4

typedef enum Flags {
        FLAG_PORT = 1,    /* SO_REUSEPORT */
        FLAG_ADDRESS = 2, /* SO_REUSEADDR */
} Flags;

static int new_socket(int type, unsigned flags) {
        static const int on = 1;
        int fd = assert_ok(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

        if (flags & FLAG_PORT)
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
        if (flags & FLAG_ADDRESS)
                assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        return fd;
}

static int bind_to(int fd, const struct sockaddr_in *in) {
        return bind(fd, (const struct sockaddr *) in, sizeof(*in)) < 0 ? -errno : 0;
}

static struct sockaddr_in loopback(void) {
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static struct sockaddr_in name_of(int fd) {
        struct sockaddr_in in;
        socklen_t size = sizeof(in);

        assert_int_equal(getsockname(fd, (struct sockaddr *) &in, &size), 0);
        return in;
}

static int attach(int fd, struct sock_filter *code, unsigned short n) {
        struct sock_fprog program = { .len = n, .filter = code };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
                               ? -errno
                               : 0;
}

static int attach_return(int fd, uint32_t index) {
        struct sock_filter code = { .code = BPF_RET | BPF_K, .k = index };

        return attach(fd, &code, 1);
}

typedef struct Raw {
        int fds[N_SOCKETS];
        struct sockaddr_in name;
        int type;
} Raw;

static void raw_done(Raw *raw) {
        for (unsigned i = 0; i < N_SOCKETS; i++)
                raw->fds[i] = fd_close(raw->fds[i]);
}

/* Four sockets of one group, in order. */
static void raw_init(Raw *raw, int type) {
        raw->type = type;
        raw->name = loopback();
        for (unsigned i = 0; i < N_SOCKETS; i++) {
                raw->fds[i] = new_socket(type, type == SOCK_STREAM ? FLAG_PORT | FLAG_ADDRESS
                                                                   : FLAG_PORT);
                assert_ok(bind_to(raw->fds[i], &raw->name));
                raw->name = name_of(raw->fds[i]);
                if (type == SOCK_STREAM)
                        assert_int_equal(listen(raw->fds[i], 100), 0);
        }
}

static int visit(const Raw *raw) {
        int fd = assert_ok(socket(AF_INET, raw->type | SOCK_CLOEXEC, 0));

        assert_int_equal(connect(fd, (const struct sockaddr *) &raw->name, sizeof(raw->name)), 0);
        if (raw->type == SOCK_DGRAM)
                assert_int_equal(send(fd, "1234", 4, 0), 4);
        return fd;
}

/* How many of @n visitors each socket got; they are taken from there. */
static void count(const Raw *raw, unsigned n, unsigned *hits) {
        memset(hits, 0, N_SOCKETS * sizeof(*hits));
        for (unsigned visitor = 0; visitor < n; visitor++) {
                _cleanup_reset_ int client = visit(raw);

                for (unsigned i = 0; i < N_SOCKETS; i++) {
                        char data[8];
                        int r;

                        if (raw->type == SOCK_DGRAM) {
                                hits[i] += recv(raw->fds[i], data, sizeof(data), 0) == 4;
                                continue;
                        }
                        r = accept4(raw->fds[i], NULL, NULL, SOCK_CLOEXEC);
                        hits[i] += r >= 0;
                        (void) fd_close(r);
                }
        }
}

static void assert_only(const Raw *raw, unsigned index) {
        unsigned hits[N_SOCKETS];

        count(raw, 30, hits);
        for (unsigned i = 0; i < N_SOCKETS; i++)
                assert_int_equal(hits[i], i == index ? 30 : 0);
}

/* fact k2: closing a listener resets its queue */
static void k2_closing_resets_the_queue(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        _cleanup_close_ int client = -EBADF;

        raw_init(&raw, SOCK_STREAM);
        assert_ok(attach_return(raw.fds[0], 2));
        client = visit(&raw);
        raw.fds[2] = fd_close(raw.fds[2]);
        assert_true(unit_wait(client, POLLIN) & POLLHUP);
}

/* fact k2, the other half; case 46: one of two listeners closes with connections queued: with migration
 * none is lost, without it all are, and they can be counted before */
static void k2_migration_keeps_the_queue(void **state) {
        static const char *const values[] = { "0", "1" };

        unit_own_network();
        for (unsigned migrate = 0; migrate < 2; migrate++) {
                Raw raw __attribute__((__cleanup__(raw_done)));
                int clients[20];
                struct tcp_info info;
                socklen_t size = sizeof(info);
                unsigned n_lost = 0, n_taken = 0;

                if (!unit_write_file("/proc/sys/net/ipv4/tcp_migrate_req", values[migrate]))
                        unit_skip("cannot set net.ipv4.tcp_migrate_req");

                raw_init(&raw, SOCK_STREAM);
                assert_ok(attach_return(raw.fds[0], 2));
                for (unsigned i = 0; i < 20; i++)
                        clients[i] = visit(&raw);
                assert_int_equal(getsockopt(raw.fds[2], IPPROTO_TCP, TCP_INFO, &info, &size), 0);
                assert_int_equal(info.tcpi_unacked, 20); /* what would be lost */

                raw.fds[2] = fd_close(raw.fds[2]);
                for (unsigned i = 0; i < 20; i++) {
                        struct pollfd polled = { .fd = clients[i], .events = POLLIN };

                        n_lost += poll(&polled, 1, 0) > 0 && polled.revents & POLLHUP;
                        (void) fd_close(clients[i]);
                }
                for (unsigned i = 0; i < N_SOCKETS; i++)
                        for (int fd;
                             raw.fds[i] >= 0 && (fd = accept(raw.fds[i], NULL, NULL)) >= 0;) {
                                (void) fd_close(fd);
                                n_taken++;
                        }
                printf("# tcp_migrate_req %s: %u of 20 lost\n", values[migrate], n_lost);
                assert_int_equal(n_lost, migrate ? 0 : 20);
                assert_int_equal(n_taken, migrate ? 20 : 0);
        }
}

/* fact k3: a queue is kept while any process still holds the same socket */
static void k3_a_held_queue_is_kept(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        _cleanup_close_ int client = -EBADF, server = -EBADF, held = -EBADF;
        pid_t pid;
        int status;

        raw_init(&raw, SOCK_STREAM);
        assert_ok(attach_return(raw.fds[0], 1));
        held = fcntl(raw.fds[1], F_DUPFD_CLOEXEC, 3);
        client = visit(&raw);

        pid = fork(); /* a worker that dies */
        if (pid == 0)
                _exit(0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        raw.fds[1] = fd_close(raw.fds[1]);
        server = unit_accept(held);
}

/* facts k4, k5: a rule replaced through any socket moves all, without a privilege, for UDP too */
static void k4_any_socket_takes_a_rule(void **state) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
        bool is_root = geteuid() == 0;

        for (size_t t = 0; t < 2; t++) {
                Raw raw __attribute__((__cleanup__(raw_done)));

                raw_init(&raw, types[t]);
                if (is_root)
                        assert_int_equal(seteuid(65534), 0);
                for (unsigned i = 0; i < N_SOCKETS; i++) {
                        int r = attach_return(raw.fds[i], N_SOCKETS - 1 - i);

                        if (r < 0 && is_root)
                                assert_int_equal(seteuid(0), 0);
                        assert_ok(r);
                        assert_only(&raw, N_SOCKETS - 1 - i);
                }
                if (is_root)
                        assert_int_equal(seteuid(0), 0);
        }
}

/* fact k7; case 47: an index that does not exist falls back to a hash over all; a failing load is index 0 */
static void k7_there_is_no_refuse(void **state) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
        struct sock_filter beyond[] = {
                { .code = BPF_LD | BPF_W | BPF_ABS, .k = (uint32_t) SKF_NET_OFF + 60000 },
                { .code = BPF_RET | BPF_K, .k = 2 },
        };
        struct sock_filter by_zero[] = {
                { .code = BPF_LD | BPF_IMM, .k = 7 },
                { .code = BPF_LDX | BPF_IMM, .k = 0 },
                { .code = BPF_ALU | BPF_MOD | BPF_X },
                { .code = BPF_RET | BPF_K, .k = 2 },
        };
        struct sock_filter unknown[] = {
                { .code = BPF_LD | BPF_W | BPF_ABS, .k = (uint32_t) SKF_AD_OFF + 4000 },
                { .code = BPF_RET | BPF_K, .k = 2 },
        };

        for (size_t t = 0; t < 2; t++) {
                Raw raw __attribute__((__cleanup__(raw_done)));
                unsigned hits[N_SOCKETS];

                raw_init(&raw, types[t]);
                assert_ok(attach_return(raw.fds[0], UINT32_MAX));
                count(&raw, 200, hits);
                for (unsigned i = 0; i < N_SOCKETS; i++)
                        assert_in_range(hits[i], 10, 100);

                assert_ok(attach_return(raw.fds[0], 3));
                assert_ok(attach(raw.fds[0], beyond, 2));
                assert_only(&raw, 0);
                assert_ok(attach_return(raw.fds[0], 3));
                assert_ok(attach(raw.fds[0], by_zero, 4));
                assert_only(&raw, 0);

                /* Linux 6.18 refuses what it does not know; others may take it and say 0 */
                if (attach(raw.fds[0], unknown, 2) == 0)
                        assert_only(&raw, 0);
        }
}

/* fact k8: who leaves is replaced by the last; listen() appends */
static void k8_the_last_moves_into_the_hole(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));

        raw_init(&raw, SOCK_STREAM);
        assert_int_equal(shutdown(raw.fds[1], SHUT_RD), 0);
        assert_ok(attach_return(raw.fds[0], 1));
        assert_only(&raw, 3);

        assert_int_equal(listen(raw.fds[1], 100), 0);
        assert_ok(attach_return(raw.fds[0], 3));
        assert_only(&raw, 1);
}

/* fact k9: only the very first socket may carry a rule into its bind() */
static void k9_only_the_first_is_prepared(void **state) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

        for (size_t t = 0; t < 2; t++) {
                _cleanup_close_ int first = new_socket(types[t], FLAG_PORT);
                _cleanup_close_ int second = new_socket(types[t], FLAG_PORT);
                _cleanup_close_ int plain = new_socket(types[t], 0);
                struct sockaddr_in in = loopback();

                assert_ok(attach_return(first, 0));
                assert_ok(bind_to(first, &in));
                in = name_of(first);
                assert_ok(attach_return(second, 0));
                assert_int_equal(bind_to(second, &in), -EADDRINUSE);
                assert_int_equal(attach_return(plain, 0), -EINVAL); /* without SO_REUSEPORT */
        }
}

/* fact k12: a socket that nobody reads keeps its share of visitors waiting */
static void k12_holding_is_not_enough(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        unsigned n_waiting = 0;
        int clients[80];

        raw_init(&raw, SOCK_STREAM);
        for (unsigned i = 0; i < 80; i++)
                clients[i] = visit(&raw);
        for (unsigned i = 0; i < N_SOCKETS; i++)
                for (int fd; i != 3 && (fd = accept(raw.fds[i], NULL, NULL)) >= 0;)
                        (void) fd_close(fd);
        for (unsigned i = 0; i < 80; i++) {
                struct pollfd polled = { .fd = clients[i], .events = POLLIN };

                n_waiting += poll(&polled, 1, 0) == 0;
                (void) fd_close(clients[i]);
        }
        assert_in_range(n_waiting, 5, 45);
}

/* Whether a process of another uid can bind to @in; with these flags. */
static int bind_as(uid_t uid, int type, unsigned flags, const struct sockaddr_in *in) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                int fd;

                if (setresuid(uid, uid, uid) < 0)
                        _exit(99);
                fd = new_socket(type, flags);
                _exit(-bind_to(fd, in));
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return -WEXITSTATUS(status);
}

/* fact k13, and case 45: another uid does not join, and is told EADDRINUSE; fchown() before bind() decides
 * whose the group is */
static void k13_only_the_owner_joins(void **state) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

        if (geteuid() != 0)
                unit_skip("needs root, for other uids");

        for (size_t t = 0; t < 2; t++) {
                _cleanup_close_ int ours = new_socket(types[t], FLAG_PORT),
                                    owned = new_socket(types[t], FLAG_PORT);
                _cleanup_close_ int grown = new_socket(types[t], FLAG_PORT),
                                    other = new_socket(types[t], FLAG_PORT);
                struct sockaddr_in in = loopback();

                assert_ok(bind_to(ours, &in));
                in = name_of(ours);
                if (types[t] == SOCK_STREAM)
                        assert_int_equal(listen(ours, 1), 0);
                assert_int_equal(bind_as(1000, types[t], FLAG_PORT, &in), -EADDRINUSE);
                assert_int_equal(bind_as(0, types[t], FLAG_PORT, &in), 0);

                assert_int_equal(fchown(owned, 64999, (gid_t) -1), 0);
                in = loopback();
                assert_ok(bind_to(owned, &in));
                in = name_of(owned);
                if (types[t] == SOCK_STREAM)
                        assert_int_equal(listen(owned, 1), 0);
                assert_int_equal(bind_to(other, &in), -EADDRINUSE); /* not even root */
                assert_int_equal(bind_as(64999, types[t], FLAG_PORT, &in), 0);
                assert_int_equal(fchown(grown, 64999, (gid_t) -1), 0);
                assert_ok(bind_to(grown, &in));
        }
}

/* fact k14: with SO_REUSEADDR any uid takes a UDP port; with SO_REUSEPORT nobody does */
static void k14_udp_and_reuseaddr_is_open_to_all(void **state) {
        _cleanup_close_ int open_to_all = -EBADF, closed = -EBADF;
        struct sockaddr_in in = loopback();

        if (geteuid() != 0)
                unit_skip("needs root, for other uids");

        open_to_all = new_socket(SOCK_DGRAM, FLAG_ADDRESS);
        assert_ok(bind_to(open_to_all, &in));
        in = name_of(open_to_all);
        assert_int_equal(bind_as(1000, SOCK_DGRAM, FLAG_ADDRESS, &in), 0);

        in = loopback();
        closed = new_socket(SOCK_DGRAM, FLAG_PORT);
        assert_ok(bind_to(closed, &in));
        in = name_of(closed);
        assert_int_equal(bind_as(1000, SOCK_DGRAM, FLAG_ADDRESS, &in), -EADDRINUSE);
        assert_int_equal(bind_as(1000, SOCK_DGRAM, FLAG_ADDRESS | FLAG_PORT, &in), -EADDRINUSE);
}

/* fact k15: who holds one socket may change the rule of all, and nobody can read it back */
static void k15_a_worker_may_change_the_rule(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        struct sock_filter code[8];
        socklen_t size = sizeof(code);
        int status;
        pid_t pid;

        raw_init(&raw, SOCK_STREAM);
        assert_ok(attach_return(raw.fds[0], 0));
        pid = fork();
        if (pid == 0)
                _exit(attach_return(raw.fds[3], 3) == 0 ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_only(&raw, 3);
        assert_true(getsockopt(raw.fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, code, &size) < 0);
}

/* fact k16: shutdown() by who shares a listener is told at once, and the other bank is hit */
static void k16_a_worker_may_shut_its_listener(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        struct pollfd polled = { .fd = -1 };
        struct tcp_info info;
        socklen_t size = sizeof(info);
        int status, value;
        pid_t pid;

        raw_init(&raw, SOCK_STREAM);
        assert_ok(attach_return(raw.fds[0], 3));
        pid = fork();
        if (pid == 0)
                _exit(shutdown(raw.fds[1], SHUT_RDWR) == 0 ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);

        polled.fd = raw.fds[1];
        assert_int_equal(poll(&polled, 1, 0), 1);
        assert_true(polled.revents & POLLHUP);
        assert_int_equal(getsockopt(raw.fds[1], IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        assert_int_equal(info.tcpi_state, TCP_CLOSE);
        size = sizeof(value);
        assert_int_equal(getsockopt(raw.fds[1], SOL_SOCKET, SO_ACCEPTCONN, &value, &size), 0);
        assert_int_equal(value, 0);
}

/* A connection of a listener with @flags, closed by the listener's side: TIME_WAIT at its port. */
static struct sockaddr_in leave_time_wait(unsigned flags) {
        _cleanup_close_ int listener = new_socket(SOCK_STREAM, flags), client = -EBADF,
                            server = -EBADF;
        struct sockaddr_in in = loopback();

        assert_ok(bind_to(listener, &in));
        in = name_of(listener);
        assert_int_equal(listen(listener, 1), 0);
        client = assert_ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        assert_int_equal(connect(client, (struct sockaddr *) &in, sizeof(in)), 0);
        server = unit_accept(listener);
        server = fd_close(server);
        (void) unit_wait(client, POLLIN);
        return in;
}

/* fact k19: through TIME_WAIT by the same flag on both sides, or both flags */
static void k19_time_wait_wants_the_same_flag(void **state) {
        for (unsigned old = 0; old < 4; old++)
                for (unsigned new = 0; new < 4; new ++) {
                        struct sockaddr_in in = leave_time_wait(old);
                        _cleanup_close_ int fd = new_socket(SOCK_STREAM, new);

                        assert_int_equal(bind_to(fd, &in), (old & new) ? 0 : -EADDRINUSE);
                }
}

/* fact k26: SKF_AD_RXHASH is no hash of the flow: two packets of one pair of ports differ */
static void k26_rxhash_is_no_hash(void **state) {
        struct sock_filter code[] = {
                { .code = BPF_LD | BPF_W | BPF_ABS, .k = (uint32_t) SKF_AD_OFF + SKF_AD_RXHASH },
                { .code = BPF_ALU | BPF_MOD | BPF_K, .k = N_SOCKETS },
                { .code = BPF_RET | BPF_A },
        };
        Raw raw __attribute__((__cleanup__(raw_done)));
        unsigned seen = 0;

        if (geteuid() != 0)
                unit_skip("needs root, for a port that nobody has");

        raw_init(&raw, SOCK_STREAM);
        assert_ok(attach(raw.fds[0], code, 3));
        for (unsigned i = 0; i < 40; i++) {
                _cleanup_reset_ int client = new_socket(SOCK_STREAM, FLAG_PORT | FLAG_ADDRESS);
                struct sockaddr_in in = loopback();

                in.sin_port = htons(1020); /* always the same four numbers */
                assert_ok(bind_to(client, &in));
                (void) connect(client, (struct sockaddr *) &raw.name, sizeof(raw.name));
                for (unsigned n = 0; n < N_SOCKETS; n++) {
                        int fd = accept(raw.fds[n], NULL, NULL);

                        seen |= fd >= 0 ? 1U << n : 0;
                        traffic_close(&fd);
                }
        }
        assert_true((seen & (seen - 1)) != 0); /* more than one socket */
}

/* fact k27: how long a program may be is net.core.optmem_max's business */
static void k27_the_length_has_a_limit(void **state) {
        Raw raw __attribute__((__cleanup__(raw_done)));
        static struct sock_filter code[4097];
        unsigned n = 1;

        for (unsigned i = 0; i < ELEMENTS_OF(code); i++)
                code[i] = (struct sock_filter){ .code = BPF_ALU | BPF_ADD | BPF_K, .k = 1 };

        raw_init(&raw, SOCK_STREAM);
        for (unsigned size = 64; size <= 4096; size += 64) {
                code[size - 1] = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 0 };
                if (attach(raw.fds[0], code, (unsigned short) size) == 0)
                        n = size;
                code[size - 1] = code[0];
        }
        printf("# the longest program that was taken has %u instructions\n", n);
        assert_true(n >= 960);
        code[4096] = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 0 };
        assert_int_equal(attach(raw.fds[0], code, 4097), -EINVAL);
}

static double msec_to_bind(int type, unsigned n) {
        _cleanup_free_ int *fds = calloc(n, sizeof(int));
        struct sockaddr_in in = loopback();
        struct timespec begin, end;

        assert_non_null(fds);
        (void) clock_gettime(CLOCK_MONOTONIC, &begin);
        for (unsigned i = 0; i < n; i++) {
                fds[i] = new_socket(type,
                                    type == SOCK_STREAM ? FLAG_PORT | FLAG_ADDRESS : FLAG_PORT);
                assert_ok(bind_to(fds[i], &in));
                in = name_of(fds[i]);
        }
        (void) clock_gettime(CLOCK_MONOTONIC, &end);
        for (unsigned i = n; i-- > 0;)
                (void) fd_close(fds[i]);
        return (double) (end.tv_sec - begin.tv_sec) * 1e3 +
               (double) (end.tv_nsec - begin.tv_nsec) / 1e6;
}

/* fact k32: many datagram sockets in one group are slow to bind, streams are not; told, not judged */
static void k32_udp_binds_are_quadratic(void **state) {
        static const unsigned counts[] = { 125, 250, 500 };

        for (size_t i = 0; i < ELEMENTS_OF(counts); i++)
                printf("# %u sockets in one group: tcp %.1f ms, udp %.1f ms\n", counts[i],
                       msec_to_bind(SOCK_STREAM, counts[i]), msec_to_bind(SOCK_DGRAM, counts[i]));
        assert_true(msec_to_bind(SOCK_STREAM, 500) < 1000);
}

/* What `reuseportd --version` tells is what the tests above have seen. */
static void the_library_tells_the_facts(void **state) {
        ReuseFact facts[32];
        size_t n = reuse_facts(facts, ELEMENTS_OF(facts));

        assert_in_range(n, 1, ELEMENTS_OF(facts));
        assert_int_equal(reuse_facts(NULL, 0), n);
        for (size_t i = 0; i < n; i++) {
                printf("# %s: %s: %d\n", facts[i].name, facts[i].text, facts[i].holds);
                if (facts[i].holds != 1 && !(facts[i].holds == -EPERM && geteuid() != 0))
                        fail_msg("%s: %s: %d", facts[i].name, facts[i].text, facts[i].holds);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(the_library_tells_the_facts),
                UNIT_TEST(k2_closing_resets_the_queue),
                UNIT_TEST(k3_a_held_queue_is_kept),
                UNIT_TEST(k4_any_socket_takes_a_rule),
                UNIT_TEST(k7_there_is_no_refuse),
                UNIT_TEST(k8_the_last_moves_into_the_hole),
                UNIT_TEST(k9_only_the_first_is_prepared),
                UNIT_TEST(k12_holding_is_not_enough),
                UNIT_TEST(k13_only_the_owner_joins),
                UNIT_TEST(k14_udp_and_reuseaddr_is_open_to_all),
                UNIT_TEST(k15_a_worker_may_change_the_rule),
                UNIT_TEST(k16_a_worker_may_shut_its_listener),
                UNIT_TEST(k19_time_wait_wants_the_same_flag),
                UNIT_TEST(k26_rxhash_is_no_hash),
                UNIT_TEST(k27_the_length_has_a_limit),
                UNIT_TEST(k32_udp_binds_are_quadratic),
                /* in a network of our own */
                UNIT_TEST(k2_migration_keeps_the_queue),
        };

        return UNIT_RUN(tests);
}
