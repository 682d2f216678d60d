/* One line for each. */

#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/service.h"
#include "ctl/verb.h"

#define CELL_SIZE 32

static json_int_t number(const json_t *object, const char *name) {
        return json_integer_value(json_object_get(object, name));
}

/* "-" for what there is not. */
static const char *text(const json_t *object, const char *name) {
        const char *found = json_string_value(json_object_get(object, name));

        return found && *found ? found : "-";
}

static void write_number(const json_t *value, char *cell) {
        if (json_is_integer(value))
                (void) snprintf(cell, CELL_SIZE, "%lld", (long long) json_integer_value(value));
        else
                (void) snprintf(cell, CELL_SIZE, "-");
}

static int add_service(const Ctl *c, Table *t, const json_t *s) {
        const json_t *deploy = json_object_get(s, "deploy");
        char generation[CELL_SIZE], workers[CELL_SIZE * 2], share[CELL_SIZE], restarts[CELL_SIZE];
        const char *const cells[] = {
                text(s, "name"), text(s, "state"),
                generation,      text(s, "color"),
                workers,         share,
                restarts,        json_is_true(json_object_get(s, "pending")) ? "yes" : "-",
        };

        write_number(json_object_get(s, "generation"), generation);
        write_number(json_object_get(s, "restarts"), restarts);
        write_number(json_object_get(deploy, "share"), share);
        if (json_is_object(deploy))
                (void) strncat(share, "%", CELL_SIZE - strlen(share) - 1);
        (void) snprintf(workers, sizeof(workers), "%lld/%lld",
                        (long long) number(s, "workers_ready"),
                        (long long) number(s, "workers_wanted"));

        return output_table_add(t, output_state_color(c, cells[1]), cells);
}

/* From rows of the bus to objects of ours. */
static json_t *convert(const json_t *rows, json_t *(*one)(const json_t *row)) {
        json_t *list = json_array();
        const json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) json_array_append_new(list, one(row));

        return list;
}

static CtlResult print(const Ctl *c, const char *const *headings, const json_t *list,
                       int (*add)(const Ctl *c, Table *t, const json_t *object)) {
        _cleanup_(output_table_freep) Table *t = output_table_new(c, headings);
        _cleanup_output_ FILE *out = NULL;
        const json_t *object;
        size_t i;

        json_array_foreach(list, i, object) if (!t || add(c, t, object) < 0) {
                ctl_error("no memory");
                return CTL_FAILED;
        }

        if (c->quiet || !t)
                return CTL_OK;

        out = output_open(c);
        return output_table_print(t, out);
}

CtlResult verb_list(Ctl *c, char *const *arguments) {
        static const char *const headings[] = { "NAME",     "STATE",   "GENERATION",
                                                "COLOR",    "WORKERS", "SHARE",
                                                "RESTARTS", "PENDING", NULL };
        _cleanup_json_ json_t *reply = NULL, *list = NULL;
        CtlResult result;

        result = client_call_manager(c, "ListServices", &reply, NULL);
        if (result != CTL_OK)
                return result;

        list = convert(json_array_get(reply, 1), service_from_row);
        if (c->json)
                return output_json(json_pack("{s:O}", "services", list));

        return print(c, headings, list, add_service);
}

static json_t *endpoint_from_row(const json_t *row) {
        static const char *const names[] = {
                "name",    "type",  "service",     "listening", "addresses",
                "sockets", "queue", "queue_limit", "drops",     "strangers",
        };
        json_t *object = json_object();

        for (size_t i = 0; i < ELEMENTS_OF(names); i++) {
                json_t *value = json_array_get(row, i);
                const char *string = json_string_value(value);

                if (string && !*string)
                        json_object_set_new(object, names[i], json_null());
                else
                        json_object_set(object, names[i], value);
        }

        return object;
}

static int add_endpoint(const Ctl *c, Table *t, const json_t *e) {
        char sockets[CELL_SIZE], queue[CELL_SIZE * 2], drops[CELL_SIZE], strangers[CELL_SIZE];
        _cleanup_free_ char *addresses = NULL;
        const json_t *address;
        size_t size, i;
        FILE *stream = open_memstream(&addresses, &size);

        if (!stream)
                return -1;
        json_array_foreach(json_object_get(e, "addresses"), i, address)
                        fprintf(stream, "%s%s", i > 0 ? " " : "", json_string_value(address));
        if (fclose(stream) != 0)
                return -1;

        write_number(json_object_get(e, "sockets"), sockets);
        write_number(json_object_get(e, "drops"), drops);
        write_number(json_object_get(e, "strangers"), strangers);
        (void) snprintf(queue, sizeof(queue), "%lld/%lld", (long long) number(e, "queue"),
                        (long long) number(e, "queue_limit"));

        return output_table_add(t, NULL,
                                (const char *const[]){ text(e, "name"), text(e, "type"),
                                                       text(e, "service"), addresses, sockets,
                                                       queue, drops, strangers });
}

CtlResult verb_list_endpoints(Ctl *c, char *const *arguments) {
        static const char *const headings[] = { "NAME",      "TYPE",      "SERVICE",
                                                "ADDRESSES", "SOCKETS",   "QUEUE",
                                                "DROPS",     "STRANGERS", NULL };
        _cleanup_json_ json_t *reply = NULL, *list = NULL;
        CtlResult result;

        result = client_call_manager(c, "ListEndpoints", &reply, NULL);
        if (result != CTL_OK)
                return result;

        list = convert(json_array_get(reply, 1), endpoint_from_row);
        if (c->json)
                return output_json(json_pack("{s:O}", "endpoints", list));

        return print(c, headings, list, add_endpoint);
}
