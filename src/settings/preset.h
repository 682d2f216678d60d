#pragma once

/* What is known of servers: how each takes its sockets, says that it is ready, and lets go. */

#include <stdbool.h>
#include <stddef.h>

typedef struct Preset {
        const char *name;
        const char *fd_protocol; /* values of the keys of these names */
        const char *type;
        const char *kill_signal;
        const char *cutting_signals; /* by spaces: those that end requests in flight */
        const char *advice;          /* what its user must do, for the manual and hints */
} Preset;

/* NULL if there is none of that name.  preset_next(NULL) is the first. */
const Preset *preset_find(const char *name);
const Preset *preset_next(const Preset *after);

/* The names, quoted, by commas; returns @buffer. */
const char *preset_list(char *buffer, size_t size_bytes);

/* The value that the preset gives a key, or NULL. */
const char *preset_value(const Preset *preset, const char *key);

/* Whether a server of this kind is known to cut its requests when it gets the signal. */
bool preset_cuts(const Preset *preset, int signal_number);
