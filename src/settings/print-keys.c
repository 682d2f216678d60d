/* Writes the manual of the configuration: copies a page from standard input and puts, in place of a
 * line "@KEYS GROUP@", the keys of that group, and in place of "@PRESETS@" the presets, in mdoc(7). */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "settings/preset.h"
#include "settings/settings-table.h"
#include "settings/value.h"

/* One sentence, in lines of at most 80 columns; what mdoc would take as a macro or an escape is
 * protected. */
static void put_text(const char *text, size_t length) {
        size_t column = 0;

        for (size_t i = 0; i < length; i++) {
                size_t word = strcspn(text + i + 1, " \n");

                if (text[i] == ' ' && column + word > 72) {
                        putchar('\n');
                        column = 0;
                        continue;
                }
                if (column == 0 && (text[i] == '.' || text[i] == '\''))
                        fputs("\\&", stdout);
                column++;
                if (text[i] == '\\')
                        fputs("\\e", stdout);
                else if (text[i] == '-')
                        fputs("\\-", stdout);
                else
                        putchar(text[i]);
        }

        putchar('\n');
}

/* A sentence ends its line in the page, also where only two blanks follow it in the text. */
static void put_lines(const char *text) {
        while (*text) {
                const char *end = strstr(text, ".  ");
                size_t n = strcspn(text, "\n");

                if (end && (size_t) (end - text) < n)
                        n = (size_t) (end - text) + 1;
                put_text(text, n);
                text += n;
                text += strspn(text, " \n");
        }
}

static const char *range_text(const SettingRow *row, char *buffer, size_t size_bytes) {
        char min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];

        if (row->kind == &value_kind_integer || row->kind == &value_kind_optional_integer)
                snprintf(buffer, size_bytes, "an integer from %" PRId64 " to %" PRId64, row->min,
                         row->max);
        else if (row->kind == &value_kind_duration && row->may_be_infinite)
                snprintf(buffer, size_bytes, "a duration or \"infinity\"");
        else if (row->kind == &value_kind_duration)
                snprintf(buffer, size_bytes, "a duration from %s to %s",
                         format_duration((uint64_t) row->min, min, sizeof(min)),
                         format_duration((uint64_t) row->max, max, sizeof(max)));
        else if (row->sockopt)
                return value_sockopt_expected(row->sockopt, buffer, size_bytes);
        else if (row->n_names > 0)
                return value_list_names(row, buffer, size_bytes);
        else
                return row->kind->expected;

        return buffer;
}

static void put_sockopt(const ReuseSockoptInfo *info) {
        if (!info->for_datagram)
                puts("Streams only.");
        if (!info->for_stream)
                puts("Datagrams only.");
        if (info->capability)
                printf("May need %s.\n", info->capability);
}

static void put_row(const SettingRow *row) {
        bool is_word = row->default_text && row->default_text[0];
        char buffer[512], line[1024];

        printf(".It Ic %s\n", row->name);
        snprintf(line, sizeof(line), "%s.", range_text(row, buffer, sizeof(buffer)));
        if (line[0] >= 'a' && line[0] <= 'z')
                line[0] = (char) (line[0] - 'a' + 'A');
        put_lines(line);
        if (row->help)
                put_lines(row->help);
        if (row->sockopt)
                put_sockopt(row->sockopt);
        snprintf(line, sizeof(line), "Default: %s; applies: %s.",
                 is_word ? row->default_text : row->default_words,
                 setting_applies_text(row->applies));
        put_lines(line);
}

/* A group inside another, in the list of that one's keys. */
static void put_group(const SettingTable *t) {
        char line[128];

        printf(".It Ic %s\n", t->key);
        snprintf(line, sizeof(line), "A group, see the keys of %s.", t->title);
        put_lines(line);
        put_lines(t->help);
        if (t->default_words) {
                snprintf(line, sizeof(line), "Default: %s.", t->default_words);
                put_lines(line);
        }
}

static void put_table(const char *name) {
        for (SettingGroup group = 0; group < SETTING_GROUP_MAX; group++) {
                const SettingTable *table = setting_table(group);
                SettingGroup inside = SETTING_GROUP_INVALID;

                if (strcmp(table->title, name) != 0)
                        continue;
                puts(".Bl -tag -width Ds");
                for (size_t i = 0; i < table->n_rows; i++)
                        put_row(&table->rows[i]);
                while ((inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                        put_group(setting_table(inside));
                puts(".El");
                return;
        }

        fprintf(stderr, "there is no group \"%s\"\n", name);
        exit(EXIT_FAILURE);
}

static void put_presets(void) {
        puts(".Bl -tag -width Ds");
        for (const Preset *p = NULL; (p = preset_next(p));) {
                char line[512];

                printf(".It Cm %s\n", p->name);
                snprintf(line, sizeof(line), "fd_protocol \"%s\", type \"%s\", kill_signal \"%s\".",
                         p->fd_protocol, p->type, p->kill_signal);
                put_lines(line);
                snprintf(line, sizeof(line), "Its own configuration needs: %s.", p->advice);
                put_lines(line);
        }
        puts(".El");
}

int main(void) {
        char line[4096];

        while (fgets(line, sizeof(line), stdin)) {
                char name[64];

                if (sscanf(line, "@KEYS %63[^@]@", name) == 1)
                        put_table(name);
                else if (strcmp(line, "@PRESETS@\n") == 0)
                        put_presets();
                else
                        fputs(line, stdout);
        }

        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
