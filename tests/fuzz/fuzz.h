#pragma once

/* A fuzz target is LLVMFuzzerTestOneInput().  With -Dfuzz=true and clang it is driven by libFuzzer;
 * else by driver.c, which changes the inputs of a corpus at random, always the same way. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* Ends the process: a finding. */
#define FUZZ_ASSERT(condition)                                                           \
        do {                                                                             \
                if (!(condition)) {                                                      \
                        fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
                                #condition);                                             \
                        abort();                                                         \
                }                                                                        \
        } while (false)

/* The input as a text that ends with its first NUL; to be freed. */
static inline char *fuzz_text(const uint8_t *bytes, size_t n_bytes) {
        char *text = malloc(n_bytes + 1);

        FUZZ_ASSERT(text);
        if (n_bytes > 0)
                memcpy(text, bytes, n_bytes);
        text[n_bytes] = '\0';
        return text;
}
