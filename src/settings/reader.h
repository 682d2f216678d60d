#pragma once

/* A file of settings, from the path to the tree.
 *
 * Symbolic links are followed: that is how configurations are deployed.  What counts is the file
 * that was opened: it is looked at through its descriptor, so nobody can swap it between look and
 * read.
 */

#include "settings/report.h"
#include "settings/tree.h"

#define READER_SIZE_MAX (1UL << 20)

/* Reads and parses @path.  It must be a regular file of root's or ours that not everybody can
 * write, of at most READER_SIZE_MAX bytes, none of them NUL.
 *
 * Returns 0, also if there are problems that let us read on.  -EBADMSG: @report knows why.  Another
 * negative errno: no memory, no process. */
int reader_read(const char *path, Report *report, Tree **ret);

/* The same for a text that is here already. */
int reader_parse(const char *text, const char *file, Report *report, Tree **ret);

/* Only the text of a file, under the same conditions. */
int reader_text(const char *path, Report *report, char **ret);
