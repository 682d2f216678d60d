/* The service's rule on every address of an endpoint.
 *
 * The service counts by worker, the sockets by slot, which is not the same when they are shared; and after
 * a reload not every bank holds every address.
 */

#include "daemon/endpoint/endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/endpoint/endpoint-open.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/manager.h"

static bool bank_holds(const Endpoint *e, unsigned bank, const ReuseGroup *g) {
        for (size_t i = 0; i < endpoint_n_groups(e, bank); i++)
                if (endpoint_group(e, bank, i) == g)
                        return true;

        return false;
}

/* Nobody is led to a bank where his address is not held. */
static void lead_to(const bool *serves, ReuseRule *rule) {
        bool from = serves[rule->from_bank], to = serves[rule->to_bank];

        for (uint8_t bank = 0; bank < REUSE_BANKS_MAX && !from && !to; bank++)
                if (serves[bank]) {
                        rule->from_bank = bank;
                        from = true;
                }

        if (from && !to)
                rule->to_bank = rule->from_bank;
        else if (to && !from)
                rule->from_bank = rule->to_bank;
        if (!from || !to)
                rule->share_percent = 100;
}

bool endpoint_rule_of(const Endpoint *e, const ReuseGroup *g, const ReuseRule *rule,
                      ReuseRule *ret) {
        bool serves[REUSE_BANKS_MAX], any = false;
        ReuseRule own = *rule;

        own.steering = e->settings->steering;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                serves[bank] = bank_holds(e, bank, g) && reuse_rule_n_live(rule, bank) > 0;
                any |= serves[bank];
                if (serves[bank] && !endpoint_is_shared(e, bank))
                        continue;
                memset(own.live[bank], 0, sizeof(own.live[bank]));
                reuse_rule_set_live(&own, bank, 0, serves[bank]);
        }

        lead_to(serves, &own);
        own.door.is_open = rule->door.is_open && serves[rule->door.bank];
        if (endpoint_is_shared(e, rule->door.bank))
                own.door.slot = 0;

        *ret = own;
        return any;
}

/* What one address had before. */
typedef struct Before {
        ReuseRule rule;
        bool was_refusing;
} Before;

static int put_one(const Endpoint *e, ReuseGroup *g, const ReuseRule *rule, bool may_listen) {
        ReuseRule own;
        int r;

        if (!endpoint_rule_of(e, g, rule, &own))
                return reuse_group_is_refusing(g) ? 0 : reuse_group_refuse(g);

        if (!reuse_rule_equal(reuse_group_rule(g), &own)) {
                r = reuse_group_set_rule(g, &own);
                if (r < 0)
                        return r;
        }

        return may_listen ? reuse_group_listen(g) : 0;
}

static void put_back(ReuseGroup *g, const Before *before) {
        (void) reuse_group_set_rule(g, &before->rule);
        if (before->was_refusing && !reuse_group_is_refusing(g))
                (void) reuse_group_refuse(g);
}

int endpoint_put_rule(Endpoint *e, const ReuseRule *rule, bool may_listen) {
        _cleanup_free_ Before *before = calloc(e->n_open + 1, sizeof(Before));
        bool has_other_rule = false, is_watched_anew = false;

        if (!before)
                return -ENOMEM;

        for (size_t i = 0; i < e->n_open; i++) {
                ReuseGroup *g = e->groups[i];
                int r;

                before[i] = (Before){ *reuse_group_rule(g), reuse_group_is_refusing(g) };
                r = put_one(e, g, rule, may_listen);
                if (r < 0) {
                        while (i-- > 0)
                                put_back(e->groups[i], &before[i]);
                        return r;
                }
                has_other_rule |= !reuse_rule_equal(&before[i].rule, reuse_group_rule(g));
                is_watched_anew |= before[i].was_refusing != reuse_group_is_refusing(g);
        }

        if (has_other_rule || is_watched_anew)
                strangers_look_soon(e->manager->strangers);
        return is_watched_anew ? endpoint_watch(e) : 0;
}

int endpoint_listen(Endpoint *e, const ReuseRule *rule) {
        int r = endpoint_put_rule(e, rule, /* may_listen= */ true);

        if (r < 0)
                (void) endpoint_refuse(e);
        return r;
}

int endpoint_refuse(Endpoint *e) {
        int first = 0;

        endpoint_unwatch(e);
        for (size_t i = 0; i < e->n_open; i++) {
                int r = reuse_group_refuse(e->groups[i]);

                if (r < 0 && first == 0)
                        first = r;
        }

        return first;
}
