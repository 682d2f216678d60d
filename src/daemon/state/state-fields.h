#pragma once

/* The fields of a struct that survive us: one list, by which they are written as JSON and read again.
 *
 * What is zero is not written, and what is not there reads as zero, so that a field more or less is no
 * other version.  Nothing that is read is believed: a wrong type, or a value out of range, is an error. */

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef enum StateKind {
        STATE_BOOL,
        STATE_UNSIGNED, /* unsigned, and enums without negative values */
        STATE_INT,
        STATE_UINT64,  /* USEC_INFINITY included */
        STATE_TEXT,    /* char[] */
        STATE_STRING,  /* char *, allocated */
        STATE_STRINGS, /* char **, allocated */
} StateKind;

typedef struct StateField {
        const char *name;
        StateKind kind;
        size_t offset;
        size_t size;  /* of STATE_TEXT */
        uint64_t max; /* of STATE_UNSIGNED; 0: none */
} StateField;

#define STATE_FIELD(type, member, kind_)                                          \
        {                                                                         \
                .name = #member, .kind = kind_, .offset = offsetof(type, member), \
                .size = sizeof(((type *) NULL)->member)                           \
        }
#define STATE_FIELD_MAX(type, member, max_) \
        { .name = #member, .kind = STATE_UNSIGNED, .offset = offsetof(type, member), .max = max_ }

static inline void state_json_freep(json_t **j) {
        json_decref(*j);
}
#define _cleanup_state_json_ _cleanup_(state_json_freep)

/* Puts the fields of @from into the object @to.  Returns 0 or -ENOMEM. */
int state_fields_save(const StateField *fields, size_t n_fields, const void *from, json_t *to);

/* Reads them into @to, all of whose strings are NULL.  Returns 0; -EBADMSG; -ENOMEM: then some may be set. */
int state_fields_load(const StateField *fields, size_t n_fields, const json_t *from, void *to);

/* Single values.  What is not there is 0 or NULL; a wrong type is -EBADMSG. */
int state_get_uint64(const json_t *from, const char *name, uint64_t *ret);
int state_get_unsigned(const json_t *from, const char *name, uint64_t max, unsigned *ret);
int state_get_text(const json_t *from, const char *name, const char **ret);

/* An array, never NULL.  Returns -EBADMSG if it is something else. */
int state_get_array(const json_t *from, const char *name, const json_t **ret);

/* Returns 0 or -ENOMEM. */
int state_put_uint64(json_t *to, const char *name, uint64_t value);
int state_put_text(json_t *to, const char *name, const char *text);

/* @value  taken always; may be NULL, and then it is -ENOMEM */
int state_put_json(json_t *to, const char *name, json_t *value);
