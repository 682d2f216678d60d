#include <string.h>

#include "reuse/rule.h"
#include "unit.h"

/* Two banks of four; slot 3 of bank 1 has left. */
static void fill(ReuseTable *t) {
        for (unsigned i = 0; i < 8; i++) {
                assert_ok(reuse_table_add(t, i / 4, -EBADF));
                if (i < 7)
                        reuse_table_join(t, i / 4, i % 4);
        }
}

static void a_rule_is_a_value(void **state) {
        ReuseRule a = reuse_rule_init(1, 512), b = reuse_rule_init(1, 511);

        assert_int_equal(reuse_rule_n_live(&a, 1), 512);
        assert_int_equal(reuse_rule_n_live(&a, 0), 0);
        assert_int_equal(a.from_bank, 1);
        assert_int_equal(a.to_bank, 1);
        assert_false(reuse_rule_equal(&a, &b));
        reuse_rule_set_live(&b, 1, 511, true);
        assert_true(reuse_rule_equal(&a, &b));
        reuse_rule_set_live(&b, 1, 64, false);
        assert_false(reuse_rule_is_live(&b, 1, 64));
        assert_true(reuse_rule_is_live(&b, 1, 63));
        assert_true(reuse_rule_is_live(&b, 1, 65));
        assert_false(reuse_rule_is_live(&b, 4, 0));
        assert_false(reuse_rule_is_live(&b, 0, 512));
}

static void each_field_makes_a_difference(void **state) {
        const ReuseRule base = reuse_rule_init(0, 1);
        ReuseRule other[12];

        for (size_t i = 0; i < ELEMENTS_OF(other); i++) {
                other[i] = base;
                assert_true(reuse_rule_equal(other + i, &base));
        }
        other[0].steering = REUSE_STEERING_CPU;
        other[1].share_by = REUSE_SHARE_BY_FLOW;
        other[2].seed = 1;
        other[3].from_bank = 1;
        other[4].to_bank = 1;
        other[5].share_percent = 1;
        other[6].door.is_open = true;
        other[7].door.bank = 1;
        other[8].door.slot = 1;
        other[9].door.bank_port_v6 = 1;
        other[10].door.slot_port_v6 = 1;
        other[11].live[3][7] = 1;
        for (size_t i = 0; i < ELEMENTS_OF(other); i++)
                assert_false(reuse_rule_equal(other + i, &base));
}

static void what_makes_no_sense_is_refused(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };
        const ReuseRule good = reuse_rule_init(0, 4);
        ReuseRule r;

        fill(&t);
        assert_ok(reuse_rule_check(&good, SOCK_STREAM, &t, true));
        assert_ok(reuse_rule_check(&good, SOCK_DGRAM, &t, true));

        r = good;
        r.steering = REUSE_STEERING_MAX;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -EINVAL);
        r.steering = REUSE_STEERING_INVALID;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -EINVAL);
        r = good;
        r.share_by = REUSE_SHARE_BY_MAX;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -EINVAL);
        r = good;
        r.from_bank = r.to_bank = 2;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        r = good;
        r.to_bank = 200;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        r = good;
        r.share_percent = 101;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        r = good;
        reuse_rule_set_live(&r, 0, 4, true);
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        r = good;
        reuse_rule_set_live(&r, 3, 0, true);
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
}

static void a_bank_with_a_share_has_somebody(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };
        ReuseRule r = reuse_rule_init(0, 0);

        fill(&t);
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -EINVAL);

        r = reuse_rule_init(0, 4);
        r.to_bank = 1;
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, true)); /* it gets 0 % */
        r.share_percent = 1;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -EINVAL);
        reuse_rule_set_live(&r, 1, 0, true);
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, true));
        reuse_rule_set_live(&r, 1, 3, true); /* has left */
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, false));
}

static void datagrams_are_never_thrown_at_random(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };
        ReuseRule r = reuse_rule_init(0, 4);

        fill(&t);
        r.steering = REUSE_STEERING_RANDOM;
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, true));
        assert_int_equal(reuse_rule_check(&r, SOCK_DGRAM, &t, true), -EINVAL);

        r.steering = REUSE_STEERING_HASH;
        r.to_bank = 1;
        r.share_percent = 100; /* nothing is left to choose */
        reuse_rule_set_live(&r, 1, 0, true);
        assert_ok(reuse_rule_check(&r, SOCK_DGRAM, &t, true));
        r.share_percent = 50;
        assert_int_equal(reuse_rule_check(&r, SOCK_DGRAM, &t, true), -EINVAL);
        r.share_by = REUSE_SHARE_BY_SOURCE;
        assert_ok(reuse_rule_check(&r, SOCK_DGRAM, &t, true));
}

static void a_door_leads_to_a_place(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };
        ReuseRule r = reuse_rule_init(0, 4);

        fill(&t);
        r.door = (ReuseDoor){ .is_open = true, .bank = 1, .slot = 2 };
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, true)); /* it need not be live */
        r.door.slot = 3;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, true), -ERANGE);
        r.door.slot = 4;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, false), -ERANGE);
        r.door.bank = 9;
        assert_int_equal(reuse_rule_check(&r, SOCK_STREAM, &t, false), -ERANGE);
        r.door.is_open = false;
        assert_ok(reuse_rule_check(&r, SOCK_STREAM, &t, true));
}

static void it_names_who_may_be_met(void **state) {
        ReuseRule r = reuse_rule_init(0, 2);

        r.to_bank = 1;
        reuse_rule_set_live(&r, 1, 0, true);
        reuse_rule_set_live(&r, 2, 0, true);
        assert_true(reuse_rule_names(&r, 0, 1));
        assert_false(reuse_rule_names(&r, 0, 2));
        assert_false(reuse_rule_names(&r, 1, 0));
        r.share_percent = 10;
        assert_true(reuse_rule_names(&r, 1, 0));
        assert_false(reuse_rule_names(&r, 2, 0));
        r.share_percent = 100;
        assert_false(reuse_rule_names(&r, 0, 1));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_rule_is_a_value),
                UNIT_TEST(each_field_makes_a_difference),
                UNIT_TEST(what_makes_no_sense_is_refused),
                UNIT_TEST(a_bank_with_a_share_has_somebody),
                UNIT_TEST(datagrams_are_never_thrown_at_random),
                UNIT_TEST(a_door_leads_to_a_place),
                UNIT_TEST(it_names_who_may_be_met),
        };

        return UNIT_RUN(tests);
}
