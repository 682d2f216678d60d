#pragma once

/* One connection to the control socket.
 *
 *      accepted ──► authenticated, first call ──► calls … ──► gone
 *         │ 5 s
 *         └──► gone
 *
 * Who has subscribed may be silent for ever, everybody else for a minute.  Who does not read what we send
 * is read no further, and dropped when it becomes too much.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

#include "daemon/bus/bus-input.h"
#include "daemon/bus/bus.h"

#define BUS_OBJECTS 5U /* that are shown to each */

struct BusClient {
        Bus *bus;
        TAILQ_ENTRY(BusClient) others;
        int fd;       /* of the connection; sd-bus writes to a copy of its own */
        int input_fd; /* where what came is given to sd-bus, once it is measured */
        BusInput input;
        uint8_t *pending; /* of the last piece, what sd-bus has not taken yet */
        size_t n_pending;
        sd_bus *peer;
        sd_bus_slot *objects[BUS_OBJECTS];
        uid_t uid;
        pid_t pid;
        sd_event_source *io;
        sd_event_source *more;  /* on: what was read already is not all dispatched */
        sd_event_source *timer; /* the end, unless something comes */
        bool only_takes;        /* he may say nothing but Take */
        bool has_half_table;    /* of what he may say */
        bool is_subscribed;
        bool is_doomed;       /* freed by the timer */
        uint64_t n_at_timer;  /* whole messages when the timer was armed */
        unsigned n_fruitless; /* pieces since the last whole message */
};

/* @fd  taken always.  Returns 0 or a negative errno. */
int bus_client_new(Bus *b, int fd, const struct ucred *who, bool only_takes, BusClient **ret);
BusClient *bus_client_free(BusClient *c);
DEFINE_CLEANUP(BusClient, bus_client_free)

/* Whether it wants signals and can take one more; one that cannot is dropped. */
bool bus_client_wants_signals(BusClient *c);
