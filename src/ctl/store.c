/* store: pushes sockets into the file descriptor store of the unit that runs us.
 *
 * systemd answers nothing to FDSTORE=1, and a barrier passes whatever became of what was sent before it.  So
 * we ask first whether the unit can keep any, and afterwards whether it does.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/taken.h"
#include "ctl/verb.h"

#define BARRIER_USEC (30 * USEC_PER_SEC)
#define SYSTEMD      "org.freedesktop.systemd1"
#define SERVICE      SYSTEMD ".Service"
#define UNITS_PATH   "/org/freedesktop/systemd1/unit"

/* The unit that runs us, and what its manager says of it. */
typedef struct OurUnit {
        char *name;
        sd_bus *bus; /* NULL: nobody can be asked */
        char *path;
} OurUnit;

static void our_unit_done(OurUnit *u) {
        u->bus = sd_bus_close_unref(u->bus);
        free(u->path);
        free(u->name);
}

static void our_unit_find(OurUnit *ret) {
        OurUnit u = { 0 };
        bool is_user = false;

        if (sd_pid_get_user_unit(0, &u.name) >= 0)
                is_user = true;
        else if (sd_pid_get_unit(0, &u.name) < 0)
                u.name = NULL;

        if (u.name && (is_user ? sd_bus_open_user(&u.bus) : sd_bus_open_system(&u.bus)) < 0)
                u.bus = NULL;
        if (u.bus && sd_bus_path_encode(UNITS_PATH, u.name, &u.path) < 0)
                u.bus = sd_bus_close_unref(u.bus);

        *ret = u;
}

/* Returns whether systemd has answered. */
static bool get_number(const OurUnit *u, const char *property, uint32_t *ret) {
        return u->bus && sd_bus_get_property_trivial(u->bus, SYSTEMD, u->path, SERVICE, property,
                                                     NULL, 'u', ret) >= 0;
}

/* What the unit's file lacks. */
static CtlResult check_unit(const OurUnit *u, size_t n_wanted) {
        _cleanup_free_ char *access = NULL;
        const char *name = u->name ? u->name : "this unit";
        uint32_t max;

        if (u->bus &&
            sd_bus_get_property_string(u->bus, SYSTEMD, u->path, SERVICE, "NotifyAccess", NULL,
                                       &access) >= 0 &&
            strcmp(access, "exec") != 0 && strcmp(access, "all") != 0) {
                ctl_error("store: %s has NotifyAccess=%s and does not hear its ExecStartPre=; add to its "
                          "[Service]: NotifyAccess=exec",
                          name, access);
                return CTL_FAILED;
        }
        if (!getenv("NOTIFY_SOCKET")) {
                ctl_error("store: there is no NOTIFY_SOCKET, so nobody keeps sockets for us; in the "
                          "[Service] of a unit with ExecStartPre=reuseportctl store, say "
                          "NotifyAccess=exec");
                return CTL_FAILED;
        }
        if (get_number(u, "FileDescriptorStoreMax", &max) && max < n_wanted) {
                ctl_error("store: %s has FileDescriptorStoreMax=%" PRIu32
                          " and is to keep %zu; add to its [Service]: FileDescriptorStoreMax=%zu",
                          name, max, n_wanted, n_wanted);
                return CTL_FAILED;
        }

        return CTL_OK;
}

static bool stands_before(const TakenSockets *t, size_t index) {
        for (size_t i = 0; i < index; i++)
                if (strcmp(t->names[i], t->names[index]) == 0)
                        return true;

        return false;
}

/* Those of one name in one message, in their order. */
static int send_name(const TakenSockets *t, size_t first) {
        char text[512];
        int fds[TAKEN_MAX], r;
        unsigned n = 0;

        for (size_t i = first; i < t->n_fds; i++)
                if (strcmp(t->names[i], t->names[first]) == 0)
                        fds[n++] = t->fds[i];

        /* What an earlier life has left there is not what is handed out now. */
        snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", t->names[first]);
        r = sd_notify(/* unset_environment= */ false, text);
        if (r <= 0)
                return r < 0 ? r : -ENOTCONN;

        snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", t->names[first]);
        r = sd_pid_notify_with_fds(0, /* unset_environment= */ false, text, fds, n);
        return r <= 0 ? (r < 0 ? r : -ENOTCONN) : 0;
}

static CtlResult push(const OurUnit *u, const TakenSockets *t) {
        uint32_t n;
        int r = 0;

        for (size_t i = 0; i < t->n_fds && r >= 0; i++)
                if (!stands_before(t, i))
                        r = send_name(t, i);
        if (r >= 0)
                r = sd_notify_barrier(/* unset_environment= */ false, BARRIER_USEC);
        if (r < 0) {
                ctl_error("store: NOTIFY_SOCKET does not take the sockets: %s", strerror(-r));
                return r == -ETIMEDOUT ? CTL_TIMED_OUT : CTL_FAILED;
        }

        if (get_number(u, "NFileDescriptorStore", &n) && n < t->n_fds) {
                ctl_error("store: %s keeps %" PRIu32 " of %zu sockets; see: journalctl -u %s",
                          u->name, n, t->n_fds, u->name);
                return CTL_FAILED;
        }

        return CTL_OK;
}

CtlResult verb_store(Ctl *c, char *const *arguments) {
        TakenSockets taken = { 0 };
        CtlResult result;
        OurUnit unit;

        our_unit_find(&unit);
        result = check_unit(&unit, 1);
        if (result == CTL_OK)
                result = taken_ask(c, arguments, /* for_store= */ true, &taken);
        if (result == CTL_OK)
                result = check_unit(&unit, taken.n_fds);
        if (result == CTL_OK)
                result = push(&unit, &taken);
        if (result == CTL_OK)
                ctl_say(c, "%zu sockets are in the store of %s", taken.n_fds,
                        unit.name ? unit.name : "our manager");

        taken_done(&taken);
        our_unit_done(&unit);
        return result;
}
