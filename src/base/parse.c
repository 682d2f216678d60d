#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

/* The first of each size is the one that we print. */
static const Unit duration_units[] = {
        { "w", 7 * 24 * 3600 * USEC_PER_SEC },
        { "d", 24 * 3600 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "ms", USEC_PER_MSEC },
        { "us", 1 },
};

static const Unit size_units[] = {
        { "T", 1ULL << 40 }, { "G", 1ULL << 30 }, { "M", 1ULL << 20 },
        { "K", 1ULL << 10 }, { "B", 1 },
};

static const Unit *find_unit(const Unit *units, size_t n_units, const char *name, size_t length) {
        for (size_t i = 0; i < n_units; i++)
                if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0)
                        return &units[i];

        return NULL;
}

/* Reads digits; returns how many, or -ERANGE. */
static int take_digits(const char *text, uint64_t *ret) {
        uint64_t value = 0;
        int n = 0;

        for (; isdigit((unsigned char) text[n]); n++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (text[n] - '0'), &value))
                        return -ERANGE;

        *ret = value;
        return n;
}

/* Reads ".25" as parts of a unit; returns how many characters, or -EINVAL for a bare dot. */
static int take_fraction(const char *text, uint64_t factor, uint64_t *ret) {
        uint64_t value = 0;
        int n = 1;

        for (; isdigit((unsigned char) text[n]); n++) {
                factor /= 10;
                value += factor * (uint64_t) (text[n] - '0');
        }

        *ret = value;
        return n > 1 ? n : -EINVAL;
}

int parse_duration(const char *text, uint64_t *ret_usec) {
        uint64_t total = 0;
        bool is_first = true;

        if (strcmp(text, "infinity") == 0) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }
        if (!isdigit((unsigned char) *text))
                return -EINVAL;

        while (*text) {
                uint64_t value, part = 0, fraction = 0;
                const char *dot;
                const Unit *unit;
                size_t length;
                int n;

                n = take_digits(text, &value);
                if (n <= 0)
                        return n < 0 ? n : -EINVAL;

                text += n;
                dot = *text == '.' ? text : NULL;
                if (dot)
                        text += 1 + strspn(text + 1, "0123456789");

                length = strspn(text, "abcdefghijklmnopqrstuvwxyz");
                unit = length > 0 ? find_unit(duration_units, ELEMENTS_OF(duration_units), text,
                                              length)
                                  : find_unit(duration_units, ELEMENTS_OF(duration_units), "s", 1);
                if (!unit)
                        return -EINVAL;

                if (dot && take_fraction(dot, unit->factor, &fraction) < 0)
                        return -EINVAL;
                if (__builtin_mul_overflow(value, unit->factor, &part) ||
                    __builtin_add_overflow(part, fraction, &part) ||
                    __builtin_add_overflow(total, part, &total))
                        return -ERANGE;

                text += length;
                if (length == 0 && (*text || !is_first))
                        return -EINVAL; /* a number without a unit stands alone */
                if (*text == ' ' && isdigit((unsigned char) text[1]))
                        text++;
                is_first = false;
        }

        if (total == USEC_INFINITY)
                return -ERANGE;

        *ret_usec = total;
        return 0;
}

int parse_size(const char *text, uint64_t *ret_size_bytes) {
        uint64_t value;
        const Unit *unit;
        int n;

        n = take_digits(text, &value);
        if (n <= 0)
                return n < 0 ? n : -EINVAL;

        text += n;
        unit = *text ? find_unit(size_units, ELEMENTS_OF(size_units), text, strlen(text))
                     : find_unit(size_units, ELEMENTS_OF(size_units), "B", 1);
        if (!unit)
                return -EINVAL;
        if (__builtin_mul_overflow(value, unit->factor, &value))
                return -ERANGE;

        *ret_size_bytes = value;
        return 0;
}

int parse_mode(const char *text, mode_t *ret) {
        mode_t mode = 0;

        if (!*text)
                return -EINVAL;

        for (; *text; text++) {
                if (*text < '0' || *text > '7')
                        return -EINVAL;
                mode = mode * 8 + (mode_t) (*text - '0');
                if (mode > 07777)
                        return -ERANGE;
        }

        *ret = mode;
        return 0;
}

int parse_unsigned(const char *text, uint64_t max, uint64_t *ret) {
        uint64_t value;
        int n;

        n = take_digits(text, &value);
        if (n < 0)
                return n;
        if (n == 0 || text[n])
                return -EINVAL;
        if (value > max)
                return -ERANGE;

        *ret = value;
        return 0;
}

static int parse_realtime_signal(const char *text, int *ret) {
        uint64_t offset = 0;
        int r;

        if (strncmp(text, "RTMIN", 5) != 0)
                return -EINVAL;
        text += 5;

        if (*text) {
                if (*text != '+')
                        return -EINVAL;
                r = parse_unsigned(text + 1, (uint64_t) (SIGRTMAX - SIGRTMIN), &offset);
                if (r < 0)
                        return r;
        }

        *ret = SIGRTMIN + (int) offset;
        return 0;
}

int parse_signal(const char *text, int *ret) {
        uint64_t number;

        if (isdigit((unsigned char) *text)) {
                int r = parse_unsigned(text, (uint64_t) SIGRTMAX, &number);

                if (r < 0)
                        return r;
                if (number == 0)
                        return -ERANGE;
                *ret = (int) number;
                return 0;
        }

        if (strncmp(text, "SIG", 3) == 0)
                text += 3;

        for (int i = 1; i < SIGRTMIN; i++) {
                const char *name = sigabbrev_np(i);

                if (name && strcmp(name, text) == 0) {
                        *ret = i;
                        return 0;
                }
        }

        return parse_realtime_signal(text, ret);
}

const char *format_duration(uint64_t usec, char *buffer, size_t size_bytes) {
        size_t at = 0;

        if (usec == USEC_INFINITY || usec == 0) {
                snprintf(buffer, size_bytes, "%s", usec == 0 ? "0" : "infinity");
                return buffer;
        }

        buffer[0] = '\0';
        for (size_t i = 0; i < ELEMENTS_OF(duration_units) && at < size_bytes; i++) {
                const Unit *u = &duration_units[i];

                if (usec < u->factor)
                        continue;

                at += (size_t) snprintf(buffer + at, size_bytes - at, "%s%" PRIu64 "%s",
                                        at > 0 ? " " : "", usec / u->factor, u->name);
                usec %= u->factor;
        }

        return buffer;
}

const char *format_signal(int number, char *buffer, size_t size_bytes) {
        const char *name = number > 0 && number < SIGRTMIN ? sigabbrev_np(number) : NULL;

        if (name)
                snprintf(buffer, size_bytes, "SIG%s", name);
        else if (number >= SIGRTMIN && number <= SIGRTMAX)
                snprintf(buffer, size_bytes, "SIGRTMIN+%d", number - SIGRTMIN);
        else
                snprintf(buffer, size_bytes, "%d", number);

        return buffer;
}
