#pragma once

/* Why something was refused, in a sentence for whoever asked: an errno says of what kind it is, which
 * programs go by, the sentence says where, what, and what to do. */

#include "base/cleanup.h"

/* Makes the sentence, the caller's, and returns @error:
 * `return why_say(reterr_why, -EBUSY, "%s is stopping", name);`.  Without memory there is none. */
int why_say(char **reterr_why, int error, const char *format, ...) _printf_(3, 4);
