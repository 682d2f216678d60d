#pragma once

/* The values of keys: from a file, from a default, into a file, and away.
 *
 * A kind knows one form of value and the type of the field that holds it.  The kinds stand in
 * kind-….c; all that is not about one kind goes through the functions at the end.
 */

#include <stdio.h>

#include "settings/report.h"
#include "settings/settings-table.h"
#include "settings/tree.h"

/* One value that is being read. */
typedef struct Reading {
        const SettingRow *row;
        const Tree *node;
        void *object;
        void *field;
        Report *report;
} Reading;

struct ValueKind {
        const char *expected; /* what it looks like: "true or false" */

        /* Returns 0, also after a problem went to the report; then the field keeps its value. */
        int (*read)(const Reading *r);

        /* From a default or a preset.  NULL: there are none. */
        int (*from_text)(const SettingRow *row, const char *text, void *field);

        /* Writes it as it would stand in a file; false: it is unset, nothing is written. */
        bool (*print)(const SettingRow *row, const void *field, FILE *to);

        /* Whether two say the same.  NULL: they are compared as bytes. */
        bool (*equal)(const SettingRow *row, const void *a, const void *b);

        void (*done)(void *field); /* NULL: nothing to free */
        size_t size;               /* of a field that is compared as bytes */
};

extern const ValueKind value_kind_boolean,   /* bool */
                value_kind_integer,          /* int */
                value_kind_optional_integer, /* int, SETTING_UNSET if not said */
                value_kind_workers,          /* n_workers and workers_are_cpus of a service */
                value_kind_duration,         /* uint64_t, µs */
                value_kind_signal,           /* int */
                value_kind_enum,             /* an enum whose values are the indices of names */
                value_kind_mode,             /* int, SETTING_UNSET if not said */
                value_kind_string,           /* char *, not empty */
                value_kind_descriptor_name,  /* char *, as in LISTEN_FDNAMES */
                value_kind_preset,           /* char *, the name of one */
                value_kind_identity,         /* char *, a name or a number */
                value_kind_path,             /* char *, absolute */
                value_kind_strings,          /* char **, or one string */
                value_kind_identities,       /* char **, names or numbers */
                value_kind_files,            /* char **, absolute paths, a '-' before may be */
                value_kind_argv,             /* char **, [0] absolute */
                value_kind_commands,         /* CommandList */
                value_kind_environment,      /* char **, "K=V" */
                value_kind_variables,        /* char **, names of variables */
                value_kind_output,           /* Output */
                value_kind_limit,            /* ResourceLimit; min: the resource, max: its unit */
                value_kind_affinity,         /* CpuAffinity */
                value_kind_exit_status,      /* ExitStatusSet */
                value_kind_capabilities,     /* Capabilities */
                value_kind_canary,           /* canary and n_canary of a DeploySettings */
                value_kind_http_path,        /* char * */
                value_kind_addresses,        /* of an endpoint; min: its type */
                value_kind_sockopt;          /* one of an endpoint's sockopts */

/* ---- for every kind -------------------------------------------------------------------------- */

/* As tree_problem(): returns 0. */
#define value_refuse(r, node, ...) tree_problem(node, (r)->report, __VA_ARGS__)
int value_refuse_kind(const Reading *r, const Tree *node, const char *expected);

/* For the kinds: fields that are a char * or a char **; unset is not the same as empty. */
bool value_text_equal(const SettingRow *row, const void *a, const void *b);
bool value_strings_equal(const SettingRow *row, const void *a, const void *b);

int value_set_string(char **field, const char *text);

/* Reads one string, if @one_may_do, or a list of them; of lists, numbers too if @numbers_may_do.
 * Returns 1, 0 after a report, or -ENOMEM. */
int value_take_strings(const Reading *r, const char *expected, bool one_may_do, bool numbers_may_do,
                       char ***ret);

/* Frees the field's list and puts *list there. */
void value_replace_strings(const Reading *r, char ***list);

/* The node of the string with that index, for its line. */
const Tree *value_item_node(const Reading *r, size_t index);

/* In libconfig's syntax. */
void value_print_string(const char *text, FILE *to);
void value_print_integer(int64_t value, FILE *to);
void value_print_strings(char *const *list, FILE *to);

/* ---- for everybody --------------------------------------------------------------------------- */

/* Reads what @node says into @object.  What is wrong goes to @report, and the field keeps its
 * value.
 *
 * Returns 0, also then; -ENOMEM. */
int value_read(const SettingRow *row, const Tree *node, void *object, Report *report);

/* Puts a default or a preset's value into @object.  Returns 0 or -ENOMEM. */
int value_set_text(const SettingRow *row, const char *text, void *object);

/* As it would stand in a file, to be freed; NULL in *ret: unset.  Returns 0 or -ENOMEM. */
int value_format(const SettingRow *row, const void *object, char **ret);

/* Whether both have the same. */
bool value_equal(const SettingRow *row, const void *a, const void *b);

/* Frees what the field holds. */
void value_done(const SettingRow *row, void *object);

/* What an option or a word may be, for messages and the manual; not always in @buffer. */
const char *value_sockopt_expected(const ReuseSockoptInfo *info, char *buffer, size_t size_bytes);
const char *value_list_names(const SettingRow *row, char *buffer, size_t size_bytes);

/* Whether a variable, "NAME" or "NAME=…", is one that we set for each worker. */
bool value_is_reserved_variable(const char *assignment);

/* The length of the name at the start of "NAME=…" or "NAME"; 0: it is none. */
size_t value_variable_name_length(const char *assignment);

/* Puts "NAME=VALUE" into a list in the place of one with the same name, or at its end.  Returns 0
 * or -ENOMEM. */
int value_put_variable(char ***list, const char *assignment);
