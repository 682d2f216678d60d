#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reuse/address.h"
#include "reuse/socket.h"
#include "unit.h"

static bool can_v6(void) {
        int fd = reuse_listen("tcp6", "[::1]:0", NULL);

        (void) fd_close(fd);
        return fd >= 0;
}

static uint16_t port_of(int fd) {
        ReuseAddress a;

        assert_ok(reuse_address_of_socket(fd, &a));
        return reuse_address_port(&a);
}

/* The text of where a socket is, or for a wildcard: how it was asked for, with its port. */
static const char *text_of(int fd, char *buffer) {
        ReuseAddress a;

        assert_ok(reuse_address_of_socket(fd, &a));
        return reuse_address_format(&a, buffer, REUSE_ADDRESS_TEXT_SIZE);
}

static uint64_t now_msec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

static int open_by_network(const char *network, const char *text) {
        return *network == 't' ? reuse_listen(network, text, NULL)
                               : reuse_listen_packet(network, text, NULL);
}

/* Three sockets at the port that the first one got. */
static void check_three_share(const char *network, const char *host) {
        char text[REUSE_ADDRESS_TEXT_SIZE], names[3][REUSE_ADDRESS_TEXT_SIZE];
        int fds[3];

        (void) snprintf(text, sizeof(text), "%s:0", host);
        for (unsigned i = 0; i < 3; i++) {
                fds[i] = open_by_network(network, text);
                if (fds[i] < 0)
                        fail_msg("%s %s: %s", network, text, reuse_strerror(fds[i]));
                (void) snprintf(text, sizeof(text), "%s:%u", host, port_of(fds[i]));
                assert_string_equal(text_of(fds[i], names[i]), names[0]);
        }

        for (unsigned i = 0; i < 3; i++)
                (void) fd_close(fds[i]);
}

/* case 6, 7, 40: three streams on one resolved port; the later ones ask for it as a fixed port */
static void streams_share_a_port(void **state) {
        check_three_share("tcp", "0.0.0.0");
        check_three_share("tcp4", "0.0.0.0");
        check_three_share("tcp", "127.0.0.1");
        check_three_share("tcp4", "127.0.0.1");
        if (!can_v6())
                unit_skip("no IPv6 here");
        check_three_share("tcp", "");
        check_three_share("tcp6", "[::]");
        check_three_share("tcp", "[::1]");
        check_three_share("tcp6", "[::1]");
}

/* case 3, 8, 40: the same for datagrams, and a wildcard works */
static void datagram_sockets_share_a_port(void **state) {
        check_three_share("udp", "0.0.0.0");
        check_three_share("udp4", "0.0.0.0");
        check_three_share("udp", "127.0.0.1");
        check_three_share("udp4", "127.0.0.1");
        if (!can_v6())
                unit_skip("no IPv6 here");
        check_three_share("udp", "");
        check_three_share("udp6", "[::]");
        check_three_share("udp", "[::1]");
        check_three_share("udp6", "[::1]");
}

/* Six listeners of several kinds on one port, all at once. */
static void check_six(const char *const networks[2][3], uint16_t port) {
        static const char *const hosts[2][3] = { { "localhost", "127.0.0.1", "[::1]" },
                                                 { "", "", "" } };
        int fds[6];

        for (unsigned i = 0; i < 6; i++) {
                char text[64];

                (void) snprintf(text, sizeof(text), "%s:%u", hosts[i / 3][i % 3], port);
                fds[i] = open_by_network(networks[i / 3][i % 3], text);
                if (fds[i] < 0)
                        fail_msg("%s %s: %s", networks[i / 3][i % 3], text, reuse_strerror(fds[i]));
        }

        for (unsigned i = 0; i < 6; i++)
                (void) fd_close(fds[i]);
}

/* case 28, 29: kavu's six, all at once, in a network of our own since the ports are fixed */
static void six_kinds_share_one_port(void **state) {
        static const char *const tcp[2][3] = { { "tcp4", "tcp", "tcp6" },
                                               { "tcp6", "tcp4", "tcp" } };
        static const char *const udp[2][3] = { { "udp4", "udp", "udp6" },
                                               { "udp6", "udp4", "udp" } };

        if (!can_v6())
                unit_skip("no IPv6 here");

        unit_own_network();
        check_six(tcp, 10081);
        check_six(udp, 10082);
}

/* case 17, 32: what listens for streams takes no other network, and the other way round */
static void each_call_takes_its_networks(void **state) {
        static const char *const never[] = { "unix", "udp*", "asd", "", NULL };

        for (size_t i = 0; i < ELEMENTS_OF(never); i++) {
                assert_int_equal(reuse_listen(never[i], ":0", NULL), REUSE_EPROTOCOL);
                assert_int_equal(reuse_listen_packet(never[i], ":0", NULL), REUSE_EPROTOCOL);
                assert_int_equal(reuse_dial(never[i], NULL, "127.0.0.1:1", NULL), REUSE_EPROTOCOL);
        }

        assert_int_equal(reuse_listen("udp", ":0", NULL), REUSE_EPROTOCOL);
        assert_int_equal(reuse_listen("udp4", ":0", NULL), REUSE_EPROTOCOL);
        assert_int_equal(reuse_listen_packet("tcp", ":0", NULL), REUSE_EPROTOCOL);
        assert_int_equal(reuse_listen("tcp", "nowhere", NULL), REUSE_EADDRESS);
}

static void what_the_kernel_refuses_is_told(void **state) {
        _cleanup_close_ int plain = -EBADF;
        struct sockaddr_in in = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        char text[REUSE_ADDRESS_TEXT_SIZE];

        assert_int_equal(reuse_listen("tcp", "192.0.2.1:0", NULL), -EADDRNOTAVAIL);
        assert_int_equal(reuse_dial("tcp", "192.0.2.1:0", "127.0.0.1:1", NULL), -EADDRNOTAVAIL);
        assert_int_equal(reuse_dial("tcp", NULL, "127.0.0.1:1", NULL), -ECONNREFUSED);

        plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(plain, (struct sockaddr *) &in, sizeof(in)), 0);
        assert_int_equal(listen(plain, 1), 0);
        assert_int_equal(reuse_listen("tcp", text_of(plain, text), NULL), -EADDRINUSE);
}

/* case 43: close-on-exec from birth, seen by who was executed */
static void descriptors_do_not_cross_exec(void **state) {
        _cleanup_close_ int server = reuse_listen("tcp", "127.0.0.1:0", NULL);
        _cleanup_close_ int packet = reuse_listen_packet("udp", "127.0.0.1:0", NULL);
        _cleanup_close_ int client = -EBADF;
        char text[REUSE_ADDRESS_TEXT_SIZE], command[128];
        int status;

        client = reuse_dial("tcp", NULL, text_of(server, text), NULL);
        assert_ok(client);
        (void) snprintf(command, sizeof(command),
                        "for f in %d %d %d; do test ! -e /proc/self/fd/$f || exit 1; done", server,
                        packet, client);
        status = system(command);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* case 1, 2: dial from a port that is being listened on */
static void a_listening_port_can_dial(void **state) {
        static const char *const hosts[] = { "127.0.0.1:0", "[::1]:0" };
        char a_text[REUSE_ADDRESS_TEXT_SIZE], b_text[REUSE_ADDRESS_TEXT_SIZE];

        for (size_t i = 0; i < ELEMENTS_OF(hosts); i++) {
                _cleanup_close_ int a = -EBADF, b = -EBADF, client = -EBADF, server = -EBADF;

                if (i == 1 && !can_v6())
                        unit_skip("no IPv6 here");

                a = assert_ok(reuse_listen("tcp", hosts[i], NULL));
                b = assert_ok(reuse_listen("tcp", hosts[i], NULL));
                client = assert_ok(reuse_dial("tcp", text_of(a, a_text), text_of(b, b_text), NULL));
                server = unit_accept(b);
                assert_int_equal(port_of(client), port_of(a));
        }
}

static void send_all(int fd, const void *data, size_t size) {
        for (const char *p = data; size > 0;) {
                ssize_t n = send(fd, p, size, 0);

                assert_true(n > 0);
                p += n;
                size -= (size_t) n;
        }
}

static void receive_all(int fd, void *data, size_t size) {
        for (char *p = data; size > 0;) {
                ssize_t n;

                (void) unit_wait(fd, POLLIN);
                n = recv(fd, p, size, 0);
                assert_true(n > 0);
                p += n;
                size -= (size_t) n;
        }
}

static void check_echo(const char *network, const char *a_host, const char *b_host) {
        _cleanup_close_ int a = -EBADF, b = -EBADF, client = -EBADF, server = -EBADF;
        struct sockaddr_storage peer;
        socklen_t length = sizeof(peer);
        char a_text[REUSE_ADDRESS_TEXT_SIZE], b_text[REUSE_ADDRESS_TEXT_SIZE], got[11];

        (void) snprintf(a_text, sizeof(a_text), "%s:0", a_host);
        (void) snprintf(b_text, sizeof(b_text), "%s:0", b_host);
        a = assert_ok(reuse_listen(network, a_text, NULL));
        b = assert_ok(reuse_listen(network, b_text, NULL));
        (void) snprintf(a_text, sizeof(a_text), "%s:%u", a_host, port_of(a));
        (void) snprintf(b_text, sizeof(b_text), "%s:%u", b_host, port_of(b));

        client = reuse_dial(network, a_text, b_text, NULL);
        if (client < 0)
                fail_msg("%s %s to %s: %s", network, a_text, b_text, reuse_strerror(client));
        server = unit_accept(b);

        assert_int_equal(port_of(client), port_of(a));
        assert_true(getpeername(client, (struct sockaddr *) &peer, &length) >= 0);
        assert_int_equal(ntohs(((struct sockaddr_in *) &peer)->sin_port), port_of(b));

        send_all(client, "hello world", 11);
        receive_all(server, got, 11);
        send_all(server, got, 11);
        memset(got, 0, 11);
        receive_all(client, got, 11);
        assert_memory_equal(got, "hello world", 11);
}

/* case 9: listen and dial on the same port, with an echo; wildcard and loopback, each side */
static void dialling_from_a_listener_echoes(void **state) {
        static const char *const v4[] = { "0.0.0.0", "127.0.0.1" };
        static const char *const v6[] = { "[::]", "[::1]" };

        for (unsigned i = 0; i < 4; i++) {
                check_echo("tcp", v4[i / 2], v4[i % 2]);
                check_echo("tcp4", v4[i / 2], v4[i % 2]);
        }

        if (!can_v6())
                unit_skip("no IPv6 here");
        for (unsigned i = 0; i < 4; i++)
                check_echo("tcp6", v6[i / 2], v6[i % 2]);
        check_echo("tcp", "", "127.0.0.1");
        check_echo("tcp", "", "[::1]");
        check_echo("tcp", "127.0.0.1", "");
        check_echo("tcp", "", "");
}

/* case 13: the same for datagrams */
static void datagrams_echo_between_two_ports(void **state) {
        static const char *const hosts[] = { "127.0.0.1:0", "[::1]:0" };
        char a_text[REUSE_ADDRESS_TEXT_SIZE], b_text[REUSE_ADDRESS_TEXT_SIZE], got[16];

        for (size_t i = 0; i < ELEMENTS_OF(hosts); i++) {
                _cleanup_close_ int a = -EBADF, b = -EBADF, client = -EBADF;
                struct sockaddr_storage from;
                socklen_t length = sizeof(from);

                if (i == 1 && !can_v6())
                        unit_skip("no IPv6 here");

                a = assert_ok(reuse_listen_packet("udp", hosts[i], NULL));
                b = assert_ok(reuse_listen_packet("udp", hosts[i], NULL));
                client = assert_ok(reuse_dial("udp", text_of(a, a_text), text_of(b, b_text), NULL));
                assert_int_equal(port_of(client), port_of(a));

                send_all(client, "hello world", 11);
                (void) unit_wait(b, POLLIN);
                assert_int_equal(recvfrom(b, got, sizeof(got), 0, (struct sockaddr *) &from,
                                          &length),
                                 11);
                assert_int_equal(sendto(b, got, 11, 0, (struct sockaddr *) &from, length), 11);
                (void) unit_wait(client, POLLIN); /* connected: it is a better match than a */
                assert_int_equal(recv(client, got, sizeof(got), 0), 11);
        }
}

/* case 4, 5, 20: what cannot be dialled: another network, an unknown name, two families */
static void what_cannot_be_dialled_is_told(void **state) {
        assert_int_equal(reuse_dial("asd", "127.0.0.1:1", "127.0.0.1:2", NULL), REUSE_EPROTOCOL);
        assert_int_equal(reuse_dial("tcp", "no.such.host.invalid:1", "127.0.0.1:2", NULL),
                         REUSE_EADDRESS);
        assert_int_equal(reuse_dial("tcp", NULL, "no.such.host.invalid:1", NULL), REUSE_EADDRESS);
        assert_int_equal(reuse_dial("tcp", "127.0.0.1:0", "[::1]:2", NULL), REUSE_EADDRESS);
        assert_int_equal(reuse_dial("tcp", "[::1]:0", "127.0.0.1:2", NULL), REUSE_EADDRESS);
        assert_int_equal(reuse_dial("udp4", "127.0.0.1:0", "[::1]:2", NULL), REUSE_EADDRESS);
        assert_int_equal(reuse_dial("tcp", "", "nowhere", NULL), REUSE_EADDRESS);
}

/* case 14: dialling oneself is an error of its own, seen before or after connect() */
static void nobody_dials_himself(void **state) {
        static const char *const networks[] = { "tcp", "udp" };
        char text[REUSE_ADDRESS_TEXT_SIZE], any[32];

        for (size_t i = 0; i < ELEMENTS_OF(networks); i++) {
                _cleanup_close_ int fd = open_by_network(networks[i], "127.0.0.1:0");

                assert_ok(fd);
                (void) text_of(fd, text);
                (void) snprintf(any, sizeof(any), "0.0.0.0:%u", port_of(fd));
                assert_int_equal(reuse_dial(networks[i], text, text, NULL), REUSE_ESELF);
                assert_int_equal(reuse_dial(networks[i], any, text, NULL), REUSE_ESELF);
                assert_int_equal(reuse_dial(networks[i], any, any, NULL), REUSE_ESELF);
        }
}

/* case 22: the end of a self-dial blocks for nothing and leaves nothing behind */
static void a_self_dial_ends_at_once(void **state) {
        _cleanup_close_ int fd = assert_ok(reuse_listen("tcp", "127.0.0.1:0", NULL));
        char text[REUSE_ADDRESS_TEXT_SIZE], any[32];
        uint64_t begin = now_msec();

        (void) text_of(fd, text);
        (void) snprintf(any, sizeof(any), "0.0.0.0:%u", port_of(fd));
        for (unsigned i = 0; i < 20; i++) /* the same pair again: no TIME_WAIT is in the way */
                assert_int_equal(reuse_dial("tcp", any, text, NULL), REUSE_ESELF);
        assert_true(now_msec() - begin < 1000);
}

static bool run(const char *command) {
        int status = system(command);

        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* In a network of our own, an interface behind which nobody answers. */
static void make_dead_end(void) {
        unit_own_network();
        if (!run("ip link add dead0 type veth peer name dead1 2>/dev/null && "
                 "ip link set dead0 up && ip link set dead1 up && "
                 "ip address add 192.0.2.1/24 dev dead0 && "
                 "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev dead0"))
                unit_skip("no veth interface here");
}

/* case 15: a dial to a dead address ends when its timeout is over */
static void a_dial_keeps_its_timeout(void **state) {
        uint64_t begin;
        const ReuseOptions options = { .timeout_usec = 50000 };

        make_dead_end();
        begin = now_msec();
        assert_int_equal(reuse_dial("tcp", NULL, "192.0.2.9:80", &options), -ETIMEDOUT);
        assert_in_range(now_msec() - begin, 50, 4999);
}

/* case 16: a dial can be cancelled before its timeout */
static void a_dial_can_be_cancelled(void **state) {
        static const struct itimerspec in_50_msec = { .it_value.tv_nsec = 50 * 1000 * 1000 };
        _cleanup_close_ int cancel = -EBADF;
        ReuseOptions options = { .timeout_usec = 10 * 1000 * 1000 };
        uint64_t begin;

        make_dead_end();
        begin = now_msec();
        options.cancel_fd = cancel = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        assert_int_equal(timerfd_settime(cancel, 0, &in_50_msec, NULL), 0);
        assert_int_equal(reuse_dial("tcp", NULL, "192.0.2.9:80", &options), -ECANCELED);
        assert_in_range(now_msec() - begin, 50, 4999);
}

/* Also when the address comes last of a name's, and with options on the way. */
static void a_dial_takes_options(void **state) {
        static const ReuseSockopt no_delay = { .name = "no_delay", .value = 1 };
        static const ReuseSockopt unknown = { .name = "no_such_option" };
        ReuseOptions options = { .sockopts = &no_delay, .n_sockopts = 1, .timeout_usec = 5000000 };
        _cleanup_close_ int server = assert_ok(reuse_listen("tcp", "localhost:0", NULL));
        _cleanup_close_ int client = -EBADF;
        char text[32];
        int value;
        socklen_t size = sizeof(value);

        (void) snprintf(text, sizeof(text), "localhost:%u", port_of(server));
        client = assert_ok(reuse_dial("tcp", NULL, text, &options));
        assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
        assert_int_equal(value, 1);
        assert_int_equal(fcntl(client, F_GETFL) & O_NONBLOCK, 0);

        options.sockopts = &unknown;
        assert_int_equal(reuse_dial("tcp", NULL, text, &options), -EINVAL);
        assert_int_equal(reuse_listen("tcp", text, &options), -EINVAL);
}

/* case 19: the probe is asked once */
static void availability_is_known_and_kept(void **state) {
        assert_true(reuse_available());
        assert_true(reuse_available());
}

/* In a child: setsockopt(SO_REUSEPORT), or socket() itself, fails with @error.  Its answer, as a status. */
static int ask_where(long call, int error, int (*question)(void)) {
        struct sock_filter code[] = {
                { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
                { BPF_JMP | BPF_JEQ | BPF_K, 0, 3, (uint32_t) call },
                { BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[2]) },
                { BPF_JMP | BPF_JEQ | BPF_K, call == __NR_socket, 1, SO_REUSEPORT },
                { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (uint32_t) error },
                { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
        };
        struct sock_fprog program = { .len = ELEMENTS_OF(code), .filter = code };
        int status;
        pid_t pid;

        if (call == __NR_socket) /* whatever its arguments are */
                code[3] = (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0, 0 };

        pid = fork();
        if (pid == 0) {
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                        _exit(99);
                _exit(question());
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int is_available(void) {
        return reuse_available();
}

static int listen_fails_by_name(void) {
        return reuse_listen("tcp4", "127.0.0.1:0", NULL) == REUSE_EFAILED &&
               reuse_dial("tcp4", NULL, "127.0.0.1:1", NULL) == REUSE_EFAILED;
}

/* case 19: only ENOPROTOOPT means no; not other errors, not that there is no socket to try it on */
static void only_one_error_means_no(void **state) {
        assert_int_equal(ask_where(__NR_setsockopt, ENOPROTOOPT, is_available), false);
        assert_int_equal(ask_where(__NR_setsockopt, EPERM, is_available), true);
        assert_int_equal(ask_where(__NR_socket, EACCES, is_available), true);
}

/* case 21: and where it cannot be set, who opens a socket is told so */
static void without_the_flag_nothing_is_opened(void **state) {
        assert_int_equal(ask_where(__NR_setsockopt, ENOPROTOOPT, listen_fails_by_name), true);
}

/* case 39: the reader of the backlog */
static void the_backlog_is_read_with_care(void **state) {
        static const struct {
                const char *content;
                int expected;
        } rows[] = {
                { "65536\n", 65536 },  { "4096\n", 4096 },     { "128", SOMAXCONN },
                { "\n", SOMAXCONN },   { "", SOMAXCONN },      { "0\n", SOMAXCONN },
                { "-1\n", SOMAXCONN }, { "12x\n", SOMAXCONN }, { "99999999999\n", SOMAXCONN },
        };
        char path[] = "/tmp/reuse-backlog-XXXXXX";
        _cleanup_close_ int fd = mkstemp(path);

        assert_true(fd >= 0);
        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                assert_int_equal(ftruncate(fd, 0), 0);
                assert_int_equal(pwrite(fd, rows[i].content, strlen(rows[i].content), 0),
                                 strlen(rows[i].content));
                if (reuse_somaxconn_read(path) != rows[i].expected)
                        fail_msg("\"%s\": %d", rows[i].content, reuse_somaxconn_read(path));
        }

        (void) unlink(path);
        assert_int_equal(reuse_somaxconn_read(path), SOMAXCONN);
        assert_true(reuse_somaxconn() > 0);
}

static void the_backlog_is_what_was_asked(void **state) {
        const ReuseOptions options = { .backlog = 7 };
        _cleanup_close_ int small = assert_ok(reuse_listen("tcp", "127.0.0.1:0", &options));
        _cleanup_close_ int large = assert_ok(reuse_listen("tcp", "127.0.0.1:0", NULL));
        struct tcp_info info;
        socklen_t size = sizeof(info);

        assert_int_equal(getsockopt(small, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        assert_int_equal(info.tcpi_sacked, 7);
        assert_int_equal(getsockopt(large, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        assert_int_equal(info.tcpi_sacked, reuse_somaxconn());
}

/* case 21: a flag that cannot be set is told, not swallowed */
static void a_flag_that_fails_is_told(void **state) {
        _cleanup_close_ int unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* fact k11: AF_UNIX refuses SO_REUSEPORT (since Linux 6.13; before it takes and ignores it) */
        static const int on = 1;
        bool refuses = setsockopt(unix_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0;

        assert_int_equal(reuse_socket_share(-1, SOCK_STREAM, REUSE_SHARING_FULL), REUSE_EFAILED);
        assert_int_equal(reuse_socket_share(-1, SOCK_DGRAM, REUSE_SHARING_FULL), REUSE_EFAILED);
        assert_int_equal(reuse_socket_share(-1, SOCK_STREAM, REUSE_SHARING_EXCLUSIVE),
                         REUSE_EFAILED);
        if (!refuses)
                unit_skip("AF_UNIX takes SO_REUSEPORT in this kernel");
        assert_int_equal(reuse_socket_share(unix_fd, SOCK_STREAM, REUSE_SHARING_FULL),
                         REUSE_EFAILED);
}

/* case 41: each way that fails closes once what it opened: unit_end() counts, fd_close() asserts */
static void failures_leave_nothing_open(void **state) {
        static const ReuseSockopt late = { .name = "bind_to_device", .text = "no-such-device" };
        const ReuseOptions options = { .sockopts = &late, .n_sockopts = 1 };

        for (unsigned i = 0; i < 100; i++) {
                assert_true(reuse_listen("tcp", "192.0.2.1:1", NULL) < 0);
                assert_true(reuse_listen_packet("udp", "192.0.2.1:1", NULL) < 0);
                assert_true(reuse_listen("tcp", "127.0.0.1:0", &options) < 0);
                assert_true(reuse_dial("tcp", NULL, "127.0.0.1:1", NULL) < 0);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(only_one_error_means_no), /* before anybody has asked in this process */
                UNIT_TEST(streams_share_a_port),
                UNIT_TEST(datagram_sockets_share_a_port),
                UNIT_TEST(each_call_takes_its_networks),
                UNIT_TEST(what_the_kernel_refuses_is_told),
                UNIT_TEST(descriptors_do_not_cross_exec),
                UNIT_TEST(a_listening_port_can_dial),
                UNIT_TEST(dialling_from_a_listener_echoes),
                UNIT_TEST(datagrams_echo_between_two_ports),
                UNIT_TEST(what_cannot_be_dialled_is_told),
                UNIT_TEST(nobody_dials_himself),
                UNIT_TEST(a_self_dial_ends_at_once),
                UNIT_TEST(a_dial_takes_options),
                UNIT_TEST(availability_is_known_and_kept),
                UNIT_TEST(without_the_flag_nothing_is_opened),
                UNIT_TEST(the_backlog_is_read_with_care),
                UNIT_TEST(the_backlog_is_what_was_asked),
                UNIT_TEST(a_flag_that_fails_is_told),
                UNIT_TEST(failures_leave_nothing_open),
                /* from here on in networks of our own */
                UNIT_TEST(a_dial_keeps_its_timeout),
                UNIT_TEST(a_dial_can_be_cancelled),
                UNIT_TEST(six_kinds_share_one_port),
        };

        return UNIT_RUN(tests);
}
