/* A parser that crashes, exits, hangs, eats or lies is one clear line, and we go on.
 *
 * config_read_string() of this file stands before libconfig's, does what the text asks for, and
 * passes everything else on. */

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <libconfig.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/parser.h"

#include "files.h"

static void write_from_child(const void *bytes, size_t n) {
        if (write(3, bytes, n) != (ssize_t) n)
                _exit(9);
}

/* Asked for by "fault = …" in the text; in the child only. */
static void misbehave(const char *how) {
        static const char much[65536] = "T";

        if (strncmp(how, "\"crash\"", 7) == 0)
                (void) raise(SIGSEGV);
        else if (strncmp(how, "\"exit\"", 6) == 0)
                exit(2);
        else if (strncmp(how, "\"hang\"", 6) == 0)
                for (;;)
                        pause();
        else if (strncmp(how, "\"spin\"", 6) == 0)
                for (volatile unsigned i = 0;; i++)
                        ;
        else if (strncmp(how, "\"eat\"", 5) == 0) {
                if (mmap(NULL, 2 * PARSER_MEMORY_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
                        (void) raise(SIGABRT);
        } else if (strncmp(how, "\"flood\"", 7) == 0)
                for (;;)
                        write_from_child(much, sizeof(much));
        else if (strncmp(how, "\"lie\"", 5) == 0) {
                write_from_child("Tlies", 5);
                _exit(0);
        } else if (strncmp(how, "\"silence\"", 9) == 0)
                _exit(0);
        else if (strncmp(how, "\"leaks\"", 7) == 0) {
                for (int fd = 4; fd < 200; fd++)
                        if (fcntl(fd, F_GETFD) >= 0)
                                _exit(100);
        }
}

int config_read_string(config_t *config, const char *text) {
        const char *how = strstr(text, "fault = ");
        int (*real)(config_t *, const char *) = dlsym(RTLD_NEXT, "config_read_string");

        if (how)
                misbehave(how + strlen("fault = "));
        return real(config, text);
}

static int run(const char *text, char *ret_line, size_t size) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        _cleanup_(scan_freep) Scan *scan = NULL;
        Problems problems = { 0 };
        int r;

        assert_int_equal(scan_text(text, "x.conf", &report, &scan), 0);
        r = parser_run(text, "x.conf", scan, &report, &tree);
        assert_int_equal(tree != NULL, r == 0);
        assert_int_equal(report_finish(&report, &problems), 0);
        assert_int_equal(strv_length(problems.lines), r == -EBADMSG ? 1 : 0);
        snprintf(ret_line, size, "%s", problems.lines ? problems.lines[0] : "");
        problems_done(&problems);
        return r;
}

/* No child is left behind, dead or alive. */
static void assert_no_child(void) {
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void assert_fault(const char *text, const char *expected) {
        struct timespec before, after;
        char line[512];

        clock_gettime(CLOCK_MONOTONIC, &before);
        assert_int_equal(run(text, line, sizeof(line)), -EBADMSG);
        clock_gettime(CLOCK_MONOTONIC, &after);
        assert_string_equal(line, expected);
        assert_true(after.tv_sec - before.tv_sec <= 4);
        assert_no_child();
}

static void a_crash_is_one_line(void **state) {
        char line[512];

        assert_int_equal(run("fault = \"crash\";", line, sizeof(line)), -EBADMSG);
        assert_non_null(strstr(line, "x.conf:1: the parser ")); /* a sanitizer turns it into exit */
        assert_no_child();
}

static void an_exit_is_one_line(void **state) {
        assert_fault("fault = \"exit\";",
                     "x.conf:1: the parser gave up with status 2, expected a simpler file");
}

static void a_hang_is_one_line_and_ends(void **state) {
        assert_fault("fault = \"hang\";",
                     "x.conf:1: parsing takes too long, expected less than 2 s");
}

static void a_loop_is_one_line_and_ends(void **state) {
        assert_fault("fault = \"spin\";",
                     "x.conf:1: parsing takes too long, expected less than 2 s");
}

static void memory_is_limited(void **state) {
        char line[512];

        assert_int_equal(run("fault = \"eat\";", line, sizeof(line)), -EBADMSG);
        assert_non_null(strstr(line, "x.conf:1: the parser "));
        assert_no_child();
}

static void an_endless_answer_is_cut(void **state) {
        assert_fault("fault = \"flood\";", "x.conf:1: too many settings, expected a smaller file");
}

static void a_wrong_answer_is_not_believed(void **state) {
        assert_fault("fault = \"lie\";",
                     "x.conf:1: the parser gave no sensible answer, expected a simpler file");
        assert_fault("fault = \"silence\";",
                     "x.conf:1: the parser gave no sensible answer, expected a simpler file");
}

static void the_child_has_no_descriptor_of_ours(void **state) {
        char line[512];
        int fd = dup(STDERR_FILENO);

        assert_int_equal(run("fault = \"leaks\";", line, sizeof(line)), 0);
        close(fd);
}

static void a_good_text_passes_after_all_that(void **state) {
        char line[512];

        assert_int_equal(run("a = 1;", line, sizeof(line)), 0);
        assert_no_child();
}

/* In a process of its own, since root's processes are not counted. */
static int run_without_processes(void) {
        struct rlimit none = { 0, 0 };
        char line[512];

        if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
                return EXIT_FAILURE;
        if (setrlimit(RLIMIT_NPROC, &none) < 0)
                return EXIT_FAILURE;

        return run("a = 1;", line, sizeof(line)) == -EAGAIN ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void without_processes_the_error_is_passed_on(void **state) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(run_without_processes());

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_crash_is_one_line),
                UNIT_TEST(an_exit_is_one_line),
                UNIT_TEST(a_hang_is_one_line_and_ends),
                UNIT_TEST(a_loop_is_one_line_and_ends),
                UNIT_TEST(memory_is_limited),
                UNIT_TEST(an_endless_answer_is_cut),
                UNIT_TEST(a_wrong_answer_is_not_believed),
                UNIT_TEST(the_child_has_no_descriptor_of_ours),
                UNIT_TEST(a_good_text_passes_after_all_that),
                UNIT_TEST(without_processes_the_error_is_passed_on),
        };

        return UNIT_RUN(tests);
}
