#include "daemon/service/service-sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/deploy/door.h"
#include "daemon/endpoint/endpoint-adopt.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service-log.h"
#include "daemon/state/crash-point.h"
#include "daemon/why.h"

/* ---- the rule ---- */

static ReuseRule make_rule(const Service *s) {
        /* While it sleeps visitors wait in every slot of the front; else a generation knows its own, which
         * are not what the next one will have. */
        ReuseRule rule = reuse_rule_init(s->front, service_current(s) ? 0 : service_n_wanted(s));

        rule.seed = s->manager->seed;
        if (s->deploy)
                deploy_put(s->deploy, &rule);
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        generation_put_live(s->banks[bank], &rule);
        door_put(s, &rule);

        return rule;
}

static bool bank_serves(const Service *s, unsigned bank, const Endpoint *e) {
        const Generation *g = s->banks[bank];

        if (g)
                return !g->is_stopping && generation_holds(g, e);

        /* Asleep: who comes wakes it. */
        for (size_t i = 0; i < s->n_endpoints && bank == s->front; i++)
                if (s->endpoints[i] == e)
                        return true;

        return false;
}

/* The rule of one endpoint: after a reload generations may hold different ones. */
static ReuseRule rule_of(const Service *s, const Endpoint *e, const ReuseRule *rule) {
        ReuseRule own = *rule;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (!bank_serves(s, bank, e))
                        memset(own.live[bank], 0, sizeof(own.live[bank]));

        return own;
}

int service_put_rule(Service *s) {
        ReuseRule rule = make_rule(s);
        int r;

        /* Who dies between the two leaves a record that is ahead of the rule, never behind it. */
        state_touch_service(s);
        (void) state_flush(s->manager->state);
        CRASH_POINT("rule");
        for (size_t i = 0; i < s->n_held; i++) {
                const ReuseRule own = rule_of(s, s->endpoints[i], &rule);

                r = endpoint_put_rule(s->endpoints[i], &own, s->is_listening);
                if (r < 0) {
                        service_note(s, LOG_ERR, MESSAGE_RULE_NOT_REPLACED,
                                     "The rule of endpoint %s cannot be replaced: %s; the one before stays "
                                     "in force",
                                     s->endpoints[i]->settings->name, reuse_strerror(r));
                        return r;
                }
        }

        CRASH_POINT("rule-replaced");
        return 0;
}

/* ---- the readers ---- */

static bool is_on_demand(const Service *s) {
        return s->settings->activation == ACTIVATION_ON_DEMAND;
}

static EndpointReader reader_of(const Service *s, unsigned bank, unsigned slot) {
        const Generation *g = s->banks[bank];

        if (g && !g->is_stopping && generation_has_reader(g, slot))
                return ENDPOINT_READER_WORKER;
        if (slot >= (g ? g->n_slots : service_n_wanted(s)))
                return ENDPOINT_READER_RESET;

        if (bank == s->front && s->deploy) /* visitors wait for the generation that comes */
                return ENDPOINT_READER_WORKER;

        return bank == s->front && is_on_demand(s) ? ENDPOINT_READER_WAKE : ENDPOINT_READER_RESET;
}

/* A shared socket is read as long as anybody reads it. */
static EndpointReader shared_reader_of(const Service *s, unsigned bank) {
        for (unsigned slot = 0; s->banks[bank] && slot < s->banks[bank]->n_slots; slot++)
                if (reader_of(s, bank, slot) == ENDPOINT_READER_WORKER)
                        return ENDPOINT_READER_WORKER;

        return reader_of(s, bank, 0);
}

void service_put_readers(Service *s) {
        for (size_t i = 0; i < s->n_held; i++) {
                Endpoint *e = s->endpoints[i];

                for (size_t k = 0; k < e->n_sockets; k++) {
                        EndpointSocket *socket = &e->sockets[k];

                        endpoint_socket_set_reader(
                                        socket,
                                        endpoint_is_shared(e, socket->bank)
                                                        ? shared_reader_of(s, socket->bank)
                                                        : reader_of(s, socket->bank, socket->slot));
                }
        }
}

/* ---- the banks ---- */

int service_grow_bank(Service *s, unsigned bank, unsigned n_workers) {
        for (size_t i = 0; i < s->n_held; i++) {
                int r = endpoint_grow(s->endpoints[i], bank, n_workers);

                if (r < 0)
                        return r;
        }

        return 0;
}

int service_renew_bank(Service *s, unsigned bank) {
        for (size_t i = 0; i < s->n_endpoints; i++) {
                int r = endpoint_renew(s->endpoints[i], bank);

                if (r < 0)
                        return r;
        }

        return 0;
}

static bool bank_is_open(const Service *s, unsigned bank) {
        const Endpoint *e = s->endpoints[0];

        return e->n_groups > 0 && bank < reuse_group_n_banks(e->groups[0]);
}

/* Who holds the banks, for whom it concerns. */
static char *describe_banks(const Service *s) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *stream;

        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;

        fprintf(stream, "every bank is taken:");
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank])
                        fprintf(stream, " %s by generation %u (%u workers%s)", bank_color(bank),
                                s->banks[bank]->number, generation_n_workers(s->banks[bank]),
                                s->banks[bank]->is_stopping ? ", finishing their connections" : "");
        fprintf(stream, "; wait until one is gone, or end it: kill --old");

        return fclose(stream) == 0 ? TAKE_PTR(text) : NULL;
}

int service_find_free_bank(Service *s, unsigned n_workers, unsigned *ret, char **reterr_why) {
        int r = -EBUSY;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                if (bank == s->front || s->banks[bank])
                        continue;

                r = service_renew_bank(s, bank);
                if (r >= 0)
                        r = service_grow_bank(s, bank, n_workers);
                if (r < 0)
                        return why_say(reterr_why, r, "the bank %s cannot be %s: %s",
                                       bank_color(bank), bank_is_open(s, bank) ? "grown" : "opened",
                                       reuse_strerror(r));

                *ret = bank;
                return 0;
        }

        *reterr_why = describe_banks(s);
        return r;
}

/* While nobody is led anywhere every bank without a generation becomes what the settings say. */
static int prepare_banks(Service *s) {
        unsigned last = s->front > 1 ? s->front : 1;
        int r = 0;

        for (unsigned bank = 0; bank <= last && r >= 0; bank++) {
                if (s->banks[bank])
                        continue;
                r = service_renew_bank(s, bank);
                if (r >= 0)
                        r = service_grow_bank(s, bank, service_n_wanted(s));
        }

        return r;
}

/* ---- all of them ---- */

int service_sockets_listen(Service *s) {
        ReuseRule rule = make_rule(s);
        int r;

        r = prepare_banks(s);
        if (r < 0) {
                service_log(s, LOG_ERR, "Its sockets cannot be made ready: %s", reuse_strerror(r));
                return r;
        }

        for (size_t i = 0; i < s->n_endpoints; i++) {
                r = endpoint_listen(s->endpoints[i], &rule);
                if (r < 0) {
                        service_log(s, LOG_ERR, "Endpoint %s cannot listen: %s%s",
                                    s->endpoints[i]->settings->name, reuse_strerror(r),
                                    r == -ENOPROTOOPT
                                                    ? "; the kernel takes no program for its group"
                                                    : "");
                        while (i-- > 0)
                                (void) endpoint_refuse(s->endpoints[i]);
                        return r;
                }
        }

        s->is_listening = true;
        state_touch_service(s);
        return 0;
}

void service_sockets_refuse(Service *s) {
        service_scale_end(s);
        service_ahead_drop(s);
        for (size_t i = 0; i < s->n_held && s->is_listening; i++) {
                int r = endpoint_refuse(s->endpoints[i]);

                if (r < 0)
                        service_log(s, LOG_ERR, "Endpoint %s cannot be made to refuse: %s",
                                    s->endpoints[i]->settings->name, reuse_strerror(r));
        }
        s->is_listening = false;
        state_touch_service(s);
}

void service_sockets_resume(Service *s) {
        ReuseRule rule = make_rule(s);

        for (size_t i = 0; i < s->n_held; i++) {
                Endpoint *e = s->endpoints[i];
                const ReuseRule own = rule_of(s, e, &rule);
                int r = endpoint_resume(e, s->is_listening ? &own : NULL);

                if (r < 0)
                        service_note(s, LOG_ERR, MESSAGE_RULE_NOT_REPLACED,
                                     "The rule of endpoint %s cannot be put in force: %s",
                                     e->settings->name, reuse_strerror(r));
        }
}
