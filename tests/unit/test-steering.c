/* The rule on the real kernel: each way of choosing, each family, streams and datagrams. */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

typedef struct Family {
        const char *stream, *datagram, *address;
        int visits; /* 4, 6, or 46: every second one */
} Family;

static bool has_network;

static void need_network(void) {
        if (!has_network)
                unit_skip("a network of our own with local IPv6 sources");
}

static const Family families[] = {
        { "tcp4", "udp4", "127.0.0.1:0", 4 },
        { "tcp6", "udp6", "[::1]:0", 6 },
        { "tcp", "udp", ":0", 46 },
};

static ReuseGroup *open_two_banks(const Family *family, int type, ReuseRule *ret_rule) {
        ReuseGroupOptions options = { .n_banks = 2, .n_slots = 2 };
        ReuseRule rule = reuse_rule_init(0, 2);

        rule.to_bank = 1;
        rule.seed = 0x5eed;
        reuse_rule_set_live(&rule, 1, 0, true);
        reuse_rule_set_live(&rule, 1, 1, true);
        options.rule = ret_rule;
        *ret_rule = rule;
        return traffic_open(type == SOCK_STREAM ? family->stream : family->datagram,
                            family->address, &options);
}

/* Of @n visitors, how many bank 1 got. */
static unsigned count_new(const ReuseGroup *g, const Family *family, bool by_sources, unsigned n) {
        unsigned n_v6 = family->visits == 6 ? n : family->visits == 46 ? n / 2 : 0;

        return traffic_visits(g, false, by_sources, n - n_v6).in_bank[1] +
               traffic_visits(g, true, by_sources, n_v6).in_bank[1];
}

static bool is_within_3_sigma(unsigned got, unsigned n, unsigned percent) {
        double p = percent / 100.0, off = got - n * p;

        return off * off <= 9 * n * p * (1 - p);
}

static void check_shares(const Family *family, int type, ReuseShareBy by) {
        static const unsigned percents[] = { 0, 1, 10, 50, 100 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        unsigned n = unit_count(1000, 20000);
        ReuseRule rule;

        g = open_two_banks(family, type, &rule);
        rule.share_by = by;
        for (size_t i = 0; i < ELEMENTS_OF(percents); i++) {
                unsigned got;

                rule.share_percent = (uint16_t) percents[i];
                assert_ok(reuse_group_set_rule(g, &rule));
                got = count_new(g, family, by != REUSE_SHARE_BY_CONNECTION, n);
                printf("# %s %s by %s: asked %u %%, got %u of %u\n",
                       type == SOCK_STREAM ? family->stream : family->datagram, family->address,
                       by == REUSE_SHARE_BY_CONNECTION ? "connection"
                       : by == REUSE_SHARE_BY_FLOW     ? "flow"
                                                       : "source",
                       percents[i], got, n);
                if (is_within_3_sigma(got, n, percents[i]))
                        continue;

                /* one in 370 is outside by chance, twice in a row nobody is */
                if (by != REUSE_SHARE_BY_SOURCE)
                        got = count_new(g, family, by != REUSE_SHARE_BY_CONNECTION, n);
                if (!is_within_3_sigma(got, n, percents[i]))
                        fail_msg("asked %u %%, got %u of %u, twice", percents[i], got, n);
        }
}

/* case 47: shares of 0, 1, 10, 50, 100 % within 3 sigma: streams; issue 3 must show 2 */
static void streams_get_their_share(void **state) {
        need_network();
        for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
                check_shares(families + i, SOCK_STREAM, REUSE_SHARE_BY_CONNECTION);
                check_shares(families + i, SOCK_STREAM, REUSE_SHARE_BY_FLOW);
                check_shares(families + i, SOCK_STREAM, REUSE_SHARE_BY_SOURCE);
        }
}

/* case 47: and flows of datagrams */
static void flows_get_their_share(void **state) {
        need_network();
        for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
                check_shares(families + i, SOCK_DGRAM, REUSE_SHARE_BY_FLOW);
                check_shares(families + i, SOCK_DGRAM, REUSE_SHARE_BY_SOURCE);
        }
}

/* Connections of one source, over steps: one bank within a step, and never back. */
static void check_source_is_whole(const Family *family, bool by_v6) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        unsigned n_sources = unit_count(100, 1000), n_moves = 0;
        _cleanup_free_ bool *has_moved = calloc(n_sources, sizeof(bool));
        ReuseAddress target;
        ReuseRule rule;

        assert_non_null(has_moved);
        g = open_two_banks(family, SOCK_STREAM, &rule);
        target = traffic_target(g, by_v6);
        rule.share_by = REUSE_SHARE_BY_SOURCE;

        for (unsigned percent = 5; percent <= 100; percent += 19) {
                rule.share_percent = (uint16_t) percent;
                assert_ok(reuse_group_set_rule(g, &rule));
                for (unsigned i = 0; i < n_sources; i++) {
                        ReuseAddress source = traffic_source(target.sa.sa_family, i);
                        unsigned first = 0, bank, slot;

                        for (unsigned visit = 0; visit < 3; visit++) {
                                traffic_meet(g, &target, &source, &bank, &slot);
                                if (visit == 0)
                                        first = bank;
                                assert_int_equal(bank, first);
                        }
                        assert_false(has_moved[i] && first == 0);
                        n_moves += first == 1 && !has_moved[i];
                        has_moved[i] = first == 1;
                }
        }
        assert_int_equal(n_moves, n_sources);
}

static void a_source_is_never_split(void **state) {
        need_network();
        check_source_is_whole(families + 0, false);
        check_source_is_whole(families + 1, true);
        check_source_is_whole(families + 2, false);
        check_source_is_whole(families + 2, true);
}

static void a_flow_of_datagrams_stays_in_its_slot(void **state) {
        need_network();
        for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                ReuseAddress target;
                ReuseRule rule;

                g = open_two_banks(families + i, SOCK_DGRAM, &rule);
                target = traffic_target(g, families[i].visits != 4);
                rule.share_by = REUSE_SHARE_BY_FLOW;
                rule.share_percent = 50;
                assert_ok(reuse_group_set_rule(g, &rule));
                for (unsigned flow = 0; flow < unit_count(200, 2000); flow++) {
                        _cleanup_close_ int client = traffic_visit(&target, NULL, 1);
                        Hits hits = { .total = 0 };
                        unsigned most = 0;

                        for (unsigned n = 0; n < 4; n++)
                                assert_int_equal(send(client, "x", 1, 0), 1);
                        traffic_take(g, &hits, NULL, NULL);
                        for (unsigned place = 0; place < 4; place++)
                                most += hits.of[place / 2][place % 2] == 5;
                        assert_int_equal(most, 1);
                }
        }
}

static void each_slot_of_many_gets_its_part(void **state) {
        static const ReuseSteering steerings[] = { REUSE_STEERING_HASH, REUSE_STEERING_RANDOM };

        for (size_t i = 0; i < ELEMENTS_OF(steerings); i++) {
                ReuseRule rule = reuse_rule_init(0, 8);
                ReuseGroupOptions options = { .n_slots = 8, .rule = &rule };
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                unsigned n = unit_count(2000, 20000);
                double chi_squared = 0, expected = n / 8.0;
                Hits hits;

                rule.steering = steerings[i];
                g = traffic_open("tcp4", "127.0.0.1:0", &options);
                /* from many sources: one would use its ports again, which are no new draws */
                hits = traffic_visits(g, false, true, n);
                for (unsigned slot = 0; slot < 8; slot++)
                        chi_squared += (hits.of[0][slot] - expected) *
                                       (hits.of[0][slot] - expected) / expected;
                /* 7 degrees of freedom: above 29.9 once in 10,000 */
                if (chi_squared > 29.9)
                        fail_msg("steering %d: chi squared is %g", steerings[i], chi_squared);
        }
}

static void only_live_slots_are_met(void **state) {
        ReuseRule rule = reuse_rule_init(0, 0);
        ReuseGroupOptions options = { .n_slots = 70 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        Hits hits;

        g = traffic_open("tcp4", "127.0.0.1:0", &options);
        for (unsigned slot = 0; slot < 70; slot++)
                reuse_rule_set_live(&rule, 0, slot, slot % 3 != 1);
        assert_ok(reuse_group_set_rule(g, &rule));
        hits = traffic_visits(g, false, false, 1500);
        for (unsigned slot = 0; slot < 70; slot++)
                assert_int_equal(hits.of[0][slot] > 0, slot % 3 != 1);
}

static void a_cpu_steers_to_its_slot(void **state) {
        ReuseRule rule = reuse_rule_init(0, 2);
        ReuseGroupOptions options = { .n_slots = 2, .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        cpu_set_t before, one;

        if (sched_getaffinity(0, sizeof(before), &before) < 0 || CPU_COUNT(&before) < 2)
                unit_skip("one CPU only");

        rule.steering = REUSE_STEERING_CPU;
        g = traffic_open("tcp4", "127.0.0.1:0", &options);
        for (unsigned cpu = 0; cpu < 2; cpu++) {
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
                if (sched_setaffinity(0, sizeof(one), &one) < 0)
                        continue;
                assert_int_equal(traffic_visits(g, false, false, 50).of[0][cpu], 50);
        }
        (void) sched_setaffinity(0, sizeof(before), &before);
}

/* The doors, over everything that can be dialled; DESIGN §5. */
static void the_door_leads_past_everybody(void **state) {
        static const struct {
                const char *network, *group, *host;
                const char *bank_source, *slot_source;
        } rows[] = {
                { "tcp4", "127.0.0.1:0", "127.0.0.1", "127.83.0.1:0", "127.83.0.2:0" },
                { "tcp", ":0", "127.0.0.1", "127.83.0.1:0", "127.83.0.2:0" },
                { "tcp6", "[::1]:0", "[::1]", "[::1]:1021", "[::1]:1022" },
                { "tcp6", "[::]:0", "[::1]", "[::1]:1021", "[::1]:1022" },
        };

        need_network();
        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                ReuseGroupOptions options = { .n_slots = 3 };
                ReuseRule rule = reuse_rule_init(0, 3);
                char target[REUSE_ADDRESS_TEXT_SIZE];

                g = traffic_open(rows[i].network, rows[i].group, &options);
                (void) snprintf(target, sizeof(target), "%s:%u", rows[i].host,
                                reuse_address_port(reuse_group_address(g)));
                reuse_rule_set_live(&rule, 1, 1, true);
                rule.door = (ReuseDoor){ .is_open = true,
                                         .bank = 1,
                                         .slot = 2,
                                         .bank_port_v6 = 1021,
                                         .slot_port_v6 = 1022 };
                assert_ok(reuse_group_set_rule(g, &rule));

                for (unsigned n = 0; n < 5; n++) {
                        _cleanup_reset_ int bank = -EBADF, slot = -EBADF, other = -EBADF;
                        Hits hits = { .total = 0 };

                        bank = assert_ok(reuse_dial("tcp", rows[i].bank_source, target, NULL));
                        slot = assert_ok(reuse_dial("tcp", rows[i].slot_source, target, NULL));
                        other = assert_ok(reuse_dial("tcp", NULL, target, NULL));
                        traffic_take(g, &hits, NULL, NULL);
                        assert_int_equal(hits.of[1][1], 1);
                        assert_int_equal(hits.of[1][2], 1);
                        assert_int_equal(hits.in_bank[0], 1);
                }
        }
}

/* The kernel takes the longest that we write, and replaces it quickly. */
static void five_hundred_and_twelve_slots_are_attached(void **state) {
        ReuseGroupOptions options = { .n_slots = 512 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        ReuseRule rule = reuse_rule_init(0, 512);
        static char text[1 << 17];
        Hits hits;
        size_t n;

        need_network();
        g = traffic_open("tcp", ":0", &options);
        rule.to_bank = 1;
        rule.share_percent = 50;
        rule.share_by = REUSE_SHARE_BY_SOURCE;
        for (unsigned slot = 0; slot < 512; slot++) {
                reuse_rule_set_live(&rule, 0, slot, slot % 4 != 3);
                reuse_rule_set_live(&rule, 1, slot, slot % 4 != 1);
        }
        rule.door = (ReuseDoor){
                .is_open = true, .bank = 1, .slot = 3, .bank_port_v6 = 1021, .slot_port_v6 = 1022
        };
        assert_ok(reuse_group_set_rule(g, &rule));
        n = reuse_group_print_rule(g, text, sizeof(text));
        printf("# %zu instructions for 2 × 512 slots with a quarter dead\n", n);
        assert_in_range(n, 1, 1000);

        hits = traffic_visits(g, false, true, 2000);
        for (unsigned slot = 0; slot < 512; slot++) {
                assert_true(slot % 4 != 3 || hits.of[0][slot] == 0);
                assert_true(slot % 4 != 1 || hits.of[1][slot] == 0);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(streams_get_their_share),
                UNIT_TEST(flows_get_their_share),
                UNIT_TEST(a_source_is_never_split),
                UNIT_TEST(a_flow_of_datagrams_stays_in_its_slot),
                UNIT_TEST(each_slot_of_many_gets_its_part),
                UNIT_TEST(only_live_slots_are_met),
                UNIT_TEST(a_cpu_steers_to_its_slot),
                UNIT_TEST(the_door_leads_past_everybody),
                UNIT_TEST(five_hundred_and_twelve_slots_are_attached),
        };

        has_network = traffic_own_network();
        return UNIT_RUN(tests);
}
