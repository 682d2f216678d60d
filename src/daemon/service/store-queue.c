#include "daemon/service/store-queue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/parse.h"
#include "daemon/keeper.h"
#include "daemon/manager.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service.h"
#include "daemon/state/state-stored.h"
#include "daemon/timer.h"

#define STEP_MAX  8U
#define HURRY_MAX 64U

/* The queue of messages to a keeper may be as short as ten. */
#define PAUSE_PER_FD_USEC 100U

/* systemd 252 needs 1.2 µs for each that it compares (k30): half of its time is left to it. */
#define PAUSE_PER_COMPARISON_USEC 2U

/* Between two attempts, while nobody reads there: process 1 may be busy reading all its units again. */
#define RETRY_USEC     (1 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (64 * USEC_PER_MSEC)
#define GIVE_UP_USEC   (2 * USEC_PER_SEC)

struct StoreQueue {
        Manager *manager;      /* borrowed */
        sd_event_source *next; /* armed: it pauses, or there is something to do */
        size_t turn;           /* the service that comes next */
        uint64_t retry_usec;   /* 0: the last attempt was none too early */
        uint64_t stuck_since_usec;
        bool compares; /* whoever is above us */
        bool is_running;
};

/* ---- one step ---- */

/* Returns 1; 0: there is none; -EAGAIN. */
static int put_one(StoreQueue *q) {
        Manager *m = q->manager;
        int r;

        for (size_t i = 0; i < m->n_services; i++) {
                q->turn = (q->turn + 1) % m->n_services;
                r = service_store_put_above(m->services[q->turn]);
                if (r != 0)
                        return r;
        }

        return 0;
}

/* First what is to go.  Our own sockets, too: a worker may have stored one of them that is ours no more. */
static int do_some(StoreQueue *q, unsigned n_max, unsigned *ret_n) {
        State *st = q->manager->state;
        int r = 1;

        if (st->released.n > 0 && (state_flush(st) < 0 || st->released.n > 0))
                return -EAGAIN;

        for (*ret_n = 0; *ret_n < n_max && r > 0; *ret_n += r > 0) {
                r = state_stored_drop_one(st);
                if (r == 0)
                        r = put_one(q);
        }

        return r;
}

static void give_up(const Manager *m) {
        for (size_t i = 0; i < m->n_services; i++)
                service_store_give_up(m->services[i]);
}

/* Who waits for it goes on. */
static void tell(const Manager *m) {
        Service *s;

        for (size_t i = 0; i < m->n_services; i++)
                service_store_tell(m->services[i]);
        LIST_FOREACH(s, &m->leaving, leaving_others)
                service_store_tell(s);
}

/* Returns how long to wait from now on. */
static uint64_t wait_again(StoreQueue *q) {
        if (q->retry_usec == 0) {
                q->retry_usec = RETRY_USEC;
                q->stuck_since_usec = now_usec();
        } else if (q->retry_usec < RETRY_MAX_USEC)
                q->retry_usec *= 2;

        if (now_usec() - q->stuck_since_usec > GIVE_UP_USEC) {
                give_up(q->manager);
                q->stuck_since_usec = now_usec();
        }

        return q->retry_usec;
}

static int on_next(sd_event_source *source, uint64_t usec, void *userdata);

static void step(StoreQueue *q, unsigned n_max) {
        uint64_t per_fd_usec = PAUSE_PER_FD_USEC, begun_usec = now_usec(), took_usec, pause_usec;
        unsigned n = 0;
        int r;

        if (q->is_running) /* what it drops is done in the next */
                return;

        if (q->compares)
                per_fd_usec += PAUSE_PER_COMPARISON_USEC * q->manager->state->n_foreign;
        q->is_running = true;
        r = do_some(q, n_max, &n);
        q->is_running = false;

        /* Half of our time at most. */
        took_usec = now_usec() - begun_usec;
        pause_usec = n * per_fd_usec > took_usec ? n * per_fd_usec : took_usec;
        if (r >= 0)
                q->retry_usec = 0;
        if (n > 0 || r != 0)
                (void) timer_arm(q->manager->event, &q->next, r < 0 ? wait_again(q) : pause_usec,
                                 on_next, q);
        tell(q->manager);
}

static int on_next(sd_event_source *source, uint64_t usec, void *userdata) {
        step(userdata, STEP_MAX);
        return 0;
}

/* ---- from outside ---- */

static bool pauses(const StoreQueue *q) {
        return timer_deadline(q->next) != USEC_INFINITY;
}

void store_queue_wake(StoreQueue *q) {
        if (q && !pauses(q))
                (void) timer_arm(q->manager->event, &q->next, 0, on_next, q);
}

void store_queue_run(StoreQueue *q) {
        if (q && !pauses(q))
                step(q, STEP_MAX);
}

void store_queue_hurry(StoreQueue *q) {
        if (q && q->retry_usec == 0)
                step(q, HURRY_MAX);
}

int store_queue_new(Manager *m, StoreQueue **ret) {
        StoreQueue *q;

        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;

        q->manager = m;
        q->compares = !keeper_is_above();
        *ret = q;
        return 0;
}

StoreQueue *store_queue_free(StoreQueue *q) {
        if (!q)
                return NULL;

        q->next = timer_disarm(q->next);
        free(q);
        return NULL;
}
