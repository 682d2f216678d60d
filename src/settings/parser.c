#include "settings/parser.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libconfig.h>

#include "base/fd.h"
#include "base/parse.h"
#include "settings/helper.h"

/* The first byte of an answer; after ANSWER_TREE a tree follows, after ANSWER_ERROR an Error. */
enum {
        ANSWER_TREE = 'T',
        ANSWER_ERROR = 'E',
};

typedef struct Error {
        unsigned line;
} Error;

/* ---- in the child ---------------------------------------------------------------------------- */

static void write_node(FILE *to, const config_setting_t *from) {
        const char *string = NULL;
        TreeRecord record;

        memset(&record, 0, sizeof(record)); /* padding too: it is written */
        record.line = from->line;

        switch (from->type) {
        case CONFIG_TYPE_GROUP:
                record.kind = TREE_GROUP;
                record.n_children = (uint32_t) config_setting_length(from);
                break;
        case CONFIG_TYPE_ARRAY:
        case CONFIG_TYPE_LIST:
                record.kind = TREE_LIST;
                record.n_children = (uint32_t) config_setting_length(from);
                break;
        case CONFIG_TYPE_STRING:
                string = config_setting_get_string(from) ?: "";
                record.kind = TREE_STRING;
                record.string_length = (uint32_t) strlen(string);
                break;
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                record.kind = TREE_INTEGER;
                record.integer = config_setting_get_int64(from);
                break;
        case CONFIG_TYPE_BOOL:
                record.kind = TREE_BOOLEAN;
                record.integer = config_setting_get_bool(from);
                break;
        default:
                record.kind = TREE_FLOAT;
        }

        if (from->name)
                record.name_length = (uint16_t) strnlen(from->name, UINT16_MAX);

        fwrite(&record, sizeof(record), 1, to);
        if (record.name_length > 0)
                fwrite(from->name, 1, record.name_length, to);
        if (record.string_length > 0)
                fwrite(string, 1, record.string_length, to);
        for (unsigned i = 0; i < record.n_children; i++)
                write_node(to, config_setting_get_elem(from, i));
}

/* Returns 0, or a negative errno when @to took not all. */
static int parse_and_write(const char *text, FILE *to) {
        config_t config;

        config_init(&config);
        if (config_read_string(&config, text)) {
                putc(ANSWER_TREE, to);
                write_node(to, config_root_setting(&config));
        } else {
                Error error; /* a syntax error: the scan lets no other pass */

                memset(&error, 0, sizeof(error));
                error.line = (unsigned) config_error_line(&config);
                putc(ANSWER_ERROR, to);
                fwrite(&error, sizeof(error), 1, to);
        }

        config_destroy(&config);
        return fflush(to) == 0 ? 0 : -EIO;
}

static void limit(int resource, rlim_t soft, rlim_t hard) {
        struct rlimit l = { soft, hard };

        if (setrlimit(resource, &l) < 0)
                _exit(EXIT_FAILURE);
}

/* On top of what we have inherited, which may be much. */
static rlim_t memory_limit(void) {
        unsigned long n_pages = 0;
        _cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        char text[64] = "";

        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return RLIM_INFINITY; /* no /proc; the other limits remain */

        n_pages = strtoul(text, NULL, 10);
        return n_pages * (rlim_t) sysconf(_SC_PAGESIZE) + PARSER_MEMORY_BYTES;
}

/* libconfig's lexer writes to standard error before it calls exit(). */
static int parse_for_parent(int fd, const void *userdata) {
        const rlim_t n_seconds = (PARSER_TIMEOUT_USEC + USEC_PER_SEC - 1) / USEC_PER_SEC;
        const rlim_t memory = memory_limit();
        FILE *to;

        limit(RLIMIT_AS, memory, memory);
        limit(RLIMIT_CPU, n_seconds, n_seconds + 1); /* SIGXCPU, which we know, then SIGKILL */
        limit(RLIMIT_CORE, 0, 0);
        limit(RLIMIT_FSIZE, 0, 0); /* a pipe is no file */

        to = fdopen(fd, "w");
        return to ? parse_and_write(userdata, to) : -errno;
}

/* ---- in the parent --------------------------------------------------------------------------- */

static int report_syntax(const HelperAnswer *a, const char *file, const Scan *scan,
                         Report *report) {
        char path[TREE_PATH_SIZE];
        Error error;

        if (a->n_bytes != 1 + sizeof(error))
                return -EBADMSG;

        memcpy(&error, a->bytes + 1, sizeof(error));
        scan_path_at(scan, error.line, path, sizeof(path));
        report_problem(report, (Place){ file, error.line }, path[0] ? path : NULL,
                       "syntax error in this line or the one before, expected "
                       "NAME = VALUE; (VALUE: \"text\", a number, true, false, "
                       "[ … ] or { … })");
        return 0;
}

/* What the scan knows of the tree, in the order of the text. */
typedef struct Walk {
        const Scan *scan;
        size_t n_strings, n_lists; /* so far */
        size_t cursor;
        bool only_counts;
} Walk;

static void walk(Walk *w, Tree *t) {
        if (t->kind == TREE_STRING && t->parent && t->parent->kind == TREE_LIST) {
                if (!w->only_counts)
                        t->place.line = scan_string_line(w->scan, w->n_strings);
                w->n_strings++;
        }
        if (t->kind == TREE_LIST) {
                if (!w->only_counts)
                        t->is_refused = scan_next_list(w->scan, &w->cursor);
                w->n_lists++;
        }

        for (size_t i = 0; i < t->n_children; i++)
                walk(w, t->children[i]);
}

static void add_what_was_scanned(Tree *t, const Scan *scan) {
        Walk counts = { .scan = scan, .only_counts = true }, w = { .scan = scan };

        walk(&counts, t);
        if (counts.n_strings == scan_n_strings(scan) && counts.n_lists == scan_n_lists(scan))
                walk(&w, t);
}

static int decode_answer(const HelperAnswer *a, const char *file, const Scan *scan, Report *report,
                         Tree **ret) {
        int r = -EBADMSG;

        if (a->n_bytes > 0 && a->bytes[0] == ANSWER_TREE)
                r = tree_decode(a->bytes + 1, a->n_bytes - 1, file, ret);
        if (r >= 0)
                add_what_was_scanned(*ret, scan);
        if (a->n_bytes > 0 && a->bytes[0] == ANSWER_ERROR &&
            report_syntax(a, file, scan, report) == 0)
                return -EBADMSG;

        if (r == -EBADMSG)
                report_problem(report, (Place){ file, 1 }, NULL,
                               "the parser gave no sensible answer, expected a simpler file");
        return r;
}

static int report_death(int status, const char *file, Report *report) {
        Place place = { file, 1 };

        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
                report_problem(report, place, NULL,
                               "parsing takes too long, expected less than 2 s");
        else if (WIFSIGNALED(status))
                report_problem(report, place, NULL,
                               "the parser died of SIG%s, expected a simpler file",
                               sigabbrev_np(WTERMSIG(status)) ?: "?");
        else
                report_problem(report, place, NULL,
                               "the parser gave up with status %d, expected a simpler file",
                               WEXITSTATUS(status));
        return -EBADMSG;
}

static int finish(int result, int status, const HelperAnswer *a, const char *file, const Scan *scan,
                  Report *report, Tree **ret) {
        switch (result) {
        case 0:
                if (status != 0)
                        return report_death(status, file, report);
                return decode_answer(a, file, scan, report, ret);
        case -ETIME:
                report_problem(report, (Place){ file, 1 }, NULL,
                               "parsing takes too long, expected less than 2 s");
                return -EBADMSG;
        case -EFBIG:
                report_problem(report, (Place){ file, 1 }, NULL,
                               "too many settings, expected a smaller file");
                return -EBADMSG;
        }

        return result;
}

int parser_run(const char *text, const char *file, const Scan *scan, Report *report, Tree **ret) {
        _cleanup_(helper_answer_done) HelperAnswer answer = { 0 };
        _cleanup_free_ char *split = NULL;
        int status = 0, r;

        r = scan_split(scan, &split);
        if (r < 0)
                return r;

        r = helper_run(parse_for_parent, split, PARSER_TIMEOUT_USEC, PARSER_ANSWER_BYTES, &answer,
                       &status);
        return finish(r, status, &answer, file, scan, report, ret);
}

int parser_run_here(const char *text, const char *file, const Scan *scan, Report *report,
                    Tree **ret) {
        _cleanup_(helper_answer_done) HelperAnswer answer = { 0 };
        _cleanup_free_ char *split = NULL;
        FILE *to;
        int r;

        r = scan_split(scan, &split);
        if (r < 0)
                return r;

        to = open_memstream((char **) &answer.bytes, &answer.n_bytes);
        if (!to)
                return -errno;
        r = parse_and_write(split, to);
        if (fclose(to) == EOF && r == 0)
                r = -ENOMEM;
        if (r < 0)
                return r;

        return decode_answer(&answer, file, scan, report, ret);
}
