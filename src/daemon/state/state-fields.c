#include "daemon/state/state-fields.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* ---- writing ---- */

int state_put_json(json_t *to, const char *name, json_t *value) {
        return value && json_object_set_new(to, name, value) == 0 ? 0 : -ENOMEM;
}

/* JSON has what int64_t has: the upper half of uint64_t is negative there. */
int state_put_uint64(json_t *to, const char *name, uint64_t value) {
        return value == 0 ? 0 : state_put_json(to, name, json_integer((json_int_t) value));
}

/* Names of files need not be UTF-8, which JSON's strings must be: then it is an array of bytes. */
static json_t *json_of_text(const char *text) {
        json_t *string = json_string(text), *bytes;

        if (string)
                return string;

        bytes = json_array();
        for (; bytes && *text; text++)
                if (json_array_append_new(bytes, json_integer((uint8_t) *text)) < 0) {
                        json_decref(bytes);
                        return NULL;
                }

        return bytes;
}

int state_put_text(json_t *to, const char *name, const char *text) {
        return text ? state_put_json(to, name, json_of_text(text)) : 0;
}

static int put_strings(json_t *to, const char *name, char *const *list) {
        json_t *array = json_array();

        STRV_FOREACH(word, list)
                if (json_array_append_new(array, json_of_text(*word)) < 0) {
                        json_decref(array);
                        return -ENOMEM;
                }

        return state_put_json(to, name, array);
}

static int save_field(const StateField *f, const void *object, json_t *to) {
        const void *at = (const char *) object + f->offset;

        switch (f->kind) {
        case STATE_BOOL:
                return *(const bool *) at ? state_put_json(to, f->name, json_true()) : 0;
        case STATE_UNSIGNED:
                return state_put_uint64(to, f->name, *(const unsigned *) at);
        case STATE_INT:
                return *(const int *) at == 0 ? 0
                                              : state_put_json(to, f->name,
                                                               json_integer(*(const int *) at));
        case STATE_UINT64:
                return state_put_uint64(to, f->name, *(const uint64_t *) at);
        case STATE_TEXT:
                return *(const char *) at ? state_put_text(to, f->name, at) : 0;
        case STATE_STRING:
                return state_put_text(to, f->name, *(char *const *) at);
        case STATE_STRINGS:
                return *(char **const *) at ? put_strings(to, f->name, *(char **const *) at) : 0;
        }

        assert(false);
        return -EINVAL;
}

int state_fields_save(const StateField *fields, size_t n_fields, const void *from, json_t *to) {
        for (size_t i = 0; i < n_fields; i++) {
                int r = save_field(fields + i, from, to);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* ---- reading ---- */

int state_get_uint64(const json_t *from, const char *name, uint64_t *ret) {
        const json_t *value = json_object_get(from, name);

        if (value && !json_is_integer(value))
                return -EBADMSG;

        *ret = (uint64_t) json_integer_value(value);
        return 0;
}

int state_get_unsigned(const json_t *from, const char *name, uint64_t max, unsigned *ret) {
        uint64_t value;
        int r;

        r = state_get_uint64(from, name, &value);
        if (r < 0 || value > max)
                return -EBADMSG;

        *ret = (unsigned) value;
        return 0;
}

int state_get_text(const json_t *from, const char *name, const char **ret) {
        const json_t *value = json_object_get(from, name);

        if (value && !json_is_string(value))
                return -EBADMSG;

        *ret = json_string_value(value);
        return 0;
}

int state_get_array(const json_t *from, const char *name, const json_t **ret) {
        const json_t *value = json_object_get(from, name);

        if (value && !json_is_array(value))
                return -EBADMSG;

        *ret = value; /* jansson takes NULL for an empty one */
        return 0;
}

/* Returns 0 with the text, the caller's. */
static int text_of_json(const json_t *value, char **ret) {
        size_t n = json_array_size(value);

        if (json_is_string(value)) {
                *ret = strdup(json_string_value(value));
                return *ret ? 0 : -ENOMEM;
        }
        if (!json_is_array(value))
                return -EBADMSG;

        *ret = calloc(n + 1, 1);
        for (size_t i = 0; *ret && i < n; i++)
                (*ret)[i] = (char) json_integer_value(json_array_get(value, i));
        return *ret ? 0 : -ENOMEM;
}

static int load_text(const StateField *f, const json_t *value, char *to) {
        const char *text = json_string_value(value);

        if (!text || strlen(text) >= f->size)
                return -EBADMSG;

        memcpy(to, text, strlen(text) + 1);
        return 0;
}

static int load_strings(const json_t *value, char ***ret) {
        _cleanup_strv_ char **list = calloc(1, sizeof(char *));

        if (!list)
                return -ENOMEM;
        if (!json_is_array(value))
                return -EBADMSG;

        for (size_t i = 0; i < json_array_size(value); i++) {
                char *word = NULL;
                int r;

                r = text_of_json(json_array_get(value, i), &word);
                if (r >= 0)
                        r = strv_consume(&list, word);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(list);
        return 0;
}

static int load_number(const StateField *f, const json_t *value, void *to) {
        json_int_t number = json_integer_value(value);

        if (!json_is_integer(value))
                return -EBADMSG;

        if (f->kind == STATE_UINT64)
                *(uint64_t *) to = (uint64_t) number;
        else if (f->kind == STATE_INT) {
                if (number < INT_MIN || number > INT_MAX)
                        return -EBADMSG;
                *(int *) to = (int) number;
        } else {
                if (number < 0 || (uint64_t) number > (f->max > 0 ? f->max : UINT_MAX))
                        return -EBADMSG;
                *(unsigned *) to = (unsigned) number;
        }

        return 0;
}

static int load_field(const StateField *f, const json_t *value, void *to) {
        switch (f->kind) {
        case STATE_BOOL:
                if (!json_is_boolean(value))
                        return -EBADMSG;
                *(bool *) to = json_is_true(value);
                return 0;
        case STATE_UNSIGNED:
        case STATE_INT:
        case STATE_UINT64:
                return load_number(f, value, to);
        case STATE_TEXT:
                return load_text(f, value, to);
        case STATE_STRING:
                return text_of_json(value, to);
        case STATE_STRINGS:
                return load_strings(value, to);
        }

        assert(false);
        return -EINVAL;
}

int state_fields_load(const StateField *fields, size_t n_fields, const json_t *from, void *to) {
        for (size_t i = 0; i < n_fields; i++) {
                const json_t *value = json_object_get(from, fields[i].name);
                int r;

                if (!value)
                        continue;
                r = load_field(fields + i, value, (char *) to + fields[i].offset);
                if (r < 0)
                        return r;
        }

        return 0;
}
