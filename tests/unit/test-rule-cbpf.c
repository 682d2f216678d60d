/* Every kind of program, run over packets: which indices it reaches, exactly, and in which shares.  The
 * real kernel is asked in test-steering.c. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"
#include "reuse/address.h"
#include "unit.h"

#define N_PACKETS 4000U

typedef enum Family {
        FAMILY_V4,
        FAMILY_V6,
        FAMILY_DUAL,
        FAMILY_MAX,
} Family;

typedef struct Fixture {
        ReuseTable table;
        ReuseAddress address;
        ReuseProgram program;
} Fixture;

static void fixture_done(Fixture *f) {
        reuse_table_done(&f->table);
        reuse_program_done(&f->program);
}

static void fixture_init(Fixture *f, Family family, unsigned n_banks, unsigned n_slots) {
        static const char *const networks[] = { "tcp4", "tcp6", "tcp6" };

        assert_ok(reuse_address_parse(networks[family], ":80", true, &f->address));
        f->address.is_dual_stack = family == FAMILY_DUAL;
        for (unsigned bank = 0; bank < n_banks; bank++)
                for (unsigned slot = 0; slot < n_slots; slot++) {
                        assert_ok(reuse_table_add(&f->table, bank, -EBADF));
                        reuse_table_join(&f->table, bank, slot);
                }
}

static void fixture_compile(Fixture *f, const ReuseRule *rule) {
        reuse_program_done(&f->program);
        assert_ok(reuse_rule_check(rule, SOCK_STREAM, &f->table, false));
        assert_ok(reuse_rule_compile(rule, &f->address, &f->table, &f->program));
}

/* The i-th visitor of a family; every second one of a dual-stack socket comes by IPv4. */
static Packet visitor(Family family, unsigned i) {
        int protocol = i & 1 ? IPPROTO_UDP : IPPROTO_TCP;
        uint32_t mixed = i * 2654435761U;
        Packet p;

        if (family == FAMILY_V4 || (family == FAMILY_DUAL && (i & 2)))
                p = packet_make_v4(mixed | 0x01000000, (uint16_t) (1024 + i), protocol, i % 11 * 4);
        else {
                struct in6_addr ip = { .s6_addr = { 0x20, 0x01, 0x0d, 0xb8 } };
                uint32_t net = htonl(mixed);

                memcpy(ip.s6_addr + 4, &net, sizeof(net));
                ip.s6_addr[15] = (uint8_t) i;
                p = packet_make_v6(&ip, (uint16_t) (1024 + i), protocol);
        }

        p.random = mixed ^ 0xdeadbeef;
        p.cpu = i;
        return p;
}

/* How often each index was reached; fails if the program ever says anything else. */
static void run_visitors(const Fixture *f, Family family, unsigned *hits) {
        memset(hits, 0, f->table.n_joined * sizeof(*hits));
        for (unsigned i = 0; i < N_PACKETS; i++) {
                Packet p = visitor(family, i);
                uint32_t index = program_run(&f->program, &p);

                if (index >= f->table.n_joined)
                        fail_msg("index %u of %u", index, f->table.n_joined);
                hits[index]++;
        }
}

static bool is_named(const Fixture *f, const ReuseRule *rule, unsigned index) {
        return reuse_rule_names(rule, f->table.joined[index].bank, f->table.joined[index].slot);
}

/* Exactly those that the rule names are reached, each about equally often within its bank. */
static void check_reach(Fixture *f, Family family, const ReuseRule *rule, double share_of_to) {
        unsigned hits[REUSE_BANKS_MAX * REUSE_SLOTS_MAX];

        fixture_compile(f, rule);
        run_visitors(f, family, hits);

        for (unsigned i = 0; i < f->table.n_joined; i++) {
                unsigned bank = f->table.joined[i].bank;
                double share = bank == rule->to_bank ? share_of_to : 1 - share_of_to;
                double expected = N_PACKETS * share / reuse_rule_n_live(rule, bank);

                if (!is_named(f, rule, i)) {
                        assert_int_equal(hits[i], 0);
                        continue;
                }
                if (rule->from_bank == rule->to_bank)
                        expected = (double) N_PACKETS / reuse_rule_n_live(rule, bank);
                if (hits[i] < 0.4 * expected || hits[i] > 1.9 * expected)
                        fail_msg("index %u: %u hits, expected about %g", i, hits[i], expected);
        }
}

static void all_go_to_the_live_slots_of_one_bank(void **state) {
        static const uint64_t masks[] = {
                0xff, 0x01, 0x80, 0x55, 0xaa, 0x81, 0x7e, 0x0f, 0xf0, 0x6d
        };

        for (Family family = 0; family < FAMILY_MAX; family++)
                for (ReuseSteering s = 0; s < REUSE_STEERING_MAX; s++)
                        for (unsigned bank = 0; bank < 2; bank++)
                                for (size_t m = 0; m < ELEMENTS_OF(masks); m++) {
                                        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                                        ReuseRule rule = reuse_rule_init(bank, 0);

                                        fixture_init(&f, family, 2, 8);
                                        rule.steering = s;
                                        rule.seed = 0x1234567;
                                        rule.live[bank][0] = masks[m];
                                        check_reach(&f, family, &rule, 1);
                                }
}

static void shares_are_kept_between_two_banks(void **state) {
        static const unsigned percents[] = { 0, 1, 10, 50, 99, 100 };

        for (Family family = 0; family < FAMILY_MAX; family++)
                for (ReuseShareBy by = 0; by < REUSE_SHARE_BY_MAX; by++)
                        for (size_t i = 0; i < ELEMENTS_OF(percents); i++) {
                                _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                                ReuseRule rule = reuse_rule_init(0, 2);
                                unsigned hits[4];
                                double p = percents[i] / 100.0, got, sigma_3;

                                fixture_init(&f, family, 2, 2);
                                rule.to_bank = 1;
                                rule.share_by = by;
                                rule.share_percent = (uint16_t) percents[i];
                                reuse_rule_set_live(&rule, 1, 0, true);
                                reuse_rule_set_live(&rule, 1, 1, true);
                                fixture_compile(&f, &rule);
                                run_visitors(&f, family, hits);

                                got = hits[2] + hits[3] - N_PACKETS * p;
                                sigma_3 = 9 * N_PACKETS * p * (1 - p); /* squared */
                                if (got * got > sigma_3)
                                        fail_msg("asked %u %%, got %u of %u", percents[i],
                                                 hits[2] + hits[3], N_PACKETS);
                        }
}

/* The same source meets the same bank whatever its port, and never goes back while the share grows. */
static void a_source_moves_at_most_once(void **state) {
        for (Family family = 0; family < FAMILY_MAX; family++) {
                _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                static bool has_moved[N_PACKETS];
                ReuseRule rule = reuse_rule_init(0, 3);

                memset(has_moved, 0, sizeof(has_moved));
                fixture_init(&f, family, 2, 3);
                rule.to_bank = 1;
                rule.share_by = REUSE_SHARE_BY_SOURCE;
                rule.live[1][0] = 7;

                for (unsigned percent = 0; percent <= 100; percent += 20) {
                        rule.share_percent = (uint16_t) percent;
                        fixture_compile(&f, &rule);
                        for (unsigned i = 0; i < N_PACKETS; i++) {
                                Packet p = visitor(family, i);
                                size_t at = (p.data[0] >> 4) == 6 ? 40 : 4 * (p.data[0] & 15U);
                                bool is_new = program_run(&f.program, &p) >= 3;

                                p.data[at]++;                                   /* another port */
                                p.data[23] ^= (p.data[0] >> 4) == 6 ? 0xff : 0; /* within the /64 */
                                assert_int_equal(program_run(&f.program, &p) >= 3, is_new);
                                assert_true(is_new || !has_moved[i]);
                                has_moved[i] = is_new;
                        }
                }
        }
}

/* A flow stays in its slot as long as the slots are the same, whatever the shares. */
static void a_flow_stays_where_it_is(void **state) {
        _cleanup_(fixture_done) Fixture before = { .program.n = 0 }, after = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 4);
        unsigned n_moved = 0;

        fixture_init(&before, FAMILY_DUAL, 2, 4);
        fixture_init(&after, FAMILY_DUAL, 2, 4);
        rule.to_bank = 1;
        rule.share_by = REUSE_SHARE_BY_FLOW;
        rule.seed = 42;
        rule.live[1][0] = 0xf;
        rule.share_percent = 10;
        fixture_compile(&before, &rule);
        rule.share_percent = 30;
        fixture_compile(&after, &rule);

        for (unsigned i = 0; i < N_PACKETS; i++) {
                Packet p = visitor(FAMILY_DUAL, i), again = p;
                uint32_t old = program_run(&before.program, &p);
                uint32_t new = program_run(&after.program, &again);

                assert_int_equal(new % 4, old % 4);
                assert_true(new >= old);
                n_moved += new != old;
        }
        assert_in_range(n_moved, N_PACKETS * 17 / 100, N_PACKETS * 23 / 100);
}

static void a_share_does_not_decide_about_the_slot(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 4);

        fixture_init(&f, FAMILY_V4, 2, 4);
        rule.to_bank = 1;
        rule.share_by = REUSE_SHARE_BY_FLOW;
        rule.live[1][0] = 0xf;
        rule.share_percent = 20;
        check_reach(&f, FAMILY_V4, &rule, 0.2);
}

static void another_seed_spreads_otherwise(void **state) {
        _cleanup_(fixture_done) Fixture a = { .program.n = 0 }, b = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 8);
        unsigned n_same = 0;

        fixture_init(&a, FAMILY_V6, 1, 8);
        fixture_init(&b, FAMILY_V6, 1, 8);
        fixture_compile(&a, &rule);
        rule.seed = 0xabcdef01;
        fixture_compile(&b, &rule);
        for (unsigned i = 0; i < N_PACKETS; i++) {
                Packet p = visitor(FAMILY_V6, i);

                n_same += program_run(&a.program, &p) == program_run(&b.program, &p);
        }
        assert_in_range(n_same, N_PACKETS / 16, N_PACKETS / 5); /* one in eight by chance */
}

static void a_cpu_has_its_slot(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(1, 0);
        static const unsigned live[] = { 1, 2, 5 };

        fixture_init(&f, FAMILY_V4, 2, 6);
        rule.steering = REUSE_STEERING_CPU;
        for (size_t i = 0; i < ELEMENTS_OF(live); i++)
                reuse_rule_set_live(&rule, 1, live[i], true);
        fixture_compile(&f, &rule);
        for (unsigned cpu = 0; cpu < 20; cpu++) {
                Packet p = visitor(FAMILY_V4, 1);

                p.cpu = cpu;
                assert_int_equal(program_run(&f.program, &p), 6 + live[cpu % 3]);
        }
}

typedef struct DoorRow {
        const char *source;
        bool is_bank, is_slot; /* through which door, if any */
} DoorRow;

static void check_door(Fixture *f, const ReuseRule *rule, const DoorRow *row, size_t options) {
        static const int protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
        unsigned slot = (unsigned) f->table.places[rule->door.bank][rule->door.slot].index;

        for (size_t i = 0; i < ELEMENTS_OF(protocols); i++) {
                Packet p = packet_make(row->source, protocols[i], options);
                uint32_t index = program_run(&f->program, &p);
                unsigned bank = f->table.joined[index].bank;
                bool is_live = reuse_rule_is_live(rule, bank, f->table.joined[index].slot);

                if (row->is_slot)
                        assert_int_equal(index, slot);
                else if (bank != (row->is_bank ? rule->door.bank : rule->from_bank) || !is_live)
                        fail_msg("%s came to index %u", row->source, index);
        }
}

static void the_door_of_v4_is_an_address(void **state) {
        static const DoorRow rows[] = {
                { "127.83.0.1:1", true },
                { "127.83.0.1:65535", true },
                { "127.83.0.2:1", .is_slot = true },
                { "127.83.0.2:40000", .is_slot = true },
                { "127.83.0.0:1" },
                { "127.83.0.3:1" },
                { "127.0.0.1:7" },
                { "1.83.0.1:7" },
                { "127.83.1.1:9" },
        };
        static const Family families[] = { FAMILY_V4, FAMILY_DUAL };

        for (size_t k = 0; k < ELEMENTS_OF(families); k++)
                for (ReuseSteering s = 0; s < REUSE_STEERING_MAX; s++) {
                        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                        ReuseRule rule = reuse_rule_init(0, 3);

                        fixture_init(&f, families[k], 3, 4);
                        rule.steering = s;
                        rule.live[2][0] = 0x7;
                        rule.door = (ReuseDoor){ .is_open = true, .bank = 2, .slot = 3 };
                        fixture_compile(&f, &rule);
                        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                                check_door(&f, &rule, rows + i, 0);
                                check_door(&f, &rule, rows + i, 40);
                        }
                }
}

static void the_door_of_v6_is_loopback_and_a_port(void **state) {
        static const DoorRow rows[] = {
                { "[::1]:1001", true },   { "[::1]:1002", .is_slot = true },
                { "[::1]:1000" },         { "[::1]:1003" },
                { "[::2]:1001" },         { "[1::1]:1001" },
                { "[0:1::1]:1002" },      { "[0:0:0:0:1::1]:1002" },
                { "[2001:db8::1]:1002" },
        };
        static const Family families[] = { FAMILY_V6, FAMILY_DUAL };

        for (size_t k = 0; k < ELEMENTS_OF(families); k++) {
                _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                ReuseRule rule = reuse_rule_init(0, 3);

                fixture_init(&f, families[k], 2, 4);
                rule.live[1][0] = 0x5;
                rule.door = (ReuseDoor){ .is_open = true,
                                         .bank = 1,
                                         .slot = 1,
                                         .bank_port_v6 = 1001,
                                         .slot_port_v6 = 1002 };
                fixture_compile(&f, &rule);
                for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                        check_door(&f, &rule, rows + i, 0);

                rule.door.bank_port_v6 = rule.door.slot_port_v6 = 0; /* no door for IPv6 */
                fixture_compile(&f, &rule);
                for (size_t i = 0; i < ELEMENTS_OF(rows); i++)
                        check_door(&f, &rule, &(DoorRow){ rows[i].source }, 0);
                check_door(&f, &rule, &(DoorRow){ "[::1]:0" }, 0);
        }
}

static void the_door_is_on_the_loopback_interface_only(void **state) {
        static const char *const sources[] = { "127.83.0.1:1", "127.83.0.2:1", "[::1]:11",
                                               "[::1]:12" };
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 1);

        fixture_init(&f, FAMILY_DUAL, 2, 1);
        rule.live[1][0] = 1;
        rule.door = (ReuseDoor){
                .is_open = true, .bank = 1, .bank_port_v6 = 11, .slot_port_v6 = 12
        };
        fixture_compile(&f, &rule);
        for (size_t i = 0; i < ELEMENTS_OF(sources); i++)
                for (uint32_t interface = 0; interface < 4; interface++) {
                        Packet p = packet_make(sources[i], IPPROTO_TCP, 0);

                        p.interface = interface;
                        assert_int_equal(program_run(&f.program, &p), interface == 1);
                }
}

static void a_door_beside_shares_leads_past_them(void **state) {
        for (ReuseShareBy by = 0; by < REUSE_SHARE_BY_MAX; by++)
                for (unsigned bank = 0; bank < 3; bank++) {
                        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                        ReuseRule rule = reuse_rule_init(0, 2);

                        fixture_init(&f, FAMILY_DUAL, 3, 2);
                        rule.to_bank = 1;
                        rule.share_by = by;
                        rule.share_percent = 50;
                        rule.live[1][0] = rule.live[2][0] = 3;
                        rule.door = (ReuseDoor){ .is_open = true,
                                                 .bank = (uint8_t) bank,
                                                 .slot = 1 };
                        fixture_compile(&f, &rule);
                        check_door(&f, &rule, &(DoorRow){ "127.83.0.1:5", true }, 0);
                        check_door(&f, &rule, &(DoorRow){ "127.83.0.2:5", .is_slot = true }, 0);
                        check_reach(&f, FAMILY_DUAL, &rule, 0.5);
                }
}

/* While nobody in its bank is live, the first door leads to the slot, too: never to the old bank. */
static void a_door_to_a_bank_without_live_slots_leads_to_its_slot(void **state) {
        static const char *const sources[] = { "127.83.0.1:1", "127.83.0.2:1", "[::1]:11",
                                               "[::1]:12" };
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 2);

        fixture_init(&f, FAMILY_DUAL, 2, 2);
        rule.door = (ReuseDoor){ .is_open = true, .bank = 1, .slot = 1 };
        rule.door.bank_port_v6 = 11;
        rule.door.slot_port_v6 = 12;
        fixture_compile(&f, &rule);
        for (size_t i = 0; i < ELEMENTS_OF(sources); i++) {
                Packet p = packet_make(sources[i], IPPROTO_TCP, 0);

                assert_int_equal(program_run(&f.program, &p), 3);
        }
        check_reach(&f, FAMILY_DUAL, &rule, 1);
}

static void a_table_in_disorder_is_reached_exactly(void **state) {
        srandom(7);
        for (unsigned round = 0; round < 60; round++)
                for (ReuseSteering s = 0; s < REUSE_STEERING_MAX; s++) {
                        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                        ReuseRule rule = reuse_rule_init(1, 0);

                        fixture_init(&f, FAMILY_V4, 2, 10);
                        for (unsigned i = 0; i < round; i++) {
                                unsigned bank = (unsigned) random() % 2,
                                         slot = (unsigned) random() % 10;

                                reuse_table_leave(&f.table, bank, slot);
                                reuse_table_join(&f.table, bank, slot);
                        }
                        rule.steering = s;
                        while (rule.live[1][0] == 0)
                                rule.live[1][0] = (uint64_t) random() & 0x3ff;
                        check_reach(&f, FAMILY_V4, &rule, 1);
                }
}

/* In such a table, cpu still means the how-manieth live slot. */
static void a_cpu_keeps_its_slot_in_disorder(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 4);

        fixture_init(&f, FAMILY_V4, 2, 4);
        reuse_table_leave(&f.table, 0, 1);
        reuse_table_join(&f.table, 0, 1);
        rule.steering = REUSE_STEERING_CPU;
        fixture_compile(&f, &rule);
        for (unsigned cpu = 0; cpu < 8; cpu++) {
                Packet p = visitor(FAMILY_V4, 1);
                unsigned index;

                p.cpu = cpu;
                index = program_run(&f.program, &p);
                assert_int_equal(f.table.joined[index].bank, 0);
                assert_int_equal(f.table.joined[index].slot, cpu % 4);
        }
}

/* Those who have left are not named, even if the rule calls them live. */
static void who_has_left_is_left_out(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 3), left;

        fixture_init(&f, FAMILY_V4, 2, 3);
        reuse_table_leave(&f.table, 0, 1);
        left = rule;
        reuse_rule_set_live(&left, 0, 1, false);
        check_reach(&f, FAMILY_V4, &left, 1);
        fixture_compile(&f, &rule); /* the same program */
        for (unsigned i = 0; i < N_PACKETS; i++) {
                Packet p = visitor(FAMILY_V4, i);
                unsigned index = program_run(&f.program, &p);

                assert_int_equal(f.table.joined[index].bank, 0);
        }

        for (unsigned slot = 0; slot < 3; slot++)
                if (f.table.places[0][slot].index >= 0)
                        reuse_table_leave(&f.table, 0, slot);
        assert_int_equal(reuse_rule_compile(&rule, &f.address, &f.table, &f.program), -EINVAL);
}

static void five_hundred_and_twelve_slots_fit(void **state) {
        for (Family family = 0; family < FAMILY_MAX; family++) {
                _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
                unsigned hits[2 * REUSE_SLOTS_MAX];
                ReuseRule rule = reuse_rule_init(0, 512);

                fixture_init(&f, family, 2, 512);
                rule.to_bank = 1;
                rule.share_by = REUSE_SHARE_BY_SOURCE;
                rule.share_percent = 50;
                for (unsigned slot = 0; slot < 512; slot++) {
                        reuse_rule_set_live(&rule, 0, slot, slot % 4 != 3);
                        reuse_rule_set_live(&rule, 1, slot, slot % 4 != 1);
                }
                rule.door = (ReuseDoor){ .is_open = true, .bank = 1, .slot = 511 };
                fixture_compile(&f, &rule);
                assert_in_range(f.program.n, 1, 1000); /* before Linux 6.7 it must be less */
                run_visitors(&f, family, hits);
                for (unsigned i = 0; i < f.table.n_joined; i++)
                        assert_true(hits[i] == 0 || is_named(&f, &rule, i));
        }
}

static void a_program_has_an_end(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 512);
        ReuseJoined order[3 * 512];

        /* every index far from the one before: three instructions for each of 3 × 512 */
        fixture_init(&f, FAMILY_DUAL, 3, 512);
        for (unsigned i = 0; i < ELEMENTS_OF(order); i++)
                order[i] = f.table.joined[ELEMENTS_OF(order) - 1 - i];
        reuse_table_reorder(&f.table, 0, order);
        rule.to_bank = 1;
        rule.share_percent = 50;
        memset(rule.live, 0xff, sizeof(rule.live));
        memset(rule.live[3], 0, sizeof(rule.live[3]));
        rule.door = (ReuseDoor){ .is_open = true, .bank = 2 };
        assert_int_equal(reuse_rule_compile(&rule, &f.address, &f.table, &f.program), -ENOMEM);
}

static void a_program_is_printed_line_by_line(void **state) {
        static const char *const expected = "   0  0020   0   0 fffff038  ld [ad+56]\n"
                                            "   1  0094   0   0 00002710  mod #0x2710\n"
                                            "   2  0035   0   1 000003e8  jge #0x3e8 jt 3 jf 4\n"
                                            "   3  0005   0   0 00000004  ja 8\n"
                                            "   4  0020   0   0 fffff038  ld [ad+56]\n"
                                            "   5  0094   0   0 00000002  mod #0x2\n"
                                            "   6  0004   0   0 00000002  add #0x2\n"
                                            "   7  0016   0   0 00000000  ret a\n"
                                            "   8  0020   0   0 fffff038  ld [ad+56]\n"
                                            "   9  0094   0   0 00000002  mod #0x2\n"
                                            "  10  0016   0   0 00000000  ret a\n";
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 2);
        char buffer[1024], small[20];

        fixture_init(&f, FAMILY_V4, 2, 2);
        rule.steering = REUSE_STEERING_RANDOM;
        rule.to_bank = 1;
        rule.share_percent = 10;
        rule.live[1][0] = 3;
        fixture_compile(&f, &rule);
        assert_int_equal(reuse_program_print(&f.program, buffer, sizeof(buffer)), 11);
        assert_string_equal(buffer, expected);
        assert_int_equal(reuse_program_print(&f.program, small, sizeof(small)), 11);
        assert_int_equal(strlen(small), sizeof(small) - 1);
}

static void everything_that_is_emitted_can_be_printed(void **state) {
        _cleanup_(fixture_done) Fixture f = { .program.n = 0 };
        ReuseRule rule = reuse_rule_init(0, 3);
        static char buffer[65536];

        fixture_init(&f, FAMILY_DUAL, 2, 3);
        reuse_table_leave(&f.table, 0, 0);
        reuse_table_join(&f.table, 0, 0);
        rule.to_bank = 1;
        rule.share_by = REUSE_SHARE_BY_SOURCE;
        rule.share_percent = 50;
        rule.live[1][0] = 5;
        rule.door = (ReuseDoor){ true, 1, 1, 5, 6 };
        fixture_compile(&f, &rule);
        assert_int_equal(reuse_program_print(&f.program, buffer, sizeof(buffer)), f.program.n);
        assert_null(strchr(buffer, '?'));
        assert_non_null(strstr(buffer, "ldxb 4*([net+0]&0xf)"));
        assert_non_null(strstr(buffer, "ldh [x+net+0]"));
        assert_non_null(strstr(buffer, "st M[0]"));
        assert_non_null(strstr(buffer, "xor x"));
        assert_non_null(strstr(buffer, "jeq #0x7f530001"));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(all_go_to_the_live_slots_of_one_bank),
                UNIT_TEST(shares_are_kept_between_two_banks),
                UNIT_TEST(a_source_moves_at_most_once),
                UNIT_TEST(a_flow_stays_where_it_is),
                UNIT_TEST(a_share_does_not_decide_about_the_slot),
                UNIT_TEST(another_seed_spreads_otherwise),
                UNIT_TEST(a_cpu_has_its_slot),
                UNIT_TEST(the_door_of_v4_is_an_address),
                UNIT_TEST(the_door_of_v6_is_loopback_and_a_port),
                UNIT_TEST(the_door_is_on_the_loopback_interface_only),
                UNIT_TEST(a_door_beside_shares_leads_past_them),
                UNIT_TEST(a_door_to_a_bank_without_live_slots_leads_to_its_slot),
                UNIT_TEST(a_table_in_disorder_is_reached_exactly),
                UNIT_TEST(a_cpu_keeps_its_slot_in_disorder),
                UNIT_TEST(who_has_left_is_left_out),
                UNIT_TEST(five_hundred_and_twelve_slots_fit),
                UNIT_TEST(a_program_has_an_end),
                UNIT_TEST(a_program_is_printed_line_by_line),
                UNIT_TEST(everything_that_is_emitted_can_be_printed),
        };

        return UNIT_RUN(tests);
}
