#pragma once

/* How verbs answer: tables and screens for people, JSON for programs. */

#include <jansson.h>
#include <libsmartcols.h>

#include "ctl/ctl.h"

typedef struct libscols_table Table;

/* A table with these headings; NULL without memory.
 *
 * @headings  ends with NULL */
Table *output_table_new(const Ctl *c, const char *const *headings);
void output_table_free(Table *t);
DEFINE_CLEANUP(Table, output_table_free)

/* Appends a line; @color of its first column, or NULL. */
int output_table_add(Table *t, const char *color, const char *const *cells);

/* Prints it on @stream, or says what is wrong. */
CtlResult output_table_print(Table *t, FILE *stream);

/* Prints one JSON object with "schema" on one line.
 *
 * @object  taken always; may be NULL: there was no memory */
CtlResult output_json(json_t *object);

/* A state with its colour, which is NULL if none is wanted. */
const char *output_state_color(const Ctl *c, const char *state);

/* Standard output, or a pager before it: close with output_close(). */
FILE *output_open(const Ctl *c);
void output_close(FILE *stream);
DEFINE_CLEANUP(FILE, output_close)
#define _cleanup_output_ _cleanup_(output_closep)
