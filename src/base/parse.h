#pragma once

/* Text to numbers with units, and back.
 *
 * Each parser returns 0; -EINVAL: not that kind of text; -ERANGE: that kind, but it does not fit.
 * On failure *ret is unchanged.  White space around the whole is not accepted: files are quoted. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define USEC_PER_MSEC 1000ULL
#define USEC_PER_SEC  1000000ULL
#define USEC_INFINITY UINT64_MAX

/* "90s", "5min 20s", "500ms", "1h30min", "infinity"; a plain number is seconds, "1.5s" is accepted.
 * Units as in systemd.time(7): us, ms, s (sec), min (m), h (hr), d, w. */
int parse_duration(const char *text, uint64_t *ret_usec);

/* "64K", "1M", "2G", to the base 1024; a plain number is bytes. */
int parse_size(const char *text, uint64_t *ret_size_bytes);

/* An octal mode up to 07777: "0660". */
int parse_mode(const char *text, mode_t *ret);

/* Digits only, in decimal; @max included. */
int parse_unsigned(const char *text, uint64_t max, uint64_t *ret);

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3". */
int parse_signal(const char *text, int *ret);

#define DURATION_TEXT_SIZE 64

/* The way back: "1min 30s", "500ms", "infinity"; what parse_duration() reads again as the same. */
const char *format_duration(uint64_t usec, char *buffer, size_t size_bytes);

/* "SIGTERM" or "SIGRTMIN+3"; a number of no signal is shown as it is. */
const char *format_signal(int number, char *buffer, size_t size_bytes);
