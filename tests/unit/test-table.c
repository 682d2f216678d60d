#include <fcntl.h>
#include <stdlib.h>

#include "reuse/table.h"
#include "unit.h"

static int new_fd(void) {
        return assert_ok(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* The table holds together: both directions say the same. */
static void check(const ReuseTable *t) {
        unsigned n_joined = 0;

        for (unsigned bank = 0; bank < t->n_banks; bank++)
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++) {
                        int index = t->places[bank][slot].index;

                        if (index < 0)
                                continue;
                        n_joined++;
                        assert_true((unsigned) index < t->n_joined);
                        assert_int_equal(t->joined[index].bank, bank);
                        assert_int_equal(t->joined[index].slot, slot);
                        assert_int_equal(reuse_table_fd_at(t, (unsigned) index),
                                         t->places[bank][slot].fd);
                }

        assert_int_equal(n_joined, t->n_joined);
}

static void fill(ReuseTable *t, unsigned n_banks, unsigned n_slots) {
        for (unsigned bank = 0; bank < n_banks; bank++)
                for (unsigned slot = 0; slot < n_slots; slot++) {
                        assert_ok(reuse_table_add(t, bank, new_fd()));
                        reuse_table_join(t, bank, slot);
                }
        check(t);
}

/* fact k8, as arithmetic */
static void the_last_moves_into_the_hole(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };

        fill(&t, 2, 2);
        reuse_table_leave(&t, 0, 1);
        check(&t);
        assert_int_equal(t.places[1][1].index, 1);
        assert_int_equal(t.places[0][1].index, -1);

        reuse_table_join(&t, 0, 1);
        check(&t);
        assert_int_equal(t.places[0][1].index, 3);

        reuse_table_leave(&t, 0, 1); /* the last itself */
        check(&t);
        assert_int_equal(t.n_joined, 3);

        reuse_table_leave_all(&t);
        check(&t);
        assert_int_equal(reuse_table_fd_at(&t, 0), -EBADF);
}

static void a_thousand_random_steps_keep_it_whole(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };

        srandom(1);
        fill(&t, 3, 5);
        for (unsigned i = 0; i < 1000; i++) {
                unsigned bank = (unsigned) random() % 3, slot = (unsigned) random() % 5;

                if (t.places[bank][slot].index >= 0)
                        reuse_table_leave(&t, bank, slot);
                else
                        reuse_table_join(&t, bank, slot);
                check(&t);
        }
}

static void it_has_limits(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };

        assert_int_equal(reuse_table_add(&t, 1, -EBADF), -ERANGE); /* a bank too far */
        for (unsigned i = 0; i < REUSE_SLOTS_MAX; i++)
                assert_ok(reuse_table_add(&t, 0, -EBADF));
        assert_int_equal(reuse_table_add(&t, 0, -EBADF), -ERANGE);

        for (unsigned bank = 1; bank < REUSE_BANKS_MAX; bank++)
                assert_ok(reuse_table_add(&t, bank, -EBADF));
        assert_int_equal(reuse_table_add(&t, REUSE_BANKS_MAX, -EBADF), -ERANGE);
        assert_null(reuse_table_place(&t, 1, 1));
        assert_null(reuse_table_place(&t, 4, 0));
}

static void what_is_dropped_is_gone(void **state) {
        _cleanup_(reuse_table_done) ReuseTable t = { .n_banks = 0 };

        fill(&t, 2, 1);
        assert_ok(reuse_table_add(&t, 1, new_fd())); /* has not joined */
        reuse_table_drop(&t, 1);
        reuse_table_drop(&t, 1);
        check(&t);
        assert_int_equal(t.n_banks, 1);
        assert_int_equal(t.n_places, 1);
        assert_ok(reuse_table_add(&t, 1, -EBADF));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(the_last_moves_into_the_hole),
                UNIT_TEST(a_thousand_random_steps_keep_it_whole),
                UNIT_TEST(it_has_limits),
                UNIT_TEST(what_is_dropped_is_gone),
        };

        return UNIT_RUN(tests);
}
