/* What the keys of a service's deploy cannot know: that one thing is checked, where, and that it can
 * be spoken to there. */

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "settings/load.h"

#define ONE_EXPECTED "expected one of http, tcp = true and exec"

static const Tree *child_group(const Tree *node, const char *name) {
        const Tree *child = node ? tree_child(node, name) : NULL;

        return child && child->kind == TREE_GROUP ? child : NULL;
}

/* tcp = false says nothing; tcp with a value that was refused says enough. */
static bool is_check(const Tree *key) {
        return strcmp(key->name, "http") == 0 || strcmp(key->name, "exec") == 0 ||
               (strcmp(key->name, "tcp") == 0 && (key->kind != TREE_BOOLEAN || key->boolean));
}

/* By what was said rather than by what was read: a value that was refused is told once. */
static void check_one_form(const Tree *group, Report *report) {
        const Tree *first = NULL;

        for (size_t i = 0; i < group->n_children; i++) {
                const Tree *key = group->children[i];

                if (!is_check(key))
                        continue;
                if (first)
                        tree_problem(key, report, "%s is checked already (%s:%u), " ONE_EXPECTED,
                                     first->name, first->place.file, first->place.line);
                else
                        first = key;
        }

        if (!first)
                tree_problem(group, report, "nothing is checked, " ONE_EXPECTED);
}

/* NULL: not one of the service's, or one that does not exist. */
static const EndpointSettings *find_endpoint(const ServiceSettings *service, const char *name) {
        for (size_t i = 0; i < service->n_endpoints; i++)
                if (strcmp(service->endpoints[i]->name, name) == 0)
                        return service->endpoints[i];

        return NULL;
}

static void report_foreign_endpoint(const ServiceSettings *service, const Tree *key,
                                    Report *report) {
        const char *name = service->deploy.health_check.endpoint, *nearest;
        char quoted[REPORT_QUOTE_SIZE];

        report_quote(name, quoted);
        nearest = text_nearest((const char *const *) service->endpoint_names,
                               strv_length(service->endpoint_names), name);
        if (nearest)
                tree_problem(key, report,
                             "%s is no endpoint of this service, expected perhaps \"%s\"", quoted,
                             nearest);
        else
                tree_problem(key, report,
                             "%s is no endpoint of this service, expected one of its endpoints",
                             quoted);
}

static bool has_stream(const ServiceSettings *service) {
        for (size_t i = 0; i < service->n_endpoints; i++)
                if (service->endpoints[i]->type == SOCK_STREAM)
                        return true;

        return false;
}

/* An endpoint that does not exist was told where the service names it. */
static void check_endpoint(const ServiceSettings *service, const Tree *group, Report *report) {
        const HealthCheck *h = &service->deploy.health_check;
        const char *speaks = h->http ? "http" : h->is_tcp ? "tcp" : NULL;
        const Tree *key = tree_child(group, h->endpoint ? "endpoint" : speaks ?: "endpoint");
        const EndpointSettings *e = h->endpoint ? find_endpoint(service, h->endpoint) : NULL;

        if (h->endpoint && !strv_contains(service->endpoint_names, h->endpoint))
                report_foreign_endpoint(service, key, report);
        else if (speaks && e && e->type != SOCK_STREAM)
                tree_problem(key, report,
                             "%s cannot ask \"%s\", which takes datagrams, expected a stream, or "
                             "exec",
                             speaks, e->name);
        else if (speaks && !h->endpoint && service->n_endpoints > 0 &&
                 service->n_endpoints == strv_length(service->endpoint_names) &&
                 !has_stream(service))
                tree_problem(key, report,
                             "all endpoints of this service take datagrams, expected exec");
}

/* They run as the daemon, whatever the workers' root is. */
static void check_program(const Tree *group, const char *key, char *const *argv, Report *report) {
        const Tree *node = group ? tree_child(group, key) : NULL;
        char path[TREE_PATH_SIZE];
        const char *why = NULL;
        struct stat st;

        if (!argv || !node)
                return;

        if (stat(argv[0], &st) < 0)
                why = strerror(errno);
        else if (!S_ISREG(st.st_mode))
                why = "not a regular file";
        else if (!(st.st_mode & 0111))
                why = "not executable";
        if (why)
                report_warning(report, node->place, tree_path(node, path),
                               "%s: %s, expected an executable file before a deploy", argv[0], why);
}

void check_deploy(const ServiceSettings *service, const Tree *node, Report *report) {
        const DeploySettings *d = &service->deploy;
        const Tree *group = child_group(node, "deploy");
        const Tree *health_check = child_group(group, "health_check");

        check_program(group, "hook_pre", d->hook_pre, report);
        check_program(group, "hook_post", d->hook_post, report);
        check_program(group, "hook_failed", d->hook_failed, report);
        if (!health_check)
                return;

        check_one_form(health_check, report);
        check_endpoint(service, health_check, report);
        check_program(health_check, "exec", d->health_check.exec, report);
}
