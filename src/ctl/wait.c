/* Verbs for scripts. */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/service.h"
#include "ctl/verb.h"
#include "ctl/watch.h"

CtlResult verb_wait(Ctl *c, char *const *arguments) {
        if (c->wait_for && strcmp(c->wait_for, "running") == 0)
                return watch_until(c, arguments[0], NULL, watch_is_running);
        if (c->wait_for && strcmp(c->wait_for, "stopped") == 0)
                return watch_until(c, arguments[0], NULL, watch_is_stopped);

        ctl_error("wait: say --for=running or --for=stopped");
        return CTL_USAGE;
}

/* Prints the state; @good ends with NULL. */
static CtlResult test_state(Ctl *c, const char *name, const char *const *good,
                            CtlResult otherwise) {
        _cleanup_json_ json_t *now = NULL;
        const char *state;
        CtlResult result;

        result = client_get(c, CLIENT_SERVICE, name, &now);
        if (result != CTL_OK)
                return result;

        state = client_text(now, "State");
        ctl_say(c, "%s", state);
        if (c->json) {
                result = output_json(json_pack("{s:s, s:s}", "service", name, "state", state));
                if (result != CTL_OK)
                        return result;
        }

        return strv_contains((char *const *) good, state) ? CTL_OK : otherwise;
}

CtlResult verb_is_active(Ctl *c, char *const *arguments) {
        static const char *const good[] = { "running", "deploying", "listening", NULL };

        return test_state(c, arguments[0], good, CTL_NOT_ACTIVE);
}

CtlResult verb_is_failed(Ctl *c, char *const *arguments) {
        static const char *const good[] = { "failed", NULL };

        return test_state(c, arguments[0], good, CTL_FAILED);
}

/* ---- events ---- */

static const char *text(const json_t *object, const char *name) {
        const char *found = json_string_value(json_object_get(object, name));

        return found ? found : "";
}

static void print_event(const Ctl *c, const json_t *e) {
        json_int_t usec = json_integer_value(json_object_get(e, "time_usec"));
        time_t seconds = (time_t) (usec / (json_int_t) USEC_PER_SEC);
        const json_t *pid = json_object_get(e, "pid");
        struct tm parts;
        char when[64] = "";

        if (localtime_r(&seconds, &parts))
                (void) strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &parts);
        printf("%s.%03lld %s %s", when,
               (long long) (usec % (json_int_t) USEC_PER_SEC / (json_int_t) USEC_PER_MSEC),
               text(e, "type"), text(e, "name"));
        if (json_is_integer(json_object_get(e, "generation")))
                printf("/%lld", (long long) json_integer_value(json_object_get(e, "generation")));
        if (json_is_integer(pid))
                printf(" worker %lld (pid %lld)",
                       (long long) json_integer_value(json_object_get(e, "worker")),
                       (long long) json_integer_value(pid));
        printf(": %s%s%s\n", text(e, "state"), *text(e, "detail") ? ", " : "", text(e, "detail"));
}

/* Those after *last, which is moved on. */
static CtlResult print_events_after(Ctl *c, json_int_t *last) {
        _cleanup_json_ json_t *reply = NULL;
        const json_t *row;
        CtlResult result;
        size_t i;

        result = client_call_manager(c, "ListEvents", &reply, "t", (uint64_t) *last);
        if (result != CTL_OK)
                return result;

        json_array_foreach(json_array_get(reply, 1), i, row) {
                _cleanup_json_ json_t *e = event_from_row(row);

                if (c->json)
                        result = output_json(json_incref(e));
                else if (!c->quiet)
                        print_event(c, e);
                if (result != CTL_OK)
                        return result;
        }

        *last = json_integer_value(json_array_get(reply, 0));
        (void) fflush(stdout);
        return CTL_OK;
}

CtlResult verb_events(Ctl *c, char *const *arguments) {
        uint64_t deadline_usec = client_deadline(c);
        json_int_t last = 0;
        CtlResult result = CTL_OK;

        if (c->follow)
                result = client_subscribe(c);
        while (result == CTL_OK) {
                c->has_news = false;
                result = print_events_after(c, &last);
                if (result != CTL_OK || !c->follow)
                        break;
                result = client_wait_news(c, deadline_usec);
        }

        return result;
}
