#include "daemon/bus/bus-permit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/bus/bus-object.h"
#include "daemon/bus/bus.h"
#include "daemon/messages.h"

#define POLKIT                "org.freedesktop.PolicyKit1"
#define POLKIT_USEC           (30 * USEC_PER_SEC)
#define POLKIT_INTERACTS_USEC (120 * USEC_PER_SEC) /* somebody types a password */
#define POLKIT_INTERACTS      1U

/* One call. */
typedef struct Permit {
        BusPermits *permits;
        sd_bus_message *call;
        sd_bus_slot *asking;
        BusCaller caller;
        bool is_in_group;
        bool is_given; /* it is on its way to be read again */
        LIST_ENTRY(Permit) others;
} Permit;

struct BusPermits {
        Bus *bus;
        sd_bus *peer; /* borrowed */
        unsigned n;
        LIST_HEAD(Permits, Permit) list;
};

/* What only looks; everything else changes something. */
static const char *const reading[] = {
        "Get",       "GetAll",      "ListServices",    "ListEndpoints", "ListEvents",
        "Subscribe", "Unsubscribe", "GetDeployResult", "Diff",
};

static bool is_reading(sd_bus_message *m) {
        return text_lookup(reading, ELEMENTS_OF(reading), sd_bus_message_get_member(m)) >= 0;
}

static const char *action_of(sd_bus_message *m) {
        return is_reading(m) ? "org.reuseportd.read" : "org.reuseportd.manage";
}

/* Introspect, Ping and the like say nothing of us. */
static bool concerns_us(sd_bus_message *m) {
        const char *interface = sd_bus_message_get_interface(m), *path = sd_bus_message_get_path(m);

        if (!path || strncmp(path, BUS_PATH, strlen(BUS_PATH)) != 0)
                return false;

        return !interface ||
               strncmp(interface, "org.reuseportd.", strlen("org.reuseportd.")) == 0 ||
               strcmp(interface, "org.freedesktop.DBus.Properties") == 0;
}

static Permit *permit_free(Permit *p) {
        if (!p)
                return NULL;

        LIST_REMOVE(p, others);
        p->permits->n--;
        p->asking = sd_bus_slot_unref(p->asking);
        p->call = sd_bus_message_unref(p->call);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(Permit, permit_free)

/* ---- the verdict ---- */

/* Text of others, in one line. */
static void describe(const Permit *p, char *buffer, size_t size_bytes) {
        char path[128];

        text_escape(sd_bus_message_get_path(p->call) + strlen(BUS_PATH), path, sizeof(path));
        snprintf(buffer, size_bytes, "%s%s%s by uid %u (pid %d) over the bus",
                 sd_bus_message_get_member(p->call), *path ? " of " : "", path, p->caller.uid,
                 (int) p->caller.pid);
}

static void refuse(Permit *p, const char *why) {
        char what[256], reason[256];

        describe(p, what, sizeof(what));
        text_escape(why, reason, sizeof(reason));
        log_note(LOG_NOTICE, MESSAGE_ACCESS_REFUSED, "Refused: %s: %s", what, reason);
        (void) sd_bus_reply_method_errorf(p->call, SD_BUS_ERROR_ACCESS_DENIED,
                                          "access denied: uid %u needs the authorization %s: %s",
                                          p->caller.uid, action_of(p->call), reason);
        (void) permit_free(p);
}

static void give(Permit *p) {
        char what[256];

        if (!is_reading(p->call)) {
                describe(p, what, sizeof(what));
                log_note(LOG_NOTICE, MESSAGE_ACCESS_GIVEN, "Allowed: %s", what);
        }

        p->is_given = true;
        if (sd_bus_enqueue_for_read(p->permits->peer, p->call) < 0)
                refuse(p, "there is no memory for it");
}

/* ---- polkit ---- */

static int on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Permit *p = userdata;
        int is_authorized, is_challenge, r;

        p->asking = sd_bus_slot_unref(p->asking);
        if (sd_bus_message_is_method_error(reply, NULL)) {
                refuse(p,
                       sd_bus_message_is_method_error(reply, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                                                       sd_bus_message_is_method_error(
                                                                       reply,
                                                                       SD_BUS_ERROR_NAME_HAS_NO_OWNER)
                                       ? "polkit is not there to give it"
                                       : sd_bus_message_get_error(reply)->message);
                return 0;
        }

        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &is_authorized, &is_challenge);
        if (r < 0)
                refuse(p, "polkit's answer cannot be read");
        else if (is_authorized)
                give(p);
        else
                refuse(p,
                       is_challenge ? "polkit would ask for a password, and there is nobody to ask"
                                    : "polkit does not give it");
        return 0;
}

static int ask_polkit(Permit *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        bool interacts = sd_bus_message_get_allow_interactive_authorization(p->call) > 0;
        int r;

        r = sd_bus_message_new_method_call(p->permits->peer, &m, POLKIT,
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           POLKIT ".Authority", "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(p->call), action_of(p->call));
        if (r >= 0)
                r = sd_bus_message_append(m, "a{ss}us", 2, "verb",
                                          sd_bus_message_get_member(p->call), "object",
                                          sd_bus_message_get_path(p->call),
                                          interacts ? POLKIT_INTERACTS : 0U, "");
        if (r >= 0)
                r = sd_bus_call_async(p->permits->peer, &p->asking, m, on_polkit, p,
                                      interacts ? POLKIT_INTERACTS_USEC : POLKIT_USEC);
        return r;
}

/* ---- who it is ---- */

static bool may_everything(const Permit *p) {
        return p->caller.uid == 0 || p->caller.uid == geteuid() || p->is_in_group;
}

static int read_groups(Permit *p, sd_bus_message *m) {
        const Bus *b = p->permits->bus;
        const uint32_t *groups;
        size_t size;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "au");
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'u', (const void **) &groups, &size);
        for (size_t i = 0; r >= 0 && b->has_group && i < size / sizeof(*groups); i++)
                p->is_in_group |= groups[i] == b->group;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_one(Permit *p, sd_bus_message *m) {
        const char *name;
        uint32_t number;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (strcmp(name, "UnixGroupIDs") == 0)
                return read_groups(p, m);
        if (strcmp(name, "UnixUserID") != 0 && strcmp(name, "ProcessID") != 0)
                return sd_bus_message_skip(m, "v");

        r = sd_bus_message_read(m, "v", "u", &number);
        if (r >= 0 && name[0] == 'U')
                p->caller.uid = number;
        else if (r >= 0)
                p->caller.pid = (pid_t) number;
        return r;
}

static int read_credentials(Permit *p, sd_bus_message *m) {
        int r;

        p->caller = (BusCaller){ .uid = (uid_t) -1 };
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_one(p, m);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }

        return p->caller.uid == (uid_t) -1 && r >= 0 ? -ENODATA : r;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Permit *p = userdata;

        p->asking = sd_bus_slot_unref(p->asking);
        if (sd_bus_message_is_method_error(reply, NULL) || read_credentials(p, reply) < 0)
                refuse(p, "the bus does not say who that is");
        else if (may_everything(p))
                give(p);
        else if (ask_polkit(p) < 0)
                refuse(p, "polkit cannot be asked");
        return 0;
}

/* ---- each call ---- */

static Permit *find(const BusPermits *ps, const sd_bus_message *m) {
        Permit *p;

        LIST_FOREACH(p, &ps->list, others)
                if (p->call == m)
                        return p;

        return NULL;
}

static unsigned n_of_sender(const BusPermits *ps, const char *sender) {
        unsigned n = 0;
        Permit *p;

        LIST_FOREACH(p, &ps->list, others)
                n += strcmp(sd_bus_message_get_sender(p->call), sender) == 0;

        return n;
}

static int hold(BusPermits *ps, sd_bus_message *m) {
        const char *sender = sd_bus_message_get_sender(m);
        _cleanup_(permit_freep) Permit *p = NULL;
        int r;

        if (!sender)
                return -EINVAL;
        if (ps->n >= BUS_PERMITS_MAX || n_of_sender(ps, sender) >= BUS_PERMITS_PER_SENDER_MAX)
                return -EUSERS;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;

        p->permits = ps;
        p->call = sd_bus_message_ref(m);
        LIST_INSERT_HEAD(&ps->list, p, others);
        ps->n++;
        r = sd_bus_call_method_async(ps->peer, &p->asking, "org.freedesktop.DBus",
                                     "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                     "GetConnectionCredentials", on_credentials, p, "s", sender);
        if (r < 0)
                return r;

        (void) TAKE_PTR(p);
        return 0;
}

int bus_permits_check(BusPermits *ps, sd_bus_message *m, BusCaller *ret) {
        Permit *p = find(ps, m);
        uint8_t type;
        int r;

        if (p && p->is_given) {
                *ret = p->caller;
                (void) permit_free(p);
                return 0;
        }

        *ret = (BusCaller){ .uid = (uid_t) -1 };
        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL ||
            !concerns_us(m))
                return 0;

        r = hold(ps, m);
        if (r < 0)
                (void) sd_bus_reply_method_errorf(m, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                  "too many calls wait to be allowed");
        return 1;
}

int bus_permits_new(Bus *b, sd_bus *bus, BusPermits **ret) {
        BusPermits *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;

        p->bus = b;
        p->peer = bus;
        LIST_INIT(&p->list);
        *ret = p;
        return 0;
}

BusPermits *bus_permits_free(BusPermits *p) {
        if (!p)
                return NULL;

        while (!LIST_EMPTY(&p->list))
                (void) permit_free(LIST_FIRST(&p->list));
        free(p);
        return NULL;
}
