#include "daemon/deploy/drain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/deploy/grace.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/sockdiag.h"
#include "daemon/manager.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"

/* Nobody has got anything through for 7 s. */
#define PATIENCE_RETRANSMISSIONS 3U

#define LOOK_MIN_USEC (1 * USEC_PER_MSEC)
#define LOOK_MAX_USEC (20 * USEC_PER_MSEC)

typedef enum DrainPhase {
        DRAIN_SETTLING,   /* the first grace period */
        DRAIN_HANDSHAKES, /* those of the snapshot */
        DRAIN_ARRIVING,   /* the second grace period */
        DRAIN_QUEUES,
        DRAIN_OVER,
} DrainPhase;

/* The handshakes of one address that were under way at the switch. */
typedef struct Snapshot {
        const ReuseGroup *group; /* borrowed */
        uint64_t *cookies;
        size_t n_cookies;
} Snapshot;

struct Drain {
        Service *service; /* borrowed */
        unsigned bank, first_slot, n_slots;
        DrainHandler handler;
        void *userdata;
        DrainPhase phase;
        Grace *grace;
        sd_event_source *deadline, *look;
        uint64_t look_usec;
        Snapshot *snapshots;
        size_t n_snapshots;
        unsigned n_waiting;
};

unsigned drain_n_waiting(const Drain *d) {
        return d->n_waiting;
}

static void end(Drain *d, bool in_time) {
        d->phase = DRAIN_OVER;
        d->grace = grace_free(d->grace);
        d->deadline = timer_disarm(d->deadline);
        d->look = timer_disarm(d->look);
        d->handler(in_time, d->userdata);
}

/* ---- handshakes ---- */

static int compare_cookies(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static int take_snapshot(Snapshot *s) {
        _cleanup_free_ HalfOpen *found = NULL;
        int n;

        n = sockdiag_find_half_open(reuse_group_address(s->group), &found);
        if (n < 0)
                return n;

        s->cookies = calloc((size_t) n + 1, sizeof(uint64_t));
        if (!s->cookies)
                return -ENOMEM;

        for (int i = 0; i < n; i++)
                if (found[i].n_retransmissions < PATIENCE_RETRANSMISSIONS)
                        s->cookies[s->n_cookies++] = found[i].cookie;
        qsort(s->cookies, s->n_cookies, sizeof(uint64_t), compare_cookies);
        return 0;
}

/* Keeps those that are still there. */
static int look_again(Snapshot *s) {
        _cleanup_free_ HalfOpen *found = NULL;
        size_t n_left = 0;
        int n;

        if (s->n_cookies == 0)
                return 0;

        n = sockdiag_find_half_open(reuse_group_address(s->group), &found);
        if (n < 0)
                return n;

        for (int i = 0; i < n; i++)
                if (found[i].n_retransmissions < PATIENCE_RETRANSMISSIONS &&
                    bsearch(&found[i].cookie, s->cookies, s->n_cookies, sizeof(uint64_t),
                            compare_cookies))
                        n_left++;

        /* None comes back, so the next look may compare with the same list. */
        if (n_left == 0)
                s->n_cookies = 0;
        return (int) n_left;
}

/* Returns how many are left.  What cannot be seen is not waited for: the deadline of the whole deploy
 * would pass, and the late ones are reset and counted all the same. */
static unsigned count_handshakes(Drain *d) {
        unsigned n = 0;

        for (size_t i = 0; i < d->n_snapshots; i++) {
                int r = look_again(&d->snapshots[i]);

                if (r > 0)
                        n += (unsigned) r;
                else if (r < 0)
                        log_warning("%s: cannot see the handshakes under way: %s",
                                    d->service->settings->name, reuse_strerror(r));
        }

        return n;
}

static int take_snapshots(Drain *d) {
        size_t n_groups = 0;
        int r;

        for (size_t i = 0; i < d->service->n_held; i++)
                n_groups += d->service->endpoints[i]->n_open;

        d->snapshots = calloc(n_groups + 1, sizeof(Snapshot));
        if (!d->snapshots)
                return -ENOMEM;

        for (size_t i = 0; i < d->service->n_held; i++) {
                const Endpoint *e = d->service->endpoints[i];

                for (size_t k = 0; k < e->n_open && e->settings->type == SOCK_STREAM; k++) {
                        Snapshot *s = &d->snapshots[d->n_snapshots++];

                        s->group = e->groups[k];
                        r = take_snapshot(s);
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}

/* ---- queues ---- */

static unsigned count_queues(const Drain *d) {
        unsigned n = 0;

        for (size_t i = 0; i < d->service->n_held; i++)
                for (unsigned slot = d->first_slot; slot < d->first_slot + d->n_slots; slot++)
                        n += endpoint_queue(d->service->endpoints[i], d->bank, slot);

        return n;
}

/* ---- the way ---- */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata);
static void on_grace(void *userdata);

static void look(Drain *d) {
        int r;

        d->n_waiting = d->phase == DRAIN_HANDSHAKES ? count_handshakes(d) : count_queues(d);
        if (d->n_waiting > 0) {
                r = timer_arm(d->service->manager->event, &d->look, d->look_usec, on_look, d);
                d->look_usec = d->look_usec * 2 < LOOK_MAX_USEC ? d->look_usec * 2 : LOOK_MAX_USEC;
                if (r < 0)
                        end(d, false);
                return;
        }

        if (d->phase == DRAIN_QUEUES) {
                end(d, true);
                return;
        }

        d->phase = DRAIN_ARRIVING;
        if (grace_new(d->service->manager->event, on_grace, d, &d->grace) < 0)
                end(d, false);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        look(userdata);
        return 0;
}

static void on_grace(void *userdata) {
        Drain *d = userdata;
        int r;

        d->grace = grace_free(d->grace);
        d->look_usec = LOOK_MIN_USEC;

        if (d->phase == DRAIN_SETTLING) {
                r = take_snapshots(d);
                if (r < 0)
                        log_warning("%s: cannot see the handshakes under way: %s",
                                    d->service->settings->name, reuse_strerror(r));
                d->phase = d->n_snapshots > 0 ? DRAIN_HANDSHAKES : DRAIN_QUEUES;
        } else
                d->phase = DRAIN_QUEUES;

        look(d);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        end(userdata, false);
        return 0;
}

int drain_new(Service *s, unsigned bank, unsigned first_slot, unsigned n_slots, uint64_t delay_usec,
              DrainHandler handler, void *userdata, Drain **ret) {
        _cleanup_(drain_freep) Drain *d = NULL;
        int r;

        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;

        d->service = s;
        d->bank = bank;
        d->first_slot = first_slot;
        d->n_slots = n_slots;
        d->handler = handler;
        d->userdata = userdata;

        r = timer_arm(s->manager->event, &d->deadline, delay_usec, on_deadline, d);
        if (r >= 0)
                r = grace_new(s->manager->event, on_grace, d, &d->grace);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(d);
        return 0;
}

Drain *drain_free(Drain *d) {
        if (!d)
                return NULL;

        d->grace = grace_free(d->grace);
        d->deadline = timer_disarm(d->deadline);
        d->look = timer_disarm(d->look);
        for (size_t i = 0; i < d->n_snapshots; i++)
                free(d->snapshots[i].cookies);
        free(d->snapshots);
        free(d);
        return NULL;
}
