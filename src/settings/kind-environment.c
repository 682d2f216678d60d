/* Variables: assignments, and names of those that pass. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/value.h"

#define ENVIRONMENT_EXPECTED "\"NAME=VALUE\" or an array of them"
#define VARIABLES_EXPECTED   "a name of a variable or an array of them"
#define RESERVED_EXPECTED                                                                \
        "expected none of LISTEN_*, NOTIFY_SOCKET, WATCHDOG_*, REUSEPORTD_*, which are " \
        "set for each worker"

size_t value_variable_name_length(const char *assignment) {
        size_t n = 0;

        if (isdigit((unsigned char) assignment[0]))
                return 0;
        while (isalnum((unsigned char) assignment[n]) || assignment[n] == '_')
                n++;

        return assignment[n] == '=' || !assignment[n] ? n : 0;
}

bool value_is_reserved_variable(const char *assignment) {
        static const char *const prefixes[] = { "LISTEN_", "WATCHDOG_", "REUSEPORTD_" };
        static const char notify[] = "NOTIFY_SOCKET";
        size_t length = strlen(notify);

        for (size_t i = 0; i < ELEMENTS_OF(prefixes); i++)
                if (strncmp(assignment, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;

        return strncmp(assignment, notify, length) == 0 &&
               (assignment[length] == '=' || !assignment[length]);
}

int value_put_variable(char ***list, const char *assignment) {
        size_t length = strcspn(assignment, "=") + 1;

        for (size_t i = 0; *list && (*list)[i]; i++)
                if (strncmp((*list)[i], assignment, length) == 0)
                        return value_set_string(&(*list)[i], assignment);

        return strv_push(list, assignment);
}

static bool check_reserved(const Reading *r, const Tree *node, const char *word, size_t length) {
        if (!value_is_reserved_variable(word))
                return true;

        value_refuse(r, node, "%.*s is refused, " RESERVED_EXPECTED,
                     (int) (length < 64 ? length : 64), word);
        return false;
}

static bool check_assignment(const Reading *r, const Tree *node, const char *word) {
        size_t length = value_variable_name_length(word);
        char quoted[REPORT_QUOTE_SIZE];

        if (length > 0 && word[length] == '=')
                return check_reserved(r, node, word, length);

        value_refuse(r, node, "%s is not an assignment, expected \"NAME=VALUE\"",
                     report_quote(word, quoted));
        return false;
}

static bool check_variable(const Reading *r, const Tree *node, const char *word) {
        size_t length = value_variable_name_length(word);
        char quoted[REPORT_QUOTE_SIZE];

        if (length > 0 && !word[length])
                return check_reserved(r, node, word, length);

        value_refuse(r, node, "%s is not a name of a variable, expected letters, digits and '_'",
                     report_quote(word, quoted));
        return false;
}

/* Of two with one name the later counts, as in systemd. */
static int environment_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL, **kept = NULL;
        int result;

        result = value_take_strings(r, ENVIRONMENT_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ false, &list);
        if (result <= 0)
                return result;

        for (size_t i = 0; i < strv_length(list); i++) {
                if (!check_assignment(r, value_item_node(r, i), list[i]))
                        continue;
                result = value_put_variable(&kept, list[i]);
                if (result < 0)
                        return result;
        }

        value_replace_strings(r, &kept);
        return 0;
}

static int variables_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        bool is_good = true;
        int result;

        result = value_take_strings(r, VARIABLES_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ false, &list);
        if (result <= 0)
                return result;

        for (size_t i = 0; i < strv_length(list); i++)
                is_good &= check_variable(r, value_item_node(r, i), list[i]);
        if (is_good)
                value_replace_strings(r, &list);
        return 0;
}

static bool variables_print(const SettingRow *row, const void *field, FILE *to) {
        char *const *list = *(char **const *) field;

        if (!list)
                return false;
        value_print_strings(list, to);
        return true;
}

static void variables_done(void *field) {
        strv_free(*(char ***) field);
}

const ValueKind value_kind_environment = {
        .expected = ENVIRONMENT_EXPECTED,
        .read = environment_read,
        .print = variables_print,
        .equal = value_strings_equal,
        .done = variables_done,
};

const ValueKind value_kind_variables = {
        .expected = VARIABLES_EXPECTED,
        .read = variables_read,
        .print = variables_print,
        .equal = value_strings_equal,
        .done = variables_done,
};
