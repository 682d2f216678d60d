#include "settings/reader.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "settings/parser.h"
#include "settings/scan.h"

_printf_(3, 4) static int refuse(const char *path, Report *report, const char *format, ...) {
        char text[REPORT_TEXT_SIZE];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);

        report_problem(report, (Place){ path, 1 }, NULL, "%s", text);
        return -EBADMSG;
}

static const char *kind_of_file(mode_t mode) {
        switch (mode & S_IFMT) {
        case S_IFDIR:
                return "a directory";
        case S_IFIFO:
                return "a FIFO";
        case S_IFSOCK:
                return "a socket";
        default:
                return "a device";
        }
}

static int check_file(const char *path, const struct stat *st, Report *report) {
        if (!S_ISREG(st->st_mode))
                return refuse(path, report, "this is %s, expected a regular file",
                              kind_of_file(st->st_mode));
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return refuse(path, report, "the file belongs to uid %u, expected root or uid %u",
                              (unsigned) st->st_uid, (unsigned) geteuid());
        if (st->st_mode & S_IWOTH)
                return refuse(path, report,
                              "everybody may write this file (mode %04o), expected a file that "
                              "others cannot change",
                              (unsigned) (st->st_mode & 07777));
        if (st->st_size > (off_t) READER_SIZE_MAX)
                return refuse(path, report, "the file has %lld bytes, expected at most 1 MiB",
                              (long long) st->st_size);
        return 0;
}

/* One byte more than allowed is asked for: files grow, and those of /proc say that they are empty.
 * */
static int read_all(int fd, char *to, size_t *ret_n) {
        size_t n = 0;

        while (n <= READER_SIZE_MAX) {
                ssize_t r = read(fd, to + n, READER_SIZE_MAX + 1 - n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0)
                        break;
                n += (size_t) r;
        }

        *ret_n = n;
        return 0;
}

static unsigned line_of(const char *text, const char *at) {
        unsigned line = 1;

        for (; text < at; text++)
                line += *text == '\n';
        return line;
}

/* Of one that was read before. */
static int text_from_before(const char *path, Report *report, char **ret) {
        const char *text = settings_texts_find(report->texts, path);

        if (!text)
                return refuse(path, report,
                              "this was not read before, expected one of those that were");

        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

int reader_text(const char *path, Report *report, char **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        char *nul, *shorter;
        struct stat st;
        size_t n = 0;
        int r;

        if (report->texts && report->texts->are_frozen)
                return text_from_before(path, report, ret);

        /* O_NONBLOCK: a FIFO without a writer must not hold us. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return refuse(path, report, "cannot be opened: %s, expected a readable file",
                              strerror(errno));
        if (fstat(fd, &st) < 0)
                return -errno;

        r = check_file(path, &st, report);
        if (r < 0)
                return r;

        text = malloc(READER_SIZE_MAX + 2);
        if (!text)
                return -ENOMEM;
        r = read_all(fd, text, &n);
        if (r < 0)
                return refuse(path, report, "cannot be read: %s, expected a readable file",
                              strerror(-r));
        if (n > READER_SIZE_MAX)
                return refuse(path, report, "the file is too long, expected at most 1 MiB");

        text[n] = '\0';
        nul = memchr(text, '\0', n);
        if (nul) {
                report_problem(report, (Place){ path, line_of(text, nul) }, NULL,
                               "a NUL byte, expected text");
                return -EBADMSG;
        }

        shorter = realloc(text, n + 1);
        if (shorter)
                text = shorter;
        if (report->texts && settings_texts_put(report->texts, path, text) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}

int reader_parse(const char *text, const char *file, Report *report, Tree **ret) {
        _cleanup_(scan_freep) Scan *scan = NULL;
        int r;

        r = scan_text(text, file, report, &scan);
        if (r < 0)
                return r;

        return parser_run(text, file, scan, report, ret);
}

int reader_read(const char *path, Report *report, Tree **ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = reader_text(path, report, &text);
        if (r < 0)
                return r;

        return reader_parse(text, path, report, ret);
}
