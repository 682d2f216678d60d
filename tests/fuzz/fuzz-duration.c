/* Durations, sizes, modes, signals, numbers: what is read, is printed and read again as the same. */

#include <errno.h>
#include <signal.h>

#include "base/parse.h"

#include "fuzz.h"

static void check_error(int r) {
        FUZZ_ASSERT(r == 0 || r == -EINVAL || r == -ERANGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        _cleanup_free_ char *text = fuzz_text(bytes, n_bytes);
        char printed[DURATION_TEXT_SIZE];
        uint64_t value, again;
        int number, number_again, r;
        mode_t mode;

        r = parse_duration(text, &value);
        check_error(r);
        if (r == 0) {
                format_duration(value, printed, sizeof(printed));
                FUZZ_ASSERT(parse_duration(printed, &again) == 0 && again == value);
        }

        r = parse_signal(text, &number);
        check_error(r);
        if (r == 0) {
                FUZZ_ASSERT(number > 0 && number <= SIGRTMAX);
                format_signal(number, printed, sizeof(printed));
                FUZZ_ASSERT(parse_signal(printed, &number_again) == 0 && number_again == number);
        }

        check_error(parse_size(text, &value));
        check_error(parse_unsigned(text, UINT64_MAX, &value));
        r = parse_mode(text, &mode);
        check_error(r);
        FUZZ_ASSERT(r < 0 || mode <= 07777);
        return 0;
}
