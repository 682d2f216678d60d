/* org.reuseportd.Manager: lists, events, and what concerns the daemon as a whole. */

#include "daemon/bus/bus-object.h"

#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "daemon/bus/bus-error.h"
#include "daemon/bus/bus-event.h"
#include "daemon/bus/bus-reexec.h"
#include "daemon/bus/bus-reload.h"
#include "daemon/bus/bus-row.h"
#include "daemon/bus/bus-take.h"
#include "daemon/fallback.h"
#include "daemon/manager.h"

#define FREE SD_BUS_VTABLE_UNPRIVILEGED

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", PROJECT_VERSION);
}

static int get_configuration(sd_bus *bus, const char *path, const char *interface,
                             const char *property, sd_bus_message *reply, void *userdata,
                             sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "s", c->bus->manager->settings->files[0]);
}

static int get_runtime_directory(sd_bus *bus, const char *path, const char *interface,
                                 const char *property, sd_bus_message *reply, void *userdata,
                                 sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "s", c->bus->manager->runtime_directory);
}

static int get_pid(sd_bus *bus, const char *path, const char *interface, const char *property,
                   sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", (uint32_t) getpid());
}

static int get_is_stopping(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "b", c->bus->manager->is_stopping);
}

static int get_n_adopted(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "t", c->bus->manager->state->n_adopted);
}

static int get_sequence(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "t", c->bus->sequence);
}

static int get_n_clients(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "u", c->bus->n_clients);
}

static int get_n_refused(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;

        return sd_bus_message_append(reply, "t", c->bus->n_refused);
}

static int get_n_log_lines_dropped(sd_bus *bus, const char *path, const char *interface,
                                   const char *property, sd_bus_message *reply, void *userdata,
                                   sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "t", log_n_dropped());
}

static int get_fallbacks(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        _cleanup_strv_ char **list = NULL;
        int r;

        r = fallback_list(&list);
        return r < 0 ? r : sd_bus_message_append_strv(reply, list);
}

static int on_subscribe(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;

        c->is_subscribed = true;
        return sd_bus_reply_method_return(m, "t", c->bus->sequence);
}

static int on_unsubscribe(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;

        c->is_subscribed = false;
        return sd_bus_reply_method_return(m, "");
}

/* A list of rows, with the sequence number up to which it is true. */
static int reply_list(sd_bus_message *call, const char *signature,
                      int (*append)(const Manager *m, sd_bus_message *reply)) {
        const BusClient *c = sd_bus_get_current_userdata(sd_bus_message_get_bus(call));
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "t", c->bus->sequence);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', signature);
        if (r >= 0)
                r = append(c->bus->manager, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int append_services(const Manager *m, sd_bus_message *reply) {
        for (size_t i = 0; i < m->n_services; i++) {
                int r = bus_row_append_service(m->services[i], reply);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int append_endpoints(const Manager *m, sd_bus_message *reply) {
        strangers_look_if_old(m->strangers);
        for (size_t i = 0; i < m->n_endpoints; i++) {
                int r = bus_row_append_endpoint(m->endpoints[i], reply);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int on_list_services(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return reply_list(m, BUS_ROW_SERVICE, append_services);
}

static int on_list_endpoints(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return reply_list(m, BUS_ROW_ENDPOINT, append_endpoints);
}

static int append_events(const Bus *b, uint64_t after, sd_bus_message *reply) {
        uint64_t first = b->sequence > BUS_EVENTS_MAX ? b->sequence - BUS_EVENTS_MAX + 1 : 1;

        for (uint64_t i = after >= first ? after + 1 : first; i <= b->sequence; i++) {
                const BusEvent *e = bus_event_find(b, i);
                int r;

                r = sd_bus_message_open_container(reply, 'r', BUS_EVENT_SIGNATURE);
                if (r >= 0)
                        r = bus_event_append(e, reply);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int on_list_events(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        const BusClient *c = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        uint64_t after;
        int r;

        r = sd_bus_message_read(m, "t", &after);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "t", c->bus->sequence);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(" BUS_EVENT_SIGNATURE ")");
        if (r >= 0)
                r = append_events(c->bus, after, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

const sd_bus_vtable bus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ProcessId", "u", get_pid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("ConfigurationFile", "s", get_configuration, 0, 0),
        SD_BUS_PROPERTY("RuntimeDirectory", "s", get_runtime_directory, 0,
                        SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Adoptions", "t", get_n_adopted, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("IsStopping", "b", get_is_stopping, 0, 0),
        SD_BUS_PROPERTY("Sequence", "t", get_sequence, 0, 0),
        SD_BUS_PROPERTY("Clients", "u", get_n_clients, 0, 0),
        SD_BUS_PROPERTY("ClientsRefused", "t", get_n_refused, 0, 0),
        SD_BUS_PROPERTY("Fallbacks", "as", get_fallbacks, 0, 0),
        SD_BUS_PROPERTY("LogLinesDropped", "t", get_n_log_lines_dropped, 0, 0),
        SD_BUS_METHOD_WITH_NAMES("Subscribe", "", , "t", SD_BUS_PARAM(sequence), on_subscribe,
                                 FREE),
        SD_BUS_METHOD("Unsubscribe", "", "", on_unsubscribe, FREE),
        SD_BUS_METHOD_WITH_NAMES("ListServices", "", , "ta" BUS_ROW_SERVICE,
                                 SD_BUS_PARAM(sequence) SD_BUS_PARAM(services), on_list_services,
                                 FREE),
        SD_BUS_METHOD_WITH_NAMES("ListEndpoints", "", , "ta" BUS_ROW_ENDPOINT,
                                 SD_BUS_PARAM(sequence) SD_BUS_PARAM(endpoints), on_list_endpoints,
                                 FREE),
        SD_BUS_METHOD_WITH_NAMES("ListEvents", "t", SD_BUS_PARAM(after),
                                 "ta(" BUS_EVENT_SIGNATURE ")",
                                 SD_BUS_PARAM(sequence) SD_BUS_PARAM(events), on_list_events, FREE),
        SD_BUS_METHOD_WITH_NAMES("Reload", "", , "s" BUS_CHANGES,
                                 SD_BUS_PARAM(waits_for) SD_BUS_PARAM(changes),
                                 bus_reload_on_reload, FREE),
        SD_BUS_METHOD("Reexec", "", "", bus_reexec_on_reexec, FREE),
        SD_BUS_METHOD_WITH_NAMES("Diff", "s", SD_BUS_PARAM(file), BUS_CHANGES,
                                 SD_BUS_PARAM(changes), bus_reload_on_diff, FREE),
        BUS_TAKE_METHOD,
        SD_BUS_SIGNAL_WITH_NAMES("Event", BUS_EVENT_SIGNATURE, BUS_EVENT_NAMES, 0),
        SD_BUS_VTABLE_END,
};
