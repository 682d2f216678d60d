#include "daemon/endpoint/held.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/proc.h"
#include "daemon/manager.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"

struct HeldLook {
        Service *service; /* borrowed */
        unsigned generation;
        SocketHolder *sockets;
        size_t n_sockets;
        DIR *proc;
        sd_event_source *more;
};

HeldLook *held_look_free(HeldLook *l) {
        if (!l)
                return NULL;

        l->more = sd_event_source_disable_unref(l->more);
        if (l->proc)
                (void) closedir(l->proc);
        free(l->sockets);
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

static bool is_told(const HeldLook *l, size_t n, pid_t pid) {
        for (size_t i = 0; i < n; i++)
                if (l->sockets[i].pid == pid)
                        return true;

        return false;
}

static void finish(HeldLook *l) {
        Service *s = l->service;

        for (size_t i = 0; i < l->n_sockets; i++)
                if (l->sockets[i].pid > 0 && !is_told(l, i, l->sockets[i].pid))
                        tell(l, &l->sockets[i]);

        s->held = held_look_free(l);
}

/* One process.  We have our own copies, and so has a store above us. */
static int on_more(sd_event_source *source, void *userdata) {
        HeldLook *l = userdata;
        struct dirent *entry = readdir(l->proc);
        pid_t pid = entry && isdigit((unsigned char) entry->d_name[0]) ? atoi(entry->d_name) : 0;

        if (!entry)
                finish(l);
        else if (pid > 0 && pid != getpid() && pid != getppid())
                proc_look_into(pid, l->sockets, l->n_sockets);
        return 0;
}

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
        l->proc = list_sockets(l, g) < 0 ? NULL : opendir("/proc");
        if (!l->proc || sd_event_add_defer(s->manager->event, &l->more, on_more, l) < 0 ||
            sd_event_source_set_enabled(l->more, SD_EVENT_ON) < 0 ||
            sd_event_source_set_priority(l->more, SD_EVENT_PRIORITY_IDLE) < 0) {
                (void) held_look_free(l); /* without memory or descriptors nobody is told */
                return;
        }

        s->held = l;
}
