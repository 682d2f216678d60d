#include "settings/settings-table.h"

#include <assert.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"

#define DAY_USEC (24 * 3600 * USEC_PER_SEC)

static const char *const type_names[SERVICE_TYPE_MAX] = {
        [SERVICE_TYPE_EXEC] = "exec",
        [SERVICE_TYPE_NOTIFY] = "notify",
};

static const char *const restart_names[RESTART_MAX] = {
        [RESTART_NO] = "no",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
};

#define NAMES(array) .names = array, .n_names = ELEMENTS_OF(array)

#define AT(field) .offset = offsetof(EndpointSettings, field)

static const SettingRow endpoint_rows[] = {
        {
                        .name = "listen_stream",
                        .kind = SETTING_ADDRESSES,
                        .min = SOCK_STREAM,
                        .default_words = "this or listen_datagram is required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "TCP addresses: \"PORT\", \":PORT\", \"IP:PORT\", \"[IP6]:PORT\", "
                                "\"[IP6%ZONE]:PORT\", one or a list; a port alone may be an "
                                "integer.\n"
                                "A port without address is dual-stack, and IPv4-only where there "
                                "is no IPv6.\n"
                                "Port 0 lets the kernel pick one, which all sockets of the "
                                "endpoint "
                                "share.\n"
                                "Host names are refused, since addresses must not depend on DNS at "
                                "boot.",
        },
        {
                        .name = "listen_datagram",
                        .kind = SETTING_ADDRESSES,
                        .min = SOCK_DGRAM,
                        .default_words = "this or listen_stream is required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "UDP addresses, written in the same way.",
        },
        {
                        .name = "shared",
                        .kind = SETTING_BOOLEAN,
                        AT(is_shared),
                        .default_text = "false",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "If true, all workers of a generation hold the same socket and "
                                "take from "
                                "one queue, which halves the longest waits when there are few "
                                "clients.\n"
                                "If false, each worker has a socket of its own.",
        },
        {
                        .name = "backlog",
                        .kind = SETTING_INTEGER,
                        AT(backlog),
                        .min = 1,
                        .max = INT_MAX,
                        .default_words = "net.core.somaxconn",
                        .applies = APPLIES_NOW,
                        .help = "How many connections may wait in one socket's queue.\n"
                                "The kernel allows at most net.core.somaxconn.",
        },
        {
                        .name = "exclusive",
                        .kind = SETTING_BOOLEAN,
                        AT(is_exclusive),
                        .default_text = "true",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Refuse to open the address when anybody else already listens "
                                "there, even "
                                "if it could be shared.",
        },
};

#undef AT
#define AT(field) .offset = offsetof(ServiceSettings, field)

static const SettingRow service_rows[] = {
        {
                        .name = "endpoints",
                        .kind = SETTING_STRINGS,
                        AT(endpoint_names),
                        .is_required = true,
                        .default_words = "required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Names of endpoints.\n"
                                "A worker gets exactly one descriptor for each address, in this "
                                "order, "
                                "from 3 up.",
        },
        {
                        .name = "exec_start",
                        .kind = SETTING_ARGV,
                        AT(exec_start),
                        .is_required = true,
                        .default_words = "required",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The program, by its absolute path, and its arguments, as an array "
                                "of "
                                "strings.\n"
                                "No shell reads it; a single string is refused.",
        },
        {
                        .name = "type",
                        .kind = SETTING_ENUM,
                        AT(type),
                        NAMES(type_names),
                        .default_text = "exec",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "When a worker is ready: \"exec\", when its program runs; "
                                "\"notify\", when "
                                "it says READY=1 (see sd_notify(3)).",
        },
        {
                        .name = "workers",
                        .kind = SETTING_INTEGER,
                        AT(n_workers),
                        .min = 1,
                        .max = WORKERS_MAX,
                        .default_text = "1",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "How many processes are started.\n"
                                "A server's own processes live inside one of them.",
        },
        {
                        .name = "restart",
                        .kind = SETTING_ENUM,
                        AT(restart),
                        NAMES(restart_names),
                        .default_text = "always",
                        .applies = APPLIES_NOW,
                        .help = "Whether a worker that ends is replaced: \"no\", \"on-failure\" "
                                "(unless it "
                                "exits with 0) or \"always\".",
        },
        {
                        .name = "restart_delay",
                        .kind = SETTING_DURATION,
                        AT(restart_delay_usec),
                        .max = DAY_USEC,
                        .default_text = "100ms",
                        .applies = APPLIES_NOW,
                        .help = "How long to wait before a worker is replaced; doubled for each "
                                "one that "
                                "dies before it is ready.",
        },
        {
                        .name = "restart_max_delay",
                        .kind = SETTING_DURATION,
                        AT(restart_max_delay_usec),
                        .max = DAY_USEC,
                        .default_text = "30s",
                        .applies = APPLIES_NOW,
                        .help = "Where that doubling ends.",
        },
        {
                        .name = "timeout_start",
                        .kind = SETTING_DURATION,
                        AT(timeout_start_usec),
                        .min = USEC_PER_MSEC,
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "90s",
                        .applies = APPLIES_NOW,
                        .help = "How long a worker may take until it is ready.",
        },
        {
                        .name = "timeout_stop",
                        .kind = SETTING_DURATION,
                        AT(timeout_stop_usec),
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "90s",
                        .applies = APPLIES_NOW,
                        .help = "The time from kill_signal to final_kill_signal.",
        },
        {
                        .name = "kill_signal",
                        .kind = SETTING_SIGNAL,
                        AT(kill_signal),
                        .default_text = "SIGTERM",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "What asks a worker to finish and end.",
        },
        {
                        .name = "final_kill_signal",
                        .kind = SETTING_SIGNAL,
                        AT(final_kill_signal),
                        .default_text = "SIGKILL",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "What ends a worker that did not.",
        },
        {
                        .name = "user",
                        .kind = SETTING_IDENTITY,
                        AT(user),
                        .default_words = "the daemon's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Name or number of the user that workers run as, with its groups.",
        },
        {
                        .name = "group",
                        .kind = SETTING_IDENTITY,
                        AT(group),
                        .default_words = "the user's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Name or number of the group that workers run as.",
        },
        {
                        .name = "working_directory",
                        .kind = SETTING_PATH,
                        AT(working_directory),
                        .default_words = "the daemon's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Where workers start, an absolute path.",
        },
        {
                        .name = "environment",
                        .kind = SETTING_ENVIRONMENT,
                        AT(environment),
                        .default_words = "PATH, LANG and TZ only",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Variables as \"NAME=VALUE\", one or a list; of two with one name "
                                "the later "
                                "counts.\n"
                                "LISTEN_*, NOTIFY_SOCKET, WATCHDOG_* and REUSEPORTD_* are refused, "
                                "since "
                                "they are ours to set.",
        },
        {
                        .name = "standard_output",
                        .kind = SETTING_OUTPUT,
                        AT(standard_output),
                        .default_text = "inherit",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Where workers' output goes: \"inherit\", \"null\", \"file:PATH\" "
                                "(truncated) or \"append:PATH\".",
        },
        {
                        .name = "standard_error",
                        .kind = SETTING_OUTPUT,
                        AT(standard_error),
                        .default_text = "inherit",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The same for what they write to standard error.",
        },
};

#undef AT

static const SettingTable tables[SETTING_GROUP_MAX] = {
        [SETTING_GROUP_ENDPOINT] = { "endpoints.NAME", endpoint_rows, ELEMENTS_OF(endpoint_rows) },
        [SETTING_GROUP_SERVICE] = { "services.NAME", service_rows, ELEMENTS_OF(service_rows) },
};

const SettingTable *setting_table(SettingGroup group) {
        assert(group >= 0 && group < SETTING_GROUP_MAX);

        return &tables[group];
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
        const char *names[64];

        assert(t->n_rows <= ELEMENTS_OF(names));
        for (size_t i = 0; i < t->n_rows; i++)
                names[i] = t->rows[i].name;

        return text_nearest(names, t->n_rows, word);
}
