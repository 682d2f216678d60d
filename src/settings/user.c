#include "settings/user.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/load.h"
#include "settings/lookup.h"

static int refuse(const ServiceSettings *service, const char *key, const char *word, int error,
                  Report *report) {
        char path[KEY_PATH_SIZE], quoted[REPORT_QUOTE_SIZE];
        Place place = key_place(&service->keys, key, service->place);

        if (error == -ENOMEM)
                return error;

        key_path("services", service->name, key, path);
        report_quote(word, quoted);
        if (error < 0)
                report_problem(report, place, path,
                               "%s cannot be looked up: %s, expected a name or number of this "
                               "system",
                               quoted, lookup_strerror(error));
        else
                report_problem(report, place, path,
                               "there is no %s %s, expected one of this system",
                               strcmp(key, "user") == 0 ? "user" : "group", quoted);
        return 0;
}

/* Numbers up to the last but one: -1 means "leave it" to the kernel. */
static bool is_number(const char *text, uint64_t *ret) {
        return parse_unsigned(text, UINT32_MAX - 1, ret) == 0;
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int resolve_user(ServiceSettings *s, Report *report) {
        LookupUser found;
        uint64_t uid = 0;
        bool is_numeric = is_number(s->user, &uid);
        int r;

        r = lookup_user(&report->lookups, is_numeric ? NULL : s->user, (uid_t) uid, &found);
        if (r == 0 && is_numeric && s->group) {
                s->uid = (uid_t) uid; /* a number that no name belongs to will do */
                return 1;
        }
        if (r <= 0)
                return refuse(s, "user", s->user, r, report);

        s->uid = found.uid;
        s->gid = found.gid;
        s->user_name = strdup(found.name);
        s->home = strdup(found.home);
        return s->user_name && s->home ? 1 : -ENOMEM;
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int resolve_group(const ServiceSettings *s, const char *key, const char *name, gid_t *ret,
                         Report *report) {
        uint64_t gid;
        int r;

        if (is_number(name, &gid)) {
                *ret = (gid_t) gid;
                return 1;
        }

        r = lookup_group(&report->lookups, name, ret);
        return r > 0 ? r : refuse(s, key, name, r, report);
}

/* All groups of the user; without a user only the group.  Returns 1, 0 after a report, or -ENOMEM. */
static int resolve_groups(ServiceSettings *s, Report *report) {
        const gid_t *groups = &s->gid;
        size_t n = 1;
        int r = 1;

        if (s->user_name)
                r = lookup_groups_of(&report->lookups, s->user_name, s->gid, &groups, &n);
        if (r <= 0)
                return refuse(s, "user", s->user, r, report);

        s->groups = reallocarray(NULL, n + 1, sizeof(gid_t));
        if (!s->groups)
                return -ENOMEM;

        memcpy(s->groups, groups, n * sizeof(gid_t));
        s->n_groups = n;
        return 1;
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int add_supplementary_groups(ServiceSettings *s, Report *report) {
        size_t n = strv_length(s->supplementary_groups);
        gid_t *longer = reallocarray(s->groups, s->n_groups + n + 1, sizeof(gid_t));
        bool is_good = true;

        if (!longer)
                return -ENOMEM;
        s->groups = longer;

        STRV_FOREACH(name, s->supplementary_groups) {
                int r = resolve_group(s, "supplementary_groups", *name, &s->groups[s->n_groups],
                                      report);

                if (r < 0)
                        return r;
                s->n_groups += r > 0;
                is_good &= r > 0;
        }

        return is_good;
}

/* What is wrong with one key does not keep the others from being looked at. */
int user_resolve(ServiceSettings *service, Report *report) {
        int has_user = 1, has_group = 1, has_groups;

        if (!service->user && !service->group && !service->supplementary_groups)
                return 0;

        service->uid = geteuid();
        service->gid = getegid();
        if (service->user) {
                has_user = resolve_user(service, report);
                if (has_user < 0)
                        return has_user;
        }
        if (service->group) {
                has_group = resolve_group(service, "group", service->group, &service->gid, report);
                if (has_group < 0)
                        return has_group;
        }
        if (has_user > 0 && has_group > 0) {
                has_user = resolve_groups(service, report);
                if (has_user < 0)
                        return has_user;
        }

        has_groups = add_supplementary_groups(service, report);
        if (has_groups < 0)
                return has_groups;

        service->has_user = has_user > 0 && has_group > 0 && has_groups > 0;
        return 0;
}

/* Returns 1, 0 after a report, or -ENOMEM. */
static int resolve_allowed(const EndpointSettings *e, const char *name, uid_t *ret,
                           Report *report) {
        char path[KEY_PATH_SIZE], quoted[REPORT_QUOTE_SIZE];
        LookupUser found;
        uint64_t uid;
        int r;

        if (is_number(name, &uid)) {
                *ret = (uid_t) uid;
                return 1;
        }

        r = lookup_user(&report->lookups, name, 0, &found);
        if (r > 0)
                *ret = found.uid;
        if (r > 0 || r == -ENOMEM)
                return r;

        report_problem(report, key_place(&e->keys, "allow_users", e->place),
                       key_path("endpoints", e->name, "allow_users", path),
                       "there is no user %s%s%s, expected one of this system",
                       report_quote(name, quoted), r < 0 ? " to be found: " : "",
                       r < 0 ? lookup_strerror(r) : "");
        return 0;
}

int user_resolve_allowed(EndpointSettings *e, Report *report) {
        e->allow_uids = calloc(strv_length(e->allow_users) + 1, sizeof(uid_t));
        if (!e->allow_uids)
                return -ENOMEM;

        STRV_FOREACH(name, e->allow_users) {
                int r = resolve_allowed(e, *name, &e->allow_uids[e->n_allow_uids], report);

                if (r < 0)
                        return r;
                e->n_allow_uids += r > 0;
        }

        return 0;
}

int user_resolve_control(DaemonSettings *daemon, Report *report) {
        const Place nowhere = { 0 };
        char quoted[REPORT_QUOTE_SIZE];
        uint64_t gid;
        int r;

        if (!daemon->control_group)
                return 0;
        if (is_number(daemon->control_group, &gid)) {
                daemon->control_gid = (gid_t) gid;
                return 0;
        }

        r = lookup_group(&report->lookups, daemon->control_group, &daemon->control_gid);
        if (r <= 0 && r != -ENOMEM)
                report_problem(report, key_place(&daemon->keys, "control_group", nowhere),
                               "daemon.control_group",
                               "there is no group %s%s%s, expected a name or number of this "
                               "system",
                               report_quote(daemon->control_group, quoted),
                               r < 0 ? " to be found: " : "", r < 0 ? lookup_strerror(r) : "");
        return r == -ENOMEM ? r : 0;
}
