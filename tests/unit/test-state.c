/* Names of descriptors in the store above us: short, ours, and read back as they were written. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/state/state.h"
#include "unit.h"

/* As state.c packs it. */
static uint64_t pack(char kind, uint64_t number) {
        return number << 8 | (uint8_t) kind;
}

static void a_name_is_short_and_comes_back(void **state) {
        static const uint64_t numbers[] = { 0, 1, 35, 36, 1295, 1296, 78364164095 };
        static const char *const texts[] = { "w0", "w1", "wz", "w10", "wzz", "w100", "wzzzzzzz" };
        char name[STATE_NAME_SIZE];

        for (size_t i = 0; i < ELEMENTS_OF(numbers); i++) {
                state_unpack_name(pack('w', numbers[i]), name);
                assert_string_equal(name, texts[i]);
                assert_int_equal(state_read_name(name), pack('w', numbers[i]));
        }
}

static void what_is_no_name_of_ours_is_not_read(void **state) {
        static const char *const texts[] = { "",     "w",    "w-1",    "w 1", "w01",
                                             "w1x ", "w1.2", "state!", "wW",  "w0x1" };

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
                assert_int_equal(state_read_name(texts[i]), 0);
}

/* Who takes a socket of that name out of the store would take out all that is known. */
static void no_descriptor_has_the_name_of_the_log(void **state) {
        State st = { .n_names = 1367040 }; /* s, and "tate" to the base of 36 is the next but one */
        char name[STATE_NAME_SIZE];

        assert_ok(state_give_name(&st, STDIN_FILENO, 's', name));
        assert_string_equal(name, "statd");
        assert_ok(state_give_name(&st, STDOUT_FILENO, 's', name));
        assert_string_equal(name, "statf");
        assert_ok(state_give_name(&st, STDERR_FILENO, 's', name));
        assert_string_equal(name, "statg");
        assert_ok(state_give_name(&st, STDIN_FILENO, 's', name));
        assert_string_equal(name, "statd");
        assert_int_equal(state_read_name(STATE_STORE_NAME), 0);
        free(st.names);
        free(st.stored);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_name_is_short_and_comes_back),
                UNIT_TEST(what_is_no_name_of_ours_is_not_read),
                UNIT_TEST(no_descriptor_has_the_name_of_the_log),
        };

        return UNIT_RUN(tests);
}
