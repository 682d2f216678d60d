#include "reuse/table.h"

#include <assert.h>

#include "base/fd.h"

void reuse_table_done(ReuseTable *t) {
        assert(t);

        while (t->n_joined > 0) {
                const ReuseJoined *last = t->joined + t->n_joined - 1;
                ReusePlace *place = &t->places[last->bank][last->slot];

                reuse_table_leave(t, last->bank, last->slot);
                place->fd = fd_close(place->fd);
        }

        for (unsigned bank = 0; bank < t->n_banks; bank++) {
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++)
                        (void) fd_close(t->places[bank][slot].fd);
                free(t->places[bank]);
        }

        free(t->joined);
        *t = (ReuseTable){ .n_banks = 0 };
}

/* Grows by doubling, from one: many groups have very few. */
static int make_room(void **array, unsigned n, size_t size) {
        void *larger;

        if ((n & (n - 1)) != 0) /* between two powers of two there is room */
                return 0;

        larger = realloc(*array, (n > 0 ? 2 * (size_t) n : 1) * size);
        if (!larger)
                return -ENOMEM;

        *array = larger;
        return 0;
}

int reuse_table_add(ReuseTable *t, unsigned bank, int fd) {
        void *places, *joined = t->joined;
        unsigned n;
        int r;

        assert(t);

        if (bank > t->n_banks || bank >= REUSE_BANKS_MAX)
                return -ERANGE;

        n = t->n_slots[bank];
        if (n >= REUSE_SLOTS_MAX)
                return -ERANGE;

        places = t->places[bank];
        r = make_room(&places, n, sizeof(ReusePlace));
        t->places[bank] = places;
        if (r < 0)
                return r;

        r = make_room(&joined, t->n_places, sizeof(ReuseJoined));
        t->joined = joined;
        if (r < 0) {
                if (n == 0) {
                        free(places);
                        t->places[bank] = NULL;
                }
                return r;
        }

        t->places[bank][n] = (ReusePlace){ .fd = fd, .index = -1 };
        t->n_slots[bank]++;
        t->n_places++;
        if (bank == t->n_banks)
                t->n_banks++;
        return 0;
}

void reuse_table_drop(ReuseTable *t, unsigned bank) {
        unsigned slot;

        assert(t && bank < t->n_banks && t->n_slots[bank] > 0);

        slot = t->n_slots[bank] - 1;
        if (t->places[bank][slot].index >= 0)
                reuse_table_leave(t, bank, slot);
        (void) fd_close(t->places[bank][slot].fd);

        t->n_slots[bank]--;
        t->n_places--;
        if (t->n_slots[bank] == 0) {
                assert(bank + 1 == t->n_banks); /* banks have no holes */
                free(t->places[bank]);
                t->places[bank] = NULL;
                t->n_banks--;
        }
}

ReusePlace *reuse_table_place(const ReuseTable *t, unsigned bank, unsigned slot) {
        if (bank >= t->n_banks || slot >= t->n_slots[bank])
                return NULL;

        return t->places[bank] + slot;
}

void reuse_table_join(ReuseTable *t, unsigned bank, unsigned slot) {
        ReusePlace *place = reuse_table_place(t, bank, slot);

        assert(place && place->index < 0);

        place->index = (int) t->n_joined;
        t->joined[t->n_joined++] = (ReuseJoined){ .bank = (uint8_t) bank, .slot = (uint16_t) slot };
}

void reuse_table_leave(ReuseTable *t, unsigned bank, unsigned slot) {
        ReusePlace *place = reuse_table_place(t, bank, slot);
        ReuseJoined last;

        assert(place && place->index >= 0);

        last = t->joined[--t->n_joined];
        t->joined[place->index] = last;
        t->places[last.bank][last.slot].index = place->index;
        place->index = -1; /* after the line above: the last may be the one that leaves */
}

void reuse_table_leave_all(ReuseTable *t) {
        while (t->n_joined > 0)
                reuse_table_leave(t, t->joined[t->n_joined - 1].bank,
                                  t->joined[t->n_joined - 1].slot);
}

int reuse_table_fd_at(const ReuseTable *t, unsigned index) {
        if (index >= t->n_joined)
                return -EBADF;

        return t->places[t->joined[index].bank][t->joined[index].slot].fd;
}

void reuse_table_reorder(ReuseTable *t, unsigned first, const ReuseJoined *order) {
        for (unsigned i = first; i < t->n_joined; i++) {
                t->joined[i] = order[i - first];
                t->places[t->joined[i].bank][t->joined[i].slot].index = (int) i;
        }
}
