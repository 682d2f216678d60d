#include "daemon/service/service-store.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/state/state.h"
#include "daemon/store/fd-store.h"
#include "daemon/timer.h"
#include "daemon/worker/notify-message.h"

/* Half of what one variable of the environment may have: endpoints have names, too. */
#define NAMES_MAX_BYTES (FD_STORE_VARIABLE_MAX_BYTES / 2)

/* A worker that does not stop is not worth a line each time. */
#define COMPLAIN_USEC (10 * USEC_PER_SEC)

struct ServiceStore {
        Service *service; /* borrowed */
        FdStore *fds;
        sd_event_source *hung;
        uint64_t n_refused;
        uint64_t complained_usec; /* 0: never */
};

ServiceStore *service_store_free(ServiceStore *store) {
        if (!store)
                return NULL;

        store->hung = sd_event_source_disable_unref(store->hung);
        store->fds = fd_store_free(store->fds);
        free(store);
        return NULL;
}

/* The name that it has in the state is no other's. */
static void on_drop(int fd, void *userdata) {
        const ServiceStore *store = userdata;

        state_release_fd(store->service->manager->state, fd);
}

static int on_hung(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        ServiceStore *store = userdata;
        size_t n = fd_store_drop_hung(store->fds);

        log_debug("%s: %zu stored descriptors have hung up and were dropped",
                  store->service->settings->name, n);
        return 0;
}

static int make(Service *s) {
        ServiceStore *store;
        int r;

        store = calloc(1, sizeof(*store));
        if (!store)
                return -ENOMEM;

        store->service = s;
        r = fd_store_new(/* n_reserved= */ 0, NAMES_MAX_BYTES, &store->fds);
        if (r >= 0)
                fd_store_on_drop(store->fds, on_drop, store);
        if (r >= 0)
                r = sd_event_add_io(s->manager->event, &store->hung, fd_store_poll_fd(store->fds),
                                    EPOLLIN, on_hung, store);
        if (r < 0) {
                (void) service_store_free(store);
                return r;
        }

        s->store = store;
        return 0;
}

int service_store_put(Service *s, size_t n_max, const char *name, bool is_polled, int fd) {
        int r;

        r = s->store ? 0 : make(s);
        if (r < 0) {
                fd_close_foreign(fd);
                return r;
        }

        return fd_store_put(s->store->fds, n_max, name, is_polled, fd);
}

static void refuse(Service *s, size_t n, int error) {
        LogFields fields = { .service = s->settings->name };

        if (!s->store)
                return;

        s->store->n_refused += n;
        if (s->store->complained_usec > 0 && now_usec() - s->store->complained_usec < COMPLAIN_USEC)
                return;

        s->store->complained_usec = now_usec();
        log_fields(LOG_WARNING, &fields, "%s: a worker stores more than is kept: %s%s",
                   s->settings->name, strerror(-error),
                   error == -ENOSPC  ? "; fd_store_max says how many"
                   : error == -E2BIG ? "; their names are too long together"
                                     : "");
}

/* What is beyond the limit is not even looked at: to close it is cheap, and all that a flood may cost. */
static void put_all(Service *s, size_t n_max, NotifyMessage *m) {
        for (size_t i = 0; i < m->n_fds; i++) {
                int r = -ENOSPC;

                if (service_store_n(s) < n_max)
                        r = service_store_put(s, n_max, m->fd_name, !m->is_unpolled,
                                              TAKE_FD(m->fds[i]));
                if (r < 0) {
                        refuse(s, m->n_fds - i, r);
                        return;
                }
        }
}

void service_store_obey(Service *s, size_t n_max, NotifyMessage *m) {
        if (m->is_store_remove && s->store)
                (void) fd_store_remove(s->store->fds, m->fd_name);
        else if (m->is_store && n_max > 0)
                put_all(s, n_max, m);
}

static bool has_taker(const Service *s) {
        const Generation *g = service_current(s);
        size_t n_others = 0;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                n_others += s->banks[bank] && s->banks[bank] != g;

        if (n_others > 0 || s->deploy)
                return true;
        return g ? g->settings->fd_store_max > 0 : s->is_listening;
}

void service_store_update(Service *s) {
        if (s->store && !has_taker(s))
                s->store = service_store_free(s->store);
}

const FdStore *service_stored_fds(const Service *s) {
        return s->store ? s->store->fds : NULL;
}

size_t service_store_n(const Service *s) {
        return fd_store_n(service_stored_fds(s));
}

uint64_t service_store_n_refused(const Service *s) {
        return s->store ? s->store->n_refused : 0;
}
