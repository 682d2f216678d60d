#include "daemon/deploy/deploy-hook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/deploy/deploy.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service.h"
#include "daemon/spawn/fd-protocol.h"
#include "daemon/spawn/handoff.h"

#define HOOK_USEC (30 * USEC_PER_SEC)

struct DetachedHook {
        const Service *service;
        char *name;
        Errand *errand;
        LIST_ENTRY(DetachedHook) others;
};

static int make_environment(const Deploy *d, const char *result, char ***ret) {
        _cleanup_strv_ char **environment = NULL;
        int r;

        r = handoff_make_environment(d->service, d->build, d->result.generation, d->new_bank,
                                     /* slot= */ 0, &environment);
        if (r >= 0)
                r = environment_put(&environment, "REUSEPORTD_STEP=%u", d->n_steps_done);
        if (r >= 0)
                r = environment_put(&environment, "REUSEPORTD_RESULT=%s", result);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(environment);
        return 0;
}

static int start(const Deploy *d, char *const *argv, const char *result, ErrandHandler handler,
                 void *userdata, Errand **ret) {
        _cleanup_strv_ char **environment = NULL;
        const char *what;
        int r;

        r = make_environment(d, result, &environment);
        if (r < 0)
                return r;

        r = errand_new(d->service->manager->event, argv, environment, HOOK_USEC, handler, userdata,
                       ret, &what);
        if (r < 0)
                log_error("%s: cannot %s the hook %s: %s", d->service->settings->name, what,
                          argv[0], reuse_strerror(r));
        return r;
}

int deploy_hook_run(Deploy *d, char *const *argv, const char *result, ErrandHandler handler,
                    Errand **ret) {
        return start(d, argv, result, handler, d, ret);
}

static void hook_free(DetachedHook *h) {
        LIST_REMOVE(h, others);
        h->errand = errand_free(h->errand);
        free(h->name);
        free(h);
}

static void on_detached(ErrandResult result, const char *how, void *userdata) {
        DetachedHook *h = userdata;

        if (result != ERRAND_OK)
                log_fields(LOG_WARNING,
                           (&(LogFields){ .message_id = MESSAGE_HOOK_FAILED,
                                          .service = h->service->settings->name }),
                           "%s: the hook %s %s; the deploy stays as it is",
                           h->service->settings->name, h->name, how);
        hook_free(h);
}

void deploy_hook_run_detached(Deploy *d, char *const *argv, const char *result) {
        DetachedHook *h;

        if (!argv)
                return;

        h = calloc(1, sizeof(*h));
        if (!h)
                return;

        LIST_INSERT_HEAD(&d->service->hooks, h, others);
        h->service = d->service;
        h->name = strdup(argv[0]);
        if (!h->name || start(d, argv, result, on_detached, h, &h->errand) < 0)
                hook_free(h);
}

void detached_hooks_free(DetachedHooks *hooks) {
        while (!LIST_EMPTY(hooks))
                hook_free(LIST_FIRST(hooks));
}
