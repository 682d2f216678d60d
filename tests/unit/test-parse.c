#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

#include "unit.h"

static void durations_are_read(void **state) {
        static const struct {
                const char *text;
                uint64_t usec;
        } rows[] = {
                { "0", 0 },
                { "90", 90 * USEC_PER_SEC },
                { "90s", 90 * USEC_PER_SEC },
                { "90sec", 90 * USEC_PER_SEC },
                { "5min 20s", 320 * USEC_PER_SEC },
                { "1h30min", 5400 * USEC_PER_SEC },
                { "1hr", 3600 * USEC_PER_SEC },
                { "2m", 120 * USEC_PER_SEC },
                { "500ms", 500 * USEC_PER_MSEC },
                { "7us", 7 },
                { "1.5s", 1500 * USEC_PER_MSEC },
                { "1.5", 1500 * USEC_PER_MSEC },
                { "0.000001s", 1 },
                { "0.25h", 900 * USEC_PER_SEC },
                { "1d", 86400 * USEC_PER_SEC },
                { "1w", 7 * 86400 * USEC_PER_SEC },
                { "1s 1s", 2 * USEC_PER_SEC },
                { "infinity", USEC_INFINITY },
                { "18446744073709s", 18446744073709 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                uint64_t usec = 4711;

                assert_int_equal(parse_duration(rows[i].text, &usec), 0);
                assert_int_equal(usec, rows[i].usec);
        }
}

static void what_is_no_duration_is_refused(void **state) {
        static const char *const texts[] = {
                "",      " ",    "s",     "-1s",      "+1s",       " 1s",    "1s ",  "1 s",
                "1x",    "1.s",  ".5s",   "1S",       "1s,2s",     "1s2",    "1 2",  "1 2s",
                "1..5s", "1e3s", "0x10s", "Infinity", "infinitys", "1s  2s", "1s\n", "١s",
        };

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
                uint64_t usec = 4711;

                if (parse_duration(texts[i], &usec) != -EINVAL)
                        fail_msg("\"%s\" is read as %llu", texts[i], (unsigned long long) usec);
                assert_int_equal(usec, 4711);
        }
}

static void durations_that_do_not_fit_are_out_of_range(void **state) {
        static const char *const texts[] = {
                "18446744073709551616",     /* more than 64 bits of digits */
                "18446744073710s",          /* fits as a number, not in µs */
                "18446744073709551615us",   /* is what infinity is */
                "18446744073709s 700000us", /* the sum */
                "99999999999999999999999w",
        };

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
                uint64_t usec = 4711;

                assert_int_equal(parse_duration(texts[i], &usec), -ERANGE);
                assert_int_equal(usec, 4711);
        }
}

static void durations_survive_the_way_there_and_back(void **state) {
        uint64_t usec = 1, back;
        char text[DURATION_TEXT_SIZE];

        for (unsigned i = 0; i < 2000; i++) {
                format_duration(usec, text, sizeof(text));
                assert_true(strlen(text) < sizeof(text) - 1);
                assert_int_equal(parse_duration(text, &back), 0);
                assert_int_equal(back, usec);
                usec = usec * 6364136223846793005ULL + 1442695040888963407ULL;
                usec >>= i % 40;
                if (usec == USEC_INFINITY)
                        usec--;
        }

        assert_string_equal(format_duration(0, text, sizeof(text)), "0");
        assert_string_equal(format_duration(USEC_INFINITY, text, sizeof(text)), "infinity");
        assert_string_equal(format_duration(90 * USEC_PER_SEC, text, sizeof(text)), "1min 30s");
        assert_string_equal(format_duration(USEC_INFINITY - 1, text, sizeof(text)),
                            "30500568w 6d 8h 1min 49s 551ms 614us");
}

static void sizes_are_read(void **state) {
        uint64_t size;

        assert_int_equal(parse_size("0", &size), 0);
        assert_int_equal(size, 0);
        assert_int_equal(parse_size("64K", &size), 0);
        assert_int_equal(size, 65536);
        assert_int_equal(parse_size("1M", &size), 0);
        assert_int_equal(size, 1 << 20);
        assert_int_equal(parse_size("2G", &size), 0);
        assert_int_equal(size, 2ULL << 30);
        assert_int_equal(parse_size("3T", &size), 0);
        assert_int_equal(size, 3ULL << 40);
        assert_int_equal(parse_size("5B", &size), 0);
        assert_int_equal(size, 5);
}

static void what_is_no_size_is_refused(void **state) {
        static const char *const texts[] = { "",    "K",    "-1",   "1k", "1KB",
                                             "1 K", "1.5K", "0x10", "1K1" };
        uint64_t size = 4711;

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++)
                assert_int_equal(parse_size(texts[i], &size), -EINVAL);
        assert_int_equal(parse_size("18446744073709551616", &size), -ERANGE);
        assert_int_equal(parse_size("16777216T", &size), -ERANGE);
        assert_int_equal(parse_size("16777215T", &size), 0);
}

static void modes_are_octal(void **state) {
        mode_t mode = 0;

        assert_int_equal(parse_mode("0660", &mode), 0);
        assert_int_equal(mode, 0660);
        assert_int_equal(parse_mode("7777", &mode), 0);
        assert_int_equal(mode, 07777);
        assert_int_equal(parse_mode("10000", &mode), -ERANGE);
        assert_int_equal(parse_mode("", &mode), -EINVAL);
        assert_int_equal(parse_mode("8", &mode), -EINVAL);
        assert_int_equal(parse_mode("0o7", &mode), -EINVAL);
        assert_int_equal(parse_mode("-1", &mode), -EINVAL);
        assert_int_equal(mode, 07777);
}

static void unsigned_numbers_have_a_limit(void **state) {
        uint64_t n = 4711;

        assert_int_equal(parse_unsigned("65535", 65535, &n), 0);
        assert_int_equal(n, 65535);
        assert_int_equal(parse_unsigned("65536", 65535, &n), -ERANGE);
        assert_int_equal(parse_unsigned("18446744073709551615", UINT64_MAX, &n), 0);
        assert_int_equal(n, UINT64_MAX);
        assert_int_equal(parse_unsigned("18446744073709551616", UINT64_MAX, &n), -ERANGE);
        assert_int_equal(parse_unsigned("", 9, &n), -EINVAL);
        assert_int_equal(parse_unsigned("1x", 9, &n), -EINVAL);
        assert_int_equal(parse_unsigned("-1", 9, &n), -EINVAL);
        assert_int_equal(parse_unsigned(" 1", 9, &n), -EINVAL);
}

static void signals_have_names_and_numbers(void **state) {
        int number = 0;

        assert_int_equal(parse_signal("SIGTERM", &number), 0);
        assert_int_equal(number, SIGTERM);
        assert_int_equal(parse_signal("QUIT", &number), 0);
        assert_int_equal(number, SIGQUIT);
        assert_int_equal(parse_signal("9", &number), 0);
        assert_int_equal(number, SIGKILL);
        assert_int_equal(parse_signal("SIGRTMIN", &number), 0);
        assert_int_equal(number, SIGRTMIN);
        assert_int_equal(parse_signal("RTMIN+3", &number), 0);
        assert_int_equal(number, SIGRTMIN + 3);
}

static void what_is_no_signal_is_refused(void **state) {
        int number = 4711;

        assert_int_equal(parse_signal("", &number), -EINVAL);
        assert_int_equal(parse_signal("SIG", &number), -EINVAL);
        assert_int_equal(parse_signal("sigterm", &number), -EINVAL);
        assert_int_equal(parse_signal("SIGSIGTERM", &number), -EINVAL);
        assert_int_equal(parse_signal("SIGTERM ", &number), -EINVAL);
        assert_int_equal(parse_signal("0", &number), -ERANGE);
        assert_int_equal(parse_signal("65", &number), -ERANGE);
        assert_int_equal(parse_signal("RTMIN+99", &number), -ERANGE);
        assert_int_equal(parse_signal("RTMIN+", &number), -EINVAL);
        assert_int_equal(number, 4711);
}

static void signals_survive_the_way_there_and_back(void **state) {
        char text[32];

        for (int i = 1; i <= SIGRTMAX; i++) {
                int back = 0;

                format_signal(i, text, sizeof(text));
                assert_int_equal(parse_signal(text, &back), 0);
                assert_int_equal(back, i);
        }

        assert_string_equal(format_signal(4711, text, sizeof(text)), "4711");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(durations_are_read),
                UNIT_TEST(what_is_no_duration_is_refused),
                UNIT_TEST(durations_that_do_not_fit_are_out_of_range),
                UNIT_TEST(durations_survive_the_way_there_and_back),
                UNIT_TEST(sizes_are_read),
                UNIT_TEST(what_is_no_size_is_refused),
                UNIT_TEST(modes_are_octal),
                UNIT_TEST(unsigned_numbers_have_a_limit),
                UNIT_TEST(signals_have_names_and_numbers),
                UNIT_TEST(what_is_no_signal_is_refused),
                UNIT_TEST(signals_survive_the_way_there_and_back),
        };

        return UNIT_RUN(tests);
}
