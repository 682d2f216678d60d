/* A service that is a unit of systemd: what its name must say, and which keys are systemd's affair. */

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "settings/load.h"
#include "settings/template.h"

#define UNIT_NAME_LENGTH 255U

/* Keys that count for a unit, too. */
static const char *const common_keys[] = {
        "endpoints",
        "exec_start",
        "unit",
        "type",
        "workers",
        "activation",
        "idle_timeout",
        "restart",
        "restart_delay",
        "restart_max_delay",
        "start_limit_burst",
        "start_limit_interval",
        "timeout_start",
        "timeout_stop",
        "final_kill_signal",
        "success_exit_status",
        "deploy",
        "preset",
        "fd_protocol", /* these two for whether its sockets are to be non-blocking */
};

bool unit_knows_key(const char *key) {
        return text_lookup(common_keys, ELEMENTS_OF(common_keys), key) >= 0;
}

static bool was_said(const ServiceSettings *s, const char *key) {
        for (size_t i = 0; i < s->keys.n_places; i++)
                if (strcmp(s->keys.places[i].key, key) == 0)
                        return true;

        return false;
}

_printf_(4, 5) static void problem(const ServiceSettings *s, const char *key, Report *report,
                                   const char *format, ...) {
        char path[KEY_PATH_SIZE], text[REPORT_TEXT_SIZE / 2];
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        report_problem(report, key_place(&s->keys, key, s->place),
                       key_path("services", s->name, key, path), "%s", text);
}

/* Which of the templates "ngci" stand in the name; -EINVAL, which is reported. */
static int find_templates(const ServiceSettings *s, char letters[static 5], Report *report) {
        const char *text = s->unit;
        size_t n = 0;

        for (; (text = strchr(text, '%')); text += 2) {
                if (!text[1] || !strchr("ngci", text[1])) {
                        problem(s, "unit", report,
                                "\"%.2s\" is not a template of a unit, expected %%c, %%g, %%n or %%i",
                                text);
                        return -EINVAL;
                }
                if (n < 4 && !memchr(letters, text[1], n))
                        letters[n++] = text[1];
        }

        letters[n] = '\0';
        return 0;
}

/* As systemd.unit(5) has it. */
static bool is_unit_name(const char *text) {
        const char *dot = strrchr(text, '.');

        if (strlen(text) > UNIT_NAME_LENGTH || text[0] == '.' || text[0] == '@' || !dot ||
            strcmp(dot, ".service") != 0)
                return false;

        for (; *text; text++)
                if (!isalnum((unsigned char) *text) && !strchr(":-_.\\@%", *text))
                        return false;

        return true;
}

static void check_name(const ServiceSettings *s, Report *report) {
        char letters[5], quoted[REPORT_QUOTE_SIZE];

        report_quote(s->unit, quoted);
        if (!is_unit_name(s->unit)) {
                problem(s, "unit", report,
                        "%s is not the name of a service unit, expected one like "
                        "\"web@%%c.service\"",
                        quoted);
                return;
        }
        if (find_templates(s, letters, report) < 0)
                return;

        if (!strchr(letters, 'c') && !strchr(letters, 'g'))
                problem(s, "unit", report,
                        "%s is one unit, and a deploy runs two side by side, expected %%c (the "
                        "colour) or %%g (the generation) in it, like \"web@%%c.service\"",
                        quoted);
        if (!strchr(letters, 'i') && (s->n_workers > 1 || s->workers_are_cpus))
                problem(s, "unit", report,
                        "%s is one unit for each of several workers, expected %%i (the worker) in it, "
                        "like \"web@%%c-%%i.service\", or workers = 1",
                        quoted);
}

void check_unit(const ServiceSettings *s, Report *report) {
        char path[KEY_PATH_SIZE];

        if (!s->unit) {
                snprintf(path, sizeof(path), "services.%s", s->name);
                if (!was_said(s, "exec_start") && !was_said(s, "unit"))
                        report_problem(report, s->place, path,
                                       "exec_start is missing, expected an array of strings: the "
                                       "program by its absolute path, and its arguments; or unit");
                return;
        }

        if (was_said(s, "exec_start"))
                problem(s, "unit", report,
                        "exec_start stands beside it, expected one of them: a program that we start, "
                        "or a unit that systemd starts");
        check_name(s, report);
        for (size_t i = 0; i < s->keys.n_places; i++) {
                const char *key = s->keys.places[i].key;

                if (setting_find(SETTING_GROUP_SERVICE, key) && !unit_knows_key(key))
                        problem(s, key, report,
                                "has no effect on a unit, expected it in the unit's own file");
        }
}
