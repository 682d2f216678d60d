#pragma once

/* One socket, step by step, for what is built of sockets. */

#include "reuse/reuseport.h"

/* A socket of the address's kind, close-on-exec, IPv6-only unless the address is dual-stack; nothing
 * else is set.  Returns the descriptor or a negative errno. */
int reuse_socket_new(const ReuseAddress *address, bool nonblock);

typedef enum ReuseSharing {
        REUSE_SHARING_FULL,      /* what lets others of our uid join */
        REUSE_SHARING_EXCLUSIVE, /* passes TIME_WAIT, but nobody who listens: before the first bind */
} ReuseSharing;

/* Sets the flags with which sockets share a port: TCP SO_REUSEADDR and SO_REUSEPORT, UDP only
 * SO_REUSEPORT.  Returns 0 or REUSE_EFAILED. */
int reuse_socket_share(int fd, int type, ReuseSharing sharing);

/* listen(); @backlog 0 is as large as the system allows.  Returns 0 or a negative errno. */
int reuse_socket_listen(int fd, int backlog);

/* Sets all options in order.  Returns 0 or the error of the first that failed.
 *
 * @reterr_name  may be NULL; its name, which lives as long as the library */
int reuse_sockopts_apply(int fd, const ReuseSockopt *options, size_t n, const char **reterr_name);

/* The number in a file like net.core.somaxconn: one line that ends; else SOMAXCONN. */
int reuse_somaxconn_read(const char *path);
