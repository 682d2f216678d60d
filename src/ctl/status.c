/* One service, or the daemon, on a screen. */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/service.h"
#include "ctl/verb.h"

static const char *text(const json_t *object, const char *name) {
        const char *found = json_string_value(json_object_get(object, name));

        return found ? found : "-";
}

static long long number(const json_t *object, const char *name) {
        return json_integer_value(json_object_get(object, name));
}

static const char *format_since(double since, char *buffer, size_t size_bytes) {
        time_t seconds = (time_t) since;
        struct tm parts;

        if (!localtime_r(&seconds, &parts) ||
            strftime(buffer, size_bytes, "%Y-%m-%d %H:%M:%S", &parts) == 0)
                (void) snprintf(buffer, size_bytes, "-");

        return buffer;
}

/* ---- a service ---- */

static CtlResult print_workers(const Ctl *c, const json_t *s, FILE *out) {
        static const char *const headings[] = { "  WORKER", "STATE", "PID",    "GENERATION",
                                                "COLOR",    "SINCE", "STATUS", NULL };
        _cleanup_(output_table_freep) Table *t = output_table_new(c, headings);
        const json_t *w;
        size_t i;

        json_array_foreach(json_object_get(s, "workers"), i, w) {
                char name[32], pid[32], generation[32], since[64];

                (void) snprintf(name, sizeof(name), "  %lld", number(w, "worker"));
                (void) snprintf(pid, sizeof(pid), "%lld", number(w, "pid"));
                (void) snprintf(generation, sizeof(generation), "%lld", number(w, "generation"));
                format_since(json_real_value(json_object_get(w, "since")), since, sizeof(since));
                if (!t ||
                    output_table_add(t, NULL,
                                     (const char *const[]){ name, text(w, "state"), pid, generation,
                                                            text(w, "color"), since,
                                                            text(w, "status_text") }) < 0) {
                        ctl_error("no memory");
                        return CTL_FAILED;
                }
        }

        return t && scols_table_get_nlines(t) > 0 ? output_table_print(t, out) : CTL_OK;
}

static void print_connections(const json_t *s, FILE *out) {
        json_t *connections = json_object_get(s, "connections"), *n;
        const char *color;

        fprintf(out, "  Connections:");
        json_object_foreach(connections, color, n)
                        fprintf(out, " %s %lld", color, (long long) json_integer_value(n));
        fprintf(out, "%s\n", json_object_size(connections) > 0 ? "" : " none");
}

static void print_store(const json_t *store, FILE *out) {
        if (number(store, "limit") == 0 && number(store, "descriptors") == 0)
                return;

        fprintf(out, "        Store: %lld of %lld descriptors kept for successors",
                number(store, "descriptors"), number(store, "limit"));
        if (number(store, "refused") > 0)
                fprintf(out, ", %lld refused", number(store, "refused"));
        fputc('\n', out);
}

static void print_deploys(const json_t *s, FILE *out) {
        const json_t *deploy = json_object_get(s, "deploy"),
                     *last = json_object_get(s, "last_deploy");
        char duration[DURATION_TEXT_SIZE];

        if (json_is_object(deploy))
                fprintf(out, "       Deploy: %s is %s, %lld %% to the new generation\n",
                        text(deploy, "id"), text(deploy, "state"), number(deploy, "share"));
        if (json_is_object(last))
                fprintf(out, "  Last deploy: %s: %s after %s, %lld connections cut%s%s\n",
                        text(last, "id"), text(last, "result"),
                        format_duration((uint64_t) number(last, "duration_usec"), duration,
                                        sizeof(duration)),
                        number(last, "cut_connections"),
                        json_is_string(json_object_get(last, "reason")) ? ": " : "",
                        json_is_string(json_object_get(last, "reason")) ? text(last, "reason")
                                                                        : "");
}

static const char *paint(const Ctl *c, const char *state) {
        const char *color = output_state_color(c, state);

        if (!color)
                return "";
        return strcmp(color, "green") == 0 ? "\033[32m"
               : strcmp(color, "red") == 0 ? "\033[31m"
                                           : "\033[33m";
}

static CtlResult print_service(const Ctl *c, const json_t *s) {
        _cleanup_output_ FILE *out = output_open(c);
        const char *state = text(s, "state"), *color = paint(c, state);
        const json_t *item;
        CtlResult result;
        size_t i;

        fprintf(out, "%s: %s%s%s%s\n", text(s, "name"), color, state, *color ? "\033[0m" : "",
                json_is_true(json_object_get(s, "pending")) ? ", changes pending" : "");
        if (json_is_integer(json_object_get(s, "generation")))
                fprintf(out, "   Generation: %lld in %s\n", number(s, "generation"),
                        text(s, "color"));
        fprintf(out, "      Workers: %lld of %lld ready, %lld restarts\n",
                number(s, "workers_ready"), number(s, "workers_wanted"), number(s, "restarts"));
        fprintf(out, "    Endpoints:");
        json_array_foreach(json_object_get(s, "endpoints"), i, item)
                        fprintf(out, " %s", json_string_value(item));
        fputc('\n', out);
        print_connections(s, out);
        print_store(json_object_get(s, "store"), out);
        print_deploys(s, out);
        result = print_workers(c, s, out);
        json_array_foreach(json_object_get(s, "hints"), i, item)
                        fprintf(out, "  Hint: %s\n", json_string_value(item));

        return result;
}

/* ---- the daemon ---- */

static json_t *daemon_from_properties(const json_t *p) {
        return json_pack("{s:s, s:I, s:s, s:s, s:b, s:I, s:I, s:I, s:O}", "version",
                         client_text(p, "Version"), "pid", client_number(p, "ProcessId"),
                         "configuration", client_text(p, "ConfigurationFile"), "runtime_directory",
                         client_text(p, "RuntimeDirectory"), "stopping",
                         json_is_true(json_object_get(p, "IsStopping")), "control_clients",
                         client_number(p, "Clients"), "control_clients_refused",
                         client_number(p, "ClientsRefused"), "log_lines_dropped",
                         client_number(p, "LogLinesDropped"), "fallbacks",
                         json_object_get(p, "Fallbacks"));
}

static CtlResult status_of_all(Ctl *c) {
        _cleanup_json_ json_t *properties = NULL, *reply = NULL, *services = json_array();
        const json_t *row;
        CtlResult result;
        size_t i;

        result = client_get(c, CLIENT_MANAGER, NULL, &properties);
        if (result == CTL_OK && !c->json) {
                ctl_say(c, "reuseportd %s, pid %lld, configuration %s\n",
                        client_text(properties, "Version"),
                        (long long) client_number(properties, "ProcessId"),
                        client_text(properties, "ConfigurationFile"));
                json_array_foreach(json_object_get(properties, "Fallbacks"), i, row)
                                ctl_say(c, "  %s\n", json_string_value(row));
                return verb_list(c, NULL);
        }
        if (result == CTL_OK)
                result = client_call_manager(c, "ListServices", &reply, NULL);
        if (result != CTL_OK)
                return result;

        json_array_foreach(json_array_get(reply, 1), i, row)
                        json_array_append_new(services, service_from_row(row));
        return output_json(json_pack("{s:o, s:O}", "daemon", daemon_from_properties(properties),
                                     "services", services));
}

CtlResult verb_status(Ctl *c, char *const *arguments) {
        _cleanup_json_ json_t *properties = NULL, *service = NULL;
        CtlResult result;

        if (!arguments[0])
                return status_of_all(c);

        result = client_get(c, CLIENT_SERVICE, arguments[0], &properties);
        if (result != CTL_OK)
                return result;

        service = service_from_properties(properties);
        if (c->json)
                return output_json(TAKE_PTR(service));
        return c->quiet ? CTL_OK : print_service(c, service);
}

/* ---- every property ---- */

static CtlResult print_properties(const Ctl *c, json_t *properties) {
        _cleanup_output_ FILE *out = output_open(c);
        const char *key;
        json_t *value;

        json_object_foreach(properties, key, value) {
                if (json_is_string(value))
                        fprintf(out, "%s=%s\n", key, json_string_value(value));
                else {
                        fprintf(out, "%s=", key);
                        (void) json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
                        fputc('\n', out);
                }
        }

        return CTL_OK;
}

/* Whether an endpoint has that name; a service of that name counts first. */
static const char *choose_interface(Ctl *c, const char *name) {
        _cleanup_json_ json_t *services = NULL, *endpoints = NULL;
        const json_t *row;
        size_t i;

        if (client_call_manager(c, "ListServices", &services, NULL) != CTL_OK ||
            client_call_manager(c, "ListEndpoints", &endpoints, NULL) != CTL_OK)
                return NULL;

        json_array_foreach(json_array_get(services, 1), i,
                           row) if (strcmp(json_string_value(json_array_get(row, 0)), name) ==
                                    0) return CLIENT_SERVICE;
        json_array_foreach(json_array_get(endpoints, 1), i,
                           row) if (strcmp(json_string_value(json_array_get(row, 0)), name) ==
                                    0) return CLIENT_ENDPOINT;

        return CLIENT_SERVICE;
}

CtlResult verb_show(Ctl *c, char *const *arguments) {
        _cleanup_json_ json_t *properties = NULL;
        const char *interface;
        CtlResult result;

        result = client_connect(c);
        if (result != CTL_OK)
                return result;
        interface = choose_interface(c, arguments[0]);
        if (!interface)
                return CTL_NOT_REACHABLE;

        result = client_get(c, interface, arguments[0], &properties);
        if (result != CTL_OK)
                return result;
        if (c->json)
                return output_json(json_pack("{s:O}", "properties", properties));

        return c->quiet ? CTL_OK : print_properties(c, properties);
}
