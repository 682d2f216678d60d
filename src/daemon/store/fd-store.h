#pragma once

/* Descriptors with names, kept for somebody who comes later: a worker's for its successors, the daemon's
 * own for the daemon after it.
 *
 * What systemd calls a file descriptor store, with its semantics (FDSTORE=1 in sd_notify(3)): the same open
 * file is kept once; what hangs up is dropped, unless it was said not to look; there is a limit, and what is
 * beyond it is closed before it could be kept.  They are handed over in the order in which they came.
 *
 * A store watches by an epoll descriptor of its own, which becomes readable when something has hung up:
 * the daemon has an event loop and the keeper has none.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

typedef struct FdStore FdStore;

#define FD_STORE_NAME_MAX     255U
#define FD_STORE_DEFAULT_NAME "stored"

/* What a kernel takes as one variable of an environment is 128 KiB (MAX_ARG_STRLEN), and LISTEN_FDNAMES is
 * one: a store whose names are longer could not be handed over, and all of it would be lost. */
#define FD_STORE_VARIABLE_MAX_BYTES (128U * 1024U)

/* Whether it can stand in LISTEN_FDNAMES: printable ASCII without ':', at most 255 bytes, perhaps none. */
bool fd_name_is_valid(const char *name);

/* @n_reserved       so many are kept without asking for memory again
 * @names_max_bytes  of all names together, each with a byte between it and the next
 *
 * Returns 0 or a negative errno. */
int fd_store_new(size_t n_reserved, size_t names_max_bytes, FdStore **ret);

/* Called with each descriptor that was kept, before it is closed. */
typedef void (*FdStoreHandler)(int fd, void *userdata);
void fd_store_on_drop(FdStore *s, FdStoreHandler handler, void *userdata);

/* Closes what is kept. */
FdStore *fd_store_free(FdStore *s);
DEFINE_CLEANUP(FdStore, fd_store_free)

/* Keeps one more.
 *
 * @n_max      so many at most are kept
 * @name       valid; NULL: "stored"
 * @is_polled  it is dropped when it hangs up
 * @fd         taken always
 *
 * Returns 1 if it is kept, 0 if the same open file is kept already.  -ENOSPC: the store is full; -E2BIG: the
 * names are too long together; -ENOMEM; or what made the descriptor unfit.  Then it is closed and nothing
 * has changed. */
int fd_store_put(FdStore *s, size_t n_max, const char *name, bool is_polled, int fd);

/* Drops those of that name; NULL: "stored"; at most @n_max, the oldest first.  Returns how many. */
size_t fd_store_remove(FdStore *s, const char *name, size_t n_max);

/* Drops the one that is kept under this number. */
void fd_store_drop(FdStore *s, int fd);

/* Drops all. */
void fd_store_clear(FdStore *s);

/* The oldest that is the same open file as @fd, and another descriptor; -ENOENT; -errno if @fd is none.  It
 * may cost a system call for each that has the same inode. */
int fd_store_find(const FdStore *s, int fd);

/* A descriptor of the store's own that is readable when something has hung up. */
int fd_store_poll_fd(const FdStore *s);

/* Drops what has hung up, a bounded number of them.  Returns how many. */
size_t fd_store_drop_hung(FdStore *s);

/* What is kept, in the order in which it came; @s may be NULL and then has nothing. */
size_t fd_store_n(const FdStore *s);
int fd_store_fd(const FdStore *s, size_t i);
const char *fd_store_name(const FdStore *s, size_t i);
bool fd_store_is_polled(const FdStore *s, size_t i);

/* Closes a descriptor that somebody else has made, without waiting: a socket that lingers would hold us for
 * as long as its maker has wished. */
void fd_close_foreign(int fd);
