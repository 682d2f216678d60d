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

/* All that are wanted are ready, and nobody else is left in that generation. */
static bool has_scaled(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result) {
        json_int_t n_there = 0;
        const json_t *worker;
        size_t i;

        *ret_result = CTL_OK;
        if (!watch_is_running(c, first, now, ret_result) &&
            strcmp(client_text(now, "State"), "starting") != 0)
                return true; /* nobody runs: the next generation will have so many */

        json_array_foreach(json_object_get(now, "Workers"), i, worker)
                        n_there += json_integer_value(json_array_get(worker, 2)) ==
                                   client_number(now, "Generation");

        return n_there == client_number(now, "WorkersWanted") &&
               client_number(now, "WorkersReady") == client_number(now, "WorkersWanted");
}

CtlResult verb_scale(Ctl *c, char *const *arguments) {
        const char *equals = strchr(arguments[0], '=');
        _cleanup_free_ char *name = NULL;
        CtlResult result;
        uint64_t n;

        if (!equals || parse_unsigned(equals + 1, UINT32_MAX, &n) < 0) {
                ctl_error("scale: expected NAME=N, for example site=4");
                return CTL_USAGE;
        }
        name = strndup(arguments[0], (size_t) (equals - arguments[0]));
        if (!name)
                return CTL_FAILED;

        result = client_call_service(c, name, "Scale", NULL, "u", (uint32_t) n);
        if (result == CTL_OK)
                result = watch_until(c, name, NULL, has_scaled);
        return result == CTL_OK ? service_print_state(c, name) : result;
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

/* Hooks and commands that run are waited for. */
#define REEXEC_USEC (90 * USEC_PER_SEC)

static CtlResult count_adoptions(Ctl *c, json_int_t *ret) {
        _cleanup_json_ json_t *now = NULL;
        CtlResult r = client_get(c, CLIENT_MANAGER, NULL, &now);

        if (r == CTL_OK)
                *ret = client_number(now, "Adoptions");
        return r;
}

CtlResult verb_reexec(Ctl *c, char *const *arguments) {
        json_int_t before, after;
        uint64_t deadline_usec;
        CtlResult r;

        if (c->timeout_usec == USEC_INFINITY)
                c->timeout_usec = REEXEC_USEC;
        deadline_usec = client_deadline(c);
        r = count_adoptions(c, &before);
        if (r != CTL_OK)
                return r;

        c->may_come_back = true;
        r = client_call_manager(c, "Reexec", NULL, NULL);
        if (r == CTL_OK || r == CTL_NOT_REACHABLE)
                r = client_come_back(c, deadline_usec);
        if (r == CTL_OK)
                r = count_adoptions(c, &after);
        if (r != CTL_OK)
                return r;
        if (after != before + 1) {
                ctl_error("the program could not be executed, the daemon goes on; its log says why");
                return CTL_FAILED;
        }

        ctl_say(c, "executed anew");
        return CTL_OK;
}
