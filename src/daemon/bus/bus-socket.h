#pragma once

/* A socket in the file system that clients come to. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Who may connect, and that is all that it keeps out. */
typedef struct BusAccess {
        mode_t mode;
        bool has_group;
        gid_t group;
} BusAccess;

/* Binds and listens; a dead one in its place is removed.  @ret_fd is the caller's, and so is the file.
 *
 * Returns 0.  -EADDRINUSE: somebody listens there; -EEXIST: that is no socket; another negative errno. */
int bus_socket_open(const char *path, const BusAccess *access, int *ret_fd);
int bus_socket_set_access(const char *path, const BusAccess *access);
