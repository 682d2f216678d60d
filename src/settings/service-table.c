#include <limits.h>
#include <stddef.h>

#include "base/parse.h"
#include "settings/settings-table.h"
#include "settings/value.h"

#define DAY_USEC  (24 * 3600 * USEC_PER_SEC)
#define YEAR_USEC (366 * DAY_USEC)

static const char *const type_names[SERVICE_TYPE_MAX] = {
        [SERVICE_TYPE_EXEC] = "exec",
        [SERVICE_TYPE_NOTIFY] = "notify",
};

static const char *const fd_protocol_names[FD_PROTOCOL_MAX] = {
        [FD_PROTOCOL_SYSTEMD] = "systemd",
        [FD_PROTOCOL_NGINX] = "nginx",
        [FD_PROTOCOL_SERVER_STARTER] = "server-starter",
        [FD_PROTOCOL_FPM] = "fpm",
        [FD_PROTOCOL_NGHTTPX] = "nghttpx",
        [FD_PROTOCOL_INETD] = "inetd",
        [FD_PROTOCOL_ARGS] = "args",
};

static const char *const activation_names[ACTIVATION_MAX] = {
        [ACTIVATION_EAGER] = "eager",
        [ACTIVATION_ON_DEMAND] = "on-demand",
};

static const char *const restart_names[RESTART_MAX] = {
        [RESTART_NO] = "no",
        [RESTART_ON_FAILURE] = "on-failure",
        [RESTART_ALWAYS] = "always",
};

static const char *const kill_mode_names[KILL_MODE_MAX] = {
        [KILL_MODE_MIXED] = "mixed",
        [KILL_MODE_PROCESS] = "process",
};

#define AT(field) .offset = offsetof(ServiceSettings, field)

/* "SOFT:HARD", or one for both. */
#define LIMIT(key, resource, unit, words)                                                      \
        {                                                                                      \
                .name = key, .kind = &value_kind_limit, AT(limits[resource]), .min = resource, \
                .max = unit, .default_words = "inherited", .applies = APPLIES_TO_NEW_WORKERS,  \
                .help = words " (" #resource "), see getrlimit(2).",                           \
        }

static const SettingRow rows[] = {
        /* what runs */
        {
                        .name = "endpoints",
                        .kind = &value_kind_strings,
                        AT(endpoint_names),
                        .is_required = true,
                        .default_words = "required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Names of endpoints.\n"
                                "A worker gets exactly one descriptor for each address, in this "
                                "order, from 3 up.",
        },
        {
                        .name = "exec_start",
                        .kind = &value_kind_argv,
                        AT(exec_start),
                        .default_words = "this or unit is required",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The program, by its absolute path, and its arguments, as an "
                                "array of strings with templates.\n"
                                "No shell reads it; a single string is refused.",
        },
        {
                        .name = "unit",
                        .kind = &value_kind_string,
                        AT(unit),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "A unit of systemd that runs in place of a program of ours, as "
                                "\"web@%c.service\": started, stopped and watched over D-Bus; its "
                                "sandbox, its limits and its output are systemd's affair.\n"
                                "%c or %g must stand in it, so that two generations are two units; "
                                "%i, if there is more than one worker.\n"
                                "Of preset and fd_protocol counts here only whether the server "
                                "expects its sockets non-blocking, as nginx does, and what of its "
                                "type is known.\n"
                                "It gets its sockets by ExecStartPre=reuseportctl store or "
                                "ExecStart=reuseportctl exec, see reuseportctl(1).",
        },
        {
                        .name = "preset",
                        .kind = &value_kind_preset,
                        AT(preset),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The name of a server, which sets fd_protocol, type and "
                                "kill_signal; a key beside it wins.",
        },
        {
                        .name = "fd_protocol",
                        .kind = &value_kind_enum,
                        AT(fd_protocol),
                        SETTING_NAMES(fd_protocol_names),
                        .default_text = "systemd",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "How a worker learns of its descriptors: \"systemd\" (LISTEN_FDS), "
                                "\"nginx\", \"server-starter\", \"fpm\", \"nghttpx\" (the "
                                "variables of these servers), \"inetd\" (the only one is 0) or "
                                "\"args\" (by %{fd:ENDPOINT} only).",
        },
        {
                        .name = "type",
                        .kind = &value_kind_enum,
                        AT(type),
                        SETTING_NAMES(type_names),
                        .default_text = "exec",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "When a worker is ready: \"notify\", when it says READY=1 "
                                "(sd_notify(3)); \"exec\", when its program runs and has accepted "
                                "a connection of ours, or has lived for a second where there are "
                                "only datagrams.",
        },
        {
                        .name = "workers",
                        .kind = &value_kind_workers,
                        .min = 1,
                        .max = WORKERS_MAX,
                        .default_text = "1",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "How many processes are started, 1 to 512, or \"cpus\": one for "
                                "each CPU that the daemon may use.\n"
                                "A server's own processes live inside one of them.",
        },

        /* when it runs */
        {
                        .name = "activation",
                        .kind = &value_kind_enum,
                        AT(activation),
                        SETTING_NAMES(activation_names),
                        .default_text = "eager",
                        .applies = APPLIES_NOW,
                        .help = "\"eager\": workers are started with the daemon; \"on-demand\": "
                                "with the first visitor, who waits in the queue.",
        },
        {
                        .name = "idle_timeout",
                        .kind = &value_kind_duration,
                        AT(idle_timeout_usec),
                        .min = USEC_PER_MSEC,
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "infinity",
                        .applies = APPLIES_NOW,
                        .help = "A service that is started on demand goes to sleep again when no "
                                "connection has been established for so long.\n"
                                "Not for datagrams.",
        },
        {
                        .name = "restart",
                        .kind = &value_kind_enum,
                        AT(restart),
                        SETTING_NAMES(restart_names),
                        .default_text = "always",
                        .applies = APPLIES_NOW,
                        .help = "Whether a worker that ends is replaced: \"no\", \"on-failure\" "
                                "(unless it succeeds) or \"always\".\n"
                                "A worker of an on-demand service that exits with 0 is asleep, "
                                "not lost.",
        },
        {
                        .name = "restart_delay",
                        .kind = &value_kind_duration,
                        AT(restart_delay_usec),
                        .max = DAY_USEC,
                        .default_text = "100ms",
                        .applies = APPLIES_NOW,
                        .help = "How long to wait before a worker is replaced; doubled for each "
                                "one that dies before it is ready.\n"
                                "Where connections wait for a worker that had been ready, it is "
                                "replaced at once.",
        },
        {
                        .name = "restart_max_delay",
                        .kind = &value_kind_duration,
                        AT(restart_max_delay_usec),
                        .max = DAY_USEC,
                        .default_text = "30s",
                        .applies = APPLIES_NOW,
                        .help = "Where that doubling ends.",
        },
        {
                        .name = "start_limit_interval",
                        .kind = &value_kind_duration,
                        AT(start_limit_interval_usec),
                        .min = 1,
                        .max = YEAR_USEC,
                        .default_words = "off; 10s if start_limit_burst is set",
                        .applies = APPLIES_NOW,
                        .help = "A service is failed when one of its workers was to be started more "
                                "than start_limit_burst times within this time, until somebody "
                                "starts it again.",
        },
        {
                        .name = "start_limit_burst",
                        .kind = &value_kind_integer,
                        AT(start_limit_burst),
                        .min = 1,
                        .max = 1000000,
                        .default_words = "off; 5 if start_limit_interval is set",
                        .applies = APPLIES_NOW,
                        .help = "See start_limit_interval.",
        },
        {
                        .name = "timeout_start",
                        .kind = &value_kind_duration,
                        AT(timeout_start_usec),
                        .min = USEC_PER_MSEC,
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "90s",
                        .applies = APPLIES_NOW,
                        .help = "How long a worker may take until it is ready.",
        },
        {
                        .name = "timeout_stop",
                        .kind = &value_kind_duration,
                        AT(timeout_stop_usec),
                        .max = INT64_MAX,
                        .may_be_infinite = true,
                        .default_text = "90s",
                        .applies = APPLIES_NOW,
                        .help = "The time from kill_signal to final_kill_signal.",
        },
        {
                        .name = "watchdog",
                        .kind = &value_kind_duration,
                        AT(watchdog_usec),
                        .min = USEC_PER_MSEC,
                        .max = YEAR_USEC,
                        .default_words = "off",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "A worker that does not say WATCHDOG=1 (sd_notify(3)) within this "
                                "time is killed and replaced.",
        },
        {
                        .name = "kill_signal",
                        .kind = &value_kind_signal,
                        AT(kill_signal),
                        .default_text = "SIGTERM",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "What asks a worker to finish and end.",
        },
        {
                        .name = "final_kill_signal",
                        .kind = &value_kind_signal,
                        AT(final_kill_signal),
                        .default_text = "SIGKILL",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "What ends a worker that did not.",
        },
        {
                        .name = "kill_mode",
                        .kind = &value_kind_enum,
                        AT(kill_mode),
                        SETTING_NAMES(kill_mode_names),
                        .default_text = "mixed",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "\"mixed\": final_kill_signal goes to the worker's children too; "
                                "\"process\": to the worker only.",
        },

        /* as whom */
        {
                        .name = "user",
                        .kind = &value_kind_identity,
                        AT(user),
                        .default_words = "the daemon's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Name or number of the user that workers run as, with its groups.",
        },
        {
                        .name = "group",
                        .kind = &value_kind_identity,
                        AT(group),
                        .default_words = "the user's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Name or number of the group that workers run as.",
        },
        {
                        .name = "supplementary_groups",
                        .kind = &value_kind_identities,
                        AT(supplementary_groups),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Further groups.",
        },
        {
                        .name = "ambient_capabilities",
                        .kind = &value_kind_capabilities,
                        AT(ambient_capabilities),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Capabilities that workers have although they are not root, by "
                                "the names of capabilities(7).",
        },
        {
                        .name = "no_new_privileges",
                        .kind = &value_kind_boolean,
                        AT(no_new_privileges),
                        .default_text = "true",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Programs that workers execute cannot gain privileges.",
        },
        {
                        .name = "reuseport_lock",
                        .kind = &value_kind_boolean,
                        AT(reuseport_lock),
                        .default_text = "false",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "A seccomp(2) filter keeps workers from touching the rule that "
                                "says who gets what.",
        },

        /* in what surroundings */
        {
                        .name = "working_directory",
                        .kind = &value_kind_path,
                        AT(working_directory),
                        .default_words = "the daemon's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Where workers start, an absolute path with templates.",
        },
        {
                        .name = "root_directory",
                        .kind = &value_kind_path,
                        AT(root_directory),
                        .default_words = "the daemon's",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "What workers see as /, see chroot(2).",
        },
        {
                        .name = "umask",
                        .kind = &value_kind_mode,
                        AT(umask),
                        .max = 0777,
                        .default_text = "",
                        .default_words = "inherited",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "An octal mode as a string, see umask(2).",
        },
        {
                        .name = "nice",
                        .kind = &value_kind_optional_integer,
                        AT(nice),
                        .min = -20,
                        .max = 19,
                        .default_text = "",
                        .default_words = "inherited",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "From -20, most urgent, to 19; see setpriority(2).",
        },
        {
                        .name = "oom_score_adjust",
                        .kind = &value_kind_optional_integer,
                        AT(oom_score_adjust),
                        .min = -1000,
                        .max = 1000,
                        .default_text = "",
                        .default_words = "inherited",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "From -1000, never killed when memory runs out, to 1000, first.",
        },
        {
                        .name = "cpu_affinity",
                        .kind = &value_kind_affinity,
                        AT(cpu_affinity),
                        .default_words = "inherited",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "CPUs such as \"0-3,6\" or [0, 1] for all workers, or \"slot\": "
                                "worker i on CPU i.",
        },
        LIMIT("limit_as", RLIMIT_AS, LIMIT_BYTES, "Address space"),
        LIMIT("limit_core", RLIMIT_CORE, LIMIT_BYTES, "Core files"),
        LIMIT("limit_cpu", RLIMIT_CPU, LIMIT_SECONDS, "CPU time"),
        LIMIT("limit_data", RLIMIT_DATA, LIMIT_BYTES, "Data segment"),
        LIMIT("limit_fsize", RLIMIT_FSIZE, LIMIT_BYTES, "Size of files"),
        LIMIT("limit_locks", RLIMIT_LOCKS, LIMIT_NUMBER, "File locks"),
        LIMIT("limit_memlock", RLIMIT_MEMLOCK, LIMIT_BYTES, "Locked memory"),
        LIMIT("limit_msgqueue", RLIMIT_MSGQUEUE, LIMIT_BYTES, "POSIX message queues"),
        LIMIT("limit_nice", RLIMIT_NICE, LIMIT_NUMBER, "Priority, 20 minus the nice value"),
        LIMIT("limit_nofile", RLIMIT_NOFILE, LIMIT_NUMBER, "Descriptors"),
        LIMIT("limit_nproc", RLIMIT_NPROC, LIMIT_NUMBER, "Processes of the user"),
        LIMIT("limit_rss", RLIMIT_RSS, LIMIT_BYTES, "Resident memory, without effect"),
        LIMIT("limit_rtprio", RLIMIT_RTPRIO, LIMIT_NUMBER, "Real-time priority"),
        LIMIT("limit_rttime", RLIMIT_RTTIME, LIMIT_MICROSECONDS, "Real-time CPU time"),
        LIMIT("limit_sigpending", RLIMIT_SIGPENDING, LIMIT_NUMBER, "Queued signals"),
        LIMIT("limit_stack", RLIMIT_STACK, LIMIT_BYTES, "Stack"),
        {
                        .name = "environment",
                        .kind = &value_kind_environment,
                        AT(said_environment),
                        .default_words = "PATH, LANG and TZ only",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Variables as \"NAME=VALUE\" with templates, one or an array; of "
                                "two with one name the later counts.\n"
                                "LISTEN_*, NOTIFY_SOCKET, WATCHDOG_* and REUSEPORTD_* are "
                                "refused, since they are set for each worker.",
        },
        {
                        .name = "environment_file",
                        .kind = &value_kind_files,
                        AT(environment_file),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Files of such variables, one in a line, read at load; they win "
                                "over environment.\n"
                                "Quotes, '\\' and comments are as in systemd.exec(5); a '-' "
                                "before the path: it may be missing.",
        },
        {
                        .name = "pass_environment",
                        .kind = &value_kind_variables,
                        AT(pass_environment),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Names of variables that pass from the daemon's environment; "
                                "environment wins over them.",
        },
        {
                        .name = "standard_output",
                        .kind = &value_kind_output,
                        AT(standard_output),
                        .default_text = "",
                        .default_words = "\"journal\" if there is one, else \"inherit\"",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Where workers' output goes: \"journal\", \"inherit\", \"null\", "
                                "\"file:PATH\" (written from its beginning) or \"append:PATH\".",
        },
        {
                        .name = "standard_error",
                        .kind = &value_kind_output,
                        AT(standard_error),
                        .default_text = "",
                        .default_words = "\"journal\" if there is one, else \"inherit\"",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The same for what they write to standard error.",
        },

        /* around it */
        {
                        .name = "success_exit_status",
                        .kind = &value_kind_exit_status,
                        AT(success_exit_status),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Exit codes and names of signals that are a success, besides 0.",
        },
        {
                        .name = "exec_start_pre",
                        .kind = &value_kind_commands,
                        AT(exec_start_pre),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "A program with its arguments, or a list of such arrays, that "
                                "must succeed before a worker starts; a '-' before its path: it "
                                "may fail.",
        },
        {
                        .name = "exec_stop_post",
                        .kind = &value_kind_commands,
                        AT(exec_stop_post),
                        .default_words = "none",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "The same, after a worker has ended.",
        },
        {
                        .name = "fd_store_max",
                        .kind = &value_kind_integer,
                        AT(fd_store_max),
                        .max = STORED_FDS_MAX,
                        .default_text = "0",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "How many descriptors the workers of the service may store for their "
                                "successors, by FDSTORE=1 with FDNAME, FDPOLL and FDSTOREREMOVE as in "
                                "sd_notify(3).  It is in their environment as FDSTORE.\n"
                                "Each worker that starts later, also of another generation, gets all "
                                "of them by LISTEN_FDS and LISTEN_FDNAMES behind its sockets, in the "
                                "order in which they came.  One store serves the whole service: where "
                                "a worker wants its own, it puts $REUSEPORTD_WORKER into FDNAME.  The "
                                "store is emptied when the service is stopped or has failed, not while "
                                "it sleeps.  A daemon that is executed anew keeps it; where there is a "
                                "store above the daemon (fd_store) it is left there as well, counts "
                                "in store_max, and crosses the end of a daemon, however it ends.\n"
                                "Only with fd_protocol = \"systemd\": other dialects have no words for "
                                "them.",
        },
};

const SettingTable setting_service_table = {
        .title = "services.NAME",
        .rows = rows,
        .n_rows = ELEMENTS_OF(rows),
        .keys_offset = offsetof(ServiceSettings, keys),
};
