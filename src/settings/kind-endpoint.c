/* Kinds of what an endpoint is: its addresses, and the options of its sockets. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "settings/address-list.h"
#include "settings/value.h"

/* ---- addresses ------------------------------------------------------------------------------- */

static int addresses_read(const Reading *r) {
        return address_list_read(r->node, (int) r->row->min, r->object, r->report);
}

static bool addresses_print(const SettingRow *row, const void *field, FILE *to) {
        const EndpointSettings *endpoint = field;
        char text[REUSE_ADDRESS_TEXT_SIZE];

        if (endpoint->type != row->min)
                return false;

        fputs("[", to);
        for (size_t i = 0; i < endpoint->n_addresses; i++) {
                fputs(i > 0 ? ", " : "", to);
                value_print_string(
                                reuse_address_format(&endpoint->addresses[i], text, sizeof(text)),
                                to);
        }
        fputs("]", to);
        return true;
}

static bool addresses_equal(const SettingRow *row, const void *a, const void *b) {
        const EndpointSettings *x = a, *y = b;
        bool is_set = x->type == row->min;

        if (is_set != (y->type == row->min))
                return false;
        if (!is_set)
                return true;
        if (x->n_addresses != y->n_addresses)
                return false;

        for (size_t i = 0; i < x->n_addresses; i++)
                if (!reuse_address_equal(&x->addresses[i], &y->addresses[i]))
                        return false;

        return true;
}

const ValueKind value_kind_addresses = {
        .expected = "an address or an array of them",
        .read = addresses_read,
        .print = addresses_print,
        .equal = addresses_equal,
};

/* ---- socket options -------------------------------------------------------------------------- */

static ReuseSockopt *find_sockopt(const EndpointSettings *endpoint, const char *name) {
        for (size_t i = 0; i < endpoint->n_sockopts; i++)
                if (strcmp(endpoint->sockopts[i].name, name) == 0)
                        return &endpoint->sockopts[i];

        return NULL;
}

static int set_sockopt(EndpointSettings *endpoint, ReuseSockopt option) {
        ReuseSockopt *longer, *same = find_sockopt(endpoint, option.name);
        char *text = NULL;

        if (option.text) {
                text = strdup(option.text);
                if (!text)
                        return -ENOMEM;
                option.text = text;
        }
        if (same) {
                free((char *) same->text);
                *same = option;
                return 0;
        }

        longer = reallocarray(endpoint->sockopts, endpoint->n_sockopts + 1, sizeof(ReuseSockopt));
        if (!longer) {
                free(text);
                return -ENOMEM;
        }

        longer[endpoint->n_sockopts++] = option;
        endpoint->sockopts = longer;
        return 0;
}

/* Returns 0, -EINVAL: not of that kind, or -ERANGE. */
static int parse_sockopt(const Tree *node, const ReuseSockoptInfo *info, ReuseSockopt *ret) {
        uint64_t value = 0;
        int r = -EINVAL;

        switch (info->kind) {
        case REUSE_SOCKOPT_BOOLEAN:
                if (node->kind != TREE_BOOLEAN)
                        return -EINVAL;
                ret->value = node->boolean;
                return 0;
        case REUSE_SOCKOPT_TEXT:
                if (node->kind != TREE_STRING || !node->string[0])
                        return -EINVAL;
                ret->text = node->string;
                return 0;
        case REUSE_SOCKOPT_NUMBER:
                if (node->kind != TREE_INTEGER)
                        return -EINVAL;
                ret->value = node->integer;
                return node->integer < info->min || node->integer > info->max ? -ERANGE : 0;
        case REUSE_SOCKOPT_DURATION:
        case REUSE_SOCKOPT_SIZE:
                break;
        }

        if (node->kind == TREE_STRING)
                r = info->kind == REUSE_SOCKOPT_SIZE ? parse_size(node->string, &value)
                                                     : parse_duration(node->string, &value);
        else if (node->kind == TREE_INTEGER)
                r = node->integer < 0 || __builtin_mul_overflow((uint64_t) node->integer,
                                                                info->kind == REUSE_SOCKOPT_SIZE
                                                                                ? 1
                                                                                : USEC_PER_SEC,
                                                                &value)
                                    ? -ERANGE
                                    : 0;
        if (r < 0)
                return r;
        if (value > INT64_MAX || (int64_t) value < info->min || (int64_t) value > info->max)
                return -ERANGE;

        ret->value = (int64_t) value;
        return 0;
}

const char *value_sockopt_expected(const ReuseSockoptInfo *info, char *buffer, size_t size_bytes) {
        char min[DURATION_TEXT_SIZE], max[DURATION_TEXT_SIZE];

        switch (info->kind) {
        case REUSE_SOCKOPT_BOOLEAN:
                return "true or false";
        case REUSE_SOCKOPT_TEXT:
                return "a string that is not empty";
        case REUSE_SOCKOPT_NUMBER:
                snprintf(buffer, size_bytes, "an integer from %" PRId64 " to %" PRId64, info->min,
                         info->max);
                break;
        case REUSE_SOCKOPT_DURATION:
                snprintf(buffer, size_bytes, "a duration from %s to %s",
                         format_duration((uint64_t) info->min, min, sizeof(min)),
                         format_duration((uint64_t) info->max, max, sizeof(max)));
                break;
        case REUSE_SOCKOPT_SIZE:
                snprintf(buffer, size_bytes, "a size such as \"64K\" from %" PRId64 " to %" PRId64,
                         info->min, info->max);
        }

        return buffer;
}

static int sockopt_read(const Reading *r) {
        const ReuseSockoptInfo *info = r->row->sockopt;
        ReuseSockopt option = { .name = info->name };
        char buffer[128];
        const char *expected = value_sockopt_expected(info, buffer, sizeof(buffer));
        int result;

        result = parse_sockopt(r->node, info, &option);
        if (result == -ERANGE)
                return value_refuse(r, r->node, "out of range, expected %s", expected);
        if (result < 0 && r->node->kind == TREE_STRING)
                return value_refuse(r, r->node, "not such a value, expected %s", expected);
        if (result < 0)
                return value_refuse_kind(r, r->node, expected);

        return set_sockopt(r->field, option);
}

static bool sockopt_print(const SettingRow *row, const void *field, FILE *to) {
        const ReuseSockopt *option = find_sockopt(field, row->sockopt->name);
        char text[DURATION_TEXT_SIZE];

        if (!option)
                return false;

        switch (row->sockopt->kind) {
        case REUSE_SOCKOPT_BOOLEAN:
                fputs(option->value ? "true" : "false", to);
                break;
        case REUSE_SOCKOPT_TEXT:
                value_print_string(option->text, to);
                break;
        case REUSE_SOCKOPT_NUMBER:
        case REUSE_SOCKOPT_SIZE:
                value_print_integer(option->value, to);
                break;
        case REUSE_SOCKOPT_DURATION:
                value_print_string(format_duration((uint64_t) option->value, text, sizeof(text)),
                                   to);
        }

        return true;
}

static bool sockopt_equal(const SettingRow *row, const void *a, const void *b) {
        const ReuseSockopt *x = find_sockopt(a, row->sockopt->name);
        const ReuseSockopt *y = find_sockopt(b, row->sockopt->name);

        if (!x || !y)
                return x == y;

        return row->sockopt->kind == REUSE_SOCKOPT_TEXT ? strcmp(x->text, y->text) == 0
                                                        : x->value == y->value;
}

const ValueKind value_kind_sockopt = {
        .expected = "as its kind",
        .read = sockopt_read,
        .print = sockopt_print,
        .equal = sockopt_equal,
};
