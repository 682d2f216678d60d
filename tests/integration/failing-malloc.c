/* To be preloaded: allocations of memory that fail when a test wants them to.
 *
 * FAILING_MALLOC names a file of two numbers of 64 bits, which the process and those that it forks share
 * with the test: how many allocations are still granted before one fails (0: all are granted), and how many
 * were asked for since the test has set that to 0.  A forked parser counts with its parent.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The C library's own, which it exports under these names. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

/* Those of gcc's address sanitizer, which come before them in a program that has it: it goes on watching what
 * is granted. */
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t n, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *pointer, size_t size) __attribute__((weak));

typedef struct Counters {
        uint64_t until_failure;
        uint64_t n_asked;
} Counters;

static Counters *counters;

__attribute__((constructor)) static void open_counters(void) {
        const char *path = getenv("FAILING_MALLOC");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *map;

        if (fd < 0)
                return;

        map = mmap(NULL, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (map != MAP_FAILED)
                counters = map;
}

/* Of a thread that is being made the sanitizer must know the stack, or it gives up. */
static bool is_in_other_thread(void) {
        return __interceptor_malloc && gettid() != getpid();
}

static bool fails(void) {
        uint64_t left;

        if (!counters || is_in_other_thread())
                return false;

        (void) __atomic_fetch_add(&counters->n_asked, 1, __ATOMIC_RELAXED);
        left = __atomic_load_n(&counters->until_failure, __ATOMIC_RELAXED);
        if (left == 0)
                return false;

        __atomic_store_n(&counters->until_failure, left - 1, __ATOMIC_RELAXED);
        if (left > 1)
                return false;

        errno = ENOMEM;
        return true;
}

__attribute__((visibility("default"))) void *malloc(size_t size) {
        if (fails())
                return NULL;

        return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size) {
        if (fails())
                return NULL;

        return __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *pointer, size_t size) {
        if (fails())
                return NULL;

        return __interceptor_realloc ? __interceptor_realloc(pointer, size)
                                     : __libc_realloc(pointer, size);
}
