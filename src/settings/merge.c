#include "settings/merge.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "settings/reader.h"

static void close_directory(DIR **directory) {
        if (*directory)
                (void) closedir(*directory);
}

static void report_twice(const Tree *node, const Tree *first, Report *report) {
        tree_problem(node, report, "defined twice, first in %s:%u, expected once",
                     first->place.file, first->place.line);
}

/* Moves the children of @from into @into.  Returns 0 or -ENOMEM. */
static int move_children(Tree *from, Tree *into, Report *report) {
        for (size_t i = 0; i < from->n_children; i++) {
                const Tree *same = tree_child(into, from->children[i]->name);
                _cleanup_(tree_freep) Tree *child = NULL;
                int r;

                if (same) {
                        report_twice(from->children[i], same, report);
                        continue;
                }

                child = tree_take_child(from, i);
                r = tree_attach(into, child);
                if (r < 0)
                        return r;
                TAKE_PTR(child);
        }

        return 0;
}

/* Puts an included file into the main one: group by group, one level down. */
static int merge_tree(Tree *root, Tree *included, Report *report) {
        for (size_t i = 0; i < included->n_children; i++) {
                Tree *group = included->children[i], *same = tree_child(root, group->name);
                int r = 0;

                if (strcmp(group->name, "include_dir") == 0)
                        tree_problem(group, report,
                                     "an included file includes no others, expected it in the main "
                                     "file only");
                else if (!same) {
                        _cleanup_(tree_freep) Tree *taken = tree_take_child(included, i);

                        r = tree_attach(root, taken);
                        if (r >= 0)
                                TAKE_PTR(taken);
                } else if (same->kind != TREE_GROUP || group->kind != TREE_GROUP)
                        report_twice(group, same, report);
                else
                        r = move_children(group, same, report);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* ---- the directory --------------------------------------------------------------------------- */

static int compare_names(const void *p, const void *q) {
        return strcmp(*(char *const *) p, *(char *const *) q);
}

static bool is_wanted(const char *name) {
        size_t length = strlen(name);

        return name[0] != '.' && length > 5 && strcmp(name + length - 5, ".conf") == 0;
}

/* A directory that everybody may write to is one where everybody may take a file away. */
static int open_directory(const char *path, const Tree *node, Report *report, DIR **ret) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0) {
                tree_problem(node, report,
                             "the directory %s cannot be opened: %s, expected one "
                             "that is there",
                             path, strerror(errno));
                return -EBADMSG;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || st.st_mode & S_IWOTH) {
                tree_problem(node, report,
                             "the directory %s belongs to uid %u with mode %04o, "
                             "expected one of root's or ours that others cannot change",
                             path, (unsigned) st.st_uid, (unsigned) (st.st_mode & 07777));
                return -EBADMSG;
        }

        *ret = fdopendir(fd);
        if (!*ret)
                return -errno;
        TAKE_FD(fd);
        return 0;
}

/* The sorted paths of the files. */
static int list_files(const char *path, const Tree *node, Report *report, char ***ret) {
        _cleanup_(close_directory) DIR *directory = NULL;
        _cleanup_strv_ char **list = NULL;
        const struct dirent *entry;
        int r;

        r = open_directory(path, node, report, &directory);
        if (r < 0)
                return r;

        while ((entry = readdir(directory))) {
                char *file;

                if (!is_wanted(entry->d_name))
                        continue;
                if (strv_length(list) >= INCLUDED_FILES_MAX) {
                        tree_problem(node, report, "too many files, expected at most %u",
                                     INCLUDED_FILES_MAX);
                        return -EBADMSG;
                }
                if (asprintf(&file, "%s/%s", path, entry->d_name) < 0)
                        return -ENOMEM;
                r = strv_consume(&list, file);
                if (r < 0)
                        return r;
        }

        if (list)
                qsort(list, strv_length(list), sizeof(char *), compare_names);
        *ret = TAKE_PTR(list);
        return 0;
}

/* The same of files that were read before: they stand in that order. */
static int list_texts(const char *path, const SettingsTexts *texts, char ***ret) {
        size_t length = strlen(path);

        for (size_t i = 0; i < texts->n_items; i++) {
                const char *file = texts->items[i].path;
                int r;

                if (strncmp(file, path, length) != 0 || file[length] != '/' ||
                    strchr(file + length + 1, '/') || !is_wanted(file + length + 1))
                        continue;
                r = strv_push(ret, file);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* "conf.d" of "/etc/x/endpoints.conf" is "/etc/x/conf.d". */
static char *resolve_directory(const char *file, const char *directory) {
        const char *slash = strrchr(file, '/');
        char *path;

        if (directory[0] == '/' || !slash)
                return strdup(directory);
        if (asprintf(&path, "%.*s/%s", (int) (slash - file), file, directory) < 0)
                return NULL;
        return path;
}

/* ---- all ------------------------------------------------------------------------------------- */

static int read_included(Settings *s, const char *path, Tree *root, Report *report) {
        _cleanup_(tree_freep) Tree *included = NULL;
        int r;

        r = strv_push(&s->files, path);
        if (r < 0)
                return r;

        r = reader_read(s->files[strv_length(s->files) - 1], report, &included);
        if (r == -EBADMSG)
                return 0; /* it is in the report; there may be more in the next file */
        if (r < 0)
                return r;

        return merge_tree(root, included, report);
}

static int read_directory(Settings *s, const Tree *node, Tree *root, Report *report) {
        _cleanup_strv_ char **files = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (node->kind != TREE_STRING || !node->string[0])
                return tree_problem(node, report, "this is %s, expected the path of a directory",
                                    node->kind == TREE_STRING ? "empty"
                                                              : tree_kind_text(node->kind));

        s->include_dir = strdup(node->string);
        path = resolve_directory(s->files[0], node->string);
        if (!s->include_dir || !path)
                return -ENOMEM;

        r = report->texts && report->texts->are_frozen ? list_texts(path, report->texts, &files)
                                                       : list_files(path, node, report, &files);
        if (r == -EBADMSG)
                return 0;
        if (r < 0)
                return r;

        STRV_FOREACH(file, files) {
                r = read_included(s, *file, root, report);
                if (r < 0)
                        return r;
        }

        return 0;
}

int merge_read(const char *path, Settings *s, Report *report, Tree **ret) {
        _cleanup_(tree_freep) Tree *root = NULL;
        const Tree *node;
        int r;

        r = strv_push(&s->files, path);
        if (r < 0)
                return r;

        r = reader_read(s->files[0], report, &root);
        if (r < 0)
                return r;

        node = tree_child(root, "include_dir");
        if (node) {
                r = read_directory(s, node, root, report);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(root);
        return 0;
}
