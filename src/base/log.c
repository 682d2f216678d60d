#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define JOURNAL_SOCKET  "/run/systemd/journal/socket"
#define LINE_SIZE_BYTES 4096
#define N_FIELDS_MAX    9 /* beside MESSAGE= */

static struct {
        int level;
        bool use_journal;
        bool show_prefix;
        int journal_fd;
        struct sockaddr_un journal;
        uint64_t n_dropped;
        uint64_t n_dropped_told;
} the_log = {
        .level = LOG_INFO,
        .journal_fd = -EBADF,
};

const char *const log_target_names[LOG_TARGET_MAX] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_STDERR] = "stderr",
};

const char *const log_level_names[LOG_LEVELS_MAX] = {
        [LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",     [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

LogTarget log_target_from_string(const char *name) {
        return text_lookup(log_target_names, ELEMENTS_OF(log_target_names), name);
}

int log_level_from_string(const char *name) {
        return text_lookup(log_level_names, ELEMENTS_OF(log_level_names), name);
}

void log_set_level(int level) {
        the_log.level = level;
}

bool log_is_enabled(int level) {
        return level <= the_log.level;
}

uint64_t log_n_dropped(void) {
        return the_log.n_dropped;
}

void log_close(void) {
        the_log.journal_fd = fd_close(the_log.journal_fd);
        the_log.use_journal = false;
}

int log_open(LogTarget target, const char *journal_path) {
        bool is_terminal = isatty(STDERR_FILENO);
        size_t length;

        if (target < 0 || target >= LOG_TARGET_MAX)
                return -EINVAL;

        log_close();
        the_log.show_prefix = !is_terminal;

        journal_path = journal_path ?: JOURNAL_SOCKET;
        length = strlen(journal_path);
        if (length >= sizeof(the_log.journal.sun_path))
                return -EINVAL;

        if (target == LOG_TARGET_STDERR)
                return 0;
        if (target == LOG_TARGET_AUTO && (is_terminal || access(journal_path, W_OK) < 0))
                return 0;

        the_log.journal = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(the_log.journal.sun_path, journal_path, length + 1);

        the_log.journal_fd = fd_move_above_stdio(
                        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        the_log.use_journal = the_log.journal_fd >= 0;
        return 0;
}

/* Not connected, but sent to by name each time: journald may be restarted under us. */
static int send_to_journal(struct iovec *parts, size_t n_parts) {
        struct msghdr message = {
                .msg_name = &the_log.journal,
                .msg_namelen = sizeof(the_log.journal),
                .msg_iov = parts,
                .msg_iovlen = n_parts,
        };

        if (sendmsg(the_log.journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                return -errno;

        return 0;
}

static int send_to_stderr(int level, const char *text) {
        char prefix[8] = "";
        struct iovec parts[] = {
                { prefix, 0 },
                { (char *) text, strlen(text) },
                { (char *) "\n", 1 },
        };

        if (the_log.show_prefix)
                parts[0].iov_len = (size_t) snprintf(prefix, sizeof(prefix), "<%d>", level);

        if (writev(STDERR_FILENO, parts, ELEMENTS_OF(parts)) < 0)
                return -errno;

        return 0;
}

/* The fields of a line but MESSAGE, as the journal wants them: NAME=value, each on a line of its own. */
typedef struct Record {
        char lines[N_FIELDS_MAX][160];
        size_t n_lines;
} Record;

/* The value may be somebody's text: it is made one line, and is cut if it is long. */
static void record_text(Record *r, const char *name, const char *value) {
        char escaped[128];

        if (!value)
                return;

        assert(r->n_lines < N_FIELDS_MAX);
        text_escape(value, escaped, sizeof(escaped));
        snprintf(r->lines[r->n_lines++], sizeof(r->lines[0]), "%s=%s\n", name, escaped);
}

static void record_number(Record *r, const char *name, int64_t value) {
        assert(r->n_lines < N_FIELDS_MAX);
        snprintf(r->lines[r->n_lines++], sizeof(r->lines[0]), "%s=%" PRId64 "\n", name, value);
}

static void record_fields(Record *r, const LogFields *fields) {
        record_text(r, "MESSAGE_ID", fields->message_id);
        record_text(r, "SERVICE", fields->service);
        record_text(r, "ENDPOINT", fields->endpoint);
        record_text(r, "COLOR", fields->color);
        record_text(r, "DEPLOY_ID", fields->deploy_id);
        if (fields->generation > 0)
                record_number(r, "GENERATION", fields->generation);
        if (fields->worker_pid > 0)
                record_number(r, "WORKER_PID", fields->worker_pid);
}

static int write_line(int level, const LogFields *fields, const char *text) {
        Record record = { .n_lines = 0 };
        struct iovec parts[N_FIELDS_MAX + 3];
        size_t n_parts = 0;
        int r;

        if (!the_log.use_journal)
                return send_to_stderr(level, text);

        record_number(&record, "PRIORITY", level);
        record_text(&record, "SYSLOG_IDENTIFIER", program_invocation_short_name);
        if (fields)
                record_fields(&record, fields);

        for (size_t i = 0; i < record.n_lines; i++)
                parts[n_parts++] = (struct iovec){ record.lines[i], strlen(record.lines[i]) };
        parts[n_parts++] = (struct iovec){ (char *) "MESSAGE=", strlen("MESSAGE=") };
        parts[n_parts++] = (struct iovec){ (char *) text, strlen(text) };
        parts[n_parts++] = (struct iovec){ (char *) "\n", 1 };

        r = send_to_journal(parts, n_parts);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return send_to_stderr(level, text);
        return r;
}

void log_write(int level, const LogFields *fields, const char *format, ...) {
        char raw[LINE_SIZE_BYTES], text[LINE_SIZE_BYTES];
        int saved = errno;
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(raw, sizeof(raw), format, arguments);
        va_end(arguments);
        text_escape(raw, text, sizeof(text));

        if (write_line(level, fields, text) < 0)
                the_log.n_dropped++;
        else if (the_log.n_dropped > the_log.n_dropped_told) {
                snprintf(text, sizeof(text),
                         "%" PRIu64 " lines of this log were dropped: its reader was slow",
                         the_log.n_dropped - the_log.n_dropped_told);
                if (write_line(LOG_WARNING, NULL, text) >= 0)
                        the_log.n_dropped_told = the_log.n_dropped;
        }

        errno = saved;
}
