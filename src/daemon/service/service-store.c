#include "daemon/service/service-store.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/endpoint/endpoint-look.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/service/store-queue.h"
#include "daemon/state/state-stored.h"
#include "daemon/store/fd-store.h"
#include "daemon/timer.h"
#include "daemon/worker/notify-message.h"

/* Half of what one variable of the environment may have: endpoints have names, too. */
#define NAMES_MAX_BYTES (FD_STORE_VARIABLE_MAX_BYTES / 2)

/* A worker that does not stop is not worth a line each time. */
#define COMPLAIN_USEC (10 * USEC_PER_SEC)

/* In one turn of the loop; the rest in the next. */
#define REMOVED_MAX 64U

struct ServiceStore {
        Service *service; /* borrowed */
        FdStore *fds;     /* those that are not in the store above us yet are the last */
        sd_event_source *hung;
        bool is_waited_for; /* a worker's message stays in its queue until all are there */
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

/* The name that it has in the state is no other's, and it leaves the store above us. */
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

/* Whether its other end is gone already: it would be dropped in the next turn. */
static bool has_hung_up(int fd) {
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Of endpoints that only its generations still hold. */
static bool holds_socket(const Service *s, ino_t inode) {
        for (size_t i = s->n_endpoints; i < s->n_held; i++)
                if (endpoint_has_socket(s->endpoints[i], inode))
                        return true;

        return false;
}

/* Connections that came through one of ours are none, and are the most that a worker stores. */
static bool may_be_ours(int fd) {
        int type, is_listening, is_reusing;
        socklen_t size = sizeof(int);

        if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &is_reusing, &size) < 0 || !is_reusing)
                return false;

        size = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
                return true;
        size = sizeof(int);
        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) < 0 || is_listening;
}

/* Each worker is given its own anyway; and in the store it would be read by nobody, and hold the port when
 * the endpoint is long gone. */
static bool is_ours(const Manager *m, int fd) {
        const Service *s;
        struct stat st;

        if (!may_be_ours(fd) || fstat(fd, &st) < 0)
                return false;

        for (size_t i = 0; i < m->n_endpoints; i++)
                if (endpoint_has_socket(m->endpoints[i], st.st_ino))
                        return true;
        for (size_t i = 0; i < m->n_services; i++)
                if (holds_socket(m->services[i], st.st_ino))
                        return true;
        LIST_FOREACH(s, &m->leaving, leaving_others)
                if (holds_socket(s, st.st_ino))
                        return true;

        return false;
}

int service_store_put(Service *s, size_t n_max, const char *name, bool is_polled, int fd) {
        int r;

        r = s->store ? 0 : make(s);
        if (r < 0 || (is_polled && has_hung_up(fd))) {
                fd_close_foreign(fd);
                return r;
        }

        return fd_store_put(s->store->fds, n_max, name, is_polled, fd);
}

static const char *reason(int error) {
        switch (error) {
        case -ENOSPC:
                return "No space left on device; fd_store_max says how many";
        case -E2BIG:
                return "Argument list too long; their names are too long together";
        case -EEXIST:
                return "It is a socket that each worker is given anyway";
        case -EXFULL:
                return "The store above us has no more room beside what we need; see store_max";
        case -EAGAIN:
                return "The store above us is not read";
        default:
                return strerror(-error);
        }
}

static void refuse(Service *s, size_t n, int error) {
        LogFields fields = { .service = s->settings->name };

        if (!s->store && make(s) < 0)
                return;

        s->store->n_refused += n;
        if (s->store->complained_usec > 0 && now_usec() - s->store->complained_usec < COMPLAIN_USEC)
                return;

        s->store->complained_usec = now_usec();
        log_fields(LOG_WARNING, &fields, "%s: a worker stores more than is kept: %s",
                   s->settings->name, reason(error));
}

/* What is beyond the limit is not even looked at: to close it is cheap, and all that a flood may cost. */
static void put_all(Service *s, size_t n_max, NotifyMessage *m) {
        for (size_t i = 0; i < m->n_fds; i++) {
                int r = -ENOSPC;

                if (service_store_n(s) < n_max) {
                        if (is_ours(s->manager, m->fds[i])) {
                                refuse(s, 1, -EEXIST);
                                continue;
                        }
                        r = service_store_put(s, n_max, m->fd_name, !m->is_unpolled,
                                              TAKE_FD(m->fds[i]));
                }
                if (r < 0) {
                        refuse(s, m->n_fds - i, r);
                        return;
                }
        }
}

/* ---- to the store above us ---- */

/* The first that is not there; @ret_i only if there is one.  Nobody comes back for what a service has that
 * leaves. */
static bool find_pending(const Service *s, size_t *ret_i) {
        const State *st = s->manager->state;
        size_t n = service_store_n(s), i = n;

        if (!state_has_store(st) || s->is_leaving)
                return false;

        while (i > 0 && !state_stored_has(st, fd_store_fd(s->store->fds, i - 1)))
                i--;
        if (i < n)
                *ret_i = i;
        return i < n;
}

int service_store_put_above(Service *s) {
        const FdStore *fds;
        size_t i;
        int r;

        if (!find_pending(s, &i))
                return 0;

        fds = s->store->fds;
        r = state_stored_put(s->manager->state, s, fd_store_fd(fds, i), fd_store_name(fds, i),
                             fd_store_is_polled(fds, i));
        if (r == -EAGAIN)
                return r;
        if (r < 0) {
                fd_store_drop(s->store->fds, fd_store_fd(fds, i));
                refuse(s, 1, r);
        }
        return 1;
}

void service_store_give_up(Service *s) {
        size_t i, n = 0;

        for (; find_pending(s, &i); n++)
                fd_store_drop(s->store->fds, fd_store_fd(s->store->fds, i));
        if (n > 0)
                refuse(s, n, -EAGAIN);
}

void service_store_tell(Service *s) {
        size_t i;

        if (!s->store || !s->store->is_waited_for || find_pending(s, &i))
                return;

        s->store->is_waited_for = false;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_on_stored(s->banks[bank]);
}

bool service_store_is_meant(const Service *s, size_t n_max, const NotifyMessage *m) {
        return (m->is_store && n_max > 0) || (m->is_store_remove && s->store);
}

StoreProgress service_store_obey(Service *s, size_t n_max, NotifyMessage *m) {
        StoreQueue *q = s->manager->store_queue;
        size_t i;

        if (m->is_store_remove && s->store) {
                if (fd_store_remove(s->store->fds, m->fd_name, REMOVED_MAX) == REMOVED_MAX)
                        return STORE_UNFINISHED;
        } else if (m->is_store && n_max > 0)
                put_all(s, n_max, m);

        store_queue_run(q);
        if (!find_pending(s, &i))
                return STORE_DONE;

        store_queue_wake(q);
        s->store->is_waited_for = true;
        return STORE_WAITS;
}

void service_store_resume(Service *s) {
        while (s->store && fd_store_drop_hung(s->store->fds) > 0)
                ;
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
