/* What a daemon before us may have left: any bytes in a memfd.  Whatever they are, they are read or refused,
 * and what was read can be gone on with. */

#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/state/adoption.h"
#include "daemon/state/state-deploy.h"
#include "fuzz.h"

static void read_records(const Legacy *l) {
        for (size_t i = 0; i < state_log_n_records(l->log); i++) {
                DeployResult result;
                json_t *record;

                if (legacy_get(l, state_log_key(l->log, i), &record) < 0)
                        continue;
                (void) state_result_load(record, &result);
                json_decref(record);
        }
}

static void go_on(StateLog *l) {
        _cleanup_free_ char *text = NULL;

        FUZZ_ASSERT(state_log_put(l, "fuzz", "{}") >= 0);
        FUZZ_ASSERT(state_log_get(l, "fuzz", &text) >= 0);
        FUZZ_ASSERT(strcmp(text, "{}") == 0);
        FUZZ_ASSERT(state_log_remove(l, "fuzz") >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        _cleanup_(legacy_done) Legacy l = { 0 };
        _cleanup_free_ char *why = NULL;
        _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        FUZZ_ASSERT(fd >= 0);
        FUZZ_ASSERT(pwrite(fd, bytes, n_bytes, 0) == (ssize_t) n_bytes);
        if (state_log_open(fd, &l.log, &why) < 0) {
                FUZZ_ASSERT(why && strncmp(why, "it ", 3) == 0);
                return 0;
        }

        (void) TAKE_FD(fd);
        read_records(&l);
        go_on(l.log);
        return 0;
}
