#pragma once

/* What a control client sends, measured before sd-bus sees it.
 *
 * sd-bus takes messages of 128 MiB, and reads on as long as somebody writes.  So what comes is read by us,
 * in pieces, and its lengths are added up: the lines of the authentication until BEGIN, then one message
 * after the other, each with its length in its first 16 bytes (D-Bus specification, "Message Format").
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_INPUT_AUTHENTICATION_MAX 4096U
#define BUS_INPUT_MESSAGE_MAX        (256U * 1024U)
#define BUS_INPUT_HEAD_SIZE          16U

/* Zeroed is the beginning. */
typedef struct BusInput {
        bool has_begun;                    /* the authentication is over */
        size_t n_authentication;           /* bytes of it */
        unsigned n_begin;                  /* how much of "BEGIN\r\n" stands at its end */
        uint8_t head[BUS_INPUT_HEAD_SIZE]; /* of the message that has begun */
        size_t n_head;
        size_t n_left;       /* of that message behind its head */
        uint64_t n_messages; /* that were whole */
} BusInput;

/* Measures the next @n bytes.  Returns 0; -EMSGSIZE: the authentication or a message is too long; -EBADMSG:
 * that is no message.  Then nothing of these bytes may be used. */
int bus_input_measure(BusInput *i, const uint8_t *bytes, size_t n);
