#pragma once

/* What the kernel says of an endpoint's sockets at this moment. */

#include "daemon/endpoint/endpoint.h"

typedef struct EndpointLook {
        bool is_listening;
        unsigned n_sockets;
        unsigned n_waiting; /* in all queues; of datagrams: sockets in which any waits */
        unsigned n_limit;   /* of one queue; 0 for datagrams */
        uint64_t n_dropped; /* connections and datagrams, since the sockets were opened */
        unsigned n_strangers;
} EndpointLook;

/* Costs two system calls for each socket. */
EndpointLook endpoint_look(const Endpoint *e);

/* Whether the socket of that inode is one of its own.  Costs a system call for each that it has. */
bool endpoint_has_socket(const Endpoint *e, ino_t inode);
