#include "settings/load.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/environment.h"
#include "settings/merge.h"
#include "settings/preset.h"
#include "settings/user.h"
#include "settings/value.h"

#define NAME_LENGTH_MAX 64U

/* ---- names ----------------------------------------------------------------------------------- */

bool name_is_valid(const char *name) {
        size_t n = 0;

        if (!isalpha((unsigned char) name[0]))
                return false;
        while (isalnum((unsigned char) name[n]) || name[n] == '_' || name[n] == '-')
                n++;

        return !name[n] && n <= NAME_LENGTH_MAX;
}

const char *key_path(const char *group, const char *object, const char *key,
                     char buffer[static KEY_PATH_SIZE]) {
        (void) snprintf(buffer, KEY_PATH_SIZE, "%s.%s.%s", group, object, key);
        return buffer;
}

Place key_place(const Keys *keys, const char *key, Place otherwise) {
        for (size_t i = 0; i < keys->n_places; i++)
                if (strcmp(keys->places[i].key, key) == 0)
                        return keys->places[i].place;

        return otherwise;
}

static int add_key(Keys *keys, const char *key, Place place) {
        KeyPlace *longer = reallocarray(keys->places, keys->n_places + 1, sizeof(KeyPlace));

        if (!longer)
                return -ENOMEM;

        longer[keys->n_places++] = (KeyPlace){ key, place };
        keys->places = longer;
        return 0;
}

/* ---- one object ------------------------------------------------------------------------------ */

static void report_unknown(const Tree *node, const char *nearest, const char *otherwise,
                           Report *report) {
        if (nearest)
                tree_problem(node, report, "unknown key, expected perhaps \"%s\"", nearest);
        else
                tree_problem(node, report, "unknown key, expected %s", otherwise);
}

/* A key that stands one group too far out is told where it belongs. */
static void report_unknown_key(const Tree *node, SettingGroup group, Report *report) {
        SettingGroup home = setting_find_deeper(group, node->name);

        if (home != SETTING_GROUP_INVALID)
                tree_problem(node, report, "unknown key here, expected it in %s",
                             setting_table(home)->title);
        else
                report_unknown(node, setting_nearest(group, node->name),
                               "one of those in endpoints.conf(5)", report);
}

static int set_rows_defaults(SettingGroup group, void *object) {
        const SettingTable *table = setting_table(group);

        for (size_t i = 0; i < table->n_rows; i++) {
                const SettingRow *row = &table->rows[i];
                int r = row->default_text ? value_set_text(row, row->default_text, object) : 0;

                if (r < 0)
                        return r;
        }

        return 0;
}

static int set_defaults(SettingGroup group, void *object) {
        SettingGroup inside = SETTING_GROUP_INVALID;
        int r;

        r = set_rows_defaults(group, object);
        while (r >= 0 && (inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                r = set_defaults(inside, object);

        return r;
}

/* What a preset says comes between the defaults and the keys beside it. */
static int set_preset(const Tree *node, ServiceSettings *s) {
        const SettingTable *table = setting_table(SETTING_GROUP_SERVICE);
        const Tree *child = tree_child(node, "preset");
        const Preset *preset = child && child->kind == TREE_STRING ? preset_find(child->string)
                                                                   : NULL;

        for (size_t i = 0; preset && i < table->n_rows; i++) {
                const char *text = preset_value(preset, table->rows[i].name);
                int r = text ? value_set_text(&table->rows[i], text, s) : 0;

                if (r < 0)
                        return r;
        }

        return 0;
}

static void check_required(const Tree *node, SettingGroup group, Report *report) {
        const SettingTable *table = setting_table(group);

        for (size_t i = 0; i < table->n_rows; i++) {
                const SettingRow *row = &table->rows[i];

                if (row->is_required && !tree_child(node, row->name))
                        tree_problem(node, report, "%s is missing, expected %s", row->name,
                                     row->kind->expected);
        }
}

static bool check_group(const Tree *node, Report *report) {
        if (node->kind != TREE_GROUP)
                tree_problem(node, report, "this is %s, expected a group { … }",
                             tree_kind_text(node->kind));

        return node->kind == TREE_GROUP;
}

/* Reads every key of @node into @object, and those of the groups inside it. */
static int read_keys(const Tree *node, SettingGroup group, void *object, Report *report) {
        Keys *keys = (Keys *) setting_keys(group, object);

        for (size_t i = 0; i < node->n_children; i++) {
                const Tree *child = node->children[i];
                const SettingRow *row = setting_find(group, child->name);
                SettingGroup inside = setting_find_inside(group, child->name);
                int r = 0;

                if (inside != SETTING_GROUP_INVALID) {
                        if (check_group(child, report))
                                r = read_keys(child, inside, object, report);
                } else if (row)
                        r = value_read(row, child, object, report);
                else {
                        report_unknown_key(child, group, report);
                        continue;
                }
                if (r >= 0)
                        r = add_key(keys, row ? row->name : setting_table(inside)->key,
                                    child->place);
                if (r < 0)
                        return r;
        }

        check_required(node, group, report);
        return 0;
}

/* Whether @node can be an object at all. */
static bool check_object(const Tree *node, Report *report) {
        if (!name_is_valid(node->name))
                tree_problem(node, report, "not a name, expected " NAME_EXPECTED);
        else
                return check_group(node, report);

        return false;
}

static void free_object(SettingGroup group, void *object) {
        const SettingTable *table = setting_table(group);
        SettingGroup inside = SETTING_GROUP_INVALID;

        for (size_t i = 0; i < table->n_rows; i++)
                value_done(&table->rows[i], object);
        free(setting_keys(group, object)->places);

        while ((inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                free_object(inside, object);
}

static EndpointSettings *endpoint_free(EndpointSettings *e) {
        if (!e)
                return NULL;

        free_object(SETTING_GROUP_ENDPOINT, e);
        for (size_t i = 0; i < e->n_sockopts; i++)
                free((char *) e->sockopts[i].text);
        free(e->sockopts);
        free(e->allow_uids);
        free(e->addresses);
        free(e->name);
        free(e);
        return NULL;
}
DEFINE_CLEANUP(EndpointSettings, endpoint_free)

static ServiceSettings *service_free(ServiceSettings *s) {
        if (!s)
                return NULL;

        free_object(SETTING_GROUP_SERVICE, s);
        strv_free(s->environment);
        free(s->endpoints);
        free(s->groups);
        free(s->user_name);
        free(s->home);
        free(s->name);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(ServiceSettings, service_free)

/* ---- all objects ----------------------------------------------------------------------------- */

static void set_ipv6_only(EndpointSettings *e) {
        for (size_t i = 0; i < e->n_addresses; i++) {
                ReuseAddress *a = &e->addresses[i];

                if (a->sa.sa_family != AF_INET6 || e->bind_ipv6_only == BIND_IPV6_ONLY_DEFAULT)
                        continue;
                a->is_dual_stack = e->bind_ipv6_only == BIND_IPV6_ONLY_BOTH &&
                                   IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
        }
}

static int load_endpoint(const Tree *node, EndpointSettings *e, Report *report) {
        const Tree *stream = tree_child(node, "listen_stream");
        const Tree *datagram = tree_child(node, "listen_datagram");
        int r;

        e->place = node->place;
        e->type = SOCK_STREAM;
        e->name = strdup(node->name);
        if (!e->name)
                return -ENOMEM;

        r = set_defaults(SETTING_GROUP_ENDPOINT, e);
        if (r < 0)
                return r;
        r = read_keys(node, SETTING_GROUP_ENDPOINT, e, report);
        if (r < 0)
                return r;

        if (stream && datagram)
                tree_problem(datagram, report,
                             "listen_stream and listen_datagram in one endpoint, expected one "
                             "of them; make a second endpoint for the other");
        else if (!stream && !datagram)
                tree_problem(node, report, "no address, expected listen_stream or listen_datagram");

        set_ipv6_only(e);
        return user_resolve_allowed(e, report);
}

/* Of the two that make a limit each brings the other, with systemd's default. */
static void complete_start_limit(ServiceSettings *s) {
        if (s->start_limit_burst > 0 && s->start_limit_interval_usec == 0)
                s->start_limit_interval_usec = 10 * USEC_PER_SEC;
        else if (s->start_limit_interval_usec > 0 && s->start_limit_burst == 0)
                s->start_limit_burst = 5;
}

static int load_service(const Tree *node, ServiceSettings *s, Report *report) {
        int r;

        s->place = node->place;
        s->name = strdup(node->name);
        if (!s->name)
                return -ENOMEM;

        r = set_defaults(SETTING_GROUP_SERVICE, s);
        if (r < 0)
                return r;
        r = set_preset(node, s);
        if (r < 0)
                return r;
        r = read_keys(node, SETTING_GROUP_SERVICE, s, report);
        if (r < 0)
                return r;
        complete_start_limit(s);

        r = user_resolve(s, report);
        if (r < 0)
                return r;
        return environment_resolve(s, report);
}

int load_daemon(const Tree *group, Settings *s, Report *report) {
        int r;

        r = set_defaults(SETTING_GROUP_DAEMON, &s->daemon);
        if (r < 0 || !group)
                return r;

        r = read_keys(group, SETTING_GROUP_DAEMON, &s->daemon, report);
        return r < 0 ? r : user_resolve_control(&s->daemon, report);
}

int load_endpoints(const Tree *group, Settings *s, Report *report) {
        s->endpoints = calloc(group->n_children + 1, sizeof(EndpointSettings *));
        if (!s->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < group->n_children; i++) {
                _cleanup_(endpoint_freep) EndpointSettings *e = NULL;
                int r;

                if (!check_object(group->children[i], report))
                        continue;
                e = calloc(1, sizeof(EndpointSettings));
                if (!e)
                        return -ENOMEM;
                r = load_endpoint(group->children[i], e, report);
                if (r < 0)
                        return r;
                s->endpoints[s->n_endpoints++] = TAKE_PTR(e);
        }

        return 0;
}

int load_services(const Tree *group, Settings *s, Report *report) {
        s->services = calloc(group->n_children + 1, sizeof(ServiceSettings *));
        if (!s->services)
                return -ENOMEM;

        for (size_t i = 0; i < group->n_children; i++) {
                _cleanup_(service_freep) ServiceSettings *service = NULL;
                int r;

                if (!check_object(group->children[i], report))
                        continue;
                service = calloc(1, sizeof(ServiceSettings));
                if (!service)
                        return -ENOMEM;
                r = load_service(group->children[i], service, report);
                if (r < 0)
                        return r;
                s->services[s->n_services++] = TAKE_PTR(service);
        }

        return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int settings_new(Settings **ret) {
        Settings *s = calloc(1, sizeof(Settings));

        if (!s)
                return -ENOMEM;

        s->n_ref = 1;
        *ret = s;
        return 0;
}

Settings *settings_ref(Settings *s) {
        s->n_ref++;
        return s;
}

Settings *settings_unref(Settings *s) {
        if (!s || --s->n_ref > 0)
                return NULL;

        for (size_t i = 0; i < s->n_endpoints; i++)
                endpoint_free(s->endpoints[i]);
        for (size_t i = 0; i < s->n_services; i++)
                service_free(s->services[i]);
        free(s->endpoints);
        free(s->services);
        free_object(SETTING_GROUP_DAEMON, &s->daemon);
        free(s->endpoints_by_name);
        free(s->services_by_name);
        free(s->include_dir);
        strv_free(s->files);
        settings_texts_done(&s->texts);
        free(s);
        return NULL;
}

static int compare_endpoints(const void *p, const void *q) {
        const EndpointSettings *const *a = p, *const *b = q;

        return strcmp((*a)->name, (*b)->name);
}

static int compare_services(const void *p, const void *q) {
        const ServiceSettings *const *a = p, *const *b = q;

        return strcmp((*a)->name, (*b)->name);
}

int settings_index(Settings *s) {
        s->endpoints_by_name = calloc(s->n_endpoints + 1, sizeof(EndpointSettings *));
        s->services_by_name = calloc(s->n_services + 1, sizeof(ServiceSettings *));
        if (!s->endpoints_by_name || !s->services_by_name)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_endpoints; i++) {
                s->endpoints_by_name[i] = s->endpoints[i];
                s->endpoints[i]->index = i;
        }
        for (size_t i = 0; i < s->n_services; i++) {
                s->services_by_name[i] = s->services[i];
                s->services[i]->index = i;
        }

        qsort(s->endpoints_by_name, s->n_endpoints, sizeof(EndpointSettings *), compare_endpoints);
        qsort(s->services_by_name, s->n_services, sizeof(ServiceSettings *), compare_services);
        return 0;
}

const EndpointSettings *settings_find_endpoint(const Settings *s, const char *name) {
        const EndpointSettings key = { .name = (char *) name }, *wanted = &key;
        EndpointSettings **found;

        found = bsearch(&wanted, s->endpoints_by_name, s->n_endpoints, sizeof(EndpointSettings *),
                        compare_endpoints);
        return found ? *found : NULL;
}

const ServiceSettings *settings_find_service(const Settings *s, const char *name) {
        const ServiceSettings key = { .name = (char *) name }, *wanted = &key;
        ServiceSettings **found;

        found = bsearch(&wanted, s->services_by_name, s->n_services, sizeof(ServiceSettings *),
                        compare_services);
        return found ? *found : NULL;
}

static const char *const root_names[] = { "daemon", "endpoints", "include_dir", "services" };

static void check_root(const Tree *root, Report *report) {
        for (size_t i = 0; i < root->n_children; i++) {
                const Tree *child = root->children[i];

                if (text_lookup(root_names, ELEMENTS_OF(root_names), child->name) < 0)
                        report_unknown(child,
                                       text_nearest(root_names, ELEMENTS_OF(root_names),
                                                    child->name),
                                       "\"endpoints\", \"services\", \"daemon\" or \"include_dir\"",
                                       report);
                else if (strcmp(child->name, "include_dir") != 0)
                        (void) check_group(child, report);
        }
}

static const Tree *child_group(const Tree *root, const char *name) {
        const Tree *child = tree_child(root, name);

        return child && child->kind == TREE_GROUP ? child : NULL;
}

int load_root(const Tree *root, Settings *s, Report *report) {
        const Tree *endpoints = child_group(root, "endpoints");
        const Tree *services = child_group(root, "services");
        int r;

        check_root(root, report);
        r = load_daemon(child_group(root, "daemon"), s, report);
        if (r >= 0 && endpoints)
                r = load_endpoints(endpoints, s, report);
        if (r >= 0 && services)
                r = load_services(services, s, report);
        if (r >= 0)
                r = settings_index(s);
        if (r < 0)
                return r;

        return cross_check(s, services, report);
}

static int load(const char *path, Report *report, Settings *s) {
        _cleanup_(tree_freep) Tree *root = NULL;
        int r;

        r = merge_read(path, s, report, &root);
        if (r < 0)
                return r;

        return load_root(root, s, report);
}

int settings_load_texts(const char *path, SettingsTexts *texts, Problems *problems,
                        Settings **ret) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        _cleanup_(report_done) Report report = { 0 };
        int r, finished;

        assert(path);
        assert(problems);
        assert(ret);

        r = settings_new(&s);
        if (r < 0) {
                settings_texts_done(texts);
                return r;
        }

        s->texts = *texts;
        *texts = (SettingsTexts){ 0 };
        report.texts = &s->texts;
        r = load(path, &report, s);
        finished = report_finish(&report, problems);
        if (r < 0)
                return r;
        if (finished < 0)
                return finished;
        if (report.n_problems > 0)
                return -EBADMSG;

        *ret = TAKE_PTR(s);
        return 0;
}

int settings_load(const char *path, Problems *problems, Settings **ret) {
        SettingsTexts from_disk = { 0 };

        return settings_load_texts(path, &from_disk, problems, ret);
}
