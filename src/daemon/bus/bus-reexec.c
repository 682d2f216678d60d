#include "daemon/bus/bus-reexec.h"

#include <errno.h>

#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-error.h"
#include "daemon/manager.h"
#include "daemon/state/reexec.h"

/* What is sent to an empty queue is written at once. */
static void on_decided(const char *why, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = userdata;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (!why) {
                (void) sd_bus_reply_method_return(m, "");
                return;
        }

        (void) bus_error_set(&error, -EBUSY, why);
        (void) sd_bus_reply_method_error(m, &error); /* else the client is gone */
}

int bus_reexec_on_reexec(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;
        _cleanup_free_ char *why = NULL;
        int r;

        r = reexec_new(c->bus->manager, on_decided, m, &why);
        if (r < 0)
                return bus_error_set(reterr, r, why);

        (void) sd_bus_message_ref(m);
        return 1;
}
