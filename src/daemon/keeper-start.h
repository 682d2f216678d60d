#pragma once

/* The child's side of the keeper: from fork() to the daemon's exec. */

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "daemon/store/fd-store.h"

/* In the environment of a daemon that has a keeper: the keeper's pid. */
#define KEEPER_VARIABLE "REUSEPORTD_KEEPER"

/* Everything is borrowed. */
typedef struct KeeperStart {
        const char *program;
        char *const *argv;
        const char *notify_address; /* for NOTIFY_SOCKET */
        const FdStore *store;
        size_t store_max;
        unsigned long long watchdog_usec;
        struct rlimit files; /* RLIMIT_NOFILE as it was given to us */
        pid_t keeper;
        bool is_ending; /* the daemon is told to end, before it begins */
} KeeperStart;

/* Becomes the daemon.  Signals that are blocked stay so: one that comes before the daemon reads them waits
 * for it.  Does not return. */
_Noreturn void keeper_start(const KeeperStart *start);
