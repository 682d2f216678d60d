/* The verbs that move a service from one generation to the next, and what is remembered of that. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/manager.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service.h"
#include "daemon/timer.h"
#include "daemon/why.h"
#include "settings/template.h"

/* ---- results ---- */

const DeployResult *service_find_result(const Service *s, const char *id) {
        size_t n = s->n_results < SERVICE_RESULTS_MAX ? s->n_results : SERVICE_RESULTS_MAX;

        if (s->deploy && (!id || strcmp(s->deploy->result.id, id) == 0))
                return &s->deploy->result;

        for (size_t i = 1; i <= n; i++) {
                const DeployResult *r = &s->results[(s->n_results - i) % SERVICE_RESULTS_MAX];

                if (!id || strcmp(r->id, id) == 0)
                        return r;
        }

        return NULL;
}

/* The same deploy may be published again when more of it is known. */
void service_publish_result(Service *s, const DeployResult *result) {
        DeployResult *last =
                        &s->results[(s->n_results + SERVICE_RESULTS_MAX - 1) % SERVICE_RESULTS_MAX];

        if (s->n_results == 0 || strcmp(last->id, result->id) != 0)
                last = &s->results[s->n_results++ % SERVICE_RESULTS_MAX];

        *last = *result;
        manager_on_service_changed(s->manager, s);
}

void service_count_cut(Service *s, unsigned bank, uint64_t n) {
        size_t n_kept = s->n_results < SERVICE_RESULTS_MAX ? s->n_results : SERVICE_RESULTS_MAX;
        DeployResult *running = s->deploy ? &s->deploy->result : NULL;

        if (bank == s->front)
                return;
        if (running && running->left_bank == bank)
                running->cut_connections += n;
        else
                running = NULL;

        /* It may be known already: then what is known is put right too. */
        for (size_t i = 1; i <= n_kept; i++) {
                DeployResult *r = &s->results[(s->n_results - i) % SERVICE_RESULTS_MAX];

                if (running ? strcmp(r->id, running->id) == 0 : r->left_bank == bank) {
                        r->cut_connections += n;
                        return;
                }
        }
}

void service_set_previous_build(Service *s, Build *build) {
        Build *before = s->previous_build;

        s->previous_build = build_ref(build);
        build_unref(before);
}

/* Both may be lost: then what ran before is what is wanted. */
void service_on_deploy_over(Service *s) {
        _cleanup_(build_unrefp) Build *old = build_ref(s->deploy->old_build);
        bool is_back = s->front == s->deploy->old_bank;

        s->deploy = deploy_free(s->deploy);
        if (s->is_listening && is_back && !service_current(s))
                (void) service_wake_build(s, old, /* slot= */ 0);
        if (s->is_listening)
                (void) service_put_rule(s);
        service_on_deploy_changed(s);
}

/* ---- verbs ---- */

/* Nobody is there to be replaced. */
static int start_instead(Service *s, const DeployRequest *request, char **reterr_why) {
        DeployResult result = { .outcome = DEPLOY_SUCCEEDED, .left_bank = REUSE_BANKS_MAX };
        uint64_t begun_usec = now_usec();
        int r;

        r = service_start_build(s, request->build);
        if (r < 0)
                return why_say(reterr_why, r, "it cannot be started: %s", reuse_strerror(r));

        result.generation = s->last_number;
        result.duration_usec = now_usec() - begun_usec;
        if (request->id)
                snprintf(result.id, sizeof(result.id), "%s", request->id);
        else
                snprintf(result.id, sizeof(result.id), "%s-%u-%llx", s->settings->name,
                         result.generation, (unsigned long long) begun_usec);
        service_publish_result(s, &result);
        return 1;
}

static bool id_is_valid(const char *id) {
        size_t length = strlen(id);

        return length > 0 && length < DEPLOY_ID_SIZE &&
               strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
                               length;
}

/* Those of the settings were checked when they were read. */
static int check_templates(const Build *b, char *const *words, char **reterr_why) {
        char text[512];

        STRV_FOREACH(word, words)
                if (template_check(*word, b->service, text, sizeof(text)) < 0)
                        return why_say(reterr_why, -EINVAL, "%s", text);

        return 0;
}

static int check_request(const DeployRequest *q, char **reterr_why) {
        const ServiceSettings *s = q->build->service;
        unsigned before = 0;
        int r;

        if (s->unit && (q->build->arguments || q->build->environment))
                return why_say(reterr_why, -EINVAL,
                               "%s is the unit %s: its program and its environment are in its own file",
                               s->name, s->unit);

        r = check_templates(q->build, q->build->arguments, reterr_why);
        if (r >= 0)
                r = check_templates(q->build, q->build->environment, reterr_why);
        if (r < 0)
                return r;

        if (q->id && !id_is_valid(q->id))
                return why_say(reterr_why, -EINVAL,
                               "the id must be 1 to %u letters, digits, \"-\", \"_\" or \".\"",
                               DEPLOY_ID_SIZE - 1);
        if (q->n_shares > DEPLOY_SHARES_MAX)
                return why_say(reterr_why, -EINVAL, "more than %u shares", DEPLOY_SHARES_MAX);

        for (size_t i = 0; q->shares && i < q->n_shares; i++) {
                if (q->shares[i] <= before || q->shares[i] > 100)
                        return why_say(reterr_why, -EINVAL,
                                       "shares must grow, from 1 to 100; %u stands behind %u",
                                       q->shares[i], before);
                before = q->shares[i];
        }

        return 0;
}

int service_deploy(Service *s, const DeployRequest *request, char **reterr_why) {
        int r;

        r = check_request(request, reterr_why);
        if (r < 0)
                return r;
        if (!s->results)
                s->results = calloc(SERVICE_RESULTS_MAX, sizeof(DeployResult));
        if (!s->results)
                return -ENOMEM;
        if (request->id && service_find_result(s, request->id))
                return 0;

        if (s->deploy && !deploy_state_is_past_return(s->deploy->state))
                return why_say(reterr_why, -EBUSY, "deploy %s is %s; promote or abort it first",
                               s->deploy->result.id,
                               deploy_state_to_public_string(s->deploy->state));
        if (s->deploy)
                deploy_count_as_done(s->deploy);

        if (!service_current(s))
                return start_instead(s, request, reterr_why);
        if (service_current(s)->is_stopping)
                return why_say(reterr_why, -EBUSY, "it is stopping; deploy when it has stopped");

        r = deploy_new(s, request, reterr_why);
        if (r < 0 && !*reterr_why)
                return why_say(reterr_why, r, "it cannot begin: %s", reuse_strerror(r));
        return r < 0 ? r : 1;
}

static DeployRequest direct_request(Build *build) {
        return (DeployRequest){
                .is_direct = true,
                .step_usec = USEC_INFINITY,
                .share_by = REUSE_SHARE_BY_INVALID,
                .build = build,
        };
}

int service_restart(Service *s, char **reterr_why) {
        _cleanup_(build_unrefp) Build *build = NULL;
        DeployRequest request;
        int r;

        if (service_state(s) == SERVICE_LISTENING)
                return 0;

        r = build_new(s->manager->settings, s->settings, NULL, NULL, &build);
        if (r < 0)
                return r;

        request = direct_request(build);
        return service_deploy(s, &request, reterr_why);
}

int service_roll_back(Service *s, char **reterr_why) {
        _cleanup_free_ char *why = NULL;
        DeployRequest request;
        int r;

        if (s->deploy && !deploy_state_is_past_return(s->deploy->state))
                return service_abort(s, reterr_why);
        if (!s->previous_build)
                return why_say(reterr_why, -ENODATA, "nothing was deployed before");

        r = build_check_program(s->previous_build, &why);
        if (r < 0)
                return why_say(reterr_why, r, "%s", why ?: reuse_strerror(r));

        request = direct_request(s->previous_build);
        return service_deploy(s, &request, reterr_why);
}

static int tell_deploy(Service *s, DeployEvent event, const char *why, char **reterr_why) {
        const char *state;

        if (!s->deploy)
                return why_say(reterr_why, -ESRCH, "no deploy goes on");

        state = deploy_state_to_public_string(s->deploy->state);
        if (!deploy_event(s->deploy, event, why))
                return why_say(reterr_why, -EBUSY, "not while it is %s%s", state,
                               event == DEPLOY_ON_ABORT
                                               ? ": the old generation was asked to stop, rollback "
                                                 "deploys it again"
                                               : "");

        return 1;
}

int service_promote(Service *s, char **reterr_why) {
        return tell_deploy(s, DEPLOY_ON_PROMOTE, NULL, reterr_why);
}

int service_abort(Service *s, char **reterr_why) {
        return tell_deploy(s, DEPLOY_ON_ABORT, "aborted by hand", reterr_why);
}
