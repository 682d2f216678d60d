#pragma once

/* Owning locals.
 *
 * Every local that owns something carries a cleanup attribute; what leaves the function is given
 * away by name, TAKE_PTR() or TAKE_FD(), on the last line of success.  Failure then needs no code.
 */

#include <stddef.h>
#include <stdlib.h>

/* What is only held is used: clang would warn of a local whose one use is its cleanup. */
#define _cleanup_(function)     __attribute__((__cleanup__(function), __unused__))
#define _printf_(format, first) __attribute__((__format__(__printf__, format, first)))

#define ELEMENTS_OF(array) (sizeof(array) / sizeof((array)[0]))

#define TAKE_PTR(pointer)                                 \
        ({                                                \
                __typeof__(pointer) *_from_ = &(pointer); \
                __typeof__(pointer) _taken_ = *_from_;    \
                *_from_ = NULL;                           \
                _taken_;                                  \
        })

#define TAKE_FD(fd)                    \
        ({                             \
                int *_from_ = &(fd);   \
                int _taken_ = *_from_; \
                *_from_ = -EBADF;      \
                _taken_;               \
        })

/* Defines FUNCTIONp() for _cleanup_(), from a FUNCTION(type *) that frees. */
#define DEFINE_CLEANUP(type, function)                   \
        static inline void function##p(type **pointer) { \
                if (*pointer)                            \
                        function(*pointer);              \
        }

static inline void freep(void *pointer) {
        free(*(void **) pointer);
}

#define _cleanup_free_ _cleanup_(freep)
