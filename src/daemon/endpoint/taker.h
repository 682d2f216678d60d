#pragma once

/* Who has taken an endpoint that belongs to no service: a process that was handed its sockets by
 * "reuseportctl exec", or a unit whose store they are in.
 *
 * The endpoint listens from the first taker on and refuses when the last is gone, since a listening socket
 * has a reader.  Several may follow each other without a gap, or share the queue.
 */

#include <sys/types.h>

#include "base/cleanup.h"
#include "reuse/reuseport.h"

typedef struct Endpoint Endpoint;
typedef struct Taker Taker;

#define TAKERS_MAX 64U /* of one endpoint */

/* The bank and the slot that are handed out. */
#define TAKER_BANK 0U
#define TAKER_SLOT 0U

/* Notes a process and lets visitors in.  @pidfd is taken always.
 *
 * Returns 0; -ESRCH: it is gone; -EUSERS: TAKERS_MAX; another negative error of sockets. */
int taker_add_process(Endpoint *e, pid_t pid, int pidfd);

/* Notes a unit of systemd, until it is neither active nor about to be.  Once for each unit. */
int taker_add_unit(Endpoint *e, const char *unit);

/* Forgets all; whether the endpoint listens is the caller's affair. */
void takers_free(Endpoint *e);

/* "pid 4711" or "unit x.service": the first of them.  Returns @buffer; "" if there is none. */
const char *takers_describe(const Endpoint *e, char *buffer, size_t size_bytes);

/* Those of an endpoint, one after the other; NULL: that was the last.
 *
 * @after  NULL: the first */
const Taker *taker_next(const Endpoint *e, const Taker *after);

/* Of a process; 0: it is a unit.  The descriptor is borrowed. */
pid_t taker_pid(const Taker *t);
int taker_pidfd(const Taker *t);
const char *taker_unit(const Taker *t);

/* The rule of an endpoint that somebody has taken. */
ReuseRule taker_rule(const Endpoint *e);
