#pragma once

/* A file as a plain value: groups, lists and scalars, each with its place.
 *
 * It is made by another process (settings/parser.h), which may have been led astray by what it
 * read; tree_decode() therefore believes nothing.
 */

#include "settings/report.h"

#define TREE_DEPTH_MAX   16U
#define TREE_NODES_MAX   262144U
#define TREE_NAME_LENGTH 255U

typedef enum TreeKind {
        TREE_GROUP,
        TREE_LIST, /* libconfig's arrays and lists */
        TREE_STRING,
        TREE_INTEGER,
        TREE_BOOLEAN,
        TREE_FLOAT,
        TREE_KIND_MAX,
        TREE_KIND_INVALID = -EINVAL,
} TreeKind;

typedef struct Tree Tree;

struct Tree {
        Tree *parent;
        char *name; /* NULL: the root, or in a list */
        TreeKind kind;
        Place place; /* the file's name is borrowed */
        union {
                int64_t integer;
                bool boolean;
                char *string;
        };
        bool is_refused; /* that is said already, and nobody should read it */
        Tree **children; /* of groups and lists */
        size_t n_children;
};

Tree *tree_free(Tree *t);
DEFINE_CLEANUP(Tree, tree_free)

/* Returns 0 or -ENOMEM.  The new node belongs to @parent, unless that is NULL. */
int tree_new(Tree *parent, TreeKind kind, const char *name, Place place, Tree **ret);

/* Makes @child the last of @parent's, who owns it from then on.  Returns 0 or -ENOMEM. */
int tree_attach(Tree *parent, Tree *child);

/* Takes a child away, which is the caller's from then on; leaves a hole, so that @parent is only
 * good for more of this and for tree_free(). */
Tree *tree_take_child(Tree *parent, size_t index);

/* The child of that name, or NULL. */
Tree *tree_child(const Tree *group, const char *name);

#define TREE_PATH_SIZE 256

/* "services.web.endpoints": names from the root, escaped; elements of lists have their list's path.
 * */
const char *tree_path(const Tree *t, char buffer[static TREE_PATH_SIZE]);

/* Adds a problem with @t: its place, its path, and the rest.  Returns 0, for a caller who goes on.
 * */
int tree_problem(const Tree *t, Report *report, const char *format, ...) _printf_(3, 4);

/* "a group", "a string" … for messages. */
const char *tree_kind_text(TreeKind kind);

/* The form in which a tree passes from one process to another: for each node its kind, line, name,
 * value and number of children, and then those.
 *
 * A group whose name has a '*' continues the sibling of the name before it: see settings/scan.h.
 *
 * @file  becomes the place of every node, borrowed
 *
 * Returns 0.  -EBADMSG: not such a form, or beyond a limit; -ENOMEM. */
int tree_decode(const uint8_t *bytes, size_t size_bytes, const char *file, Tree **ret);

#define TREE_SPLIT_MARK '*'

/* What tree_decode() reads. */
typedef struct TreeRecord {
        uint32_t line;
        uint32_t n_children;
        int64_t integer; /* booleans too */
        uint32_t string_length;
        uint16_t name_length; /* 0: none */
        uint8_t kind;
} TreeRecord; /* followed by name and string, without NUL */
