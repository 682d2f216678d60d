#pragma once

/* What a reload would change: two Settings, compared key by key. */

#include "settings/settings-table.h"

typedef enum SettingsChangeKind {
        SETTINGS_ADDED,   /* the object is new */
        SETTINGS_REMOVED, /* it is no longer there */
        SETTINGS_CHANGED, /* one key of it */
        SETTINGS_CHANGE_KIND_MAX,
        SETTINGS_CHANGE_KIND_INVALID = -EINVAL,
} SettingsChangeKind;

typedef struct SettingsChange {
        SettingsChangeKind kind;
        SettingGroup group;    /* of the key; a service's may be in a group inside it */
        const char *object;    /* its name; NULL: the daemon */
        const SettingRow *row; /* of SETTINGS_CHANGED, as is all below */
        SettingApplies applies;
        char *before; /* as in a file; NULL: unset */
        char *after;
} SettingsChange;

typedef struct SettingsDiff {
        SettingsChange *changes; /* endpoints first, then services, then the daemon */
        size_t n_changes;
} SettingsDiff;

/* Compares; names of objects are borrowed from @before and @after, which must outlive the result.
 *
 * A service whose environment_file or pass_environment gives other variables than before differs in
 * that key, although the key says the same; its texts are then NULL, since they may be secret.
 *
 * Returns 0 or -ENOMEM. */
int settings_diff(const Settings *before, const Settings *after, SettingsDiff *ret);

void settings_diff_done(SettingsDiff *d);

/* The changes of one object in @before and @after, added to @d.  Returns 0 or -ENOMEM. */
int settings_diff_endpoint(const EndpointSettings *before, const EndpointSettings *after,
                           SettingsDiff *d);
int settings_diff_service(const ServiceSettings *before, const ServiceSettings *after,
                          SettingsDiff *d);

/* The heaviest of an object's changes in @d, those in the groups inside it too: -ENOENT if there are
 * none.
 *
 * @group  one that is in no other */
int settings_diff_applies(const SettingsDiff *d, SettingGroup group, const char *object);
