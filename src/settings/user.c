#include "settings/user.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/load.h"

#define DATABASE_TEXT_MAX (1UL << 20)

/* What getpwnam_r() and its like say when there is no such entry: see getpwnam(3). */
static bool means_not_found(int error) {
        return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

/* Returns 1; 0: not found; a negative errno. @ret points into *ret_text. */
static int find_user(const char *name, uint64_t uid, struct passwd *ret, char **ret_text) {
        for (size_t size = 1024; size <= DATABASE_TEXT_MAX; size *= 2) {
                _cleanup_free_ char *text = malloc(size);
                struct passwd *found = NULL;
                int r;

                if (!text)
                        return -ENOMEM;

                r = name ? getpwnam_r(name, ret, text, size, &found)
                         : getpwuid_r((uid_t) uid, ret, text, size, &found);
                if (found) {
                        *ret_text = TAKE_PTR(text);
                        return 1;
                }
                if (r != ERANGE && r != EINTR)
                        return means_not_found(r) ? 0 : -r;
        }

        return -E2BIG;
}

static int find_group(const char *name, gid_t *ret) {
        for (size_t size = 1024; size <= DATABASE_TEXT_MAX; size *= 2) {
                _cleanup_free_ char *text = malloc(size);
                struct group entry, *found = NULL;
                int r;

                if (!text)
                        return -ENOMEM;

                r = getgrnam_r(name, &entry, text, size, &found);
                if (found) {
                        *ret = entry.gr_gid;
                        return 1;
                }
                if (r != ERANGE && r != EINTR)
                        return means_not_found(r) ? 0 : -r;
        }

        return -E2BIG;
}

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
                               quoted, strerror(-error));
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
        _cleanup_free_ char *text = NULL;
        struct passwd entry;
        uint64_t uid = 0;
        bool is_numeric = is_number(s->user, &uid);
        int r;

        r = find_user(is_numeric ? NULL : s->user, uid, &entry, &text);
        if (r == 0 && is_numeric && s->group) {
                s->uid = (uid_t) uid; /* a number that no name belongs to will do */
                return 1;
        }
        if (r <= 0)
                return refuse(s, "user", s->user, r, report);

        s->uid = entry.pw_uid;
        s->gid = entry.pw_gid;
        s->user_name = strdup(entry.pw_name);
        s->home = strdup(entry.pw_dir);
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

        r = find_group(name, ret);
        return r > 0 ? r : refuse(s, key, name, r, report);
}

/* All groups of the user; without a user only the group. */
static int resolve_groups(ServiceSettings *s) {
        int n = s->user_name ? 64 : 1;

        for (;;) {
                gid_t *groups = reallocarray(s->groups, (size_t) n, sizeof(gid_t));
                int allocated = n;

                if (!groups)
                        return -ENOMEM;
                s->groups = groups;

                if (!s->user_name)
                        groups[0] = s->gid;
                else if (getgrouplist(s->user_name, s->gid, groups, &n) < 0 && n > allocated)
                        continue;

                s->n_groups = (size_t) n;
                return 0;
        }
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
        int has_user = 1, has_group = 1, has_groups, r;

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
                r = resolve_groups(service);
                if (r < 0)
                        return r;
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
        _cleanup_free_ char *text = NULL;
        char path[KEY_PATH_SIZE], quoted[REPORT_QUOTE_SIZE];
        struct passwd entry;
        uint64_t uid;
        int r;

        if (is_number(name, &uid)) {
                *ret = (uid_t) uid;
                return 1;
        }

        r = find_user(name, 0, &entry, &text);
        if (r > 0)
                *ret = entry.pw_uid;
        if (r > 0 || r == -ENOMEM)
                return r;

        report_problem(report, key_place(&e->keys, "allow_users", e->place),
                       key_path("endpoints", e->name, "allow_users", path),
                       "there is no user %s, expected one of this system",
                       report_quote(name, quoted));
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

        r = find_group(daemon->control_group, &daemon->control_gid);
        if (r <= 0 && r != -ENOMEM)
                report_problem(report, key_place(&daemon->keys, "control_group", nowhere),
                               "daemon.control_group",
                               "there is no group %s, expected a name or number of this system",
                               report_quote(daemon->control_group, quoted));
        return r == -ENOMEM ? r : 0;
}
