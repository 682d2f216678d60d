#pragma once

/* What keeps a worker from touching the rule: every socket of a group can replace it, and nobody can read
 * back what is in force.
 *
 * A seccomp(2) filter refuses, with EPERM, setsockopt(SOL_SOCKET) of SO_ATTACH_REUSEPORT_CBPF, _EBPF,
 * SO_DETACH_REUSEPORT_BPF and SO_LOCK_FILTER; io_uring_setup(), whose rings set options behind a filter's
 * back (Linux 6.7); and every call of another architecture, whose numbers mean something else. */

#include <linux/filter.h>

/* Makes the filter.
 *
 * @ret  its instructions are the caller's, for reuseport_lock_done()
 *
 * Returns 0 or a negative errno. */
int reuseport_lock_init(struct sock_fprog *ret);
void reuseport_lock_done(struct sock_fprog *lock);
