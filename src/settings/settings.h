#pragma once

/* What endpoints.conf says, as one immutable value.
 *
 * settings_load() reads, checks and resolves everything, or reports every problem and gives
 * nothing. A Settings is never changed afterwards: a reload makes a second one and compares. 
 * Everything in it belongs to it.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "reuse/reuseport.h"

#define WORKERS_MAX 512U

typedef enum ServiceType {
        SERVICE_TYPE_EXEC,   /* ready when the program runs */
        SERVICE_TYPE_NOTIFY, /* ready when it says READY=1 */
        SERVICE_TYPE_MAX,
        SERVICE_TYPE_INVALID = -EINVAL,
} ServiceType;

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

typedef enum OutputKind {
        OUTPUT_INHERIT,
        OUTPUT_NULL,
        OUTPUT_FILE, /* written from its beginning, not cut: as in systemd */
        OUTPUT_APPEND,
        OUTPUT_JOURNAL,
        OUTPUT_KIND_MAX,
        OUTPUT_KIND_INVALID = -EINVAL,
} OutputKind;

typedef struct Output {
        OutputKind kind;
        char *path; /* of OUTPUT_FILE and OUTPUT_APPEND */
} Output;

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

/* Of http, is_tcp and exec at most one is set; none: nothing is checked. */
typedef struct HealthCheck {
        char *http; /* a path */
        bool is_tcp;
        char **exec;
        char *endpoint; /* NULL: the first that the check can speak to */
        uint64_t interval_usec, timeout_usec;
        unsigned healthy, unhealthy; /* rounds in a row */
} HealthCheck;

typedef struct DeploySettings {
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
        Place place;
        KeyPlace *keys;
        size_t n_keys;
        const ServiceSettings *service; /* that uses it, or NULL */
        int type;                       /* SOCK_STREAM or SOCK_DGRAM */
        ReuseAddress *addresses;
        size_t n_addresses;
        bool is_shared;
        int backlog; /* 0: net.core.somaxconn */
        bool is_exclusive;
} EndpointSettings;

struct ServiceSettings {
        char *name;
        Place place;
        KeyPlace *keys;
        size_t n_keys;
        char **endpoint_names;
        const EndpointSettings **endpoints; /* in the order of endpoint_names */
        size_t n_endpoints;
        char **exec_start;
        ServiceType type;
        unsigned n_workers;

        Activation activation;
        Restart restart;
        uint64_t restart_delay_usec;
        uint64_t restart_max_delay_usec;
        uint64_t timeout_start_usec; /* USEC_INFINITY: none */
        uint64_t timeout_stop_usec;
        uint64_t watchdog_usec; /* 0: none */
        int kill_signal;
        int final_kill_signal;
        char *user;    /* as written, or NULL */
        char *group;   /* the same */
        bool has_user; /* then uid, gid and groups are set, from user and group */
        uid_t uid;
        gid_t gid;
        gid_t *groups;
        size_t n_groups;
        char *user_name;    /* for USER, LOGNAME and messages; NULL if unknown */
        char *home;         /* for HOME; NULL if unknown */
        char **environment; /* "K=V" */
        char *working_directory;
        Output standard_output;
        Output standard_error;

        DeploySettings deploy;
};

typedef struct Settings {
        unsigned n_ref;
        char **files;                 /* that were read */
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

/* Shared by the manager and by every generation that was started from it. */
Settings *settings_ref(Settings *s);

/* Frees it with the last reference; @s may be NULL; returns NULL. */
Settings *settings_unref(Settings *s);
DEFINE_CLEANUP(Settings, settings_unref)

/* NULL if there is none of that name. */
const EndpointSettings *settings_find_endpoint(const Settings *s, const char *name);
const ServiceSettings *settings_find_service(const Settings *s, const char *name);
