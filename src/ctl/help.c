/* Help and the manual's list, both from the table of verbs. */

#include <stdio.h>
#include <string.h>

#include "ctl/client.h"
#include "ctl/completion.h"
#include "ctl/output.h"
#include "ctl/verb.h"

#define COLUMN     28
#define WIDTH      80
#define MDOC_WIDTH 76

/* Words, broken to lines that begin at COLUMN. */
static void print_wrapped(const char *words, unsigned column) {
        size_t at = column;

        while (*words) {
                size_t length = strcspn(words, " "), gap = strspn(words + length, " ");

                printf("%.*s", (int) length, words);
                at += length;
                words += length + gap;
                if (!*words)
                        break;
                if (at + gap + strcspn(words, " ") > WIDTH) {
                        printf("\n%*s", (int) column, "");
                        at = column;
                } else
                        at += (size_t) printf("%*s", (int) gap, "");
        }

        putchar('\n');
}

static void print_option(const VerbOption *o) {
        char head[64];
        int n;

        n = snprintf(head, sizeof(head), "  %c%c%s --%s%s%s", o->has_short ? '-' : ' ',
                     o->has_short ? o->letter : ' ', o->has_short ? "," : " ", o->name,
                     o->argument ? " " : "", o->argument ? o->argument : "");
        printf("%s%*s", head, n < COLUMN ? COLUMN - n : 1, "");
        print_wrapped(o->help, COLUMN);
}

static void print_verb(const Verb *v) {
        int n = printf("  %s%s%s", v->name, *v->arguments ? " " : "", v->arguments);

        if (n >= COLUMN)
                n = printf("\n") - 1;
        printf("%*s", COLUMN - n, "");
        print_wrapped(v->help, COLUMN);
}

static void print_all(void) {
        printf("Usage: reuseportctl [OPTION…] VERB [ARGUMENT…]\n\n"
               "Asks and tells reuseportd.\n\nVerbs:\n");
        for (size_t i = 0; i < n_verbs; i++)
                print_verb(&verbs[i]);
        printf("\nOptions:\n");
        for (size_t i = 0; i < n_verb_options; i++)
                if (verb_options[i].is_global)
                        print_option(&verb_options[i]);
        printf("  -h, --help                This text.\n"
               "  -V, --version             The version.\n\nSee reuseportctl(1).\n");
}

static void print_one(const Verb *v) {
        printf("Usage: reuseportctl %s%s%s%s\n\n", v->name, *v->options ? " [OPTION…]" : "",
               *v->arguments ? " " : "", v->arguments);
        print_wrapped(v->help, 0);
        if (*v->options)
                putchar('\n');
        for (const char *letter = v->options; *letter; letter++)
                print_option(verb_option_find(*letter));
}

/* ---- for the manual ---- */

static void print_mdoc_word(const char *word, size_t length) {
        if (length > 0 && (*word == '.' || *word == '\''))
                printf("\\&"); /* it would begin like a macro */
        for (size_t i = 0; i < length; i++)
                if (word[i] == '-')
                        printf("\\-");
                else
                        putchar(word[i]);
}

/* A sentence ends its line, and a line is not too long for who reads the source. */
static void print_mdoc_text(const char *words) {
        size_t column = 0;

        while (*words) {
                size_t length = strcspn(words, " "), gap = strspn(words + length, " ");

                if (column > 0 && column + 1 + length > MDOC_WIDTH) {
                        putchar('\n');
                        column = 0;
                }
                column += (size_t) printf("%s", column > 0 ? " " : "") + length;
                print_mdoc_word(words, length);
                if (length > 0 && words[length - 1] == '.' && gap > 0) {
                        putchar('\n');
                        column = 0;
                }
                words += length + gap;
        }
        putchar('\n');
}

/* Brackets and dots that end a word are no punctuation here. */
static void print_mdoc_arguments(const char *words) {
        if (!*words)
                return;

        printf(" Ar ");
        while (*words) {
                size_t length = strcspn(words, " ");

                print_mdoc_word(words, length);
                printf("\\&%s", words[length] ? " " : "");
                words += length + strspn(words + length, " ");
        }
}

static void print_mdoc_option(const VerbOption *o) {
        if (o->has_short)
                printf(".It Fl %c , Fl \\-%s", o->letter, o->name);
        else
                printf(".It Fl \\-%s", o->name);
        if (o->argument)
                printf(" Ar %s", o->argument);
        putchar('\n');
        print_mdoc_text(o->help);
}

static void print_mdoc(void) {
        printf(".Bl -tag -width Ds\n");
        for (size_t i = 0; i < n_verbs; i++) {
                const Verb *v = &verbs[i];

                printf(".It Cm %s", v->name);
                print_mdoc_arguments(v->arguments);
                putchar('\n');
                print_mdoc_text(v->help);
                if (*v->options)
                        printf(".Bl -tag -width Ds\n");
                for (const char *letter = v->options; *letter; letter++)
                        print_mdoc_option(verb_option_find(*letter));
                if (*v->options)
                        printf(".El\n");
        }
        printf(".El\n");
}

/* ---- for programs ---- */

static json_t *verb_to_json(const Verb *v) {
        json_t *options = json_array();

        for (const char *letter = v->options; *letter; letter++) {
                const VerbOption *o = verb_option_find(*letter);

                json_array_append_new(options, json_pack("{s:s, s:s?}", "name", o->name, "argument",
                                                         o->argument));
        }

        return json_pack("{s:s, s:s, s:i, s:i, s:o, s:s}", "name", v->name, "arguments",
                         v->arguments, "min", v->n_min, "max", v->n_max, "options", options, "help",
                         v->help);
}

CtlResult verb_help(Ctl *c, char *const *arguments) {
        const Verb *v = arguments[0] ? verb_find(arguments[0]) : NULL;
        _cleanup_json_ json_t *list = NULL;

        if (arguments[0] && !v) {
                ctl_error("there is no verb \"%s\"", arguments[0]);
                return CTL_USAGE;
        }
        if (c->completion)
                return completion_print(c->completion);
        if (c->mdoc) {
                print_mdoc();
                return CTL_OK;
        }
        if (c->json) {
                list = json_array();
                for (size_t i = 0; i < n_verbs; i++)
                        if (!v || v == &verbs[i])
                                json_array_append_new(list, verb_to_json(&verbs[i]));
                return output_json(json_pack("{s:O}", "verbs", list));
        }

        if (v)
                print_one(v);
        else
                print_all();
        return CTL_OK;
}
