#pragma once

/* What the library knows of addresses beyond the public header. */

#include "reuse/reuseport.h"

#define REUSE_RESOLVED_MAX 32U /* addresses of one name that are looked at */

typedef enum ReuseResolve {
        REUSE_RESOLVE_NUMERIC = 1,     /* no names */
        REUSE_RESOLVE_ASSUME_DUAL = 2, /* dual-stack is not tried out: opening a socket will tell */
} ReuseResolve;

/* As reuse_address_parse(), but all addresses that a name has, IPv4 first.
 *
 * @flags  of ReuseResolve
 *
 * Returns how many were written, at least 1, or an error of reuse_address_parse(). */
int reuse_address_resolve(const char *network, const char *address, unsigned flags,
                          ReuseAddress *ret, size_t n_ret);

/* SOCK_STREAM or SOCK_DGRAM, or REUSE_EPROTOCOL. */
int reuse_network_type(const char *network);

/* 0.0.0.0 or [::], whatever the port. */
bool reuse_address_is_wildcard(const ReuseAddress *a);

void reuse_address_set_port(ReuseAddress *a, uint16_t port);

/* 0.0.0.0 or an IPv6-only [::], with the type and port of @a. */
ReuseAddress reuse_address_wildcard(const ReuseAddress *a, int family);

/* What getsockname() says of @fd, with type and dual-stack; 0 or a negative errno. */
int reuse_address_of_socket(int fd, ReuseAddress *ret);
