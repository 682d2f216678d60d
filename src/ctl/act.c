/* Verbs that change what a service does. */

#include <string.h>

#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/verb.h"
#include "ctl/watch.h"

/* What the service is now, for those who asked for JSON. */
static CtlResult end_with_state(Ctl *c, const char *name) {
        _cleanup_json_ json_t *now = NULL;
        CtlResult result;

        if (!c->json)
                return CTL_OK;

        result = client_get(c, CLIENT_SERVICE, name, &now);
        if (result != CTL_OK)
                return result;

        return output_json(json_pack("{s:s, s:s}", "service", name, "state",
                                     client_text(now, "State")));
}

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

        return result == CTL_OK ? end_with_state(c, arguments[0]) : result;
}

CtlResult verb_stop(Ctl *c, char *const *arguments) {
        CtlResult result = watch_until(c, arguments[0], "Stop", watch_is_stopped);

        return result == CTL_OK ? end_with_state(c, arguments[0]) : result;
}

CtlResult verb_kill(Ctl *c, char *const *arguments) {
        CtlResult result;

        result = client_call_service(c, arguments[0], "Kill", NULL, "ib", c->signal_number, c->old);
        return result == CTL_OK ? end_with_state(c, arguments[0]) : result;
}

CtlResult verb_reset_failed(Ctl *c, char *const *arguments) {
        CtlResult result = client_call_service(c, arguments[0], "ResetFailed", NULL, NULL);

        return result == CTL_OK ? end_with_state(c, arguments[0]) : result;
}
