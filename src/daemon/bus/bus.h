#pragma once

/* The control socket: D-Bus without a bus daemon; and beside it the system's bus, see bus-public.h.
 *
 * Each connection is a bus of its own with one peer.  Whoever may connect may do everything: root, our own
 * uid, and members of control_group, as the kernel says of the peer (SO_PEERCRED); nobody else gets to say
 * a word.  The socket's mode keeps most of them out before that.
 *
 *      /org/reuseportd                  org.reuseportd.Manager
 *      /org/reuseportd/service/NAME     org.reuseportd.Service     names as sd_bus_path_encode(3) writes
 *      /org/reuseportd/endpoint/NAME    org.reuseportd.Endpoint    them
 *
 * The bus decides nothing: a method decodes, calls the manager or a service, encodes.  Changes go to those
 * who have subscribed, as Event signals with a sequence number without gaps; a reply that describes
 * something tells the number up to which it is true, so a client who subscribes first and asks then has
 * missed nothing.
 *
 * No client can hold us up: nothing blocks, a queue that is not read and a message that does not end cost
 * their client the connection.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "settings/settings.h"

typedef struct Bus Bus;
typedef struct BusClient BusClient;
typedef struct BusEvent BusEvent;
typedef struct Manager Manager;
typedef struct Service Service;
typedef struct Worker Worker;

#define BUS_CLIENTS_MAX         64U /* the last of them for root */
#define BUS_CLIENTS_PER_UID_MAX 16U /* but for root, who has all that are left */
#define BUS_EVENTS_MAX          512U
#define BUS_PAUSE_USEC          (100 * USEC_PER_MSEC) /* when there is no descriptor for one more */

struct Bus {
        Manager *manager; /* borrowed */
        char *path;
        mode_t mode;
        bool has_group;
        gid_t group; /* whose members may do everything */
        int fd;
        sd_event_source *io;
        sd_event_source *pause;   /* armed: there was no descriptor for one more */
        sd_event_source *again;   /* armed: somebody could not be told something */
        sd_event_source *flush;   /* on: a service has changed and that was not told yet */
        bool tells_again;         /* what has not changed, as well */
        struct BusPublic *public; /* NULL: we are on no bus of others */
        UseOuterBus use_outer;
        struct BusTake *take; /* NULL: nobody else may ask for sockets */
        TAILQ_HEAD(BusClients, BusClient) clients;
        unsigned n_clients; /* that may say everything */
        unsigned n_takers;  /* the others */
        uint64_t n_refused; /* connections */
        BusEvent *events;   /* the last BUS_EVENTS_MAX, by sequence */
        uint64_t sequence;  /* of the last one */
};

typedef struct BusOptions {
        const char *path;
        int fd; /* a socket that listens there already, for bus_new(); taken always; or -EBADF */
        mode_t mode;
        bool has_group;
        gid_t group;
        UseOuterBus use_outer;
        bool has_take; /* and beside it a socket for everybody, where nothing but Take may be said */
} BusOptions;

/* Opens the control socket; a dead one in its place is removed.
 *
 * What fails is logged.  Returns 0 or a negative errno. */
int bus_new(Manager *manager, const BusOptions *options, Bus **ret);
Bus *bus_free(Bus *b);

/* Other options from now on; who is connected stays.  What fails is logged, and then the old ones stay. */
void bus_configure(Bus *b, const BusOptions *options);
DEFINE_CLEANUP(Bus, bus_free)

/* What follows only tells, frees nobody, and may be called from anywhere; @b may be NULL. */

/* Tells in the loop's next turn what has changed of @s, if anything has. */
void bus_on_service_changed(Bus *b, Service *s);

/* Tells that a worker is in another state.
 *
 * @state, @detail  "ready"; half a sentence or "" */
void bus_on_worker_changed(Bus *b, const Worker *w, const char *state, const char *detail);

/* Tells of the daemon as a whole, or of an object that has no states.
 *
 * @type  "daemon", "endpoint", …
 * @name  of the object or "" */
void bus_tell(Bus *b, const char *type, const char *name, const char *state, const char *detail);
