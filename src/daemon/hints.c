#include "daemon/hints.h"

#include <errno.h>
#include <stdio.h>

#include "base/text.h"
#include "daemon/endpoint-look.h"
#include "daemon/service-summary.h"

/* In a row; one may be chance. */
#define FAILURES_MIN 3U

/* Each returns a sentence, the caller's, or NULL; there is no harm in one that memory was too short for. */
typedef char *(*Hint)(const Service *s);

static char *hint_failing(const Service *s) {
        const Generation *g = service_current(s);
        unsigned worst = 0;
        char *text;

        for (unsigned i = 0; g && i < g->n_slots; i++)
                if (g->slots[i].n_failures > worst)
                        worst = g->slots[i].n_failures;
        if (worst < FAILURES_MIN)
                return NULL;

        return asprintf(&text,
                        "workers end before they are ready, the last %u in a row; see: reuseportctl "
                        "logs %s",
                        worst, s->settings->name) < 0
                               ? NULL
                               : text;
}

static char *hint_failed(const Service *s) {
        char *text;

        if (service_state(s) != SERVICE_FAILED)
                return NULL;

        return asprintf(&text,
                        "nobody is left and the settings forbid another; see: reuseportctl logs %s, "
                        "then: reuseportctl start %s",
                        s->settings->name, s->settings->name) < 0
                               ? NULL
                               : text;
}

static char *hint_full_queue(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                EndpointLook look = endpoint_look(s->endpoints[i]);

                if (look.n_dropped == 0)
                        continue;
                return asprintf(&text,
                                "the kernel has dropped %llu visitors of endpoint %s, since a queue was "
                                "full: more workers, or a larger backlog (now %u)",
                                (unsigned long long) look.n_dropped,
                                s->endpoints[i]->settings->name, look.n_limit) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_strangers(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const Endpoint *e = s->endpoints[i];

                if (e->n_strangers == 0)
                        continue;
                return asprintf(&text,
                                "%u sockets at the address of endpoint %s are not ours and may get its "
                                "visitors; the log says whose they are",
                                e->n_strangers, e->settings->name) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_pending(const Service *s) {
        const Generation *g = service_current(s);
        char *text;

        if (!g || !g->is_outdated)
                return NULL;

        return asprintf(&text,
                        "the configuration has changed in what only new workers can have: "
                        "reuseportctl deploy %s",
                        s->settings->name) < 0
                               ? NULL
                               : text;
}

static const Hint hints[] = { hint_failed, hint_strangers, hint_pending, hint_failing,
                              hint_full_queue };

int hints_list(const Service *s, char ***ret) {
        _cleanup_strv_ char **list = NULL;

        for (size_t i = 0; i < ELEMENTS_OF(hints); i++) {
                char *text = hints[i](s);
                int r;

                if (!text)
                        continue;
                r = strv_consume(&list, text);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(list);
        return 0;
}
