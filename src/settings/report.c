#include "settings/report.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/lookup.h"

typedef enum ReportKind {
        REPORT_LITERAL,
        REPORT_PROBLEM,
        REPORT_WARNING,
} ReportKind;

struct ReportItem {
        ReportKind kind;
        Place place;
        size_t sequence;
        char *line;
};

void report_done(Report *r) {
        for (size_t i = 0; i < r->n_items; i++)
                free(r->items[i].line);
        free(r->items);
        (void) lookups_free(r->lookups);
        *r = (Report){ 0 };
}

void problems_done(Problems *p) {
        p->lines = strv_free(p->lines);
        p->warnings = strv_free(p->warnings);
        p->n_left_out = 0;
}

const char *report_quote(const char *word, char buffer[static REPORT_QUOTE_SIZE]) {
        buffer[0] = '"';
        text_escape(word, buffer + 1, REPORT_QUOTE_SIZE - 2);
        strcat(buffer, "\"");
        return buffer;
}

static int append_item(Report *r, ReportKind kind, Place place, char *line) {
        if ((r->n_items & (r->n_items - 1)) == 0) {
                size_t n = r->n_items > 0 ? r->n_items * 2 : 1;
                ReportItem *longer = reallocarray(r->items, n, sizeof(ReportItem));

                if (!longer)
                        return -ENOMEM;
                r->items = longer;
        }

        r->items[r->n_items] = (ReportItem){ kind, place, r->n_items, line };
        r->n_items++;
        return 0;
}

_printf_(5, 0) static void add(Report *r, ReportKind kind, Place place, const char *path,
                               const char *format, va_list arguments) {
        char raw[REPORT_TEXT_SIZE], text[REPORT_TEXT_SIZE];
        char *line = NULL;

        if (kind != REPORT_WARNING)
                r->n_problems++;
        if (r->n_items >= PROBLEMS_MAX) {
                r->n_left_out += kind != REPORT_WARNING;
                return;
        }

        (void) vsnprintf(raw, sizeof(raw), format, arguments);
        text_escape(raw, text, sizeof(text));

        if (place.line == 0)
                place.line = 1;
        if (asprintf(&line, "%s:%u: %s%s%s", place.file, place.line, path ?: "", path ? ": " : "",
                     text) < 0 ||
            append_item(r, kind, place, line) < 0) {
                free(line);
                r->is_out_of_memory = true;
        }
}

void report_problem(Report *r, Place place, const char *path, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(r, REPORT_PROBLEM, place, path, format, arguments);
        va_end(arguments);
}

void report_literal(Report *r, Place place, const char *path, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(r, REPORT_LITERAL, place, path, format, arguments);
        va_end(arguments);
}

void report_warning(Report *r, Place place, const char *path, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(r, REPORT_WARNING, place, path, format, arguments);
        va_end(arguments);
}

static int compare_places(const ReportItem *a, const ReportItem *b) {
        int r = strcmp(a->place.file, b->place.file);

        if (r != 0)
                return r;
        return (a->place.line > b->place.line) - (a->place.line < b->place.line);
}

/* Within a line, literals first, then as they were found. */
static int compare_items(const void *p, const void *q) {
        const ReportItem *a = p, *b = q;
        int r = compare_places(a, b);

        if (r != 0)
                return r;
        if ((a->kind == REPORT_LITERAL) != (b->kind == REPORT_LITERAL))
                return a->kind == REPORT_LITERAL ? -1 : 1;
        return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

int report_finish(Report *r, Problems *ret) {
        const ReportItem *literal = NULL;
        int result = 0;

        if (r->n_items > 0)
                qsort(r->items, r->n_items, sizeof(ReportItem), compare_items);

        for (size_t i = 0; i < r->n_items && result == 0; i++) {
                ReportItem *item = &r->items[i];

                if (item->kind == REPORT_LITERAL)
                        literal = item;
                else if (literal && compare_places(literal, item) == 0)
                        continue;

                result = strv_push(item->kind == REPORT_WARNING ? &ret->warnings : &ret->lines,
                                   item->line);
        }

        ret->n_left_out = r->n_left_out;
        if (result == 0 && r->is_out_of_memory)
                result = -ENOMEM;
        return result;
}
