#pragma once

/* The part of org.reuseportd.Service that is about deploys. */

#include <systemd/sd-bus.h>

/* id, state as people see it ("": none goes on), share in percent, step from 1 */
#define BUS_DEPLOY_STATE "(ssuu)"

/* id, result ("": it goes on or there was none), generation, previous, cut connections, reason, duration in
 * µs, from where to look at it before visitors do ("": not now) */
#define BUS_DEPLOY_RESULT_NAKED "ssuutsts"
#define BUS_DEPLOY_RESULT_NAMES       \
        SD_BUS_PARAM(id)              \
        SD_BUS_PARAM(result)          \
        SD_BUS_PARAM(generation)      \
        SD_BUS_PARAM(previous)        \
        SD_BUS_PARAM(cut_connections) \
        SD_BUS_PARAM(reason) SD_BUS_PARAM(duration_usec) SD_BUS_PARAM(door)
#define BUS_DEPLOY_RESULT "(" BUS_DEPLOY_RESULT_NAKED ")"

int bus_deploy_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr);
int bus_deploy_get_last(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr);

/* Deploy takes, all of them optional: id (s), canary (au, percent), step-usec (t), canary-by (s), preview (b),
 * environment (as, "K=V"), arguments (as). */
int bus_deploy_on_deploy(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int bus_deploy_on_restart(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int bus_deploy_on_promote(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int bus_deploy_on_abort(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int bus_deploy_on_roll_back(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int bus_deploy_on_get_result(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
