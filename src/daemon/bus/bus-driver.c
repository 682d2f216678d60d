/* org.freedesktop.DBus, as far as a client of a real bus cannot do without: busctl(1) and every other
 * program that believes to speak to a bus begin with Hello. */

#include "daemon/bus/bus-object.h"

#include <stdio.h>

#define OUR_NAME "org.reuseportd"

static int on_hello(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;
        char name[64];

        (void) snprintf(name, sizeof(name), ":1.%d", (int) c->pid);
        return sd_bus_reply_method_return(m, "s", name);
}

/* Whoever waits for any signal is sent all: there are few, and the client's library sorts them. */
static int on_add_match(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;

        c->is_subscribed = !c->only_takes;
        return sd_bus_reply_method_return(m, "");
}

static int on_remove_match(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return sd_bus_reply_method_return(m, "");
}

static int on_list_names(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return sd_bus_reply_method_return(m, "as", 2, "org.freedesktop.DBus", OUR_NAME);
}

static int on_list_activatable_names(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return sd_bus_reply_method_return(m, "as", 0);
}

static int on_get_name_owner(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        return r < 0 ? r : sd_bus_reply_method_return(m, "s", name);
}

#define FREE SD_BUS_VTABLE_UNPRIVILEGED /* bus.h: who may connect may do everything */

const sd_bus_vtable bus_driver_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Hello", "", "s", on_hello, FREE),
        SD_BUS_METHOD("AddMatch", "s", "", on_add_match, FREE),
        SD_BUS_METHOD("RemoveMatch", "s", "", on_remove_match, FREE),
        SD_BUS_METHOD("ListNames", "", "as", on_list_names, FREE),
        SD_BUS_METHOD("ListActivatableNames", "", "as", on_list_activatable_names, FREE),
        SD_BUS_METHOD("GetNameOwner", "s", "s", on_get_name_owner, FREE),
        SD_BUS_VTABLE_END,
};
