/* The keys of the group deploy in a service, and of the health_check in that.  Their fields are in the
 * ServiceSettings. */

#include <stddef.h>

#include "base/parse.h"
#include "settings/settings-table.h"
#include "settings/value.h"

#define DAY_USEC  (24 * 3600 * USEC_PER_SEC)
#define YEAR_USEC (366 * DAY_USEC)

#define ROUNDS_MAX 100

/* Flows are not said: where there are no connections it is always by them. */
static const char *const canary_by_names[] = {
        [REUSE_SHARE_BY_CONNECTION] = "connection",
        [REUSE_SHARE_BY_SOURCE] = "source",
};

#define AT(field) .offset = offsetof(ServiceSettings, deploy.field)

static const SettingRow rows[] = {
        {
                        .name = "canary",
                        .kind = &value_kind_canary,
                        .offset = offsetof(ServiceSettings, deploy),
                        .min = 1,
                        .max = 100,
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "The share of the new version, step by step, before it gets "
                                "everything.\n"
                                "A last 100 keeps the old one running, idle, for one step.",
        },
        {
                        .name = "step",
                        .kind = &value_kind_duration,
                        AT(step_usec),
                        .max = YEAR_USEC,
                        .default_text = "30s",
                        .applies = APPLIES_NOW,
                        .help = "How long each of these shares stays.",
        },
        {
                        .name = "canary_by",
                        .kind = &value_kind_enum,
                        AT(canary_by),
                        SETTING_NAMES(canary_by_names),
                        .default_text = "connection",
                        .applies = APPLIES_NOW,
                        .help = "\"connection\": each new connection for itself; \"source\": within "
                                "a step a client's address (of IPv6 its /64) meets one version, and "
                                "over the steps it moves at most once.\n"
                                "Datagrams go by flow.",
        },
        {
                        .name = "min_healthy_time",
                        .kind = &value_kind_duration,
                        AT(min_healthy_time_usec),
                        .max = YEAR_USEC,
                        .default_text = "0",
                        .applies = APPLIES_NOW,
                        .help = "So long must the new version stay healthy with all visitors before "
                                "the old one is asked to stop.",
        },
        {
                        .name = "progress_deadline",
                        .kind = &value_kind_duration,
                        AT(progress_deadline_usec),
                        .min = USEC_PER_MSEC,
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "5min",
                        .applies = APPLIES_NOW,
                        .help = "A deploy whose new version has had no visitor after this time is "
                                "rolled back.\n"
                                "It does not run while a preview is looked at.",
        },
        {
                        .name = "drain_delay",
                        .kind = &value_kind_duration,
                        AT(drain_delay_usec),
                        .max = DAY_USEC,
                        .default_text = "10s",
                        .applies = APPLIES_NOW,
                        .help = "At most so long are connections waited for that had begun their "
                                "handshake with the version that is left; usually it takes "
                                "milliseconds.",
        },
        {
                        .name = "drain_timeout",
                        .kind = &value_kind_duration,
                        AT(drain_timeout_usec),
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "90s",
                        .applies = APPLIES_NOW,
                        .help = "The time from kill_signal to final_kill_signal for the version "
                                "that is left.",
        },
        {
                        .name = "hook_pre",
                        .kind = &value_kind_argv,
                        AT(hook_pre),
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "A program that runs before the new version is started, as long as "
                                "30s; if it fails, nothing is deployed.\n"
                                "This and the next two find REUSEPORTD_SERVICE, _GENERATION, _STEP "
                                "and _RESULT in their environment, and run as the daemon.",
        },
        {
                        .name = "hook_post",
                        .kind = &value_kind_argv,
                        AT(hook_post),
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "The same, once the old version is gone; a failure is logged.",
        },
        {
                        .name = "hook_failed",
                        .kind = &value_kind_argv,
                        AT(hook_failed),
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "The same, once a deploy was rolled back.",
        },
};

const SettingTable setting_deploy_table = {
        .title = "services.NAME.deploy",
        .rows = rows,
        .n_rows = ELEMENTS_OF(rows),
        .keys_offset = offsetof(ServiceSettings, deploy.keys),
        .key = "deploy",
        .parent = SETTING_GROUP_SERVICE,
        .help = "How a new version takes over from the old one.",
};

#undef AT
#define AT(field) .offset = offsetof(ServiceSettings, deploy.health_check.field)

static const SettingRow health_check_rows[] = {
        {
                        .name = "http",
                        .kind = &value_kind_http_path,
                        AT(http),
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "What is asked for by HTTP/1.1, without TLS; an answer of 200 to 399 "
                                "is healthy.",
        },
        {
                        .name = "tcp",
                        .kind = &value_kind_boolean,
                        AT(is_tcp),
                        .default_text = "false",
                        .applies = APPLIES_NOW,
                        .help = "If true, a worker that accepts a connection is healthy.",
        },
        {
                        .name = "exec",
                        .kind = &value_kind_argv,
                        AT(exec),
                        .default_words = "none",
                        .applies = APPLIES_NOW,
                        .help = "A program that exits with 0 if the worker is healthy, for TLS and "
                                "datagrams; it runs as the daemon.\n"
                                "REUSEPORTD_DOOR in its environment is the source address that "
                                "leads to the worker, as in curl --interface "
                                "$REUSEPORTD_DOOR; REUSEPORTD_DOOR_PORT, with IPv6 only, the source "
                                "port; REUSEPORTD_ADDRESS where to connect to, and "
                                "REUSEPORTD_WORKER the worker's number.",
        },
        {
                        .name = "endpoint",
                        .kind = &value_kind_string,
                        AT(endpoint),
                        .default_words = "the first that the check can speak to",
                        .applies = APPLIES_NOW,
                        .help = "Which of the service's endpoints is checked; a stream for http and "
                                "tcp.",
        },
        {
                        .name = "interval",
                        .kind = &value_kind_duration,
                        AT(interval_usec),
                        .min = USEC_PER_MSEC,
                        .max = DAY_USEC,
                        .default_text = "1s",
                        .applies = APPLIES_NOW,
                        .help = "The time between two rounds; each round looks at every worker.",
        },
        {
                        .name = "timeout",
                        .kind = &value_kind_duration,
                        AT(timeout_usec),
                        .min = USEC_PER_MSEC,
                        .max = DAY_USEC,
                        .default_text = "1s",
                        .applies = APPLIES_NOW,
                        .help = "How long one worker may take to answer.",
        },
        {
                        .name = "healthy",
                        .kind = &value_kind_integer,
                        AT(healthy),
                        .min = 1,
                        .max = ROUNDS_MAX,
                        .default_text = "1",
                        .applies = APPLIES_NOW,
                        .help = "So many good rounds in a row make the new version healthy.",
        },
        {
                        .name = "unhealthy",
                        .kind = &value_kind_integer,
                        AT(unhealthy),
                        .min = 1,
                        .max = ROUNDS_MAX,
                        .default_text = "3",
                        .applies = APPLIES_NOW,
                        .help = "So many bad ones in a row roll the deploy back.",
        },
};

const SettingTable setting_health_check_table = {
        .title = "services.NAME.deploy.health_check",
        .rows = health_check_rows,
        .n_rows = ELEMENTS_OF(health_check_rows),
        .keys_offset = offsetof(ServiceSettings, deploy.health_check.keys),
        .key = "health_check",
        .parent = SETTING_GROUP_DEPLOY,
        .default_words = "none",
        .help = "What the new version must pass before anybody is led to it, and then as long as "
                "there is a way back.",
};
