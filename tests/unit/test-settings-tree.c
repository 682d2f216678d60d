/* tree_decode() believes nothing: bytes as a parser gone astray might send them. */

#include <errno.h>
#include <string.h>

#include "settings/tree.h"

#include "unit.h"

typedef struct Bytes {
        uint8_t bytes[65536];
        size_t n;
} Bytes;

static void put(Bytes *b, TreeRecord record, const char *name, const char *string) {
        if (record.name_length == 0)
                record.name_length = (uint16_t) (name ? strlen(name) : 0);
        if (record.string_length == 0)
                record.string_length = (uint32_t) (string ? strlen(string) : 0);
        memcpy(b->bytes + b->n, &record, sizeof(record));
        b->n += sizeof(record);
        if (name)
                memcpy(b->bytes + b->n, name, strlen(name));
        b->n += name ? strlen(name) : 0;
        if (string)
                memcpy(b->bytes + b->n, string, strlen(string));
        b->n += string ? strlen(string) : 0;
}

static int decode(const Bytes *b, Tree **ret) {
        uint8_t *exact = malloc(b->n ?: 1); /* the sanitizer watches its end */
        int r;

        assert_non_null(exact);
        memcpy(exact, b->bytes, b->n);
        r = tree_decode(exact, b->n, "x.conf", ret);
        free(exact);
        return r;
}

static void make_sample(Bytes *b) {
        *b = (Bytes){ 0 };
        put(b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 2 }, NULL, NULL);
        put(b, (TreeRecord){ .kind = TREE_GROUP, .line = 1, .n_children = 2 }, "a", NULL);
        put(b, (TreeRecord){ .kind = TREE_STRING, .line = 2 }, "s", "text");
        put(b, (TreeRecord){ .kind = TREE_LIST, .line = 3, .n_children = 1 }, "l", NULL);
        put(b, (TreeRecord){ .kind = TREE_INTEGER, .line = 3, .integer = -7 }, NULL, NULL);
        put(b, (TreeRecord){ .kind = TREE_BOOLEAN, .line = 4, .integer = 1 }, "b", NULL);
}

static void a_sample_is_decoded(void **state) {
        _cleanup_(tree_freep) Tree *tree = NULL;
        char path[TREE_PATH_SIZE];
        const Tree *list;
        Bytes b;

        make_sample(&b);
        assert_int_equal(decode(&b, &tree), 0);
        list = tree_child(tree_child(tree, "a"), "l");
        assert_int_equal(list->children[0]->integer, -7);
        assert_string_equal(tree_path(list->children[0], path), "a.l");
        assert_string_equal(tree_path(tree, path), "");
        assert_true(tree_child(tree, "b")->boolean);
        assert_null(tree_child(tree, "c"));
}

static void every_truncation_is_refused(void **state) {
        Bytes b;

        make_sample(&b);
        for (size_t n = b.n; b.n-- > 0;) {
                Tree *tree = NULL;

                assert_true(b.n < n);
                assert_int_equal(decode(&b, &tree), -EBADMSG);
                assert_null(tree);
        }
}

static void bytes_after_the_end_are_refused(void **state) {
        Tree *tree = NULL;
        Bytes b;

        make_sample(&b);
        b.n++;
        assert_int_equal(decode(&b, &tree), -EBADMSG);
}

/* Whatever a flipped bit makes of it, nothing is read that is not there. */
static void every_flipped_bit_is_survived(void **state) {
        Bytes sample;

        make_sample(&sample);
        for (size_t bit = 0; bit < sample.n * 8; bit++) {
                _cleanup_(tree_freep) Tree *tree = NULL;
                Bytes b = sample;
                int r;

                b.bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
                r = decode(&b, &tree);
                assert_true(r == 0 || r == -EBADMSG);
        }
}

static void assert_refused(const Bytes *b) {
        Tree *tree = NULL;

        assert_int_equal(decode(b, &tree), -EBADMSG);
        assert_null(tree);
}

static void what_makes_no_sense_is_refused(void **state) {
        static const TreeRecord root = { .kind = TREE_GROUP, .n_children = 1 };
        const struct {
                TreeRecord record;
                const char *name, *string;
        } rows[] = {
                { { .kind = TREE_KIND_MAX }, "a", NULL },
                { { .kind = 255 }, "a", NULL },
                { { .kind = TREE_INTEGER }, NULL, NULL }, /* no name in a group */
                { { .kind = TREE_INTEGER, .n_children = 1 }, "a", NULL },
                { { .kind = TREE_INTEGER }, "a", "text" },
                { { .kind = TREE_STRING, .string_length = UINT32_MAX }, "a", "text" },
                { { .kind = TREE_STRING, .name_length = UINT16_MAX }, "a", "text" },
                { { .kind = TREE_GROUP, .n_children = UINT32_MAX }, "a", NULL },
                { { .kind = TREE_INTEGER, .line = UINT32_MAX }, "a", NULL },
        };

        for (size_t i = 0; i < ELEMENTS_OF(rows); i++) {
                Bytes b = { 0 };

                put(&b, root, NULL, NULL);
                put(&b, rows[i].record, rows[i].name, rows[i].string);
                assert_refused(&b);
        }
}

static void a_named_element_of_a_list_is_refused(void **state) {
        Bytes b = { 0 };

        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, NULL, NULL);
        put(&b, (TreeRecord){ .kind = TREE_LIST, .n_children = 1 }, "l", NULL);
        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, "name", NULL);
        assert_refused(&b);
}

static void a_root_that_is_no_group_is_refused(void **state) {
        Bytes b = { 0 };

        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, NULL, NULL);
        assert_refused(&b);
        b = (Bytes){ 0 };
        put(&b, (TreeRecord){ .kind = TREE_GROUP }, "name", NULL);
        assert_refused(&b);
}

static void depth_and_number_are_limited(void **state) {
        Tree *tree = NULL;
        Bytes b = { 0 };
        size_t size = sizeof(TreeRecord) * (TREE_NODES_MAX + 2);
        uint8_t *many = malloc(size);
        TreeRecord root = { .kind = TREE_GROUP, .n_children = 1 };
        TreeRecord list = { .kind = TREE_LIST, .n_children = TREE_NODES_MAX, .name_length = 1 };
        TreeRecord item = { .kind = TREE_INTEGER };
        size_t n = 0;

        for (unsigned i = 0; i < 40; i++)
                put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, i > 0 ? "a" : NULL,
                    NULL);
        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, "a", NULL);
        assert_refused(&b);

        assert_non_null(many);
        memcpy(many, &root, sizeof(root));
        n = sizeof(root);
        memcpy(many + n, &list, sizeof(list));
        n += sizeof(list);
        many[n++] = 'l';
        while (n + sizeof(item) <= size) {
                memcpy(many + n, &item, sizeof(item));
                n += sizeof(item);
        }
        assert_int_equal(tree_decode(many, n, "x.conf", &tree), -EBADMSG);
        free(many);
}

static void a_text_with_nul_is_refused(void **state) {
        Bytes b = { 0 };

        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, NULL, NULL);
        put(&b, (TreeRecord){ .kind = TREE_STRING }, "s", "text");
        b.bytes[b.n - 2] = '\0';
        assert_refused(&b);
}

static void a_split_group_is_put_together(void **state) {
        _cleanup_(tree_freep) Tree *tree = NULL;
        Bytes b = { 0 };

        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 3 }, NULL, NULL);
        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, "g", NULL);
        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, "a", NULL);
        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, "g*1", NULL);
        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, "b", NULL);
        put(&b, (TreeRecord){ .kind = TREE_GROUP, .n_children = 1 }, "g*2", NULL);
        put(&b, (TreeRecord){ .kind = TREE_INTEGER }, "c", NULL);
        assert_int_equal(decode(&b, &tree), 0);
        assert_int_equal(tree->n_children, 1);
        assert_int_equal(tree->children[0]->n_children, 3);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_sample_is_decoded),
                UNIT_TEST(every_truncation_is_refused),
                UNIT_TEST(bytes_after_the_end_are_refused),
                UNIT_TEST(every_flipped_bit_is_survived),
                UNIT_TEST(what_makes_no_sense_is_refused),
                UNIT_TEST(a_named_element_of_a_list_is_refused),
                UNIT_TEST(a_root_that_is_no_group_is_refused),
                UNIT_TEST(depth_and_number_are_limited),
                UNIT_TEST(a_text_with_nul_is_refused),
                UNIT_TEST(a_split_group_is_put_together),
        };

        return UNIT_RUN(tests);
}
