#pragma once

/* A private directory to work in, which is removed with all that is in it. */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

typedef struct Workplace {
        char path[64];
        int previous;
} Workplace;

/* Makes the directory and goes there; files in it can be named without a path. */
static inline void workplace_open(Workplace *w) {
        strcpy(w->path, "/tmp/reuseportd-test-XXXXXX");
        assert_non_null(mkdtemp(w->path));
        w->previous = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(w->previous >= 0);
        assert_int_equal(chdir(w->path), 0);
}

static inline int workplace_remove_entry(const char *path, const struct stat *st, int flag,
                                         struct FTW *at) {
        return remove(path);
}

static inline void workplace_close(Workplace *w) {
        assert_int_equal(fchdir(w->previous), 0);
        assert_int_equal(close(w->previous), 0);
        assert_int_equal(nftw(w->path, workplace_remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void write_bytes(const char *path, const void *bytes, size_t n) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *path, const char *text) {
        write_bytes(path, text, strlen(text));
}

/* The whole file, with a NUL after it; to be freed. */
static inline char *read_whole(const char *path, size_t *ret_n) {
        FILE *f = fopen(path, "re");
        size_t n = 0, n_allocated = 1 << 20;
        char *text = malloc(n_allocated + 1);

        if (!f)
                fail_msg("%s is not there", path);
        assert_non_null(text);
        n = fread(text, 1, n_allocated, f);
        assert_true(n < n_allocated);
        fclose(f);
        text[n] = '\0';
        if (ret_n)
                *ret_n = n;
        return text;
}
