#pragma once

/* What is wrong with the files, gathered while they are read.
 *
 * Every problem knows its file and line, so that the lines can be sorted at the end; what a file
 * says is escaped and cut before it gets into a line.
 */

#include "settings/settings.h"

#define REPORT_TEXT_SIZE 512

typedef struct ReportItem ReportItem;

typedef struct Report {
        ReportItem *items;
        size_t n_items;
        size_t n_problems; /* of them and of those left out; the others are warnings */
        size_t n_left_out;
        bool is_out_of_memory;
        SettingsTexts *texts; /* where what is read is kept or, if they are frozen, comes from; or NULL */
        struct Lookups *lookups; /* users and groups that were looked up */
} Report;

void report_done(Report *r);

/* Adds "FILE:LINE: PATH: …".
 *
 * @place  line 0: the file as a whole, which is shown as line 1
 * @path   NULL: there is none */
void report_problem(Report *r, Place place, const char *path, const char *format, ...)
                _printf_(4, 5);
void report_warning(Report *r, Place place, const char *path, const char *format, ...)
                _printf_(4, 5);

/* The same for something that cannot be read at all in that line: whatever else is found in the
 * line comes of it and is not shown. */
void report_literal(Report *r, Place place, const char *path, const char *format, ...)
                _printf_(4, 5);

/* Gives the lines away, sorted by file and line.  Returns 0 or -ENOMEM. */
int report_finish(Report *r, Problems *ret);

/* A word of a file in quotes, for use in a line.  Returns @buffer. */
#define REPORT_QUOTE_SIZE 128
const char *report_quote(const char *word, char buffer[static REPORT_QUOTE_SIZE]);
