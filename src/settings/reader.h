#pragma once

/* A file of settings, from the path to the tree.
 *
 * Symbolic links of root's or ours are followed: that is how configurations are deployed.  Somebody
 * else's could lead us to what he must not read, and our messages speak of what we read.  What counts
 * is the file that was opened: it and each link to it are looked at through their descriptors, so
 * nobody can swap them between look and read.
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
