#include "ctl/service.h"

#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/output.h"

static const char *text_at(const json_t *row, size_t i) {
        const char *text = json_string_value(json_array_get(row, i));

        return text ? text : "";
}

static json_int_t number_at(const json_t *row, size_t i) {
        return json_integer_value(json_array_get(row, i));
}

/* 0 and "" mean that there is none. */
static json_t *number_or_null(json_int_t n) {
        return n > 0 ? json_integer(n) : json_null();
}

static json_t *text_or_null(const char *text) {
        return *text ? json_string(text) : json_null();
}

/* @state  "": none goes on */
static json_t *deploy(const char *id, const char *state, json_int_t share, json_int_t step) {
        if (!*state)
                return json_null();

        return json_pack("{s:s, s:s, s:I, s:I}", "id", id, "state", state, "share", share, "step",
                         step);
}

json_t *service_from_row(const json_t *row) {
        return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:b, s:o}", "name", text_at(row, 0),
                         "state", text_at(row, 1), "generation", number_or_null(number_at(row, 2)),
                         "color", text_or_null(text_at(row, 3)), "workers_ready", number_at(row, 4),
                         "workers_wanted", number_at(row, 5), "restarts", number_at(row, 6),
                         "pending", json_is_true(json_array_get(row, 7)), "deploy",
                         deploy(text_at(row, 8), text_at(row, 9), number_at(row, 10),
                                number_at(row, 11)));
}

static json_t *seconds(json_int_t usec) {
        return json_real((double) usec / (double) USEC_PER_SEC);
}

static json_t *workers_from(const json_t *rows) {
        json_t *workers = json_array();
        const json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) json_array_append_new(
                        workers,
                        json_pack("{s:I, s:I, s:I, s:s, s:s, s:o, s:o}", "worker",
                                  number_at(row, 0), "pid", number_at(row, 1), "generation",
                                  number_at(row, 2), "color", text_at(row, 3), "state",
                                  text_at(row, 4), "since", seconds(number_at(row, 5)),
                                  "status_text", text_or_null(text_at(row, 6))));

        return workers;
}

static json_t *last_deploy_from(const char *service, const json_t *row) {
        if (!*text_at(row, 1))
                return json_null();

        return json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:o, s:I}", "service", service, "id",
                         text_at(row, 0), "result", text_at(row, 1), "generation",
                         number_or_null(number_at(row, 2)), "previous",
                         number_or_null(number_at(row, 3)), "cut_connections", number_at(row, 4),
                         "reason", text_or_null(text_at(row, 5)), "duration_usec",
                         number_at(row, 6));
}

static json_t *store_from(const json_t *row) {
        return json_pack("{s:I, s:I, s:I}", "descriptors", number_at(row, 0), "limit",
                         number_at(row, 1), "refused", number_at(row, 2));
}

json_t *service_from_properties(const json_t *p) {
        const json_t *d = json_object_get(p, "Deploy");

        return json_pack(
                        "{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:b, s:o, s:o, s:O, s:O, s:o, s:O, s:o, s:O}",
                        "name", client_text(p, "Name"), "state", client_text(p, "State"),
                        "generation", number_or_null(client_number(p, "Generation")), "color",
                        text_or_null(client_text(p, "Color")), "workers_ready",
                        client_number(p, "WorkersReady"), "workers_wanted",
                        client_number(p, "WorkersWanted"), "restarts", client_number(p, "Restarts"),
                        "pending", json_is_true(json_object_get(p, "Pending")), "deploy",
                        deploy(text_at(d, 0), text_at(d, 1), number_at(d, 2), number_at(d, 3)),
                        "workers", workers_from(json_object_get(p, "Workers")), "connections",
                        json_object_get(p, "Connections"), "hints", json_object_get(p, "Hints"),
                        "last_deploy",
                        last_deploy_from(client_text(p, "Name"), json_object_get(p, "LastDeploy")),
                        "endpoints", json_object_get(p, "Endpoints"), "store",
                        store_from(json_object_get(p, "Store")), "sequence",
                        json_object_get(p, "Sequence"));
}

json_t *event_from_row(const json_t *row) {
        json_int_t pid = number_at(row, 8);

        return json_pack("{s:I, s:I, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "sequence",
                         number_at(row, 0), "time_usec", number_at(row, 1), "type", text_at(row, 2),
                         "name", text_or_null(text_at(row, 3)), "generation",
                         number_or_null(number_at(row, 4)), "color", text_or_null(text_at(row, 5)),
                         "state", text_at(row, 6), "worker",
                         pid > 0 ? json_integer(number_at(row, 7)) : json_null(), "pid",
                         number_or_null(pid), "detail", text_or_null(text_at(row, 9)));
}

CtlResult service_print_state(Ctl *c, const char *name) {
        _cleanup_json_ json_t *now = NULL;
        CtlResult result;

        if (!c->json)
                return CTL_OK;

        result = client_get(c, CLIENT_SERVICE, name, &now);
        if (result != CTL_OK)
                return result;

        return output_json(json_pack("{s:s, s:s}", "service", name, "state",
                                     client_text(now, "State")));
}
