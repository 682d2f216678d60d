#include "ctl/output.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/client.h"

#define SCHEMA 1

static pid_t pager;

static char last_error[1024];

void ctl_error(const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(last_error, sizeof(last_error), format, arguments);
        va_end(arguments);

        (void) fflush(stdout);
        fprintf(stderr, "reuseportctl: %s\n", last_error);
}

const char *ctl_last_error(void) {
        return last_error;
}

void ctl_say(const Ctl *c, const char *format, ...) {
        va_list arguments;

        if (c->quiet || c->json)
                return;

        va_start(arguments, format);
        (void) vprintf(format, arguments);
        va_end(arguments);
        putchar('\n');
}

Table *output_table_new(const Ctl *c, const char *const *headings) {
        _cleanup_(output_table_freep) Table *t = scols_new_table();

        if (!t || scols_table_enable_noheadings(t, c->no_legend) < 0 ||
            scols_table_enable_colors(t, c->has_colors) < 0)
                return NULL;
        for (size_t i = 0; headings[i]; i++)
                if (!scols_table_new_column(t, headings[i], 0, 0))
                        return NULL;

        return TAKE_PTR(t);
}

void output_table_free(Table *t) {
        scols_unref_table(t);
}

int output_table_add(Table *t, const char *color, const char *const *cells) {
        struct libscols_line *line = scols_table_new_line(t, NULL);
        int r = 0;

        if (!line)
                return -ENOMEM;

        for (size_t i = 0; i < scols_table_get_ncols(t) && r >= 0; i++)
                r = scols_line_set_data(line, i, cells[i]);
        if (r >= 0 && color)
                r = scols_cell_set_color(scols_line_get_cell(line, 1), color);

        return r;
}

CtlResult output_table_print(Table *t, FILE *stream) {
        int r;

        r = scols_table_set_stream(t, stream);
        if (r >= 0)
                r = scols_print_table(t);
        if (r < 0) {
                ctl_error("cannot print: %s", strerror(-r));
                return CTL_FAILED;
        }

        return CTL_OK;
}

CtlResult output_json(json_t *object) {
        _cleanup_json_ json_t *with_schema = json_pack("{s:i}", "schema", SCHEMA);
        int r = -1;

        if (object && with_schema && json_object_update(with_schema, object) == 0)
                r = json_dumpf(with_schema, stdout, JSON_COMPACT);
        json_decref(object);
        if (r < 0) {
                ctl_error("cannot print JSON");
                return CTL_FAILED;
        }

        putchar('\n');
        return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

const char *output_state_color(const Ctl *c, const char *state) {
        static const struct {
                const char *state, *color;
        } colors[] = {
                { "running", "green" },   { "listening", "green" }, { "deploying", "cyan" },
                { "starting", "yellow" }, { "stopping", "yellow" }, { "failed", "red" },
        };

        for (size_t i = 0; c->has_colors && i < ELEMENTS_OF(colors); i++)
                if (strcmp(colors[i].state, state) == 0)
                        return colors[i].color;

        return NULL;
}

/* ---- the pager ---- */

static const char *pager_command(void) {
        const char *command = getenv("REUSEPORTCTL_PAGER");

        if (!command)
                command = getenv("PAGER");
        return command ? command : "less";
}

static void run_pager(const char *command, int in) {
        (void) dup2(in, STDIN_FILENO);
        (void) close(in);
        (void) setenv("LESS", "FRSXMK", /* overwrite= */ false); /* as systemctl(1) */
        execl("/bin/sh", "sh", "-c", command, (char *) NULL);
        _exit(127);
}

FILE *output_open(const Ctl *c) {
        const char *command = pager_command();
        FILE *stream;
        int ends[2];

        if (c->no_pager || !isatty(STDOUT_FILENO) || !*command || strcmp(command, "cat") == 0 ||
            pipe(ends) < 0)
                return stdout;

        (void) fflush(stdout);
        pager = fork();
        if (pager == 0) {
                (void) close(ends[1]);
                run_pager(command, ends[0]);
        }

        (void) close(ends[0]);
        stream = pager > 0 ? fdopen(ends[1], "w") : NULL;
        if (!stream) {
                (void) close(ends[1]);
                return stdout;
        }

        (void) signal(SIGPIPE, SIG_IGN); /* somebody has read enough */
        return stream;
}

void output_close(FILE *stream) {
        if (stream == stdout)
                return;

        (void) fclose(stream);
        while (waitpid(pager, NULL, 0) < 0 && errno == EINTR)
                ;
}
