/* What the keys cannot know of each other: names that must exist, belong to one, be different once
 * they are upper case; addresses that may be opened once. */

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/load.h"

/* The line of one of the names in "endpoints", which may be a list over several lines. */
static Place name_place(const ServiceSettings *service, const Tree *services, size_t index) {
        const Tree *node = services ? tree_child(services, service->name) : NULL;
        const Tree *keys = node ? tree_child(node, "endpoints") : NULL;

        if (!keys)
                return service->place;
        return keys->kind == TREE_LIST && index < keys->n_children ? keys->children[index]->place
                                                                   : keys->place;
}

static void report_no_endpoint(const Settings *s, const char *name, Place place, const char *path,
                               Report *report) {
        _cleanup_free_ const char **names = calloc(s->n_endpoints + 1, sizeof(char *));
        char quoted[REPORT_QUOTE_SIZE];
        const char *nearest = NULL;

        for (size_t i = 0; names && i < s->n_endpoints; i++)
                names[i] = s->endpoints[i]->name;
        if (names)
                nearest = text_nearest(names, s->n_endpoints, name);

        report_quote(name, quoted);
        if (nearest)
                report_problem(report, place, path,
                               "there is no endpoint %s, expected perhaps \"%s\"", quoted, nearest);
        else
                report_problem(report, place, path,
                               "there is no endpoint %s, expected a name from \"endpoints\"",
                               quoted);
}

/* Resolves the names in "endpoints" of one service. */
static int find_endpoints(const Settings *s, ServiceSettings *service, const Tree *services,
                          Report *report) {
        size_t n = strv_length(service->endpoint_names);
        char path[KEY_PATH_SIZE];

        key_path("services", service->name, "endpoints", path);
        service->endpoints = calloc(n + 1, sizeof(EndpointSettings *));
        if (!service->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                const char *name = service->endpoint_names[i];
                EndpointSettings *e = (EndpointSettings *) settings_find_endpoint(s, name);
                Place place = name_place(service, services, i);

                if (!e)
                        report_no_endpoint(s, name, place, path, report);
                else if (e->service == service)
                        report_problem(report, place, path,
                                       "endpoint \"%s\" is named twice, expected once", name);
                else if (e->service)
                        report_problem(report, place, path,
                                       "endpoint \"%s\" belongs to services.%s (%s:%u) already, "
                                       "expected one service for it",
                                       name, e->service->name, e->service->place.file,
                                       e->service->place.line);
                else {
                        e->service = service;
                        service->endpoints[service->n_endpoints++] = e;
                }
        }

        return 0;
}

/* ---- endpoints among each other -------------------------------------------------------------- */

static void upper_case(const char *name, char *to, size_t size) {
        size_t i = 0;

        for (; name[i] && i + 1 < size; i++)
                to[i] = name[i] == '-' ? '_' : (char) toupper((unsigned char) name[i]);
        to[i] = '\0';
}

static int compare_upper_case(const void *p, const void *q) {
        const EndpointSettings *const *a = p, *const *b = q;
        char x[128], y[128];
        int r;

        upper_case((*a)->name, x, sizeof(x));
        upper_case((*b)->name, y, sizeof(y));
        r = strcmp(x, y);
        if (r != 0)
                return r;
        return ((*a)->place.line > (*b)->place.line) - ((*a)->place.line < (*b)->place.line);
}

/* REUSEPORTD_ADDRESS_NAME must mean one of them. */
static int check_variable_names(const Settings *s, Report *report) {
        _cleanup_free_ EndpointSettings **sorted = calloc(s->n_endpoints + 1, sizeof(*sorted));

        if (!sorted)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_endpoints; i++)
                sorted[i] = s->endpoints[i];
        qsort(sorted, s->n_endpoints, sizeof(*sorted), compare_upper_case);

        for (size_t i = 1; i < s->n_endpoints; i++) {
                const EndpointSettings *a = sorted[i - 1], *b = sorted[i];
                char x[128], y[128], path[KEY_PATH_SIZE];

                upper_case(a->name, x, sizeof(x));
                upper_case(b->name, y, sizeof(y));
                if (strcmp(x, y) != 0)
                        continue;

                snprintf(path, sizeof(path), "endpoints.%s", b->name);
                report_problem(report, b->place, path,
                               "its variable REUSEPORTD_ADDRESS_%s is that of endpoints.%s (%s:%u) "
                               "too, expected names that differ in more than case and '-'",
                               y, a->name, a->place.file, a->place.line);
        }

        return 0;
}

typedef struct Opening {
        const EndpointSettings *endpoint;
        ReuseAddress address; /* without what does not tell two apart */
} Opening;

static int compare_openings(const void *p, const void *q) {
        const Opening *a = p, *b = q;
        int r;

        if (a->address.type != b->address.type)
                return a->address.type < b->address.type ? -1 : 1;
        if (a->address.length != b->address.length)
                return a->address.length < b->address.length ? -1 : 1;
        r = memcmp(&a->address.storage, &b->address.storage, a->address.length);
        if (r != 0)
                return r;
        return (a->endpoint->place.line > b->endpoint->place.line) -
               (a->endpoint->place.line < b->endpoint->place.line);
}

static void report_same_address(const EndpointSettings *a, const EndpointSettings *b,
                                const ReuseAddress *address, Report *report) {
        char text[REUSE_ADDRESS_TEXT_SIZE], path[KEY_PATH_SIZE];
        const char *key = b->type == SOCK_STREAM ? "listen_stream" : "listen_datagram";
        Place place = key_place(b->keys, b->n_keys, key, b->place);

        key_path("endpoints", b->name, key, path);
        reuse_address_format(address, text, sizeof(text));
        if (a == b)
                report_problem(report, place, path, "%s stands here twice, expected once", text);
        else
                report_problem(report, place, path,
                               "%s is an address of endpoints.%s (%s:%u) already, expected another",
                               text, a->name, a->place.file, a->place.line);
}

/* Port 0 is another port each time. */
static int check_addresses(const Settings *s, Report *report) {
        _cleanup_free_ Opening *openings = NULL;
        size_t n = 0;

        for (size_t i = 0; i < s->n_endpoints; i++)
                n += s->endpoints[i]->n_addresses;
        openings = calloc(n + 1, sizeof(Opening));
        if (!openings)
                return -ENOMEM;

        n = 0;
        for (size_t i = 0; i < s->n_endpoints; i++)
                for (size_t j = 0; j < s->endpoints[i]->n_addresses; j++)
                        if (reuse_address_port(&s->endpoints[i]->addresses[j]) != 0)
                                openings[n++] = (Opening){ s->endpoints[i],
                                                           s->endpoints[i]->addresses[j] };

        qsort(openings, n, sizeof(Opening), compare_openings);
        for (size_t i = 1; i < n; i++) {
                ReuseAddress a = openings[i - 1].address, b = openings[i].address;

                a.is_dual_stack = b.is_dual_stack;
                if (reuse_address_equal(&a, &b))
                        report_same_address(openings[i - 1].endpoint, openings[i].endpoint,
                                            &openings[i].address, report);
        }

        return 0;
}

/* ---- one service ----------------------------------------------------------------------------- */

static Place service_place(const ServiceSettings *service, const char *key) {
        return key_place(service->keys, service->n_keys, key, service->place);
}

static void check_delays(const ServiceSettings *service, Report *report) {
        char path[KEY_PATH_SIZE], delay[DURATION_TEXT_SIZE], max_delay[DURATION_TEXT_SIZE];

        if (service->restart_delay_usec <= service->restart_max_delay_usec)
                return;

        format_duration(service->restart_delay_usec, delay, sizeof(delay));
        format_duration(service->restart_max_delay_usec, max_delay, sizeof(max_delay));
        report_problem(report, service_place(service, "restart_delay"),
                       key_path("services", service->name, "restart_delay", path),
                       "%s is more than restart_max_delay, expected at most %s", delay, max_delay);
}

/* A program that is not there yet may come with its package: that is worth a warning. */
static void check_files(const ServiceSettings *service, Report *report) {
        const char *program = service->exec_start ? service->exec_start[0] : NULL;
        const char *why = NULL;
        char path[KEY_PATH_SIZE];
        struct stat st;

        if (program && stat(program, &st) < 0)
                why = strerror(errno);
        else if (program && !S_ISREG(st.st_mode))
                why = "not a regular file";
        else if (program && !(st.st_mode & 0111))
                why = "not executable";
        if (why)
                report_warning(report, service_place(service, "exec_start"),
                               key_path("services", service->name, "exec_start", path),
                               "%s: %s, expected an executable file before a worker starts",
                               program, why);

        if (service->working_directory &&
            (stat(service->working_directory, &st) < 0 || !S_ISDIR(st.st_mode)))
                report_warning(report, service_place(service, "working_directory"),
                               key_path("services", service->name, "working_directory", path),
                               "%s is not there, expected a directory before a worker starts",
                               service->working_directory);
}

static void check_backlogs(const Settings *s, Report *report) {
        int somaxconn = reuse_somaxconn();
        char path[KEY_PATH_SIZE];

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const EndpointSettings *e = s->endpoints[i];

                if (e->backlog > somaxconn)
                        report_warning(report, key_place(e->keys, e->n_keys, "backlog", e->place),
                                       key_path("endpoints", e->name, "backlog", path),
                                       "%d is more than net.core.somaxconn, effective are %d",
                                       e->backlog, somaxconn);
                if (e->backlog > 0 && e->type == SOCK_DGRAM)
                        report_problem(report, key_place(e->keys, e->n_keys, "backlog", e->place),
                                       key_path("endpoints", e->name, "backlog", path),
                                       "datagrams have no backlog, expected it on listen_stream "
                                       "only");
        }
}

int cross_check(Settings *s, const Tree *services, Report *report) {
        int r;

        for (size_t i = 0; i < s->n_services; i++) {
                r = find_endpoints(s, s->services[i], services, report);
                if (r < 0)
                        return r;
                check_delays(s->services[i], report);
                check_files(s->services[i], report);
        }

        r = check_variable_names(s, report);
        if (r < 0)
                return r;
        r = check_addresses(s, report);
        if (r < 0)
                return r;

        check_backlogs(s, report);
        return 0;
}
