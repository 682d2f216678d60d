#include "daemon/outer-bus.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/timer.h"

#define AGAIN_USEC     (1 * USEC_PER_SEC)
#define AGAIN_MAX_USEC (60 * USEC_PER_SEC)
#define CALL_USEC      (30 * USEC_PER_SEC)

struct OuterBus {
        Manager *manager; /* borrowed */
        sd_bus *bus;
        bool is_wanted;
        int error;
        uint64_t again_usec;
        sd_event_source *again;
        struct {
                OuterBusHandler handler;
                void *userdata;
        } users[OUTER_BUS_USERS_MAX];
        size_t n_users;
};

sd_bus *outer_bus_get(const OuterBus *o) {
        return o ? o->bus : NULL;
}

int outer_bus_error(const OuterBus *o) {
        return o ? o->error : -ENOTCONN;
}

bool outer_bus_is_user(const OuterBus *o) {
        return geteuid() != 0;
}

static void tell_users(const OuterBus *o, sd_bus *bus) {
        for (size_t i = 0; i < o->n_users; i++)
                o->users[i].handler(bus, o->users[i].userdata);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

static void call_again(OuterBus *o) {
        (void) timer_arm(o->manager->event, &o->again, o->again_usec, on_again, o);
        o->again_usec = o->again_usec * 2 < AGAIN_MAX_USEC ? o->again_usec * 2 : AGAIN_MAX_USEC;
}

static void disconnect(OuterBus *o) {
        if (!o->bus)
                return;

        tell_users(o, NULL);
        (void) sd_bus_detach_event(o->bus);
        o->bus = sd_bus_close_unref(o->bus);
}

/* Handlers up the stack still use it: it is given up in the loop's next turn. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        OuterBus *o = userdata;

        log_note(LOG_WARNING, MESSAGE_BUS_LOST,
                 "The connection to the %s bus is lost; trying again",
                 outer_bus_is_user(o) ? "user's" : "system");
        o->error = -ENOTCONN;
        o->again_usec = AGAIN_USEC;
        (void) timer_arm(o->manager->event, &o->again, 0, on_again, o);
        return 0;
}

static int connect_bus(OuterBus *o) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = outer_bus_is_user(o) ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, /* b= */ false);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, CALL_USEC);
        if (r >= 0)
                r = sd_bus_add_match(bus, NULL,
                                     "type='signal',sender='org.freedesktop.DBus.Local',"
                                     "path='/org/freedesktop/DBus/Local',"
                                     "interface='org.freedesktop.DBus.Local',member='Disconnected'",
                                     on_disconnected, o);
        if (r >= 0)
                r = sd_bus_attach_event(bus, o->manager->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;

        o->bus = TAKE_PTR(bus);
        return 0;
}

static void try(OuterBus *o) {
        o->error = connect_bus(o);
        if (o->error < 0) {
                log_debug("There is no %s bus: %s", outer_bus_is_user(o) ? "user" : "system",
                          strerror(-o->error));
                call_again(o);
                return;
        }

        o->again_usec = AGAIN_USEC;
        tell_users(o, o->bus);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        OuterBus *o = userdata;

        disconnect(o);
        try(o);
        return 0;
}

void outer_bus_use(OuterBus *o, OuterBusHandler handler, void *userdata) {
        assert(o->n_users < OUTER_BUS_USERS_MAX);

        o->users[o->n_users].handler = handler;
        o->users[o->n_users++].userdata = userdata;
        if (o->bus)
                handler(o->bus, userdata);
}

void outer_bus_leave(OuterBus *o, const void *userdata) {
        for (size_t i = 0; i < o->n_users; i++)
                if (o->users[i].userdata == userdata) {
                        o->users[i] = o->users[--o->n_users];
                        return;
                }
}

void outer_bus_want(OuterBus *o) {
        if (o->is_wanted)
                return;

        o->is_wanted = true;
        try(o);
}

int outer_bus_new(Manager *m, OuterBus **ret) {
        OuterBus *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;

        o->manager = m;
        o->again_usec = AGAIN_USEC;
        o->error = -ENOTCONN;
        *ret = o;
        return 0;
}

OuterBus *outer_bus_free(OuterBus *o) {
        if (!o)
                return NULL;

        if (o->bus)
                (void) sd_bus_flush(o->bus); /* the last words to systemd */
        disconnect(o);
        o->again = timer_disarm(o->again);
        free(o);
        return NULL;
}
