#include "settings/reader.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "settings/parser.h"
#include "settings/scan.h"

#define LINKS_MAX 40U /* as many as the kernel follows */

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

static int refuse_open(const char *path, Report *report, int error) {
        return refuse(path, report, "cannot be opened: %s, expected a readable file",
                      strerror(error));
}

/* The path that a link leads to, the caller's. */
static int read_link(const char *link, int fd, char **ret) {
        const char *slash = strrchr(link, '/');
        char target[PATH_MAX];
        ssize_t n = readlinkat(fd, "", target, sizeof(target));

        if (n < 0)
                return -errno;
        if ((size_t) n >= sizeof(target))
                return -ENAMETOOLONG;

        target[n] = '\0';
        if (target[0] == '/' || !slash)
                return (*ret = strdup(target)) ? 0 : -ENOMEM;

        return asprintf(ret, "%.*s/%s", (int) (slash - link), link, target) < 0 ? -ENOMEM : 0;
}

/* Opens what is at @at now, which was seen as @seen; anything else has been put there meanwhile. */
static int open_seen(const char *path, const char *at, const struct stat *seen, Report *report) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        /* O_NONBLOCK: a FIFO without a writer must not hold us. */
        fd = open(at, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
        if (fd < 0 && errno != ELOOP)
                return refuse_open(path, report, errno);
        if (fd >= 0 && fstat(fd, &st) < 0)
                return -errno;
        if (fd < 0 || st.st_dev != seen->st_dev || st.st_ino != seen->st_ino)
                return refuse(path, report,
                              "another file was put there while it was opened, "
                              "expected one that stays");

        return TAKE_FD(fd);
}

/* Link after link; each must be of root's or ours. */
static int open_followed(const char *path, Report *report) {
        _cleanup_free_ char *at = strdup(path);

        for (unsigned i = 0; at && i < LINKS_MAX; i++) {
                _cleanup_close_ int fd = open(at, O_PATH | O_CLOEXEC | O_NOFOLLOW);
                char *next = NULL;
                struct stat st;
                int r;

                if (fd < 0)
                        return refuse_open(path, report, errno);
                if (fstat(fd, &st) < 0)
                        return -errno;
                if (!S_ISLNK(st.st_mode)) {
                        r = check_file(path, &st, report); /* devices may do things when opened */
                        return r < 0 ? r : open_seen(path, at, &st, report);
                }
                if (st.st_uid != 0 && st.st_uid != geteuid())
                        return refuse(path, report,
                                      "this is a link of uid %u, expected one of root or uid %u",
                                      (unsigned) st.st_uid, (unsigned) geteuid());

                r = read_link(at, fd, &next);
                if (r < 0)
                        return r;
                free(at);
                at = next;
        }

        return at ? refuse_open(path, report, ELOOP) : -ENOMEM;
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

        fd = open_followed(path, report);
        if (fd < 0)
                return fd;
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
