#include "ctl/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"

#define BAR_WIDTH 24

static const char *text_at(const json_t *row, size_t i) {
        const char *text = json_string_value(json_array_get(row, i));

        return text ? text : "";
}

static json_int_t number_at(const json_t *row, size_t i) {
        return json_integer_value(json_array_get(row, i));
}

/* "blue 12, green 3" */
static void describe_connections(json_t *connections, char *buffer, size_t size_bytes) {
        const char *color;
        json_t *n;
        size_t at = 0;

        buffer[0] = '\0';
        json_object_foreach(connections, color, n) {
                int length = snprintf(buffer + at, size_bytes - at, "%s%s %lld", at > 0 ? ", " : "",
                                      color, (long long) json_integer_value(n));

                if (length < 0 || at + (size_t) length >= size_bytes)
                        return;
                at += (size_t) length;
        }
}

/* What goes on, without what changes all the time. */
static void describe(const char *name, const DeployNow *now, char *buffer, size_t size_bytes) {
        const json_t *d = now->deploy, *result = now->result;
        const char *outcome = text_at(result, 1), *state = text_at(d, 1);

        if (strcmp(outcome, "done") == 0)
                snprintf(buffer, size_bytes, "%s: generation %lld serves, after %.3f s", name,
                         (long long) number_at(result, 2), (double) number_at(result, 6) / 1e6);
        else if (*outcome)
                buffer[0] = '\0'; /* told as an error, with its reason */
        else if (strcmp(state, "canary") == 0)
                snprintf(buffer, size_bytes, "%s: canary, step %lld: %lld %% to generation %lld",
                         name, (long long) number_at(d, 3), (long long) number_at(d, 2),
                         (long long) number_at(result, 2));
        else
                snprintf(buffer, size_bytes, "%s: %s, generation %lld beside %lld", name, state,
                         (long long) number_at(result, 2), (long long) number_at(result, 3));
}

static void draw(Progress *p, const Ctl *c, const char *text, const DeployNow *now) {
        json_int_t share = number_at(now->deploy, 2);
        char connections[128], bar[BAR_WIDTH + 1];

        memset(bar, '-', BAR_WIDTH);
        memset(bar, '#', (size_t) (share * BAR_WIDTH / 100));
        bar[BAR_WIDTH] = '\0';
        describe_connections(now->connections, connections, sizeof(connections));
        printf("\r\033[K%s%s%s  %s  %s", c->has_colors ? "\033[32m" : "", bar,
               c->has_colors ? "\033[0m" : "", text, connections);
        (void) fflush(stdout);
        p->is_open = true;
}

void deploy_now_done(DeployNow *now) {
        json_decref(now->deploy);
        json_decref(now->connections);
        json_decref(now->result);
        *now = (DeployNow){ 0 };
}

bool progress_shows_connections(const Ctl *c) {
        return !c->json && !c->quiet && isatty(STDOUT_FILENO);
}

void progress_show(Progress *p, const Ctl *c, const char *name, const DeployNow *now) {
        char text[sizeof(p->last)];

        if (c->json || c->quiet)
                return;

        describe(name, now, text, sizeof(text));
        if (progress_shows_connections(c) && *text)
                draw(p, c, text, now);
        else if (*text && strcmp(text, p->last) != 0) {
                printf("%s\n", text);
                (void) fflush(stdout);
        }
        snprintf(p->last, sizeof(p->last), "%s", text);
}

void progress_end(Progress *p, const Ctl *c) {
        if (p->is_open)
                printf("\n");
        p->is_open = false;
}
