/* The configuration. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Absolute, since the daemon stands elsewhere.  Links stay: whose they are is the daemon's to judge. */
static char *absolute(const char *file) {
        _cleanup_free_ char *here = NULL;
        char *path;

        if (file[0] == '/')
                return strdup(file);

        here = getcwd(NULL, 0);
        return here && asprintf(&path, "%s/%s", here, file) >= 0 ? path : NULL;
}

static json_t *change_from_row(const json_t *row) {
        static const char *const names[] = { "kind",    "group",  "name", "key",
                                             "applies", "before", "after" };
        json_t *object = json_object();

        for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
                json_t *value = json_array_get(row, i);

                if (*json_string_value(value))
                        json_object_set(object, names[i], value);
                else
                        json_object_set_new(object, names[i], json_null());
        }

        return object;
}

static const char *or_nothing(const json_t *change, const char *name) {
        const char *text = json_string_value(json_object_get(change, name));

        return text ? text : "";
}

/* "open endpoints.web", "now services.site.restart_delay: 100ms, was 1s" */
static void print_change(const Ctl *c, const json_t *change) {
        const char *kind = or_nothing(change, "kind"), *name = or_nothing(change, "name");
        bool is_endpoint = strcmp(or_nothing(change, "group"), "endpoints") == 0;

        if (strcmp(kind, "added") == 0)
                ctl_say(c, "%s %s.%s", is_endpoint ? "open" : "start", or_nothing(change, "group"),
                        name);
        else if (strcmp(kind, "removed") == 0)
                ctl_say(c, "%s %s.%s", is_endpoint ? "close" : "stop", or_nothing(change, "group"),
                        name);
        else
                ctl_say(c, "%s %s%s%s.%s: %s, was %s", or_nothing(change, "applies"),
                        or_nothing(change, "group"), *name ? "." : "", name,
                        or_nothing(change, "key"), or_nothing(change, "after"),
                        or_nothing(change, "before"));
}

/* @waits_for  may be NULL */
static CtlResult print_changes(const Ctl *c, const json_t *rows, const char *waits_for) {
        json_t *changes = json_array();
        const json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) json_array_append_new(changes, change_from_row(row));
        if (c->json)
                return output_json(json_pack("{s:o, s:s?}", "changes", changes, "waits_for",
                                             waits_for));

        json_array_foreach(changes, i, row) print_change(c, row);
        if (json_array_size(changes) == 0)
                ctl_say(c, "nothing changes");
        if (waits_for)
                ctl_say(c, "waits for %s", waits_for);
        json_decref(changes);
        return CTL_OK;
}

CtlResult verb_reload(Ctl *c, char *const *arguments) {
        _cleanup_json_ json_t *reply = NULL;
        const char *waits_for;
        CtlResult result;

        result = client_call_manager(c, "Reload", &reply, NULL);
        if (result != CTL_OK)
                return result;

        waits_for = json_string_value(json_array_get(reply, 0));
        return print_changes(c, json_array_get(reply, 1), *waits_for ? waits_for : NULL);
}

static CtlResult diff(Ctl *c, const char *file) {
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *path = file ? absolute(file) : strdup("");
        CtlResult result;

        if (!path)
                return CTL_FAILED;

        result = client_call_manager(c, "Diff", &reply, "s", path);
        return result == CTL_OK ? print_changes(c, json_array_get(reply, 0), NULL) : result;
}

CtlResult verb_check(Ctl *c, char *const *arguments) {
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_free_ char *file = NULL;
        CtlResult result;
        int r;

        if (c->diff)
                return diff(c, arguments[0]);

        file = arguments[0] ? strdup(arguments[0]) : usual_file(c);
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
