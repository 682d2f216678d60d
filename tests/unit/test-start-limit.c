#include "daemon/worker/start-limit.h"
#include "unit.h"

static void without_an_interval_there_is_no_limit(void **state) {
        StartLimit l = { 0 };

        for (unsigned i = 0; i < 1000; i++)
                assert_true(start_limit_take(&l, 0, 0, 1 + i));
}

static void a_burst_is_allowed_in_each_interval_and_no_more(void **state) {
        StartLimit l = { 0 };
        uint64_t now = 1000000;

        for (unsigned interval = 0; interval < 3; interval++, now += 100) {
                for (unsigned i = 0; i < 5; i++)
                        assert_true(start_limit_take(&l, 100, 5, now + i));
                assert_false(start_limit_take(&l, 100, 5, now + 50));
                assert_false(start_limit_take(&l, 100, 5, now + 99));
        }
}

static void who_starts_slowly_never_meets_it(void **state) {
        StartLimit l = { 0 };

        for (uint64_t now = 1; now < 10000; now += 30)
                assert_true(start_limit_take(&l, 100, 4, now));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(without_an_interval_there_is_no_limit),
                UNIT_TEST(a_burst_is_allowed_in_each_interval_and_no_more),
                UNIT_TEST(who_starts_slowly_never_meets_it),
        };

        return UNIT_RUN(tests);
}
