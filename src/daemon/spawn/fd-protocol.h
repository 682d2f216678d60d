#pragma once

/* How a program learns which descriptors are its sockets: one row for each dialect. */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/store/fd-store.h"
#include "settings/settings.h"

/* A descriptor of the worker: one address of an endpoint. */
typedef struct PassedSocket {
        const Endpoint *endpoint;    /* borrowed */
        const ReuseAddress *address; /* one of the endpoint's */
        int fd;                      /* its number in the worker */
} PassedSocket;

/* The number of the first descriptor; the others follow. */
int fd_protocol_first_fd(FdProtocol protocol);

/* Whether its programs take it for granted that their sockets do not block.  nginx does: it inherits them
 * from itself, and a blocking one holds a worker in accept() for ever when another was quicker. */
bool fd_protocol_is_nonblocking(FdProtocol protocol);

/* Adds the variables that speak of @sockets, and of what follows them, in a dialect that has words for it;
 * words whose value is the worker's pid have a SPAWN_PID_HOLE.
 *
 * @stored  what earlier workers have stored; NULL: nothing, as always where a protocol cannot speak of it
 *
 * Returns 0 or -ENOMEM. */
int fd_protocol_put(FdProtocol protocol, const PassedSocket *sockets, size_t n_sockets,
                    const FdStore *stored, char ***environment);

/* Appends "NAME=value" made by @format, or replaces the variable of that name.  Returns 0 or -ENOMEM. */
int environment_put(char ***environment, const char *format, ...) _printf_(2, 3);
