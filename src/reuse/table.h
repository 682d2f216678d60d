#pragma once

/* Which socket is where: (bank, slot) → descriptor and index.
 *
 * The kernel keeps the sockets of a group in an array; a rule returns an index into it.  Who joins is
 * appended; when somebody leaves, the last moves into the hole.  This table does the same, so that it
 * always says what the kernel has.  It makes no system call but close().
 */

#include "base/cleanup.h"
#include "reuse/reuseport.h"

typedef struct ReusePlace {
        int fd;
        int index; /* in the kernel's group; negative: not in it */
} ReusePlace;

typedef struct ReuseJoined {
        uint8_t bank;
        uint16_t slot;
} ReuseJoined;

typedef struct ReuseTable {
        ReusePlace *places[REUSE_BANKS_MAX];
        unsigned n_slots[REUSE_BANKS_MAX];
        unsigned n_banks;
        ReuseJoined *joined; /* by index */
        unsigned n_joined;
        unsigned n_places; /* of all banks; @joined has room for them */
} ReuseTable;

/* Closes all descriptors, the last index first, so that those before it do not move. */
void reuse_table_done(ReuseTable *t);

/* Adds a place behind the last of @bank, which is an existing one or the next; it has not joined.
 *
 * @fd  taken on success
 *
 * Returns 0, -ERANGE or -ENOMEM. */
int reuse_table_add(ReuseTable *t, unsigned bank, int fd);

/* Takes the last place of @bank away again and closes it; it is the last that joined, or has not. */
void reuse_table_drop(ReuseTable *t, unsigned bank);

/* NULL if there is no such place. */
ReusePlace *reuse_table_place(const ReuseTable *t, unsigned bank, unsigned slot);

void reuse_table_join(ReuseTable *t, unsigned bank, unsigned slot);
void reuse_table_leave(ReuseTable *t, unsigned bank, unsigned slot);
void reuse_table_leave_all(ReuseTable *t);

/* -EBADF if the group is empty. */
int reuse_table_fd_at(const ReuseTable *t, unsigned index);

/* Says what really is where from index @first on, in the order of indices.
 *
 * @order  n_joined - first places, a permutation of those that are there now */
void reuse_table_reorder(ReuseTable *t, unsigned first, const ReuseJoined *order);
