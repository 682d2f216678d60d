#include <arpa/inet.h>
#include <string.h>

#include "packet.h"
#include "reuse/address.h"
#include "unit.h"

static size_t put_transport(Packet *p, size_t at, uint16_t port, int protocol) {
        uint16_t ports[2] = { htons(port), htons(443) };

        memcpy(p->data + at, ports, sizeof(ports));
        return at + (protocol == IPPROTO_TCP ? 20 : 8);
}

Packet packet_make_v4(uint32_t source, uint16_t port, int protocol, size_t options_bytes) {
        Packet p = { .interface = 1 };
        uint32_t address = htonl(source);

        p.data[0] = (uint8_t) (0x40 | ((20 + options_bytes) / 4));
        p.data[9] = (uint8_t) protocol;
        memcpy(p.data + 12, &address, sizeof(address));
        memset(p.data + 20, 1 /* no operation */, options_bytes);
        p.size = put_transport(&p, 20 + options_bytes, port, protocol);
        return p;
}

Packet packet_make_v6(const struct in6_addr *source, uint16_t port, int protocol) {
        Packet p = { .data = { 0x60 }, .interface = 1 };

        p.data[6] = (uint8_t) protocol;
        memcpy(p.data + 8, source, sizeof(*source));
        p.size = put_transport(&p, 40, port, protocol);
        return p;
}

Packet packet_make(const char *source, int protocol, size_t options_bytes) {
        ReuseAddress a;

        assert_ok(reuse_address_parse("tcp", source, true, &a));
        if (a.sa.sa_family == AF_INET6)
                return packet_make_v6(&a.in6.sin6_addr, reuse_address_port(&a), protocol);

        return packet_make_v4(ntohl(a.in.sin_addr.s_addr), reuse_address_port(&a), protocol,
                              options_bytes);
}

/* What a program computes with. */
typedef struct Machine {
        uint32_t a, x, memory[BPF_MEMWORDS];
        bool is_over; /* a load failed: the answer is 0 */
} Machine;

static uint32_t load(Machine *m, Packet *p, uint32_t where, unsigned size) {
        size_t at = where - (uint32_t) SKF_NET_OFF;
        uint32_t value = 0;

        if (where == (uint32_t) SKF_AD_OFF + SKF_AD_RANDOM && size == 4) {
                value = p->random;
                p->random = p->random * 1664525U + 1013904223U;
                return value;
        }
        if (where == (uint32_t) SKF_AD_OFF + SKF_AD_CPU && size == 4)
                return p->cpu;
        if (where == (uint32_t) SKF_AD_OFF + SKF_AD_IFINDEX && size == 4)
                return p->interface;

        if (where < (uint32_t) SKF_NET_OFF || where >= (uint32_t) SKF_AD_OFF ||
            at + size > p->size) {
                m->is_over = true; /* the payload, which no SYN has, or beyond the end */
                return 0;
        }

        for (unsigned i = 0; i < size; i++)
                value = value << 8 | p->data[at + i];
        return value;
}

static unsigned size_of(uint16_t code) {
        return BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
}

static uint32_t compute(Machine *m, const struct sock_filter *i) {
        uint32_t k = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

        switch (BPF_OP(i->code)) {
        case BPF_ADD:
                return m->a + k;
        case BPF_MUL:
                return m->a * k;
        case BPF_XOR:
                return m->a ^ k;
        case BPF_RSH:
                assert_true(k < 32);
                return m->a >> k;
        case BPF_DIV:
        case BPF_MOD:
                if (k == 0)
                        fail_msg("division by zero");
                return BPF_OP(i->code) == BPF_DIV ? m->a / k : m->a % k;
        default:
                fail_msg("no rule computes with %#x", i->code);
        }
        return 0;
}

static bool jumps(const Machine *m, const struct sock_filter *i) {
        switch (BPF_OP(i->code)) {
        case BPF_JEQ:
                return m->a == i->k;
        case BPF_JGE:
                return m->a >= i->k;
        default:
                fail_msg("no rule jumps by %#x", i->code);
        }
        return false;
}

static void load_into(Machine *m, Packet *p, const struct sock_filter *i) {
        switch (BPF_MODE(i->code)) {
        case BPF_ABS:
                m->a = load(m, p, i->k, size_of(i->code));
                break;
        case BPF_IND:
                m->a = load(m, p, i->k + m->x, size_of(i->code));
                break;
        case BPF_MEM:
                assert_true(i->k < BPF_MEMWORDS);
                m->a = m->memory[i->k];
                break;
        default:
                fail_msg("no rule loads by %#x", i->code);
        }
}

uint32_t program_run(const ReuseProgram *program, Packet *p) {
        Machine m = { .a = 0 };

        for (unsigned pc = 0; pc < program->n; pc++) {
                const struct sock_filter *i = program->instructions + pc;

                switch (BPF_CLASS(i->code)) {
                case BPF_LD:
                        load_into(&m, p, i);
                        break;
                case BPF_LDX:
                        assert_int_equal(i->code, BPF_LDX | BPF_B | BPF_MSH);
                        m.x = 4 * (load(&m, p, i->k, 1) & 15);
                        break;
                case BPF_ST:
                        assert_true(i->k < BPF_MEMWORDS);
                        m.memory[i->k] = m.a;
                        break;
                case BPF_ALU:
                        m.a = compute(&m, i);
                        break;
                case BPF_JMP:
                        pc += BPF_OP(i->code) == BPF_JA ? i->k : jumps(&m, i) ? i->jt : i->jf;
                        break;
                case BPF_RET:
                        return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
                case BPF_MISC:
                        assert_int_equal(BPF_MISCOP(i->code), BPF_TAX);
                        m.x = m.a;
                        break;
                default:
                        fail_msg("no rule has %#x", i->code);
                }

                if (m.is_over)
                        return 0;
        }

        fail_msg("the program has no end");
        return 0;
}
