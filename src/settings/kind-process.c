/* Kinds of what a process is given: outputs, limits, CPUs, capabilities; and what its end means. */

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <cap-ng.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/value.h"

/* ---- outputs --------------------------------------------------------------------------------- */

#define OUTPUT_EXPECTED \
        "\"journal\", \"inherit\", \"null\", \"file:PATH\" or \"append:PATH\" with an absolute path"

static const struct {
        const char *text;
        OutputKind kind;
        bool has_path;
} output_forms[] = {
        { "inherit", OUTPUT_INHERIT, false }, { "null", OUTPUT_NULL, false },
        { "journal", OUTPUT_JOURNAL, false }, { "file:", OUTPUT_FILE, true },
        { "append:", OUTPUT_APPEND, true },
};

/* Returns 0; -EINVAL: no such output; -ENOMEM. */
static int parse_output(const char *text, Output *ret) {
        for (size_t i = 0; i < ELEMENTS_OF(output_forms); i++) {
                const char *form = output_forms[i].text;
                size_t length = strlen(form);
                char *path = NULL;

                if (strncmp(text, form, length) != 0 ||
                    (output_forms[i].has_path ? text[length] != '/' : text[length] != '\0'))
                        continue;
                if (output_forms[i].has_path) {
                        path = strdup(text + length);
                        if (!path)
                                return -ENOMEM;
                }

                *ret = (Output){ output_forms[i].kind, path };
                return 0;
        }

        return -EINVAL;
}

static void output_done(void *field) {
        free(((Output *) field)->path);
}

static int output_read(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];
        Output output;
        int result;

        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, OUTPUT_EXPECTED);

        result = parse_output(r->node->string, &output);
        if (result == -EINVAL)
                return value_refuse(r, r->node, "%s is not known, expected " OUTPUT_EXPECTED,
                                    report_quote(r->node->string, quoted));
        if (result < 0)
                return result;

        output_done(r->field);
        *(Output *) r->field = output;
        return 0;
}

static int output_from_text(const SettingRow *row, const char *text, void *field) {
        *(Output *) field = (Output){ OUTPUT_AUTO, NULL };
        return 0;
}

static bool output_print(const SettingRow *row, const void *field, FILE *to) {
        const Output *output = field;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < ELEMENTS_OF(output_forms); i++)
                if (output_forms[i].kind == output->kind) {
                        if (asprintf(&text, "%s%s", output_forms[i].text, output->path ?: "") >= 0)
                                value_print_string(text, to);
                        return true;
                }

        return false;
}

static bool output_equal(const SettingRow *row, const void *a, const void *b) {
        const Output *x = a, *y = b;

        return x->kind == y->kind && value_text_equal(row, &x->path, &y->path);
}

const ValueKind value_kind_output = {
        .expected = OUTPUT_EXPECTED,
        .read = output_read,
        .from_text = output_from_text,
        .print = output_print,
        .equal = output_equal,
        .done = output_done,
};

/* ---- limits ---------------------------------------------------------------------------------- */

static const char *limit_expected(const SettingRow *row) {
        switch ((LimitUnit) row->max) {
        case LIMIT_BYTES:
                return "a size such as \"64M\", \"SOFT:HARD\" or \"infinity\"";
        case LIMIT_SECONDS:
        case LIMIT_MICROSECONDS:
                return "a duration such as \"10s\", \"SOFT:HARD\" or \"infinity\"";
        case LIMIT_NUMBER:
                break;
        }

        return "an integer, \"SOFT:HARD\" or \"infinity\"";
}

/* One half of a limit.  Returns 0, -EINVAL or -ERANGE. */
static int parse_limit(LimitUnit unit, const char *text, uint64_t *ret) {
        uint64_t usec;
        int r;

        if (strcmp(text, "infinity") == 0) {
                *ret = RLIM_INFINITY;
                return 0;
        }

        switch (unit) {
        case LIMIT_NUMBER:
                return parse_unsigned(text, RLIM_INFINITY - 1, ret);
        case LIMIT_BYTES:
                return parse_size(text, ret);
        case LIMIT_SECONDS:
        case LIMIT_MICROSECONDS:
                r = parse_duration(text, &usec);
                if (r < 0)
                        return r;
                *ret = unit == LIMIT_MICROSECONDS ? usec
                                                  : usec / USEC_PER_SEC + (usec % USEC_PER_SEC > 0);
                return 0;
        }

        return -EINVAL;
}

/* "SOFT:HARD", or one for both. */
static int parse_limits(LimitUnit unit, const char *text, ResourceLimit *ret) {
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *soft = NULL;
        uint64_t soft_value, hard_value;
        int r;

        soft = colon ? strndup(text, (size_t) (colon - text)) : strdup(text);
        if (!soft)
                return -ENOMEM;

        r = parse_limit(unit, soft, &soft_value);
        if (r < 0)
                return r;
        r = parse_limit(unit, colon ? colon + 1 : soft, &hard_value);
        if (r < 0)
                return r;
        if (soft_value > hard_value)
                return -ERANGE;

        *ret = (ResourceLimit){ true, { soft_value, hard_value } };
        return 0;
}

static int limit_read(const Reading *r) {
        ResourceLimit *limit = r->field;
        LimitUnit unit = (LimitUnit) r->row->max;
        char quoted[REPORT_QUOTE_SIZE], number[32];
        const char *text = number;
        int result;

        if (r->node->kind == TREE_STRING)
                text = r->node->string;
        else if (r->node->kind == TREE_INTEGER)
                snprintf(number, sizeof(number), "%" PRId64, r->node->integer);
        else
                return value_refuse_kind(r, r->node, limit_expected(r->row));

        result = parse_limits(unit, text, limit);
        if (result == -ENOMEM)
                return result;
        if (result < 0)
                return value_refuse(r, r->node, "%s is not a limit%s, expected %s",
                                    report_quote(text, quoted),
                                    result == -ERANGE ? " or beyond its range" : "",
                                    limit_expected(r->row));
        return 0;
}

static const char *format_limit(LimitUnit unit, rlim_t value, char *buffer, size_t size_bytes) {
        if (value == RLIM_INFINITY)
                return "infinity";

        if (unit == LIMIT_MICROSECONDS)
                snprintf(buffer, size_bytes, "%" PRIu64 "us", (uint64_t) value);
        else
                snprintf(buffer, size_bytes, "%" PRIu64, (uint64_t) value);
        return buffer;
}

static bool limit_print(const SettingRow *row, const void *field, FILE *to) {
        const ResourceLimit *limit = field;
        LimitUnit unit = (LimitUnit) row->max;
        char soft[32], hard[32];

        if (!limit->is_set)
                return false;

        fprintf(to, "\"%s:%s\"", format_limit(unit, limit->limit.rlim_cur, soft, sizeof(soft)),
                format_limit(unit, limit->limit.rlim_max, hard, sizeof(hard)));
        return true;
}

static bool limit_equal(const SettingRow *row, const void *a, const void *b) {
        const ResourceLimit *x = a, *y = b;

        return x->is_set == y->is_set && (!x->is_set || (x->limit.rlim_cur == y->limit.rlim_cur &&
                                                         x->limit.rlim_max == y->limit.rlim_max));
}

const ValueKind value_kind_limit = {
        .expected = "a limit, \"SOFT:HARD\" or \"infinity\"",
        .read = limit_read,
        .print = limit_print,
        .equal = limit_equal,
};

/* ---- CPUs ------------------------------------------------------------------------------------ */

#define AFFINITY_EXPECTED "\"slot\", or CPUs such as \"0-3,6\" or [0, 1]"

/* "0-3,6".  Returns 0, -EINVAL or -ERANGE. */
static int add_cpus(const char *text, cpu_set_t *cpus) {
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *part;

        if (!copy)
                return -ENOMEM;

        while ((part = strsep(&rest, ","))) {
                char *dash = strchr(part, '-');
                uint64_t first, last;
                int r;

                if (dash)
                        *dash = '\0';
                r = parse_unsigned(part, CPU_SETSIZE - 1, &first);
                if (r >= 0)
                        r = parse_unsigned(dash ? dash + 1 : part, CPU_SETSIZE - 1, &last);
                if (r < 0)
                        return r;
                if (first > last)
                        return -ERANGE;
                for (; first <= last; first++)
                        CPU_SET(first, cpus);
        }

        return 0;
}

static int affinity_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        CpuAffinity affinity = { .kind = CPU_AFFINITY_SET };
        int result;

        result = value_take_strings(r, AFFINITY_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ true, &list);
        if (result <= 0)
                return result;
        if (!list)
                return value_refuse(r, r->node, "an empty list, expected " AFFINITY_EXPECTED);

        if (r->node->kind == TREE_STRING && strcmp(list[0], "slot") == 0)
                affinity.kind = CPU_AFFINITY_SLOT;
        else
                STRV_FOREACH(item, list) {
                        char quoted[REPORT_QUOTE_SIZE];

                        result = add_cpus(*item, &affinity.cpus);
                        if (result == -ENOMEM)
                                return result;
                        if (result < 0)
                                return value_refuse(r, value_item_node(r, (size_t) (item - list)),
                                                    "%s is no CPU, expected " AFFINITY_EXPECTED,
                                                    report_quote(*item, quoted));
                }

        *(CpuAffinity *) r->field = affinity;
        return 0;
}

static bool affinity_print(const SettingRow *row, const void *field, FILE *to) {
        const CpuAffinity *affinity = field;
        bool is_first = true;

        switch (affinity->kind) {
        case CPU_AFFINITY_INHERIT:
                return false;
        case CPU_AFFINITY_SLOT:
                fputs("\"slot\"", to);
                return true;
        case CPU_AFFINITY_SET:
                break;
        }

        fputs("[", to);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &affinity->cpus)) {
                        fprintf(to, "%s%d", is_first ? "" : ", ", cpu);
                        is_first = false;
                }
        fputs("]", to);
        return true;
}

const ValueKind value_kind_affinity = {
        .expected = AFFINITY_EXPECTED,
        .read = affinity_read,
        .print = affinity_print,
        .size = sizeof(CpuAffinity),
};

/* ---- exit status ----------------------------------------------------------------------------- */

#define EXIT_EXPECTED "exit codes 0 to 255 and names of signals, one or an array of strings"

static int exit_status_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        ExitStatusSet set = { 0 };
        int result;

        result = value_take_strings(r, EXIT_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ true, &list);
        if (result <= 0)
                return result;

        STRV_FOREACH(item, list) {
                char quoted[REPORT_QUOTE_SIZE];
                uint64_t code;
                int number;

                if (parse_unsigned(*item, 255, &code) == 0)
                        set.codes[code / 64] |= UINT64_C(1) << code % 64;
                else if (!isdigit((unsigned char) **item) && parse_signal(*item, &number) == 0)
                        set.signals |= UINT64_C(1) << (number - 1);
                else
                        return value_refuse(r, value_item_node(r, (size_t) (item - list)),
                                            "%s is no exit status, expected " EXIT_EXPECTED,
                                            report_quote(*item, quoted));
        }

        *(ExitStatusSet *) r->field = set;
        return 0;
}

static bool exit_status_print(const SettingRow *row, const void *field, FILE *to) {
        const ExitStatusSet *set = field;
        bool is_first = true;
        char text[32];

        for (unsigned code = 0; code < 256; code++)
                if (set->codes[code / 64] & UINT64_C(1) << code % 64) {
                        fprintf(to, "%s\"%u\"", is_first ? "[" : ", ", code);
                        is_first = false;
                }
        for (int number = 1; number <= 64; number++)
                if (set->signals & UINT64_C(1) << (number - 1)) {
                        fprintf(to, "%s\"%s\"", is_first ? "[" : ", ",
                                format_signal(number, text, sizeof(text)));
                        is_first = false;
                }

        if (!is_first)
                fputs("]", to);
        return !is_first;
}

const ValueKind value_kind_exit_status = {
        .expected = EXIT_EXPECTED,
        .read = exit_status_read,
        .print = exit_status_print,
        .size = sizeof(ExitStatusSet),
};

/* ---- capabilities ---------------------------------------------------------------------------- */

#define CAPABILITIES_EXPECTED "a name such as \"CAP_NET_BIND_SERVICE\" or an array of them"

static int parse_capability(const char *name) {
        if (strncasecmp(name, "CAP_", 4) != 0)
                return -EINVAL;

        return capng_name_to_capability(name + 4);
}

static int capabilities_read(const Reading *r) {
        _cleanup_strv_ char **list = NULL;
        uint64_t capabilities = 0;
        int result;

        result = value_take_strings(r, CAPABILITIES_EXPECTED, /* one_may_do= */ true,
                                    /* numbers_may_do= */ false, &list);
        if (result <= 0)
                return result;

        STRV_FOREACH(item, list) {
                char quoted[REPORT_QUOTE_SIZE];
                int number = parse_capability(*item);

                if (number < 0 || number >= 64)
                        return value_refuse(r, value_item_node(r, (size_t) (item - list)),
                                            "%s is no capability, expected " CAPABILITIES_EXPECTED,
                                            report_quote(*item, quoted));
                capabilities |= UINT64_C(1) << number;
        }

        *(uint64_t *) r->field = capabilities;
        return 0;
}

static bool capabilities_print(const SettingRow *row, const void *field, FILE *to) {
        uint64_t capabilities = *(const uint64_t *) field;
        bool is_first = true;

        for (unsigned i = 0; i < 64; i++) {
                const char *name = capabilities & UINT64_C(1) << i ? capng_capability_to_name(i)
                                                                   : NULL;

                if (!name)
                        continue;
                fputs(is_first ? "[\"CAP_" : ", \"CAP_", to);
                for (; *name; name++)
                        putc(toupper((unsigned char) *name), to);
                putc('"', to);
                is_first = false;
        }

        if (!is_first)
                fputs("]", to);
        return !is_first;
}

const ValueKind value_kind_capabilities = {
        .expected = CAPABILITIES_EXPECTED,
        .read = capabilities_read,
        .print = capabilities_print,
        .size = sizeof(uint64_t),
};
