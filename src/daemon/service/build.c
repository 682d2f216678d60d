#include "daemon/service/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

/* Within another root the path is what it says, seen from ours. */
static char *find_program(const Build *b) {
        char *path;

        if (!b->arguments) /* a unit */
                return NULL;

        if (!b->service->root_directory)
                return realpath(b->arguments[0], NULL);

        return asprintf(&path, "%s%s", b->service->root_directory, b->arguments[0]) < 0 ? NULL
                                                                                        : path;
}

static int fill(Build *b, char *const *arguments, char *const *environment) {
        int r;

        r = strv_copy(arguments ?: b->service->exec_start, &b->arguments); /* of a unit: none */
        if (r >= 0)
                r = strv_copy(b->service->environment, &b->environment);
        if (r < 0)
                return r;

        STRV_FOREACH(word, environment) {
                r = strv_consume_variable(&b->environment, strdup(*word));
                if (r < 0)
                        return r;
        }

        /* What cannot be resolved is executed as it is written, and the error then says what is wrong. */
        b->program = find_program(b);
        if (b->program && stat(b->program, &b->program_stat) < 0) {
                free(b->program);
                b->program = NULL;
        }
        if (b->service->working_directory && !b->service->root_directory &&
            !strchr(b->service->working_directory, '%'))
                b->working_directory = realpath(b->service->working_directory, NULL);

        return 0;
}

int build_new_empty(Settings *settings, const ServiceSettings *service, Build **ret) {
        Build *b;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;

        b->n_ref = 1;
        b->settings = settings_ref(settings);
        b->service = service;
        *ret = b;
        return 0;
}

int build_new(Settings *settings, const ServiceSettings *service, char *const *arguments,
              char *const *environment, Build **ret) {
        _cleanup_(build_unrefp) Build *b = NULL;
        int r;

        r = build_new_empty(settings, service, &b);
        if (r >= 0)
                r = fill(b, arguments, environment);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(b);
        return 0;
}

Build *build_ref(Build *b) {
        b->n_ref++;
        return b;
}

Build *build_unref(Build *b) {
        if (!b || --b->n_ref > 0)
                return NULL;

        strv_free(b->arguments);
        strv_free(b->environment);
        free(b->program);
        free(b->working_directory);
        settings_unref(b->settings);
        free(b);
        return NULL;
}

static bool is_program(const Build *b, const struct stat *st) {
        return st->st_dev == b->program_stat.st_dev && st->st_ino == b->program_stat.st_ino &&
               st->st_mtim.tv_sec == b->program_stat.st_mtim.tv_sec &&
               st->st_mtim.tv_nsec == b->program_stat.st_mtim.tv_nsec;
}

static bool leads_to_program(const Build *b, const char *path) {
        struct stat st;

        return stat(path, &st) >= 0 && is_program(b, &st);
}

bool build_is_current(const Build *b, const Settings *settings, const ServiceSettings *service) {
        if (b->settings != settings || b->service != service || !b->program ||
            b->working_directory || service->root_directory)
                return false;

        return leads_to_program(b, b->program) &&
               (strcmp(b->program, b->arguments[0]) == 0 || leads_to_program(b, b->arguments[0]));
}

static const char *format_date(const struct timespec *when, char *buffer, size_t size_bytes) {
        struct tm parts;

        if (!localtime_r(&when->tv_sec, &parts) ||
            strftime(buffer, size_bytes, "%Y-%m-%d %H:%M:%S", &parts) == 0)
                snprintf(buffer, size_bytes, "?");

        return buffer;
}

int build_check_program(const Build *b, char **reterr_why) {
        char then[64], now[64];
        struct stat st;
        int n;

        if (!b->program)
                return 0;

        if (stat(b->program, &st) < 0)
                n = asprintf(reterr_why, "%s of %s is gone", b->program,
                             format_date(&b->program_stat.st_mtim, then, sizeof(then)));
        else if (is_program(b, &st))
                return 0;
        else
                n = asprintf(reterr_why,
                             "%s was of %s and is now of %s: it is not the program that ran",
                             b->program, format_date(&b->program_stat.st_mtim, then, sizeof(then)),
                             format_date(&st.st_mtim, now, sizeof(now)));

        return n < 0 ? -ENOMEM : -ESTALE;
}
