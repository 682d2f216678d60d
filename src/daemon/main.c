/* reuseportd: reads the command line and the settings, and hands over to the manager. */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "config.h"
#include "daemon/fallback.h"
#include "daemon/keeper.h"
#include "daemon/manager.h"
#include "daemon/state/leftover.h"
#include "daemon/state/reexec.h"
#include "reuse/reuseport.h"
#include "settings/settings.h"

#ifdef CRASH_POINTS
#define CRASH_POINTS_TEXT ", crash points"
#else
#define CRASH_POINTS_TEXT ""
#endif
#define FACTS_MAX       64U
#define EXIT_USAGE      2
#define EXIT_BAD_CONFIG 78

enum {
        OPTION_CONTROL = 256,
        OPTION_LOG_LEVEL,
        OPTION_LOG_TARGET,
        OPTION_PRINT_CONFIG,
        OPTION_CAN_ADOPT, /* of ourselves, before we become another program: not for people */
};

typedef struct Options {
        const char *config_file;
        const char *control;
        int log_level;        /* negative: that of the settings */
        LogTarget log_target; /* the same */
        bool only_check;
        bool only_print;
        bool only_can_adopt;
        uint64_t state_fd; /* with that */
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
               "built in: sd-bus control socket, sock_diag, classic BPF rule%s\n",
               CRASH_POINTS_TEXT);
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
                { "can-adopt", required_argument, NULL, OPTION_CAN_ADOPT },
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
                case OPTION_CAN_ADOPT:
                        if (parse_unsigned(optarg, INT_MAX, &ret->state_fd) < 0)
                                return -EINVAL;
                        ret->only_can_adopt = true;
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

/* Our own file, which a package may replace while we run; NULL: not known. */
static char *find_program(void) {
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

        return n > 0 ? strndup(path, (size_t) n) : NULL;
}

static void open_log(const Options *o, const Settings *s) {
        int level = s ? s->daemon.log_level : LOG_INFO;
        LogTarget target = s ? s->daemon.log_target : LOG_TARGET_AUTO;

        log_set_level(o->log_level >= 0 ? o->log_level : level);
        (void) log_open(o->log_target >= 0 ? o->log_target : target, NULL);
}

/* Reads the settings, and does what else needs no more than those.  Returns 0 with the settings, or 1, and
 * then *ret_exit is what to end with. */
static int read_settings(const Options *options, Settings **ret, int *ret_exit) {
        _cleanup_(problems_done) Problems problems = { 0 };
        int r;

        r = settings_load(options->config_file, &problems, ret);
        print_problems(&problems);
        *ret_exit = r == -EBADMSG ? EXIT_BAD_CONFIG : r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (r == -EBADMSG)
                return 1;
        if (r < 0) {
                fprintf(stderr, "reuseportd: cannot read %s: %s\n", options->config_file,
                        strerror(-r));
                return 1;
        }

        if (options->only_check) {
                printf("%s: good, %zu endpoints, %zu services\n", options->config_file,
                       (*ret)->n_endpoints, (*ret)->n_services);
                return 1;
        }
        if (options->only_print) {
                r = settings_print(*ret, stdout);
                *ret_exit = r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                return 1;
        }

        return 0;
}

/* Goes on where somebody stopped.  Returns 0 or a negative errno, which is logged. */
static int resume(const Options *options, const ManagerOptions *manager_options, Legacy *legacy,
                  Manager **ret) {
        int r;

        r = manager_new_adopting(legacy, manager_options, ret);
        if (r < 0)
                return r;

        open_log(options, (*ret)->settings);
        (*ret)->has_own_log_level = options->log_level >= 0;
        (*ret)->has_own_log_target = options->log_target >= 0;
        return manager_resume(*ret);
}

/* One that has left everything to the next frees nothing: that would end workers and remove their sockets. */
static int run(Manager **manager) {
        int status = manager_run(*manager);

        if ((*manager)->has_left)
                _exit(status);
        return status;
}

/* Returns 1 with what another has left for us; 0: nothing was; or a negative errno, with what there is. */
static int find_legacy(const Options *options, Legacy *ret) {
        int r;

        open_log(options, NULL); /* the settings are among what comes back */
        r = legacy_from_exec(ret);
        return r != 0 ? r : legacy_from_above(ret);
}

/* @found  as find_legacy()
 *
 * Returns the exit code. */
static int go_on(const Options *options, const ManagerOptions *manager_options, int found,
                 Legacy *legacy, Again *again) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(leftover_freep) Leftover *leftover = NULL;
        int r = found;

        if (!legacy->is_from_exec)
                (void) leftover_new(legacy, &leftover); /* the same */
        if (r > 0)
                r = resume(options, manager_options, legacy, &manager);
        legacy_done(legacy);
        if (r >= 0) {
                leftover = leftover_free(leftover);
                return run(&manager);
        }

        manager = manager_free(manager);
        return leftover_wait(leftover, again, r);
}

static bool wants_keeper(const DaemonSettings *s) {
        return !keeper_is_above() &&
               (s->fd_store == FD_STORE_KEEPER || (s->fd_store == FD_STORE_AUTO && getpid() == 1));
}

/* @settings  taken always
 *
 * Returns 0 or a negative errno, which is logged. */
static int begin(const Options *options, const ManagerOptions *manager_options, Settings *settings,
                 Manager **ret) {
        int r;

        r = manager_new(settings, manager_options, ret);
        if (r < 0) {
                (void) settings_unref(settings);
                return r;
        }

        (*ret)->has_own_log_level = options->log_level >= 0;
        (*ret)->has_own_log_target = options->log_target >= 0;
        return manager_start(*ret);
}

int main(int argc, char *argv[]) {
        _cleanup_(manager_freep) Manager *manager = NULL;
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        _cleanup_(legacy_done) Legacy legacy = { 0 };
        _cleanup_(again_freep) Again *again = NULL;
        _cleanup_free_ char *program = find_program();
        ManagerOptions manager_options;
        Options options;
        int r, status;

        r = read_command_line(argc, argv, &options);
        if (r != 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        if (options.only_can_adopt)
                return reexec_check_state((int) options.state_fd);

        manager_options = (ManagerOptions){ options.control, program, argv };
        if (!options.only_check && !options.only_print) {
                (void) again_new(&again); /* without it, it is only not waited */
                r = find_legacy(&options, &legacy);
                if (r != 0)
                        return go_on(&options, &manager_options, r, &legacy, again);
        }

        if (read_settings(&options, &settings, &status) > 0)
                return status;

        open_log(&options, settings);
        if (wants_keeper(&settings->daemon)) {
                unsigned store_max = (unsigned) settings->daemon.store_max;

                settings = settings_unref(settings);
                return keeper_run(argv, store_max);
        }

        r = begin(&options, &manager_options, TAKE_PTR(settings), &manager);
        if (r >= 0)
                return run(&manager);

        manager = manager_free(manager);
        return again_after_failed_start(again, legacy.has_failed);
}
