#pragma once

/* Questions to the kernel's sock_diag (libmnl).
 *
 * None of them needs a privilege.  Each opens a netlink socket of its own: they are asked at a start,
 * at a switch, by a person. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "reuse/reuseport.h"

/* Somebody with a socket bound to an address that conflicts with ours. */
typedef struct Holder {
        ReuseAddress address;
        uid_t uid;
        uint32_t inode;
        uint64_t cookie; /* SO_COOKIE of the socket */
} Holder;

/* Finds the sockets that listen at (datagrams: are bound to) @address or one that stands in its way.
 *
 * @ret  n_ret of them; more are left out
 *
 * Returns how many were written, or a negative errno. */
int sockdiag_find_holders(const ReuseAddress *address, Holder *ret, size_t n_ret);

/* Whether a socket at @b takes visitors of one at @a, or keeps it from opening. */
bool sockdiag_overlaps(const ReuseAddress *a, const ReuseAddress *b);

/* The very same host; ports and types are not compared. */
bool sockdiag_is_same_host(const ReuseAddress *a, const ReuseAddress *b);

/* Every socket of the machine that gets visitors: streams that listen, datagrams that are bound.
 *
 * @type  SOCK_STREAM or SOCK_DGRAM
 *
 * *ret is the caller's.  Returns how many, or a negative errno. */
int sockdiag_list_listeners(int type, Holder **ret);

/* A handshake that has begun: a request socket, which belongs to some listener of the port, the kernel
 * does not say which.  The connection that comes of it keeps the cookie. */
typedef struct HalfOpen {
        uint64_t cookie;
        unsigned n_retransmissions; /* of the SYN-ACK: 1 after 1 s, 2 after 3 s, 3 after 7 s */
} HalfOpen;

/* The handshakes under way to @address, of all banks.  *ret is the caller's.  Returns how many, or a
 * negative errno. */
int sockdiag_find_half_open(const ReuseAddress *address, HalfOpen **ret);

/* Adds the established connections to @address to @n, by the bank whose mark they carry; before Linux 5.10
 * there are no marks, and all are of bank 0.  Returns 0 or a negative errno. */
int sockdiag_count_connections(const ReuseAddress *address, uint64_t n[static REUSE_BANKS_MAX]);

/* Whether the far side of a connected socket of ours was accepted by anybody.
 *
 * connect() succeeds as soon as the listener's queue has the connection, also if nobody ever reads it;
 * only accept() gives it an inode (include/net/sock.h, sock_graft()).
 *
 * @type, @near, @far  our end and the server's
 *
 * Returns 1 if so, 0 if not yet, -ENOENT: there is no such connection; or another negative errno. */
int sockdiag_is_accepted(const ReuseAddress *near, const ReuseAddress *far);
