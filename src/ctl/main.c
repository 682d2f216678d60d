/* reuseportctl: reads the command line and runs one verb. */

#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/text.h"
#include "config.h"
#include "ctl/verb.h"

#define OPTIONS_MAX 64U

static CtlResult set_deploy_option(DeployOptions *d, char letter, const char *value) {
        switch (letter) {
        case 'c':
                d->canary = value;
                break;
        case 'S':
                d->has_step = true;
                if (parse_duration(value, &d->step_usec) < 0) {
                        ctl_error("--step: \"%s\" is no duration, expected one like \"30s\"",
                                  value);
                        return CTL_USAGE;
                }
                break;
        case 'b':
                d->canary_by = value;
                break;
        case 'p':
                d->preview = true;
                break;
        case 'E':
                return strv_push(&d->environment, value) < 0 ? CTL_FAILED : CTL_OK;
        case 'i':
                d->id = value;
                break;
        case 'W':
                d->wait = value;
                break;
        case 'n':
                d->no_wait = true;
                break;
        default:
                return CTL_USAGE;
        }

        return CTL_OK;
}

/* Returns CTL_OK, or CTL_USAGE: the value is not good, which is told. */
static CtlResult set_option(Ctl *c, char letter, const char *value) {
        switch (letter) {
        case 'j':
                c->json = true;
                break;
        case 'P':
                c->no_pager = true;
                break;
        case 'L':
                c->no_legend = true;
                break;
        case 'q':
                c->quiet = true;
                break;
        case 't':
                if (parse_duration(value, &c->timeout_usec) < 0) {
                        ctl_error("--timeout: \"%s\" is no duration, expected one like \"5s\"",
                                  value);
                        return CTL_USAGE;
                }
                break;
        case 'C':
                c->control = value;
                break;
        case 's':
                if (parse_signal(value, &c->signal_number) < 0) {
                        ctl_error("--signal: \"%s\" is no signal, expected one like \"SIGTERM\"",
                                  value);
                        return CTL_USAGE;
                }
                break;
        case 'o':
                c->old = true;
                break;
        case 'f':
                c->follow = true;
                break;
        case 'd':
                c->diff = true;
                break;
        case 'w':
                c->wait_for = value;
                break;
        case 'x':
                c->completion = value;
                break;
        case 'm':
                c->mdoc = true;
                break;
        case 'N':
                c->nonblock = true;
                break;
        default:
                return set_deploy_option(&c->deploy, letter, value);
        }

        return CTL_OK;
}

static void describe_options(struct option *longs, char *shorts) {
        size_t n = 0;

        for (size_t i = 0; i < n_verb_options; i++) {
                const VerbOption *o = &verb_options[i];

                longs[n++] = (struct option){ o->name,
                                              o->argument ? required_argument : no_argument, NULL,
                                              o->letter };
                if (o->has_short) {
                        *shorts++ = o->letter;
                        if (o->argument)
                                *shorts++ = ':';
                }
        }

        longs[n++] = (struct option){ "help", no_argument, NULL, 'h' };
        longs[n++] = (struct option){ "version", no_argument, NULL, 'V' };
        longs[n] = (struct option){ 0 };
        (void) stpcpy(shorts, "hV");
}

static CtlResult tell_unknown_verb(const char *name) {
        const char *names[OPTIONS_MAX], *nearest;

        for (size_t i = 0; i < n_verbs; i++)
                names[i] = verbs[i].name;
        nearest = text_nearest(names, n_verbs, name);
        ctl_error("there is no verb \"%s\"%s%s%s; try: reuseportctl help", name,
                  nearest ? ", perhaps \"" : "", nearest ? nearest : "", nearest ? "\"" : "");
        return CTL_USAGE;
}

/* @given  letters of the options that were there */
static CtlResult run(Ctl *c, const char *given, char *const *words, unsigned n_words) {
        const Verb *v = verb_find(words[0]);

        if (!v)
                return tell_unknown_verb(words[0]);

        for (; *given; given++) {
                const VerbOption *o = verb_option_find(*given);

                if (!o->is_global && !strchr(v->options, *given)) {
                        ctl_error("%s does not take --%s; try: reuseportctl help %s", v->name,
                                  o->name, v->name);
                        return CTL_USAGE;
                }
        }
        if (n_words - 1 < v->n_min || n_words - 1 > v->n_max) {
                ctl_error("usage: reuseportctl %s%s%s", v->name, *v->arguments ? " " : "",
                          v->arguments);
                return CTL_USAGE;
        }

        return v->run(c, words + 1);
}

/* Returns -1 to go on, or what to end with. */
static int read_command_line(int argc, char *argv[], Ctl *c, char *given) {
        struct option longs[OPTIONS_MAX];
        char shorts[OPTIONS_MAX * 2];
        int letter;

        c->n_behind = -1;
        for (int i = 1; i < argc && c->n_behind < 0; i++)
                if (strcmp(argv[i], "--") == 0)
                        c->n_behind = argc - i - 1;

        describe_options(longs, shorts);
        while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
                CtlResult result;

                if (letter == 'h')
                        return (int) verb_help(c, (char *const[]){ NULL });
                if (letter == 'V') {
                        printf("reuseportctl " PROJECT_VERSION "\n");
                        return CTL_OK;
                }
                result = letter == '?' ? CTL_USAGE : set_option(c, (char) letter, optarg);
                if (result != CTL_OK)
                        return (int) result;
                if (!strchr(given, letter)) {
                        given[strlen(given) + 1] = '\0';
                        given[strlen(given)] = (char) letter;
                }
        }

        return -1;
}

int main(int argc, char *argv[]) {
        const char *no_color = getenv("NO_COLOR");
        Ctl c = { .timeout_usec = USEC_INFINITY, .signal_number = SIGTERM };
        char given[OPTIONS_MAX] = "";
        int result;

        (void) setlocale(LC_ALL, "");
        (void) signal(SIGPIPE, SIG_IGN);
        c.has_colors = isatty(STDOUT_FILENO) && !(no_color && *no_color);

        result = read_command_line(argc, argv, &c, given);
        if (result < 0) {
                if (optind == argc)
                        result = (int) verb_list(&c, NULL);
                else
                        result = (int) run(&c, given, argv + optind, (unsigned) (argc - optind));
        }

        (void) sd_bus_close_unref(c.bus);
        strv_free(c.deploy.environment);
        if (fflush(stdout) != 0 && result == CTL_OK)
                return CTL_FAILED;
        return result;
}
