#pragma once

/* What endpoints.conf says, as one immutable value.
 *
 * settings_load() reads, checks and resolves everything, or reports every problem and gives
 * nothing.  A Settings is never changed afterwards: a reload makes a second one and compares.
 * Everything in it belongs to it.
 */

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "reuse/reuseport.h"

#define WORKERS_MAX    512U
#define STORED_FDS_MAX 4096 /* of one service */
#define STORE_MAX_MAX \
        14000 /* names of nine bytes in LISTEN_FDNAMES, a variable of 128 KiB at most */
#define HTTP_PATH_LENGTH 1024U /* of a health check */

/* An integer that was not said and has no default: inherited. */
#define SETTING_UNSET INT_MIN

typedef enum ServiceType {
        SERVICE_TYPE_EXEC,   /* ready when the program runs, and reads what it was given */
        SERVICE_TYPE_NOTIFY, /* ready when it says READY=1 */
        SERVICE_TYPE_MAX,
        SERVICE_TYPE_INVALID = -EINVAL,
} ServiceType;

typedef enum FdProtocol {
        FD_PROTOCOL_SYSTEMD,
        FD_PROTOCOL_NGINX,
        FD_PROTOCOL_SERVER_STARTER,
        FD_PROTOCOL_FPM,
        FD_PROTOCOL_NGHTTPX,
        FD_PROTOCOL_INETD, /* the only descriptor is 0 */
        FD_PROTOCOL_ARGS,  /* only %{fd:ENDPOINT} */
        FD_PROTOCOL_MAX,
        FD_PROTOCOL_INVALID = -EINVAL,
} FdProtocol;

typedef enum Activation {
        ACTIVATION_EAGER,
        ACTIVATION_ON_DEMAND,
        ACTIVATION_MAX,
        ACTIVATION_INVALID = -EINVAL,
} Activation;

typedef enum Restart {
        RESTART_NO,
        RESTART_ON_FAILURE,
        RESTART_ALWAYS,
        RESTART_MAX,
        RESTART_INVALID = -EINVAL,
} Restart;

typedef enum KillMode {
        KILL_MODE_MIXED,   /* kill_signal to the worker, final_kill_signal to all of its group */
        KILL_MODE_PROCESS, /* both to the worker only */
        KILL_MODE_MAX,
        KILL_MODE_INVALID = -EINVAL,
} KillMode;

typedef enum BindIpv6Only {
        BIND_IPV6_ONLY_DEFAULT,
        BIND_IPV6_ONLY_BOTH,
        BIND_IPV6_ONLY_IPV6_ONLY,
        BIND_IPV6_ONLY_MAX,
        BIND_IPV6_ONLY_INVALID = -EINVAL,
} BindIpv6Only;

typedef enum Flows {
        FLOWS_NONE,
        FLOWS_MAX,
        FLOWS_INVALID = -EINVAL,
} Flows;

typedef enum OutputKind {
        OUTPUT_INHERIT,
        OUTPUT_NULL,
        OUTPUT_FILE, /* written from its beginning, not cut: as in systemd */
        OUTPUT_APPEND,
        OUTPUT_JOURNAL,
        OUTPUT_AUTO, /* not said: the journal if there is one, else inherited */
        OUTPUT_KIND_MAX,
        OUTPUT_KIND_INVALID = -EINVAL,
} OutputKind;

typedef struct Output {
        OutputKind kind;
        char *path; /* of OUTPUT_FILE and OUTPUT_APPEND */
} Output;

typedef enum LimitUnit {
        LIMIT_NUMBER,
        LIMIT_BYTES,
        LIMIT_SECONDS,
        LIMIT_MICROSECONDS,
} LimitUnit;

typedef struct ResourceLimit {
        bool is_set;
        struct rlimit limit;
} ResourceLimit;

typedef struct CpuAffinity {
        enum {
                CPU_AFFINITY_INHERIT,
                CPU_AFFINITY_SLOT, /* worker i on the i-th CPU that we may use, around again */
                CPU_AFFINITY_SET,
        } kind;
        cpu_set_t cpus; /* of CPU_AFFINITY_SET */
} CpuAffinity;

typedef struct ExitStatusSet {
        uint64_t codes[4]; /* bit = exit code */
        uint64_t signals;  /* bit = signal - 1 */
} ExitStatusSet;

typedef struct Command {
        char **argv;
        bool may_fail; /* a '-' stood before the program */
} Command;

typedef struct CommandList {
        Command *commands;
        size_t n_commands;
} CommandList;

/* Where a thing was said, for messages. */
typedef struct Place {
        const char *file; /* owned by the Settings */
        unsigned line;    /* from 1; 0: not said, a default */
} Place;

/* A key that was said, and where. */
typedef struct KeyPlace {
        const char *key; /* of the table */
        Place place;
} KeyPlace;

typedef struct Keys {
        KeyPlace *places;
        size_t n_places;
} Keys;

/* Of http, is_tcp and exec at most one is set; none: nothing is checked. */
typedef struct HealthCheck {
        Keys keys;
        char *http; /* a path */
        bool is_tcp;
        char **exec;
        char *endpoint; /* NULL: the first that the check can speak to */
        uint64_t interval_usec, timeout_usec;
        unsigned healthy, unhealthy; /* rounds in a row */
} HealthCheck;

typedef struct DeploySettings {
        Keys keys;
        HealthCheck health_check;
        unsigned *canary; /* percent, growing */
        size_t n_canary;
        uint64_t step_usec;
        ReuseShareBy canary_by;
        uint64_t min_healthy_time_usec;
        uint64_t progress_deadline_usec;
        uint64_t drain_delay_usec;
        uint64_t drain_timeout_usec;
        char **hook_pre, **hook_post, **hook_failed; /* argv, or NULL */
} DeploySettings;

typedef struct ServiceSettings ServiceSettings;

typedef struct EndpointSettings {
        char *name;
        size_t index; /* among all of the Settings */
        Place place;
        Keys keys;
        const ServiceSettings *service; /* that uses it, or NULL */
        int type;                       /* SOCK_STREAM or SOCK_DGRAM */
        ReuseAddress *addresses;
        size_t n_addresses;
        bool is_shared;
        int backlog;                 /* 0: net.core.somaxconn */
        BindIpv6Only bind_ipv6_only; /* the addresses have it already */
        bool is_exclusive;
        char *file_descriptor_name; /* NULL: its name */
        char **allow_users;         /* as written, or NULL; then their uids */
        uid_t *allow_uids;
        size_t n_allow_uids;
        ReuseSteering steering;
        Flows flows;
        ReuseSockopt *sockopts; /* that were said */
        size_t n_sockopts;
} EndpointSettings;

struct ServiceSettings {
        char *name;
        size_t index; /* among all of the Settings */
        Place place;
        Keys keys;

        char **endpoint_names;
        const EndpointSettings **endpoints; /* in the order of endpoint_names */
        size_t n_endpoints;
        char **exec_start; /* with templates: settings/template.h; NULL: a unit */
        char *unit;        /* of systemd, with templates; NULL: a child of ours */
        char *preset;
        FdProtocol fd_protocol;
        ServiceType type;
        unsigned n_workers;
        bool workers_are_cpus;

        Activation activation;
        uint64_t idle_timeout_usec; /* USEC_INFINITY: none */
        Restart restart;
        uint64_t restart_delay_usec;
        uint64_t restart_max_delay_usec;
        uint64_t start_limit_interval_usec; /* 0: no limit, and neither has start_limit_burst */
        int start_limit_burst;
        uint64_t timeout_start_usec; /* USEC_INFINITY: none */
        uint64_t timeout_stop_usec;
        uint64_t watchdog_usec; /* 0: none */
        int kill_signal;
        int final_kill_signal;
        KillMode kill_mode;

        char *user;                  /* as written, or NULL */
        char *group;                 /* the same */
        char **supplementary_groups; /* the same */
        bool has_user;               /* then uid, gid and groups are set, from those three */
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        char *user_name;               /* for USER, LOGNAME and messages; NULL if unknown */
        char *home;                    /* for HOME; NULL if unknown */
        uint64_t ambient_capabilities; /* bit = capability */
        bool no_new_privileges;
        bool reuseport_lock;

        char *working_directory; /* with templates */
        char *root_directory;
        int umask; /* this and the next two: SETTING_UNSET or the value */
        int nice;
        int oom_score_adjust;
        CpuAffinity cpu_affinity;
        ResourceLimit limits[RLIMIT_NLIMITS]; /* by resource */

        char **environment;      /* "K=V" of the three below, the later counts; with templates */
        char **said_environment; /* the key environment */
        char **environment_file; /* a '-' before one that may be missing */
        char **pass_environment; /* names */

        Output standard_output;
        Output standard_error;
        ExitStatusSet success_exit_status; /* besides 0 */
        CommandList exec_start_pre;
        CommandList exec_stop_post;
        int fd_store_max; /* 0: no store */

        DeploySettings deploy;
};

/* Whether we show ourselves on the system's bus, or our user's. */
typedef enum UseOuterBus {
        USE_OUTER_BUS_AUTO, /* where there is one */
        USE_OUTER_BUS_YES,  /* and it is an error if not */
        USE_OUTER_BUS_NO,
        USE_OUTER_BUS_MAX,
        USE_OUTER_BUS_INVALID = -EINVAL,
} UseOuterBus;

/* Where the daemon leaves its sockets for the one after it. */
typedef enum FdStoreKind {
        FD_STORE_AUTO, /* systemd's if our unit has one, a keeper as PID 1, else nowhere */
        FD_STORE_SYSTEMD,
        FD_STORE_KEEPER,
        FD_STORE_NONE,
        FD_STORE_KIND_MAX,
        FD_STORE_KIND_INVALID = -EINVAL,
} FdStoreKind;

typedef struct DaemonSettings {
        Keys keys;
        int log_level;
        LogTarget log_target;
        char *control_socket; /* NULL: "control" in the runtime directory */
        char *control_group;  /* as written, or NULL; then control_gid is set */
        gid_t control_gid;
        int control_mode; /* SETTING_UNSET: 0600, or 0660 with a group */
        UseOuterBus dbus;
        FdStoreKind fd_store;
        int store_max; /* descriptors */
} DaemonSettings;

/* What a file said when it was read. */
typedef struct SettingsText {
        char *path, *text;
} SettingsText;

/* All files that a Settings was made of, those of the environment included, so that a successor of ours
 * makes the very same of them. */
typedef struct SettingsTexts {
        SettingsText *items;
        size_t n_items;
        bool are_frozen; /* a file that is not among them is not there */
} SettingsTexts;

typedef struct Settings {
        unsigned n_ref;
        uint64_t id; /* of whoever keeps it; 0: nobody does */
        SettingsTexts texts;
        char **files;      /* that were read */
        char *include_dir; /* as written, or NULL */
        DaemonSettings daemon;
        EndpointSettings **endpoints; /* in the order of the files */
        size_t n_endpoints;
        ServiceSettings **services;
        size_t n_services;
        EndpointSettings **endpoints_by_name; /* the same, for settings_find_endpoint() */
        ServiceSettings **services_by_name;
} Settings;

/* Problems, gathered.  Each is one line "FILE:LINE: PATH: what is wrong, what was expected". */
typedef struct Problems {
        char **lines;
        char **warnings;   /* of the same form; they stop nothing */
        size_t n_left_out; /* beyond PROBLEMS_MAX */
} Problems;

#define PROBLEMS_MAX 1000U

void problems_done(Problems *p);

/* Reads @path and all that it includes.
 *
 * Returns 0.  -EBADMSG: there are problems, @problems has them, sorted by file and line, and *ret
 * is unchanged.  Another negative errno: no memory, no processes; @problems may have some. */
int settings_load(const char *path, Problems *problems, Settings **ret);

/* The same of texts that were read before, and of nothing on the disk.
 *
 * @texts  taken always, and empty afterwards */
int settings_load_texts(const char *path, SettingsTexts *texts, Problems *problems, Settings **ret);

/* Keeps a copy, if there is none of that path.  Returns 0 or -ENOMEM. */
int settings_texts_put(SettingsTexts *t, const char *path, const char *text);

/* NULL: not among them. */
const char *settings_texts_find(const SettingsTexts *t, const char *path);
bool settings_texts_equal(const SettingsTexts *a, const SettingsTexts *b);
void settings_texts_done(SettingsTexts *t);

/* Shared by the manager and by every generation that was started from it. */
Settings *settings_ref(Settings *s);

/* Frees it with the last reference; @s may be NULL; returns NULL. */
Settings *settings_unref(Settings *s);
DEFINE_CLEANUP(Settings, settings_unref)

/* NULL if there is none of that name. */
const EndpointSettings *settings_find_endpoint(const Settings *s, const char *name);
const ServiceSettings *settings_find_service(const Settings *s, const char *name);

/* How many descriptors are left in the store above the daemon at most, while every service is deployed: its
 * own, and with what workers may store. */
size_t settings_store_need_of_daemon(const Settings *s);
size_t settings_store_need(const Settings *s);

/* The name for LISTEN_FDNAMES. */
static inline const char *endpoint_descriptor_name(const EndpointSettings *e) {
        return e->file_descriptor_name ?: e->name;
}

/* Writes the effective settings as a file that settings_load() reads as the same, with a comment
 * for each value that says where it comes from.  Returns 0 or a negative errno. */
int settings_print(const Settings *s, FILE *to);
