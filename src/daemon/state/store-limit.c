#include "daemon/state/store-limit.h"

#include <assert.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/keeper.h"
#include "daemon/state/state.h"
#include "daemon/store/fd-store.h"

#define SYSTEMD_USEC (2 * USEC_PER_SEC)
#define SYSTEMD      "org.freedesktop.systemd1"

/* A name and what stands between two: else the next start would fail, and all be lost. */
static_assert(STORE_MAX_MAX * STATE_NAME_SIZE < FD_STORE_VARIABLE_MAX_BYTES - 64,
              "the names of all must fit into LISTEN_FDNAMES");

static size_t limit_in_environment(void) {
        const char *text = getenv("FDSTORE");
        uint64_t max = 0;

        return text && parse_unsigned(text, UINT32_MAX, &max) >= 0 ? (size_t) max : 0;
}

/* Whether we are a unit of a user's systemd: one of the system's may have any User=, too. */
static bool is_of_user(void) {
        _cleanup_free_ char *unit = NULL;

        return sd_pid_get_user_unit(0, &unit) >= 0;
}

/* FileDescriptorStoreMax= of our own unit. */
static int ask_systemd(uint32_t *ret) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *unit;
        int r;

        r = is_of_user() ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, SYSTEMD_USEC);
        if (r >= 0)
                r = sd_bus_call_method(bus, SYSTEMD, "/org/freedesktop/systemd1",
                                       SYSTEMD ".Manager", "GetUnitByPID", NULL, &reply, "u",
                                       (uint32_t) getpid());
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &unit);
        if (r >= 0)
                r = sd_bus_get_property_trivial(bus, SYSTEMD, unit, SYSTEMD ".Service",
                                                "FileDescriptorStoreMax", NULL, 'u', ret);
        return r;
}

static size_t limit_of_systemd(bool is_wanted) {
        uint32_t max = 0;
        int r;

        if (!getenv("INVOCATION_ID")) { /* no unit of systemd's */
                if (is_wanted)
                        log_warning("fd_store = \"systemd\", but systemd has not started us: nothing "
                                    "is kept for a successor");
                return 0;
        }

        r = ask_systemd(&max);
        if (r < 0)
                log_debug("systemd does not say FileDescriptorStoreMax= of our unit: %s",
                          strerror(-r));
        if (is_wanted && max == 0)
                log_warning("fd_store = \"systemd\", but our unit has no FileDescriptorStoreMax=: "
                            "nothing is kept for a successor");
        return max;
}

size_t store_limit(const DaemonSettings *settings) {
        size_t max;

        if (settings->fd_store == FD_STORE_NONE)
                return 0;
        if (settings->fd_store == FD_STORE_KEEPER && !keeper_is_above())
                return 0;

        max = limit_in_environment();
        if (max == 0)
                max = limit_of_systemd(settings->fd_store == FD_STORE_SYSTEMD);
        if (max > 0 && max < (size_t) settings->store_max)
                log_warning("The store above us keeps %zu descriptors, fewer than store_max = %d",
                            max, settings->store_max);
        return max < (size_t) settings->store_max ? max : (size_t) settings->store_max;
}
