/* A rule as a value: made, compared, checked against a group. */

#include "reuse/rule.h"

#include <assert.h>
#include <string.h>

static uint64_t *word_of(ReuseRule *rule, unsigned bank, unsigned slot) {
        return &rule->live[bank][slot / 64];
}

static uint64_t bit_of(unsigned slot) {
        return UINT64_C(1) << (slot % 64);
}

ReuseRule reuse_rule_init(unsigned bank, unsigned n_slots) {
        ReuseRule rule = { .steering = REUSE_STEERING_HASH };

        assert(bank < REUSE_BANKS_MAX && n_slots <= REUSE_SLOTS_MAX);

        rule.from_bank = rule.to_bank = (uint8_t) bank;
        for (unsigned slot = 0; slot < n_slots; slot++)
                reuse_rule_set_live(&rule, bank, slot, true);

        return rule;
}

void reuse_rule_set_live(ReuseRule *rule, unsigned bank, unsigned slot, bool is_live) {
        assert(rule && bank < REUSE_BANKS_MAX && slot < REUSE_SLOTS_MAX);

        if (is_live)
                *word_of(rule, bank, slot) |= bit_of(slot);
        else
                *word_of(rule, bank, slot) &= ~bit_of(slot);
}

bool reuse_rule_is_live(const ReuseRule *rule, unsigned bank, unsigned slot) {
        assert(rule);

        if (bank >= REUSE_BANKS_MAX || slot >= REUSE_SLOTS_MAX)
                return false;

        return rule->live[bank][slot / 64] & bit_of(slot);
}

unsigned reuse_rule_n_live(const ReuseRule *rule, unsigned bank) {
        unsigned n = 0;

        assert(rule && bank < REUSE_BANKS_MAX);

        for (size_t i = 0; i < ELEMENTS_OF(rule->live[bank]); i++)
                n += (unsigned) __builtin_popcountll(rule->live[bank][i]);

        return n;
}

bool reuse_rule_equal(const ReuseRule *a, const ReuseRule *b) {
        const ReuseDoor *d = &a->door, *e = &b->door;

        assert(a && b);

        return a->steering == b->steering && a->share_by == b->share_by && a->seed == b->seed &&
               a->from_bank == b->from_bank && a->to_bank == b->to_bank &&
               a->share_percent == b->share_percent && d->is_open == e->is_open &&
               d->bank == e->bank && d->slot == e->slot && d->bank_port_v6 == e->bank_port_v6 &&
               d->slot_port_v6 == e->slot_port_v6 && memcmp(a->live, b->live, sizeof(a->live)) == 0;
}

bool reuse_rule_names(const ReuseRule *rule, unsigned bank, unsigned slot) {
        bool is_used = (reuse_rule_uses_from(rule) && bank == rule->from_bank) ||
                       (reuse_rule_uses_to(rule) && bank == rule->to_bank);

        return is_used && reuse_rule_is_live(rule, bank, slot);
}

/* Every live slot exists, and those of a bank that gets somebody are in the group. */
static int check_bank(const ReuseRule *rule, unsigned bank, const ReuseTable *t, bool has_share,
                      bool must_have_joined) {
        for (unsigned slot = 0; slot < REUSE_SLOTS_MAX; slot++) {
                const ReusePlace *place;

                if (!reuse_rule_is_live(rule, bank, slot))
                        continue;

                place = reuse_table_place(t, bank, slot);
                if (!place || (has_share && must_have_joined && place->index < 0))
                        return -ERANGE;
        }

        return has_share && reuse_rule_n_live(rule, bank) == 0 ? -EINVAL : 0;
}

static int check_values(const ReuseRule *rule, int type, const ReuseTable *t) {
        bool is_shared = reuse_rule_uses_from(rule) && reuse_rule_uses_to(rule);

        if (rule->steering < 0 || rule->steering >= REUSE_STEERING_MAX || rule->share_by < 0 ||
            rule->share_by >= REUSE_SHARE_BY_MAX)
                return -EINVAL;

        if (rule->from_bank >= t->n_banks || rule->to_bank >= t->n_banks ||
            rule->share_percent > 100)
                return -ERANGE;

        if (type == SOCK_DGRAM && (rule->steering == REUSE_STEERING_RANDOM ||
                                   (is_shared && rule->share_by == REUSE_SHARE_BY_CONNECTION)))
                return -EINVAL;

        return 0;
}

static int check_door(const ReuseDoor *door, const ReuseTable *t, bool must_have_joined) {
        const ReusePlace *place = reuse_table_place(t, door->bank, door->slot);

        if (!door->is_open)
                return 0;

        return !place || (must_have_joined && place->index < 0) ? -ERANGE : 0;
}

int reuse_rule_check(const ReuseRule *rule, int type, const ReuseTable *t, bool must_have_joined) {
        int r;

        assert(rule && t);

        r = check_values(rule, type, t);
        if (r < 0)
                return r;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                bool has_share = (reuse_rule_uses_from(rule) && bank == rule->from_bank) ||
                                 (reuse_rule_uses_to(rule) && bank == rule->to_bank);

                r = check_bank(rule, bank, t, has_share, must_have_joined);
                if (r < 0)
                        return r;
        }

        return check_door(&rule->door, t, must_have_joined);
}
