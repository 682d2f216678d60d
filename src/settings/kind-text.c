/* Kinds of text: strings, names, paths, lists of them, programs with their arguments. */

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/preset.h"
#include "settings/value.h"

/* ---- one text -------------------------------------------------------------------------------- */

static int string_read(const Reading *r) {
        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, r->row->kind->expected);
        if (!r->node->string[0])
                return value_refuse(r, r->node, "an empty string, expected some text");

        return value_set_string(r->field, r->node->string);
}

static int string_from_text(const SettingRow *row, const char *text, void *field) {
        return value_set_string(field, text);
}

static bool string_print(const SettingRow *row, const void *field, FILE *to) {
        const char *text = *(char *const *) field;

        if (!text)
                return false;
        value_print_string(text, to);
        return true;
}

static void string_done(void *field) {
        free(*(char **) field);
}

const ValueKind value_kind_string = {
        .expected = "a string",
        .read = string_read,
        .from_text = string_from_text,
        .print = string_print,
        .equal = value_text_equal,
        .done = string_done,
};

/* sd_listen_fds_with_names(3): printable ASCII without ':', at most 255 bytes. */
static int descriptor_name_read(const Reading *r) {
        const char *text = r->node->kind == TREE_STRING ? r->node->string : "";
        size_t length = strlen(text);

        for (size_t i = 0; i < length; i++)
                if (text[i] < 0x20 || text[i] > 0x7e || text[i] == ':' || i >= 255)
                        return value_refuse(r, r->node,
                                            "not a name of a descriptor, expected at "
                                            "most 255 printable ASCII characters without ':'");

        return string_read(r);
}

const ValueKind value_kind_descriptor_name = {
        .expected = "a string",
        .read = descriptor_name_read,
        .from_text = string_from_text,
        .print = string_print,
        .equal = value_text_equal,
        .done = string_done,
};

static int preset_read(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE], names[512];

        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, r->row->kind->expected);
        if (!preset_find(r->node->string))
                return value_refuse(r, r->node, "%s is not known, expected one of %s",
                                    report_quote(r->node->string, quoted),
                                    preset_list(names, sizeof(names)));

        return value_set_string(r->field, r->node->string);
}

const ValueKind value_kind_preset = {
        .expected = "the name of a preset",
        .read = preset_read,
        .from_text = string_from_text,
        .print = string_print,
        .equal = value_text_equal,
        .done = string_done,
};

static int identity_read(const Reading *r) {
        char number[32];

        if (r->node->kind != TREE_INTEGER)
                return string_read(r);
        if (r->node->integer < 0 || r->node->integer >= UINT32_MAX)
                return value_refuse(r, r->node,
                                    "%" PRId64 " is out of range, expected a name or a number",
                                    r->node->integer);

        snprintf(number, sizeof(number), "%" PRId64, r->node->integer);
        return value_set_string(r->field, number);
}

const ValueKind value_kind_identity = {
        .expected = "a name or a number",
        .read = identity_read,
        .from_text = string_from_text,
        .print = string_print,
        .equal = value_text_equal,
        .done = string_done,
};

/* ---- paths ----------------------------------------------------------------------------------- */

#define PATH_EXPECTED "an absolute path"

/* Returns whether it is one. */
static bool check_path(const Reading *r, const Tree *node, const char *path) {
        char quoted[REPORT_QUOTE_SIZE];

        if (path[0] != '/')
                value_refuse(r, node, "%s is not absolute, expected a path from /",
                             report_quote(path, quoted));
        else if (strlen(path) >= PATH_MAX)
                value_refuse(r, node, "a path too long, expected less than %d bytes", PATH_MAX);
        else
                return true;

        return false;
}

static int path_read(const Reading *r) {
        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, PATH_EXPECTED);
        if (!check_path(r, r->node, r->node->string))
                return 0;

        return value_set_string(r->field, r->node->string);
}

const ValueKind value_kind_path = {
        .expected = PATH_EXPECTED,
        .read = path_read,
        .from_text = string_from_text,
        .print = string_print,
        .equal = value_text_equal,
        .done = string_done,
};

/* ---- lists of texts -------------------------------------------------------------------------- */

#define STRINGS_EXPECTED    "a string or an array of strings"
#define IDENTITIES_EXPECTED "a name or a number, or an array of them"
#define FILES_EXPECTED      "an absolute path or an array of them"

/* Returns whether none of them is empty, and there is one if there must. */
static bool check_strings(const Reading *r, char *const *list) {
        bool is_good = true;

        for (size_t i = 0; i < strv_length(list); i++)
                if (!list[i][0]) {
                        value_refuse(r, value_item_node(r, i),
                                     "an empty string, expected some text");
                        is_good = false;
                }

        if (!list && r->row->is_required) {
                value_refuse(r, r->node, "an empty list, expected at least one string");
                is_good = false;
        }

        return is_good;
}

static int read_strings(const Reading *r, bool numbers_may_do) {
        _cleanup_strv_ char **list = NULL;
        int result;

        result = value_take_strings(r, r->row->kind->expected, /* one_may_do= */ true,
                                    numbers_may_do, &list);
        if (result > 0 && check_strings(r, list))
                value_replace_strings(r, &list);
        return result < 0 ? result : 0;
}

static int strings_read(const Reading *r) {
        return read_strings(r, /* numbers_may_do= */ false);
}

static int identities_read(const Reading *r) {
        return read_strings(r, /* numbers_may_do= */ true);
}

static int files_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        bool is_good;
        int result;

        result = value_take_strings(r, FILES_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ false, &list);
        if (result <= 0)
                return result;

        is_good = check_strings(r, list);
        for (size_t i = 0; is_good && i < strv_length(list); i++)
                is_good = check_path(r, value_item_node(r, i), list[i] + (list[i][0] == '-'));
        if (is_good)
                value_replace_strings(r, &list);
        return 0;
}

static bool strings_print(const SettingRow *row, const void *field, FILE *to) {
        char *const *list = *(char **const *) field;

        if (!list)
                return false;
        value_print_strings(list, to);
        return true;
}

static void strings_done(void *field) {
        strv_free(*(char ***) field);
}

const ValueKind value_kind_strings = {
        .expected = STRINGS_EXPECTED,
        .read = strings_read,
        .print = strings_print,
        .equal = value_strings_equal,
        .done = strings_done,
};

const ValueKind value_kind_identities = {
        .expected = IDENTITIES_EXPECTED,
        .read = identities_read,
        .print = strings_print,
        .equal = value_strings_equal,
        .done = strings_done,
};

const ValueKind value_kind_files = {
        .expected = FILES_EXPECTED,
        .read = files_read,
        .print = strings_print,
        .equal = value_strings_equal,
        .done = strings_done,
};

/* ---- programs -------------------------------------------------------------------------------- */

#define ARGV_EXPECTED "an array of strings: the program by its absolute path, and its arguments"

/* Shows what somebody who wrote a command line should write. */
static int refuse_command_line(const Reading *r) {
        static const char shell[] = "|&;<>()$`\\\"'*?[]~\n";
        char array[REPORT_TEXT_SIZE / 2] = "", raw[sizeof(array)];
        const char *text = r->node->string;
        size_t at = 0;

        if (text[strcspn(text, shell)])
                return value_refuse(r, r->node,
                                    "a command line for a shell is refused, expected an array of "
                                    "strings [\"/path/of/program\", \"argument\"], or "
                                    "[\"/bin/sh\", \"-c\", \"exec …\"] where a shell is needed");

        while (*(text += strspn(text, " \t")) && at < sizeof(raw)) {
                size_t n = strcspn(text, " \t");

                at += (size_t) snprintf(raw + at, sizeof(raw) - at, "%s\"%.*s\"",
                                        at > 0 ? ", " : "", (int) n, text);
                text += n;
        }

        if (at > 0)
                text_escape(raw, array, sizeof(array));
        return value_refuse(r, r->node,
                            "a command line for a shell is refused, expected an array of strings: "
                            "[%s]",
                            array);
}

/* Reads one program with its arguments.  Returns 1, 0 after a report, or -ENOMEM. */
static int take_argv(const Reading *r, bool has_prefix, char ***ret) {
        _cleanup_strv_ char **list = NULL;
        int result;

        if (r->node->kind == TREE_STRING)
                return refuse_command_line(r);

        result = value_take_strings(r, ARGV_EXPECTED, /* one_may_do= */ false,
                                    /* numbers_may_do= */ false, &list);
        if (result <= 0)
                return result;
        if (!list)
                return value_refuse(r, r->node, "an empty array, expected " ARGV_EXPECTED);
        if (!check_path(r, value_item_node(r, 0), list[0] + (has_prefix && list[0][0] == '-')))
                return 0;

        *ret = TAKE_PTR(list);
        return 1;
}

static int argv_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        int result;

        result = take_argv(r, /* has_prefix= */ false, &list);
        if (result > 0)
                value_replace_strings(r, &list);
        return result < 0 ? result : 0;
}

const ValueKind value_kind_argv = {
        .expected = ARGV_EXPECTED,
        .read = argv_read,
        .print = strings_print,
        .equal = value_strings_equal,
        .done = strings_done,
};

/* ---- several programs ------------------------------------------------------------------------ */

static void commands_done(void *field) {
        CommandList *list = field;

        for (size_t i = 0; i < list->n_commands; i++)
                strv_free(list->commands[i].argv);
        free(list->commands);
        *list = (CommandList){ 0 };
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int add_command(const Reading *r, const Tree *node, CommandList *list) {
        Reading one = { r->row, node, r->object, r->field, r->report };
        _cleanup_strv_ char **argv = NULL;
        Command *longer;
        bool may_fail;
        int result;

        result = take_argv(&one, /* has_prefix= */ true, &argv);
        if (result <= 0)
                return result;

        may_fail = argv[0][0] == '-';
        if (may_fail)
                memmove(argv[0], argv[0] + 1, strlen(argv[0]));

        longer = reallocarray(list->commands, list->n_commands + 1, sizeof(Command));
        if (!longer)
                return -ENOMEM;
        list->commands = longer;
        list->commands[list->n_commands++] = (Command){ TAKE_PTR(argv), may_fail };
        return 1;
}

/* One array of strings is one program; a list of arrays, several. */
static int commands_read(const Reading *r) {
        const Tree *node = r->node;
        bool are_many = node->kind == TREE_LIST && node->n_children > 0 &&
                        node->children[0]->kind == TREE_LIST;
        CommandList list = { 0 };
        int result = 1;

        for (size_t i = 0; result > 0 && i < (are_many ? node->n_children : 1); i++)
                result = add_command(r, are_many ? node->children[i] : node, &list);
        if (result <= 0) {
                commands_done(&list);
                return result;
        }

        commands_done(r->field);
        *(CommandList *) r->field = list;
        return 0;
}

static void print_command(const Command *command, FILE *to) {
        fputs("[", to);
        STRV_FOREACH(item, command->argv) {
                if (item != command->argv)
                        fputs(", ", to);
                else if (command->may_fail) {
                        fputs("\"-\" ", to); /* libconfig joins neighbours */
                }
                value_print_string(*item, to);
        }
        fputs("]", to);
}

static bool commands_print(const SettingRow *row, const void *field, FILE *to) {
        const CommandList *list = field;

        if (list->n_commands == 0)
                return false;

        fputs("(", to);
        for (size_t i = 0; i < list->n_commands; i++) {
                fputs(i > 0 ? ", " : "", to);
                print_command(&list->commands[i], to);
        }
        fputs(")", to);
        return true;
}

static bool commands_equal(const SettingRow *row, const void *a, const void *b) {
        const CommandList *x = a, *y = b;

        if (x->n_commands != y->n_commands)
                return false;

        for (size_t i = 0; i < x->n_commands; i++)
                if (x->commands[i].may_fail != y->commands[i].may_fail ||
                    !strv_equal(x->commands[i].argv, y->commands[i].argv))
                        return false;

        return true;
}

const ValueKind value_kind_commands = {
        .expected = ARGV_EXPECTED,
        .read = commands_read,
        .print = commands_print,
        .equal = commands_equal,
        .done = commands_done,
};
