/* Files of variables, as systemd.exec(5) says; and the three sources together. */

#include <errno.h>

#include "base/text.h"
#include "settings/environment.h"

#include "files.h"

/* Parses @text, which must give exactly these; the list ends with NULL. */
static void assert_parses(const char *text, const char *const expected[]) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_strv_ char **list = NULL;
        size_t n = 0;

        assert_int_equal(environment_parse(text, "env", "x", &report, &list), 0);
        assert_int_equal(report.n_problems, 0);
        for (; expected[n]; n++) {
                assert_true(n < strv_length(list));
                assert_string_equal(list[n], expected[n]);
        }
        assert_int_equal(strv_length(list), n);
}
#define assert_parses(text, ...) assert_parses(text, (const char *const[]){ __VA_ARGS__, NULL })

static void lines_are_assignments(void **state) {
        assert_parses("A=1\nB=2", "A=1", "B=2");
        assert_parses("# comment\n\n; comment\n  A=1  \n\t\nB= x  y \n", "A=1", "B=x  y");
        assert_parses("A=\n", "A=");
        assert_parses("A=1\nA=2\n", "A=2");
        assert_parses("A=a=b # not a comment\n", "A=a=b # not a comment");
        assert_parses("A=1\r\nB=2\r\n", "A=1", "B=2");
}

static void quotes_and_backslashes(void **state) {
        assert_parses("A=\"x  y\"\n", "A=x  y");
        assert_parses("A='x \\n \"y\"'\n", "A=x \\n \"y\"");
        assert_parses("A=\"a\\\"b\\\\c\\nd\"\n", "A=a\"b\\c\\nd");
        assert_parses("A=a\\\n  b\nB=2\n", "A=a  b", "B=2");
        assert_parses("A=\"two\nlines\"\nB=2\n", "A=two\nlines", "B=2");
        assert_parses("A=\" \" \n", "A= ");
        assert_parses("A=a\\ b\n", "A=a b");
}

static void a_per_cent_sign_is_no_template(void **state) {
        assert_parses("A=50%n\n", "A=50%%n");
}

/* H9: what stands in such a file is never in a message. */
static void messages_have_lines_and_no_contents(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_strv_ char **list = NULL;
        Problems problems = { 0 };

        assert_int_equal(
                        environment_parse(
                                        "A=1\nroot:secret\n2X=secret\nLISTEN_FDS=secret\nB=\"secret",
                                        "env", "services.x.environment_file", &report, &list),
                        0);
        assert_int_equal(report_finish(&report, &problems), 0);
        assert_int_equal(strv_length(problems.lines), 4);
        STRV_FOREACH(line, problems.lines)
                assert_null(strstr(*line, "secret"));
        assert_string_equal(problems.lines[0], "env:2: services.x.environment_file: not an "
                                               "assignment, expected NAME=VALUE");
        assert_string_equal(problems.lines[3],
                            "env:5: services.x.environment_file: a quote begins here and never "
                            "ends, expected it once more");
        problems_done(&problems);
}

static void the_later_source_wins(void **state) {
        char *said[] = { (char *) "A=said", (char *) "B=%n", NULL };
        char *files[] = { (char *) "-none", (char *) "env", NULL };
        char *passing[] = { (char *) "A", (char *) "P", (char *) "UNSET", NULL };
        ServiceSettings service = { .name = (char *) "site",
                                    .said_environment = said,
                                    .environment_file = files,
                                    .pass_environment = passing };
        _cleanup_(report_done) Report report = { 0 };
        Workplace w;

        workplace_open(&w);
        write_text("env", "B=file\nC=file\n");
        setenv("A", "ours", 1);
        setenv("P", "100%", 1);
        unsetenv("UNSET");
        assert_int_equal(environment_resolve(&service, &report), 0);
        assert_int_equal(report.n_problems, 0);
        assert_int_equal(strv_length(service.environment), 4);
        assert_string_equal(service.environment[0], "A=said");
        assert_string_equal(service.environment[1], "P=100%%");
        assert_string_equal(service.environment[2], "B=file");
        assert_string_equal(service.environment[3], "C=file");
        strv_free(service.environment);
        workplace_close(&w);
}

static void a_missing_or_foreign_file_is_a_problem(void **state) {
        char *files[] = { (char *) "none", (char *) "open", NULL };
        ServiceSettings service = { .name = (char *) "site", .environment_file = files };
        _cleanup_(report_done) Report report = { 0 };
        Workplace w;

        workplace_open(&w);
        write_text("open", "A=1\n");
        assert_int_equal(chmod("open", 0666), 0);
        assert_int_equal(environment_resolve(&service, &report), 0);
        assert_int_equal(report.n_problems, 2);
        assert_null(service.environment);
        workplace_close(&w);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(lines_are_assignments),
                UNIT_TEST(quotes_and_backslashes),
                UNIT_TEST(a_per_cent_sign_is_no_template),
                UNIT_TEST(messages_have_lines_and_no_contents),
                UNIT_TEST(the_later_source_wins),
                UNIT_TEST(a_missing_or_foreign_file_is_a_problem),
        };

        return UNIT_RUN(tests);
}
