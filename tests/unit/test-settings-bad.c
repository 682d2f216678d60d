/* Bad files: each tests/unit/bad/NAME.conf gives exactly the lines of NAME.expected.
 *
 * With REUSEPORT_WRITE_EXPECTED=1 the .expected files are written anew, to be looked at. */

#include <dirent.h>

#include "base/text.h"
#include "settings/settings.h"

#include "files.h"

static char *join(char *const *lines) {
        _cleanup_free_ char *text = strdup("");
        char *longer;

        STRV_FOREACH(line, lines) {
                assert_true(asprintf(&longer, "%s%s\n", text, *line) > 0);
                free(text);
                text = longer;
        }

        return TAKE_PTR(text);
}

/* The lines that loading @name gives, in a directory of ours: the sources may belong to anybody. */
static char *lines_of(const char *name, const char *text) {
        Problems problems = { 0 };
        Settings *settings = NULL;
        Workplace w;
        char *lines;

        workplace_open(&w);
        write_text(name, text);
        assert_int_equal(settings_load(name, &problems, &settings), -EBADMSG);
        assert_null(settings);
        lines = join(problems.lines);
        problems_done(&problems);
        workplace_close(&w);
        return lines;
}

static void check_one(const char *directory, const char *name) {
        char path[512], expected_path[512];
        _cleanup_free_ char *text = NULL, *expected = NULL, *lines = NULL;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        snprintf(expected_path, sizeof(expected_path), "%s/%.*s.expected", directory,
                 (int) (strlen(name) - strlen(".conf")), name);

        text = read_whole(path, NULL);
        lines = lines_of(name, text);
        if (getenv("REUSEPORT_WRITE_EXPECTED"))
                write_text(expected_path, lines);

        expected = read_whole(expected_path, NULL);
        assert_string_equal(lines, expected);
}

static void bad_files_give_exactly_their_lines(void **state) {
        DIR *directory = opendir(SOURCES "/bad");
        struct dirent *entry;
        unsigned n = 0;

        assert_non_null(directory);
        while ((entry = readdir(directory))) {
                size_t length = strlen(entry->d_name);

                if (length < 5 || strcmp(entry->d_name + length - 5, ".conf") != 0)
                        continue;
                check_one(SOURCES "/bad", entry->d_name);
                n++;
        }

        closedir(directory);
        assert_true(n >= 20);
}

/* FILE:LINE: PATH: what, expected what */
static void check_form(const char *line) {
        const char *at = strchr(line, ':');

        assert_non_null(at);
        assert_true(at[1] >= '1' && at[1] <= '9');
        at += 1 + strspn(at + 1, "0123456789");
        assert_memory_equal(at, ": ", 2);
        assert_non_null(strstr(at, "expected "));
        assert_null(strchr(line, '\n'));
}

static void more_problems_than_anybody_reads_are_counted(void **state) {
        Problems problems = { 0 };
        Settings *settings = NULL;
        Workplace w;
        FILE *f;

        workplace_open(&w);
        f = fopen("many.conf", "we");
        assert_non_null(f);
        fputs("endpoints: {\n", f);
        for (unsigned i = 0; i < PROBLEMS_MAX + 17; i++)
                fprintf(f, "e%u: { listen_stream = -%u; };\n", i, i + 1);
        fputs("};\n", f);
        fclose(f);

        assert_int_equal(settings_load("many.conf", &problems, &settings), -EBADMSG);
        assert_int_equal(strv_length(problems.lines), PROBLEMS_MAX);
        assert_int_equal(problems.n_left_out, 17);
        STRV_FOREACH(line, problems.lines)
                check_form(*line);
        problems_done(&problems);
        workplace_close(&w);
}

static void what_a_file_says_is_escaped_in_a_message(void **state) {
        _cleanup_free_ char *lines = lines_of(
                        "x.conf", "endpoints: { a: { listen_stream = \"a\nx.conf:1: b\"; }; };");

        assert_non_null(strstr(lines, "a\\x0ax.conf:1: b"));
        assert_ptr_equal(strchr(lines, '\n'), lines + strlen(lines) - 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(bad_files_give_exactly_their_lines),
                UNIT_TEST(more_problems_than_anybody_reads_are_counted),
                UNIT_TEST(what_a_file_says_is_escaped_in_a_message),
        };

        return UNIT_RUN(tests);
}
