#include "daemon/bus/bus-public.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-event.h"
#include "daemon/bus/bus-object.h"
#include "daemon/bus/bus-permit.h"
#include "daemon/manager.h"

struct BusPublic {
        BusClient client; /* whose call is being handled; the others of its kind do not know it */
        bool must;
        BusPermits *permits;
        sd_bus_slot *filter;
        sd_bus_slot *left; /* somebody has gone from the bus */
        sd_bus_slot *naming;
        char **subscribers; /* their unique names */
        size_t n_subscribers;
};

/* ---- subscribers ---- */

static void forget(BusPublic *p, const char *name) {
        for (size_t i = 0; i < p->n_subscribers; i++) {
                if (strcmp(p->subscribers[i], name) != 0)
                        continue;
                free(p->subscribers[i]);
                p->subscribers[i] = p->subscribers[--p->n_subscribers];
                p->subscribers[p->n_subscribers] = NULL;
                return;
        }
}

static int note(BusPublic *p, const char *name) {
        forget(p, name);
        if (p->n_subscribers >= BUS_PUBLIC_SUBSCRIBERS_MAX)
                return -EUSERS;

        p->subscribers[p->n_subscribers] = strdup(name);
        if (!p->subscribers[p->n_subscribers])
                return -ENOMEM;

        p->n_subscribers++;
        return 0;
}

static int on_name_owner(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusPublic *p = userdata;
        const char *name, *before, *now;

        if (sd_bus_message_read(m, "sss", &name, &before, &now) >= 0 && !*now)
                forget(p, name);
        return 0;
}

void bus_public_send_event(BusPublic *p, const BusEvent *e) {
        for (size_t i = 0; p && i < p->n_subscribers; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                int r;

                r = sd_bus_message_new_signal(p->client.peer, &m, BUS_PATH, BUS_MANAGER, "Event");
                if (r >= 0)
                        r = bus_event_append(e, m);
                if (r >= 0)
                        (void) sd_bus_send_to(p->client.peer, m, p->subscribers[i], NULL);
        }
}

void bus_public_emit_properties(BusPublic *p, const char *path, char **names) {
        if (p && p->n_subscribers > 0)
                (void) sd_bus_emit_properties_changed_strv(p->client.peer, path, BUS_SERVICE,
                                                           names);
}

/* ---- calls ---- */

/* What the methods cannot know: here one connection has many callers. */
static int handle_here(BusPublic *p, sd_bus_message *m) {
        const char *sender = sd_bus_message_get_sender(m);

        if (sd_bus_message_is_method_call(m, BUS_MANAGER, "Take"))
                return sd_bus_reply_method_errorf(
                                m, SD_BUS_ERROR_NOT_SUPPORTED,
                                "sockets are handed out at the control socket only");
        if (sd_bus_message_is_method_call(m, BUS_MANAGER, "Subscribe") && note(p, sender) < 0)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                  "too many have subscribed");
        if (sd_bus_message_is_method_call(m, BUS_MANAGER, "Unsubscribe"))
                forget(p, sender);

        return 0;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusPublic *p = userdata;
        BusCaller caller;
        int r;

        r = bus_permits_check(p->permits, m, &caller);
        if (r != 0)
                return r;

        p->client.uid = caller.uid;
        p->client.pid = caller.pid;
        r = caller.uid != (uid_t) -1 ? handle_here(p, m) : 0;
        return r == 0 ? 0 : 1;
}

/* ---- coming and going ---- */

static const char *bus_name(const BusPublic *p) {
        return outer_bus_is_user(p->client.bus->manager->outer_bus) ? "user's" : "system";
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusPublic *p = userdata;
        int level = p->must ? LOG_ERR : LOG_INFO;
        uint32_t answer;

        p->naming = sd_bus_slot_unref(p->naming);
        if (sd_bus_message_is_method_error(m, NULL))
                log_fields(level, NULL, "We are not on the %s bus as " BUS_PUBLIC_NAME ": %s",
                           bus_name(p), sd_bus_message_get_error(m)->message);
        else if (sd_bus_message_read(m, "u", &answer) < 0 || (answer != 1 && answer != 4))
                log_fields(level, NULL,
                           "We are not on the %s bus as " BUS_PUBLIC_NAME ": another reuseportd is",
                           bus_name(p));
        else
                log_debug("We are on the %s bus as " BUS_PUBLIC_NAME, bus_name(p));
        return 0;
}

static void leave(BusPublic *p) {
        p->permits = bus_permits_free(p->permits);
        p->filter = sd_bus_slot_unref(p->filter);
        p->left = sd_bus_slot_unref(p->left);
        p->naming = sd_bus_slot_unref(p->naming);
        bus_object_remove(&p->client);
        while (p->n_subscribers > 0)
                free(p->subscribers[--p->n_subscribers]);
        p->client.peer = NULL;
}

static void on_bus(sd_bus *bus, void *userdata) {
        BusPublic *p = userdata;
        int r;

        leave(p);
        if (!bus)
                return;

        p->client.peer = bus;
        r = bus_permits_new(p->client.bus, bus, &p->permits);
        if (r >= 0)
                r = sd_bus_add_filter(bus, &p->filter, on_message, p);
        if (r >= 0)
                r = bus_object_add_ours(&p->client);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus, &p->left, "org.freedesktop.DBus", NULL,
                                              "org.freedesktop.DBus", "NameOwnerChanged",
                                              on_name_owner, NULL, p);
        if (r >= 0)
                r = sd_bus_request_name_async(bus, &p->naming, BUS_PUBLIC_NAME, 0, on_name, p);
        if (r >= 0)
                return;

        log_error("We cannot be on the %s bus: %s", bus_name(p), strerror(-r));
        leave(p);
}

int bus_public_new(Bus *b, bool must, BusPublic **ret) {
        OuterBus *outer = b->manager->outer_bus;
        BusPublic *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;

        p->client.bus = b;
        p->client.fd = p->client.input_fd = -EBADF;
        p->must = must;
        p->subscribers = calloc(BUS_PUBLIC_SUBSCRIBERS_MAX + 1, sizeof(char *));
        if (!p->subscribers) {
                free(p);
                return -ENOMEM;
        }

        outer_bus_want(outer);
        if (must && outer_bus_error(outer) < 0)
                log_error("There is no %s bus to be on: %s; trying again", bus_name(p),
                          strerror(-outer_bus_error(outer)));
        outer_bus_use(outer, on_bus, p);
        *ret = p;
        return 0;
}

BusPublic *bus_public_free(BusPublic *p) {
        sd_bus *bus;

        if (!p)
                return NULL;

        outer_bus_leave(p->client.bus->manager->outer_bus, p);
        bus = outer_bus_get(p->client.bus->manager->outer_bus);
        leave(p);
        if (bus)
                (void) sd_bus_release_name_async(bus, NULL, BUS_PUBLIC_NAME, NULL, NULL);
        free(p->subscribers);
        free(p);
        return NULL;
}
