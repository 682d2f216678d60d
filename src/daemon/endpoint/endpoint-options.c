#include "daemon/endpoint/endpoint-options.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"

/* Where an administrator can raise the limit. */
static const struct {
        const char *option, *limit;
} limits[] = {
        { "receive_buffer", "net.core.rmem_max" },
        { "send_buffer", "net.core.wmem_max" },
};

static const char *limit_of(const char *option) {
        for (size_t i = 0; i < ELEMENTS_OF(limits); i++)
                if (strcmp(limits[i].option, option) == 0)
                        return limits[i].limit;

        return NULL;
}

static void report_backlog(const Endpoint *e) {
        LogFields fields = { .endpoint = e->settings->name };
        int limit;

        if (e->settings->type != SOCK_STREAM || e->settings->backlog == 0)
                return;

        limit = reuse_somaxconn();
        if (e->settings->backlog > limit)
                log_fields(LOG_WARNING, &fields,
                           "Endpoint %s: backlog = %d becomes %d, which is net.core.somaxconn",
                           e->settings->name, e->settings->backlog, limit);
}

/* Setting it once more tells what it gives. */
static void report_option(const Endpoint *e, const ReuseSockopt *option) {
        const ReuseSockoptInfo *info = reuse_sockopt_find(option->name);
        LogFields fields = { .endpoint = e->settings->name };
        const char *limit = limit_of(option->name);
        int64_t effective;

        if (!info || info->only_before_bind ||
            (info->kind != REUSE_SOCKOPT_NUMBER && info->kind != REUSE_SOCKOPT_SIZE))
                return;
        if (reuse_sockopt_set(reuse_group_fd(e->groups[0], 0, 0), option, &effective) < 0 ||
            effective >= option->value)
                return;

        log_fields(LOG_WARNING, &fields, "Endpoint %s: %s = %" PRId64 " becomes %" PRId64 "%s%s%s",
                   e->settings->name, option->name, option->value, effective, limit ? "; " : "",
                   limit ?: "", limit ? " allows no more" : "");
}

void endpoint_report_options(const Endpoint *e) {
        report_backlog(e);
        for (size_t i = 0; i < e->settings->n_sockopts; i++)
                report_option(e, &e->settings->sockopts[i]);
}
