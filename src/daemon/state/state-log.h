#pragma once

/* What must survive us, in a memfd: texts by keys, as an append-only log.
 *
 * A record is written whole behind the last one, and counts when its checksum does: whoever is killed in
 * the middle leaves a torn tail, which nobody reads.  The last record of a key is what is true.  When
 * more is out of date than is true, what is true is copied to the other half of the file, which is sparse,
 * and one small write says that that half counts.
 *
 * How many records are whole is written after each, so that a torn tail differs from damage: of what was
 * whole once every byte counts, and who finds less than that has the past before him, not the truth.  One
 * that does not know of that number leaves it lower than it is; then what cannot be read is a tail.
 *
 * The cost of a change is that of its own text, however much else there is. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define STATE_LOG_VERSION 1U
#define STATE_KEY_MAX     64U
#define STATE_TEXT_MAX    (64UL << 20)
#define STATE_RECORDS_MAX 100000U
#define STATE_GARBAGE_MIN (256UL << 10) /* less than this is not worth a copy */

typedef struct StateLog StateLog;

/* An empty one.  Returns 0 or a negative errno. */
int state_log_new(StateLog **ret);

/* One that somebody left.
 *
 * @fd          taken on success
 * @reterr_why  what is wrong with it, and where: "it …", the caller's; NULL: no memory
 *
 * Returns 0; -EBADMSG: it is none, or damaged; -EPROTONOSUPPORT: of another version; -EPERM: of another
 * user; another negative errno. */
int state_log_open(int fd, StateLog **ret, char **reterr_why);
StateLog *state_log_free(StateLog *l);
DEFINE_CLEANUP(StateLog, state_log_free)

/* Borrowed. */
int state_log_fd(const StateLog *l);

/* @text  not NULL; may not be empty
 *
 * Returns 0 or a negative errno, and then what was true before is. */
int state_log_put(StateLog *l, const char *key, const char *text);

/* Returns 0, also if there is none, or a negative errno. */
int state_log_remove(StateLog *l, const char *key);

size_t state_log_n_records(const StateLog *l);

/* The records in the order of their keys: @index below state_log_n_records(). */
const char *state_log_key(const StateLog *l, size_t index);

/* Whether there is a record of that key. */
bool state_log_has(const StateLog *l, const char *key);

/* The text of a record, the caller's.  Returns 0; -ENOENT; another negative errno. */
int state_log_get(const StateLog *l, const char *key, char **ret);

/* Bytes that are out of date, for tests. */
uint64_t state_log_n_garbage(const StateLog *l);
