#include <string.h>

#include "daemon/worker/notify.h"
#include "unit.h"

static NotifyMessage parse(const char *text) {
        static char copy[4096];
        NotifyMessage m;

        assert_true(strlen(text) < sizeof(copy));
        strcpy(copy, text);
        notify_message_parse(copy, &m);
        return m;
}

static void a_message_may_say_several_things(void **state) {
        NotifyMessage m = parse("READY=1\nSTATUS=serving, 3 = many\nMAINPID=4711\nERRNO=22\n");

        assert_true(m.is_ready);
        assert_string_equal(m.status, "serving, 3 = many");
        assert_int_equal(m.main_pid, 4711);
        assert_int_equal(m.error, 22);
        assert_false(m.is_stopping || m.is_reloading || m.is_watchdog || m.is_barrier);
}

static void only_one_means_yes(void **state) {
        static const char *const no[] = { "READY=0", "READY=",   "READY=11", "READY",
                                          "ready=1", " READY=1", "READY =1", "X_READY=1",
                                          "",        "\n\n",     "=1",       "=" };

        for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
                assert_false(parse(no[i]).is_ready);
}

static void the_watchdog_is_fed_or_triggered(void **state) {
        assert_true(parse("WATCHDOG=1").is_watchdog);
        assert_true(parse("WATCHDOG=trigger").has_watchdog_failed);
        assert_false(parse("WATCHDOG=trigger").is_watchdog);
        assert_false(parse("WATCHDOG=2").is_watchdog);
}

static void numbers_that_do_not_fit_were_not_said(void **state) {
        assert_int_equal(parse("EXTEND_TIMEOUT_USEC=5000000").extend_timeout_usec, 5000000);
        assert_int_equal(parse("EXTEND_TIMEOUT_USEC=18446744073709551616").extend_timeout_usec, 0);
        assert_int_equal(parse("EXTEND_TIMEOUT_USEC=-1").extend_timeout_usec, 0);
        assert_int_equal(parse("WATCHDOG_USEC=1s").watchdog_usec, 0);
        assert_int_equal(parse("MAINPID=4294967297").main_pid, 0);
        assert_int_equal(parse("MAINPID=-1").main_pid, 0);
        assert_int_equal(parse("ERRNO=5000").error, 0);
}

static void of_two_that_contradict_the_last_counts(void **state) {
        assert_string_equal(parse("STATUS=a\nSTATUS=b").status, "b");
        assert_false(parse("READY=1\nREADY=0").is_ready);
        assert_int_equal(parse("MAINPID=7\nMAINPID=8").main_pid, 8);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_message_may_say_several_things),
                UNIT_TEST(only_one_means_yes),
                UNIT_TEST(the_watchdog_is_fed_or_triggered),
                UNIT_TEST(numbers_that_do_not_fit_were_not_said),
                UNIT_TEST(of_two_that_contradict_the_last_counts),
        };

        return UNIT_RUN(tests);
}
