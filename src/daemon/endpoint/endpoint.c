#include "daemon/endpoint/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/endpoint/endpoint-change.h"
#include "daemon/endpoint/endpoint-open.h"
#include "daemon/endpoint/endpoint-options.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/endpoint/proc.h"
#include "daemon/endpoint/sockdiag.h"
#include "daemon/endpoint/taker.h"
#include "daemon/manager.h"
#include "daemon/messages.h"

#define HOLDERS_MAX    64U
#define PORT_TRIES_MAX 16U

static LogFields fields_of(const Endpoint *e) {
        return (LogFields){ .endpoint = e->settings->name };
}

unsigned endpoint_n_slots(const EndpointSettings *settings, unsigned n_workers) {
        return settings->is_shared || n_workers == 0 ? 1 : n_workers;
}

/* One line for each process, not for each of its sockets. */
static bool is_first_of_its_process(const SocketHolder *holders, int i) {
        for (int k = 0; k < i; k++)
                if (holders[k].pid == holders[i].pid)
                        return false;

        return true;
}

/* Says who has the address, one line each. */
static void log_holders(const Endpoint *e, const ReuseAddress *address, int error) {
        SocketHolder holders[HOLDERS_MAX] = { 0 };
        Holder found[HOLDERS_MAX];
        char text[REUSE_ADDRESS_TEXT_SIZE];
        LogFields fields = fields_of(e);
        int n;

        fields.message_id = MESSAGE_ADDRESS_TAKEN;

        reuse_address_format(address, text, sizeof(text));
        n = sockdiag_find_holders(address, found, ELEMENTS_OF(found));
        for (int i = 0; i < n; i++)
                holders[i].inode = found[i].inode;
        if (n > 0)
                proc_find_holders(holders, (size_t) n, getpid());

        if (n <= 0)
                log_fields(LOG_ERR, &fields, "Endpoint %s: cannot open %s: %s", e->settings->name,
                           text, reuse_strerror(error));

        for (int i = 0; i < n; i++) {
                if (!is_first_of_its_process(holders, i))
                        continue;
                if (holders[i].pid == 1 && getpid() != 1)
                        log_fields(LOG_ERR, &fields,
                                   "Endpoint %s: cannot open %s: held by %s for a unit, a socket unit or "
                                   "one with a file descriptor store, and by whoever else it was given "
                                   "to; stop that",
                                   e->settings->name, text, holders[i].name);
                else if (holders[i].pid > 0)
                        log_fields(LOG_ERR, &fields,
                                   "Endpoint %s: cannot open %s: held by pid %d (%s) of uid %u; end it "
                                   "with: kill %d",
                                   e->settings->name, text, (int) holders[i].pid, holders[i].name,
                                   found[i].uid, (int) holders[i].pid);
                else
                        log_fields(LOG_ERR, &fields,
                                   "Endpoint %s: cannot open %s: held by a process of uid %u, whose pid "
                                   "is not ours to see; as root, `ss -lp` tells",
                                   e->settings->name, text, found[i].uid);
        }
}

static void log_option_failure(const Endpoint *e, const char *address, int error,
                               const char *option) {
        const ReuseSockoptInfo *info = reuse_sockopt_find(option);
        LogFields fields = fields_of(e);

        if (error == -EPERM && info && info->capability)
                log_fields(LOG_ERR, &fields, "Endpoint %s: cannot set %s on %s: that needs %s",
                           e->settings->name, option, address, info->capability);
        else
                log_fields(LOG_ERR, &fields, "Endpoint %s: cannot set %s on %s: %s",
                           e->settings->name, option, address, reuse_strerror(error));
}

static void log_failure(const Endpoint *e, const ReuseAddress *address, int error,
                        const char *option) {
        char text[REUSE_ADDRESS_TEXT_SIZE];
        LogFields fields = fields_of(e);

        if (error == -EADDRINUSE) {
                log_holders(e, address, error);
                return;
        }

        reuse_address_format(address, text, sizeof(text));
        if (option)
                log_option_failure(e, text, error, option);
        else if (error == -EACCES && reuse_address_port(address) < 1024)
                log_fields(LOG_ERR, &fields,
                           "Endpoint %s: cannot open %s: ports below 1024 need CAP_NET_BIND_SERVICE or "
                           "a smaller net.ipv4.ip_unprivileged_port_start",
                           e->settings->name, text);
        else
                log_fields(LOG_ERR, &fields, "Endpoint %s: cannot open %s: %s", e->settings->name,
                           text, reuse_strerror(error));
}

static void set_port(ReuseAddress *address, uint16_t port) {
        if (address->sa.sa_family == AF_INET)
                address->in.sin_port = htons(port);
        else
                address->in6.sin6_port = htons(port);
}

void endpoint_forget_bank(const Endpoint *e, const ReuseGroup *g, unsigned bank) {
        for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++)
                state_release_fd(e->manager->state, reuse_group_fd(g, bank, slot));
}

ReuseGroup *endpoint_close_group(const Endpoint *e, ReuseGroup *g) {
        for (unsigned bank = 0; g && bank < reuse_group_n_banks(g); bank++)
                endpoint_forget_bank(e, g, bank);

        return reuse_group_free(g);
}

static void close_groups(Endpoint *e) {
        for (size_t i = 0; i < e->n_open; i++)
                e->groups[i] = endpoint_close_group(e, e->groups[i]);
        e->n_groups = e->n_open = 0;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                free(e->banks[bank].groups);
                e->banks[bank].groups = NULL;
        }
}

size_t endpoint_n_groups(const Endpoint *e, unsigned bank) {
        return e->banks[bank].groups ? e->banks[bank].n_groups : e->n_groups;
}

ReuseGroup *endpoint_group(const Endpoint *e, unsigned bank, size_t i) {
        return e->banks[bank].groups ? e->banks[bank].groups[i] : e->groups[i];
}

bool endpoint_has_open(const Endpoint *e, const ReuseAddress *address) {
        for (size_t i = 0; i < e->n_open; i++) {
                ReuseAddress open = *reuse_group_address(e->groups[i]);

                open.is_dual_stack = address->is_dual_stack;
                if (reuse_address_equal(&open, address))
                        return true;
        }

        return false;
}

bool endpoint_is_shared(const Endpoint *e, unsigned bank) {
        return e->banks[bank].is_shared;
}

ReuseGroupOptions endpoint_group_options(const Manager *m, const EndpointSettings *settings,
                                         unsigned n_slots) {
        return (ReuseGroupOptions){
                .n_banks = settings->service ? 2 : 1,
                .n_slots = n_slots,
                .backlog = settings->backlog,
                .is_exclusive = settings->is_exclusive,
                .is_refusing = true,
                .has_marks = true,
                .has_owner = m->has_socket_owner,
                .owner = m->socket_owner,
                .sockopts = settings->sockopts,
                .n_sockopts = settings->n_sockopts,
        };
}

/* Opens one address; a port that was picked before, for one that asked for any, is asked for again. */
static int open_group(const Endpoint *e, const EndpointSettings *settings, size_t i,
                      unsigned n_slots, uint16_t *port, ReuseGroup **ret,
                      const char **reterr_option) {
        const ReuseGroupOptions options = endpoint_group_options(e->manager, settings, n_slots);
        ReuseAddress address = settings->addresses[i];
        bool wants_any = reuse_address_port(&address) == 0;
        int r;

        if (wants_any)
                set_port(&address, *port);

        r = reuse_group_open(&address, &options, ret, reterr_option);
        if (r >= 0 && wants_any)
                *port = reuse_address_port(reuse_group_address(*ret));

        return r;
}

int endpoint_open_one(Endpoint *e, const EndpointSettings *settings, size_t i, unsigned n_slots,
                      uint16_t *port, ReuseGroup **ret) {
        const char *option = NULL;
        int r = open_group(e, settings, i, n_slots, port, ret, &option);

        if (r < 0)
                log_failure(e, &settings->addresses[i], r, option);
        return r;
}

/* Tries all, so that all that fail are told at once; @is_last_try: -EADDRINUSE of a port that we picked
 * ourselves is told too. */
static int open_groups(Endpoint *e, unsigned n_slots, bool is_last_try) {
        const EndpointSettings *s = e->settings;
        uint16_t port = 0;
        int first = 0;

        e->n_groups = e->n_open = s->n_addresses;
        for (size_t i = 0; i < s->n_addresses; i++) {
                const char *option = NULL;
                int r;

                r = open_group(e, s, i, n_slots, &port, &e->groups[i], &option);
                if (r >= 0)
                        continue;
                if (r == -EADDRINUSE && reuse_address_port(&s->addresses[i]) == 0 && !is_last_try) {
                        close_groups(e);
                        return -EAGAIN;
                }

                log_failure(e, &s->addresses[i], r, option);
                first = first < 0 ? first : r;
        }

        if (first < 0)
                close_groups(e);
        return first;
}

int endpoint_new(Manager *manager, const EndpointSettings *settings, unsigned n_slots,
                 Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;
        int r;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;

        e->manager = manager;
        e->settings = settings;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                e->banks[bank].is_shared = settings->is_shared;
        e->groups = calloc(settings->n_addresses, sizeof(ReuseGroup *));
        if (!e->groups)
                return -ENOMEM;

        /* A port that was free on one address may be taken on the next. */
        for (unsigned i = 1; i <= PORT_TRIES_MAX; i++) {
                r = open_groups(e, n_slots, /* is_last_try= */ i == PORT_TRIES_MAX);
                if (r != -EAGAIN)
                        break;
        }
        if (r < 0)
                return r;

        endpoint_report_options(e);
        *ret = TAKE_PTR(e);
        return 0;
}

/* One that was said and no longer is goes back to what sockets have from birth, where that is known. */
static int add_unset_flags(const Endpoint *e, const EndpointSettings *now, ReuseSockopt *list,
                           size_t n) {
        for (size_t i = 0; i < e->settings->n_sockopts; i++) {
                const ReuseSockoptInfo *info = reuse_sockopt_find(e->settings->sockopts[i].name);
                bool is_said = false;

                for (size_t k = 0; k < now->n_sockopts; k++)
                        is_said |= strcmp(now->sockopts[k].name, info->name) == 0;
                if (!is_said && info->kind == REUSE_SOCKOPT_BOOLEAN)
                        list[n++] = (ReuseSockopt){ .name = info->name };
        }

        return (int) n;
}

void endpoint_reload(Endpoint *e, const EndpointSettings *settings) {
        _cleanup_free_ ReuseSockopt *list = calloc(
                        settings->n_sockopts + e->settings->n_sockopts + 1, sizeof(*list));
        const char *option = NULL;
        LogFields fields = { .endpoint = settings->name };
        int n = 0, r = list ? 0 : -ENOMEM;

        for (size_t i = 0; list && i < settings->n_sockopts; i++)
                list[n++] = settings->sockopts[i];
        if (list)
                n = add_unset_flags(e, settings, list, (size_t) n);

        for (size_t i = 0; i < e->n_open && r >= 0; i++)
                r = reuse_group_configure(e->groups[i], settings->backlog, list, (size_t) n,
                                          &option);
        if (r < 0)
                log_fields(LOG_ERR, &fields,
                           "Endpoint %s: %s cannot be set on its open sockets: %s; it counts for new "
                           "ones",
                           settings->name, option ? option : "an option", reuse_strerror(r));

        state_touch_endpoint(e);
        if (endpoint_differs_early(e->settings, settings))
                e->n_early++;
        e->settings = settings;
}

void endpoint_close(Endpoint *e) {
        endpoint_unwatch(e);
        close_groups(e);
}

Endpoint *endpoint_free(Endpoint *e) {
        if (!e)
                return NULL;

        if (e->n_takers > 0 && !e->manager->is_adopting)
                (void) endpoint_refuse(e); /* who has taken it still holds it */
        takers_free(e);
        endpoint_close(e);
        state_remove(e->manager->state, "endpoint", e->id);
        free(e->groups);
        settings_unref(e->settings_held);
        free(e);
        return NULL;
}

/* Behind his socket ours would have other indices than we think. */
static bool has_strangers(const Endpoint *e) {
        strangers_look(e->manager->strangers);
        return e->n_strangers > 0;
}

static bool is_large_enough(const ReuseGroup *g, unsigned bank, unsigned n_slots) {
        return bank < reuse_group_n_banks(g) && reuse_group_n_slots(g, bank) >= n_slots;
}

int endpoint_grow(Endpoint *e, unsigned bank, unsigned n_workers) {
        unsigned n_slots = e->banks[bank].is_shared || n_workers == 0 ? 1 : n_workers;
        bool has_grown = false;
        int r;

        for (size_t i = 0; i < endpoint_n_groups(e, bank); i++) {
                ReuseGroup *g = endpoint_group(e, bank, i);

                if (is_large_enough(g, bank, n_slots))
                        continue;
                if (has_strangers(e))
                        return -EADDRINUSE;

                /* One that was opened later has fewer banks than its service. */
                for (unsigned b = reuse_group_n_banks(g); b < bank; b++) {
                        r = reuse_group_grow(g, b, n_slots);
                        if (r < 0)
                                return r;
                }
                r = reuse_group_grow(g, bank, n_slots);
                if (r < 0)
                        return r;
                has_grown = true;
        }

        state_touch_endpoint(e);
        return has_grown && e->n_sockets > 0 ? endpoint_watch(e) : 0;
}

unsigned endpoint_slot_of(const Endpoint *e, unsigned bank, unsigned worker) {
        return e->banks[bank].is_shared ? 0 : worker;
}

void endpoint_put_fds(const Endpoint *e, unsigned bank, unsigned slot, int *fds, size_t *n_fds) {
        for (size_t i = 0; i < endpoint_n_groups(e, bank); i++)
                fds[(*n_fds)++] = reuse_group_fd(endpoint_group(e, bank, i), bank,
                                                 endpoint_slot_of(e, bank, slot));
}

int endpoint_set_nonblock(const Endpoint *e, unsigned bank, unsigned slot, bool nonblock) {
        for (size_t i = 0; i < endpoint_n_groups(e, bank); i++) {
                int r = fd_set_nonblock(reuse_group_fd(endpoint_group(e, bank, i), bank,
                                                       endpoint_slot_of(e, bank, slot)),
                                        nonblock);

                if (r < 0)
                        return r;
        }

        return 0;
}

unsigned endpoint_queue(const Endpoint *e, unsigned bank, unsigned slot) {
        unsigned n = 0, n_waiting;

        for (size_t i = 0; i < endpoint_n_groups(e, bank); i++)
                if (reuse_group_queue(endpoint_group(e, bank, i), bank,
                                      endpoint_slot_of(e, bank, slot), &n_waiting, NULL) >= 0)
                        n += n_waiting;

        return n;
}

char *endpoint_addresses(const Endpoint *e) {
        char text[REUSE_ADDRESS_TEXT_SIZE];
        _cleanup_free_ char *all = NULL;
        size_t size = 0;
        FILE *stream;

        stream = open_memstream(&all, &size);
        if (!stream)
                return NULL;

        for (size_t i = 0; i < e->n_groups; i++)
                fprintf(stream, "%s%s", i > 0 ? " " : "",
                        reuse_address_format(reuse_group_address(e->groups[i]), text,
                                             sizeof(text)));

        if (fclose(stream) != 0)
                return NULL;
        return TAKE_PTR(all);
}
