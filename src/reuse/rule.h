#pragma once

/* A rule against the table it will act on, and as a program. */

#include <linux/filter.h>

#include "reuse/table.h"

#define REUSE_PROGRAM_MAX  4096U       /* the kernel's own limit for classic BPF */
#define REUSE_SHARE_PARTS  10000U      /* a share is told in hundredths of a percent */
#define REUSE_DOOR_BANK_V4 0x7f530001U /* 127.83.0.1 */
#define REUSE_DOOR_SLOT_V4 0x7f530002U

typedef struct ReuseProgram {
        struct sock_filter *instructions;
        unsigned n;
} ReuseProgram;

static inline void reuse_program_done(ReuseProgram *p) {
        free(p->instructions);
        *p = (ReuseProgram){ .n = 0 };
}

/* Which of the rule's banks get somebody; the door is not counted. */
static inline bool reuse_rule_uses_from(const ReuseRule *rule) {
        return rule->share_percent < 100 || rule->from_bank == rule->to_bank;
}

static inline bool reuse_rule_uses_to(const ReuseRule *rule) {
        return rule->share_percent > 0 && rule->from_bank != rule->to_bank;
}

/* Whether a place may be met by a visitor. */
bool reuse_rule_names(const ReuseRule *rule, unsigned bank, unsigned slot);

/* Whether @rule makes sense for sockets of @type laid out like @t.
 *
 * @must_have_joined  false: it is enough that its places exist
 *
 * Returns 0, -EINVAL or -ERANGE as reuse_group_set_rule() says. */
int reuse_rule_check(const ReuseRule *rule, int type, const ReuseTable *t, bool must_have_joined);

/* Writes the program of a rule that is right, over the places that have joined.
 *
 * Returns 0 and a program that reaches exactly the indices it should; -EINVAL: a bank with a share
 * has no live slot that has joined; -ENOMEM: it would be longer than REUSE_PROGRAM_MAX. */
int reuse_rule_compile(const ReuseRule *rule, const ReuseAddress *address, const ReuseTable *t,
                       ReuseProgram *ret);

/* One instruction per line.  Returns how many instructions there are. */
size_t reuse_program_print(const ReuseProgram *p, char *buffer, size_t size_bytes);
