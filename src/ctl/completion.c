#include "ctl/completion.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ctl/verb.h"

/* What a verb's arguments are; the words are those that the shells' functions go by. */
static const char *kind_of(const Verb *v) {
        if (strstr(v->arguments, "ENDPOINT"))
                return "endpoints";
        if (strstr(v->arguments, "NAME"))
                return v->takes_endpoint ? "names" : "services";
        if (strstr(v->arguments, "FILE"))
                return "files";
        if (strstr(v->arguments, "VERB"))
                return "verbs";

        return "nothing";
}

/* The values of an option: the words of small letters in quotes, which its help lists.  "30s" is an example. */
static void print_values(const VerbOption *o) {
        const char *separator = "";

        for (const char *at = strchr(o->help, '"'); at; at = strchr(at + 1, '"')) {
                size_t length = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz");

                if (length == 0 || at[1 + length] != '"')
                        continue;
                printf("%s%.*s", separator, (int) length, at + 1);
                separator = " ";
                at += length + 1;
        }
}

static bool is_file(const VerbOption *o) {
        return strcmp(o->argument, "SOCKET") == 0;
}

static bool is_signal(const VerbOption *o) {
        return strcmp(o->argument, "SIG") == 0;
}

/* The first clause, without what would end a quoted word of any shell. */
static void print_brief(const char *help, const char *forbidden) {
        for (; *help && strchr(".:;,", *help) == NULL; help++)
                if (*help != '\'' && *help != '"' && strchr(forbidden, *help) == NULL)
                        putchar(*help);
}

static void print_options(const char *letters, bool global) {
        for (size_t i = 0; i < n_verb_options; i++) {
                const VerbOption *o = &verb_options[i];

                if (o->is_global != global || (!global && !strchr(letters, o->letter)))
                        continue;
                if (o->has_short)
                        printf("-%c ", o->letter);
                printf("--%s ", o->name);
        }
        if (global)
                printf("-h --help -V --version");
}

/* ---- bash ---- */

static const char bash_head[] =
                "# Completion of reuseportctl for bash, made from its table of verbs.\n"
                "\n"
                "# The first column of a list that the daemon gives, if it answers.\n"
                "_reuseportctl_ask() {\n"
                "    command reuseportctl --no-legend --no-pager --timeout 2s \\\n"
                "        ${control:+--control \"$control\"} \"$1\" 2>/dev/null | command cut -d ' ' -f 1\n"
                "}\n"
                "\n";

static const char bash_words[] =
                "    # `--option=value` comes as three words.\n"
                "    if [[ $cur == '=' ]]; then cur=; elif [[ $prev == '=' ]]; then "
                "prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        case ${COMP_WORDS[i]} in\n"
                "        --) [[ $verb ]] && { COMPREPLY=($(compgen -f -- \"$cur\")); return; } ;;\n"
                "        --control)\n"
                "            [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))\n"
                "            control=${COMP_WORDS[++i]}\n"
                "            ;;\n";

static void print_bash_options_with_values(void) {
        printf("        ");
        for (size_t i = 0; i < n_verb_options; i++) {
                const VerbOption *o = &verb_options[i];

                if (!o->argument || is_file(o))
                        continue;
                if (o->has_short)
                        printf("-%c | ", o->letter);
                printf("--%s | ", o->name);
        }
        printf("'')\n"
               "            [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))\n"
               "            ((i++))\n"
               "            ;;\n"
               "        -*) ;;\n"
               "        *) [[ $verb ]] || verb=${COMP_WORDS[i]} ;;\n"
               "        esac\n"
               "    done\n");
}

static void print_bash_values(void) {
        printf("    case $prev in\n");
        for (size_t i = 0; i < n_verb_options; i++) {
                const VerbOption *o = &verb_options[i];

                if (!o->argument)
                        continue;
                printf("    ");
                if (o->has_short)
                        printf("-%c | ", o->letter);
                printf("--%s) COMPREPLY=($(compgen ", o->name);
                if (is_file(o))
                        printf("-f");
                else if (is_signal(o))
                        printf("-A signal");
                else {
                        printf("-W '");
                        print_values(o);
                        putchar('\'');
                }
                printf(" -- \"$cur\")); return ;;\n");
        }
        printf("    esac\n");
}

static void print_bash(void) {
        printf("%s_reuseportctl() {\n"
               "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
               "    local verb='' control='' kind='' options='' i\n%s",
               bash_head, bash_words);
        print_bash_options_with_values();
        print_bash_values();

        printf("    case $verb in\n");
        for (size_t i = 0; i < n_verbs; i++) {
                printf("    %s) kind=%s options='", verbs[i].name, kind_of(&verbs[i]));
                print_options(verbs[i].options, false);
                printf("' ;;\n");
        }
        printf("    '') kind=verbs ;;\n    esac\n    if [[ $cur == -* ]]; then\n"
               "        COMPREPLY=($(compgen -W \"$options ");
        print_options("", true);
        printf("\" -- \"$cur\"))\n        return\n    fi\n    case $kind in\n    verbs) "
               "COMPREPLY=($(compgen -W '");
        for (size_t i = 0; i < n_verbs; i++)
                printf("%s%s", i > 0 ? " " : "", verbs[i].name);
        printf("' -- \"$cur\")) ;;\n"
               "    services) COMPREPLY=($(compgen -W \"$(_reuseportctl_ask list)\" -- \"$cur\")) ;;\n"
               "    endpoints) COMPREPLY=($(compgen -W \"$(_reuseportctl_ask list-endpoints)\" -- "
               "\"$cur\")) ;;\n"
               "    names) COMPREPLY=($(compgen -W \"$(_reuseportctl_ask list; _reuseportctl_ask "
               "list-endpoints)\" -- \"$cur\")) ;;\n"
               "    files) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
               "    esac\n"
               "}\n"
               "\n"
               "complete -o filenames -F _reuseportctl reuseportctl\n");
}

/* ---- zsh ---- */

static void print_zsh_option(const VerbOption *o) {
        printf("            ");
        if (o->has_short)
                printf("'(-%c --%s)'{-%c%s,--%s%s}'", o->letter, o->name, o->letter,
                       o->argument ? "+" : "", o->name, o->argument ? "=" : "");
        else
                printf("'--%s%s", o->name, o->argument ? "=" : "");
        putchar('[');
        print_brief(o->help, "[]");
        putchar(']');
        if (o->argument) {
                printf(":%s:", o->argument);
                if (is_file(o))
                        printf("_files");
                else if (is_signal(o))
                        printf("_signals -s");
                else {
                        putchar('(');
                        print_values(o);
                        putchar(')');
                }
        }
        printf("' \\\n");
}

static void print_zsh_verbs(void) {
        for (size_t i = 0; i < n_verbs; i++) {
                const Verb *v = &verbs[i];
                const char *kind = kind_of(v);

                printf("        %s)\n            _arguments \\\n", v->name);
                for (const char *letter = v->options; *letter; letter++)
                        print_zsh_option(verb_option_find(*letter));
                if (strcmp(kind, "files") == 0)
                        printf("            '*:file:_files'\n");
                else if (strcmp(kind, "nothing") == 0)
                        printf("            '*: :'\n");
                else
                        printf("            '*:%s:_reuseportctl_%s'\n", kind, kind);
                printf("            ;;\n");
        }
}

static void print_zsh(void) {
        printf("#compdef reuseportctl\n"
               "# Completion of reuseportctl for zsh, made from its table of verbs.\n\n"
               "# The first column of a list that the daemon gives, if it answers.\n"
               "_reuseportctl_ask() {\n"
               "    local -a names\n"
               "    names=(${${(f)\"$(_call_program $1 reuseportctl --no-legend --no-pager \\\n"
               "        --timeout 2s ${control:+--control $control} $1 "
               "2>/dev/null)\"}%%%% *})\n"
               "    compadd -a names\n"
               "}\n"
               "_reuseportctl_services() { _reuseportctl_ask list }\n"
               "_reuseportctl_endpoints() { _reuseportctl_ask list-endpoints }\n"
               "_reuseportctl_names() { _reuseportctl_ask list; _reuseportctl_ask list-endpoints }\n\n"
               "_reuseportctl_verbs() {\n    local -a verbs\n    verbs=(\n");
        for (size_t i = 0; i < n_verbs; i++) {
                printf("        '%s:", verbs[i].name);
                print_brief(verbs[i].help, "");
                printf("'\n");
        }
        printf("    )\n    _describe verb verbs\n}\n\n"
               "_reuseportctl() {\n"
               "    local curcontext=$curcontext state line control\n"
               "    local -A opt_args\n\n"
               "    _arguments -C \\\n");
        for (size_t i = 0; i < n_verb_options; i++)
                if (verb_options[i].is_global)
                        print_zsh_option(&verb_options[i]);
        printf("            '(- *)'{-h,--help}'[Show help]' \\\n"
               "            '(- *)'{-V,--version}'[Show the version]' \\\n"
               "            '1:verb:_reuseportctl_verbs' \\\n"
               "            '*:: :->arguments'\n"
               "    control=$opt_args[--control]\n"
               "    if [[ $state == arguments ]]; then\n"
               "        case $words[1] in\n");
        print_zsh_verbs();
        printf("        esac\n    fi\n}\n\n_reuseportctl \"$@\"\n");
}

/* ---- fish ---- */

static void print_fish_option(const VerbOption *o, const char *verb) {
        printf("complete -c reuseportctl");
        if (verb)
                printf(" -n '__fish_seen_subcommand_from %s'", verb);
        if (o->has_short)
                printf(" -s %c", o->letter);
        printf(" -l %s", o->name);
        if (o->argument && is_file(o))
                printf(" -rF");
        else if (o->argument) {
                printf(" -xa '");
                if (is_signal(o))
                        printf("(__fish_make_completion_signals; string replace -r \"^[0-9]+ \" SIG -- "
                               "$__kill_signals)");
                else
                        print_values(o);
                putchar('\'');
        }
        printf(" -d '");
        print_brief(o->help, "");
        printf("'\n");
}

static void print_fish_verb(const Verb *v) {
        const char *kind = kind_of(v);

        printf("complete -c reuseportctl -n __fish_use_subcommand -a %s -d '", v->name);
        print_brief(v->help, "");
        printf("'\n");
        if (strcmp(kind, "files") == 0)
                printf("complete -c reuseportctl -n '__fish_seen_subcommand_from %s' -F\n",
                       v->name);
        else if (strcmp(kind, "nothing") != 0)
                printf("complete -c reuseportctl -n '__fish_seen_subcommand_from %s' -a "
                       "'(__reuseportctl_%s)'\n",
                       v->name, kind);
        for (const char *letter = v->options; *letter; letter++)
                print_fish_option(verb_option_find(*letter), v->name);
}

static void print_fish(void) {
        printf("# Completion of reuseportctl for fish, made from its table of verbs.\n\n"
               "# The first column of a list that the daemon gives, if it answers.\n"
               "function __reuseportctl_ask\n"
               "    set -l control (string match -r -- '(?<=--control[= ])\\S+' (commandline -p))\n"
               "    command reuseportctl --no-legend --no-pager --timeout 2s \\\n"
               "        (test -n \"$control\"; and printf '%%s\\n' --control $control) $argv 2>/dev/null \\\n"
               "        | string replace -r ' .*' ''\n"
               "end\n"
               "function __reuseportctl_services\n    __reuseportctl_ask list\nend\n"
               "function __reuseportctl_endpoints\n    __reuseportctl_ask list-endpoints\nend\n"
               "function __reuseportctl_names\n    __reuseportctl_services\n"
               "    __reuseportctl_endpoints\nend\n"
               "function __reuseportctl_verbs\n    printf '%%s\\n'");
        for (size_t i = 0; i < n_verbs; i++)
                printf(" %s", verbs[i].name);
        printf("\nend\n\ncomplete -c reuseportctl -f\n"
               "complete -c reuseportctl -s h -l help -d 'Show help'\n"
               "complete -c reuseportctl -s V -l version -d 'Show the version'\n");
        for (size_t i = 0; i < n_verb_options; i++)
                if (verb_options[i].is_global)
                        print_fish_option(&verb_options[i], NULL);
        for (size_t i = 0; i < n_verbs; i++)
                print_fish_verb(&verbs[i]);
}

CtlResult completion_print(const char *shell) {
        if (strcmp(shell, "bash") == 0)
                print_bash();
        else if (strcmp(shell, "zsh") == 0)
                print_zsh();
        else if (strcmp(shell, "fish") == 0)
                print_fish();
        else {
                ctl_error("--completion: \"%s\" is none of \"bash\", \"zsh\" and \"fish\"", shell);
                return CTL_USAGE;
        }

        return CTL_OK;
}
