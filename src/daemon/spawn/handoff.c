#include "daemon/spawn/handoff.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/service/generation.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service.h"
#include "daemon/spawn/fd-protocol.h"
#include "daemon/spawn/spawn.h"
#include "settings/template.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* What is needed to make one. */
typedef struct Job {
        const Service *service;
        Endpoint *const *endpoints; /* of the generation */
        size_t n_endpoints;
        unsigned number, bank; /* of the generation */
        const Build *build;
        unsigned slot;
        const char *notify_path;
        PassedSocket *sockets;
        uint16_t *ports;
        size_t n_sockets;
        const FdStore *stored; /* NULL: nothing is, or its settings have no store */
        TemplateContext templates;
} Job;

/* What every program may want to know, and nothing of what we were started with. */
static int put_basics(char ***environment) {
        static const char *const inherited[] = { "LANG", "TZ" };
        int r;

        r = environment_put(environment, "PATH=%s", getenv("PATH") ?: DEFAULT_PATH);
        for (size_t i = 0; i < ELEMENTS_OF(inherited) && r >= 0; i++)
                if (getenv(inherited[i]))
                        r = environment_put(environment, "%s=%s", inherited[i],
                                            getenv(inherited[i]));

        return r;
}

static int put_user(const ServiceSettings *s, char ***environment) {
        int r = 0;

        if (s->user_name)
                r = environment_put(environment, "USER=%s", s->user_name);
        if (r >= 0 && s->user_name)
                r = environment_put(environment, "LOGNAME=%s", s->user_name);
        if (r >= 0 && s->home)
                r = environment_put(environment, "HOME=%s", s->home);

        return r;
}

/* What the settings say wins over what we say of the program's surroundings. */
static int put_own(const Job *j, char ***environment) {
        STRV_FOREACH(word, j->build->environment) {
                char *expanded;
                int r;

                r = template_expand(*word, &j->templates, &expanded);
                if (r >= 0)
                        r = strv_consume_variable(environment, expanded);
                if (r < 0)
                        return r;
        }

        return 0;
}

int handoff_put_address(const Endpoint *e, char ***environment) {
        _cleanup_free_ char *name = strdup(e->settings->name), *addresses = endpoint_addresses(e);

        if (!name || !addresses)
                return -ENOMEM;

        for (char *c = name; *c; c++)
                *c = *c == '-' ? '_' : (char) toupper((unsigned char) *c);

        return environment_put(environment, "REUSEPORTD_ADDRESS_%s=%s", name, addresses);
}

static int put_place(const Job *j, char ***environment) {
        int r;

        r = environment_put(environment, "REUSEPORTD_SERVICE=%s", j->service->settings->name);
        if (r >= 0)
                r = environment_put(environment, "REUSEPORTD_GENERATION=%u", j->number);
        if (r >= 0)
                r = environment_put(environment, "REUSEPORTD_COLOR=%s", bank_color(j->bank));
        if (r >= 0)
                r = environment_put(environment, "REUSEPORTD_WORKER=%u", j->slot);
        return r;
}

int handoff_put_place(const Generation *g, unsigned slot, char ***environment) {
        const Job j = { .service = g->service, .number = g->number, .bank = g->bank, .slot = slot };

        return put_place(&j, environment);
}

static int put_addresses(const Job *j, char ***environment) {
        for (size_t i = 0; i < j->n_endpoints; i++) {
                int r = handoff_put_address(j->endpoints[i], environment);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* sd_watchdog_enabled(3). */
static int put_watchdog(const ServiceSettings *s, char ***environment) {
        int r;

        if (s->watchdog_usec == 0)
                return 0;

        r = environment_put(environment, "WATCHDOG_USEC=%" PRIu64, s->watchdog_usec);
        return r < 0 ? r : environment_put(environment, "WATCHDOG_PID=%s", SPAWN_PID_HOLE);
}

static int make_environment(const Job *j, char ***environment) {
        const ServiceSettings *s = j->build->service;
        int r;

        r = put_basics(environment);
        if (r >= 0)
                r = put_user(s, environment);
        if (r >= 0)
                r = put_own(j, environment);
        if (r >= 0)
                r = put_place(j, environment);
        if (r >= 0)
                r = put_addresses(j, environment);
        if (r < 0 || !j->notify_path)
                return r;

        r = fd_protocol_put(s->fd_protocol, j->sockets, j->n_sockets, j->stored, environment);
        if (r >= 0)
                r = environment_put(environment, "NOTIFY_SOCKET=%s", j->notify_path);
        if (r >= 0 && s->fd_store_max > 0)
                r = environment_put(environment, "FDSTORE=%d", s->fd_store_max);
        if (r >= 0)
                r = put_watchdog(s, environment);

        return r;
}

/* How many the build's templates may speak of, when a reload has brought other endpoints since. */
static size_t n_addresses(const ServiceSettings *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n_endpoints; i++)
                n += s->endpoints[i]->n_addresses;

        return n;
}

/* Which descriptors, and what is said of them. */
static int list_sockets(Job *j) {
        int first_fd = fd_protocol_first_fd(j->build->service->fd_protocol);
        size_t n = n_addresses(j->build->service);

        for (size_t i = 0; i < j->n_endpoints; i++)
                n += endpoint_n_groups(j->endpoints[i], j->bank);

        j->sockets = calloc(n + 1, sizeof(PassedSocket));
        j->ports = calloc(n + 1, sizeof(uint16_t));
        if (!j->sockets || !j->ports)
                return -ENOMEM;

        for (size_t i = 0; i < j->n_endpoints; i++)
                for (unsigned k = 0; k < endpoint_n_groups(j->endpoints[i], j->bank); k++) {
                        const Endpoint *e = j->endpoints[i];
                        const ReuseAddress *a = reuse_group_address(endpoint_group(e, j->bank, k));

                        j->ports[j->n_sockets] = reuse_address_port(a);
                        j->sockets[j->n_sockets] = (PassedSocket){ e, a,
                                                                   first_fd + (int) j->n_sockets };
                        j->n_sockets++;
                }

        j->templates = (TemplateContext){
                .service = j->build->service,
                .generation = j->number,
                .color = bank_color(j->bank),
                .worker = j->slot,
                .first_fd = first_fd,
                .ports = j->ports,
        };
        return 0;
}

static int take_fds(const Job *j, Handoff *h) {
        h->fds = calloc(j->n_sockets + fd_store_n(j->stored) + 1, sizeof(int));
        if (!h->fds)
                return -ENOMEM;

        for (size_t i = 0; i < j->n_endpoints; i++)
                endpoint_put_fds(j->endpoints[i], j->bank, j->slot, h->fds, &h->n_fds);
        for (size_t i = 0; i < fd_store_n(j->stored); i++)
                h->fds[h->n_fds++] = fd_store_fd(j->stored, i);

        if (j->templates.first_fd == 0) { /* and the settings saw to it that it is the only one */
                h->stdin_fd = h->fds[0];
                h->n_fds = 0;
        }

        return 0;
}

static int make(const Job *j, Handoff *h) {
        const Build *b = j->build;
        int r;

        r = make_environment(j, &h->environment);
        if (r >= 0 && b->working_directory)
                r = (h->working_directory = strdup(b->working_directory)) ? 0 : -ENOMEM;
        else if (r >= 0 && b->service->working_directory)
                r = template_expand(b->service->working_directory, &j->templates,
                                    &h->working_directory);
        if (r < 0 || !j->notify_path)
                return r;

        r = template_expand_list(b->arguments, &j->templates, &h->arguments);
        return r < 0 ? r : take_fds(j, h);
}

int handoff_init(const Generation *g, const Build *build, unsigned slot, const char *notify_path,
                 Handoff *ret) {
        Job j = {
                .service = g->service,
                .endpoints = g->endpoints,
                .n_endpoints = g->n_endpoints,
                .number = g->number,
                .bank = g->bank,
                .build = build,
                .slot = slot,
                .notify_path = notify_path,
        };
        Handoff h = { .stdin_fd = -EBADF };
        int r;

        if (build->service->fd_store_max > 0)
                j.stored = service_stored_fds(g->service);

        r = list_sockets(&j);
        if (r >= 0)
                r = make(&j, &h);
        free(j.sockets);
        free(j.ports);
        if (r < 0) {
                handoff_done(&h);
                return r;
        }

        *ret = h;
        return 0;
}

int handoff_make_environment(const Service *s, const Build *build, unsigned number, unsigned bank,
                             unsigned slot, char ***ret) {
        _cleanup_strv_ char **environment = NULL;
        Job j = {
                .service = s,
                .endpoints = s->endpoints,
                .n_endpoints = s->n_endpoints,
                .number = number,
                .bank = bank,
                .build = build,
                .slot = slot,
        };
        int r;

        r = list_sockets(&j);
        if (r >= 0)
                r = put_basics(&environment);
        if (r >= 0)
                r = put_own(&j, &environment);
        if (r >= 0)
                r = put_place(&j, &environment);
        if (r >= 0)
                r = put_addresses(&j, &environment);
        free(j.sockets);
        free(j.ports);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(environment);
        return 0;
}

void handoff_done(Handoff *h) {
        h->arguments = strv_free(h->arguments);
        h->environment = strv_free(h->environment);
        free(h->working_directory);
        free(h->fds);
        *h = (Handoff){ .stdin_fd = -EBADF };
}
