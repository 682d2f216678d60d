#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#include "unit.h"

/* A journal that only reads when it is asked to. */
typedef struct Journal {
        char directory[32];
        char path[64];
        int fd;
} Journal;

static void journal_open(Journal *j) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        strcpy(j->directory, "/tmp/test-log-XXXXXX");
        assert_non_null(mkdtemp(j->directory));
        snprintf(j->path, sizeof(j->path), "%s/journal", j->directory);
        strcpy(address.sun_path, j->path);

        j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(j->fd >= 0);
        assert_int_equal(bind(j->fd, (struct sockaddr *) &address, sizeof(address)), 0);
}

static void journal_close(Journal *j) {
        (void) unlink(j->path);
        (void) rmdir(j->directory);
        j->fd = fd_close(j->fd);
        log_close();
}

/* The next message, with a line feed before it so that "\nNAME=" finds each field. */
static const char *journal_read(Journal *j, char buffer[static 8192]) {
        ssize_t n = recv(j->fd, buffer + 1, 8190, 0);

        if (n < 0)
                return NULL;
        buffer[0] = '\n';
        buffer[1 + n] = '\0';
        return buffer;
}

/* Standard error, caught in a pipe. */
typedef struct Capture {
        int saved, read_end;
} Capture;

static void capture_begin(Capture *c) {
        int ends[2];

        assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(c->saved >= 0);
        assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
        close(ends[1]);
        c->read_end = ends[0];
}

static void capture_end(Capture *c, char *buffer, size_t size) {
        ssize_t n = read(c->read_end, buffer, size - 1);

        buffer[n > 0 ? n : 0] = '\0';
        dup2(c->saved, STDERR_FILENO);
        close(c->saved);
        close(c->read_end);
}

static void names_of_levels_and_targets(void **state) {
        assert_int_equal(log_level_from_string("err"), LOG_ERR);
        assert_int_equal(log_level_from_string("debug"), LOG_DEBUG);
        assert_true(log_level_from_string("loud") < 0);
        assert_int_equal(log_target_from_string("journal"), LOG_TARGET_JOURNAL);
        assert_true(log_target_from_string("file") < 0);
        assert_int_equal(log_open(LOG_TARGET_MAX, NULL), -EINVAL);
}

static void a_line_has_its_fields(void **state) {
        const LogFields fields = {
                .message_id = "0123456789abcdef0123456789abcdef",
                .service = "site",
                .endpoint = "web",
                .color = "green",
                .deploy_id = "release\nPRIORITY=0",
                .generation = 17,
                .worker_pid = 4711,
        };
        char buffer[8192];
        const char *text;
        Journal j;

        journal_open(&j);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, j.path), 0);
        log_fields(LOG_NOTICE, &fields, "hello %s", "world");
        log_info("bare");

        text = journal_read(&j, buffer);
        assert_non_null(text);
        assert_non_null(strstr(text, "\nPRIORITY=5\n"));
        assert_non_null(strstr(text, "\nSERVICE=site\n"));
        assert_non_null(strstr(text, "\nENDPOINT=web\n"));
        assert_non_null(strstr(text, "\nGENERATION=17\n"));
        assert_non_null(strstr(text, "\nWORKER_PID=4711\n"));
        assert_non_null(strstr(text, "\nMESSAGE_ID=0123456789abcdef0123456789abcdef\n"));
        assert_non_null(strstr(text, "\nCOLOR=green\n"));
        assert_non_null(strstr(text, "\nDEPLOY_ID=release\\x0aPRIORITY=0\n"));
        assert_non_null(strstr(text, "\nMESSAGE=hello world\n"));

        text = journal_read(&j, buffer);
        assert_non_null(text);
        assert_null(strstr(text, "SERVICE="));
        assert_null(strstr(text, "GENERATION="));
        assert_null(strstr(text, "MESSAGE_ID="));
        journal_close(&j);
}

static void nobody_can_forge_a_field(void **state) {
        char buffer[8192];
        const char *text;
        Journal j;

        journal_open(&j);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, j.path), 0);
        log_error("said: %s", "x\nPRIORITY=0\nMESSAGE=forged");

        text = journal_read(&j, buffer);
        assert_non_null(text);
        assert_non_null(strstr(text, "MESSAGE=said: x\\x0aPRIORITY=0\\x0aMESSAGE=forged\n"));
        assert_null(strstr(text, "\nPRIORITY=0\n"));
        journal_close(&j);
}

static void a_level_that_is_off_is_not_written(void **state) {
        char buffer[8192];
        Journal j;

        journal_open(&j);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, j.path), 0);
        log_set_level(LOG_WARNING);
        log_info("quiet");
        assert_null(journal_read(&j, buffer));
        assert_false(log_is_enabled(LOG_INFO));
        log_set_level(LOG_INFO);
        log_info("loud");
        assert_non_null(journal_read(&j, buffer));
        journal_close(&j);
}

/* A stopped journal: its queue is full, we go on at once, and it is told later how much it missed. */
static void a_journal_that_does_not_read_costs_lines_not_time(void **state) {
        uint64_t before = log_n_dropped(), n_dropped;
        char buffer[8192], expected[64];
        const char *text, *last = NULL;
        Journal j;

        journal_open(&j);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, j.path), 0);
        for (unsigned i = 0; i < 100000; i++)
                log_info("line %u", i);
        n_dropped = log_n_dropped() - before;
        assert_true(n_dropped > 90000);

        while ((text = journal_read(&j, buffer)))
                ;
        log_info("back");
        text = journal_read(&j, buffer);
        assert_non_null(text);
        assert_non_null(strstr(text, "MESSAGE=back\n"));
        last = journal_read(&j, buffer);
        assert_non_null(last);
        snprintf(expected, sizeof(expected), "MESSAGE=%llu lines", (unsigned long long) n_dropped);
        assert_non_null(strstr(last, expected));
        assert_non_null(strstr(last, "\nPRIORITY=4\n"));

        log_info("told once");
        assert_non_null(strstr(journal_read(&j, buffer), "MESSAGE=told once\n"));
        assert_null(journal_read(&j, buffer));
        journal_close(&j);
}

static void without_a_journal_lines_go_to_standard_error(void **state) {
        char buffer[8192];
        Capture c;
        Journal j;

        journal_open(&j);
        capture_begin(&c);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, "/nonexistent/journal"), 0);
        log_error("to nobody");
        assert_int_equal(log_open(LOG_TARGET_STDERR, NULL), 0);
        log_warning("to you");
        assert_int_equal(log_open(LOG_TARGET_AUTO, "/nonexistent/journal"), 0);
        log_info("to both");
        capture_end(&c, buffer, sizeof(buffer));
        assert_string_equal(buffer, "<3>to nobody\n<4>to you\n<6>to both\n");

        /* auto finds a journal that is there */
        capture_begin(&c);
        assert_int_equal(log_open(LOG_TARGET_AUTO, j.path), 0);
        log_info("found");
        capture_end(&c, buffer, sizeof(buffer));
        assert_string_equal(buffer, "");
        assert_non_null(journal_read(&j, buffer));
        journal_close(&j);
}

static void a_line_too_long_is_cut_and_errno_is_kept(void **state) {
        static char text[20000];
        char buffer[8192];
        Journal j;

        memset(text, 'x', sizeof(text) - 1);
        journal_open(&j);
        assert_int_equal(log_open(LOG_TARGET_JOURNAL, j.path), 0);
        errno = ENOTTY;
        log_info("%s", text);
        assert_int_equal(errno, ENOTTY);
        assert_non_null(journal_read(&j, buffer));
        assert_non_null(strstr(buffer, "…\n"));
        journal_close(&j);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(names_of_levels_and_targets),
                UNIT_TEST(a_line_has_its_fields),
                UNIT_TEST(nobody_can_forge_a_field),
                UNIT_TEST(a_level_that_is_off_is_not_written),
                UNIT_TEST(a_journal_that_does_not_read_costs_lines_not_time),
                UNIT_TEST(without_a_journal_lines_go_to_standard_error),
                UNIT_TEST(a_line_too_long_is_cut_and_errno_is_kept),
        };

        return UNIT_RUN(tests);
}
