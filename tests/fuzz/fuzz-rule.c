/* Rules and tables from bytes: what reuse_rule_check() takes compiles, the kernel's checker takes it, and
 * no packet gets an index that the rule does not name. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"
#include "reuse/group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes, then zeros. */
typedef struct Input {
        const uint8_t *data;
        size_t size;
} Input;

static uint8_t next(Input *in) {
        if (in->size == 0)
                return 0;

        in->size--;
        return *in->data++;
}

static void make_table(Input *in, ReuseTable *t) {
        unsigned n_banks = 1 + next(in) % REUSE_BANKS_MAX;
        unsigned n_steps;

        for (unsigned bank = 0; bank < n_banks; bank++)
                for (unsigned n = 1 + next(in) * 2U; n > 0; n--) {
                        if (reuse_table_add(t, bank, -EBADF) < 0)
                                abort();
                        reuse_table_join(t, bank, t->n_slots[bank] - 1);
                }

        for (n_steps = next(in); n_steps > 0; n_steps--) {
                unsigned bank = next(in) % t->n_banks, slot = next(in) % t->n_slots[bank];

                if (t->places[bank][slot].index >= 0)
                        reuse_table_leave(t, bank, slot);
                else
                        reuse_table_join(t, bank, slot);
        }
}

static ReuseRule make_rule(Input *in) {
        ReuseRule rule = { .steering = (ReuseSteering) (next(in) % 4),
                           .share_by = (ReuseShareBy) (next(in) % 4),
                           .seed = next(in) * 0x01010101U,
                           .from_bank = next(in) % 5,
                           .to_bank = next(in) % 5,
                           .share_percent = next(in) % 103,
                           .door = { .is_open = next(in) & 1,
                                     .bank = next(in) % 5,
                                     .slot = (uint16_t) (next(in) * 2),
                                     .bank_port_v6 = next(in),
                                     .slot_port_v6 = next(in) } };
        uint8_t density = next(in);

        /* a pattern for all; random bytes in each word would be refused nearly always */
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                for (unsigned slot = 0; slot < REUSE_SLOTS_MAX; slot++)
                        if ((slot * 37 + bank * 11) % 256 <= density)
                                reuse_rule_set_live(&rule, bank, slot, true);

        return rule;
}

/* Only what exists: or no rule would pass the check. */
static void cut_to_table(ReuseRule *rule, const ReuseTable *t) {
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                for (unsigned slot = 0; slot < REUSE_SLOTS_MAX; slot++) {
                        const ReusePlace *place = reuse_table_place(t, bank, slot);

                        if (!place || place->index < 0)
                                reuse_rule_set_live(rule, bank, slot, false);
                }
}

static void check_packets(Input *in, const ReuseRule *rule, const ReuseTable *t,
                          const ReuseProgram *p, bool may_be_v4, bool may_be_v6) {
        for (unsigned i = 0; i < 16; i++) {
                uint32_t source = i % 4 == 0 ? REUSE_DOOR_BANK_V4 + i % 3
                                             : next(in) * 0x9e3779b1U + i;
                struct in6_addr ip = { .s6_addr = { 0x20, next(in), [15] = next(in) } };
                uint16_t port = (uint16_t) (next(in) | (i << 12));
                bool by_v6 = may_be_v6 && (!may_be_v4 || i & 1);
                Packet packet = by_v6 ? packet_make_v6(i % 8 == 1 ? &in6addr_loopback : &ip, port,
                                                       IPPROTO_TCP)
                                      : packet_make_v4(source, port, IPPROTO_UDP, i % 11 * 4);
                uint32_t index;

                packet.random = source;
                packet.cpu = i;
                packet.interface = 1 + i % 2;
                index = program_run(p, &packet);
                if (index >= t->n_joined)
                        abort();

                if (!reuse_rule_names(rule, t->joined[index].bank, t->joined[index].slot) &&
                    !(rule->door.is_open && t->joined[index].bank == rule->door.bank))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int kernel = -1;
        __attribute__((__cleanup__(reuse_table_done))) ReuseTable t = { .n_banks = 0 };
        __attribute__((__cleanup__(reuse_program_done))) ReuseProgram p = { .n = 0 };
        Input in = { data, size };
        uint8_t kind = next(&in);
        ReuseAddress address;
        ReuseRule rule;
        int r;

        if (kernel < 0) {
                static const int on = 1;

                kernel = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (kernel < 0 || setsockopt(kernel, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
                        abort();
        }

        make_table(&in, &t);
        rule = make_rule(&in);
        cut_to_table(&rule, &t);
        if (t.n_joined == 0 ||
            reuse_rule_check(&rule, kind & 1 ? SOCK_STREAM : SOCK_DGRAM, &t, true) < 0)
                return 0;

        r = reuse_address_parse(kind & 2 ? "tcp4" : "tcp6", kind & 2 ? "0.0.0.0:1" : "[::]:1", true,
                                &address);
        if (r < 0)
                abort();
        address.is_dual_stack = !(kind & 2) && (kind & 4);

        r = reuse_rule_compile(&rule, &address, &t, &p);
        if (r == -ENOMEM) /* a table that hard to tell is the only reason not to */
                return 0;
        if (r < 0 || p.n == 0 || p.n > REUSE_PROGRAM_MAX)
                abort();

        r = reuse_program_attach(&p, kernel);
        if (r < 0 && r != -ENOMEM) /* net.core.optmem_max */
                abort();

        check_packets(&in, &rule, &t, &p, kind & 2 || address.is_dual_stack, !(kind & 2));
        return 0;
}
