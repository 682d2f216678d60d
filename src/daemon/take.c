#include "daemon/take.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "daemon/endpoint/taker.h"
#include "daemon/manager.h"
#include "daemon/spawn/handoff.h"
#include "daemon/why.h"

typedef struct Take {
        Manager *manager;
        const TakeRequest *request;
        char *unit; /* of the process; NULL: none */
} Take;

/* Of our own kind: a user's daemon knows the units of that user. */
static char *unit_of(const TakeRequest *q) {
        struct pollfd gone = { .fd = q->pidfd, .events = POLLIN };
        _cleanup_free_ char *unit = NULL;
        int r = geteuid() == 0 ? sd_pid_get_unit(q->pid, &unit)
                               : sd_pid_get_user_unit(q->pid, &unit);

        /* While it lives nobody else has its pid. */
        return r < 0 || poll(&gone, 1, 0) != 0 ? NULL : TAKE_PTR(unit);
}

static bool may_take(const TakeRequest *q, const Endpoint *e) {
        if (q->uid == 0 || q->uid == geteuid())
                return true;

        for (size_t i = 0; i < e->settings->n_allow_uids; i++)
                if (e->settings->allow_uids[i] == q->uid)
                        return true;

        return false;
}

/* The worker of the service that is backed by the unit of whoever asks. */
static const Worker *find_worker(const Service *s, const char *unit) {
        for (unsigned bank = 0; unit && bank < REUSE_BANKS_MAX; bank++) {
                const Generation *g = s->banks[bank];

                for (unsigned i = 0; g && i < g->n_places; i++) {
                        const Worker *w = g->slots[i].worker;

                        if (w && w->unit && strcmp(worker_unit_name(w->unit), unit) == 0)
                                return w;
                }
        }

        return NULL;
}

static int refuse_stranger(const Take *t, const Endpoint *e, char **reterr_why) {
        return why_say(reterr_why, -EACCES,
                       "access denied: uid %u may not take endpoint %s; name it in "
                       "endpoints.%s.allow_users",
                       t->request->uid, e->settings->name, e->settings->name);
}

static int refuse_belonging(const Take *t, const Endpoint *e, char **reterr_why) {
        const ServiceSettings *s = e->service->settings;

        if (!s->unit)
                return why_say(reterr_why, -EBUSY,
                               "endpoint %s belongs to service %s, whose workers reuseportd starts "
                               "itself",
                               e->settings->name, s->name);

        return why_say(reterr_why, -EBUSY,
                       "endpoint %s belongs to service %s, which hands it to %s when it starts that, "
                       "and %s%s is not being run by it; start it with: reuseportctl start %s",
                       e->settings->name, s->name, s->unit, t->unit ? "the unit " : "this process",
                       t->unit ?: "", s->name);
}

static int put(Taken *taken, const Endpoint *e, unsigned bank, unsigned slot, char **reterr_why) {
        size_t before = taken->n_fds;

        if (taken->n_fds + e->n_groups > TAKE_FDS_MAX)
                return why_say(reterr_why, -E2BIG,
                               "more than %u addresses do not fit into one message", TAKE_FDS_MAX);

        endpoint_put_fds(e, bank, slot, taken->fds, &taken->n_fds);
        for (size_t i = before; i < taken->n_fds; i++)
                taken->names[i] = endpoint_descriptor_name(e->settings);
        return handoff_put_address(e, &taken->environment);
}

static int take_of_service(const Take *t, const Endpoint *e, Taken *taken, char **reterr_why) {
        const Worker *w = find_worker(e->service, t->unit);
        int r;

        if (!w)
                return may_take(t->request, e) ? refuse_belonging(t, e, reterr_why)
                                               : refuse_stranger(t, e, reterr_why);
        if (!generation_holds(w->generation, e))
                return refuse_belonging(t, e, reterr_why);

        r = handoff_put_place(w->generation, w->slot, &taken->environment);
        return r < 0 ? r : put(taken, e, w->generation->bank, w->slot, reterr_why);
}

/* Whoever asks is noted before he has anything. */
static int note(const Take *t, Endpoint *e, char **reterr_why) {
        int pidfd;

        if (t->request->for_store && !t->unit)
                return why_say(reterr_why, -EINVAL,
                               "store: this process belongs to no unit of systemd; say it in "
                               "ExecStartPre=");
        if (t->request->for_store)
                return taker_add_unit(e, t->unit);

        pidfd = fcntl(t->request->pidfd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return pidfd < 0 ? -errno : taker_add_process(e, t->request->pid, pidfd);
}

static int take_free(const Take *t, Endpoint *e, Taken *taken, char **reterr_why) {
        int r;

        if (e->n_groups == 0 || t->manager->is_stopping)
                return why_say(reterr_why, -ESHUTDOWN, "reuseportd is stopping");

        r = put(taken, e, TAKER_BANK, TAKER_SLOT, reterr_why);
        if (r >= 0 && e->n_takers == 0)
                r = endpoint_set_nonblock(e, TAKER_BANK, TAKER_SLOT, false);
        if (r >= 0)
                r = note(t, e, reterr_why);
        if (r < 0 && !*reterr_why)
                return why_say(reterr_why, r, "endpoint %s cannot be handed out: %s",
                               e->settings->name,
                               r == -EUSERS ? "too many have taken it" : reuse_strerror(r));

        return r;
}

/* All are found and allowed before any is handed out. */
static int check(const Take *t, char **reterr_why) {
        STRV_FOREACH(name, t->request->endpoints) {
                Endpoint *e = manager_find_endpoint(t->manager, *name);

                if (!e)
                        return why_say(reterr_why, -ENOENT, "there is no endpoint \"%s\"", *name);
                if (!e->service && !may_take(t->request, e))
                        return refuse_stranger(t, e, reterr_why);
        }

        return 0;
}

int take(Manager *m, const TakeRequest *q, Taken *ret, char **reterr_why) {
        _cleanup_free_ char *unit = unit_of(q);
        const Take t = { m, q, unit };
        Taken taken = { 0 };
        int r;

        r = check(&t, reterr_why);
        STRV_FOREACH(name, q->endpoints) {
                Endpoint *e = manager_find_endpoint(m, *name);

                if (r >= 0)
                        r = e->service ? take_of_service(&t, e, &taken, reterr_why)
                                       : take_free(&t, e, &taken, reterr_why);
        }
        if (r < 0) {
                taken_done(&taken);
                return r;
        }

        *ret = taken;
        return 0;
}

void taken_done(Taken *t) {
        t->environment = strv_free(t->environment);
        t->n_fds = 0;
}

bool take_is_open(const Manager *m) {
        for (size_t i = 0; i < m->settings->n_services; i++)
                if (m->settings->services[i]->unit)
                        return true;
        for (size_t i = 0; i < m->settings->n_endpoints; i++)
                if (m->settings->endpoints[i]->n_allow_uids > 0)
                        return true;

        return false;
}
