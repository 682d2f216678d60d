/* A rule as a classic BPF program, which the kernel runs once for each SYN or datagram and whose value
 * is the index of the socket that gets it.
 *
 *      M[0] = hash of the flow         only if somebody below needs it
 *      door                            who comes from one of our own two addresses leaves here
 *      A = random, hash of source or flow, in hundredths of a percent; jge share → from
 *      to:    A = slot; skip the dead; ret A
 *      from:  the same
 *      door:  the same, if the door leads to a third bank
 *
 * What must be known of the machine (all seen on Linux 6.18, all without any error):
 *  - a load outside the packet ends the program with 0, which is index 0: so nothing is loaded that a
 *    TCP or UDP packet over IP may not have;
 *  - offset 0 is the payload; the headers are at SKF_NET_OFF;
 *  - an index beyond the group lets the kernel hash over all sockets of all banks; there is no "refuse";
 *  - a jump one too short is an answer like any other: the unit test runs every program.
 *
 * SKF_AD_RXHASH would be no hash of the flow: on loopback it is the sender's random number, and with a
 * network card the card's.  The two hashes here take a seed; share and slot use different parts of one
 * hash, so that a share does not decide about the slot.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "reuse/rule.h"

#define NET(offset) ((uint32_t) SKF_NET_OFF + (offset))
#define AD(what)    ((uint32_t) SKF_AD_OFF + (what))

#define LOOPBACK_INDEX 1U /* in each network namespace */

#define V4_SOURCE 12U
#define V6_SOURCE 8U
#define V6_PORT   40U /* of the source, behind a header without extensions */

/* Odd numbers with well spread bits, as hashes use them. */
#define MIX_A 0x9e3779b1U
#define MIX_B 0x85ebca6bU
#define MIX_C 0xc2b2ae35U

#define JUMPS_MAX 8U

/* Jumps that wait for their target. */
typedef struct Jumps {
        unsigned at[JUMPS_MAX];
        unsigned n;
} Jumps;

typedef struct Compiler {
        const ReuseRule *rule;
        const ReuseTable *table;
        bool may_be_v4, may_be_v6;
        struct sock_filter *code;
        unsigned n;
        bool is_full;
        Jumps to_from_bank, to_to_bank, to_door_bank;
} Compiler;

static void emit_jump(Compiler *c, unsigned code, uint32_t k, unsigned jt, unsigned jf) {
        if (c->n >= REUSE_PROGRAM_MAX) {
                c->is_full = true;
                return;
        }

        assert(jt <= UINT8_MAX && jf <= UINT8_MAX);
        c->code[c->n++] = (struct sock_filter){
                .code = (uint16_t) code, .jt = (uint8_t) jt, .jf = (uint8_t) jf, .k = k
        };
}

static void emit(Compiler *c, unsigned code, uint32_t k) {
        emit_jump(c, code, k, 0, 0);
}

static void emit_load(Compiler *c, uint32_t where) {
        emit(c, BPF_LD | BPF_W | BPF_ABS, where);
}

static void emit_alu(Compiler *c, unsigned op, uint32_t k) {
        emit(c, BPF_ALU | op | BPF_K, k);
}

static void emit_return(Compiler *c, uint32_t index) {
        emit(c, BPF_RET | BPF_K, index);
}

/* A jump of any length to a place that is not written yet. */
static void emit_far(Compiler *c, Jumps *jumps) {
        assert(jumps->n < JUMPS_MAX);
        jumps->at[jumps->n++] = c->n;
        emit(c, BPF_JMP | BPF_JA, 0);
}

/* Here is where they lead. */
static void land(Compiler *c, const Jumps *jumps) {
        for (unsigned i = 0; i < jumps->n; i++)
                if (jumps->at[i] < c->n)
                        c->code[jumps->at[i]].k = c->n - jumps->at[i] - 1;
}

/* if (A == value) goto far; */
static void emit_far_if_equal(Compiler *c, uint32_t value, Jumps *jumps) {
        emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
        emit_far(c, jumps);
}

/* Leaves the version of the packet's IP in A, then goes to @v6 if it is 6. */
static void emit_version(Compiler *c, Jumps *v6) {
        emit(c, BPF_LD | BPF_B | BPF_ABS, NET(0));
        emit_alu(c, BPF_RSH, 4);
        emit_far_if_equal(c, 6, v6);
}

/* The bits of A go everywhere in A. */
static void emit_finish_hash(Compiler *c) {
        emit(c, BPF_MISC | BPF_TAX, 0);
        emit_alu(c, BPF_RSH, 15);
        emit(c, BPF_ALU | BPF_XOR | BPF_X, 0);
        emit_alu(c, BPF_MUL, MIX_C);
        emit(c, BPF_MISC | BPF_TAX, 0);
        emit_alu(c, BPF_RSH, 16);
        emit(c, BPF_ALU | BPF_XOR | BPF_X, 0);
}

/* A = (A * multiplier) ^ the next word of the packet. */
static void emit_mix_word(Compiler *c, uint32_t multiplier, uint32_t where) {
        emit_alu(c, BPF_MUL, multiplier);
        emit(c, BPF_MISC | BPF_TAX, 0);
        emit_load(c, where);
        emit(c, BPF_ALU | BPF_XOR | BPF_X, 0);
}

static void emit_source_v4(Compiler *c) {
        emit_load(c, NET(V4_SOURCE));
}

/* Only the /64: the rest is what a host changes by itself. */
static void emit_source_v6(Compiler *c) {
        emit_load(c, NET(V6_SOURCE));
        emit_mix_word(c, MIX_A, NET(V6_SOURCE + 4));
        emit_alu(c, BPF_MUL, MIX_B);
}

static void emit_flow_v4(Compiler *c) {
        emit(c, BPF_LDX | BPF_B | BPF_MSH, NET(0)); /* options make the header longer */
        emit(c, BPF_LD | BPF_H | BPF_IND, NET(0));
        emit_mix_word(c, MIX_A, NET(V4_SOURCE));
}

static void emit_flow_v6(Compiler *c) {
        emit_load(c, NET(V6_SOURCE));
        for (unsigned i = 1; i < 4; i++)
                emit_mix_word(c, i % 2 ? MIX_A : MIX_B, NET(V6_SOURCE + 4 * i));
        emit_alu(c, BPF_MUL, MIX_B);
        emit(c, BPF_MISC | BPF_TAX, 0);
        emit(c, BPF_LD | BPF_H | BPF_ABS, NET(V6_PORT));
        emit_alu(c, BPF_MUL, MIX_A);
        emit(c, BPF_ALU | BPF_XOR | BPF_X, 0);
}

/* A = a hash, by the way of the packet's family. */
static void emit_hash(Compiler *c, void (*v4)(Compiler *), void (*v6)(Compiler *),
                      uint32_t multiplier) {
        Jumps to_v6 = { .n = 0 }, to_end = { .n = 0 };

        if (c->may_be_v4 && c->may_be_v6)
                emit_version(c, &to_v6);
        if (c->may_be_v4)
                v4(c);
        if (c->may_be_v4 && c->may_be_v6)
                emit_far(c, &to_end);
        land(c, &to_v6);
        if (c->may_be_v6)
                v6(c);
        land(c, &to_end);

        emit_alu(c, BPF_XOR, c->rule->seed);
        emit_alu(c, BPF_MUL, multiplier);
        emit_finish_hash(c);
}

/* Where the first door leads: to the live slots of its bank; while it has none, to the slot. */
static bool door_has_bank(const Compiler *c) {
        for (unsigned slot = 0; slot < c->table->n_slots[c->rule->door.bank]; slot++)
                if (reuse_rule_is_live(c->rule, c->rule->door.bank, slot) &&
                    c->table->places[c->rule->door.bank][slot].index >= 0)
                        return true;

        return false;
}

/* A holds what the door looks at: an address, or a port.  Goes through it or falls behind it. */
static void emit_door_leaves(Compiler *c, uint32_t bank_key, uint32_t slot_key) {
        const ReuseDoor *door = &c->rule->door;
        const ReusePlace *place = reuse_table_place(c->table, door->bank, door->slot);

        assert(place && place->index >= 0);

        if (door_has_bank(c))
                emit_far_if_equal(c, bank_key, &c->to_door_bank);
        else
                emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, bank_key, 1, 0);
        emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, slot_key, 0, 1);
        emit_return(c, (uint32_t) place->index);
}

/* ::1 and the port. */
static void emit_door_v6(Compiler *c) {
        static const uint32_t loopback[] = { 0, 0, 0, 1 };
        const ReuseDoor *door = &c->rule->door;
        Jumps to_end = { .n = 0 };

        for (unsigned i = 0; i < ELEMENTS_OF(loopback); i++) {
                emit_load(c, NET(V6_SOURCE + 4 * i));
                emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, loopback[i], 1, 0);
                emit_far(c, &to_end);
        }

        emit(c, BPF_LD | BPF_H | BPF_ABS, NET(V6_PORT));
        /* a port that is not set is 0, and no packet comes from port 0 that connect() made */
        emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
        emit_far(c, &to_end);
        emit_door_leaves(c, door->bank_port_v6, door->slot_port_v6);
        land(c, &to_end);
}

/* Only over loopback: where net.ipv4.conf.*.route_localnet is 1, as some container networks have it, a
 * packet from outside may have any source in 127/8. */
static void emit_door(Compiler *c) {
        const ReuseDoor *door = &c->rule->door;
        bool has_v6 = c->may_be_v6 && (door->bank_port_v6 > 0 || door->slot_port_v6 > 0);
        Jumps to_v6 = { .n = 0 }, to_end = { .n = 0 };

        emit_load(c, AD(SKF_AD_IFINDEX));
        emit_jump(c, BPF_JMP | BPF_JEQ | BPF_K, LOOPBACK_INDEX, 1, 0);
        emit_far(c, &to_end);

        if (c->may_be_v4 && c->may_be_v6)
                emit_version(c, has_v6 ? &to_v6 : &to_end);
        if (c->may_be_v4) {
                emit_load(c, NET(V4_SOURCE));
                emit_door_leaves(c, REUSE_DOOR_BANK_V4, REUSE_DOOR_SLOT_V4);
        }
        if (c->may_be_v4 && has_v6)
                emit_far(c, &to_end);
        land(c, &to_v6);
        if (has_v6)
                emit_door_v6(c);
        land(c, &to_end);
}

/* The indices of a bank's live slots, in the order of the slots. */
static unsigned live_indices(const Compiler *c, unsigned bank, uint32_t *ret) {
        unsigned n = 0;

        for (unsigned slot = 0; slot < c->table->n_slots[bank]; slot++) {
                int index = c->table->places[bank][slot].index;

                if (index >= 0 && reuse_rule_is_live(c->rule, bank, slot))
                        ret[n++] = (uint32_t) index;
        }

        return n;
}

/* A = 0…n-1, the how-manieth live slot. */
static void emit_choose(Compiler *c, unsigned n) {
        switch (c->rule->steering) {
        case REUSE_STEERING_HASH:
                emit(c, BPF_LD | BPF_MEM, 0);
                emit_alu(c, BPF_DIV, REUSE_SHARE_PARTS); /* the rest decides about the share */
                break;
        case REUSE_STEERING_RANDOM:
                emit_load(c, AD(SKF_AD_RANDOM));
                break;
        case REUSE_STEERING_CPU:
                emit_load(c, AD(SKF_AD_CPU));
                break;
        case REUSE_STEERING_MAX:
        case REUSE_STEERING_INVALID:
                assert(false);
        }

        emit_alu(c, BPF_MOD, n);
}

/* Ascending, as it is unless somebody shut a socket: skip what is between, two instructions a gap.
 * A climbs as it goes, so that each comparison is with what it has become. */
static void emit_skip_list(Compiler *c, const uint32_t *indices, unsigned n) {
        for (unsigned i = 1; i < n; i++) {
                uint32_t expected = indices[i - 1] + 1;

                if (indices[i] == expected)
                        continue;

                emit_jump(c, BPF_JMP | BPF_JGE | BPF_K, expected - indices[0], 0, 1);
                emit_alu(c, BPF_ADD, indices[i] - expected);
        }

        if (indices[0] > 0)
                emit_alu(c, BPF_ADD, indices[0]);
        emit(c, BPF_RET | BPF_A, 0);
}

/* Any order: runs of indices, from the last; three instructions a run. */
static void emit_runs(Compiler *c, const uint32_t *indices, unsigned n) {
        for (unsigned i = n; i-- > 0;) {
                if (i > 0 && indices[i] == indices[i - 1] + 1)
                        continue;

                if (i > 0)
                        emit_jump(c, BPF_JMP | BPF_JGE | BPF_K, i, 0, 2);
                emit_alu(c, BPF_ADD, indices[i] - i); /* may wrap, to the same end */
                emit(c, BPF_RET | BPF_A, 0);
        }
}

static void emit_bank(Compiler *c, unsigned bank) {
        uint32_t indices[REUSE_SLOTS_MAX];
        unsigned n = live_indices(c, bank, indices);
        bool is_ascending = true;

        assert(n > 0);

        if (n == 1) {
                emit_return(c, indices[0]);
                return;
        }

        for (unsigned i = 1; i < n; i++)
                is_ascending = is_ascending && indices[i] > indices[i - 1];

        emit_choose(c, n);
        if (is_ascending)
                emit_skip_list(c, indices, n);
        else
                emit_runs(c, indices, n);
}

/* Goes to the from-bank for what is not the share, or falls through. */
static void emit_share(Compiler *c) {
        switch (c->rule->share_by) {
        case REUSE_SHARE_BY_CONNECTION:
                emit_load(c, AD(SKF_AD_RANDOM));
                break;
        case REUSE_SHARE_BY_SOURCE:
                emit_hash(c, emit_source_v4, emit_source_v6, MIX_A);
                break;
        case REUSE_SHARE_BY_FLOW:
                emit(c, BPF_LD | BPF_MEM, 0);
                break;
        case REUSE_SHARE_BY_MAX:
        case REUSE_SHARE_BY_INVALID:
                assert(false);
        }

        emit_alu(c, BPF_MOD, REUSE_SHARE_PARTS);
        emit_jump(c, BPF_JMP | BPF_JGE | BPF_K, c->rule->share_percent * (REUSE_SHARE_PARTS / 100),
                  0, 1);
        emit_far(c, &c->to_from_bank);
}

static void compile(Compiler *c) {
        const ReuseRule *rule = c->rule;
        bool uses_from = reuse_rule_uses_from(rule), uses_to = reuse_rule_uses_to(rule);
        bool is_shared = uses_from && uses_to;

        if (rule->steering == REUSE_STEERING_HASH ||
            (is_shared && rule->share_by == REUSE_SHARE_BY_FLOW)) {
                emit_hash(c, emit_flow_v4, emit_flow_v6, MIX_B);
                emit(c, BPF_ST, 0);
        }

        if (rule->door.is_open)
                emit_door(c);
        if (is_shared)
                emit_share(c);

        if (uses_to) {
                if (rule->door.bank == rule->to_bank) {
                        land(c, &c->to_door_bank);
                        c->to_door_bank.n = 0;
                }
                emit_bank(c, rule->to_bank);
        }
        if (uses_from) {
                if (rule->door.bank == rule->from_bank) {
                        land(c, &c->to_door_bank);
                        c->to_door_bank.n = 0;
                }
                land(c, &c->to_from_bank);
                emit_bank(c, rule->from_bank);
        }
        if (c->to_door_bank.n > 0) {
                land(c, &c->to_door_bank);
                emit_bank(c, rule->door.bank);
        }
}

int reuse_rule_compile(const ReuseRule *rule, const ReuseAddress *address, const ReuseTable *t,
                       ReuseProgram *ret) {
        bool is_v6 = address->sa.sa_family == AF_INET6;
        struct sock_filter code[REUSE_PROGRAM_MAX];
        uint32_t unused[REUSE_SLOTS_MAX];
        Compiler c = { .rule = rule,
                       .table = t,
                       .may_be_v4 = !is_v6 || address->is_dual_stack,
                       .may_be_v6 = is_v6,
                       .code = code };
        struct sock_filter *copy;

        if ((reuse_rule_uses_from(rule) && live_indices(&c, rule->from_bank, unused) == 0) ||
            (reuse_rule_uses_to(rule) && live_indices(&c, rule->to_bank, unused) == 0))
                return -EINVAL;

        compile(&c);
        if (c.is_full)
                return -ENOMEM;

        copy = malloc(c.n * sizeof(*copy));
        if (!copy)
                return -ENOMEM;

        memcpy(copy, code, c.n * sizeof(*copy));
        *ret = (ReuseProgram){ .instructions = copy, .n = c.n };
        return 0;
}
