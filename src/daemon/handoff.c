#include "daemon/handoff.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/endpoint.h"
#include "daemon/generation.h"
#include "daemon/service.h"
#include "daemon/spawn.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Appends "NAME=value". */
_printf_(2, 3) static int put(char ***environment, const char *format, ...) {
        va_list arguments;
        char *word;
        int n;

        va_start(arguments, format);
        n = vasprintf(&word, format, arguments);
        va_end(arguments);
        if (n < 0)
                return -ENOMEM;

        return strv_consume(environment, word);
}

/* What every program may want to know, and nothing of what we were started with. */
static int put_basics(const ServiceSettings *s, char ***environment) {
        static const char *const inherited[] = { "LANG", "TZ" };
        int r;

        r = put(environment, "PATH=%s", getenv("PATH") ?: DEFAULT_PATH);
        for (size_t i = 0; i < ELEMENTS_OF(inherited) && r >= 0; i++)
                if (getenv(inherited[i]))
                        r = put(environment, "%s=%s", inherited[i], getenv(inherited[i]));

        if (r >= 0 && s->user_name)
                r = put(environment, "USER=%s", s->user_name);
        if (r >= 0 && s->user_name)
                r = put(environment, "LOGNAME=%s", s->user_name);
        if (r >= 0 && s->home)
                r = put(environment, "HOME=%s", s->home);

        return r;
}

/* What the settings say wins over what we say of the program's surroundings. */
static int put_own(const Build *build, char ***environment) {
        STRV_FOREACH(word, build->environment) {
                size_t length = (size_t) (strchrnul(*word, '=') - *word) + 1;
                char **old = *environment;
                char *copy = strdup(*word);

                if (!copy)
                        return -ENOMEM;

                while (old && *old && strncmp(*old, *word, length) != 0)
                        old++;
                if (old && *old) {
                        free(*old);
                        *old = copy;
                        continue;
                }

                if (strv_consume(environment, copy) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static int put_address(const Endpoint *e, char ***environment) {
        _cleanup_free_ char *name = strdup(e->settings->name), *addresses = endpoint_addresses(e);

        if (!name || !addresses)
                return -ENOMEM;

        for (char *c = name; *c; c++)
                *c = *c == '-' ? '_' : (char) toupper((unsigned char) *c);

        return put(environment, "REUSEPORTD_ADDRESS_%s=%s", name, addresses);
}

static int put_place(const Generation *g, unsigned slot, char ***environment) {
        const Service *s = g->service;
        int r;

        r = put(environment, "REUSEPORTD_SERVICE=%s", s->settings->name);
        if (r >= 0)
                r = put(environment, "REUSEPORTD_GENERATION=%u", g->number);
        if (r >= 0)
                r = put(environment, "REUSEPORTD_COLOR=%s", generation_color(g));
        if (r >= 0)
                r = put(environment, "REUSEPORTD_WORKER=%u", slot);
        for (size_t i = 0; i < s->n_endpoints && r >= 0; i++)
                r = put_address(s->endpoints[i], environment);

        return r;
}

/* sd_listen_fds(3). */
static int put_listen_fds(const Generation *g, const Handoff *h, char ***environment) {
        const Service *s = g->service;
        _cleanup_free_ char *names = NULL;
        size_t size = 0;
        FILE *stream;
        int r;

        stream = open_memstream(&names, &size);
        if (!stream)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_endpoints; i++)
                for (size_t k = 0; k < s->endpoints[i]->n_groups; k++)
                        fprintf(stream, "%s%s", i + k > 0 ? ":" : "",
                                s->endpoints[i]->settings->name);
        if (fclose(stream) != 0)
                return -ENOMEM;

        r = put(environment, "LISTEN_FDS=%zu", h->n_fds);
        if (r >= 0)
                r = put(environment, "LISTEN_PID=%s", SPAWN_PID_HOLE);
        if (r >= 0)
                r = put(environment, "LISTEN_FDNAMES=%s", names);

        return r;
}

/* sd_watchdog_enabled(3). */
static int put_watchdog(const ServiceSettings *s, char ***environment) {
        int r;

        if (s->watchdog_usec == 0)
                return 0;

        r = put(environment, "WATCHDOG_USEC=%" PRIu64, s->watchdog_usec);
        return r < 0 ? r : put(environment, "WATCHDOG_PID=%s", SPAWN_PID_HOLE);
}

int handoff_init(const Generation *g, const Build *build, unsigned slot, const char *notify_path,
                 Handoff *ret) {
        const Service *s = g->service;
        Handoff h = { 0 };
        size_t n_fds = 0;
        int r;

        for (size_t i = 0; i < s->n_endpoints; i++)
                n_fds += s->endpoints[i]->n_groups;

        h.fds = calloc(n_fds + 1, sizeof(int));
        if (!h.fds)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_endpoints; i++)
                endpoint_put_fds(s->endpoints[i], g->bank, slot, h.fds, &h.n_fds);

        r = put_basics(build->service, &h.environment);
        if (r >= 0)
                r = put_own(build, &h.environment);
        if (r >= 0)
                r = put_listen_fds(g, &h, &h.environment);
        if (r >= 0)
                r = put(&h.environment, "NOTIFY_SOCKET=%s", notify_path);
        if (r >= 0)
                r = put_watchdog(build->service, &h.environment);
        if (r >= 0)
                r = put_place(g, slot, &h.environment);
        if (r < 0) {
                handoff_done(&h);
                return r;
        }

        *ret = h;
        return 0;
}

void handoff_done(Handoff *h) {
        h->environment = strv_free(h->environment);
        free(h->fds);
        *h = (Handoff){ 0 };
}
