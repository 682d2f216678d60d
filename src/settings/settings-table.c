#include "settings/settings-table.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "settings/value.h"

#define ROWS_MAX 96U

static const char *const dbus_names[USE_OUTER_BUS_MAX] = {
        [USE_OUTER_BUS_AUTO] = "auto",
        [USE_OUTER_BUS_YES] = "system",
        [USE_OUTER_BUS_NO] = "no",
};

static const char *const fd_store_names[FD_STORE_KIND_MAX] = {
        [FD_STORE_AUTO] = "auto",
        [FD_STORE_SYSTEMD] = "systemd",
        [FD_STORE_KEEPER] = "keeper",
        [FD_STORE_NONE] = "none",
};

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
        {
                        .name = "control_socket",
                        .kind = &value_kind_path,
                        .offset = offsetof(DaemonSettings, control_socket),
                        .default_words = "\"control\" in the runtime directory",
                        .applies = APPLIES_NOW,
                        .help = "Where reuseportctl(1) speaks to the daemon; the option --control "
                                "counts before it.",
        },
        {
                        .name = "control_group",
                        .kind = &value_kind_identity,
                        .offset = offsetof(DaemonSettings, control_group),
                        .default_words = "none: root and the daemon's own user",
                        .applies = APPLIES_NOW,
                        .help = "Name or number of a group whose members may do everything, too.",
        },
        {
                        .name = "control_mode",
                        .kind = &value_kind_mode,
                        .offset = offsetof(DaemonSettings, control_mode),
                        .max = 0777,
                        .default_text = "",
                        .default_words = "\"0600\", or \"0660\" with control_group",
                        .applies = APPLIES_NOW,
                        .help = "Of the control socket.\nWhoever gets through must still be one of "
                                "those above.",
        },
        {
                        .name = "dbus",
                        .kind = &value_kind_enum,
                        .offset = offsetof(DaemonSettings, dbus),
                        SETTING_NAMES(dbus_names),
                        .default_text = "auto",
                        .applies = APPLIES_NOW,
                        .help = "Whether the same can be asked on the system's bus (a user's daemon: "
                                "that user's), as org.reuseportd, of whoever polkit allows it: \"auto\", "
                                "where there is such a bus; \"system\", and it is an error if there is "
                                "none; or \"no\".",
        },
        {
                        .name = "fd_store",
                        .kind = &value_kind_enum,
                        .offset = offsetof(DaemonSettings, fd_store),
                        SETTING_NAMES(fd_store_names),
                        .default_text = "auto",
                        .applies = APPLIES_NOW,
                        .help = "Who keeps the sockets while there is no daemon, so that one that was "
                                "killed or restarted is followed by one that goes on, and workers "
                                "never notice: \"systemd\", whose unit needs FileDescriptorStoreMax=; "
                                "\"keeper\", a small parent of our own; \"none\", and workers end with "
                                "the daemon.\n"
                                "\"auto\" is systemd where our unit has a store, a keeper as process "
                                "1, else nobody.  It counts when the daemon starts.",
        },
        {
                        .name = "store_max",
                        .kind = &value_kind_integer,
                        .offset = offsetof(DaemonSettings, store_max),
                        .min = 16,
                        .max = STORE_MAX_MAX,
                        .default_text = "1000",
                        .applies = APPLIES_NOW,
                        .help = "How many descriptors are left there at most: listening sockets of two "
                                "banks, for each worker of two generations a process and a notify "
                                "socket, and for each service what its workers may store "
                                "(fd_store_max).  A configuration that needs more is refused where "
                                "there is a store.\nTheir names must fit into one variable of the "
                                "environment, hence the limit.  systemd 252 takes a second for the "
                                "first thousand, and more for each that follows.",
        },
};

const SettingTable setting_daemon_table = {
        .title = "daemon",
        .rows = daemon_rows,
        .n_rows = ELEMENTS_OF(daemon_rows),
        .keys_offset = offsetof(DaemonSettings, keys),
};

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
        static SettingTable table;
        size_t n = setting_endpoint_table.n_rows;

        if (table.n_rows > 0)
                return &table;

        memcpy(rows, setting_endpoint_table.rows, n * sizeof(SettingRow));
        for (const ReuseSockoptInfo *info = NULL; (info = reuse_sockopt_next(info));) {
                assert(n < ROWS_MAX);
                rows[n++] = sockopt_row(info);
        }

        table = setting_endpoint_table;
        table.rows = rows;
        table.n_rows = n;
        return &table;
}

const SettingTable *setting_table(SettingGroup group) {
        switch (group) {
        case SETTING_GROUP_ENDPOINT:
                return endpoint_table();
        case SETTING_GROUP_SERVICE:
                return &setting_service_table;
        case SETTING_GROUP_DEPLOY:
                return &setting_deploy_table;
        case SETTING_GROUP_HEALTH_CHECK:
                return &setting_health_check_table;
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

SettingGroup setting_next_inside(SettingGroup parent, SettingGroup after) {
        SettingGroup next = after == SETTING_GROUP_INVALID ? 0 : after + 1;

        for (; next < SETTING_GROUP_MAX; next++) {
                const SettingTable *t = setting_table(next);

                if (t->key && t->parent == parent)
                        return next;
        }

        return SETTING_GROUP_INVALID;
}

SettingGroup setting_find_inside(SettingGroup parent, const char *name) {
        SettingGroup group = SETTING_GROUP_INVALID;

        while ((group = setting_next_inside(parent, group)) != SETTING_GROUP_INVALID)
                if (strcmp(setting_table(group)->key, name) == 0)
                        break;

        return group;
}

SettingGroup setting_find_deeper(SettingGroup group, const char *name) {
        SettingGroup inside = SETTING_GROUP_INVALID, found = SETTING_GROUP_INVALID;

        while (found == SETTING_GROUP_INVALID &&
               (inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                found = setting_find(inside, name) ? inside : setting_find_deeper(inside, name);

        return found;
}

SettingGroup setting_outermost(SettingGroup group) {
        const SettingTable *t;

        while ((t = setting_table(group))->key)
                group = t->parent;

        return group;
}

const Keys *setting_keys(SettingGroup group, const void *object) {
        return (const void *) ((const char *) object + setting_table(group)->keys_offset);
}

const char *setting_nearest(SettingGroup group, const char *word) {
        const SettingTable *t = setting_table(group);
        SettingGroup inside = SETTING_GROUP_INVALID;
        const char *names[ROWS_MAX + SETTING_GROUP_MAX];
        size_t n = 0;

        assert(t->n_rows <= ROWS_MAX);
        while (n < t->n_rows) {
                names[n] = t->rows[n].name;
                n++;
        }
        while ((inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                names[n++] = setting_table(inside)->key;

        return text_nearest(names, n, word);
}

const char *setting_applies_text(SettingApplies applies) {
        static const char *const texts[APPLIES_MAX] = { "n", "x", "o" };

        assert(applies >= 0 && applies < APPLIES_MAX);
        return texts[applies];
}
