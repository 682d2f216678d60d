#include "settings/value.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/address-list.h"

/* One value that is being read. */
typedef struct Reading {
        const SettingRow *row;
        const Tree *node;
        void *object;
        void *field;
        Report *report;
} Reading;

typedef struct Kind {
        const char *expected; /* where it does not depend on the row */
        int (*read)(const Reading *r);
        int (*from_text)(const SettingRow *row, const char *text, void *field); /* of defaults */
        void (*done)(void *field);
} Kind;

#define refuse(r, node, ...) tree_problem(node, (r)->report, __VA_ARGS__)

static int refuse_kind(const Reading *r, const Tree *node, const char *expected) {
        return refuse(r, node, "this is %s, expected %s", tree_kind_text(node->kind), expected);
}

/* ---- booleans, numbers ----------------------------------------------------------------------- */

static int read_boolean(const Reading *r) {
        if (r->node->kind != TREE_BOOLEAN)
                return refuse_kind(r, r->node, "true or false");

        *(bool *) r->field = r->node->boolean;
        return 0;
}

static int boolean_from_text(const SettingRow *row, const char *text, void *field) {
        *(bool *) field = strcmp(text, "true") == 0;
        return 0;
}

static int read_integer(const Reading *r) {
        const SettingRow *row = r->row;
        char expected[64];

        snprintf(expected, sizeof(expected), "an integer from %" PRId64 " to %" PRId64, row->min,
                 row->max);
        if (r->node->kind != TREE_INTEGER)
                return refuse_kind(r, r->node, expected);
        if (r->node->integer < row->min || r->node->integer > row->max)
                return refuse(r, r->node, "%" PRId64 " is out of range, expected %s",
                              r->node->integer, expected);

        *(int *) r->field = (int) r->node->integer;
        return 0;
}

static int integer_from_text(const SettingRow *row, const char *text, void *field) {
        *(int *) field = atoi(text);
        return 0;
}

/* ---- durations ------------------------------------------------------------------------------- */

#define DURATION_EXPECTED \
        "a duration such as \"90s\", \"5min 20s\", \"500ms\" or an integer in seconds"

static int refuse_duration_range(const Reading *r, const char *word) {
        const SettingRow *row = r->row;
        char min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];

        format_duration((uint64_t) row->min, min, sizeof(min));
        if (row->may_be_infinite)
                return refuse(r, r->node,
                              "%s is out of range, expected at least %s, or "
                              "\"infinity\"",
                              word, min);

        format_duration((uint64_t) row->max, max, sizeof(max));
        return refuse(r, r->node, "%s is out of range, expected %s to %s", word, min, max);
}

static int read_duration(const Reading *r) {
        char word[REPORT_QUOTE_SIZE];
        uint64_t usec;
        int result = 0;

        if (r->node->kind == TREE_INTEGER) {
                snprintf(word, sizeof(word), "%" PRId64, r->node->integer);
                if (r->node->integer < 0 ||
                    __builtin_mul_overflow((uint64_t) r->node->integer, USEC_PER_SEC, &usec))
                        result = -ERANGE;
        } else if (r->node->kind == TREE_STRING) {
                report_quote(r->node->string, word);
                result = parse_duration(r->node->string, &usec);
        } else
                return refuse_kind(r, r->node, DURATION_EXPECTED);

        if (result == -EINVAL)
                return refuse(r, r->node, "%s is not a duration, expected " DURATION_EXPECTED,
                              word);
        if (result == 0 && usec == USEC_INFINITY)
                result = r->row->may_be_infinite ? 0 : -ERANGE;
        else if (result == 0 && (usec < (uint64_t) r->row->min || usec > (uint64_t) r->row->max))
                result = -ERANGE;
        if (result < 0)
                return refuse_duration_range(r, word);

        *(uint64_t *) r->field = usec;
        return 0;
}

static int duration_from_text(const SettingRow *row, const char *text, void *field) {
        return parse_duration(text, field);
}

/* ---- signals, words -------------------------------------------------------------------------- */

#define SIGNAL_EXPECTED "the name of a signal such as \"SIGTERM\""

static int read_signal(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];

        if (r->node->kind != TREE_STRING)
                return refuse_kind(r, r->node, SIGNAL_EXPECTED);
        if (parse_signal(r->node->string, r->field) < 0)
                return refuse(r, r->node, "%s is no signal, expected " SIGNAL_EXPECTED,
                              report_quote(r->node->string, quoted));
        return 0;
}

static int signal_from_text(const SettingRow *row, const char *text, void *field) {
        return parse_signal(text, field);
}

static const char *list_names(const SettingRow *row, char *buffer, size_t size_bytes) {
        size_t at = 0;

        for (size_t i = 0; i < row->n_names && at < size_bytes; i++)
                at += (size_t) snprintf(buffer + at, size_bytes - at, "%s\"%s\"",
                                        i == 0                  ? ""
                                        : i + 1 == row->n_names ? " or "
                                                                : ", ",
                                        row->names[i]);

        return buffer;
}

static int read_enum(const Reading *r) {
        char expected[256], quoted[REPORT_QUOTE_SIZE];
        int value;

        list_names(r->row, expected, sizeof(expected));
        if (r->node->kind != TREE_STRING)
                return refuse_kind(r, r->node, expected);

        value = text_lookup(r->row->names, r->row->n_names, r->node->string);
        if (value < 0)
                return refuse(r, r->node, "%s is not known, expected %s",
                              report_quote(r->node->string, quoted), expected);

        *(int *) r->field = value;
        return 0;
}

static int enum_from_text(const SettingRow *row, const char *text, void *field) {
        int value = text_lookup(row->names, row->n_names, text);

        assert(value >= 0);
        *(int *) field = value;
        return 0;
}

#define PATH_EXPECTED        "an absolute path"
#define STRINGS_EXPECTED     "a string or an array of strings"
#define ARGV_EXPECTED        "an array of strings: the program by its absolute path, and its arguments"
#define ENVIRONMENT_EXPECTED "\"NAME=VALUE\" or an array of them"

/* ---- texts ----------------------------------------------------------------------------------- */

static int set_string(char **field, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

static int read_string(const Reading *r) {
        if (r->node->kind != TREE_STRING)
                return refuse_kind(r, r->node, "a string");
        if (!r->node->string[0])
                return refuse(r, r->node, "an empty string, expected some text");

        return set_string(r->field, r->node->string);
}

/* A name, or a number as a string or an integer. */
static int read_identity(const Reading *r) {
        char number[32];

        if (r->node->kind != TREE_INTEGER)
                return read_string(r);
        if (r->node->integer < 0 || r->node->integer >= UINT32_MAX)
                return refuse(r, r->node,
                              "%" PRId64 " is out of range, expected a name or a number",
                              r->node->integer);

        snprintf(number, sizeof(number), "%" PRId64, r->node->integer);
        return set_string(r->field, number);
}

static int read_path(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];

        if (r->node->kind != TREE_STRING)
                return refuse_kind(r, r->node, PATH_EXPECTED);
        if (r->node->string[0] != '/')
                return refuse(r, r->node, "%s is not absolute, expected a path from /",
                              report_quote(r->node->string, quoted));
        if (strlen(r->node->string) >= PATH_MAX)
                return refuse(r, r->node, "a path too long, expected less than %d bytes", PATH_MAX);

        return set_string(r->field, r->node->string);
}

static int string_from_text(const SettingRow *row, const char *text, void *field) {
        return set_string(field, text);
}

static void string_done(void *field) {
        free(*(char **) field);
}

/* ---- lists of texts -------------------------------------------------------------------------- */

/* Reads one string or a list of them.  Returns 1, or 0 after a report. */
static int take_strings(const Reading *r, const char *expected, bool one_may_do, char ***ret) {
        _cleanup_strv_ char **list = NULL;

        if (r->node->kind == TREE_STRING && one_may_do) {
                int result = strv_push(&list, r->node->string);

                if (result < 0)
                        return result;
        } else if (r->node->kind != TREE_LIST)
                return refuse_kind(r, r->node, expected);

        for (size_t i = 0; i < r->node->n_children; i++) {
                const Tree *item = r->node->children[i];
                int result;

                if (item->kind != TREE_STRING)
                        return refuse_kind(r, item, expected);
                result = strv_push(&list, item->string);
                if (result < 0)
                        return result;
        }

        *ret = TAKE_PTR(list);
        return 1;
}

static void replace_strings(const Reading *r, char ***list) {
        char ***field = r->field;

        strv_free(*field);
        *field = TAKE_PTR(*list);
}

/* The node of the string with that index, for its line. */
static const Tree *item_node(const Reading *r, size_t index) {
        return r->node->kind == TREE_LIST ? r->node->children[index] : r->node;
}

static int read_strings(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        int result;

        result = take_strings(r, STRINGS_EXPECTED, /* one_may_do= */ true, &list);
        if (result <= 0)
                return result;

        for (size_t i = 0; i < strv_length(list); i++)
                if (!list[i][0])
                        return refuse(r, item_node(r, i), "an empty string, expected some text");
        if (!list && r->row->is_required)
                return refuse(r, r->node, "an empty list, expected at least one string");

        replace_strings(r, &list);
        return 0;
}

static void strings_done(void *field) {
        strv_free(*(char ***) field);
}

/* Shows what somebody who wrote a command line should write. */
static int refuse_command_line(const Reading *r) {
        static const char shell[] = "|&;<>()$`\\\"'*?[]~\n";
        char array[REPORT_TEXT_SIZE / 2] = "", raw[sizeof(array)];
        const char *text = r->node->string;
        size_t at = 0;

        if (text[strcspn(text, shell)])
                return refuse(r, r->node,
                              "a command line for a shell is refused, expected an array of strings "
                              "[\"/path/of/program\", \"argument\"], or "
                              "[\"/bin/sh\", \"-c\", \"exec …\"] where a shell is needed");

        while (*(text += strspn(text, " \t")) && at < sizeof(raw)) {
                size_t n = strcspn(text, " \t");

                at += (size_t) snprintf(raw + at, sizeof(raw) - at, "%s\"%.*s\"",
                                        at > 0 ? ", " : "", (int) n, text);
                text += n;
        }

        if (at > 0)
                text_escape(raw, array, sizeof(array));
        return refuse(r, r->node,
                      "a command line for a shell is refused, expected an array of "
                      "strings: [%s]",
                      array);
}

static int read_argv(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        char quoted[REPORT_QUOTE_SIZE];
        int result;

        if (r->node->kind == TREE_STRING)
                return refuse_command_line(r);

        result = take_strings(r, ARGV_EXPECTED, /* one_may_do= */ false, &list);
        if (result <= 0)
                return result;
        if (!list)
                return refuse(r, r->node, "an empty array, expected a program and its arguments");
        if (list[0][0] != '/')
                return refuse(r, item_node(r, 0),
                              "%s is not absolute, expected the program's path from /",
                              report_quote(list[0], quoted));

        replace_strings(r, &list);
        return 0;
}

/* ---- environment ----------------------------------------------------------------------------- */

static bool is_variable_name(const char *text, size_t length) {
        if (length == 0 || isdigit((unsigned char) text[0]))
                return false;

        for (size_t i = 0; i < length; i++)
                if (!isalnum((unsigned char) text[i]) && text[i] != '_')
                        return false;
        return true;
}

bool value_is_reserved_variable(const char *assignment) {
        static const char *const prefixes[] = { "LISTEN_", "WATCHDOG_", "REUSEPORTD_" };

        for (size_t i = 0; i < ELEMENTS_OF(prefixes); i++)
                if (strncmp(assignment, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;

        return strncmp(assignment, "NOTIFY_SOCKET", 13) == 0 &&
               (assignment[13] == '=' || !assignment[13]);
}

/* Of two with one name the later counts, as in systemd. */
static int put_variable(char ***list, const char *assignment) {
        size_t length = strcspn(assignment, "=") + 1;

        for (size_t i = 0; *list && (*list)[i]; i++)
                if (strncmp((*list)[i], assignment, length) == 0)
                        return set_string(&(*list)[i], assignment);

        return strv_push(list, assignment);
}

/* Returns 1, or 0 after a report. */
static int check_variable(const Reading *r, const Tree *node, const char *assignment) {
        const char *equals = strchr(assignment, '=');
        size_t length = strcspn(assignment, "=");
        char quoted[REPORT_QUOTE_SIZE];

        if (!equals || !is_variable_name(assignment, length))
                return refuse(r, node, "%s is not an assignment, expected \"NAME=VALUE\"",
                              report_quote(assignment, quoted));
        if (value_is_reserved_variable(assignment))
                return refuse(r, node,
                              "%.*s is refused, expected none of LISTEN_*, NOTIFY_SOCKET, "
                              "WATCHDOG_*, REUSEPORTD_*, which are set for each worker",
                              (int) (length < 64 ? length : 64), assignment);
        return 1;
}

static int read_environment(const Reading *r) {
        _cleanup_strv_ char **list = NULL, **kept = NULL;
        int result;

        result = take_strings(r, ENVIRONMENT_EXPECTED, /* one_may_do= */ true, &list);
        if (result <= 0)
                return result;

        for (size_t i = 0; i < strv_length(list); i++) {
                if (!check_variable(r, item_node(r, i), list[i]))
                        continue;
                result = put_variable(&kept, list[i]);
                if (result < 0)
                        return result;
        }

        replace_strings(r, &kept);
        return 0;
}

/* ---- outputs --------------------------------------------------------------------------------- */

#define OUTPUT_EXPECTED "\"inherit\", \"null\", \"file:PATH\" or \"append:PATH\""

/* Returns 0; -EINVAL: no such output; -ENOMEM. */
static int parse_output(const char *text, Output *ret) {
        static const struct {
                const char *text;
                OutputKind kind;
                bool has_path;
        } forms[] = {
                { "inherit", OUTPUT_INHERIT, false },
                { "null", OUTPUT_NULL, false },
                { "file:", OUTPUT_FILE, true },
                { "append:", OUTPUT_APPEND, true },
        };

        for (size_t i = 0; i < ELEMENTS_OF(forms); i++) {
                size_t length = strlen(forms[i].text);
                char *path = NULL;

                if (strncmp(text, forms[i].text, length) != 0 ||
                    (forms[i].has_path ? text[length] != '/' : text[length] != '\0'))
                        continue;
                if (forms[i].has_path) {
                        path = strdup(text + length);
                        if (!path)
                                return -ENOMEM;
                }

                *ret = (Output){ forms[i].kind, path };
                return 0;
        }

        return -EINVAL;
}

static int read_output(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];
        Output output, *field = r->field;
        int result;

        if (r->node->kind != TREE_STRING)
                return refuse_kind(r, r->node, OUTPUT_EXPECTED);

        result = parse_output(r->node->string, &output);
        if (result == -EINVAL)
                return refuse(r, r->node,
                              "%s is not known, expected " OUTPUT_EXPECTED " with an absolute path",
                              report_quote(r->node->string, quoted));
        if (result < 0)
                return result;

        free(field->path);
        *field = output;
        return 0;
}

static int output_from_text(const SettingRow *row, const char *text, void *field) {
        return parse_output(text, field);
}

static void output_done(void *field) {
        free(((Output *) field)->path);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static int read_addresses(const Reading *r) {
        return address_list_read(r->node, (int) r->row->min, r->object, r->report);
}

/* ---- all ------------------------------------------------------------------------------------- */

static const Kind kinds[SETTING_KIND_MAX] = {
        [SETTING_BOOLEAN] = { "true or false", read_boolean, boolean_from_text },
        [SETTING_INTEGER] = { "an integer", read_integer, integer_from_text },
        [SETTING_DURATION] = { DURATION_EXPECTED, read_duration, duration_from_text },
        [SETTING_SIGNAL] = { SIGNAL_EXPECTED, read_signal, signal_from_text },
        [SETTING_ENUM] = { "a string", read_enum, enum_from_text },
        [SETTING_STRING] = { "a string", read_string, string_from_text, string_done },
        [SETTING_IDENTITY] = { "a name or a number", read_identity, string_from_text, string_done },
        [SETTING_PATH] = { PATH_EXPECTED, read_path, string_from_text, string_done },
        [SETTING_STRINGS] = { STRINGS_EXPECTED, read_strings, NULL, strings_done },
        [SETTING_ARGV] = { ARGV_EXPECTED, read_argv, NULL, strings_done },
        [SETTING_ENVIRONMENT] = { ENVIRONMENT_EXPECTED, read_environment, NULL, strings_done },
        [SETTING_OUTPUT] = { OUTPUT_EXPECTED, read_output, output_from_text, output_done },
        [SETTING_ADDRESSES] = { "an address or a list of them", read_addresses },
};

static void *field_of(const SettingRow *row, void *object) {
        return (char *) object + row->offset;
}

int value_read(const SettingRow *row, const Tree *node, void *object, Report *report) {
        Reading r = { row, node, object, field_of(row, object), report };

        return kinds[row->kind].read(&r);
}

int value_set_default(const SettingRow *row, void *object) {
        if (!row->default_text)
                return 0;

        assert(kinds[row->kind].from_text);
        return kinds[row->kind].from_text(row, row->default_text, field_of(row, object));
}

const char *value_expected(const SettingRow *row) {
        return kinds[row->kind].expected;
}

void value_done(const SettingRow *row, void *object) {
        if (kinds[row->kind].done)
                kinds[row->kind].done(field_of(row, object));
}
