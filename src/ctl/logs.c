/* The journal knows more than we do. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/verb.h"

CtlResult verb_logs(Ctl *c, char *const *arguments) {
        _cleanup_free_ char *ours = NULL, *theirs = NULL;
        const char *words[12];
        size_t n = 0;

        if (asprintf(&ours, "SERVICE=%s", arguments[0]) < 0 ||
            asprintf(&theirs, "SYSLOG_IDENTIFIER=%s", arguments[0]) < 0)
                return CTL_FAILED;

        words[n++] = "journalctl";
        words[n++] = "SYSLOG_IDENTIFIER=reuseportd";
        words[n++] = ours;
        words[n++] = "+"; /* and what its workers say */
        words[n++] = theirs;
        if (c->follow)
                words[n++] = "--follow";
        if (c->no_pager)
                words[n++] = "--no-pager";
        if (c->quiet)
                words[n++] = "--quiet";
        if (c->json)
                words[n++] = "--output=json";
        words[n] = NULL;

        (void) execvp(words[0], (char *const *) words);
        ctl_error("journalctl cannot be run (%s): without a journal the log is where reuseportd's "
                  "standard error goes",
                  strerror(errno));
        return CTL_FAILED;
}
