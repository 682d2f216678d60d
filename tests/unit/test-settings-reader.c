/* Files that nobody should have written, and such that nobody should read. */

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/reader.h"
#include "settings/scan.h"

#include "files.h"

/* Reads @path and gives the one line that must come of it. */
static char *only_line(const char *path) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        Problems problems = { 0 };
        char *line;

        assert_int_equal(reader_read(path, &report, &tree), -EBADMSG);
        assert_null(tree);
        assert_int_equal(report_finish(&report, &problems), 0);
        assert_int_equal(strv_length(problems.lines), 1);
        line = strdup(problems.lines[0]);
        problems_done(&problems);
        return line;
}

static void assert_only_line(const char *path, const char *expected) {
        _cleanup_free_ char *line = only_line(path);

        assert_string_equal(line, expected);
}

static uint64_t now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

static void a_good_file_is_read(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        const Tree *web;
        Workplace w;

        workplace_open(&w);
        write_text("x.conf", "endpoints: {\n  web: {\n    n = -5; l = 0x1FL; s = \"a\" \"b\\n\";\n"
                             "    b = TRUE; f = 1.5; a = [\"x\",\n\"y\"]; }\n}\n");
        assert_int_equal(reader_read("x.conf", &report, &tree), 0);
        assert_int_equal(report.n_problems, 0);

        web = tree_child(tree_child(tree, "endpoints"), "web");
        assert_int_equal(web->place.line, 2);
        assert_string_equal(web->place.file, "x.conf");
        assert_int_equal(web->n_children, 6);
        assert_int_equal(tree_child(web, "n")->integer, -5);
        assert_int_equal(tree_child(web, "l")->integer, 31);
        assert_string_equal(tree_child(web, "s")->string, "ab\n");
        assert_true(tree_child(web, "b")->boolean);
        assert_int_equal(tree_child(web, "f")->kind, TREE_FLOAT);
        assert_int_equal(tree_child(web, "a")->n_children, 2);
        assert_string_equal(tree_child(web, "a")->children[1]->string, "y");
        assert_int_equal(tree_child(web, "a")->children[1]->place.line, 5);
        workplace_close(&w);
}

static void what_is_no_regular_file_is_refused_at_once(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "socket" };
        uint64_t start = now_usec();
        Workplace w;
        int fd;

        workplace_open(&w);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        assert_int_equal(mkdir("directory", 0700), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);

        assert_only_line("fifo", "fifo:1: this is a FIFO, expected a regular file");
        assert_only_line("directory", "directory:1: this is a directory, expected a regular file");
        assert_only_line("/dev/zero", "/dev/zero:1: this is a device, expected a regular file");
        assert_only_line("/dev/null", "/dev/null:1: this is a device, expected a regular file");
        assert_only_line("socket", "socket:1: this is a socket, expected a regular file");
        assert_only_line("none", "none:1: cannot be opened: No such file or directory, expected a "
                                 "readable file");
        assert_true(now_usec() - start < 2 * USEC_PER_SEC);
        close(fd);
        workplace_close(&w);
}

static void a_file_that_others_may_change_is_refused(void **state) {
        Workplace w;

        workplace_open(&w);
        write_text("x.conf", "a = 1;");
        assert_int_equal(chmod("x.conf", 0666), 0);
        assert_only_line("x.conf",
                         "x.conf:1: everybody may write this file (mode 0666), expected a "
                         "file that others cannot change");
        workplace_close(&w);
}

static void a_file_of_somebody_else_is_refused(void **state) {
        char expected[160];
        Workplace w;

        if (geteuid() != 0)
                unit_skip("a file of somebody else: needs root");

        workplace_open(&w);
        write_text("x.conf", "a = 1;");
        assert_int_equal(chown("x.conf", 65534, -1), 0);
        snprintf(expected, sizeof(expected),
                 "x.conf:1: the file belongs to uid 65534, expected root or uid 0");
        assert_only_line("x.conf", expected);
        workplace_close(&w);
}

/* What counts is what was opened: a link may lead there, and the mode of the link means nothing. */
static void a_link_to_a_good_file_is_followed_and_one_to_a_bad_file_is_refused(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        Workplace w;

        workplace_open(&w);
        write_text("real.conf", "a = 1;");
        assert_int_equal(symlink("real.conf", "link.conf"), 0);
        assert_int_equal(reader_read("link.conf", &report, &tree), 0);

        assert_int_equal(chmod("real.conf", 0602), 0);
        assert_only_line("link.conf", "link.conf:1: everybody may write this file (mode 0602), "
                                      "expected a file that others cannot change");
        workplace_close(&w);
}

/* Somebody swaps the file for another one again and again: we read the one or the other as a whole,
 * or refuse it, but never look at one and read the other. */
static void a_file_swapped_during_the_read_is_one_or_the_other(void **state) {
        Workplace w;

        workplace_open(&w);
        for (unsigned i = 0; i < 200; i++) {
                _cleanup_(report_done) Report report = { 0 };
                _cleanup_(tree_freep) Tree *tree = NULL;
                int r;

                write_text("good", "a = 1;");
                write_text("evil", "a = 2;");
                assert_int_equal(chmod("evil", 0666), 0);
                assert_int_equal(rename(i % 2 ? "good" : "evil", "x.conf"), 0);
                r = reader_read("x.conf", &report, &tree);
                assert_int_equal(r, i % 2 ? 0 : -EBADMSG);
                if (tree)
                        assert_int_equal(tree_child(tree, "a")->integer, 1);
        }
        workplace_close(&w);
}

static void a_nul_byte_is_refused_with_its_line(void **state) {
        static const char bytes[] = "a = 1;\nb = \"x\0\";\n";
        Workplace w;

        workplace_open(&w);
        write_bytes("x.conf", bytes, sizeof(bytes) - 1);
        assert_only_line("x.conf", "x.conf:2: a NUL byte, expected text");
        workplace_close(&w);
}

static void a_file_too_long_is_refused_at_once(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        uint64_t start = now_usec();
        char *text = malloc(READER_SIZE_MAX + 1);
        Workplace w;
        int fd;

        workplace_open(&w);
        fd = open("sparse.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, 1L << 30), 0);
        close(fd);
        assert_only_line("sparse.conf",
                         "sparse.conf:1: the file has 1073741824 bytes, expected at most 1 MiB");

        memset(text, '\n', READER_SIZE_MAX + 1);
        write_bytes("long.conf", text, READER_SIZE_MAX + 1);
        assert_only_line("long.conf",
                         "long.conf:1: the file has 1048577 bytes, expected at most 1 MiB");
        write_bytes("just.conf", text, READER_SIZE_MAX);
        assert_int_equal(reader_read("just.conf", &report, &tree), 0);
        assert_true(now_usec() - start < 2 * USEC_PER_SEC);
        free(text);
        workplace_close(&w);
}

static void include_is_refused(void **state) {
        Workplace w;

        workplace_open(&w);
        write_text("secret", "password\n");
        write_text("x.conf", "a = 1;\n@include \"secret\"\n");
        assert_only_line("x.conf",
                         "x.conf:2: @include is refused, expected include_dir = \"DIRECTORY\"");
        write_text("x.conf", "@include \"/etc\"\n");
        assert_only_line("x.conf",
                         "x.conf:1: @include is refused, expected include_dir = \"DIRECTORY\"");
        workplace_close(&w);
}

static void write_keys(const char *path, const char *before, unsigned n, const char *format,
                       const char *after) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        fputs(before, f);
        for (unsigned i = 0; i < n; i++) {
                fprintf(f, "k%u", i);
                fputs(format, f);
        }
        fputs(after, f);
        fclose(f);
}

static void fifty_thousand_keys_are_one_line_at_once(void **state) {
        uint64_t start = now_usec();
        Workplace w;

        workplace_open(&w);
        write_keys("x.conf", "services: {\nweb: {\n", 50000, " = 1;\n", "};\n};\n");
        assert_only_line("x.conf", "x.conf:20003: services.web: too many names in one group, "
                                   "expected at most 20000");
        assert_true(now_usec() - start < 2 * USEC_PER_SEC);
        workplace_close(&w);
}

/* libconfig alone takes 6 s for this: its time grows with the square. */
static void a_long_group_is_read_in_pieces_and_put_together(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        const Tree *group;
        Workplace w;

        workplace_open(&w);
        write_keys("x.conf", "a: {\nb: {\n", SCAN_GROUP_NAMES_MAX, " = { x = 1; };\n",
                   "};\n};\nc = 1;\n");
        assert_int_equal(reader_read("x.conf", &report, &tree), 0);
        assert_int_equal(tree->n_children, 2);
        group = tree_child(tree_child(tree, "a"), "b");
        assert_int_equal(tree_child(tree, "a")->n_children, 1);
        assert_int_equal(group->n_children, SCAN_GROUP_NAMES_MAX);
        for (unsigned i = 0; i < group->n_children; i++) {
                char name[16];

                snprintf(name, sizeof(name), "k%u", i);
                assert_string_equal(group->children[i]->name, name);
                assert_int_equal(group->children[i]->place.line, i + 3);
                assert_int_equal(group->children[i]->n_children, 1);
        }
        workplace_close(&w);
}

/* One group of names cannot be cut: the file itself, and groups in lists. */
static void names_at_the_top_are_limited_by_time(void **state) {
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_(tree_freep) Tree *tree = NULL;
        uint64_t start = now_usec();
        Workplace w;
        int r;

        workplace_open(&w);
        write_keys("x.conf", "", SCAN_GROUP_NAMES_MAX, " = 1;\n", "");
        r = reader_read("x.conf", &report, &tree);
        assert_true(r == 0 || r == -EBADMSG);
        assert_true(now_usec() - start < 3 * USEC_PER_SEC);
        workplace_close(&w);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_good_file_is_read),
                UNIT_TEST(what_is_no_regular_file_is_refused_at_once),
                UNIT_TEST(a_file_that_others_may_change_is_refused),
                UNIT_TEST(a_file_of_somebody_else_is_refused),
                UNIT_TEST(a_link_to_a_good_file_is_followed_and_one_to_a_bad_file_is_refused),
                UNIT_TEST(a_file_swapped_during_the_read_is_one_or_the_other),
                UNIT_TEST(a_nul_byte_is_refused_with_its_line),
                UNIT_TEST(a_file_too_long_is_refused_at_once),
                UNIT_TEST(include_is_refused),
                UNIT_TEST(fifty_thousand_keys_are_one_line_at_once),
                UNIT_TEST(a_long_group_is_read_in_pieces_and_put_together),
                UNIT_TEST(names_at_the_top_are_limited_by_time),
        };

        return UNIT_RUN(tests);
}
