#include "ctl/message.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "ctl/client.h"

static json_t *read_value(sd_bus_message *m, char type, const char *contents);

/* An array of {key, value} becomes an object. */
static json_t *read_dictionary(sd_bus_message *m) {
        _cleanup_json_ json_t *object = json_object();
        const char *contents;
        char type;

        while (sd_bus_message_peek_type(m, &type, &contents) > 0) {
                _cleanup_json_ json_t *pair = NULL;

                if (sd_bus_message_enter_container(m, type, contents) < 0)
                        return NULL;
                pair = message_to_json(m);
                if (!pair || sd_bus_message_exit_container(m) < 0 ||
                    json_object_set(object, json_string_value(json_array_get(pair, 0)),
                                    json_array_get(pair, 1)) < 0)
                        return NULL;
        }

        return TAKE_PTR(object);
}

static json_t *read_container(sd_bus_message *m, char type, const char *contents) {
        _cleanup_json_ json_t *value = NULL;

        if (sd_bus_message_enter_container(m, type, contents) < 0)
                return NULL;

        value = type == SD_BUS_TYPE_ARRAY && contents[0] == SD_BUS_TYPE_DICT_ENTRY_BEGIN
                                ? read_dictionary(m)
                                : message_to_json(m);
        if (!value || sd_bus_message_exit_container(m) < 0)
                return NULL;
        if (type == SD_BUS_TYPE_VARIANT)
                return json_incref(json_array_get(value, 0));

        return TAKE_PTR(value);
}

static json_t *read_value(sd_bus_message *m, char type, const char *contents) {
        union {
                const char *text;
                int boolean;
                int32_t i32;
                uint32_t u32;
                int64_t i64;
                uint64_t u64;
                double real;
        } value;

        if (contents)
                return read_container(m, type, contents);
        if (sd_bus_message_read_basic(m, type, &value) < 0)
                return NULL;

        switch (type) {
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return json_string(value.text);
        case SD_BUS_TYPE_BOOLEAN:
                return json_boolean(value.boolean);
        case SD_BUS_TYPE_INT32:
                return json_integer(value.i32);
        case SD_BUS_TYPE_UINT32:
                return json_integer(value.u32);
        case SD_BUS_TYPE_INT64:
                return json_integer(value.i64);
        case SD_BUS_TYPE_UINT64:
                return json_integer((json_int_t) value.u64);
        case SD_BUS_TYPE_DOUBLE:
                return json_real(value.real);
        default:
                return NULL;
        }
}

json_t *message_to_json(sd_bus_message *m) {
        _cleanup_json_ json_t *array = json_array();
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                json_t *value = read_value(m, type, contents);

                if (!value || json_array_append_new(array, value) < 0)
                        return NULL;
        }

        return r < 0 ? NULL : TAKE_PTR(array);
}
