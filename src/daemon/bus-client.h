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

#include "daemon/bus.h"

struct BusClient {
        Bus *bus;
        TAILQ_ENTRY(BusClient) others;
        sd_bus *peer;
        uid_t uid;
        pid_t pid;
        sd_event_source *io;
        sd_event_source *more;  /* on: what was read already is not all dispatched */
        sd_event_source *timer; /* the end, unless something comes */
        bool is_subscribed;
        bool is_doomed;         /* freed by the timer */
        uint64_t n_messages;    /* that were whole */
        uint64_t n_at_timer;    /* as it was when the timer was armed */
        unsigned n_fruitless;   /* times we were woken since the last whole message */
        size_t fruitless_bytes; /* what lay there then */
};

/* @fd  taken always.  Returns 0 or a negative errno. */
int bus_client_new(Bus *b, int fd, const struct ucred *who, BusClient **ret);
BusClient *bus_client_free(BusClient *c);
DEFINE_CLEANUP(BusClient, bus_client_free)

/* Whether it wants signals and can take one more; one that cannot is dropped. */
bool bus_client_wants_signals(BusClient *c);
