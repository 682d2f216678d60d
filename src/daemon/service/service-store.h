#pragma once

/* What workers of a service have stored for their successors: one store for the service, as systemd has one
 * for a unit, also across generations.
 *
 * With a store above us it goes there as well, by and by, see store-queue.h: then it crosses the end of a
 * daemon.  What that store does not take is not kept here either.
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

typedef enum StoreProgress {
        STORE_DONE,       /* and who comes after us will know it */
        STORE_WAITS,      /* generation_on_stored() follows when it is */
        STORE_UNFINISHED, /* to be called again with the same message, in the next turn of the loop */
} StoreProgress;

/* Whether a message says FDSTORE or FDSTOREREMOVE, and that is something to us. */
bool service_store_is_meant(const Service *s, size_t n_max, const NotifyMessage *m);

/* Does what FDSTORE, FDSTOREREMOVE, FDNAME and FDPOLL of a message say.  To do it twice does no harm.
 *
 * @n_max  so many are kept; descriptors beyond stay in the message */
StoreProgress service_store_obey(Service *s, size_t n_max, NotifyMessage *m);

/* Keeps one more, here and not yet above us.
 *
 * @name  NULL: "stored"
 * @fd    taken always
 *
 * Returns as fd_store_put(); 0 also if it has hung up. */
int service_store_put(Service *s, size_t n_max, const char *name, bool is_polled, int fd);

/* For StoreQueue: leaves the next one in the store above us, or refuses it.  Returns 1; 0: there is none;
 * -EAGAIN: not in this moment. */
int service_store_put_above(Service *s);

/* Refuses what is not there. */
void service_store_give_up(Service *s);

/* Workers who wait until all is there go on if it is. */
void service_store_tell(Service *s);

/* Over the end of a daemon: what has hung up meanwhile is dropped. */
void service_store_resume(Service *s);

/* Empties it if nobody is left who may come back for it. */
void service_store_update(Service *s);

/* What is kept; NULL: nothing. */
const FdStore *service_stored_fds(const Service *s);
size_t service_store_n(const Service *s);

/* Descriptors that were not kept. */
uint64_t service_store_n_refused(const Service *s);

ServiceStore *service_store_free(ServiceStore *store);
