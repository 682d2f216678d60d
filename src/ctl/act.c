/* Verbs that change what a service does. */

#include <string.h>

#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/service.h"
#include "ctl/verb.h"
#include "ctl/watch.h"

/* One that never gets ready is restarted for ever, and nobody wants to wait for that. */
static bool has_started(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result) {
        const char *name = client_text(now, "Name");

        if (watch_is_running(c, first, now, ret_result))
                return true;

        *ret_result = CTL_FAILED;
        if (strcmp(client_text(now, "State"), "starting") == 0) {
                if (client_number(now, "Restarts") <= client_number(first, "Restarts"))
                        return false;
                ctl_error("workers of %s end before they are ready; see: reuseportctl logs %s",
                          name, name);
                return true;
        }

        ctl_error("%s is %s", name, client_text(now, "State"));
        return true;
}

CtlResult verb_start(Ctl *c, char *const *arguments) {
        CtlResult result = watch_until(c, arguments[0], "Start", has_started);

        return result == CTL_OK ? service_print_state(c, arguments[0]) : result;
}

CtlResult verb_stop(Ctl *c, char *const *arguments) {
        CtlResult result = watch_until(c, arguments[0], "Stop", watch_is_stopped);

        return result == CTL_OK ? service_print_state(c, arguments[0]) : result;
}

CtlResult verb_kill(Ctl *c, char *const *arguments) {
        CtlResult result;

        result = client_call_service(c, arguments[0], "Kill", NULL, "ib", c->signal_number, c->old);
        return result == CTL_OK ? service_print_state(c, arguments[0]) : result;
}

CtlResult verb_reset_failed(Ctl *c, char *const *arguments) {
        CtlResult result = client_call_service(c, arguments[0], "ResetFailed", NULL, NULL);

        return result == CTL_OK ? service_print_state(c, arguments[0]) : result;
}
