#pragma once

/* The daemon: its loop, its endpoints and services, the signals that it obeys.
 *
 * There is one.  It opens every socket before it starts any service, and if one address cannot be opened
 * nothing starts.  Once it runs, an error ends an operation, never the daemon. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "daemon/above.h"
#include "daemon/bus/bus.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/endpoint/strangers.h"
#include "daemon/outer-bus.h"
#include "daemon/service/service.h"
#include "daemon/state/state.h"
#include "daemon/systemd1.h"
#include "settings/settings.h"

struct Manager {
        sd_event *event;
        Above *above;
        Bus *bus;
        OuterBus *outer_bus;
        Systemd1 *systemd1;
        struct Reexec *reexec;  /* one is being prepared */
        const char *program;    /* borrowed: our own file, from the beginning */
        char *const *arguments; /* borrowed: of the command line */
        const char *control;    /* borrowed: what the command line says, or NULL */
        bool has_own_log_level,
                        has_own_log_target; /* the command line says them, whatever the file says */
        Strangers *strangers;
        State *state;                   /* what a successor will need */
        struct StoreQueue *store_queue; /* NULL: there is no store above us */
        Settings *settings;
        Settings *settings_next; /* a reload that waits; NULL: none does */
        Endpoint **endpoints;    /* one for each of the settings, same order */
        size_t n_endpoints;
        Service **services; /* likewise */
        size_t n_services;
        LIST_HEAD(LeavingServices, Service) leaving; /* that the settings do not name any more */
        sd_event_source *chores;
        char *runtime_directory;
        int lock_fd;
        int null_fd;               /* /dev/null, for workers to read from and to write to */
        uint64_t n_notify_sockets; /* ever made: their names */
        uint32_t seed;             /* of the hashes in the rules */
        bool has_socket_owner;
        uid_t socket_owner;
        bool is_adopting;    /* what cannot be understood goes on without us: nobody is killed */
        bool has_lost_words; /* who was before us died, perhaps with what a worker had just said */
        bool must_stop;      /* who was before us was about to */
        bool has_left;       /* all to whoever comes next: nothing is ended */
        bool is_stopping;
        bool has_stopped;
        unsigned n_cut; /* workers that needed the final signal */
};

/* What does not change as long as our pid is ours; all is borrowed. */
typedef struct ManagerOptions {
        const char *control;    /* path of the control socket; NULL: as the settings say */
        const char *program;    /* our own file; NULL: it is not known */
        char *const *arguments; /* argv */
} ManagerOptions;

/* Opens the loop, the runtime directory and the control socket.
 *
 * @settings  taken on success
 *
 * Returns 0 or a negative errno; what failed is logged. */
int manager_new(Settings *settings, const ManagerOptions *options, Manager **ret);

/* The same, and goes on where somebody stopped.
 *
 * @legacy  what he has left; what nobody takes is the caller's to close */
int manager_new_adopting(Legacy *legacy, const ManagerOptions *options, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

/* Opens every socket and starts every service.  What fails is logged, all of it.
 *
 * Returns 0 or a negative errno, and then nothing runs. */
int manager_start(Manager *m);

/* The same of one that adopts: everything goes on. */
int manager_resume(Manager *m);

/* Runs until it is told to stop and everybody is gone.  Returns the exit code. */
int manager_run(Manager *m);

Endpoint *manager_find_endpoint(const Manager *m, const char *name);
Service *manager_find_service(const Manager *m, const char *name);

/* A path for the notify socket of one more worker; the caller's, NULL when there is no memory. */
char *manager_notify_path(Manager *m);

/* What the settings say of the control socket counts from now on. */
void manager_reload_control(Manager *m);

/* In the loop's next turn: frees services that have left, and goes on with a reload that waited. */
void manager_do_chores(Manager *m);

/* From Service: something that can be seen of it has changed. */
void manager_on_service_changed(Manager *m, Service *s);
