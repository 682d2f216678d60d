#pragma once

/* The language of sd_notify(3): a message of assignments, decoded. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One message, decoded.  What was not said, or cannot be read, is false, 0 or NULL. */
typedef struct NotifyMessage {
        bool is_ready;
        bool is_stopping;
        bool is_reloading;
        bool is_watchdog;             /* WATCHDOG=1 */
        bool has_watchdog_failed;     /* WATCHDOG=trigger */
        bool is_barrier;              /* BARRIER=1, alone in its message */
        uint64_t watchdog_usec;       /* a new interval */
        uint64_t extend_timeout_usec; /* from now */
        pid_t main_pid;
        int error;          /* ERRNO */
        const char *status; /* borrowed from the message */

        bool is_store;        /* FDSTORE=1 */
        bool is_store_remove; /* FDSTOREREMOVE=1 */
        bool is_unpolled;     /* FDPOLL=0 */
        const char *fd_name;  /* borrowed; one that is not valid was not said */
        int *fds;             /* that came with it: who keeps one takes it by TAKE_FD() */
        size_t n_fds;
} NotifyMessage;

/* Reads the assignments in @text, which is changed.  Unknown ones are ignored: others speak a newer
 * dialect.  Of two that contradict each other the last counts. */
void notify_message_parse(char *text, NotifyMessage *ret);
