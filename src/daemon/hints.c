#include "daemon/hints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "daemon/endpoint/connections.h"
#include "daemon/endpoint/endpoint-look.h"
#include "daemon/service/service-summary.h"
#include "daemon/timer.h"
#include "settings/preset.h"

/* In a row; one may be chance. */
#define FAILURES_MIN 3U

/* What a program that starts may take until we wonder. */
#define PATIENCE_USEC (2 * USEC_PER_SEC)

/* Each returns a sentence, the caller's, or NULL; there is no harm in one that memory was too short for. */
typedef char *(*Hint)(const Service *s);

static char *hint_failing(const Service *s) {
        const Generation *g = service_current(s);
        unsigned worst = 0;
        char *text;

        for (unsigned i = 0; g && i < g->n_slots; i++)
                if (g->slots[i].n_failures > worst)
                        worst = g->slots[i].n_failures;
        if (worst < FAILURES_MIN)
                return NULL;

        return asprintf(&text,
                        "workers end before they are ready, the last %u in a row; see: reuseportctl "
                        "logs %s",
                        worst, s->settings->name) < 0
                               ? NULL
                               : text;
}

static char *hint_failed(const Service *s) {
        char *text;

        if (service_state(s) != SERVICE_FAILED)
                return NULL;

        return asprintf(&text,
                        "nobody is left and the settings forbid another; see: reuseportctl logs %s, "
                        "then: reuseportctl start %s",
                        s->settings->name, s->settings->name) < 0
                               ? NULL
                               : text;
}

static char *hint_full_queue(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                EndpointLook look = endpoint_look(s->endpoints[i]);

                if (look.n_dropped == 0)
                        continue;
                return asprintf(&text,
                                "the kernel has dropped %llu visitors of endpoint %s, since a queue was "
                                "full: more workers, or a larger backlog (now %u)",
                                (unsigned long long) look.n_dropped,
                                s->endpoints[i]->settings->name, look.n_limit) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_strangers(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const Endpoint *e = s->endpoints[i];

                if (e->n_strangers == 0)
                        continue;
                return asprintf(&text,
                                "%u sockets at the address of endpoint %s are not ours and may get its "
                                "visitors; the log says whose they are",
                                e->n_strangers, e->settings->name) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_connected(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const Endpoint *e = s->endpoints[i];

                if (e->n_connected == 0)
                        continue;
                return asprintf(&text,
                                "%u datagram sockets of endpoint %s were connected by a worker, and others "
                                "have moved to their places: visitors are lost; take %s out of the "
                                "settings, reload, put it back, reload, and connect() only sockets of the "
                                "program's own",
                                e->n_connected, e->settings->name, e->settings->name) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_pending(const Service *s) {
        const Generation *g = service_current(s);
        _cleanup_strv_ char **keys = NULL;
        _cleanup_free_ char *list = NULL;
        char *text;

        if (!g || !g->is_outdated || service_list_pending(s, &keys) < 0)
                return NULL;

        list = strv_join(keys, ", ");
        return asprintf(&text,
                        "the configuration has changed in what only new workers can have (%s): "
                        "reuseportctl deploy %s",
                        list ?: "?", s->settings->name) < 0
                               ? NULL
                               : text;
}

static char *hint_refused_notifications(const Service *s) {
        uint64_t n = service_n_notifications_refused(s);
        char *text;

        if (n == 0)
                return NULL;

        return asprintf(&text,
                        "%llu messages of its workers to NOTIFY_SOCKET were refused: too long, empty, "
                        "with a NUL, or with descriptors that nobody asked for",
                        (unsigned long long) n) < 0
                               ? NULL
                               : text;
}

static char *hint_draining(const Service *s) {
        unsigned n = service_n_draining(s);
        char *text;

        if (n == 0)
                return NULL;

        return asprintf(&text,
                        "%u handshakes and connections are still waited for where no new ones are led "
                        "to; at most for drain_delay",
                        n) < 0
                               ? NULL
                               : text;
}

/* The shell has the pid that LISTEN_PID names, and the program, unless the shell becomes it, another. */
static char *hint_shell(const Service *s) {
        static const char *const shells[] = { "sh", "bash", "dash", "ash", "zsh", "ksh" };
        char *const *argv = s->settings->exec_start;
        const char *name;
        char *text;
        bool is_shell = false;

        if (!argv || s->settings->fd_protocol != FD_PROTOCOL_SYSTEMD)
                return NULL;

        name = strrchr(argv[0], '/');
        for (size_t i = 0; i < ELEMENTS_OF(shells); i++)
                is_shell = is_shell || strcmp(name ? name + 1 : argv[0], shells[i]) == 0;
        if (!is_shell || strv_length(argv) < 3 || strcmp(argv[1], "-c") != 0 ||
            strstr(argv[2], "exec "))
                return NULL;

        return asprintf(&text,
                        "exec_start is a shell whose program has another pid than LISTEN_PID says, and "
                        "takes no sockets: write \"exec PROGRAM\" in it, or run the program without one") <
                                               0
                               ? NULL
                               : text;
}

/* Whose own configuration says something else listens elsewhere, or nowhere. */
static char *hint_never_accepts(const Service *s) {
        const Preset *preset = s->settings->preset ? preset_find(s->settings->preset) : NULL;
        const Generation *g = service_current(s);
        _cleanup_free_ char *addresses = NULL;
        char *text;

        for (unsigned i = 0; g && i < g->n_slots; i++) {
                const Worker *w = g->slots[i].worker;

                if (!w || !w->readiness || now_usec() - w->since_usec < PATIENCE_USEC)
                        continue;

                addresses = endpoint_addresses(s->endpoints[0]);
                return asprintf(&text,
                                "worker %u runs and has accepted nobody: is %s exactly what its own "
                                "configuration says, and does it take sockets by fd_protocol?%s%s",
                                i, addresses ?: "the endpoint", preset ? "  It needs: " : "",
                                preset ? preset->advice : "") < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static unsigned queue_of(const Service *s, unsigned bank, unsigned slot) {
        unsigned n = 0;

        for (size_t i = 0; i < s->n_endpoints; i++)
                if (s->endpoints[i]->settings->type == SOCK_STREAM)
                        n += endpoint_queue(s->endpoints[i], bank, slot);

        return n;
}

/* It says READY=1 and then takes nobody.  Who waits is connected too, but who was accepted does not wait. */
static char *hint_ready_only(const Service *s) {
        const Generation *g = service_current(s);
        uint64_t n_connected[REUSE_BANKS_MAX];
        unsigned n_waiting = 0;
        char *text;

        for (unsigned i = 0; g && i < g->n_slots; i++) {
                const Worker *w = g->slots[i].worker;

                if (w && w->state == WORKER_READY && now_usec() - w->since_usec >= PATIENCE_USEC)
                        n_waiting += queue_of(s, g->bank, i);
        }
        if (n_waiting == 0 || connections_count(s, n_connected) < 0 ||
            n_connected[g->bank] > n_waiting)
                return NULL;

        return asprintf(&text,
                        "its workers say that they are ready, and %u connections wait of which none is "
                        "accepted: type = \"exec\" would not call them ready; does the program read the "
                        "sockets that it is given?",
                        n_waiting) < 0
                               ? NULL
                               : text;
}

static char *hint_backlog(const Service *s) {
        char *text;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const EndpointSettings *e = s->endpoints[i]->settings;

                if (e->type != SOCK_STREAM || e->backlog == 0 || e->backlog <= reuse_somaxconn())
                        continue;
                return asprintf(&text,
                                "backlog = %d of endpoint %s is cut to net.core.somaxconn = %d; raise "
                                "that, or lower it",
                                e->backlog, e->name, reuse_somaxconn()) < 0
                                       ? NULL
                                       : text;
        }

        return NULL;
}

static char *hint_cutting_signal(const Service *s) {
        const Preset *preset = s->settings->preset ? preset_find(s->settings->preset) : NULL;
        char name[32], *text;

        if (!preset || !preset_cuts(preset, s->settings->kill_signal))
                return NULL;

        return asprintf(&text,
                        "kill_signal = %s cuts the requests of %s in the middle; %s, which the preset "
                        "sets, lets them be finished",
                        format_signal(s->settings->kill_signal, name, sizeof(name)), preset->name,
                        preset->kill_signal) < 0
                               ? NULL
                               : text;
}

static const Hint hints[] = {
        hint_failed,
        hint_strangers,
        hint_connected,
        hint_pending,
        hint_failing,
        hint_shell,
        hint_never_accepts,
        hint_ready_only,
        hint_full_queue,
        hint_backlog,
        hint_cutting_signal,
        hint_draining,
        hint_refused_notifications,
};

int hints_list(const Service *s, char ***ret) {
        _cleanup_strv_ char **list = NULL;

        for (size_t i = 0; i < ELEMENTS_OF(hints); i++) {
                char *text = hints[i](s);
                int r;

                if (!text)
                        continue;
                r = strv_consume(&list, text);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(list);
        return 0;
}
