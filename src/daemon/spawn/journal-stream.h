#pragma once

/* A worker's output to the journal: a stream socket that journald reads lines from, as it does for units. */

/* Opens one, without waiting: a journal that has stopped must not hold us.
 *
 * @identifier  SYSLOG_IDENTIFIER of the lines
 * @priority    of lines without a <N> prefix, LOG_INFO, …
 *
 * Returns a blocking descriptor above those of the standard streams, the caller's.  -ENOENT, -ECONNREFUSED:
 * there is no journal; -EAGAIN: it does not take us now; or another negative errno. */
int journal_stream_open(const char *identifier, int priority);
