/* Verbs that move a service to another generation, and the live view of that. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/client.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/service.h"
#include "ctl/verb.h"

#define SHARES_MAX 100U

/* ---- what is asked for ---- */

static CtlResult append_shares(sd_bus_message *m, const char *text) {
        uint32_t shares[SHARES_MAX];
        unsigned n = 0;

        while (*text) {
                size_t length = strcspn(text, ",");
                char word[8] = "";
                uint64_t share;

                if (length < sizeof(word))
                        memcpy(word, text, length);
                if (n == SHARES_MAX || parse_unsigned(word, 100, &share) < 0) {
                        ctl_error("--canary: \"%s\" is no list of percentages, expected one like \"5,25\"",
                                  text);
                        return CTL_USAGE;
                }

                shares[n++] = (uint32_t) share;
                text += length + (text[length] == ',' ? 1 : 0);
        }

        if (sd_bus_message_append(m, "s", "canary") < 0 ||
            sd_bus_message_open_container(m, 'v', "au") < 0 ||
            sd_bus_message_append_array(m, 'u', shares, n * sizeof(uint32_t)) < 0 ||
            sd_bus_message_close_container(m) < 0)
                return CTL_FAILED;

        return CTL_OK;
}

static int append_list(sd_bus_message *m, const char *name, char *const *list) {
        int r;

        r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) list);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* One entry of the dictionary, around what @append does. */
#define ENTRY(m, append)                                                       \
        (sd_bus_message_open_container(m, 'e', "sv") < 0 || (append) < 0 ||    \
                                         sd_bus_message_close_container(m) < 0 \
                         ? -1                                                  \
                         : 0)

static CtlResult append_request(Ctl *c, sd_bus_message *m, char *const *program) {
        const DeployOptions *o = &c->deploy;
        CtlResult result = CTL_OK;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && o->canary) {
                r = sd_bus_message_open_container(m, 'e', "sv");
                result = append_shares(m, o->canary);
                if (result != CTL_OK)
                        return result;
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        if (r >= 0 && o->has_step)
                r = ENTRY(m, sd_bus_message_append(m, "sv", "step-usec", "t", o->step_usec));
        if (r >= 0 && o->canary_by)
                r = ENTRY(m, sd_bus_message_append(m, "sv", "canary-by", "s", o->canary_by));
        if (r >= 0 && o->preview)
                r = ENTRY(m, sd_bus_message_append(m, "sv", "preview", "b", 1));
        if (r >= 0 && o->id)
                r = ENTRY(m, sd_bus_message_append(m, "sv", "id", "s", o->id));
        if (r >= 0 && o->environment)
                r = ENTRY(m, append_list(m, "environment", o->environment));
        if (r >= 0 && program && program[0])
                r = ENTRY(m, append_list(m, "arguments", program));
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0) {
                ctl_error("the request cannot be made: %s", strerror(-r));
                return CTL_FAILED;
        }

        return CTL_OK;
}

/* ---- how it goes ---- */

/* Ctrl-C is for us, not for the deploy. */
static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number) {
        is_interrupted = 1;
}

static CtlResult leave(const char *name) {
        ctl_error("the deploy goes on without us; follow it with: reuseportctl status %s, give it up "
                  "with: reuseportctl abort %s",
                  name, name);
        return CTL_FAILED;
}

static const char *text_at(const json_t *row, size_t i) {
        const char *text = json_string_value(json_array_get(row, i));

        return text ? text : "";
}

static CtlResult print_end(const Ctl *c, const char *name, const json_t *result, const char *word) {
        const char *reason = text_at(result, 5);

        if (!c->json)
                return CTL_OK;

        return output_json(json_pack("{s:s, s:s, s:s, s:O, s:O, s:O, s:o, s:O}", "service", name,
                                     "id", text_at(result, 0), "result", word, "generation",
                                     json_array_get(result, 2), "previous",
                                     json_array_get(result, 3), "cut_connections",
                                     json_array_get(result, 4), "reason",
                                     *reason ? json_string(reason) : json_null(), "duration_usec",
                                     json_array_get(result, 6)));
}

/* Whether what was to be waited for has come. */
static bool is_over(const Ctl *c, const char *state, const char *outcome) {
        const char *until = c->deploy.wait;

        if (strcmp(state, "preview") == 0 && !until)
                return true;
        if (until && strcmp(until, "ready") == 0 && *state && strcmp(state, "starting") != 0)
                return true;
        if (until && strcmp(until, "drained") == 0 && strcmp(outcome, "done") == 0)
                return strcmp(state, "draining") != 0;

        return *outcome;
}

static CtlResult finish(Ctl *c, const char *name, const char *state, const json_t *result) {
        const char *outcome = text_at(result, 1), *door = text_at(result, 7);
        CtlResult printed;

        if (strcmp(outcome, "rolled_back") == 0) {
                ctl_error("%s: rolled back: %s", name, text_at(result, 5));
                printed = print_end(c, name, result, outcome);
                return printed == CTL_OK ? CTL_ROLLED_BACK : printed;
        }
        if (strcmp(outcome, "done") == 0)
                return print_end(c, name, result, outcome);

        if (*door)
                ctl_say(c,
                        "%s: have a look: curl %s\nthen: reuseportctl promote %s, or: reuseportctl abort "
                        "%s",
                        name, door, name, name);
        return print_end(c, name, result, state);
}

/* Connections are counted by the kernel, which looks at all of the machine, so only for who looks at them. */
static CtlResult ask_once(Ctl *c, const char *name, const char *id, DeployNow *ret) {
        CtlResult r;

        deploy_now_done(ret);
        r = client_get_property(c, name, "Deploy", &ret->deploy);
        if (r == CTL_OK && progress_shows_connections(c))
                r = client_get_property(c, name, "Connections", &ret->connections);
        if (r == CTL_OK)
                r = client_call_service(c, name, "GetDeployResult", &ret->result, "s", id);
        return r;
}

/* How it is now.  A daemon that is executed anew in the middle goes on with it. */
static CtlResult ask(Ctl *c, const char *name, const char *id, uint64_t deadline_usec,
                     DeployNow *ret) {
        CtlResult r;

        for (;;) {
                c->has_news = false;
                r = ask_once(c, name, id, ret);
                if (r != CTL_NOT_REACHABLE)
                        return r;

                r = client_come_back(c, deadline_usec);
                if (r != CTL_OK)
                        return r;
        }
}

/* Asks again whenever something has changed, until it is over. */
static CtlResult follow(Ctl *c, const char *name, const char *id) {
        uint64_t deadline_usec = client_deadline(c);
        Progress progress = { 0 };
        CtlResult r;

        c->may_come_back = true;
        c->news_of = name;
        for (;;) {
                _cleanup_(deploy_now_done) DeployNow now = { 0 };
                const char *state = "";

                r = ask(c, name, id, deadline_usec, &now);
                if (r != CTL_OK)
                        return r;

                if (strcmp(text_at(now.deploy, 0), id) == 0)
                        state = text_at(now.deploy, 1);
                progress_show(&progress, c, name, &now);
                if (is_over(c, state, text_at(now.result, 1))) {
                        progress_end(&progress, c);
                        return finish(c, name, state, now.result);
                }

                r = client_wait_news(c, deadline_usec);
                if (is_interrupted) {
                        progress_end(&progress, c);
                        return leave(name);
                }
                if (r != CTL_OK && r != CTL_NOT_REACHABLE)
                        return r;
        }
}

static void watch_interrupt(void) {
        const struct sigaction action = { .sa_handler = on_interrupt,
                                          .sa_flags = (int) SA_RESETHAND };

        (void) sigaction(SIGINT, &action, NULL);
}

static CtlResult refuse(Ctl *c, const char *name, CtlResult result) {
        CtlResult printed = CTL_OK;

        if (c->json && (result == CTL_FAILED || result == CTL_USAGE))
                printed = output_json(json_pack("{s:s, s:n, s:s, s:n, s:n, s:i, s:s, s:i}",
                                                "service", name, "id", "result", "refused",
                                                "generation", "previous", "cut_connections", 0,
                                                "reason", ctl_last_error(), "duration_usec", 0));
        return printed == CTL_OK ? result : printed;
}

/* ---- verbs ---- */

static CtlResult check_wait(const Ctl *c) {
        const char *until = c->deploy.wait;

        if (!until || strcmp(until, "ready") == 0 || strcmp(until, "switched") == 0 ||
            strcmp(until, "drained") == 0)
                return CTL_OK;

        ctl_error("--wait: \"%s\" is nothing to wait for, expected ready, switched or drained",
                  until);
        return CTL_USAGE;
}

static CtlResult call_deploy(Ctl *c, const char *name, char *const *program, json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CtlResult r;

        r = client_new_call(c, name, "Deploy", &m);
        if (r == CTL_OK)
                r = append_request(c, m, program);
        return r == CTL_OK ? client_send(c, m, ret) : r;
}

CtlResult verb_deploy(Ctl *c, char *const *arguments) {
        const char *name = arguments[0];
        _cleanup_json_ json_t *reply = NULL;
        CtlResult r;

        r = check_wait(c);
        if (r == CTL_OK)
                r = client_connect(c);
        if (r == CTL_OK)
                r = client_subscribe(c);
        if (r != CTL_OK)
                return r;

        watch_interrupt();
        c->may_come_back = c->deploy.id;
        r = call_deploy(c, name, arguments + 1, &reply);
        if (r == CTL_NOT_REACHABLE &&
            c->may_come_back) { /* of one id there is one, however often asked */
                r = client_come_back(c, client_deadline(c));
                if (r == CTL_OK)
                        r = call_deploy(c, name, arguments + 1, &reply);
        }
        if (r != CTL_OK)
                return refuse(c, name, r);
        if (c->deploy.no_wait) {
                ctl_say(c, "%s: deploy %s has begun", name, text_at(reply, 0));
                return service_print_state(c, name);
        }

        return follow(c, name, text_at(reply, 0));
}

/* A deploy that somebody else describes: it is the last one, when the call returns. */
static CtlResult call_and_follow(Ctl *c, const char *name, const char *member) {
        _cleanup_json_ json_t *before = NULL, *now = NULL;
        const char *id;
        CtlResult r;

        r = client_connect(c);
        if (r == CTL_OK)
                r = client_subscribe(c);
        if (r == CTL_OK)
                r = client_get(c, CLIENT_SERVICE, name, &before);
        if (r != CTL_OK)
                return r;

        watch_interrupt();
        r = client_call_service(c, name, member, NULL, NULL);
        if (r == CTL_OK)
                r = client_get(c, CLIENT_SERVICE, name, &now);
        if (r != CTL_OK)
                return refuse(c, name, r);

        id = text_at(json_object_get(now, "LastDeploy"), 0);
        if (!*id || (strcmp(id, text_at(json_object_get(before, "LastDeploy"), 0)) == 0 &&
                     strcmp(client_text(now, "State"), "listening") == 0))
                return CTL_OK; /* it sleeps, and there was nothing to do */

        return follow(c, name, id);
}

CtlResult verb_restart(Ctl *c, char *const *arguments) {
        return call_and_follow(c, arguments[0], "Restart");
}

/* That the deploy which goes on ends in "rolled_back" is what was asked for. */
CtlResult verb_rollback(Ctl *c, char *const *arguments) {
        _cleanup_json_ json_t *before = NULL;
        bool gives_up;
        CtlResult r;

        r = client_get(c, CLIENT_SERVICE, arguments[0], &before);
        if (r != CTL_OK)
                return r;

        gives_up = *text_at(json_object_get(before, "LastDeploy"), 1) == '\0' &&
                   *text_at(json_object_get(before, "Deploy"), 0);
        r = call_and_follow(c, arguments[0], "Rollback");
        return r == CTL_ROLLED_BACK && gives_up ? CTL_OK : r;
}

static CtlResult tell_deploy(Ctl *c, const char *name, const char *member) {
        CtlResult r = client_call_service(c, name, member, NULL, NULL);

        return r == CTL_OK ? service_print_state(c, name) : r;
}

CtlResult verb_promote(Ctl *c, char *const *arguments) {
        return tell_deploy(c, arguments[0], "Promote");
}

CtlResult verb_abort(Ctl *c, char *const *arguments) {
        return tell_deploy(c, arguments[0], "Abort");
}
