/* A whole file: what becomes of it is settings or problems, each on a line of the right form.
 *
 * In this process, so that a million inputs take minutes; REUSEPORT_FUZZ_READER=1 goes the way of the
 * daemon, through a file and the child. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "settings/load.h"
#include "settings/parser.h"
#include "settings/scan.h"
#include "settings/settings.h"

#include "fuzz.h"

/* libconfig 1.5 forgets strings of a file that it refuses; where the daemon runs it, a child's end frees
 * them. */
__attribute__((__visibility__("default"))) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
        return "leak:libconfig.so";
}

/* FILE:LINE: …, one line. */
static void check_line(const char *line) {
        const char *at = strchr(line, ':');

        FUZZ_ASSERT(at && at[1] >= '1' && at[1] <= '9');
        at += 1 + strspn(at + 1, "0123456789");
        FUZZ_ASSERT(strncmp(at, ": ", 2) == 0);
        for (; *at; at++)
                FUZZ_ASSERT((unsigned char) *at >= 0x20 && *at != 0x7f);
}

static void check_result(int r, const Problems *problems, const Settings *settings) {
        FUZZ_ASSERT(r == 0 || r == -EBADMSG);
        FUZZ_ASSERT((r == 0) == (problems->lines == NULL));
        FUZZ_ASSERT((r == 0) == (settings != NULL));
        STRV_FOREACH(line, problems->lines)
                check_line(*line);
        STRV_FOREACH(line, problems->warnings)
                check_line(*line);
}

static void try_reader(const uint8_t *bytes, size_t n_bytes) {
        char path[] = "/tmp/fuzz-config-XXXXXX";
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        Problems problems = { 0 };
        int fd = mkostemp(path, O_CLOEXEC), r;

        FUZZ_ASSERT(fd >= 0);
        FUZZ_ASSERT(write(fd, bytes, n_bytes) == (ssize_t) n_bytes);
        close(fd);
        r = settings_load(path, &problems, &settings);
        unlink(path);
        check_result(r, &problems, settings);
        problems_done(&problems);
}

static int load_here(const char *text, Report *report, Settings *s) {
        _cleanup_(tree_freep) Tree *root = NULL;
        _cleanup_(scan_freep) Scan *scan = NULL;
        int r;

        r = scan_text(text, "x.conf", report, &scan);
        if (r >= 0)
                r = parser_run_here(text, "x.conf", scan, report, &root);
        if (r < 0)
                return r;

        return load_root(root, s, report);
}

/* What was good is printed, and read again as good. */
static void check_print(const Settings *s) {
        _cleanup_(settings_unrefp) Settings *again = NULL;
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        FUZZ_ASSERT(to);
        FUZZ_ASSERT(settings_print(s, to) == 0);
        fclose(to);
        FUZZ_ASSERT(settings_new(&again) == 0);
        FUZZ_ASSERT(load_here(text, &report, again) == 0);
        FUZZ_ASSERT(report.n_problems == 0);
}

static void try_here(const char *text) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        _cleanup_(report_done) Report report = { 0 };
        Problems problems = { 0 };
        bool is_good;
        int r;

        FUZZ_ASSERT(settings_new(&s) == 0);
        r = load_here(text, &report, s);
        FUZZ_ASSERT(r == 0 || r == -EBADMSG);
        FUZZ_ASSERT(r == 0 || report.n_problems > 0);
        is_good = r == 0 && report.n_problems == 0;
        FUZZ_ASSERT(report_finish(&report, &problems) == 0);
        STRV_FOREACH(line, problems.lines)
                check_line(*line);
        if (is_good)
                check_print(s);
        problems_done(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        _cleanup_free_ char *text = fuzz_text(bytes, n_bytes);

        if (getenv("REUSEPORT_FUZZ_READER"))
                try_reader(bytes, n_bytes);
        else if (!strstr(text, "include_dir") && !strstr(text, "environment_file"))
                try_here(text);
        return 0;
}
