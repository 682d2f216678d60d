/* The keeper with a daemon that is this very program: called with the argument "daemon" it stores
 * descriptors, reports what it was given, and dies as it is told. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/keeper.h"
#include "daemon/store/fd-message.h"
#include "unit.h"

#define REPORT_SIZE 4096
#define EXIT_ASKED  3 /* what the daemon ends with when it is told to end */

/* ---- the daemon ---- */

static int report_fd = -1;

__attribute__((__format__(__printf__, 1, 2))) static void report(const char *format, ...) {
        char text[REPORT_SIZE];
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        if (send(report_fd, text, (size_t) n, 0) < 0)
                _exit(99);
}

static void connect_report(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        report_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (connect(report_fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                _exit(98);
}

/* "LISTEN_FDS LISTEN_FDNAMES FDSTORE", and the inode of each. */
static void report_start(void) {
        char text[REPORT_SIZE];
        struct stat st;
        int n, length;

        n = sd_listen_fds(/* unset_environment= */ 0);
        length = snprintf(text, sizeof(text), "start %d %d %s %s %s", (int) getpid(), n,
                          n > 0 ? getenv("LISTEN_FDNAMES") : "-", getenv("FDSTORE"),
                          keeper_is_above() ? "kept" : "alone");
        for (int i = 0; i < n && fstat(3 + i, &st) == 0 && length < REPORT_SIZE - 32; i++)
                length += snprintf(text + length, sizeof(text) - (size_t) length, " %llu",
                                   (unsigned long long) st.st_ino);
        report("%s", text);
}

static void store(const char *name, int fd) {
        char text[64];

        snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        (void) sd_pid_notify_with_fds(0, 0, text, &fd, 1);
        close(fd);
}

static void store_some(void) {
        char name[16];
        int fd;

        for (int i = 0; i < 20; i++) {
                fd = memfd_create("kept", MFD_CLOEXEC);
                snprintf(name, sizeof(name), "m%d", i);
                store(name, fd);
        }
}

/* Leaves a child behind, whom somebody must reap. */
static void leave_child(void) {
        pid_t pid = fork();

        if (pid == 0) {
                (void) pause();
                _exit(0);
        }
        store("child", (int) syscall(SYS_pidfd_open, pid, 0));
        report("child %d", (int) pid);
}

static void obey(void) {
        sigset_t blocked;
        int number;

        (void) sigprocmask(SIG_BLOCK, NULL, &blocked); /* by the keeper, so that none is lost */
        for (;;) {
                (void) sigwait(&blocked, &number);
                switch (number) {
                case SIGTERM:
                case SIGINT:
                        (void) sd_notify(0, "STOPPING=1");
                        exit(EXIT_ASKED);
                case SIGUSR2:
                        exit(0);
                default:
                        report("signal %d", number);
                }
        }
}

/* daemon REPORT MODE */
static int be_daemon(char *argv[]) {
        const char *mode = argv[3];

        connect_report(argv[2]);
        report_start();
        if (strcmp(mode, "bad") == 0)
                return 78;
        if (strcmp(mode, "crash") == 0)
                raise(SIGKILL);
        if (sd_listen_fds(0) == 0 && strcmp(mode, "store") == 0)
                store_some();
        if (sd_listen_fds(0) == 0 && strcmp(mode, "child") == 0)
                leave_child();
        if (sd_listen_fds(0) > 0 && strcmp(mode, "child") == 0)
                return 1; /* it cannot adopt what it has left */
        (void) sd_notify(0, "READY=1\nSTATUS=here");
        report("ready");
        obey();
        return 0;
}

/* ---- the test ---- */

typedef struct Kept {
        char directory[64];
        int reports; /* from the daemon */
        int above;   /* what the keeper tells whoever stands above it */
        pid_t pid;   /* of the keeper */
} Kept;

static int bind_in(const Kept *k, const char *name, char *path, size_t size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        snprintf(path, size, "%s/%s", k->directory, name);
        strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static Kept begin(const char *mode, unsigned store_max) {
        Kept k = { .directory = "/tmp/keeper-XXXXXX" };
        char reports[96], above[96];

        assert_non_null(mkdtemp(k.directory));
        k.reports = bind_in(&k, "reports", reports, sizeof(reports));
        k.above = bind_in(&k, "above", above, sizeof(above));
        k.pid = fork();
        if (k.pid == 0) {
                const char *argv[] = { "test-keeper", "daemon", reports, mode, NULL };

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) setenv("RUNTIME_DIRECTORY", k.directory, 1);
                (void) setenv("NOTIFY_SOCKET", above, 1);
                _exit(keeper_run((char *const *) argv, store_max));
        }

        return k;
}

static const char *next(int fd) {
        static char text[REPORT_SIZE];
        ssize_t n;

        (void) unit_wait(fd, POLLIN);
        n = recv(fd, text, sizeof(text) - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        return text;
}

/* Its pid and what it has been given. */
static pid_t started(const Kept *k, int *ret_n, char *rest, size_t size) {
        const char *text = next(k->reports);
        int pid, length = 0;

        assert_int_equal(sscanf(text, "start %d %d %n", &pid, ret_n, &length), 2);
        snprintf(rest, size, "%s", text + length);
        return pid;
}

static pid_t started_and_ready(const Kept *k, int *ret_n, char *rest, size_t size) {
        pid_t pid = started(k, ret_n, rest, size);

        assert_string_equal(next(k->reports), "ready");
        return pid;
}

static unsigned n_fds(pid_t pid) {
        char path[64];
        struct stat st;
        unsigned n = 0;

        for (int i = 0; i < 256; i++) {
                snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) pid, i);
                n += lstat(path, &st) == 0;
        }
        return n;
}

/* Returns how it ended, as waitpid() has it. */
static int ended(Kept *k) {
        char path[96];
        int status, pidfd = (int) syscall(SYS_pidfd_open, k->pid, 0);

        (void) unit_wait(pidfd, POLLIN);
        assert_int_equal(waitpid(k->pid, &status, 0), k->pid);
        (void) fd_close(pidfd);
        (void) fd_close(k->reports);
        (void) fd_close(k->above);
        for (unsigned i = 0; i < 2; i++) {
                snprintf(path, sizeof(path), "%s/%s", k->directory, i == 0 ? "above" : "reports");
                (void) unlink(path);
        }
        assert_int_equal(rmdir(k->directory), 0); /* nothing else was left in it */
        return status;
}

static void assert_ended(Kept *k, int code) {
        int status = ended(k);

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), code);
}

static void what_was_stored_comes_back_in_order_whatever_killed_the_daemon(void **state) {
        static const int numbers[] = { SIGKILL, SIGSEGV, SIGABRT, SIGUSR2, SIGKILL };
        Kept k = begin("store", 100);
        char rest[REPORT_SIZE], first[REPORT_SIZE] = "";
        unsigned n_first = 0;
        pid_t daemon;
        int n;

        daemon = started_and_ready(&k, &n, rest, sizeof(rest));
        assert_int_equal(n, 0);
        assert_string_equal(rest, "- 100 kept");

        for (size_t i = 0; i < ELEMENTS_OF(numbers); i++) {
                pid_t before = daemon;

                assert_int_equal(kill(daemon, numbers[i]), 0);
                daemon = started_and_ready(&k, &n, rest, sizeof(rest));
                assert_int_not_equal(daemon, before);
                assert_int_equal(n, 20);
                assert_non_null(strstr(rest, "m0:m1:m2:m3:m4:m5:m6:m7:m8:m9:m10:m11:m12:m13:m14:"
                                             "m15:m16:m17:m18:m19 100 kept "));
                if (i == 0) {
                        strcpy(first, rest);
                        n_first = n_fds(k.pid);
                }
                assert_string_equal(rest, first); /* the same inodes */
                assert_int_equal(n_fds(k.pid), n_first);
        }

        assert_int_equal(kill(k.pid, SIGTERM), 0);
        assert_ended(&k, EXIT_ASKED);
}

static void no_more_than_store_max_is_kept(void **state) {
        Kept k = begin("store", 7);
        char rest[REPORT_SIZE];
        pid_t daemon;
        int n;

        daemon = started_and_ready(&k, &n, rest, sizeof(rest));
        assert_int_equal(kill(daemon, SIGKILL), 0);
        (void) started_and_ready(&k, &n, rest, sizeof(rest));
        assert_int_equal(n, 7);
        assert_int_equal(kill(k.pid, SIGINT), 0);
        assert_ended(&k, EXIT_ASKED);
}

static void a_daemon_that_cannot_start_ends_the_keeper_with_its_code(void **state) {
        Kept k = begin("bad", 10);

        (void) next(k.reports);
        assert_ended(&k, 78);
}

static void a_daemon_that_dies_before_it_is_ready_is_started_later_and_later(void **state) {
        struct timespec before, after;
        Kept k = begin("crash", 10);
        char rest[REPORT_SIZE];
        int n;

        (void) started(&k, &n, rest, sizeof(rest));
        (void) clock_gettime(CLOCK_MONOTONIC, &before);
        for (unsigned i = 0; i < 3; i++) /* after 100, 200 and 400 ms */
                (void) started(&k, &n, rest, sizeof(rest));
        (void) clock_gettime(CLOCK_MONOTONIC, &after);
        assert_true((after.tv_sec - before.tv_sec) * 1000 +
                                    (after.tv_nsec - before.tv_nsec) / 1000000 >=
                    690);
        assert_int_equal(kill(k.pid, SIGTERM), 0);
        assert_true(WIFEXITED(ended(&k)));
}

static void signals_reach_the_daemon(void **state) {
        static const int numbers[] = { SIGHUP, SIGUSR1 };
        Kept k = begin("plain", 10);
        char rest[REPORT_SIZE], wanted[32];
        int n;

        (void) started_and_ready(&k, &n, rest, sizeof(rest));
        for (size_t i = 0; i < ELEMENTS_OF(numbers); i++) {
                assert_int_equal(kill(k.pid, numbers[i]), 0);
                snprintf(wanted, sizeof(wanted), "signal %d", numbers[i]);
                assert_string_equal(next(k.reports), wanted);
        }
        assert_int_equal(kill(k.pid, SIGTERM), 0);
        assert_ended(&k, EXIT_ASKED);
}

static void whoever_stands_above_hears_what_the_daemon_says(void **state) {
        Kept k = begin("plain", 10);
        char rest[REPORT_SIZE];
        pid_t daemon;
        int n;

        daemon = started_and_ready(&k, &n, rest, sizeof(rest));
        assert_string_equal(next(k.above), "READY=1\nSTATUS=here");
        assert_int_equal(kill(daemon, SIGKILL), 0);
        assert_string_equal(next(k.above),
                            "STATUS=The daemon was ended by SIGKILL, it is started again");
        (void) started_and_ready(&k, &n, rest, sizeof(rest));
        assert_string_equal(next(k.above), "READY=1\nSTATUS=here");
        assert_int_equal(kill(k.pid, SIGTERM), 0);
        assert_string_equal(next(k.above), "STOPPING=1");
        assert_ended(&k, EXIT_ASKED);
}

static void a_keeper_that_dies_takes_the_daemon_with_it(void **state) {
        Kept k = begin("plain", 10);
        char rest[REPORT_SIZE], path[96];
        int n, pidfd;
        pid_t daemon;

        daemon = started_and_ready(&k, &n, rest, sizeof(rest));
        pidfd = (int) syscall(SYS_pidfd_open, daemon, 0);
        assert_int_equal(kill(k.pid, SIGKILL), 0);
        (void) unit_wait(pidfd, POLLIN);
        (void) fd_close(pidfd);

        snprintf(path, sizeof(path), "%s/keeper.%d", k.directory, (int) k.pid);
        assert_int_equal(unlink(path), 0);
        assert_true(WIFSIGNALED(ended(&k)));
}

/* Its workers live on without it, and nobody comes who could end them. */
static void whom_no_daemon_can_end_is_killed_with_the_keeper(void **state) {
        Kept k = begin("child", 10);
        char rest[REPORT_SIZE];
        int n, child, pidfd;
        pid_t daemon;

        daemon = started(&k, &n, rest, sizeof(rest));
        assert_int_equal(sscanf(next(k.reports), "child %d", &child), 1);
        pidfd = (int) syscall(SYS_pidfd_open, child, 0);
        assert_string_equal(next(k.reports), "ready");
        assert_int_equal(kill(daemon, SIGKILL), 0);
        (void) started(&k, &n, rest, sizeof(rest)); /* it fails */
        assert_int_equal(n, 1);
        assert_int_equal(kill(k.pid, SIGTERM), 0);
        (void) unit_wait(pidfd, POLLIN);
        (void) fd_close(pidfd);
        assert_true(WIFEXITED(ended(&k)));
}

/* The socket's path is nobody's secret. */
static void only_the_daemon_is_listened_to(void **state) {
        Kept k = begin("plain", 10);
        char rest[REPORT_SIZE], path[96];
        int n, fd = memfd_create("foreign", MFD_CLOEXEC);
        pid_t daemon;

        daemon = started_and_ready(&k, &n, rest, sizeof(rest));
        snprintf(path, sizeof(path), "%s/keeper.%d", k.directory, (int) k.pid);
        (void) setenv("NOTIFY_SOCKET", path, 1);
        assert_true(sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nSTOPPING=1", &fd, 1) > 0);
        (void) unsetenv("NOTIFY_SOCKET");
        (void) fd_close(fd);
        assert_int_equal(kill(daemon, SIGKILL), 0);
        (void) started_and_ready(&k, &n, rest, sizeof(rest));
        assert_int_equal(n, 0);
        assert_int_equal(kill(k.pid, SIGTERM), 0);
        assert_ended(&k, EXIT_ASKED);
}

int main(int argc, char *argv[]) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(what_was_stored_comes_back_in_order_whatever_killed_the_daemon),
                UNIT_TEST(no_more_than_store_max_is_kept),
                UNIT_TEST(a_daemon_that_cannot_start_ends_the_keeper_with_its_code),
                UNIT_TEST(a_daemon_that_dies_before_it_is_ready_is_started_later_and_later),
                UNIT_TEST(signals_reach_the_daemon),
                UNIT_TEST(whoever_stands_above_hears_what_the_daemon_says),
                UNIT_TEST(a_keeper_that_dies_takes_the_daemon_with_it),
                UNIT_TEST(whom_no_daemon_can_end_is_killed_with_the_keeper),
                UNIT_TEST(only_the_daemon_is_listened_to),
        };

        if (argc > 3 && strcmp(argv[1], "daemon") == 0)
                return be_daemon(argv);

        return UNIT_RUN(tests);
}
