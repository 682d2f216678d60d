/* include_dir: several files as one. */

#include <errno.h>

#include "settings-load.h"

static int load_main(Problems *problems, Settings **ret) {
        return settings_load("main.conf", problems, ret);
}

static void assert_problem(const char *expected) {
        Problems problems = { 0 };
        Settings *s = NULL;

        assert_int_equal(load_main(&problems, &s), -EBADMSG);
        assert_int_equal(strv_length(problems.lines), 1);
        assert_string_equal(problems.lines[0], expected);
        problems_done(&problems);
}

static void files_are_merged_in_the_order_of_their_names(void **state) {
        Problems problems = { 0 };
        Settings *s = NULL;
        Workplace w;

        workplace_open(&w);
        assert_int_equal(mkdir("conf.d", 0755), 0);
        write_text("main.conf", "include_dir = \"conf.d\";\nendpoints: { a: { listen_stream = 1; "
                                "}; };\n");
        write_text("conf.d/20-b.conf", "endpoints: { c: { listen_stream = 3; }; };\n");
        write_text("conf.d/10-a.conf", "endpoints: { b: { listen_stream = 2; }; };\n"
                                       "services: { s: { endpoints = [\"a\", \"c\"];\n"
                                       " exec_start = [\"/bin/true\"]; }; };\n");
        write_text("conf.d/.hidden.conf", "nonsense");
        write_text("conf.d/other.txt", "nonsense");
        write_text("conf.d/.conf", "nonsense");
        assert_int_equal(load_main(&problems, &s), 0);
        assert_int_equal(s->n_endpoints, 3);
        assert_string_equal(s->endpoints[0]->name, "a");
        assert_string_equal(s->endpoints[1]->name, "b");
        assert_string_equal(s->endpoints[2]->name, "c");
        assert_string_equal(s->endpoints[2]->place.file, "conf.d/20-b.conf");
        assert_string_equal(s->services[0]->endpoints[1]->name, "c");
        assert_int_equal(strv_length(s->files), 3);
        assert_string_equal(s->include_dir, "conf.d");
        settings_unref(s);
        problems_done(&problems);
        workplace_close(&w);
}

static void a_directory_is_meant_from_the_file(void **state) {
        Problems problems = { 0 };
        Settings *s = NULL;
        Workplace w;

        workplace_open(&w);
        assert_int_equal(mkdir("etc", 0755), 0);
        assert_int_equal(mkdir("etc/more", 0755), 0);
        write_text("etc/main.conf", "include_dir = \"more\";\n");
        write_text("etc/more/x.conf", "endpoints: { a: { listen_stream = 1; }; };\n");
        assert_int_equal(settings_load("etc/main.conf", &problems, &s), 0);
        assert_int_equal(s->n_endpoints, 1);
        settings_unref(s);
        workplace_close(&w);
}

static void a_name_said_twice_names_both_lines(void **state) {
        Workplace w;

        workplace_open(&w);
        assert_int_equal(mkdir("d", 0755), 0);
        write_text("main.conf", "include_dir = \"d\";\nendpoints: {\n a: { listen_stream = 1; }; "
                                "};\n");
        write_text("d/x.conf", "endpoints: {\n\n\n a: { listen_stream = 2; }; };\n");
        assert_problem("d/x.conf:4: endpoints.a: defined twice, first in main.conf:3, expected "
                       "once");

        write_text("main.conf", "include_dir = \"d\";\ndaemon: { log_level = \"info\"; };\n");
        write_text("d/x.conf", "daemon: { log_level = \"info\"; };\n");
        assert_problem("d/x.conf:1: daemon.log_level: defined twice, first in main.conf:2, "
                       "expected once");
        workplace_close(&w);
}

static void all_problems_of_all_files_are_told_in_order(void **state) {
        Problems problems = { 0 };
        Settings *s = NULL;
        Workplace w;

        workplace_open(&w);
        assert_int_equal(mkdir("d", 0755), 0);
        write_text("main.conf",
                   "include_dir = \"d\";\nendpoints: { a: { lisen_stream = 1; }; };\n");
        write_text("d/1.conf", "endpoints: { b { }; };\n");
        write_text("d/2.conf", "endpoints: {\n c: { listen_stream = \"x\"; }; };\n");
        write_text("d/3.conf", "include_dir = \"/etc\";\n");
        assert_int_equal(load_main(&problems, &s), -EBADMSG);
        assert_int_equal(strv_length(problems.lines), 5);
        assert_true(strncmp(problems.lines[0], "d/1.conf:1: ", 12) == 0);
        assert_true(strncmp(problems.lines[1], "d/2.conf:2: ", 12) == 0);
        assert_true(strncmp(problems.lines[2], "d/3.conf:1: include_dir: ", 25) == 0);
        assert_true(strncmp(problems.lines[3], "main.conf:2: ", 13) == 0);
        assert_true(strncmp(problems.lines[4], "main.conf:2: ", 13) == 0);
        problems_done(&problems);
        workplace_close(&w);
}

static void a_bad_directory_is_a_problem(void **state) {
        Workplace w;

        workplace_open(&w);
        write_text("main.conf", "\ninclude_dir = \"none\";\n");
        assert_problem("main.conf:2: include_dir: the directory none cannot be opened: No such "
                       "file or directory, expected one that is there");
        write_text("main.conf", "include_dir = \"main.conf\";\n");
        assert_problem("main.conf:1: include_dir: the directory main.conf cannot be opened: Not a "
                       "directory, expected one that is there");
        assert_int_equal(mkdir("open", 0755), 0);
        assert_int_equal(chmod("open", 0777), 0);
        write_text("main.conf", "include_dir = \"open\";\n");
        {
                char expected[200];

                snprintf(expected, sizeof(expected),
                         "main.conf:1: include_dir: the directory open belongs to uid %u with mode "
                         "0777, expected one of root's or ours that others cannot change",
                         (unsigned) geteuid());
                assert_problem(expected);
        }
        write_text("main.conf", "include_dir = \"\";\n");
        assert_problem("main.conf:1: include_dir: this is empty, expected the path of a directory");
        workplace_close(&w);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(files_are_merged_in_the_order_of_their_names),
                UNIT_TEST(a_directory_is_meant_from_the_file),
                UNIT_TEST(a_name_said_twice_names_both_lines),
                UNIT_TEST(all_problems_of_all_files_are_told_in_order),
                UNIT_TEST(a_bad_directory_is_a_problem),
        };

        return UNIT_RUN(tests);
}
