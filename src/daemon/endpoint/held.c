#include "daemon/endpoint/held.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/proc.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"

#define AFTER_USEC (1 * USEC_PER_SEC)
#define TOLD_MAX   16U /* processes that are named */

struct HeldLook {
        Service *service; /* borrowed */
        unsigned generation, bank;
        SocketHolder *sockets;
        size_t n_sockets;
        pid_t *workers; /* ours, sorted, as they were when the walk began */
        size_t n_workers;
        unsigned n_told; /* processes that hold some of them */
        DIR *proc;
        sd_event_source *timer, *more;
};

HeldLook *held_look_free(HeldLook *l) {
        if (!l)
                return NULL;

        l->timer = timer_disarm(l->timer);
        l->more = sd_event_source_disable_unref(l->more);
        if (l->proc)
                (void) closedir(l->proc);
        free(l->sockets);
        free(l->workers);
        free(l);
        return NULL;
}

static void tell(const HeldLook *l, const SocketHolder *h) {
        const char *service = l->service->settings->name;
        LogFields fields = { .service = service,
                             .generation = l->generation,
                             .worker_pid = h->pid };

        log_fields(LOG_WARNING, &fields,
                   "%s: pid %d (%s) still holds a socket of generation %u, which is gone: one of its workers "
                   "has left it behind, and it may take visitors that are not its own; end it",
                   service, (int) h->pid, h->name, l->generation);
}

/* Of the process that was just looked into.  Another may hold the same socket: the next generations in that
 * bank have had it, too. */
static void tell_and_forget(HeldLook *l) {
        bool is_told = false;

        for (size_t i = 0; i < l->n_sockets; i++) {
                if (l->sockets[i].pid == 0)
                        continue;
                if (!is_told && l->n_told++ < TOLD_MAX)
                        tell(l, &l->sockets[i]);
                is_told = true;
                l->sockets[i].pid = 0;
        }
}

static void finish(HeldLook *l) {
        Service *s = l->service;

        if (l->n_told > TOLD_MAX)
                log_warning("%s: so do %u others", s->settings->name, l->n_told - TOLD_MAX);
        log_debug("%s: looked for holders of the sockets of generation %u", s->settings->name,
                  l->generation);
        s->held = held_look_free(l);
}

/* ---- the walk ---- */

static int compare_pids(const void *p, const void *q) {
        const pid_t *a = p, *b = q;

        return (*a > *b) - (*a < *b);
}

static int add_workers(HeldLook *l, const Service *s) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                const Generation *g = s->banks[bank];
                pid_t *more;

                if (!g || g->n_places == 0)
                        continue;
                more = reallocarray(l->workers, l->n_workers + g->n_places, sizeof(pid_t));
                if (!more)
                        return -ENOMEM;

                l->workers = more;
                for (unsigned i = 0; i < g->n_places; i++)
                        if (g->slots[i].worker)
                                l->workers[l->n_workers++] = g->slots[i].worker->pid;
        }

        return 0;
}

static int list_workers(HeldLook *l) {
        const Manager *m = l->service->manager;
        int r = 0;

        for (size_t i = 0; i < m->n_services && r >= 0; i++)
                r = add_workers(l, m->services[i]);
        if (l->n_workers > 0)
                qsort(l->workers, l->n_workers, sizeof(pid_t), compare_pids);

        return r;
}

/* We have our own copies, and so has a store above us. */
static bool may_have_them(const HeldLook *l, pid_t pid) {
        return pid != getpid() && pid != getppid() &&
               (l->n_workers == 0 ||
                !bsearch(&pid, l->workers, l->n_workers, sizeof(pid_t), compare_pids));
}

/* One process. */
static int on_more(sd_event_source *source, void *userdata) {
        HeldLook *l = userdata;
        struct dirent *entry = readdir(l->proc);
        pid_t pid = entry && isdigit((unsigned char) entry->d_name[0]) ? atoi(entry->d_name) : 0;

        if (!entry)
                finish(l);
        else if (pid > 0 && may_have_them(l, pid)) {
                proc_look_into(pid, l->sockets, l->n_sockets);
                tell_and_forget(l);
        }
        return 0;
}

static int begin(HeldLook *l) {
        int r;

        r = list_workers(l);
        if (r < 0)
                return r;

        l->proc = opendir("/proc");
        if (!l->proc)
                return -errno;

        r = sd_event_add_defer(l->service->manager->event, &l->more, on_more, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->more, SD_EVENT_ON);
        if (r >= 0)
                r = sd_event_source_set_priority(l->more, SD_EVENT_PRIORITY_IDLE);
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HeldLook *l = userdata;
        Service *s = l->service;

        if (s->manager->is_stopping || begin(l) < 0) /* without memory nobody is told */
                s->held = held_look_free(l);
        return 0;
}

/* ---- what is looked for ---- */

static size_t n_sockets_of(const Generation *g) {
        size_t n = 0;

        for (size_t i = 0; i < g->n_endpoints; i++)
                n += endpoint_n_groups(g->endpoints[i], g->bank) * g->n_places;

        return n;
}

static int list_sockets(HeldLook *l, const Generation *g) {
        size_t n_max = n_sockets_of(g), n = 0;
        int *fds = calloc(n_max + 1, sizeof(int));

        l->sockets = calloc(n_max + 1, sizeof(SocketHolder));
        for (size_t i = 0; fds && l->sockets && i < g->n_endpoints; i++)
                for (unsigned slot = 0; slot < g->n_places; slot++)
                        endpoint_put_fds(g->endpoints[i], g->bank, slot, fds, &n);

        for (size_t i = 0; i < n; i++) {
                struct stat st;

                if (fds[i] >= 0 && fstat(fds[i], &st) >= 0)
                        l->sockets[l->n_sockets++].inode = (uint32_t) st.st_ino;
        }

        free(fds);
        return l->n_sockets > 0 ? 0 : -ENOMEM;
}

void held_look(Service *s, const Generation *g) {
        HeldLook *l;

        s->held = held_look_free(s->held);
        if (s->manager->is_stopping)
                return;

        l = calloc(1, sizeof(*l));
        if (!l)
                return;

        l->service = s;
        l->generation = g->number;
        l->bank = g->bank;
        if (list_sockets(l, g) < 0 ||
            timer_arm(s->manager->event, &l->timer, AFTER_USEC, on_timer, l) < 0) {
                (void) held_look_free(l);
                return;
        }

        s->held = l;
}

void held_forget(Service *s, unsigned bank) {
        if (s->held && s->held->bank == bank)
                s->held = held_look_free(s->held);
}
