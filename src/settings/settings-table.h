#pragma once

/* Every key of endpoints.conf(5), once.
 *
 * Reading, checking, defaults, printing, comparing and the manual all go by these rows.
 */

#include "settings/settings.h"

typedef enum SettingGroup {
        SETTING_GROUP_ENDPOINT, /* endpoints.NAME, an EndpointSettings */
        SETTING_GROUP_SERVICE,  /* services.NAME, a ServiceSettings */
        SETTING_GROUP_MAX,
        SETTING_GROUP_INVALID = -EINVAL,
} SettingGroup;

/* What a value looks like, and the type of the field that holds it. */
typedef enum SettingKind {
        SETTING_BOOLEAN,     /* bool */
        SETTING_INTEGER,     /* int */
        SETTING_DURATION,    /* uint64_t, µs; min and max in µs */
        SETTING_SIGNAL,      /* int */
        SETTING_ENUM,        /* an enum whose values are indices of names */
        SETTING_STRING,      /* char *, not empty */
        SETTING_IDENTITY,    /* char *, a name or a number */
        SETTING_PATH,        /* char *, absolute */
        SETTING_STRINGS,     /* char **, or one string */
        SETTING_ARGV,        /* char **, [0] absolute */
        SETTING_ENVIRONMENT, /* char **, "K=V" */
        SETTING_OUTPUT,      /* Output */
        SETTING_ADDRESSES,   /* type, addresses and n_addresses of an endpoint; min is the type */
        SETTING_KIND_MAX,
        SETTING_KIND_INVALID = -EINVAL,
} SettingKind;

typedef enum SettingApplies {
        APPLIES_NOW,            /* at reload */
        APPLIES_TO_NEW_WORKERS, /* pending until deploy or restart */
        APPLIES_BY_NEW_SOCKETS, /* at reload: new sockets, and a new generation on them */
        APPLIES_MAX,
        APPLIES_INVALID = -EINVAL,
} SettingApplies;

typedef struct SettingRow {
        const char *name;
        SettingKind kind;
        size_t offset;
        int64_t min, max;
        bool may_be_infinite;
        bool is_required;
        const char *const *names;
        size_t n_names;
        const char *default_text;  /* as in the file, without quotes; NULL: nothing, 0 */
        const char *default_words; /* for the manual where default_text does not say it */
        SettingApplies applies;
        const char *help; /* mdoc(7) text */
} SettingRow;

typedef struct SettingTable {
        const char *title;
        const SettingRow *rows;
        size_t n_rows;
} SettingTable;

const SettingTable *setting_table(SettingGroup group);
const SettingRow *setting_find(SettingGroup group, const char *name);

/* The known key that somebody who wrote @word most likely meant, or NULL. */
const char *setting_nearest(SettingGroup group, const char *word);
