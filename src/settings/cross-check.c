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
#include "settings/preset.h"
#include "settings/template.h"

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
                Place place;

                if (e && !e->service) {
                        e->service = service;
                        service->endpoints[service->n_endpoints++] = e;
                        continue;
                }

                place = name_place(service, services, i);
                if (!e)
                        report_no_endpoint(s, name, place, path, report);
                else if (e->service == service)
                        report_problem(report, place, path,
                                       "endpoint \"%s\" is named twice, expected once", name);
                else
                        report_problem(report, place, path,
                                       "endpoint \"%s\" belongs to services.%s (%s:%u) already, "
                                       "expected one service for it",
                                       name, e->service->name, e->service->place.file,
                                       e->service->place.line);
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
        Place place = key_place(&b->keys, key, b->place);

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
        return key_place(&service->keys, key, service->place);
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

static void check_activation(const ServiceSettings *service, Report *report) {
        Place place = service_place(service, "idle_timeout");
        char path[KEY_PATH_SIZE];

        if (service->idle_timeout_usec == USEC_INFINITY)
                return;

        key_path("services", service->name, "idle_timeout", path);
        if (service->activation != ACTIVATION_ON_DEMAND)
                report_problem(report, place, path,
                               "an eager service never sleeps, expected activation = "
                               "\"on-demand\"");
        for (size_t i = 0; i < service->n_endpoints; i++)
                if (service->endpoints[i]->type == SOCK_DGRAM) {
                        report_problem(report, place, path,
                                       "endpoint \"%s\" takes datagrams, which nobody can see the "
                                       "end of, expected streams only",
                                       service->endpoints[i]->name);
                        return;
                }
}

/* inetd's only descriptor is 0. */
static void check_fd_protocol(const ServiceSettings *service, Report *report) {
        char path[KEY_PATH_SIZE];
        size_t n = 0;

        for (size_t i = 0; i < service->n_endpoints; i++)
                n += service->endpoints[i]->n_addresses;
        if (service->fd_protocol == FD_PROTOCOL_INETD && n > 1)
                report_problem(report, service_place(service, "fd_protocol"),
                               key_path("services", service->name, "fd_protocol", path),
                               "\"inetd\" passes one descriptor, and this service has %zu "
                               "addresses, expected one",
                               n);
}

static void check_store(const ServiceSettings *service, Report *report) {
        char path[KEY_PATH_SIZE];

        if (service->fd_store_max > 0 && service->fd_protocol != FD_PROTOCOL_SYSTEMD)
                report_problem(report, service_place(service, "fd_store_max"),
                               key_path("services", service->name, "fd_store_max", path),
                               "what is stored could not be given back, expected it with "
                               "fd_protocol = \"systemd\" only");
}

static void check_signal(const ServiceSettings *service, Report *report) {
        const Preset *preset = service->preset ? preset_find(service->preset) : NULL;
        char path[KEY_PATH_SIZE], name[32];

        if (!preset || !preset_cuts(preset, service->kill_signal))
                return;

        format_signal(service->kill_signal, name, sizeof(name));
        report_warning(report, service_place(service, "kill_signal"),
                       key_path("services", service->name, "kill_signal", path),
                       "%s makes %s cut its requests, expected %s", name, preset->name,
                       preset->kill_signal);
}

static void check_templates_of(const ServiceSettings *service, const char *key, char *const *texts,
                               Report *report) {
        char path[KEY_PATH_SIZE], wrong[REPORT_TEXT_SIZE / 2];

        STRV_FOREACH(text, texts)
                if (template_check(*text, service, wrong, sizeof(wrong)) < 0)
                        report_problem(report, service_place(service, key),
                                       key_path("services", service->name, key, path), "%s", wrong);
}

static void check_templates(const ServiceSettings *service, Report *report) {
        char *const directory[] = { service->working_directory, NULL };

        check_templates_of(service, "exec_start", service->exec_start, report);
        check_templates_of(service, "environment", service->said_environment, report);
        check_templates_of(service, "working_directory", directory, report);
}

/* ---- what may come later, and is worth a warning --------------------------------------------- */

/* Looks at @path as a worker will see it; not if a template decides. */
static int stat_for_worker(const ServiceSettings *service, const char *path, struct stat *ret) {
        _cleanup_free_ char *full = NULL;

        if (strchr(path, '%')) {
                ret->st_mode = 0;
                return 0;
        }
        if (asprintf(&full, "%s%s", service->root_directory ?: "", path) < 0)
                return -ENOMEM;

        return stat(full, ret) < 0 ? -errno : 0;
}

static void check_program(const ServiceSettings *service, const char *key, const char *program,
                          Report *report) {
        char path[KEY_PATH_SIZE];
        const char *why = NULL;
        struct stat st;
        int r;

        r = stat_for_worker(service, program, &st);
        if (r < 0)
                why = strerror(-r);
        else if (st.st_mode != 0 && !S_ISREG(st.st_mode))
                why = "not a regular file";
        else if (st.st_mode != 0 && !(st.st_mode & 0111))
                why = "not executable";
        if (why)
                report_warning(report, service_place(service, key),
                               key_path("services", service->name, key, path),
                               "%s: %s, expected an executable file before a worker starts",
                               program, why);
}

static void check_directory(const ServiceSettings *service, const char *key, const char *directory,
                            bool is_root, Report *report) {
        char path[KEY_PATH_SIZE];
        struct stat st;
        int r;

        if (!directory)
                return;

        r = is_root ? (stat(directory, &st) < 0 ? -errno : 0)
                    : stat_for_worker(service, directory, &st);
        if (r < 0 || (st.st_mode != 0 && !S_ISDIR(st.st_mode)))
                report_warning(report, service_place(service, key),
                               key_path("services", service->name, key, path),
                               "%s is not there, expected a directory before a worker starts",
                               directory);
}

/* A program that is not there yet may come with its package. */
static void check_files(const ServiceSettings *service, Report *report) {
        if (service->exec_start)
                check_program(service, "exec_start", service->exec_start[0], report);
        for (size_t i = 0; i < service->exec_start_pre.n_commands; i++)
                check_program(service, "exec_start_pre",
                              service->exec_start_pre.commands[i].argv[0], report);
        for (size_t i = 0; i < service->exec_stop_post.n_commands; i++)
                check_program(service, "exec_stop_post",
                              service->exec_stop_post.commands[i].argv[0], report);

        check_directory(service, "root_directory", service->root_directory, true, report);
        check_directory(service, "working_directory", service->working_directory, false, report);
}

/* ---- one endpoint ---------------------------------------------------------------------------- */

static void problem_of_endpoint(const EndpointSettings *e, const char *key, const char *text,
                                Report *report) {
        char path[KEY_PATH_SIZE];

        report_problem(report, key_place(&e->keys, key, e->place),
                       key_path("endpoints", e->name, key, path), "%s", text);
}

static void check_backlog(const EndpointSettings *e, Report *report) {
        char path[KEY_PATH_SIZE];
        int somaxconn;

        if (e->backlog == 0)
                return;
        if (e->type == SOCK_DGRAM) {
                problem_of_endpoint(
                                e, "backlog",
                                "datagrams have no backlog, expected it with listen_stream only",
                                report);
                return;
        }

        somaxconn = reuse_somaxconn();
        if (e->backlog > somaxconn)
                report_warning(report, key_place(&e->keys, "backlog", e->place),
                               key_path("endpoints", e->name, "backlog", path),
                               "%d is more than net.core.somaxconn, effective are %d", e->backlog,
                               somaxconn);
}

static void check_sockopts(const EndpointSettings *e, Report *report) {
        for (size_t i = 0; i < e->n_sockopts; i++) {
                const ReuseSockoptInfo *info = reuse_sockopt_find(e->sockopts[i].name);

                if (e->type == SOCK_STREAM && !info->for_stream)
                        problem_of_endpoint(
                                        e, info->name,
                                        "not for streams, expected it with listen_datagram only",
                                        report);
                else if (e->type == SOCK_DGRAM && !info->for_datagram)
                        problem_of_endpoint(
                                        e, info->name,
                                        "not for datagrams, expected it with listen_stream only",
                                        report);
        }
}

static void check_endpoint(const EndpointSettings *e, Report *report) {
        check_backlog(e, report);
        check_sockopts(e, report);
        if (e->type == SOCK_DGRAM && e->steering == REUSE_STEERING_RANDOM)
                problem_of_endpoint(e, "steering",
                                    "\"random\" would tear flows of datagrams apart, expected "
                                    "\"hash\" or \"cpu\"",
                                    report);
}

static void check_service(const ServiceSettings *service, Report *report) {
        check_unit(service, report);
        check_delays(service, report);
        check_activation(service, report);
        check_fd_protocol(service, report);
        check_store(service, report);
        check_signal(service, report);
        check_templates(service, report);
        check_files(service, report);
}

int cross_check(Settings *s, const Tree *services, Report *report) {
        int r;

        for (size_t i = 0; i < s->n_services; i++) {
                r = find_endpoints(s, s->services[i], services, report);
                if (r < 0)
                        return r;
                check_service(s->services[i], report);
                check_deploy(s->services[i],
                             services ? tree_child(services, s->services[i]->name) : NULL, report);
        }
        for (size_t i = 0; i < s->n_endpoints; i++)
                check_endpoint(s->endpoints[i], report);
        check_store_need(s, report);

        r = check_variable_names(s, report);
        if (r < 0)
                return r;
        return check_addresses(s, report);
}
