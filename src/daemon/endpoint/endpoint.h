#pragma once

/* A named listening address, or several, open for as long as the settings name it.
 *
 * An endpoint owns one ReuseGroup per address.  It belongs to at most one service, which decides the
 * rule; without one it is bound and refuses.  Nothing here knows of workers: slots are handed out by
 * place. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

typedef struct Endpoint Endpoint;
typedef struct Manager Manager;
typedef struct Service Service;

/* Who empties the queue of a socket that listens.  Never nobody: a visitor there would wait for ever. */
typedef enum EndpointReader {
        ENDPOINT_READER_WORKER, /* a worker that lives, or comes */
        ENDPOINT_READER_WAKE,   /* we: a visitor wakes the service, whose worker then serves him */
        ENDPOINT_READER_RESET,  /* we: whoever comes there is too late, and is told so at once */
        ENDPOINT_READER_MAX,
        ENDPOINT_READER_INVALID = -EINVAL,
} EndpointReader;

/* One socket in our loop. */
typedef struct EndpointSocket {
        Endpoint *endpoint;
        unsigned group, bank, slot;
        EndpointReader reader;
        sd_event_source *source;
        sd_event_source *
                        pause; /* armed: it is not watched, since what it wants cannot be done now */
} EndpointSocket;

/* What the workers of a bank hold.  That is what the settings say, unless a reload has said something else
 * and a generation from before lives there, or nobody has come since. */
typedef struct EndpointBank {
        bool is_shared;
        unsigned n_early;    /* the Endpoint's, when its sockets were opened */
        ReuseGroup **groups; /* NULL: as the settings say; else borrowed from the Endpoint */
        size_t n_groups;
} EndpointBank;

struct Endpoint {
        uint64_t id;                      /* of its record; 0: it has none yet */
        bool is_dirty;                    /* its record is to be written */
        Manager *manager;                 /* borrowed */
        Service *service;                 /* borrowed; NULL: belongs to none */
        const EndpointSettings *settings; /* borrowed from the manager's Settings */
        ReuseGroup **groups;              /* one for each address, in the order of the settings */
        size_t n_groups;
        size_t n_open; /* those, and behind them such as only a bank of older settings holds */
        EndpointBank banks[REUSE_BANKS_MAX];
        unsigned n_early;        /* how often options that must stand before bind() have changed */
        EndpointSocket *sockets; /* while it listens: all of them, by group, bank, slot */
        size_t n_sockets;
        Settings *settings_held; /* a reference, while the manager's settings do not name it any more */
        unsigned n_strangers; /* sockets of others at its addresses, when somebody last looked */
        unsigned n_connected; /* its datagram sockets that a worker has connected, likewise */
        unsigned n_connected_told;
        uint64_t n_reset;                /* visitors who came too late, and datagrams */
        LIST_HEAD(Takers, Taker) takers; /* who reads it, while it belongs to no service */
        unsigned n_takers;
};

/* Opens the sockets: bound, and refusing until endpoint_listen().
 *
 * @n_slots  in each bank; with `shared` there is one.  One that no service uses has one bank, until one
 *           does: that is half of the descriptors
 *
 * What fails is logged, with who holds the address.  Returns 0 or a negative errno. */
int endpoint_new(Manager *manager, const EndpointSettings *settings, unsigned n_slots,
                 Endpoint **ret);

/* From Manager: the same sockets by other settings; what can be changed on them is changed.  What fails is
 * logged. */
void endpoint_reload(Endpoint *e, const EndpointSettings *settings);

/* Closes our copies of all sockets. */
Endpoint *endpoint_free(Endpoint *e);
DEFINE_CLEANUP(Endpoint, endpoint_free)

/* Closes them and keeps the object: what workers hold stays open. */
void endpoint_close(Endpoint *e);

/* Slots that the sockets of a bank have for @n_workers workers. */
unsigned endpoint_n_slots(const EndpointSettings *settings, unsigned n_workers);

/* The groups whose sockets the workers in that bank hold. */
size_t endpoint_n_groups(const Endpoint *e, unsigned bank);
ReuseGroup *endpoint_group(const Endpoint *e, unsigned bank, size_t i);

/* Whether it has sockets at an address that is the same to the eye; dual-stack or not, it is another group to
 * the kernel. */
bool endpoint_has_open(const Endpoint *e, const ReuseAddress *address);

/* Whether they all hold the same socket of each. */
bool endpoint_is_shared(const Endpoint *e, unsigned bank);

/* Lets visitors in by @rule, which counts slots by worker: a shared socket is live if any is. */
int endpoint_listen(Endpoint *e, const ReuseRule *rule);

/* Puts @rule in force on every address, or on none: what was in force is put back.  An address that no
 * bank with a live slot holds refuses.
 *
 * @may_listen  one that refuses and has somebody for its visitors lets them in */
int endpoint_put_rule(Endpoint *e, const ReuseRule *rule, bool may_listen);

/* Says who reads that socket from now on. */
void endpoint_socket_set_reader(EndpointSocket *s, EndpointReader reader);

/* Makes sure that a bank has slots for @n_workers; the bank may be the next that there is not yet.  The
 * rule in force leads nobody there.  Returns 0 or a negative error, and then nothing was opened. */
int endpoint_grow(Endpoint *e, unsigned bank, unsigned n_workers);

/* From now on nobody gets in; the port stays ours. */
int endpoint_refuse(Endpoint *e);

/* The descriptors of one worker, one for each address, appended to @fds.  Borrowed. */
void endpoint_put_fds(const Endpoint *e, unsigned bank, unsigned slot, int *fds, size_t *n_fds);

/* Makes the sockets of a place blocking or not, as the program that is to come expects them.  O_NONBLOCK is
 * shared by all who hold a socket, so this is for places without a worker. */
int endpoint_set_nonblock(const Endpoint *e, unsigned bank, unsigned slot, bool nonblock);

/* How many wait in the queues of that place, over all addresses; datagrams count as one. */
unsigned endpoint_queue(const Endpoint *e, unsigned bank, unsigned slot);

/* Its addresses with the ports that were picked, separated by spaces: NULL when there is no memory. */
char *endpoint_addresses(const Endpoint *e);
