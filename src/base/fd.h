#pragma once

/* Descriptors: close-on-exec and non-blocking from birth; an empty one is -EBADF, never 0. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* Closes @fd if it is one, leaves errno alone, and returns -EBADF for the variable that held it:
 * `w->fd = fd_close(w->fd);`.  A close() that reports EINTR has closed (Linux, close(2)). */
int fd_close(int fd);

static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}

#define _cleanup_close_ _cleanup_(fd_closep)

/* Makes sure that @fd is none of 0, 1, 2, so that no later dup2() of a standard stream can hit it.
 *
 * @fd  what a system call has just returned, -1 included; taken always
 *
 * Returns the descriptor to use from now on, or a negative errno. */
int fd_move_above_stdio(int fd);

/* A file in memory that nobody else can open: a memfd, or where the kernel has none a file without a name in a
 * file system that is memory.  Returns a descriptor above those of the standard streams, or a negative
 * errno. */
int fd_open_memory(const char *name);

/* Makes @fds the descriptors @first, @first + 1, …, which pass through exec; for a process that is about to
 * do that, between fork() and exec too.  What had one of these numbers and is not among @fds is closed, and
 * so are the numbers that @fds had.  A descriptor may be there more than once.
 *
 * At any time there is one more than there were, not twice as many.  Returns 0 or a negative errno, and then
 * some have moved. */
int fd_arrange(int *fds, size_t n_fds, int first);

/* Returns 1 if that was a change, 0 if not, or a negative errno.  All who share the open file see it. */
int fd_set_nonblock(int fd, bool nonblock);
