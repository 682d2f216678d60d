#include "ctl/watch.h"

#include <string.h>

#include "base/text.h"
#include "ctl/client.h"

static bool state_is(const json_t *now, const char *const *states) {
        return strv_contains((char *const *) states, client_text(now, "State"));
}

bool watch_is_running(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result) {
        static const char *const good[] = { "running", "deploying", NULL };

        *ret_result = CTL_OK;
        return state_is(now, good);
}

bool watch_is_stopped(Ctl *c, const json_t *first, const json_t *now, CtlResult *ret_result) {
        static const char *const good[] = { "stopped", "failed", NULL };

        *ret_result = CTL_OK;
        return state_is(now, good);
}

CtlResult watch_until(Ctl *c, const char *name, const char *method, WatchTest test) {
        _cleanup_json_ json_t *first = NULL;
        uint64_t deadline_usec = client_deadline(c);
        CtlResult result, outcome;

        result = client_connect(c);
        if (result == CTL_OK)
                result = client_subscribe(c);
        if (result == CTL_OK && method)
                result = client_call_service(c, name, method, NULL, NULL);
        if (result != CTL_OK)
                return result;

        for (;;) {
                _cleanup_json_ json_t *now = NULL;

                c->has_news = false;
                c->may_come_back = true;
                result = client_get(c, CLIENT_SERVICE, name, &now);
                if (result == CTL_NOT_REACHABLE) {
                        result = client_come_back(c, deadline_usec);
                        if (result != CTL_OK)
                                return result;
                        continue;
                }
                if (result != CTL_OK)
                        return result;
                if (!first)
                        first = json_incref(now);
                if (test(c, first, now, &outcome))
                        return outcome;

                result = client_wait_news(c, deadline_usec);
                if (result != CTL_OK && result != CTL_NOT_REACHABLE)
                        return result;
        }
}
