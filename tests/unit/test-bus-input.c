/* What a control client sends is measured right, however it is cut to pieces. */

#include <errno.h>
#include <string.h>

#include "unit.h"

#include "daemon/bus/bus-input.h"

static const char hello[] = "\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
#define HELLO_SIZE (sizeof(hello) - 1)

/* A message of @fields and @body bytes, as its head says; returns its size. */
static size_t put_message(uint8_t *to, char order, uint32_t fields, uint32_t body) {
        const uint32_t numbers[] = { body, 1, fields };
        size_t size = BUS_INPUT_HEAD_SIZE + ((fields + 7) & ~7U) + body;

        memset(to, 'x', size);
        to[0] = (uint8_t) order;
        for (unsigned i = 0; i < 3; i++)
                for (unsigned k = 0; k < 4; k++)
                        to[4 + 4 * i + (order == 'l' ? k : 3 - k)] = (uint8_t) (numbers[i] >>
                                                                                (8 * k));
        return size;
}

static void every_cut_counts_the_same(void **state) {
        uint8_t bytes[4096];
        size_t n = HELLO_SIZE;

        memcpy(bytes, hello, HELLO_SIZE);
        n += put_message(bytes + n, 'l', 0, 0);
        n += put_message(bytes + n, 'l', 13, 5);
        n += put_message(bytes + n, 'B', 9, 300);
        n += put_message(bytes + n, 'l', 0, 1);

        for (size_t piece = 1; piece <= n; piece++) {
                BusInput input = { 0 };

                for (size_t at = 0; at < n; at += piece)
                        assert_ok(bus_input_measure(&input, bytes + at,
                                                    piece < n - at ? piece : n - at));
                assert_true(input.has_begun);
                assert_int_equal(input.n_messages, 4);
                assert_int_equal(input.n_head, 0);
        }
}

static void a_message_counts_when_its_last_byte_is_there(void **state) {
        uint8_t bytes[256];
        size_t n = put_message(bytes, 'l', 16, 40);
        BusInput input = { .has_begun = true };

        assert_ok(bus_input_measure(&input, bytes, n - 1));
        assert_int_equal(input.n_messages, 0);
        assert_ok(bus_input_measure(&input, bytes + n - 1, 1));
        assert_int_equal(input.n_messages, 1);
}

static void what_is_too_long_is_refused_by_its_head(void **state) {
        static const struct {
                uint32_t fields, body;
                int result;
        } cases[] = {
                { 0, BUS_INPUT_MESSAGE_MAX - BUS_INPUT_HEAD_SIZE, 0 },
                { 0, BUS_INPUT_MESSAGE_MAX - BUS_INPUT_HEAD_SIZE + 1, -EMSGSIZE },
                { BUS_INPUT_MESSAGE_MAX, 0, -EMSGSIZE },
                { UINT32_MAX, 0, -EMSGSIZE },
                { UINT32_MAX, UINT32_MAX, -EMSGSIZE },
                { UINT32_MAX - 7, 24, -EMSGSIZE }, /* nothing wraps */
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                BusInput input = { .has_begun = true };
                uint8_t head[BUS_INPUT_HEAD_SIZE] = { 'l' };

                for (unsigned k = 0; k < 4; k++) {
                        head[4 + k] = (uint8_t) (cases[i].body >> (8 * k));
                        head[12 + k] = (uint8_t) (cases[i].fields >> (8 * k));
                }
                assert_int_equal(bus_input_measure(&input, head, sizeof(head)), cases[i].result);
        }
}

static void what_is_no_message_is_refused(void **state) {
        BusInput input = { .has_begun = true };

        assert_int_equal(bus_input_measure(&input, (const uint8_t *) "GET / HTTP/1.1\r\n", 16),
                         -EBADMSG);
}

static void an_endless_authentication_is_refused(void **state) {
        BusInput input = { 0 };
        int r = 0;

        for (unsigned i = 0; i < 2 * BUS_INPUT_AUTHENTICATION_MAX && r == 0; i++)
                r = bus_input_measure(&input, (const uint8_t *) "BEGIN\n" + i % 6, 1);
        assert_int_equal(r, -EMSGSIZE);
        assert_int_equal(input.n_authentication, BUS_INPUT_AUTHENTICATION_MAX + 1);
}

static void begin_is_found_behind_half_of_itself(void **state) {
        BusInput input = { 0 };

        assert_ok(bus_input_measure(&input, (const uint8_t *) "BEGBEGIN\rBEGIN\r\n", 16));
        assert_true(input.has_begun);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(every_cut_counts_the_same),
                UNIT_TEST(a_message_counts_when_its_last_byte_is_there),
                UNIT_TEST(what_is_too_long_is_refused_by_its_head),
                UNIT_TEST(what_is_no_message_is_refused),
                UNIT_TEST(an_endless_authentication_is_refused),
                UNIT_TEST(begin_is_found_behind_half_of_itself),
        };

        return UNIT_RUN(tests);
}
