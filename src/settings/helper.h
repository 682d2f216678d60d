#pragma once

/* A child that does what must not happen to us: crash, exit, hang, eat.
 *
 * It is forked and does not exec, so that nothing need be found in the file system at a reload; glibc lets a
 * forked child use malloc().  It has nothing open but its end of a pipe, and standard streams that lead
 * nowhere; it dies with us.  Whatever becomes of it, there is an answer or one clear error in time.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct HelperAnswer {
        uint8_t *bytes;
        size_t n_bytes;
        size_t n_allocated;
} HelperAnswer;

void helper_answer_done(HelperAnswer *a);

/* What the child does: writes its answer to @fd.  Returns 0 when it is whole; the child ends with it. */
typedef int (*HelperFunction)(int fd, const void *userdata);

/* Waits for the child, which is gone afterwards in any case.
 *
 * @size_max    of the answer, in bytes
 * @ret         what it wrote
 * @ret_status  how it ended, as waitpid(2) says
 *
 * Returns 0.  -ETIME, -EFBIG: it took longer or wrote more, and was killed.  Another negative errno: no
 * process, no memory. */
int helper_run(HelperFunction function, const void *userdata, uint64_t timeout_usec,
               size_t size_max, HelperAnswer *ret, int *ret_status);
