#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define WORD_LENGTH_MAX 63

int text_lookup(const char *const names[], size_t n_names, const char *name) {
        if (!name)
                return -EINVAL;

        for (size_t i = 0; i < n_names; i++)
                if (names[i] && strcmp(names[i], name) == 0)
                        return (int) i;

        return -EINVAL;
}

void text_escape(const char *from, char *to, size_t size_bytes) {
        static const char ellipsis[] = "…";
        size_t at = 0;

        assert(size_bytes >= 8);

        for (; *from; from++) {
                unsigned char c = (unsigned char) *from;
                size_t wanted = c < 0x20 || c == 0x7f ? 4 : 1;

                if (at + wanted + sizeof(ellipsis) > size_bytes) {
                        memcpy(to + at, ellipsis, sizeof(ellipsis));
                        return;
                }

                if (wanted == 1)
                        to[at] = *from;
                else
                        snprintf(to + at, 5, "\\x%02x", c);
                at += wanted;
        }

        to[at] = '\0';
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
        unsigned least = a < b ? a : b;

        return least < c ? least : c;
}

/* Optimal string alignment: three rows of the usual table. */
unsigned text_distance(const char *a, const char *b) {
        unsigned rows[3][WORD_LENGTH_MAX + 2];
        unsigned *before = rows[0], *above = rows[1], *row = rows[2];
        size_t n = strlen(a), m = strlen(b);

        if (n > WORD_LENGTH_MAX || m > WORD_LENGTH_MAX)
                return UINT_MAX;

        for (unsigned j = 0; j <= m; j++)
                above[j] = j;

        for (unsigned i = 1; i <= n; i++) {
                unsigned *oldest = before;

                row[0] = i;
                for (unsigned j = 1; j <= m; j++) {
                        row[j] = min3(above[j] + 1, row[j - 1] + 1,
                                      above[j - 1] + (a[i - 1] != b[j - 1]));
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = min3(row[j], before[j - 2] + 1, UINT_MAX);
                }

                before = above;
                above = row;
                row = oldest;
        }

        return above[m];
}

const char *text_nearest(const char *const names[], size_t n_names, const char *word) {
        unsigned least = UINT_MAX;
        const char *nearest = NULL;

        for (size_t i = 0; i < n_names; i++) {
                unsigned distance = names[i] ? text_distance(word, names[i]) : UINT_MAX;

                if (distance < least) {
                        least = distance;
                        nearest = names[i];
                }
        }

        /* Beyond a third of the word it is another word. */
        if (!nearest || least > (strlen(word) + 2) / 3)
                return NULL;

        return nearest;
}

char **strv_free(char **list) {
        for (char **item = list; item && *item; item++)
                free(*item);
        free(list);
        return NULL;
}

size_t strv_length(char *const *list) {
        size_t n = 0;

        while (list && list[n])
                n++;

        return n;
}

bool strv_contains(char *const *list, const char *word) {
        STRV_FOREACH(item, list)
                if (strcmp(*item, word) == 0)
                        return true;

        return false;
}

int strv_consume(char ***list, char *word) {
        size_t n = strv_length(*list);
        char **longer;

        longer = reallocarray(*list, n + 2, sizeof(char *));
        if (!longer) {
                free(word);
                return -ENOMEM;
        }

        longer[n] = word;
        longer[n + 1] = NULL;
        *list = longer;
        return 0;
}

char *strv_join(char *const *list, const char *between) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                return NULL;

        STRV_FOREACH(word, list)
                fprintf(stream, "%s%s", word == list ? "" : between, *word);
        return fclose(stream) == 0 ? TAKE_PTR(text) : NULL;
}

int strv_push(char ***list, const char *word) {
        char *copy = strdup(word);

        return copy ? strv_consume(list, copy) : -ENOMEM;
}

int strv_consume_variable(char ***list, char *word) {
        size_t length;

        if (!word)
                return -ENOMEM;

        length = strcspn(word, "=") + 1;
        for (char **old = *list; old && *old; old++)
                if (strncmp(*old, word, length) == 0) {
                        free(*old);
                        *old = word;
                        return 0;
                }

        return strv_consume(list, word);
}

int strv_copy(char *const *list, char ***ret) {
        _cleanup_strv_ char **copy = NULL;
        int r;

        STRV_FOREACH(item, list) {
                r = strv_push(&copy, *item);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(copy);
        return 0;
}

bool strv_equal(char *const *a, char *const *b) {
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;

        for (size_t i = 0; i < n; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;

        return true;
}
