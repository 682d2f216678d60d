#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "reuse/group.h"
#include "unit.h"

static ReuseGroup *open_group(const char *network, const char *text, unsigned n_banks,
                              unsigned n_slots) {
        ReuseGroupOptions options = { .n_banks = n_banks, .n_slots = n_slots };
        ReuseAddress address;
        ReuseGroup *g = NULL;

        assert_ok(reuse_address_parse(network, text, true, &address));
        assert_ok(reuse_group_open(&address, &options, &g, NULL));
        return g;
}

/* Connects, sees in whose queue it is, takes it from there. */
static void visit(const ReuseGroup *g, const char *from, unsigned *ret_bank, unsigned *ret_slot) {
        _cleanup_close_ int client = -EBADF, server = -EBADF;
        char target[REUSE_ADDRESS_TEXT_SIZE];
        ReuseAddress a = *reuse_group_address(g);

        reuse_address_format(&a, target, sizeof(target));
        client = reuse_dial(a.sa.sa_family == AF_INET ? "tcp4" : "tcp", from, target, NULL);
        assert_ok(client);

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        unsigned waiting;

                        assert_ok(reuse_group_queue(g, bank, slot, &waiting, NULL));
                        if (waiting == 0)
                                continue;
                        assert_int_equal(waiting, 1);
                        server = unit_accept(reuse_group_fd(g, bank, slot));
                        *ret_bank = bank;
                        *ret_slot = slot;
                        return;
                }

        fail_msg("in nobody's queue");
}

static void visitors_go_where_the_rule_says(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp", "127.0.0.1:0", 2, 3);
        unsigned bank, slot, seen = 0;

        for (unsigned i = 0; i < 100; i++) {
                visit(g, NULL, &bank, &slot);
                assert_int_equal(bank, 0);
                seen |= 1U << slot;
        }
        assert_int_equal(seen, 7);

        for (unsigned only = 0; only < 3; only++) {
                ReuseRule rule = reuse_rule_init(1, 0);

                reuse_rule_set_live(&rule, 1, only, true);
                assert_ok(reuse_group_set_rule(g, &rule));
                for (unsigned i = 0; i < 20; i++) {
                        visit(g, NULL, &bank, &slot);
                        assert_int_equal(bank, 1);
                        assert_int_equal(slot, only);
                }
        }
}

static void whoever_shuts_one_is_mended(void **state) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = open_group("tcp", "127.0.0.1:0", 2, 3);
        ReuseRule rule;
        unsigned bank, slot;

        for (unsigned mask = 1; mask < 64; mask++) {
                for (unsigned i = 0; i < 6; i++)
                        if (mask & (1U << i))
                                assert_true(shutdown(reuse_group_fd(g, i / 3, i % 3), SHUT_RDWR) >=
                                            0);

                assert_int_equal(reuse_group_mend(g), __builtin_popcount(mask));
                assert_int_equal(reuse_group_mend(g), 0);

                for (unsigned i = 0; i < 6; i++) {
                        rule = reuse_rule_init(i / 3, 0);
                        reuse_rule_set_live(&rule, i / 3, i % 3, true);
                        assert_ok(reuse_group_set_rule(g, &rule));
                        visit(g, NULL, &bank, &slot);
                        assert_int_equal(bank, i / 3);
                        assert_int_equal(slot, i % 3);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(visitors_go_where_the_rule_says),
                UNIT_TEST(whoever_shuts_one_is_mended),
        };

        return UNIT_RUN(tests);
}
