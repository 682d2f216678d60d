#pragma once

/* The main file and those of include_dir, as one tree. */

#include "settings/report.h"
#include "settings/tree.h"

#define INCLUDED_FILES_MAX 1000U

/* Reads @path and, if it says include_dir = "DIR", DIR's *.conf in the order of their names, and
 * puts their groups together.  A relative DIR is meant from the directory of @path.  What is said
 * twice is a problem that names both lines.  Fills s->files and s->include_dir.
 *
 * Returns 0, also with problems in @report.  -EBADMSG: the main file cannot be read, @report knows
 * why; another negative errno. */
int merge_read(const char *path, Settings *s, Report *report, Tree **ret);
