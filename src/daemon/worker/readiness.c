#include "daemon/worker/readiness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "daemon/deploy/probe.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"
#include "daemon/worker/worker.h"

#define DATAGRAM_USEC (1 * USEC_PER_SEC)
#define AGAIN_USEC    (20 * USEC_PER_MSEC)

struct Readiness {
        Worker *worker;   /* borrowed */
        size_t endpoint;  /* of the service: which is being tried */
        unsigned address; /* of the endpoint */
        Probe *probe;
        sd_event_source *timer;
        char *why_not;
};

const char *readiness_why_not(const Readiness *r) {
        return r->why_not;
}

static int begin(Readiness *r);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Readiness *r = userdata;

        r->timer = timer_disarm(r->timer);
        if (r->endpoint >= r->worker->generation->n_endpoints)
                worker_on_accepted(r->worker);
        else
                (void) begin(r); /* else timeout_start ends it */
        return 0;
}

static int call_again(Readiness *r, uint64_t usec) {
        return timer_arm(r->worker->generation->service->manager->event, &r->timer, usec, on_timer,
                         r);
}

static void on_probed(const char *why, void *userdata) {
        Readiness *r = userdata;

        free(r->why_not);
        r->why_not = why ? strdup(why) : NULL;
        r->probe = probe_free(r->probe);

        if (!why)
                r->address++;
        (void) call_again(r, why ? AGAIN_USEC : 0);
}

/* The next address of streams that is to be tried; false when there is none. */
static bool find_next(Readiness *r) {
        const Generation *g = r->worker->generation;

        for (; r->endpoint < g->n_endpoints; r->endpoint++, r->address = 0)
                if (g->endpoints[r->endpoint]->settings->type == SOCK_STREAM &&
                    r->address < endpoint_n_groups(g->endpoints[r->endpoint], g->bank))
                        return true;

        return false;
}

static bool has_streams(const Generation *g) {
        for (size_t i = 0; i < g->n_endpoints; i++)
                if (g->endpoints[i]->settings->type == SOCK_STREAM)
                        return true;

        return false;
}

static int begin(Readiness *r) {
        const Generation *g = r->worker->generation;
        ProbePlan plan;

        if (!find_next(r))
                return call_again(r, has_streams(g) ? 0 : DATAGRAM_USEC);

        plan = (ProbePlan){
                .endpoint = g->endpoints[r->endpoint],
                .address = r->address,
                .bank = g->bank,
                .slot = r->worker->slot,
                .timeout_usec = USEC_INFINITY,
        };
        return probe_new(&plan, on_probed, r, &r->probe);
}

/* A visitor who woke it is served first: a probe behind him costs what he would wait. */
static bool somebody_waits(const Worker *w) {
        const Generation *g = w->generation;

        for (size_t i = 0; i < g->n_endpoints; i++)
                if (endpoint_queue(g->endpoints[i], g->bank, w->slot) > 0)
                        return true;

        return false;
}

int readiness_new(Worker *worker, Readiness **ret) {
        _cleanup_(readiness_freep) Readiness *r = NULL;
        int q;

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;

        r->worker = worker;
        q = somebody_waits(worker) ? call_again(r, AGAIN_USEC) : begin(r);
        if (q < 0)
                return q;

        *ret = TAKE_PTR(r);
        return 0;
}

Readiness *readiness_free(Readiness *r) {
        if (!r)
                return NULL;

        r->probe = probe_free(r->probe);
        r->timer = timer_disarm(r->timer);
        free(r->why_not);
        free(r);
        return NULL;
}
