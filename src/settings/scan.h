#pragma once

/* A first look at the text of a file, before libconfig sees it.
 *
 * libconfig 1.5 says "syntax error" and a line, and is content with things that a user must not be:
 * 4294967376 reads as 80, "\x00" ends a string, @include of a directory ends the process, and the
 * time for a group grows with the square of its names (50,000: 20 s).  The scan knows just enough
 * of the syntax, strings, comments, numbers, brackets and names, to find these and to say where:
 *
 * - integers that do not fit, "\x00", an array of different kinds (the rest of the file is still read);
 * - @include, a bracket that is not closed or closes another, a string or comment without an end;
 * - a name that stands twice in one group, with both lines;
 * - more names, or deeper nesting, than a file of ours can need.
 *
 * It also says where a long group can be cut in pieces ("}; endpoints*1: {"), which tree_decode()
 * puts together again: that makes libconfig's time linear.
 */

#include "settings/report.h"

#define SCAN_NAMES_MAX       65536U /* in one file */
#define SCAN_GROUP_NAMES_MAX 20000U /* in one group */
#define SCAN_CHUNK           256U   /* names of a group between two cuts */

typedef struct Scan Scan;

/* @text  ends with NUL and has no other; borrowed while the Scan lives
 *
 * Returns 0, also with problems that let libconfig read on.  -EBADMSG: it makes no sense to read
 * on,
 * @report knows why; -ENOMEM. */
int scan_text(const char *text, const char *file, Report *report, Scan **ret);
Scan *scan_free(Scan *s);
DEFINE_CLEANUP(Scan, scan_free)

/* How many strings stand in arrays and lists, in the order of the text, and where each begins. */
size_t scan_n_strings(const Scan *s);
unsigned scan_string_line(const Scan *s, size_t i);

/* How many arrays and lists there are; and, one after the other from *cursor = 0 on, whether each is an
 * array of values of different kinds. */
size_t scan_n_lists(const Scan *s);
bool scan_next_list(const Scan *s, size_t *cursor);

/* The same text with the cuts in it, and with lists in place of arrays; each line stays in its line.  Returns 0 or -ENOMEM. */
int scan_split(const Scan *s, char **ret);

/* "services.web", the innermost group or list that is open in that line; "" at the top. */
void scan_path_at(const Scan *s, unsigned line, char *buffer, size_t size_bytes);
