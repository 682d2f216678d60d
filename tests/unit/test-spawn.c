#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/spawn/spawn.h"
#include "unit.h"

/* Runs `sh -c SCRIPT` with @fds and returns what it printed; the caller's. */
static char *run(const char *script, const int *fds, size_t n_fds, int *ret_status) {
        char hole[] = "OWN_PID=" SPAWN_PID_HOLE, path[] = "PATH=/usr/bin:/bin";
        char *environment[] = { hole, path, NULL };
        const char *argv[] = { "/bin/sh", "-c", script, NULL };
        char *text = calloc(1, 65536);
        size_t size = 0;
        SpawnPlan plan;
        int out[2], null, pidfd, n;
        siginfo_t end = { 0 };
        const char *what;
        pid_t pid;

        assert_non_null(text);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_true(null >= 0);

        plan = (SpawnPlan){
                .argv = (char *const *) argv,
                .environment = environment,
                .fds = fds,
                .n_fds = n_fds,
                .stdin_fd = null,
                .stdout_fd = out[1],
                .stderr_fd = STDERR_FILENO,
        };
        assert_int_equal(spawn(&plan, &pid, &pidfd, &what), 0);
        (void) close(out[1]);
        (void) close(null);

        while ((n = (int) read(out[0], text + size, 65535 - size)) > 0)
                size += (size_t) n;
        (void) close(out[0]);

        assert_int_equal(waitid(P_PIDFD, (id_t) pidfd, &end, WEXITED), 0);
        assert_int_equal(end.si_pid, pid);
        (void) close(pidfd);
        *ret_status = end.si_status;
        return text;
}

static void a_child_has_its_descriptors_and_no_other(void **state) {
        int fds[3], leak, status;
        char *text;

        /* In an order and at numbers that collide with the places where they go. */
        for (int i = 0; i < 3; i++) {
                char name[64];

                snprintf(name, sizeof(name), "/tmp/test-spawn-%d-%d", (int) getpid(), 2 - i);
                fds[2 - i] = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                assert_true(fds[2 - i] >= 0);
                assert_int_equal(write(fds[2 - i], (char[]){ (char) ('0' + 2 - i) }, 1), 1);
                assert_int_equal(lseek(fds[2 - i], 0, SEEK_SET), 0);
                (void) unlink(name);
        }
        leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library might */
        assert_true(leak >= 0);

        text = run("cat <&3 <&4 <&5 >/dev/null; head -c1 <&3; head -c1 <&4; exec 6</proc/self/fd; "
                   "ls /proc/self/fd | tr '\\n' ' '",
                   fds, 3, &status);
        assert_int_equal(status, 0);
        assert_true(strncmp(text, "01", 2) == 0);
        /* 0 to 5 are ours to give, 6 is the shell's, 7 the listing itself */
        assert_string_equal(text + 2, "0 1 2 3 4 5 6 7 ");

        free(text);
        for (int i = 0; i < 3; i++)
                (void) close(fds[i]);
        (void) close(leak);
}

static int count_fds(void) {
        DIR *directory = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        (void) closedir(directory);
        return n;
}

/* So many that the child is launched from the pad, and one more than the pad has room for. */
static void a_child_of_somebody_with_many_descriptors_has_its_own_and_no_other(void **state) {
        int many[600], status, before;

        spawn_reserve();
        for (size_t i = 0; i < ELEMENTS_OF(many); i++) {
                many[i] = open("/dev/null", O_RDWR);
                assert_true(many[i] >= 0);
        }
        free(run("true", NULL, 0, &status)); /* which tells how many there are */
        before = count_fds();

        for (size_t n = 0; n <= 40; n += 4) {
                char expected[4096] = "", *text;

                for (size_t fd = 0; fd <= 3 + n; fd++) /* the last is
                                                                 the listing itself */
                        snprintf(expected + strlen(expected), 16, "%zu\n", fd);
                text = run("exec ls -v /proc/self/fd", many, n, &status);
                assert_int_equal(status, 0);
                assert_string_equal(text, expected);
                free(text);
        }
        assert_int_equal(count_fds(), before);
        for (size_t i = 0; i < ELEMENTS_OF(many); i++) {
                assert_true(fcntl(many[i], F_GETFD) == 0); /* as they were: not even the flag */
                (void) close(many[i]);
        }
        spawn_release();
}

static void a_hole_is_filled_with_the_childs_own_pid(void **state) {
        int status;
        char *text = run("test \"$OWN_PID\" = $$ && echo same", NULL, 0, &status);

        assert_string_equal(text, "same\n");
        assert_int_equal(status, 0);
        free(text);
}

static void a_child_leads_a_session_and_blocks_no_signal(void **state) {
        int status;
        char *text = run("test $(ps -o sid= -p $$) = $$ || echo no session; "
                         "exec grep -E 'SigBlk|SigIgn' /proc/self/status",
                         NULL, 0, &status);

        assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
        free(text);
}

static void what_cannot_be_executed_is_known_at_once(void **state) {
        static const struct {
                const char *program;
                int error;
        } rows[] = { { "/nonexistent/program", -ENOENT },
                     { "/etc/passwd", -EACCES },
                     { "/tmp", -EACCES },
                     { "/etc/passwd/x", -ENOTDIR } };
        char *environment[] = { NULL };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *argv[] = { (char *) rows[i].program, NULL };
                const SpawnPlan plan = {
                        .argv = argv, .environment = environment, .stdout_fd = 1, .stderr_fd = 2
                };
                const char *what = NULL;
                int pidfd;
                pid_t pid;

                assert_int_equal(spawn(&plan, &pid, &pidfd, &what), rows[i].error);
                assert_string_equal(what, "execute");
        }
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and no zombie is left */
        assert_int_equal(errno, ECHILD);
}

static void a_directory_that_is_not_there_is_named(void **state) {
        char *argv[] = { (char *) "/bin/true", NULL }, *environment[] = { NULL };
        const SpawnPlan plan = { .argv = argv,
                                 .environment = environment,
                                 .stdout_fd = 1,
                                 .stderr_fd = 2,
                                 .working_directory = "/nonexistent" };
        const char *what;
        int pidfd;
        pid_t pid;

        assert_int_equal(spawn(&plan, &pid, &pidfd, &what), -ENOENT);
        assert_string_equal(what, "change the directory of");
}

static void another_user_has_nothing_of_ours(void **state) {
        char *argv[] = { (char *) "/bin/sh", (char *) "-c",
                         (char *) "test \"$(id -u) $(id -g) $(id -G)\" = '65534 65533 65533 65532'",
                         NULL };
        char path[] = "PATH=/usr/bin:/bin", *environment[] = { path, NULL };
        const gid_t groups[] = { 65532 };
        const SpawnPlan plan = { .argv = argv,
                                 .environment = environment,
                                 .stdout_fd = 1,
                                 .stderr_fd = 2,
                                 .has_user = true,
                                 .uid = 65534,
                                 .gid = 65533,
                                 .groups = groups,
                                 .n_groups = 1 };
        siginfo_t end = { 0 };
        const char *what;
        int pidfd;
        pid_t pid;

        if (geteuid() != 0)
                unit_skip("only root can become somebody else");

        assert_int_equal(spawn(&plan, &pid, &pidfd, &what), 0);
        assert_int_equal(waitid(P_PIDFD, (id_t) pidfd, &end, WEXITED), 0);
        assert_int_equal(end.si_status, 0);
        (void) close(pidfd);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_child_has_its_descriptors_and_no_other),
                UNIT_TEST(a_child_of_somebody_with_many_descriptors_has_its_own_and_no_other),
                UNIT_TEST(a_hole_is_filled_with_the_childs_own_pid),
                UNIT_TEST(a_child_leads_a_session_and_blocks_no_signal),
                UNIT_TEST(what_cannot_be_executed_is_known_at_once),
                UNIT_TEST(a_directory_that_is_not_there_is_named),
                UNIT_TEST(another_user_has_nothing_of_ours),
        };

        return UNIT_RUN(tests);
}
