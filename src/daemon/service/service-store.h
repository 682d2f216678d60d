#pragma once

/* What workers of a service have stored for their successors: one store for the service, as systemd has one
 * for a unit, also across generations.
 *
 * How many may be kept is said by the settings of the worker that speaks, since a generation that runs
 * never mixes; and a worker whose settings have no store gets nothing of it.  The store is emptied when the
 * service is stopped or failed, and when the generation that has no store is the only one left. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct FdStore FdStore;
typedef struct NotifyMessage NotifyMessage;
typedef struct Service Service;
typedef struct ServiceStore ServiceStore;

/* Does what FDSTORE, FDSTOREREMOVE, FDNAME and FDPOLL of a message say.
 *
 * @n_max  so many are kept; descriptors beyond stay in the message */
void service_store_obey(Service *s, size_t n_max, NotifyMessage *m);

/* Keeps one more.
 *
 * @name  NULL: "stored"
 * @fd    taken always
 *
 * Returns as fd_store_put(). */
int service_store_put(Service *s, size_t n_max, const char *name, bool is_polled, int fd);

/* Empties it if nobody is left who may come back for it. */
void service_store_update(Service *s);

/* What is kept; NULL: nothing. */
const FdStore *service_stored_fds(const Service *s);
size_t service_store_n(const Service *s);

/* Descriptors that were not kept. */
uint64_t service_store_n_refused(const Service *s);

ServiceStore *service_store_free(ServiceStore *store);
