/* Address text, numeric: whatever is read is written in a form that reads as the same. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "reuse/reuseport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const networks[] = { "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6" };
        ReuseAddress a, again;
        char written[REUSE_ADDRESS_TEXT_SIZE], twice[REUSE_ADDRESS_TEXT_SIZE];
        const char *network;
        _cleanup_free_ char *text = NULL;

        if (size == 0)
                return 0;

        network = networks[data[0] % ELEMENTS_OF(networks)];
        text = strndup((const char *) data + 1, size - 1);
        if (!text || reuse_address_parse(network, text, /* numeric_only= */ true, &a) < 0)
                return 0;

        (void) reuse_address_format(&a, written, sizeof(written));
        if (reuse_address_parse(network, written, true, &again) < 0)
                abort();
        (void) reuse_address_format(&again, twice, sizeof(twice));
        if (!reuse_address_equal(&a, &again) || strcmp(written, twice) != 0)
                abort();

        return 0;
}
