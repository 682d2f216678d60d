/* org.reuseportd.Service: what one service is, and what can be asked of it. */

#include "daemon/bus/bus-object.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "daemon/bus/bus-deploy.h"
#include "daemon/bus/bus-error.h"
#include "daemon/endpoint/connections.h"
#include "daemon/hints.h"
#include "daemon/manager.h"
#include "daemon/service/service-store.h"
#include "daemon/service/service-summary.h"
#include "daemon/service/service-verbs.h"
#include "daemon/timer.h"

#define FREE SD_BUS_VTABLE_UNPRIVILEGED

/* ---- properties ---- */

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        ServiceSummary now = service_summarize(s);
        const char *text = strcmp(property, "Name") == 0    ? s->settings->name
                           : strcmp(property, "State") == 0 ? service_state_to_string(now.state)
                                                            : now.color;

        return sd_bus_message_append(reply, "s", text);
}

static int get_number(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ServiceSummary now = service_summarize(userdata);
        unsigned n = strcmp(property, "Generation") == 0      ? now.generation
                     : strcmp(property, "WorkersReady") == 0  ? now.n_ready
                     : strcmp(property, "WorkersWanted") == 0 ? now.n_wanted
                                                              : now.n_restarts;

        return sd_bus_message_append(reply, "u", n);
}

static int get_pending(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        ServiceSummary now = service_summarize(userdata);

        return sd_bus_message_append(reply, "b", now.is_pending);
}

static int get_pending_keys(sd_bus *bus, const char *path, const char *interface,
                            const char *property, sd_bus_message *reply, void *userdata,
                            sd_bus_error *reterr) {
        _cleanup_strv_ char **keys = NULL;
        int r;

        r = service_list_pending(userdata, &keys);
        return r < 0 ? r : sd_bus_message_append_strv(reply, keys);
}

static int get_draining(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", service_n_draining(userdata));
}

static int get_notifications_refused(sd_bus *bus, const char *path, const char *interface,
                                     const char *property, sd_bus_message *reply, void *userdata,
                                     sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "t", service_n_notifications_refused(userdata));
}

static int get_sequence(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append(reply, "t", s->manager->bus->sequence);
}

static int get_endpoints(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append_strv(reply, s->settings->endpoint_names);
}

static int get_command(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append_strv(reply, s->settings->exec_start);
}

static int get_unit(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append(reply, "s", s->settings->unit ? s->settings->unit : "");
}

static int get_activation(sd_bus *bus, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append(reply, "s",
                                     s->settings->activation == ACTIVATION_ON_DEMAND ? "on-demand"
                                                                                     : "eager");
}

static int get_reset(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;

        return sd_bus_message_append(reply, "t", s->n_reset);
}

static int get_stored(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        const Generation *g = service_current(s);
        const ServiceSettings *settings = g ? g->settings : s->settings;

        return sd_bus_message_append(reply, "(uut)", (uint32_t) service_store_n(s),
                                     (uint32_t) settings->fd_store_max, service_store_n_refused(s));
}

static int get_connections(sd_bus *bus, const char *path, const char *interface,
                           const char *property, sd_bus_message *reply, void *userdata,
                           sd_bus_error *reterr) {
        const Service *s = userdata;
        uint64_t n[REUSE_BANKS_MAX] = { 0 };
        bool is_known;
        int r;

        r = connections_count(s, n);
        if (r < 0 && r != -EPROTONOSUPPORT) /* then nobody knows, and the daemon's status says so */
                return bus_error_set(reterr, r, NULL);

        is_known = r >= 0;
        r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX && r >= 0; bank++)
                if (is_known && (s->banks[bank] || n[bank] > 0))
                        r = sd_bus_message_append(reply, "{st}", bank_color(bank), n[bank]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_hints(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        _cleanup_strv_ char **hints = NULL;
        int r;

        strangers_look_if_old(s->manager->strangers);
        r = hints_list(s, &hints);
        return r < 0 ? r : sd_bus_message_append_strv(reply, hints);
}

static uint64_t realtime_of(uint64_t monotonic_usec) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000 -
               (now_usec() - monotonic_usec);
}

/* number, pid, generation, colour, state, since (realtime in µs), what it says of itself */
#define WORKER "(uuussts)"

static int append_workers(const Generation *g, sd_bus_message *reply) {
        for (unsigned i = 0; i < g->n_places; i++) {
                const Worker *w = g->slots[i].worker;
                int r;

                if (!w)
                        continue;
                r = sd_bus_message_append(reply, WORKER, i, (uint32_t) worker_pid(w), g->number,
                                          generation_color(g), worker_state_to_string(w->state),
                                          realtime_of(w->since_usec),
                                          w->status_text ? w->status_text : "");
                if (r < 0)
                        return r;
        }

        return 0;
}

static int get_workers(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', WORKER);
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX && r >= 0; bank++)
                if (s->banks[bank])
                        r = append_workers(s->banks[bank], reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- methods ---- */

/* @why  taken */
static int reply_to(sd_bus_message *m, int r, char *why, sd_bus_error *reterr) {
        _cleanup_free_ char *text = why;

        return r < 0 ? bus_error_set(reterr, r, text) : sd_bus_reply_method_return(m, "");
}

static int on_start(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        char *why = NULL;
        int r;

        r = service_verb_start(userdata, &why);
        return reply_to(m, r, why, reterr);
}

static int on_stop(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        char *why = NULL;
        int r;

        r = service_verb_stop(userdata, &why);
        return reply_to(m, r, why, reterr);
}

static int on_kill(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        int signal_number, of_old, r;
        char *why = NULL;

        r = sd_bus_message_read(m, "ib", &signal_number, &of_old);
        if (r < 0)
                return r;

        r = service_verb_kill(userdata, signal_number, of_old, &why);
        return reply_to(m, r, why, reterr);
}

static int on_scale(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        char *why = NULL;
        unsigned n;
        int r;

        r = sd_bus_message_read(m, "u", &n);
        if (r < 0)
                return r;

        r = service_verb_scale(userdata, n, &why);
        return reply_to(m, r, why, reterr);
}

static int on_reset_failed(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        char *why = NULL;
        int r;

        r = service_verb_reset_failed(userdata, &why);
        return reply_to(m, r, why, reterr);
}

#define TOLD SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

const sd_bus_vtable bus_service_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Sequence", "t", get_sequence, 0, 0),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, TOLD),
        SD_BUS_PROPERTY("Generation", "u", get_number, 0, TOLD),
        SD_BUS_PROPERTY("Color", "s", get_text, 0, TOLD),
        SD_BUS_PROPERTY("WorkersReady", "u", get_number, 0, TOLD),
        SD_BUS_PROPERTY("WorkersWanted", "u", get_number, 0, TOLD),
        SD_BUS_PROPERTY("Restarts", "u", get_number, 0, TOLD),
        SD_BUS_PROPERTY("Pending", "b", get_pending, 0, TOLD),
        SD_BUS_PROPERTY("PendingKeys", "as", get_pending_keys, 0, 0),
        SD_BUS_PROPERTY("Activation", "s", get_activation, 0, 0),
        SD_BUS_PROPERTY("Endpoints", "as", get_endpoints, 0, 0),
        SD_BUS_PROPERTY("Command", "as", get_command, 0, 0),
        SD_BUS_PROPERTY("Unit", "s", get_unit, 0, 0),
        SD_BUS_PROPERTY("Workers", "a" WORKER, get_workers, 0, 0),
        SD_BUS_PROPERTY("Connections", "a{st}", get_connections, 0, 0),
        SD_BUS_PROPERTY("VisitorsReset", "t", get_reset, 0, 0),
        SD_BUS_PROPERTY("Draining", "u", get_draining, 0, 0),
        SD_BUS_PROPERTY("NotificationsRefused", "t", get_notifications_refused, 0, 0),
        SD_BUS_PROPERTY("Store", "(uut)", get_stored, 0, 0), /* kept, limit, refused */
        SD_BUS_PROPERTY("Hints", "as", get_hints, 0, 0),
        SD_BUS_PROPERTY("Deploy", BUS_DEPLOY_STATE, bus_deploy_get_state, 0, TOLD),
        SD_BUS_PROPERTY("LastDeploy", BUS_DEPLOY_RESULT, bus_deploy_get_last, 0, 0),
        SD_BUS_METHOD_WITH_NAMES("Deploy", "a{sv}", SD_BUS_PARAM(options), "sb",
                                 SD_BUS_PARAM(id) SD_BUS_PARAM(has_begun), bus_deploy_on_deploy,
                                 FREE),
        SD_BUS_METHOD("Restart", "", "", bus_deploy_on_restart, FREE),
        SD_BUS_METHOD("Promote", "", "", bus_deploy_on_promote, FREE),
        SD_BUS_METHOD("Abort", "", "", bus_deploy_on_abort, FREE),
        SD_BUS_METHOD("Rollback", "", "", bus_deploy_on_roll_back, FREE),
        SD_BUS_METHOD_WITH_NAMES("GetDeployResult", "s", SD_BUS_PARAM(id), BUS_DEPLOY_RESULT_NAKED,
                                 BUS_DEPLOY_RESULT_NAMES, bus_deploy_on_get_result, FREE),
        SD_BUS_METHOD("Start", "", "", on_start, FREE),
        SD_BUS_METHOD("Stop", "", "", on_stop, FREE),
        SD_BUS_METHOD_WITH_NAMES("Kill", "ib", SD_BUS_PARAM(signal) SD_BUS_PARAM(old), "", ,
                                 on_kill, FREE),
        SD_BUS_METHOD_WITH_NAMES("Scale", "u", SD_BUS_PARAM(workers), "", , on_scale, FREE),
        SD_BUS_METHOD("ResetFailed", "", "", on_reset_failed, FREE),
        SD_BUS_VTABLE_END,
};
