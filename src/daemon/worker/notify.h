#pragma once

/* What a worker tells us: the server side of sd_notify(3), one socket per worker.
 *
 * The socket says who speaks, not a pid that may be gone by the time we read; and a worker that floods
 * its socket fills its own queue of 11 messages and nobody else's.  Nothing that arrives is trusted:
 * a message that cannot be read is dropped and counted, descriptors that nobody asked for are closed.
 *
 * What a message says of the store is done before it is taken out of the queue, which survives us: who is
 * killed in between leaves it to the next, for whom it is the first once more.
 */

#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/worker/notify-message.h"

typedef struct Notify Notify;
typedef struct Worker Worker;

/* Opens a socket @path, which only @uid may write to, and reads from it in @event's loop; while it is
 * nobody's what comes is dropped.  Returns 0 or a negative errno. */
int notify_open(sd_event *event, const char *path, uid_t uid, Notify **ret);

/* The same with a socket that is there already, and whose path stays if this fails.
 *
 * @fd  taken always */
int notify_adopt(sd_event *event, const char *path, int fd, Notify **ret);

/* From now on each message is reported to worker_on_message(), which must not free the worker. */
void notify_give(Notify *n, Worker *worker);

/* From now on notify_free() leaves the path, which is somebody else's to go on with. */
void notify_leave(Notify *n);

/* Removes the path as well. */
Notify *notify_free(Notify *n);
DEFINE_CLEANUP(Notify, notify_free)

const char *notify_path(const Notify *n);

/* Borrowed. */
int notify_fd(const Notify *n);

/* From Worker: what the last message has stored is where it should be. */
void notify_go_on(Notify *n);

/* Reads what is queued now, without waiting: a worker that died may have spoken before. */
void notify_drain(Notify *n);

/* Messages that were not understood: empty, too long, cut, with a NUL, with descriptors that were
 * lost on the way or that nobody asked for. */
uint64_t notify_n_refused(const Notify *n);
