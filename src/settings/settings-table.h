#pragma once

/* Every key of endpoints.conf(5), once.
 *
 * Reading, checking, defaults, printing, comparing and the manual all go by these rows.  The socket
 * options' rows are made from those of libreuseport.
 */

#include "settings/settings.h"

typedef enum SettingGroup {
        SETTING_GROUP_ENDPOINT,     /* endpoints.NAME, an EndpointSettings */
        SETTING_GROUP_SERVICE,      /* services.NAME, a ServiceSettings */
        SETTING_GROUP_DEPLOY,       /* services.NAME.deploy, in the same ServiceSettings */
        SETTING_GROUP_HEALTH_CHECK, /* services.NAME.deploy.health_check, the same */
        SETTING_GROUP_DAEMON,       /* daemon, a DaemonSettings */
        SETTING_GROUP_MAX,
        SETTING_GROUP_INVALID = -EINVAL,
} SettingGroup;

typedef enum SettingApplies {
        APPLIES_NOW,            /* at reload */
        APPLIES_TO_NEW_WORKERS, /* pending until deploy or restart */
        APPLIES_BY_NEW_SOCKETS, /* at reload: new sockets, and a new generation on them */
        APPLIES_MAX,
        APPLIES_INVALID = -EINVAL,
} SettingApplies;

typedef struct ValueKind ValueKind; /* settings/value.h */

typedef struct SettingRow {
        const char *name;
        const ValueKind *kind;
        size_t offset;    /* of the field in the object */
        int64_t min, max; /* of numbers; durations in µs; what else they mean, the kind says */
        bool may_be_infinite;
        bool is_required;
        const char *const *names; /* of enums, by value */
        size_t n_names;
        const ReuseSockoptInfo *sockopt;
        const char *default_text;  /* as in the file, without quotes; NULL: unset */
        const char *default_words; /* for people, where default_text does not say it */
        SettingApplies applies;
        const char *help; /* whole sentences, one in a line */
} SettingRow;

typedef struct SettingTable {
        const char *title; /* "endpoints.NAME" */
        const SettingRow *rows;
        size_t n_rows;
        size_t keys_offset; /* of the Keys in the object */

        /* Of a group inside another, whose object holds its fields too. */
        const char *key; /* its name there; NULL: it is no such group */
        SettingGroup parent;
        const char *default_words; /* what holds where it is not said; NULL: its keys' defaults */
        const char *help;
} SettingTable;

/* The first call makes the rows of the socket options; not for two threads at once. */
const SettingTable *setting_table(SettingGroup group);
const SettingRow *setting_find(SettingGroup group, const char *name);

/* The group that is called @name in @parent; after @after, the next one in @parent.  Both are
 * SETTING_GROUP_INVALID if there is none, and setting_next_inside() begins with that. */
SettingGroup setting_find_inside(SettingGroup parent, const char *name);
SettingGroup setting_next_inside(SettingGroup parent, SettingGroup after);

/* The group inside @group, however deep, that has a key called @name; SETTING_GROUP_INVALID: none. */
SettingGroup setting_find_deeper(SettingGroup group, const char *name);

/* The one around @group that is in no other; @group itself if it is. */
SettingGroup setting_outermost(SettingGroup group);

/* Which keys of @group were said in @object, and where. */
const Keys *setting_keys(SettingGroup group, const void *object);

/* The known key, or group, that somebody who wrote @word most likely meant, or NULL. */
const char *setting_nearest(SettingGroup group, const char *word);

/* "n", "x" or "o". */
const char *setting_applies_text(SettingApplies applies);

/* For the files that hold the rows. */
extern const SettingTable setting_endpoint_table, setting_service_table, setting_deploy_table,
                setting_health_check_table, setting_daemon_table;
#define SETTING_NAMES(array) .names = array, .n_names = ELEMENTS_OF(array)
