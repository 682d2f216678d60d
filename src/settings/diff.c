#include "settings/diff.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/value.h"

void settings_diff_done(SettingsDiff *d) {
        for (size_t i = 0; i < d->n_changes; i++) {
                free(d->changes[i].before);
                free(d->changes[i].after);
        }

        free(d->changes);
        *d = (SettingsDiff){ 0 };
}

static int add_change(SettingsDiff *d, SettingsChange change) {
        SettingsChange *longer = reallocarray(d->changes, d->n_changes + 1, sizeof(SettingsChange));

        if (!longer)
                return -ENOMEM;

        d->changes = longer;
        d->changes[d->n_changes++] = change;
        return 0;
}

static int add_key_change(SettingsDiff *d, SettingGroup group, const char *name,
                          const SettingRow *row, const void *before, const void *after) {
        _cleanup_free_ char *old_text = NULL, *new_text = NULL;
        SettingsChange change = { SETTINGS_CHANGED, group, name, row, row->applies, NULL, NULL };
        int r;

        if (before) {
                r = value_format(row, before, &old_text);
                if (r >= 0)
                        r = value_format(row, after, &new_text);
                if (r < 0)
                        return r;
        }

        change.before = old_text;
        change.after = new_text;
        r = add_change(d, change);
        if (r < 0)
                return r;

        TAKE_PTR(old_text);
        TAKE_PTR(new_text);
        return 0;
}

static int diff_rows(SettingGroup group, const char *name, const void *before, const void *after,
                     SettingsDiff *d) {
        const SettingTable *table = setting_table(group);

        for (size_t i = 0; i < table->n_rows; i++) {
                int r;

                if (value_equal(&table->rows[i], before, after))
                        continue;
                r = add_key_change(d, group, name, &table->rows[i], before, after);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* The rows, and those of the groups inside. */
static int diff_keys(SettingGroup group, const char *name, const void *before, const void *after,
                     SettingsDiff *d) {
        SettingGroup inside = SETTING_GROUP_INVALID;
        int r;

        r = diff_rows(group, name, before, after, d);
        while (r >= 0 && (inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                r = diff_keys(inside, name, before, after, d);

        return r;
}

int settings_diff_endpoint(const EndpointSettings *before, const EndpointSettings *after,
                           SettingsDiff *d) {
        return diff_keys(SETTING_GROUP_ENDPOINT, after->name, before, after, d);
}

/* Whether the variables differ where the three keys do not: then it is what a file says, or our own
 * environment. */
static bool has_other_variables(const ServiceSettings *before, const ServiceSettings *after) {
        return strv_equal(before->said_environment, after->said_environment) &&
               strv_equal(before->environment_file, after->environment_file) &&
               strv_equal(before->pass_environment, after->pass_environment) &&
               !strv_equal(before->environment, after->environment);
}

int settings_diff_service(const ServiceSettings *before, const ServiceSettings *after,
                          SettingsDiff *d) {
        const char *key = after->environment_file ? "environment_file" : "pass_environment";
        int r;

        r = diff_keys(SETTING_GROUP_SERVICE, after->name, before, after, d);
        if (r < 0 || !has_other_variables(before, after))
                return r;

        return add_key_change(d, SETTING_GROUP_SERVICE, after->name,
                              setting_find(SETTING_GROUP_SERVICE, key), NULL, NULL);
}

static int diff_endpoints(const Settings *before, const Settings *after, SettingsDiff *d) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < before->n_endpoints; i++)
                if (!settings_find_endpoint(after, before->endpoints[i]->name))
                        r = add_change(d, (SettingsChange){ .kind = SETTINGS_REMOVED,
                                                            .group = SETTING_GROUP_ENDPOINT,
                                                            .object = before->endpoints[i]->name });

        for (size_t i = 0; r >= 0 && i < after->n_endpoints; i++) {
                const EndpointSettings *now = after->endpoints[i];
                const EndpointSettings *then = settings_find_endpoint(before, now->name);

                r = then ? settings_diff_endpoint(then, now, d)
                         : add_change(d, (SettingsChange){ .kind = SETTINGS_ADDED,
                                                           .group = SETTING_GROUP_ENDPOINT,
                                                           .object = now->name });
        }

        return r;
}

static int diff_services(const Settings *before, const Settings *after, SettingsDiff *d) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < before->n_services; i++)
                if (!settings_find_service(after, before->services[i]->name))
                        r = add_change(d, (SettingsChange){ .kind = SETTINGS_REMOVED,
                                                            .group = SETTING_GROUP_SERVICE,
                                                            .object = before->services[i]->name });

        for (size_t i = 0; r >= 0 && i < after->n_services; i++) {
                const ServiceSettings *now = after->services[i];
                const ServiceSettings *then = settings_find_service(before, now->name);

                r = then ? settings_diff_service(then, now, d)
                         : add_change(d, (SettingsChange){ .kind = SETTINGS_ADDED,
                                                           .group = SETTING_GROUP_SERVICE,
                                                           .object = now->name });
        }

        return r;
}

int settings_diff(const Settings *before, const Settings *after, SettingsDiff *ret) {
        SettingsDiff d = { 0 };
        int r;

        r = diff_endpoints(before, after, &d);
        if (r >= 0)
                r = diff_services(before, after, &d);
        if (r >= 0)
                r = diff_keys(SETTING_GROUP_DAEMON, NULL, &before->daemon, &after->daemon, &d);
        if (r < 0) {
                settings_diff_done(&d);
                return r;
        }

        *ret = d;
        return 0;
}

int settings_diff_applies(const SettingsDiff *d, SettingGroup group, const char *object) {
        int heaviest = -ENOENT;

        for (size_t i = 0; i < d->n_changes; i++) {
                const SettingsChange *c = &d->changes[i];

                if (c->kind == SETTINGS_CHANGED && setting_outermost(c->group) == group &&
                    (c->object && object ? strcmp(c->object, object) == 0 : c->object == object) &&
                    (int) c->applies > heaviest)
                        heaviest = (int) c->applies;
        }

        return heaviest;
}
