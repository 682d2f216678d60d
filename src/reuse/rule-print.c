/* A program for people, in the words of bpf_asm: "  3  0035   0   1 00000001  jge #0x1 jt 4 jf 5". */

#include <assert.h>
#include <stdio.h>

#include "reuse/rule.h"

/* "net+12", "ad+56" or a plain offset. */
static const char *where(uint32_t k, char *buffer, size_t size_bytes) {
        if (k >= (uint32_t) SKF_AD_OFF)
                (void) snprintf(buffer, size_bytes, "ad+%u", k - (uint32_t) SKF_AD_OFF);
        else if (k >= (uint32_t) SKF_NET_OFF)
                (void) snprintf(buffer, size_bytes, "net+%u", k - (uint32_t) SKF_NET_OFF);
        else
                (void) snprintf(buffer, size_bytes, "%u", k);

        return buffer;
}

static const char *name_of_alu(unsigned code) {
        static const char *const names[] = { "add", "sub", "mul", "div", "or", "and",
                                             "lsh", "rsh", "neg", "mod", "xor" };
        unsigned op = BPF_OP(code) >> 4;

        return op < ELEMENTS_OF(names) ? names[op] : "?";
}

static const char *name_of_jump(unsigned code) {
        static const char *const names[] = { "ja", "jeq", "jgt", "jge", "jset" };
        unsigned op = BPF_OP(code) >> 4;

        return op < ELEMENTS_OF(names) ? names[op] : "?";
}

static void print_load(const struct sock_filter *i, char *text, size_t size) {
        const char *x = BPF_CLASS(i->code) == BPF_LDX ? "x" : "";
        const char *width = BPF_SIZE(i->code) == BPF_B   ? "b"
                            : BPF_SIZE(i->code) == BPF_H ? "h"
                                                         : "";
        char place[24];

        (void) where(i->k, place, sizeof(place));

        switch (BPF_MODE(i->code)) {
        case BPF_IMM:
                (void) snprintf(text, size, "ld%s #%#x", x, i->k);
                break;
        case BPF_MEM:
                (void) snprintf(text, size, "ld%s M[%u]", x, i->k);
                break;
        case BPF_ABS:
                (void) snprintf(text, size, "ld%s%s [%s]", x, width, place);
                break;
        case BPF_IND:
                (void) snprintf(text, size, "ld%s%s [x+%s]", x, width, place);
                break;
        case BPF_MSH:
                (void) snprintf(text, size, "ld%s%s 4*([%s]&0xf)", x, width, place);
                break;
        default:
                (void) snprintf(text, size, "ld%s ?", x);
        }
}

static void print_one(const struct sock_filter *i, unsigned pc, char *text, size_t size) {
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
        case BPF_LDX:
                print_load(i, text, size);
                break;
        case BPF_ST:
        case BPF_STX:
                (void) snprintf(text, size, "st%s M[%u]", BPF_CLASS(i->code) == BPF_STX ? "x" : "",
                                i->k);
                break;
        case BPF_ALU:
                if (BPF_SRC(i->code) == BPF_X)
                        (void) snprintf(text, size, "%s x", name_of_alu(i->code));
                else
                        (void) snprintf(text, size, "%s #%#x", name_of_alu(i->code), i->k);
                break;
        case BPF_JMP:
                if (BPF_OP(i->code) == BPF_JA)
                        (void) snprintf(text, size, "ja %u", pc + 1 + i->k);
                else
                        (void) snprintf(text, size, "%s #%#x jt %u jf %u", name_of_jump(i->code),
                                        i->k, pc + 1 + i->jt, pc + 1 + i->jf);
                break;
        case BPF_RET:
                if (BPF_RVAL(i->code) == BPF_A)
                        (void) snprintf(text, size, "ret a");
                else
                        (void) snprintf(text, size, "ret #%u", i->k);
                break;
        default: /* BPF_MISC */
                (void) snprintf(text, size, BPF_MISCOP(i->code) == BPF_TAX ? "tax" : "txa");
        }
}

size_t reuse_program_print(const ReuseProgram *p, char *buffer, size_t size_bytes) {
        size_t used = 0;

        assert(p && buffer && size_bytes > 0);

        *buffer = '\0';
        for (unsigned pc = 0; pc < p->n && used < size_bytes; pc++) {
                const struct sock_filter *i = p->instructions + pc;
                char text[64];
                int n;

                print_one(i, pc, text, sizeof(text));
                n = snprintf(buffer + used, size_bytes - used, "%4u  %04x %3u %3u %08x  %s\n", pc,
                             i->code, i->jt, i->jf, i->k, text);
                used += (size_t) n;
        }

        return p->n;
}
