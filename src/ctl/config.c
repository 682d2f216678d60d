/* The configuration. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "config.h"
#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/verb.h"
#include "settings/settings.h"

/* The daemon's, if it answers; a check needs no daemon. */
static char *usual_file(Ctl *c) {
        _cleanup_json_ json_t *properties = NULL;
        bool is_there;

        c->is_lenient = true;
        is_there = client_get(c, CLIENT_MANAGER, NULL, &properties) == CTL_OK;
        c->is_lenient = false;

        return strdup(is_there ? client_text(properties, "ConfigurationFile") : CONFIG_FILE);
}

static json_t *list(char *const *lines) {
        json_t *array = json_array();

        STRV_FOREACH(line, lines)
                json_array_append_new(array, json_string(*line));
        return array;
}

static void print_lines(const Problems *p) {
        STRV_FOREACH(line, p->warnings)
                fprintf(stderr, "%s\n", *line);
        STRV_FOREACH(line, p->lines)
                fprintf(stderr, "%s\n", *line);
        if (p->n_left_out > 0)
                fprintf(stderr, "and %zu more problems\n", p->n_left_out);
}

CtlResult verb_check(Ctl *c, char *const *arguments) {
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_free_ char *file = arguments[0] ? strdup(arguments[0]) : usual_file(c);
        CtlResult result;
        int r;

        if (!file)
                return CTL_FAILED;

        r = settings_load(file, &problems, &settings);
        if (r < 0 && r != -EBADMSG) {
                ctl_error("%s: %s", file, strerror(-r));
                return CTL_FAILED;
        }

        result = r < 0 ? CTL_BAD_CONFIG : CTL_OK;
        if (c->json) {
                CtlResult printed = output_json(json_pack(
                                "{s:s, s:b, s:o, s:o}", "file", file, "good", r >= 0, "problems",
                                list(problems.lines), "warnings", list(problems.warnings)));

                return printed == CTL_OK ? result : printed;
        }

        print_lines(&problems);
        if (r >= 0)
                ctl_say(c, "%s: good, %zu endpoints, %zu services", file, settings->n_endpoints,
                        settings->n_services);
        return result;
}
