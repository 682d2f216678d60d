#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#include "unit.h"

static void lookup_knows_holes_and_strangers(void **state) {
        static const char *const names[] = { "zero", NULL, "two" };

        assert_int_equal(text_lookup(names, 3, "zero"), 0);
        assert_int_equal(text_lookup(names, 3, "two"), 2);
        assert_true(text_lookup(names, 3, "three") < 0);
        assert_true(text_lookup(names, 3, "") < 0);
        assert_true(text_lookup(names, 3, NULL) < 0);
}

static void escape_makes_one_printable_line(void **state) {
        char buffer[64];

        text_escape("a\nb\x1b[31m\x7f", buffer, sizeof(buffer));
        assert_string_equal(buffer, "a\\x0ab\\x1b[31m\\x7f");

        text_escape("größer", buffer, sizeof(buffer));
        assert_string_equal(buffer, "größer");

        text_escape("", buffer, sizeof(buffer));
        assert_string_equal(buffer, "");
}

static void escape_never_writes_beyond_its_buffer(void **state) {
        char from[300];

        for (size_t size = 8; size < 64; size++)
                for (size_t length = 0; length < 80; length++) {
                        char *to = malloc(size); /* the sanitizer watches its end */

                        memset(from, length % 3 == 0 ? '\n' : 'x', length);
                        from[length] = '\0';
                        text_escape(from, to, size);
                        assert_true(strlen(to) < size);
                        if (length % 3 != 0 && length + sizeof("…") <= size)
                                assert_string_equal(to, from);
                        free(to);
                }
}

static void escape_shows_where_it_cut(void **state) {
        char buffer[8];

        text_escape("0123456789", buffer, sizeof(buffer));
        assert_string_equal(buffer, "0123…");
}

static void distance_counts_slips(void **state) {
        assert_int_equal(text_distance("workers", "workers"), 0);
        assert_int_equal(text_distance("wrokers", "workers"), 1); /* swapped */
        assert_int_equal(text_distance("worker", "workers"), 1);
        assert_int_equal(text_distance("wworkers", "workers"), 1);
        assert_int_equal(text_distance("warkers", "workers"), 1);
        assert_int_equal(text_distance("", "abc"), 3);
        assert_int_equal(text_distance("abc", ""), 3);
        assert_int_equal(text_distance("kitten", "sitting"), 3);
}

static void distance_to_a_very_long_word_is_infinite(void **state) {
        char word[65];

        memset(word, 'x', 64);
        word[64] = '\0';
        assert_int_equal(text_distance(word, "x"), UINT_MAX);
        assert_int_equal(text_distance("x", word), UINT_MAX);
        word[63] = '\0';
        assert_int_equal(text_distance(word, "x"), 62);
}

static void distance_is_symmetric(void **state) {
        static const char *const words[] = {
                "", "a", "ab", "ba", "abc", "acb", "listen", "lsiten"
        };

        for (size_t i = 0; i < ELEMENTS_OF(words); i++)
                for (size_t j = 0; j < ELEMENTS_OF(words); j++)
                        assert_int_equal(text_distance(words[i], words[j]),
                                         text_distance(words[j], words[i]));
}

static void nearest_finds_slips_and_no_other_words(void **state) {
        static const char *const names[] = { "listen_stream", NULL, "backlog", "shared" };

        assert_string_equal(text_nearest(names, 4, "listen_steram"), "listen_stream");
        assert_string_equal(text_nearest(names, 4, "backlogs"), "backlog");
        assert_string_equal(text_nearest(names, 4, "share"), "shared");
        assert_null(text_nearest(names, 4, "preset"));
        assert_null(text_nearest(names, 4, ""));
        assert_null(text_nearest(NULL, 0, "shared"));
}

static void lists_grow_copy_and_compare(void **state) {
        _cleanup_strv_ char **list = NULL, **copy = NULL;

        assert_int_equal(strv_length(NULL), 0);
        assert_true(strv_equal(NULL, NULL));
        assert_false(strv_contains(NULL, "a"));

        assert_int_equal(strv_push(&list, "a"), 0);
        assert_int_equal(strv_consume(&list, strdup("b")), 0);
        assert_int_equal(strv_length(list), 2);
        assert_null(list[2]);
        assert_true(strv_contains(list, "b"));
        assert_false(strv_contains(list, "c"));
        assert_false(strv_equal(list, NULL));

        assert_int_equal(strv_copy(list, &copy), 0);
        assert_true(strv_equal(list, copy));
        assert_ptr_not_equal(list[0], copy[0]);
        assert_int_equal(strv_push(&copy, "c"), 0);
        assert_false(strv_equal(list, copy));
}

static void a_variable_takes_the_place_of_its_like(void **state) {
        _cleanup_strv_ char **list = NULL;

        assert_int_equal(strv_consume_variable(&list, strdup("A=1")), 0);
        assert_int_equal(strv_consume_variable(&list, strdup("AB=2")), 0);
        assert_int_equal(strv_consume_variable(&list, strdup("A=3")), 0);
        assert_int_equal(strv_length(list), 2);
        assert_string_equal(list[0], "A=3");
        assert_string_equal(list[1], "AB=2");
        assert_int_equal(strv_consume_variable(&list, NULL), -ENOMEM);
        assert_int_equal(strv_length(list), 2);
}

static void a_copy_of_the_empty_list_is_empty(void **state) {
        char **copy = (char **) state;

        assert_int_equal(strv_copy(NULL, &copy), 0);
        assert_null(copy);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(lookup_knows_holes_and_strangers),
                UNIT_TEST(escape_makes_one_printable_line),
                UNIT_TEST(escape_never_writes_beyond_its_buffer),
                UNIT_TEST(escape_shows_where_it_cut),
                UNIT_TEST(distance_counts_slips),
                UNIT_TEST(distance_to_a_very_long_word_is_infinite),
                UNIT_TEST(distance_is_symmetric),
                UNIT_TEST(nearest_finds_slips_and_no_other_words),
                UNIT_TEST(lists_grow_copy_and_compare),
                UNIT_TEST(a_variable_takes_the_place_of_its_like),
                UNIT_TEST(a_copy_of_the_empty_list_is_empty),
        };

        return UNIT_RUN(tests);
}
