/* exec: becomes a program that holds sockets of ours, as sd_listen_fds(3) expects them. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/taken.h"
#include "ctl/verb.h"

#define FIRST_FD 3

/* Above all the places first, so that none is overwritten before it has moved. */
static int place(const TakenSockets *t) {
        int moved[TAKEN_MAX];

        for (size_t i = 0; i < t->n_fds; i++) {
                moved[i] = fcntl(t->fds[i], F_DUPFD_CLOEXEC, FIRST_FD + (int) t->n_fds);
                if (moved[i] < 0)
                        return -errno;
        }

        for (size_t i = 0; i < t->n_fds; i++)
                if (dup2(moved[i], FIRST_FD + (int) i) < 0)
                        return -errno;

        return 0;
}

_printf_(2, 3) static int put(char ***environment, const char *format, ...) {
        va_list arguments;
        char *word;
        int n;

        va_start(arguments, format);
        n = vasprintf(&word, format, arguments);
        va_end(arguments);
        return n < 0 ? -ENOMEM : strv_consume_variable(environment, word);
}

static int put_names(const TakenSockets *t, char ***environment) {
        _cleanup_free_ char *names = NULL;
        size_t size;
        FILE *to = open_memstream(&names, &size);

        if (!to)
                return -ENOMEM;

        for (size_t i = 0; i < t->n_fds; i++)
                fprintf(to, "%s%s", i > 0 ? ":" : "", t->names[i]);
        return fclose(to) != 0 ? -ENOMEM : put(environment, "LISTEN_FDNAMES=%s", names);
}

/* What the supervisor gave us, and what the sockets need. */
static int make_environment(const TakenSockets *t, char ***ret) {
        _cleanup_strv_ char **environment = NULL;
        int r;

        r = strv_copy(environ, &environment);
        if (r >= 0)
                r = put(&environment, "LISTEN_FDS=%zu", t->n_fds);
        if (r >= 0)
                r = put(&environment, "LISTEN_PID=%d", (int) getpid());
        if (r >= 0)
                r = put_names(t, &environment);
        STRV_FOREACH(word, t->environment)
                r = r < 0 ? r : put(&environment, "%s", *word);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(environment);
        return 0;
}

/* Comes back only if it failed. */
static CtlResult become(const TakenSockets *t, char *const *argv) {
        _cleanup_strv_ char **environment = NULL;
        int r;

        r = make_environment(t, &environment);
        if (r >= 0)
                r = place(t);
        if (r < 0) {
                ctl_error("exec: %s", strerror(-r));
                return CTL_FAILED;
        }

        (void) signal(SIGPIPE, SIG_DFL);
        (void) execvpe(argv[0], argv, environment);
        r = -errno;
        (void) signal(SIGPIPE, SIG_IGN);
        ctl_error("cannot execute %s: %s", argv[0], strerror(-r));
        return CTL_FAILED;
}

CtlResult verb_exec(Ctl *c, char *const *arguments) {
        size_t n = strv_length(arguments), n_behind = c->n_behind < 0 ? 0 : (size_t) c->n_behind;
        _cleanup_strv_ char **endpoints = NULL;
        TakenSockets taken;
        CtlResult result;

        if (n_behind == 0 || n_behind >= n) {
                ctl_error("usage: reuseportctl exec ENDPOINT... -- ARGV...");
                return CTL_USAGE;
        }
        for (size_t i = 0; i < n - n_behind; i++)
                if (strv_push(&endpoints, arguments[i]) < 0)
                        return CTL_FAILED;

        result = taken_ask(c, endpoints, /* for_store= */ false, &taken);
        if (result != CTL_OK)
                return result;

        result = become(&taken, arguments + (n - n_behind));
        taken_done(&taken);
        return result;
}
