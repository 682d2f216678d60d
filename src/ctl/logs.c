/* The journal knows more than we do. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/client.h"
#include "ctl/verb.h"

#define UNITS_MAX 64U

static const char *const colors[] = { "blue", "green", "amber", "violet" };

/* What stands in the name of a unit: endpoints.conf(5). */
typedef struct Place {
        const char *service, *color;
        json_int_t generation, worker;
} Place;

static char *expand(const char *unit, const Place *p) {
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        if (!to)
                return NULL;

        for (; *unit; unit++) {
                if (*unit != '%') {
                        putc(*unit, to);
                        continue;
                }
                switch (*++unit) {
                case 'n':
                        fputs(p->service, to);
                        break;
                case 'c':
                        fputs(p->color, to);
                        break;
                case 'g':
                        fprintf(to, "%" PRId64, (int64_t) p->generation);
                        break;
                default:
                        fprintf(to, "%" PRId64, (int64_t) p->worker);
                        break;
                }
        }

        if (fclose(to) == 0)
                return text;
        free(text);
        return NULL;
}

static int add_unit(char ***words, const char *unit, const Place *p) {
        _cleanup_free_ char *name = expand(unit, p);
        char *match;
        int r;

        if (!name || asprintf(&match, "_SYSTEMD_UNIT=%s", name) < 0)
                return -ENOMEM;
        if (strv_contains(*words, match) || strv_length(*words) > UNITS_MAX) {
                free(match);
                return 0;
        }

        r = strv_push(words, "+");
        if (r < 0) {
                free(match);
                return r;
        }
        return strv_consume(words, match);
}

/* A service that is a unit: the units of this generation and the one before, in any colour.  Nothing if no
 * daemon is there to be asked. */
static int add_units(Ctl *c, const char *service, char ***words) {
        _cleanup_json_ json_t *properties = NULL;
        Place p = { .service = service };
        int r = 0;

        c->is_lenient = true;
        if (client_get(c, CLIENT_SERVICE, service, &properties) != CTL_OK ||
            !*client_text(properties, "Unit"))
                return 0;

        for (json_int_t back = 0; back < 2; back++)
                for (size_t color = 0; color < ELEMENTS_OF(colors); color++)
                        for (p.worker = 0;
                             r >= 0 && p.worker < client_number(properties, "WorkersWanted");
                             p.worker++) {
                                p.color = colors[color];
                                p.generation = client_number(properties, "Generation") - back;
                                r = add_unit(words, client_text(properties, "Unit"), &p);
                        }

        return r;
}

static int add_matches(Ctl *c, const char *service, char ***words) {
        _cleanup_free_ char *ours = NULL, *theirs = NULL;
        int r;

        if (asprintf(&ours, "SERVICE=%s", service) < 0 ||
            asprintf(&theirs, "SYSLOG_IDENTIFIER=%s", service) < 0)
                return -ENOMEM;

        r = strv_push(words, "SYSLOG_IDENTIFIER=reuseportd");
        if (r >= 0)
                r = strv_push(words, ours);
        if (r >= 0)
                r = strv_push(words, "+"); /* and what its workers say */
        if (r >= 0)
                r = strv_push(words, theirs);
        return r < 0 ? r : add_units(c, service, words);
}

CtlResult verb_logs(Ctl *c, char *const *arguments) {
        _cleanup_strv_ char **words = NULL;
        int r;

        r = strv_push(&words, "journalctl");
        if (r >= 0)
                r = add_matches(c, arguments[0], &words);
        if (r >= 0 && c->follow)
                r = strv_push(&words, "--follow");
        if (r >= 0 && c->no_pager)
                r = strv_push(&words, "--no-pager");
        if (r >= 0 && c->quiet)
                r = strv_push(&words, "--quiet");
        if (r >= 0 && c->json)
                r = strv_push(&words, "--output=json");
        if (r < 0)
                return CTL_FAILED;

        (void) execvp(words[0], words);
        ctl_error("journalctl cannot be run (%s): without a journal the log is where reuseportd's "
                  "standard error goes",
                  strerror(errno));
        return CTL_FAILED;
}
