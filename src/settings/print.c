/* settings_print(): what is in force, as a file. */

#include <limits.h>
#include <stdlib.h>

#include "base/text.h"
#include "settings/load.h"
#include "settings/preset.h"
#include "settings/value.h"

#define COMMENT_COLUMN 56

/* An object and what is known of it beyond its rows. */
typedef struct Subject {
        SettingGroup group;
        const void *object;
        const Preset *preset; /* or NULL */
        int indent;
} Subject;

/* A name of a file may hold anything; the comment must end with its line. */
static void print_place(Place place, FILE *to) {
        char file[PATH_MAX];

        text_escape(place.file, file, sizeof(file));
        fprintf(to, "%s:%u\n", file, place.line);
}

static void print_origin(const Subject *s, const char *key, FILE *to) {
        Place place = key_place(setting_keys(s->group, s->object), key, (Place){ 0 });

        if (place.line > 0) {
                fputs("# ", to);
                print_place(place, to);
        } else if (s->preset && preset_value(s->preset, key))
                fprintf(to, "# preset \"%s\"\n", s->preset->name);
        else
                fputs("# default\n", to);
}

/* What is unset cannot be written, so it is a comment that says what holds instead. */
static int print_row(const Subject *s, const SettingRow *row, FILE *to) {
        _cleanup_free_ char *value = NULL;
        int r, n;

        r = value_format(row, s->object, &value);
        if (r < 0)
                return r;

        if (!value) {
                if (row->default_words && !row->is_required)
                        fprintf(to, "%*s# %s: %s\n", s->indent, "", row->name, row->default_words);
                return 0;
        }

        n = fprintf(to, "%*s%s = %s;", s->indent, "", row->name, value);
        fprintf(to, "%*s ", n < COMMENT_COLUMN ? COMMENT_COLUMN - n : 0, "");
        print_origin(s, row->name, to);
        return 0;
}

/* Whether a key could have been said here at all: not the other listen_…, nor an option that
 * sockets of this kind do not have, nor what a unit says itself. */
static bool is_possible(const Subject *s, const SettingRow *row) {
        const EndpointSettings *e = s->object;
        const ServiceSettings *v = s->object;

        if (s->group == SETTING_GROUP_SERVICE)
                return !v->unit || unit_knows_key(row->name);
        if (s->group != SETTING_GROUP_ENDPOINT)
                return true;
        if (row->kind == &value_kind_addresses)
                return row->min == e->type;
        if (row->sockopt)
                return e->type == SOCK_STREAM ? row->sockopt->for_stream
                                              : row->sockopt->for_datagram;
        return true;
}

static int print_rows(const Subject *s, FILE *to) {
        const SettingTable *table = setting_table(s->group);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < table->n_rows; i++)
                if (is_possible(s, &table->rows[i]))
                        r = print_row(s, &table->rows[i], to);

        return r;
}

/* The rows, and the groups inside; one of these that was not said may mean something else than its
 * keys' defaults do. */
static int print_keys(const Subject *s, FILE *to) {
        SettingGroup inside = SETTING_GROUP_INVALID;
        int r;

        r = print_rows(s, to);
        while (r >= 0 &&
               (inside = setting_next_inside(s->group, inside)) != SETTING_GROUP_INVALID) {
                const Subject subject = { inside, s->object, NULL, s->indent + 2 };
                const SettingTable *t = setting_table(inside);
                const Keys *keys = setting_keys(s->group, s->object);

                if (t->default_words && key_place(keys, t->key, (Place){ 0 }).line == 0) {
                        fprintf(to, "%*s# %s: %s\n", s->indent, "", t->key, t->default_words);
                        continue;
                }

                fprintf(to, "%*s%s: { ", s->indent, "", t->key);
                print_origin(s, t->key, to);
                r = print_keys(&subject, to);
                fprintf(to, "%*s};\n", s->indent, "");
        }

        return r;
}

static int print_object(const char *name, Place place, const Subject *s, FILE *to) {
        int r;

        fprintf(to, "  %s: { # ", name);
        print_place(place, to);
        r = print_keys(s, to);
        fputs("  };\n", to);
        return r;
}

static int print_endpoints(const Settings *s, FILE *to) {
        int r = 0;

        fputs("endpoints: {\n", to);
        for (size_t i = 0; r >= 0 && i < s->n_endpoints; i++) {
                const EndpointSettings *e = s->endpoints[i];
                Subject subject = { SETTING_GROUP_ENDPOINT, e, NULL, 4 };

                r = print_object(e->name, e->place, &subject, to);
        }

        fputs("};\n", to);
        return r;
}

static int print_services(const Settings *s, FILE *to) {
        int r = 0;

        fputs("services: {\n", to);
        for (size_t i = 0; r >= 0 && i < s->n_services; i++) {
                const ServiceSettings *v = s->services[i];
                Subject subject = { SETTING_GROUP_SERVICE, v,
                                    v->preset ? preset_find(v->preset) : NULL, 4 };

                r = print_object(v->name, v->place, &subject, to);
        }

        fputs("};\n", to);
        return r;
}

/* include_dir is not printed: what was included stands here. */
int settings_print(const Settings *s, FILE *to) {
        const Subject daemon = { SETTING_GROUP_DAEMON, &s->daemon, NULL, 2 };
        int r;

        fputs("daemon: {\n", to);
        r = print_keys(&daemon, to);
        fputs("};\n", to);
        if (r >= 0)
                r = print_endpoints(s, to);
        if (r >= 0)
                r = print_services(s, to);
        if (r < 0)
                return r;

        return ferror(to) ? -EIO : 0;
}
