/* reuseportd: reads the command line and the settings, and hands over to the manager. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/log.h"
#include "base/text.h"
#include "config.h"
#include "daemon/fallback.h"
#include "daemon/manager.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

#define FACTS_MAX       64U
#define EXIT_USAGE      2
#define EXIT_BAD_CONFIG 78

enum {
        OPTION_CONTROL = 256,
        OPTION_LOG_LEVEL,
        OPTION_LOG_TARGET,
        OPTION_PRINT_CONFIG,
};

typedef struct Options {
        const char *config_file;
        const char *control;
        int log_level;        /* negative: that of the settings */
        LogTarget log_target; /* the same */
        bool only_check;
        bool only_print;
} Options;

static void print_help(void) {
        printf("Usage: reuseportd [OPTION…]\n\n"
               "Opens the sockets of the endpoints in its configuration and hands them to services.\n\n"
               "  -c, --config FILE  configuration (default: " CONFIG_FILE ")\n"
               "  -t, --check        read and check everything, print every problem, start nothing\n"
               "      --print-config show the effective configuration, and where each value is from\n"
               "      --log-level LEVEL  err, warning, notice, info or debug\n"
               "      --log-target TARGET  journal, stderr or auto\n"
               "      --control SOCKET  where reuseportctl speaks to it (default: control in the\n"
               "                     runtime directory)\n"
               "  -h, --help         this text\n"
               "  -V, --version      version, and what the kernel offers\n\n"
               "See reuseportd(8).\n");
}

static void print_version(void) {
        ReuseFact facts[FACTS_MAX];
        struct utsname kernel;
        _cleanup_strv_ char **fallbacks = NULL;
        size_t n_facts, n_bad = 0;

        printf("reuseportd " PROJECT_VERSION "\n"
               "built in: sd-bus control socket, sock_diag, classic BPF rule\n");
        if (uname(&kernel) >= 0)
                printf("kernel %s: SO_REUSEPORT %s\n", kernel.release,
                       reuse_available() ? "yes" : "no");

        n_facts = reuse_facts(facts, ELEMENTS_OF(facts));
        for (size_t i = 0; i < n_facts; i++)
                if (facts[i].holds <= 0) {
                        printf("  %s: %s\n",
                               facts[i].holds == 0 ? "does not hold" : "could not be tried",
                               facts[i].text);
                        n_bad++;
                }
        if (n_bad == 0)
                printf("  all %zu facts about it that we stand on hold\n", n_facts);

        if (fallback_list(&fallbacks) >= 0)
                STRV_FOREACH(sentence, fallbacks)
                        printf("  %s\n", *sentence);
}

/* Returns -EINVAL. */
static int complain(const char *what, const char *word, const char *const names[], size_t n_names) {
        fprintf(stderr, "reuseportd: '%s' is no %s; there are", word, what);
        for (size_t i = 0; i < n_names; i++)
                if (names[i])
                        fprintf(stderr, " %s", names[i]);
        fprintf(stderr, "\n");
        return -EINVAL;
}

/* Returns 0 to go on, 1 when all is done, or -EINVAL. */
static int read_command_line(int argc, char *argv[], Options *ret) {
        static const struct option options[] = {
                { "config", required_argument, NULL, 'c' },
                { "control", required_argument, NULL, OPTION_CONTROL },
                { "check", no_argument, NULL, 't' },
                { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
                { "log-target", required_argument, NULL, OPTION_LOG_TARGET },
                { "print-config", no_argument, NULL, OPTION_PRINT_CONFIG },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'V' },
                { 0 },
        };
        int c;

        *ret = (Options){
                .config_file = CONFIG_FILE,
                .log_level = -EINVAL,
                .log_target = LOG_TARGET_INVALID,
        };

        while ((c = getopt_long(argc, argv, "c:thV", options, NULL)) >= 0)
                switch (c) {
                case 'c':
                        ret->config_file = optarg;
                        break;
                case OPTION_CONTROL:
                        ret->control = optarg;
                        break;
                case 't':
                        ret->only_check = true;
                        break;
                case OPTION_PRINT_CONFIG:
                        ret->only_print = true;
                        break;
                case OPTION_LOG_LEVEL:
                        ret->log_level = log_level_from_string(optarg);
                        if (ret->log_level < 0)
                                return complain("log level", optarg, log_level_names,
                                                LOG_LEVELS_MAX);
                        break;
                case OPTION_LOG_TARGET:
                        ret->log_target = log_target_from_string(optarg);
                        if (ret->log_target < 0)
                                return complain("log target", optarg, log_target_names,
                                                LOG_TARGET_MAX);
                        break;
                case 'h':
                        print_help();
                        return 1;
                case 'V':
                        print_version();
                        return 1;
                default:
                        fprintf(stderr, "Try 'reuseportd --help'.\n");
                        return -EINVAL;
                }

        if (optind < argc) {
                fprintf(stderr,
                        "reuseportd: unexpected argument '%s'; the configuration is given by -c FILE\n",
                        argv[optind]);
                return -EINVAL;
        }

        return 0;
}

/* Plain lines, so that editors and scripts can read FILE:LINE. */
static void print_problems(const Problems *p) {
        STRV_FOREACH(line, p->warnings)
                fprintf(stderr, "%s\n", *line);
        STRV_FOREACH(line, p->lines)
                fprintf(stderr, "%s\n", *line);
        if (p->n_left_out > 0)
                fprintf(stderr, "and %zu more problems\n", p->n_left_out);
}

int main(int argc, char *argv[]) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        _cleanup_(problems_done) Problems problems = { 0 };
        Options options;
        int r;

        r = read_command_line(argc, argv, &options);
        if (r != 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;

        r = settings_load(options.config_file, &problems, &settings);
        print_problems(&problems);
        if (r == -EBADMSG)
                return EXIT_BAD_CONFIG;
        if (r < 0) {
                fprintf(stderr, "reuseportd: cannot read %s: %s\n", options.config_file,
                        strerror(-r));
                return EXIT_FAILURE;
        }
        if (options.only_check) {
                printf("%s: good, %zu endpoints, %zu services\n", options.config_file,
                       settings->n_endpoints, settings->n_services);
                return EXIT_SUCCESS;
        }

        if (options.only_print) {
                r = settings_print(settings, stdout);
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }

        log_set_level(options.log_level >= 0 ? options.log_level : settings->daemon.log_level);
        (void) log_open(options.log_target >= 0 ? options.log_target : settings->daemon.log_target,
                        NULL);
        r = manager_new(settings, options.control, &manager);
        if (r < 0)
                return EXIT_FAILURE;
        (void) TAKE_PTR(settings); /* the manager's now */
        manager->has_own_log_level = options.log_level >= 0;
        manager->has_own_log_target = options.log_target >= 0;

        r = manager_start(manager);
        if (r < 0)
                return EXIT_FAILURE;

        return manager_run(manager);
}
