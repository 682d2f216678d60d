#include "daemon/worker/worker-commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/text.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/spawn/errand.h"
#include "daemon/timer.h"
#include "daemon/worker/worker-plan.h"
#include "daemon/worker/worker.h"

struct WorkerCommands {
        Worker *worker; /* borrowed */
        const CommandList *list;
        const char *key;
        char **variables;
        uint64_t timeout_usec;
        WorkerCommandsHandler handler;
        void *userdata;
        size_t n_done;
        Errand *errand;
        sd_event_source *next;
        char why[256];
};

static sd_event *event_of(const WorkerCommands *c) {
        return c->worker->generation->service->manager->event;
}

static const Command *current(const WorkerCommands *c) {
        return &c->list->commands[c->n_done];
}

static int on_next(sd_event_source *source, uint64_t usec, void *userdata);

/* Also from a place that the caller must not be freed in. */
static void go_on(WorkerCommands *c) {
        (void) timer_arm(event_of(c), &c->next, 0, on_next, c);
}

/* @how  "exited with status 1" */
static void command_failed(WorkerCommands *c, const char *how) {
        const char *service = c->worker->build->service->name;
        LogFields fields = { .message_id = MESSAGE_COMMAND_FAILED,
                             .service = service,
                             .generation = c->worker->generation->number };

        log_fields(LOG_WARNING, &fields, "%s/%u worker %u: %s: %s %s%s", service,
                   c->worker->generation->number, c->worker->slot, c->key, current(c)->argv[0], how,
                   current(c)->may_fail ? ", ignoring" : "");
        if (!current(c)->may_fail)
                snprintf(c->why, sizeof(c->why), "%s %s", current(c)->argv[0], how);
}

static void on_errand(ErrandResult result, const char *how, void *userdata) {
        WorkerCommands *c = userdata;

        c->errand = errand_free(c->errand);
        if (result != ERRAND_OK)
                command_failed(c, how);
        c->n_done++;
        go_on(c);
}

static int start(WorkerCommands *c, const char **reterr_what) {
        WorkerPlan plan;
        int r;

        r = worker_plan_init(&plan, c->worker, current(c)->argv, c->variables, reterr_what);
        if (r >= 0)
                r = errand_new_by_plan(event_of(c), &plan.spawn, c->timeout_usec, on_errand, c,
                                       &c->errand, reterr_what);
        worker_plan_done(&plan);
        return r;
}

static int on_next(sd_event_source *source, uint64_t usec, void *userdata) {
        WorkerCommands *c = userdata;
        const char *what;
        char how[128];
        int r;

        c->next = timer_disarm(c->next);
        if (c->why[0] || c->n_done == c->list->n_commands) {
                c->handler(c->why[0] ? c->why : NULL, c->userdata);
                return 0;
        }

        r = start(c, &what);
        if (r < 0) {
                snprintf(how, sizeof(how), "could not be run: cannot %s it: %s", what,
                         strerror(-r));
                command_failed(c, how);
                c->n_done++;
                go_on(c);
        }

        return 0;
}

int worker_commands_new(Worker *w, const CommandList *list, const char *key, char **variables,
                        uint64_t timeout_usec, WorkerCommandsHandler handler, void *userdata,
                        WorkerCommands **ret) {
        WorkerCommands *c;

        c = calloc(1, sizeof(*c));
        if (!c) {
                strv_free(variables);
                return -ENOMEM;
        }

        c->worker = w;
        c->list = list;
        c->key = key;
        c->variables = variables;
        c->timeout_usec = timeout_usec;
        c->handler = handler;
        c->userdata = userdata;
        go_on(c);

        *ret = c;
        return 0;
}

WorkerCommands *worker_commands_free(WorkerCommands *c) {
        if (!c)
                return NULL;

        c->errand = errand_free(c->errand);
        c->next = timer_disarm(c->next);
        strv_free(c->variables);
        free(c);
        return NULL;
}
