#include "settings/environment.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "settings/load.h"
#include "settings/reader.h"
#include "settings/value.h"

typedef struct Cursor {
        const char *at;
        unsigned line;
        FILE *to;
} Cursor;

/* ---- one file -------------------------------------------------------------------------------- */

/* A backslash and what comes after it; at the end of a line it joins the next. */
static void take_escape(Cursor *c, const char *escapable) {
        c->at++;
        if (*c->at == '\n') {
                c->line++;
                c->at++;
        } else if (*c->at) {
                if (escapable && !strchr(escapable, *c->at))
                        putc('\\', c->to);
                putc(*c->at++, c->to);
        }
}

/* Returns whether the quote was closed. */
static bool take_quoted(Cursor *c) {
        char quote = *c->at++;

        while (*c->at && *c->at != quote) {
                if (*c->at == '\\' && quote == '"') {
                        take_escape(c, "\"\\`$");
                        continue;
                }
                c->line += *c->at == '\n';
                putc(*c->at++, c->to);
        }

        if (!*c->at)
                return false;
        c->at++;
        return true;
}

/* The value up to the end of its line; white space around it does not belong to it. */
static bool take_value(Cursor *c) {
        size_t n_spaces = 0;

        c->at += strspn(c->at, " \t");
        while (*c->at && *c->at != '\n') {
                if (strchr(" \t\r", *c->at)) {
                        n_spaces++;
                        c->at++;
                        continue;
                }
                if (n_spaces > 0)
                        fwrite(c->at - n_spaces, 1, n_spaces, c->to);
                n_spaces = 0;

                if (*c->at == '"' || *c->at == '\'') {
                        if (!take_quoted(c))
                                return false;
                } else if (*c->at == '\\')
                        take_escape(c, NULL);
                else
                        putc(*c->at++, c->to);
        }

        return true;
}

/* The file's text has no templates, the list has: '%' is doubled. */
static int put_literal(char ***list, const char *assignment) {
        _cleanup_free_ char *doubled = malloc(2 * strlen(assignment) + 1);
        char *to = doubled;

        if (!doubled)
                return -ENOMEM;

        for (; *assignment; assignment++) {
                *to++ = *assignment;
                if (*assignment == '%')
                        *to++ = '%';
        }
        *to = '\0';
        return value_put_variable(list, doubled);
}

/* Reads one assignment.  Returns 1, 0 after a report, or -ENOMEM. */
static int take_assignment(Cursor *c, const char *file, const char *path, Report *report,
                           char **ret) {
        Place place = { file, c->line };
        size_t length = value_variable_name_length(c->at);
        _cleanup_free_ char *text = NULL;
        bool is_complete;
        size_t size;

        if (length == 0 || c->at[length] != '=') {
                report_problem(report, place, path, "not an assignment, expected NAME=VALUE");
                c->at += strcspn(c->at, "\n");
                return 0;
        }

        c->to = open_memstream(&text, &size);
        if (!c->to)
                return -ENOMEM;
        fwrite(c->at, 1, length + 1, c->to);
        c->at += length + 1;
        is_complete = take_value(c);
        if (fclose(c->to) != 0)
                return -ENOMEM;

        if (!is_complete) {
                report_problem(report, place, path,
                               "a quote begins here and never ends, expected it once more");
                return 0;
        }

        *ret = TAKE_PTR(text);
        return 1;
}

int environment_parse(const char *text, const char *file, const char *path, Report *report,
                      char ***list) {
        Cursor c = { .at = text, .line = 1 };

        for (;;) {
                _cleanup_free_ char *assignment = NULL;
                Place place;
                int r;

                c.at += strspn(c.at, " \t\r");
                place = (Place){ file, c.line };
                if (!*c.at)
                        return 0;
                if (*c.at == '\n') {
                        c.line++;
                        c.at++;
                        continue;
                }
                if (*c.at == '#' || *c.at == ';') {
                        c.at += strcspn(c.at, "\n");
                        continue;
                }

                r = take_assignment(&c, file, path, report, &assignment);
                if (r > 0 && value_is_reserved_variable(assignment))
                        report_problem(report, place, path,
                                       "a variable that is set for each worker, expected none of "
                                       "LISTEN_*, NOTIFY_SOCKET, WATCHDOG_*, REUSEPORTD_*");
                else if (r > 0)
                        r = put_literal(list, assignment);
                if (r < 0)
                        return r;
        }
}

/* ---- all of a service ------------------------------------------------------------------------ */

static bool is_missing(const char *path, const Report *report) {
        if (report->texts && report->texts->are_frozen)
                return !settings_texts_find(report->texts, path);

        return access(path, F_OK) < 0 && errno == ENOENT;
}

static int add_file(const char *path, const char *key, char ***list, Report *report) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (path[0] == '-' && is_missing(++path, report))
                return 0;

        r = reader_text(path, report, &text);
        if (r == -EBADMSG)
                return 0; /* it is in the report */
        if (r < 0)
                return r;

        return environment_parse(text, path, key, report, list);
}

static int add_passing(const ServiceSettings *service, char ***list) {
        STRV_FOREACH(name, service->pass_environment) {
                _cleanup_free_ char *assignment = NULL;
                const char *value = getenv(*name);
                int r;

                if (!value)
                        continue;
                if (asprintf(&assignment, "%s=%s", *name, value) < 0)
                        return -ENOMEM;
                r = put_literal(list, assignment);
                if (r < 0)
                        return r;
        }

        return 0;
}

int environment_resolve(ServiceSettings *service, Report *report) {
        _cleanup_strv_ char **list = NULL;
        char path[KEY_PATH_SIZE];
        int r;

        r = add_passing(service, &list);
        if (r < 0)
                return r;

        STRV_FOREACH(assignment, service->said_environment) {
                r = value_put_variable(&list, *assignment);
                if (r < 0)
                        return r;
        }

        key_path("services", service->name, "environment_file", path);
        STRV_FOREACH(file, service->environment_file) {
                r = add_file(*file, path, &list, report);
                if (r < 0)
                        return r;
        }

        strv_free(service->environment);
        service->environment = TAKE_PTR(list);
        return 0;
}
