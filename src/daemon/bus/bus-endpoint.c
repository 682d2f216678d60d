/* org.reuseportd.Endpoint. */

#include "daemon/bus/bus-object.h"

#include <string.h>

#include "daemon/endpoint/endpoint-look.h"
#include "daemon/service/service.h"

static int get_name(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Endpoint *e = userdata;

        return sd_bus_message_append(reply, "s", e->settings->name);
}

static int get_type(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Endpoint *e = userdata;

        return sd_bus_message_append(reply, "s",
                                     e->settings->type == SOCK_STREAM ? "stream" : "datagram");
}

static int get_service(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Endpoint *e = userdata;

        return sd_bus_message_append(reply, "s", e->service ? e->service->settings->name : "");
}

static int get_addresses(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Endpoint *e = userdata;
        char text[REUSE_ADDRESS_TEXT_SIZE];
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; i < e->n_groups && r >= 0; i++) {
                reuse_address_format(reuse_group_address(e->groups[i]), text, sizeof(text));
                r = sd_bus_message_append(reply, "s", text);
        }

        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_listening(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        EndpointLook look = endpoint_look(userdata);

        return sd_bus_message_append(reply, "b", look.is_listening);
}

static int get_count(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        EndpointLook look = endpoint_look(userdata);
        unsigned n = strcmp(property, "Sockets") == 0      ? look.n_sockets
                     : strcmp(property, "Queue") == 0      ? look.n_waiting
                     : strcmp(property, "QueueLimit") == 0 ? look.n_limit
                                                           : look.n_strangers;

        return sd_bus_message_append(reply, "u", n);
}

static int get_drops(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        EndpointLook look = endpoint_look(userdata);

        return sd_bus_message_append(reply, "t", look.n_dropped);
}

static int get_reset(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Endpoint *e = userdata;

        return sd_bus_message_append(reply, "t", e->n_reset);
}

const sd_bus_vtable bus_endpoint_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Type", "s", get_type, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Service", "s", get_service, 0, 0),
        SD_BUS_PROPERTY("Addresses", "as", get_addresses, 0, 0),
        SD_BUS_PROPERTY("Listening", "b", get_listening, 0, 0),
        SD_BUS_PROPERTY("Sockets", "u", get_count, 0, 0),
        SD_BUS_PROPERTY("Queue", "u", get_count, 0, 0),
        SD_BUS_PROPERTY("QueueLimit", "u", get_count, 0, 0),
        SD_BUS_PROPERTY("Drops", "t", get_drops, 0, 0),
        SD_BUS_PROPERTY("Strangers", "u", get_count, 0, 0),
        SD_BUS_PROPERTY("Reset", "t", get_reset, 0, 0),
        SD_BUS_VTABLE_END,
};
