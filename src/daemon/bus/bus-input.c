#include "daemon/bus/bus-input.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static const char begin[] = "BEGIN\r\n";

/* Returns how many bytes belong to the authentication. */
static int measure_authentication(BusInput *i, const uint8_t *bytes, size_t n) {
        for (size_t k = 0; k < n; k++) {
                if (++i->n_authentication > BUS_INPUT_AUTHENTICATION_MAX)
                        return -EMSGSIZE;

                if (bytes[k] == (uint8_t) begin[i->n_begin])
                        i->n_begin++;
                else
                        i->n_begin = bytes[k] == (uint8_t) begin[0] ? 1 : 0;
                if (i->n_begin == sizeof(begin) - 1) {
                        i->has_begun = true;
                        return (int) (k + 1);
                }
        }

        return (int) n;
}

static uint32_t number_at(const BusInput *i, size_t offset) {
        uint32_t number;

        memcpy(&number, i->head + offset, sizeof(number));
        return i->head[0] == 'l' ? le32toh(number) : be32toh(number);
}

/* The head says how long the rest is: the fields, padded to 8, and the body. */
static int read_head(BusInput *i) {
        uint64_t body, fields;

        if (i->head[0] != 'l' && i->head[0] != 'B')
                return -EBADMSG;

        body = number_at(i, 4);
        fields = ((uint64_t) number_at(i, 12) + 7) & ~UINT64_C(7);
        if (BUS_INPUT_HEAD_SIZE + fields + body > BUS_INPUT_MESSAGE_MAX)
                return -EMSGSIZE;

        i->n_left = (size_t) (fields + body);
        return 0;
}

static size_t at_most(size_t a, size_t b) {
        return a < b ? a : b;
}

int bus_input_measure(BusInput *i, const uint8_t *bytes, size_t n) {
        size_t at = 0;
        int r;

        if (!i->has_begun) {
                r = measure_authentication(i, bytes, n);
                if (r < 0)
                        return r;
                at = (size_t) r;
        }

        while (at < n) {
                size_t step;

                if (i->n_head < BUS_INPUT_HEAD_SIZE) {
                        step = at_most(BUS_INPUT_HEAD_SIZE - i->n_head, n - at);
                        memcpy(i->head + i->n_head, bytes + at, step);
                        i->n_head += step;
                        if (i->n_head == BUS_INPUT_HEAD_SIZE) {
                                r = read_head(i);
                                if (r < 0)
                                        return r;
                        }
                } else {
                        step = at_most(i->n_left, n - at);
                        i->n_left -= step;
                }

                at += step;
                if (i->n_head == BUS_INPUT_HEAD_SIZE && i->n_left == 0) {
                        i->n_head = 0;
                        i->n_messages++;
                }
        }

        return 0;
}
