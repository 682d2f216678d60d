#pragma once

/* Text: lists of strings that end with NULL, tables of names, and how near two words are. */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

/* The index of @name in @names (holes are NULL), or -EINVAL. */
int text_lookup(const char *const names[], size_t n_names, const char *name);

/* Writes @from to @to so that it is one printable line: control characters become \xNN; bytes of
 * UTF-8 pass.  Cut, with "…" at the end, where it does not fit.
 *
 * @size_bytes  at least 8 */
void text_escape(const char *from, char *to, size_t size_bytes);

/* How many letters must be changed, added, left out or swapped with their neighbour to get from
 * @a to @b.  Words longer than 63 letters are infinitely far from everything. */
unsigned text_distance(const char *a, const char *b);

/* The one of @names (holes are NULL) that somebody who typed @word most likely meant, or NULL. */
const char *text_nearest(const char *const names[], size_t n_names, const char *word);

/* Lists of strings.  NULL is the empty list. */
char **strv_free(char **list);
DEFINE_CLEANUP(char *, strv_free)
#define _cleanup_strv_ _cleanup_(strv_freep)

size_t strv_length(char *const *list);
bool strv_contains(char *const *list, const char *word);

/* All words with @between between them, the caller's; NULL when there is no memory. */
char *strv_join(char *const *list, const char *between);

/* Appends a copy of @word.  Returns 0 or -ENOMEM, then *list is unchanged. */
int strv_push(char ***list, const char *word);

/* Appends @word itself: taken always.  Returns 0 or -ENOMEM. */
int strv_consume(char ***list, char *word);

/* Puts the "NAME=value" @word in the place of the one of that name, or appends it: taken always.
 * Returns 0 or -ENOMEM, then *list is unchanged. */
int strv_consume_variable(char ***list, char *word);

/* Returns 0 or -ENOMEM. */
int strv_copy(char *const *list, char ***ret);

bool strv_equal(char *const *a, char *const *b);

#define STRV_FOREACH(item, list) for (char *const *item = (list); item && *item; item++)
