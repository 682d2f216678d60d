#pragma once

/* The log.
 *
 * One event, one line, with fields that name the object it speaks of.  Where a journal is, the line
 * goes there in its native protocol; else to standard error, with the <N> prefixes of sd-daemon(3)
 * unless that is a terminal.
 *
 * Writing never blocks: sd_journal_send() waits for ever when journald is stopped, so we keep a
 * non-blocking socket of our own, drop what does not fit, count it, and say how many once it fits
 * again.  Only the daemon and the programs log; the floors below return errors.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

#include "base/cleanup.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO,    /* standard error if that is a terminal, else the journal, if any */
        LOG_TARGET_JOURNAL, /* the journal, whatever else there is */
        LOG_TARGET_STDERR,
        LOG_TARGET_MAX,
        LOG_TARGET_INVALID = -EINVAL,
} LogTarget;

/* What a line speaks of.  NULL and 0 mean: does not apply. */
typedef struct LogFields {
        const char *message_id; /* 32 hexadecimal digits: which kind of event; see journalctl(1), -x */
        const char *service;
        const char *endpoint;
        const char *color; /* of the generation's bank */
        const char *deploy_id;
        unsigned generation;
        pid_t worker_pid;
} LogFields;

/* Starts the log; before it, lines go to standard error.
 *
 * @journal_path  NULL: the system's journal socket; tests name one of their own
 *
 * Returns 0; -EINVAL: no such target.  A journal that is asked for and not there is not an error:
 * lines go to standard error until it answers. */
int log_open(LogTarget target, const char *journal_path);
void log_close(void);

#define LOG_LEVELS_MAX (LOG_DEBUG + 1)

/* By level, by target; none is NULL. */
extern const char *const log_level_names[LOG_LEVELS_MAX];
extern const char *const log_target_names[LOG_TARGET_MAX];

LogTarget log_target_from_string(const char *name);

/* @level  LOG_ERR … LOG_DEBUG; what is above it is not written and costs one comparison. */
void log_set_level(int level);
int log_level_from_string(const char *name);
bool log_is_enabled(int level);

/* Lines that were dropped since the start because their reader was slow. */
uint64_t log_n_dropped(void);

/* Writes one line; control characters in it are shown as \xNN, so that nobody can forge a second
 * one.  @fields may be NULL. */
void log_write(int level, const LogFields *fields, const char *format, ...) _printf_(3, 4);

#define log_fields(level, fields, ...)                         \
        do {                                                   \
                if (log_is_enabled(level))                     \
                        log_write(level, fields, __VA_ARGS__); \
        } while (false)

/* A line of nobody in particular that has a MESSAGE_ID. */
#define log_note(level, id, ...) \
        log_fields(level, (&(LogFields){ .message_id = (id) }), __VA_ARGS__)

#define log_error(...)   log_fields(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_fields(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_fields(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_fields(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_fields(LOG_DEBUG, NULL, __VA_ARGS__)
