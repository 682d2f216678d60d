#pragma once

/* Visitors for a group, and who met them. */

#include <netinet/in.h>

#include "reuse/reuseport.h"

typedef struct Hits {
        unsigned of[REUSE_BANKS_MAX][REUSE_SLOTS_MAX];
        unsigned in_bank[REUSE_BANKS_MAX];
        unsigned total;
} Hits;

ReuseGroup *traffic_open(const char *network, const char *address,
                         const ReuseGroupOptions *options);

/* Where a visitor finds the group: a wildcard is reached over loopback, a dual-stack one over IPv4 or
 * IPv6. */
ReuseAddress traffic_target(const ReuseGroup *g, bool by_v6);

/* The i-th source of a family: 127.x.y.z, or [2001:db8:x:y::1], which needs traffic_own_network(). */
ReuseAddress traffic_source(int family, uint32_t i);

/* A network of this process with 2001:db8::/32 local, for the rest of the process; or false. */
bool traffic_own_network(void);

/* A client from @source (NULL: any), connected; a datagram client has sent @data, one byte.  The caller's. */
int traffic_visit(const ReuseAddress *target, const ReuseAddress *source, uint8_t data);

/* Takes all that wait, of every slot, and closes connections by a reset.
 *
 * @on_visitor  may be NULL */
void traffic_take(const ReuseGroup *g, Hits *hits,
                  void (*on_visitor)(const ReuseAddress *from, unsigned bank, unsigned slot,
                                     void *userdata),
                  void *userdata);

/* Visits once and tells who met it. */
void traffic_meet(const ReuseGroup *g, const ReuseAddress *target, const ReuseAddress *source,
                  unsigned *ret_bank, unsigned *ret_slot);

/* @n visitors in batches, each from another source if @by_sources. */
Hits traffic_visits(const ReuseGroup *g, bool by_v6, bool by_sources, unsigned n);

void traffic_close(int *fd); /* by a reset, for _cleanup_() */
#define _cleanup_reset_ _cleanup_(traffic_close)
