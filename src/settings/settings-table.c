#include "settings/settings-table.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "settings/value.h"

#define ROWS_MAX 96U

static const SettingRow daemon_rows[] = {
        {
                        .name = "log_level",
                        .kind = &value_kind_enum,
                        .offset = offsetof(DaemonSettings, log_level),
                        .names = log_level_names,
                        .n_names = LOG_LEVELS_MAX,
                        .default_text = "info",
                        .applies = APPLIES_NOW,
                        .help = "Lines of less importance are not written.",
        },
        {
                        .name = "log_target",
                        .kind = &value_kind_enum,
                        .offset = offsetof(DaemonSettings, log_target),
                        .names = log_target_names,
                        .n_names = LOG_TARGET_MAX,
                        .default_text = "auto",
                        .applies = APPLIES_NOW,
                        .help = "\"journal\", \"stderr\" with the prefixes of sd-daemon(3), or "
                                "\"auto\": the journal where there is one.",
        },
};

const SettingTable setting_daemon_table = { "daemon", daemon_rows, ELEMENTS_OF(daemon_rows) };

/* What libreuseport knows of an option is in its row; the rest is as in systemd.socket(5). */
static SettingRow sockopt_row(const ReuseSockoptInfo *info) {
        return (SettingRow){
                .name = info->name,
                .kind = &value_kind_sockopt,
                .sockopt = info,
                .default_words = "the kernel's",
                .applies = info->only_before_bind ? APPLIES_BY_NEW_SOCKETS : APPLIES_NOW,
        };
}

static const SettingTable *endpoint_table(void) {
        static SettingRow rows[ROWS_MAX];
        static SettingTable table = { "endpoints.NAME", rows, 0 };
        size_t n = setting_endpoint_table.n_rows;

        if (table.n_rows > 0)
                return &table;

        memcpy(rows, setting_endpoint_table.rows, n * sizeof(SettingRow));
        for (const ReuseSockoptInfo *info = NULL; (info = reuse_sockopt_next(info));) {
                assert(n < ROWS_MAX);
                rows[n++] = sockopt_row(info);
        }

        table.n_rows = n;
        return &table;
}

const SettingTable *setting_table(SettingGroup group) {
        switch (group) {
        case SETTING_GROUP_ENDPOINT:
                return endpoint_table();
        case SETTING_GROUP_SERVICE:
                return &setting_service_table;
        case SETTING_GROUP_DAEMON:
                return &setting_daemon_table;
        case SETTING_GROUP_MAX:
        case SETTING_GROUP_INVALID:
                break;
        }

        assert(!"no such group");
        return NULL;
}

const SettingRow *setting_find(SettingGroup group, const char *name) {
        const SettingTable *t = setting_table(group);

        for (size_t i = 0; i < t->n_rows; i++)
                if (strcmp(t->rows[i].name, name) == 0)
                        return &t->rows[i];

        return NULL;
}

const char *setting_nearest(SettingGroup group, const char *word) {
        const SettingTable *t = setting_table(group);
        const char *names[ROWS_MAX];

        assert(t->n_rows <= ROWS_MAX);
        for (size_t i = 0; i < t->n_rows; i++)
                names[i] = t->rows[i].name;

        return text_nearest(names, t->n_rows, word);
}

const char *setting_applies_text(SettingApplies applies) {
        static const char *const texts[APPLIES_MAX] = { "n", "x", "o" };

        assert(applies >= 0 && applies < APPLIES_MAX);
        return texts[applies];
}
