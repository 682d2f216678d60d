/* Kinds that only a deploy has: growing shares, the path of a health check. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/value.h"

/* ---- shares ---------------------------------------------------------------------------------- */

#define CANARY_EXPECTED "one or an array of growing integers from 1 to 100"

/* Returns 1, or 0 after a report. */
static int check_share(const Reading *r, const Tree *item, unsigned before) {
        if (item->kind != TREE_INTEGER)
                return value_refuse_kind(r, item, CANARY_EXPECTED);
        if (item->integer < r->row->min || item->integer > r->row->max)
                return value_refuse(r, item,
                                    "%" PRId64 " is out of range, expected " CANARY_EXPECTED,
                                    item->integer);
        if (item->integer <= before)
                return value_refuse(r, item,
                                    "%" PRId64 " after %u does not grow, expected " CANARY_EXPECTED,
                                    item->integer, before);
        return 1;
}

static int canary_read(const Reading *r) {
        DeploySettings *deploy = r->field;
        size_t n = r->node->kind == TREE_LIST ? r->node->n_children : 1;
        _cleanup_free_ unsigned *shares = NULL;
        unsigned before = 0;

        if (n > 0) {
                shares = calloc(n, sizeof(unsigned));
                if (!shares)
                        return -ENOMEM;
        }

        for (size_t i = 0; i < n; i++) {
                const Tree *item = value_item_node(r, i);

                if (!check_share(r, item, before))
                        return 0;
                before = shares[i] = (unsigned) item->integer;
        }

        free(deploy->canary);
        deploy->canary = TAKE_PTR(shares);
        deploy->n_canary = n;
        return 0;
}

static bool canary_print(const SettingRow *row, const void *field, FILE *to) {
        const DeploySettings *deploy = field;

        for (size_t i = 0; i < deploy->n_canary; i++)
                fprintf(to, "%s%u", i > 0 ? ", " : "[", deploy->canary[i]);
        if (deploy->n_canary > 0)
                fputs("]", to);
        return deploy->n_canary > 0;
}

static bool canary_equal(const SettingRow *row, const void *a, const void *b) {
        const DeploySettings *x = a, *y = b;

        return x->n_canary == y->n_canary &&
               (x->n_canary == 0 ||
                memcmp(x->canary, y->canary, x->n_canary * sizeof(*x->canary)) == 0);
}

static void canary_done(void *field) {
        free(((DeploySettings *) field)->canary);
}

const ValueKind value_kind_canary = {
        .expected = CANARY_EXPECTED,
        .read = canary_read,
        .print = canary_print,
        .equal = canary_equal,
        .done = canary_done,
};

/* ---- paths of HTTP --------------------------------------------------------------------------- */

#define HTTP_PATH_EXPECTED "a path such as \"/healthz\""

/* It becomes a part of a line of the request. */
static int http_path_read(const Reading *r) {
        char quoted[REPORT_QUOTE_SIZE];
        const char *text = r->node->string;

        if (r->node->kind != TREE_STRING)
                return value_refuse_kind(r, r->node, HTTP_PATH_EXPECTED);
        if (text[0] != '/')
                return value_refuse(r, r->node,
                                    "%s does not begin with /, expected " HTTP_PATH_EXPECTED,
                                    report_quote(text, quoted));
        if (strlen(text) > HTTP_PATH_LENGTH)
                return value_refuse(r, r->node, "a path too long, expected at most %u bytes",
                                    HTTP_PATH_LENGTH);
        for (const char *c = text; *c; c++)
                if (*c <= 0x20 || *c > 0x7e)
                        return value_refuse(r, r->node,
                                            "%s is not a path of HTTP, expected printable ASCII "
                                            "without spaces; %%20 is a space",
                                            report_quote(text, quoted));

        return value_set_string(r->field, text);
}

static bool http_path_print(const SettingRow *row, const void *field, FILE *to) {
        const char *text = *(char *const *) field;

        if (text)
                value_print_string(text, to);
        return text;
}

static void http_path_done(void *field) {
        free(*(char **) field);
}

const ValueKind value_kind_http_path = {
        .expected = HTTP_PATH_EXPECTED,
        .read = http_path_read,
        .print = http_path_print,
        .equal = value_text_equal,
        .done = http_path_done,
};
