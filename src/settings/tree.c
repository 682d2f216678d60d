#include "settings/tree.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef struct Cursor {
        const uint8_t *at;
        size_t left;
        const char *file;
        unsigned n_nodes_left;
} Cursor;

Tree *tree_free(Tree *t) {
        if (!t)
                return NULL;

        for (size_t i = 0; i < t->n_children; i++)
                tree_free(t->children[i]);
        free(t->children);
        if (t->kind == TREE_STRING)
                free(t->string);
        free(t->name);
        free(t);
        return NULL;
}

int tree_attach(Tree *parent, Tree *child) {
        if ((parent->n_children & (parent->n_children - 1)) == 0) {
                size_t n = parent->n_children > 0 ? parent->n_children * 2 : 1;
                Tree **longer = reallocarray(parent->children, n, sizeof(Tree *));

                if (!longer)
                        return -ENOMEM;
                parent->children = longer;
        }

        parent->children[parent->n_children++] = child;
        child->parent = parent;
        return 0;
}

Tree *tree_take_child(Tree *parent, size_t index) {
        Tree *child = TAKE_PTR(parent->children[index]);

        child->parent = NULL;
        return child;
}

int tree_new(Tree *parent, TreeKind kind, const char *name, Place place, Tree **ret) {
        _cleanup_(tree_freep) Tree *t = NULL;
        int r;

        t = calloc(1, sizeof(Tree));
        if (!t)
                return -ENOMEM;

        t->kind = kind;
        t->place = place;
        if (name) {
                t->name = strdup(name);
                if (!t->name)
                        return -ENOMEM;
        }
        if (parent) {
                r = tree_attach(parent, t);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(t);
        return 0;
}

Tree *tree_child(const Tree *group, const char *name) {
        for (size_t i = 0; i < group->n_children; i++)
                if (group->children[i]->name && strcmp(group->children[i]->name, name) == 0)
                        return group->children[i];

        return NULL;
}

const char *tree_path(const Tree *t, char buffer[static TREE_PATH_SIZE]) {
        const Tree *names[TREE_DEPTH_MAX + 1];
        char raw[TREE_PATH_SIZE];
        size_t n = 0, at = 0;

        for (; t && n < ELEMENTS_OF(names); t = t->parent)
                if (t->name)
                        names[n++] = t;

        raw[0] = '\0';
        while (n-- > 0 && at < sizeof(raw))
                at += (size_t) snprintf(raw + at, sizeof(raw) - at, "%s%s", at > 0 ? "." : "",
                                        names[n]->name);

        text_escape(raw, buffer, TREE_PATH_SIZE);
        return buffer;
}

int tree_problem(const Tree *t, Report *report, const char *format, ...) {
        char path[TREE_PATH_SIZE], text[REPORT_TEXT_SIZE];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);

        tree_path(t, path);
        report_problem(report, t->place, path[0] ? path : NULL, "%s", text);
        return 0;
}

const char *tree_kind_text(TreeKind kind) {
        static const char *const texts[TREE_KIND_MAX] = {
                [TREE_GROUP] = "a group",     [TREE_LIST] = "a list",
                [TREE_STRING] = "a string",   [TREE_INTEGER] = "an integer",
                [TREE_BOOLEAN] = "a boolean", [TREE_FLOAT] = "a number with a point",
        };

        assert(kind >= 0 && kind < TREE_KIND_MAX);
        return texts[kind];
}

static int take_bytes(Cursor *c, void *to, size_t n) {
        if (c->left < n)
                return -EBADMSG;

        memcpy(to, c->at, n);
        c->at += n;
        c->left -= n;
        return 0;
}

/* A text of @length bytes, none of them NUL. */
static int take_text(Cursor *c, size_t length, char **ret) {
        char *text;

        if (c->left < length || memchr(c->at, '\0', length))
                return -EBADMSG;

        text = strndup((const char *) c->at, length);
        if (!text)
                return -ENOMEM;

        c->at += length;
        c->left -= length;
        *ret = text;
        return 0;
}

static int take_record(Cursor *c, TreeRecord *ret) {
        int r;

        if (c->n_nodes_left == 0)
                return -EBADMSG;
        c->n_nodes_left--;

        r = take_bytes(c, ret, sizeof(*ret));
        if (r < 0)
                return r;

        if (ret->kind >= TREE_KIND_MAX || ret->line > INT32_MAX ||
            ret->name_length > TREE_NAME_LENGTH)
                return -EBADMSG;
        if (ret->n_children > 0 && ret->kind != TREE_GROUP && ret->kind != TREE_LIST)
                return -EBADMSG;
        if (ret->string_length > 0 && ret->kind != TREE_STRING)
                return -EBADMSG;
        return 0;
}

static int take_node(Cursor *c, Tree *parent, unsigned depth, Tree **ret);

/* "endpoints*1" goes on where "endpoints" ended. */
static Tree *find_split_sibling(Tree *parent, const char *name) {
        const char *mark = name ? strchr(name, TREE_SPLIT_MARK) : NULL;
        Tree *last;

        if (!mark || !parent || parent->n_children == 0)
                return NULL;

        last = parent->children[parent->n_children - 1];
        if (last->kind != TREE_GROUP || !last->name ||
            strlen(last->name) != (size_t) (mark - name) ||
            memcmp(last->name, name, (size_t) (mark - name)) != 0)
                return NULL;

        return last;
}

static int take_children(Cursor *c, Tree *t, uint32_t n, unsigned depth) {
        for (uint32_t i = 0; i < n; i++) {
                Tree *child;
                int r = take_node(c, t, depth, &child);

                if (r < 0)
                        return r;
        }

        return 0;
}

static int take_node(Cursor *c, Tree *parent, unsigned depth, Tree **ret) {
        _cleanup_free_ char *name = NULL;
        TreeRecord record;
        Tree *t;
        int r;

        if (depth > TREE_DEPTH_MAX)
                return -EBADMSG;

        r = take_record(c, &record);
        if (r < 0)
                return r;
        if (record.name_length > 0) {
                r = take_text(c, record.name_length, &name);
                if (r < 0)
                        return r;
        }
        if (parent && (parent->kind == TREE_GROUP) != (name != NULL))
                return -EBADMSG;

        t = record.kind == TREE_GROUP ? find_split_sibling(parent, name) : NULL;
        if (!t) {
                r = tree_new(parent, record.kind, name, (Place){ c->file, record.line }, &t);
                if (r < 0)
                        return r;
        }
        *ret = t; /* from here on the root is the caller's to free, whatever happens */

        if (record.kind == TREE_INTEGER)
                t->integer = record.integer;
        else if (record.kind == TREE_BOOLEAN)
                t->boolean = record.integer != 0;
        else if (record.kind == TREE_STRING)
                return take_text(c, record.string_length, &t->string);

        return take_children(c, t, record.n_children, depth + 1);
}

int tree_decode(const uint8_t *bytes, size_t size_bytes, const char *file, Tree **ret) {
        _cleanup_(tree_freep) Tree *root = NULL;
        Cursor c = { bytes, size_bytes, file, TREE_NODES_MAX };
        int r;

        r = take_node(&c, NULL, 0, &root);
        if (r < 0)
                return r;
        if (c.left > 0 || root->kind != TREE_GROUP || root->name)
                return -EBADMSG;

        *ret = TAKE_PTR(root);
        return 0;
}
