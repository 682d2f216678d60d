#include "settings/value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int value_refuse_kind(const Reading *r, const Tree *node, const char *expected) {
        return value_refuse(r, node, "this is %s, expected %s", tree_kind_text(node->kind),
                            expected);
}

int value_set_string(char **field, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int take_item(const Reading *r, const Tree *item, const char *expected, bool numbers_may_do,
                     char ***list) {
        char number[32];
        int result;

        if (item->kind == TREE_INTEGER && numbers_may_do) {
                snprintf(number, sizeof(number), "%" PRId64, item->integer);
                result = strv_push(list, number);
        } else if (item->kind == TREE_STRING)
                result = strv_push(list, item->string);
        else
                return value_refuse_kind(r, item, expected);

        return result < 0 ? result : 1;
}

int value_take_strings(const Reading *r, const char *expected, bool one_may_do, bool numbers_may_do,
                       char ***ret) {
        _cleanup_strv_ char **list = NULL;
        int result = 1;

        if (r->node->kind == TREE_LIST)
                for (size_t i = 0; i < r->node->n_children && result > 0; i++)
                        result = take_item(r, r->node->children[i], expected, numbers_may_do,
                                           &list);
        else if (one_may_do)
                result = take_item(r, r->node, expected, numbers_may_do, &list);
        else
                result = value_refuse_kind(r, r->node, expected);

        if (result > 0)
                *ret = TAKE_PTR(list);
        return result;
}

void value_replace_strings(const Reading *r, char ***list) {
        char ***field = r->field;

        strv_free(*field);
        *field = TAKE_PTR(*list);
}

const Tree *value_item_node(const Reading *r, size_t index) {
        return r->node->kind == TREE_LIST ? r->node->children[index] : r->node;
}

/* ---- libconfig's syntax ---------------------------------------------------------------------- */

void value_print_string(const char *text, FILE *to) {
        putc('"', to);
        for (; *text; text++) {
                unsigned char c = (unsigned char) *text;

                if (c == '"' || c == '\\')
                        fprintf(to, "\\%c", c);
                else if (c < 0x20 || c == 0x7f)
                        fprintf(to, "\\x%02x", c);
                else
                        putc(c, to);
        }
        putc('"', to);
}

void value_print_integer(int64_t value, FILE *to) {
        fprintf(to, "%" PRId64 "%s", value, value < INT32_MIN || value > INT32_MAX ? "L" : "");
}

void value_print_strings(char *const *list, FILE *to) {
        bool is_first = true;

        fputs("[", to);
        STRV_FOREACH(item, list) {
                fputs(is_first ? "" : ", ", to);
                value_print_string(*item, to);
                is_first = false;
        }
        fputs("]", to);
}

/* ---- by the row ------------------------------------------------------------------------------ */

static void *field_of(const SettingRow *row, const void *object) {
        return (char *) object + row->offset;
}

int value_read(const SettingRow *row, const Tree *node, void *object, Report *report) {
        Reading r = { row, node, object, field_of(row, object), report };

        return node->is_refused ? 0 : row->kind->read(&r);
}

int value_set_text(const SettingRow *row, const char *text, void *object) {
        assert(row->kind->from_text);
        return row->kind->from_text(row, text, field_of(row, object));
}

int value_format(const SettingRow *row, const void *object, char **ret) {
        _cleanup_free_ char *text = NULL;
        bool is_set, is_complete;
        size_t size;
        FILE *to;

        to = open_memstream(&text, &size);
        if (!to)
                return -ENOMEM;
        is_set = row->kind->print(row, field_of(row, object), to);
        is_complete = !ferror(to);
        if (fclose(to) != 0 || !is_complete)
                return -ENOMEM;

        *ret = is_set ? TAKE_PTR(text) : NULL;
        return 0;
}

bool value_text_equal(const SettingRow *row, const void *a, const void *b) {
        const char *x = *(char *const *) a, *y = *(char *const *) b;

        return x == y || (x && y && strcmp(x, y) == 0);
}

bool value_strings_equal(const SettingRow *row, const void *a, const void *b) {
        char *const *x = *(char **const *) a, *const *y = *(char **const *) b;

        return x == y || (x && y && strv_equal(x, y));
}

bool value_equal(const SettingRow *row, const void *a, const void *b) {
        const void *x = field_of(row, a), *y = field_of(row, b);

        assert(row->kind->equal || row->kind->size > 0);
        return row->kind->equal ? row->kind->equal(row, x, y) : memcmp(x, y, row->kind->size) == 0;
}

void value_done(const SettingRow *row, void *object) {
        if (row->kind->done)
                row->kind->done(field_of(row, object));
}
