/* Files cut at every byte and with every bit turned over, on the daemon's way, child and all: what
 * comes of them is settings, or lines of the right form; never a crash, a hang or something left open.
 *
 * A sample by default, all of them with REUSEPORT_TEST_LONG=1. */

#include <dirent.h>
#include <errno.h>
#include <time.h>

#include "settings-load.h"

#define TIME_MAX_SEC 3

/* FILE:LINE: …, with what was expected. */
static void check_line(const char *line) {
        size_t n = strlen("x.conf:");

        assert_memory_equal(line, "x.conf:", n);
        assert_true(line[n] >= '1' && line[n] <= '9');
        n += strspn(line + n, "0123456789");
        assert_memory_equal(line + n, ": ", 2);
        assert_non_null(strstr(line, "expected "));
        assert_null(strchr(line, '\n'));
}

static void try_bytes(const char *bytes, size_t n_bytes) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        Problems problems = { 0 };
        struct timespec before, after;
        int r;

        write_bytes("x.conf", bytes, n_bytes);
        clock_gettime(CLOCK_MONOTONIC, &before);
        r = settings_load("x.conf", &problems, &s);
        clock_gettime(CLOCK_MONOTONIC, &after);

        assert_true(after.tv_sec - before.tv_sec <= TIME_MAX_SEC);
        assert_true(r == 0 || r == -EBADMSG);
        assert_int_equal(s != NULL, r == 0);
        assert_int_equal(problems.lines == NULL, r == 0);
        STRV_FOREACH(line, problems.lines)
                check_line(*line);
        problems_done(&problems);
}

static void try_truncations(const char *text, size_t n, unsigned step) {
        for (size_t length = 0; length < n; length += step)
                try_bytes(text, length);
}

static void try_flips(const char *text, size_t n, unsigned step) {
        _cleanup_free_ char *copy = malloc(n + 1);

        assert_non_null(copy);
        memcpy(copy, text, n + 1);
        for (size_t bit = 0; bit < n * 8; bit += step) {
                copy[bit / 8] ^= (char) (1 << bit % 8);
                try_bytes(copy, n);
                copy[bit / 8] ^= (char) (1 << bit % 8);
        }
}

static void for_each_file(void (*try_it)(const char *text, size_t n, unsigned step),
                          unsigned step) {
        DIR *directory = opendir(SOURCES "/bad");
        struct dirent *entry;
        unsigned n_files = 0;
        Workplace w;

        assert_non_null(directory);
        workplace_open(&w);
        while ((entry = readdir(directory))) {
                _cleanup_free_ char *text = NULL;
                char path[512];
                size_t n;

                if (!strstr(entry->d_name, ".conf"))
                        continue;
                snprintf(path, sizeof(path), SOURCES "/bad/%s", entry->d_name);
                text = read_whole(path, &n);
                try_it(text, n, step);
                n_files++;
        }

        workplace_close(&w);
        closedir(directory);
        assert_true(n_files >= 20);
}

static void files_cut_at_every_byte(void **state) {
        for_each_file(try_truncations, unit_count(23, 1));
}

static void files_with_every_bit_turned_over(void **state) {
        for_each_file(try_flips, unit_count(211, 1));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(files_cut_at_every_byte),
                UNIT_TEST(files_with_every_bit_turned_over),
        };

        return UNIT_RUN(tests);
}
