#include "daemon/bus/bus-row.h"

#include "daemon/endpoint/endpoint-look.h"
#include "daemon/service/service-summary.h"

int bus_row_append_service(const Service *s, sd_bus_message *m) {
        ServiceSummary now = service_summarize(s);

        return sd_bus_message_append(
                        m, BUS_ROW_SERVICE, s->settings->name, service_state_to_string(now.state),
                        now.generation, now.color, now.n_ready, now.n_wanted, now.n_restarts,
                        now.is_pending, s->deploy ? s->deploy->result.id : "",
                        now.deploy_state ? now.deploy_state : "", now.share_percent, now.step);
}

static int append_addresses(const Endpoint *e, sd_bus_message *m) {
        char text[REUSE_ADDRESS_TEXT_SIZE];
        int r;

        r = sd_bus_message_open_container(m, 'a', "s");
        for (size_t i = 0; i < e->n_groups && r >= 0; i++) {
                reuse_address_format(reuse_group_address(e->groups[i]), text, sizeof(text));
                r = sd_bus_message_append(m, "s", text);
        }

        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_row_append_endpoint(const Endpoint *e, sd_bus_message *m) {
        EndpointLook look = endpoint_look(e);
        int r;

        r = sd_bus_message_open_container(m, 'r', "sssbasuuutu");
        if (r >= 0)
                r = sd_bus_message_append(m, "sssb", e->settings->name,
                                          e->settings->type == SOCK_STREAM ? "stream" : "datagram",
                                          e->service ? e->service->settings->name : "",
                                          look.is_listening);
        if (r >= 0)
                r = append_addresses(e, m);
        if (r >= 0)
                r = sd_bus_message_append(m, "uuutu", look.n_sockets, look.n_waiting, look.n_limit,
                                          look.n_dropped, look.n_strangers);
        return r < 0 ? r : sd_bus_message_close_container(m);
}
