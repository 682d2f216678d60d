#include "daemon/bus/bus-deploy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "daemon/bus/bus-error.h"
#include "daemon/manager.h"
#include "daemon/service/service.h"

/* ---- properties ---- */

int bus_deploy_get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        const Deploy *d = s->deploy;

        if (!d)
                return sd_bus_message_append(reply, BUS_DEPLOY_STATE, "", "", 0U, 0U);

        return sd_bus_message_append(reply, BUS_DEPLOY_STATE, d->result.id,
                                     deploy_state_to_public_string(d->state), d->share_percent,
                                     (unsigned) d->n_steps_done);
}

static const char *outcome_of(const DeployResult *r) {
        if (r->outcome == DEPLOY_PENDING)
                return "";

        return r->outcome == DEPLOY_SUCCEEDED ? "done" : "rolled_back";
}

static void describe_door(const Service *s, const DeployResult *r, char *buffer,
                          size_t size_bytes) {
        buffer[0] = '\0';
        if (s->deploy && r == &s->deploy->result && s->deploy->state == DEPLOY_PREVIEW)
                (void) door_describe(s->endpoints[0], buffer, size_bytes);
}

static int append_result(const Service *s, const DeployResult *r, sd_bus_message *m) {
        static const DeployResult none;
        char door[192] = "";

        if (r)
                describe_door(s, r, door, sizeof(door));
        r = r ?: &none;
        return sd_bus_message_append(m, BUS_DEPLOY_RESULT_NAKED, r->id, outcome_of(r),
                                     r->generation, r->previous, r->cut_connections, r->reason,
                                     r->duration_usec, door);
}

int bus_deploy_get_last(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        const Service *s = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'r', BUS_DEPLOY_RESULT_NAKED);
        if (r >= 0)
                r = append_result(s, service_find_result(s, NULL), reply);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* ---- Deploy ---- */

/* What a client says; strings are the message's, lists ours. */
typedef struct Options {
        DeployRequest request;
        unsigned shares[DEPLOY_SHARES_MAX];
        char **environment, **arguments;
} Options;

static void options_done(Options *o) {
        o->environment = strv_free(o->environment);
        o->arguments = strv_free(o->arguments);
        o->request.build = build_unref(o->request.build);
}

static int read_shares(sd_bus_message *m, Options *o) {
        const void *array;
        size_t size;
        int r;

        r = sd_bus_message_read_array(m, 'u', &array, &size);
        if (r < 0)
                return r;
        if (size > sizeof(o->shares))
                return -EINVAL;

        memcpy(o->shares, array, size);
        o->request.shares = o->shares;
        o->request.n_shares = size / sizeof(unsigned);
        return 0;
}

static int read_share_by(sd_bus_message *m, Options *o) {
        static const char *const names[] = {
                [REUSE_SHARE_BY_CONNECTION] = "connection", [REUSE_SHARE_BY_SOURCE] = "source"
        };
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;

        r = text_lookup(names, ELEMENTS_OF(names), name);
        if (r < 0)
                return r;
        o->request.share_by = (ReuseShareBy) r;
        return 0;
}

static int read_value(sd_bus_message *m, const char *name, Options *o) {
        int r, yes;

        if (strcmp(name, "id") == 0)
                return sd_bus_message_read(m, "s", &o->request.id);
        if (strcmp(name, "canary") == 0)
                return read_shares(m, o);
        if (strcmp(name, "step-usec") == 0)
                return sd_bus_message_read(m, "t", &o->request.step_usec);
        if (strcmp(name, "canary-by") == 0)
                return read_share_by(m, o);
        if (strcmp(name, "environment") == 0)
                return sd_bus_message_read_strv(m, &o->environment);
        if (strcmp(name, "arguments") == 0)
                return sd_bus_message_read_strv(m, &o->arguments);
        if (strcmp(name, "preview") == 0) {
                r = sd_bus_message_read(m, "b", &yes);
                o->request.is_preview = r >= 0 && yes;
                return r;
        }

        return -ENXIO;
}

static int read_option(sd_bus_message *m, Options *o) {
        const char *name, *type;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r >= 0)
                r = sd_bus_message_peek_type(m, NULL, &type);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'v', type);
        if (r >= 0)
                r = read_value(m, name, o);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);

        return r;
}

static int read_options(sd_bus_message *m, Options *o) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_option(m, o);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }

        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* The later of two words of one name counts, and the client's are behind ours. */
static int check_arguments(const Options *o) {
        STRV_FOREACH(word, o->environment)
                if (!strchr(*word, '=') || **word == '=')
                        return -EINVAL;

        return o->arguments && o->arguments[0] && o->arguments[0][0] != '/' ? -EINVAL : 0;
}

int bus_deploy_on_deploy(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Service *s = userdata;
        _cleanup_(options_done) Options o = {
                .request = { .step_usec = USEC_INFINITY, .share_by = REUSE_SHARE_BY_INVALID },
        };
        _cleanup_free_ char *why = NULL;
        const DeployResult *result;
        int r;

        r = read_options(m, &o);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return bus_error_set(reterr, -EINVAL,
                                     "An option of the deploy is unknown, or of another "
                                     "type than it should be");
        r = check_arguments(&o);
        if (r < 0)
                return bus_error_set(reterr, r,
                                     "The environment is made of \"K=V\", and the program must "
                                     "be an absolute path");

        r = build_new(s->manager->settings, s->settings,
                      o.arguments && o.arguments[0] ? o.arguments : NULL, o.environment,
                      &o.request.build);
        if (r >= 0)
                r = service_deploy(s, &o.request, &why);
        if (r < 0)
                return bus_error_set(reterr, r, why);

        result = service_find_result(s, o.request.id);
        return sd_bus_reply_method_return(m, "sb", result ? result->id : "", r > 0);
}

/* ---- the other verbs ---- */

typedef int (*Verb)(Service *s, char **reterr_why);

static int do_verb(sd_bus_message *m, Service *s, Verb verb, sd_bus_error *reterr) {
        _cleanup_free_ char *why = NULL;
        int r;

        r = verb(s, &why);
        return r < 0 ? bus_error_set(reterr, r, why) : sd_bus_reply_method_return(m, "");
}

int bus_deploy_on_restart(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return do_verb(m, userdata, service_restart, reterr);
}

int bus_deploy_on_promote(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return do_verb(m, userdata, service_promote, reterr);
}

int bus_deploy_on_abort(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return do_verb(m, userdata, service_abort, reterr);
}

int bus_deploy_on_roll_back(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        return do_verb(m, userdata, service_roll_back, reterr);
}

int bus_deploy_on_get_result(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Service *s = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *id;
        int r;

        r = sd_bus_message_read(m, "s", &id);
        if (r < 0)
                return r;
        if (!service_find_result(s, id))
                return bus_error_set(reterr, -ENOENT, "No deploy of that id is remembered");

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_result(s, service_find_result(s, id), reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
