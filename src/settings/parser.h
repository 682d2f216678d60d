#pragma once

/* libconfig, kept at arm's length.
 *
 * libconfig 1.5 calls exit(), crashes when memory is short and may take very long, so it runs in a
 * child (settings/helper.h) that is given the text and nothing else, a little memory, little time.
 * Whatever becomes of it, we get a tree or one clear error.
 */

#include "settings/report.h"
#include "settings/scan.h"
#include "settings/tree.h"

#define PARSER_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define PARSER_MEMORY_BYTES (256UL << 20)
#define PARSER_ANSWER_BYTES (32UL << 20)

/* Parses @text; @scan, of the same text, helps to say where a problem is.
 *
 * Returns 0.  -EBADMSG: @report knows why.  Another negative errno: no process, no memory. */
int parser_run(const char *text, const char *file, const Scan *scan, Report *report, Tree **ret);

/* The same in this process, without protection: for tests that look for crashes of ours. */
int parser_run_here(const char *text, const char *file, const Scan *scan, Report *report,
                    Tree **ret);
