#include "daemon/spawn/reuseport-lock.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static struct sock_filter reject[] = { { 0x06, 0, 0, 0 } };

/* What a locked process is told that sets one option, by raw calls: 64-bit arguments as they are. */
static int set_option(long level, long option) {
        const struct sock_fprog program = { 1, reject };
        int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, r;

        if (option == SO_ATTACH_REUSEPORT_CBPF)
                r = (int) syscall(SYS_setsockopt, fd, level, option, &program, sizeof(program));
        else
                r = (int) syscall(SYS_setsockopt, fd, level, option, &one, sizeof(one));
        return r < 0 ? errno : 0;
}

static int set_up_ring(long level, long option) {
        char parameters[256] = "";

        return syscall(SYS_io_uring_setup, 1, parameters) < 0 ? errno : 0;
}

/* Runs it in a child that is locked, or not, and returns what it said. */
static int try(bool is_locked, int (*attempt)(long, long), long level, long option) {
        struct sock_fprog lock;
        int status;
        pid_t pid;

        assert_ok(reuseport_lock_init(&lock));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (is_locked && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                                  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &lock, 0, 0) < 0))
                        _exit(255);
                _exit(attempt(level, option));
        }

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        reuseport_lock_done(&lock);
        return WEXITSTATUS(status);
}

static void what_touches_the_rule_is_refused(void **state) {
        static const long options[] = { SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF,
                                        SO_DETACH_REUSEPORT_BPF, SO_LOCK_FILTER };

        for (size_t i = 0; i < ELEMENTS_OF(options); i++) {
                assert_int_not_equal(try(false, set_option, SOL_SOCKET, options[i]), EPERM);
                assert_int_equal(try(true, set_option, SOL_SOCKET, options[i]), EPERM);
        }
}

static void what_the_kernel_does_not_look_at_opens_nothing(void **state) {
        const long above = 1L << 32;

        assert_int_equal(try(true, set_option, SOL_SOCKET | above, SO_LOCK_FILTER | above), EPERM);
        assert_int_equal(try(false, set_option, SOL_SOCKET | above, SO_LOCK_FILTER | above), 0);
}

static void other_options_pass(void **state) {
        assert_int_equal(try(true, set_option, SOL_SOCKET, SO_KEEPALIVE), 0);
        assert_int_equal(try(true, set_option, SOL_SOCKET, SO_REUSEPORT), 0);
        assert_int_equal(try(true, set_option, IPPROTO_TCP, TCP_NODELAY), 0);
        assert_int_equal(try(true, set_option, IPPROTO_IP, SO_LOCK_FILTER),
                         try(false, set_option, IPPROTO_IP, SO_LOCK_FILTER));
}

static void there_is_no_ring_to_go_around_it(void **state) {
        assert_int_equal(try(true, set_up_ring, 0, 0), EPERM);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(what_touches_the_rule_is_refused),
                UNIT_TEST(what_the_kernel_does_not_look_at_opens_nothing),
                UNIT_TEST(other_options_pass),
                UNIT_TEST(there_is_no_ring_to_go_around_it),
        };

        return UNIT_RUN(tests);
}
