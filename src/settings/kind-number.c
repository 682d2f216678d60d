/* Kinds of one number: booleans, integers, durations, signals, words out of a list, modes. */

#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/value.h"

/* ---- booleans -------------------------------------------------------------------------------- */

static int boolean_read(const Reading *r) {
        if (r->node->kind != TREE_BOOLEAN)
                return value_refuse_kind(r, r->node, r->row->kind->expected);

        *(bool *) r->field = r->node->boolean;
        return 0;
}

static int boolean_from_text(const SettingRow *row, const char *text, void *field) {
        *(bool *) field = strcmp(text, "true") == 0;
        return 0;
}

static bool boolean_print(const SettingRow *row, const void *field, FILE *to) {
        fputs(*(const bool *) field ? "true" : "false", to);
        return true;
}

const ValueKind value_kind_boolean = {
        .expected = "true or false",
        .read = boolean_read,
        .from_text = boolean_from_text,
        .print = boolean_print,
        .size = sizeof(bool),
};

/* ---- integers -------------------------------------------------------------------------------- */

/* Returns 1, or 0 after a report. */
static int take_integer(const Reading *r, const char *otherwise, int *ret) {
        const SettingRow *row = r->row;
        char expected[96];

        snprintf(expected, sizeof(expected), "an integer from %" PRId64 " to %" PRId64 "%s",
                 row->min, row->max, otherwise);
        if (r->node->kind != TREE_INTEGER)
                return value_refuse_kind(r, r->node, expected);
        if (r->node->integer < row->min || r->node->integer > row->max)
                return value_refuse(r, r->node, "%" PRId64 " is out of range, expected %s",
                                    r->node->integer, expected);

        *ret = (int) r->node->integer;
        return 1;
}

static int integer_read(const Reading *r) {
        (void) take_integer(r, "", r->field);
        return 0;
}

static int integer_from_text(const SettingRow *row, const char *text, void *field) {
        *(int *) field = atoi(text);
        return 0;
}

/* 0 where 0 could not be said: off, or somebody else's default. */
static bool integer_print(const SettingRow *row, const void *field, FILE *to) {
        int value = *(const int *) field;

        if (value < row->min)
                return false;
        value_print_integer(value, to);
        return true;
}

const ValueKind value_kind_integer = {
        .expected = "an integer",
        .read = integer_read,
        .from_text = integer_from_text,
        .print = integer_print,
        .size = sizeof(int),
};

static int optional_from_text(const SettingRow *row, const char *text, void *field) {
        *(int *) field = SETTING_UNSET;
        return 0;
}

static bool optional_print(const SettingRow *row, const void *field, FILE *to) {
        int value = *(const int *) field;

        if (value == SETTING_UNSET)
                return false;
        value_print_integer(value, to);
        return true;
}

const ValueKind value_kind_optional_integer = {
        .expected = "an integer",
        .read = integer_read,
        .from_text = optional_from_text,
        .print = optional_print,
        .size = sizeof(int),
};

/* ---- workers --------------------------------------------------------------------------------- */

static unsigned count_cpus(void) {
        cpu_set_t cpus;
        unsigned n = 1;

        if (sched_getaffinity(0, sizeof(cpus), &cpus) >= 0)
                n = (unsigned) CPU_COUNT(&cpus);

        return n < WORKERS_MAX ? n : WORKERS_MAX;
}

static int workers_read(const Reading *r) {
        ServiceSettings *service = r->object;
        int n;

        if (r->node->kind == TREE_STRING && strcmp(r->node->string, "cpus") == 0) {
                service->n_workers = count_cpus();
                service->workers_are_cpus = true;
        } else if (take_integer(r, " or \"cpus\"", &n))
                service->n_workers = (unsigned) n;

        return 0;
}

static int workers_from_text(const SettingRow *row, const char *text, void *field) {
        ((ServiceSettings *) field)->n_workers = (unsigned) atoi(text);
        return 0;
}

static bool workers_print(const SettingRow *row, const void *field, FILE *to) {
        const ServiceSettings *service = field;

        if (service->workers_are_cpus)
                fputs("\"cpus\"", to);
        else
                value_print_integer(service->n_workers, to);
        return true;
}

static bool workers_equal(const SettingRow *row, const void *a, const void *b) {
        const ServiceSettings *x = a, *y = b;

        return x->workers_are_cpus == y->workers_are_cpus && x->n_workers == y->n_workers;
}

const ValueKind value_kind_workers = {
        .expected = "an integer or \"cpus\"",
        .read = workers_read,
        .from_text = workers_from_text,
        .print = workers_print,
        .equal = workers_equal,
};

/* ---- durations ------------------------------------------------------------------------------- */

#define DURATION_EXPECTED \
        "a duration such as \"90s\", \"5min 20s\", \"500ms\" or an integer in seconds"

static int refuse_duration_range(const Reading *r, const char *word) {
        const SettingRow *row = r->row;
        char min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];

        format_duration((uint64_t) row->min, min, sizeof(min));
        if (row->may_be_infinite)
                return value_refuse(r, r->node,
                                    "%s is out of range, expected at least %s, or \"infinity\"",
                                    word, min);

        format_duration((uint64_t) row->max, max, sizeof(max));
        return value_refuse(r, r->node, "%s is out of range, expected %s to %s", word, min, max);
}

static int duration_read(const Reading *r) {
        char word[REPORT_QUOTE_SIZE];
        uint64_t usec = 0;
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
                return value_refuse_kind(r, r->node, DURATION_EXPECTED);

        if (result == -EINVAL)
                return value_refuse(r, r->node, "%s is not a duration, expected " DURATION_EXPECTED,
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

/* 0 where 0 could not be said: off. */
static bool duration_print(const SettingRow *row, const void *field, FILE *to) {
        char text[DURATION_TEXT_SIZE];
        uint64_t usec = *(const uint64_t *) field;

        if (usec == 0 && row->min > 0)
                return false;
        value_print_string(format_duration(usec, text, sizeof(text)), to);
        return true;
}

const ValueKind value_kind_duration = {
        .expected = DURATION_EXPECTED,
        .read = duration_read,
        .from_text = duration_from_text,
        .print = duration_print,
        .size = sizeof(uint64_t),
};

/* ---- signals --------------------------------------------------------------------------------- */

#define SIGNAL_EXPECTED "the name of a signal such as \"SIGTERM\""

static int signal_read(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];

        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, SIGNAL_EXPECTED);
        if (parse_signal(r->node->string, r->field) < 0)
                return value_refuse(r, r->node, "%s is no signal, expected " SIGNAL_EXPECTED,
                                    report_quote(r->node->string, quoted));
        return 0;
}

static int signal_from_text(const SettingRow *row, const char *text, void *field) {
        return parse_signal(text, field);
}

static bool signal_print(const SettingRow *row, const void *field, FILE *to) {
        char text[32];

        value_print_string(format_signal(*(const int *) field, text, sizeof(text)), to);
        return true;
}

const ValueKind value_kind_signal = {
        .expected = SIGNAL_EXPECTED,
        .read = signal_read,
        .from_text = signal_from_text,
        .print = signal_print,
        .size = sizeof(int),
};

/* ---- words ----------------------------------------------------------------------------------- */

const char *value_list_names(const SettingRow *row, char *buffer, size_t size_bytes) {
        size_t at = 0;
        bool is_first = true;

        for (size_t i = 0; i < row->n_names && at < size_bytes; i++) {
                const char *before = is_first ? "" : i + 1 == row->n_names ? " or " : ", ";

                if (!row->names[i])
                        continue;
                at += (size_t) snprintf(buffer + at, size_bytes - at, "%s\"%s\"", before,
                                        row->names[i]);
                is_first = false;
        }

        return buffer;
}

static int enum_read(const Reading *r) {
        char expected[256], quoted[REPORT_QUOTE_SIZE];
        int value;

        value_list_names(r->row, expected, sizeof(expected));
        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, expected);

        value = text_lookup(r->row->names, r->row->n_names, r->node->string);
        if (value < 0)
                return value_refuse(r, r->node, "%s is not known, expected %s",
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

static bool enum_print(const SettingRow *row, const void *field, FILE *to) {
        value_print_string(row->names[*(const int *) field], to);
        return true;
}

const ValueKind value_kind_enum = {
        .expected = "a string",
        .read = enum_read,
        .from_text = enum_from_text,
        .print = enum_print,
        .size = sizeof(int),
};

/* ---- modes ----------------------------------------------------------------------------------- */

#define MODE_EXPECTED "an octal mode as a string such as \"0022\""

/* Not an integer: libconfig would read 022 as twenty-two. */
static int mode_read(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];
        mode_t mode;

        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, MODE_EXPECTED);
        if (parse_mode(r->node->string, &mode) < 0 || (int) mode > r->row->max)
                return value_refuse(r, r->node, "%s is not a mode, expected " MODE_EXPECTED,
                                    report_quote(r->node->string, quoted));

        *(int *) r->field = (int) mode;
        return 0;
}

static bool mode_print(const SettingRow *row, const void *field, FILE *to) {
        int mode = *(const int *) field;

        if (mode == SETTING_UNSET)
                return false;
        fprintf(to, "\"%04o\"", (unsigned) mode);
        return true;
}

const ValueKind value_kind_mode = {
        .expected = MODE_EXPECTED,
        .read = mode_read,
        .from_text = optional_from_text,
        .print = mode_print,
        .size = sizeof(int),
};
