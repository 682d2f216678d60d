#include "daemon/endpoint/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/endpoint/endpoint-options.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/endpoint/proc.h"
#include "daemon/endpoint/sockdiag.h"
#include "daemon/manager.h"

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
                if (holders[i].pid > 0)
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

static void release_names(const Endpoint *e, const ReuseGroup *g) {
        for (unsigned bank = 0; g && bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++)
                        state_release_fd(e->manager->state, reuse_group_fd(g, bank, slot));
}

static void close_groups(Endpoint *e) {
        for (size_t i = 0; i < e->n_groups; i++) {
                release_names(e, e->groups[i]);
                e->groups[i] = reuse_group_free(e->groups[i]);
        }
        e->n_groups = 0;
}

/* Opens one address; a port that was picked before, for one that asked for any, is asked for again. */
static int open_group(Endpoint *e, size_t i, const ReuseGroupOptions *options, uint16_t *port,
                      const char **reterr_option) {
        ReuseAddress address = e->settings->addresses[i];
        bool wants_any = reuse_address_port(&address) == 0;
        int r;

        if (wants_any)
                set_port(&address, *port);

        r = reuse_group_open(&address, options, &e->groups[i], reterr_option);
        if (r >= 0 && wants_any)
                *port = reuse_address_port(reuse_group_address(e->groups[i]));

        return r;
}

/* Tries all, so that all that fail are told at once; @is_last_try: -EADDRINUSE of a port that we picked
 * ourselves is told too. */
static int open_groups(Endpoint *e, const ReuseGroupOptions *options, bool is_last_try) {
        const EndpointSettings *s = e->settings;
        uint16_t port = 0;
        int first = 0;

        e->n_groups = s->n_addresses;
        for (size_t i = 0; i < s->n_addresses; i++) {
                const char *option = NULL;
                int r;

                r = open_group(e, i, options, &port, &option);
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

static ReuseGroupOptions group_options(const Endpoint *e) {
        const EndpointSettings *s = e->settings;

        return (ReuseGroupOptions){
                .n_banks = 2,
                .backlog = s->backlog,
                .is_exclusive = s->is_exclusive,
                .is_refusing = true,
                .has_marks = true,
                .has_owner = e->manager->has_socket_owner,
                .owner = e->manager->socket_owner,
                .sockopts = s->sockopts,
                .n_sockopts = s->n_sockopts,
        };
}

int endpoint_new_closed(Manager *manager, const EndpointSettings *settings, Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;

        e->manager = manager;
        e->settings = settings;
        e->groups = calloc(settings->n_addresses, sizeof(ReuseGroup *));
        if (!e->groups)
                return -ENOMEM;

        *ret = TAKE_PTR(e);
        return 0;
}

int endpoint_new(Manager *manager, const EndpointSettings *settings, unsigned n_slots,
                 Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;
        ReuseGroupOptions options;
        int r;

        r = endpoint_new_closed(manager, settings, &e);
        if (r < 0)
                return r;

        options = group_options(e);
        options.n_slots = n_slots;

        /* A port that was free on one address may be taken on the next. */
        for (unsigned i = 1; i <= PORT_TRIES_MAX; i++) {
                r = open_groups(e, &options, /* is_last_try= */ i == PORT_TRIES_MAX);
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

        for (size_t i = 0; i < e->n_groups && r >= 0; i++)
                r = reuse_group_configure(e->groups[i], settings->backlog, list, (size_t) n,
                                          &option);
        if (r < 0)
                log_fields(LOG_ERR, &fields,
                           "Endpoint %s: %s cannot be set on its open sockets: %s; it counts for new "
                           "ones",
                           settings->name, option ? option : "an option", reuse_strerror(r));

        e->settings = settings;
}

void endpoint_close(Endpoint *e) {
        endpoint_unwatch(e);
        close_groups(e);
}

Endpoint *endpoint_free(Endpoint *e) {
        if (!e)
                return NULL;

        endpoint_close(e);
        state_remove(e->manager->state, "endpoint", e->id);
        free(e->groups);
        settings_unref(e->settings_held);
        free(e);
        return NULL;
}

/* By worker → by slot of this endpoint. */
static ReuseRule own_rule(const Endpoint *e, const ReuseRule *rule) {
        ReuseRule own = *rule;

        own.steering = e->settings->steering;
        if (!e->settings->is_shared)
                return own;

        own.door.slot = 0;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                bool is_live = reuse_rule_n_live(rule, bank) > 0;

                memset(own.live[bank], 0, sizeof(own.live[bank]));
                reuse_rule_set_live(&own, bank, 0, is_live);
        }

        return own;
}

int endpoint_adopt_group(Endpoint *e, const ReuseMember *members, size_t n_members,
                         const ReuseRule *rule) {
        ReuseGroupOptions options = group_options(e);
        ReuseRule own;
        int r;

        assert(e->n_groups < e->settings->n_addresses);

        if (rule) {
                own = own_rule(e, rule);
                options.rule = &own;
                options.is_refusing = false;
        }
        r = reuse_group_adopt(members, n_members, &options, &e->groups[e->n_groups]);
        if (r >= 0)
                e->n_groups++;
        return r;
}

int endpoint_set_rule(Endpoint *e, const ReuseRule *rule) {
        ReuseRule own = own_rule(e, rule), before;
        int r;

        if (e->n_groups == 0)
                return 0;

        before = *reuse_group_rule(e->groups[0]);
        if (reuse_rule_equal(&before, &own))
                return 0;

        for (size_t i = 0; i < e->n_groups; i++) {
                r = reuse_group_set_rule(e->groups[i], &own);
                if (r < 0) {
                        while (i-- > 0)
                                (void) reuse_group_set_rule(e->groups[i], &before);
                        return r;
                }
        }

        strangers_look_soon(e->manager->strangers);
        return 0;
}

int endpoint_listen(Endpoint *e, const ReuseRule *rule) {
        int r;

        r = endpoint_set_rule(e, rule);
        if (r < 0)
                return r;

        for (size_t i = 0; i < e->n_groups; i++) {
                r = reuse_group_listen(e->groups[i]);
                if (r < 0) {
                        (void) endpoint_refuse(e);
                        return r;
                }
        }

        strangers_look_soon(e->manager->strangers);
        return endpoint_watch(e);
}

/* Behind his socket ours would have other indices than we think. */
static bool has_strangers(const Endpoint *e) {
        strangers_look(e->manager->strangers);
        return e->n_strangers > 0;
}

int endpoint_grow(Endpoint *e, unsigned bank, unsigned n_workers) {
        unsigned n_slots = endpoint_n_slots(e->settings, n_workers);
        bool has_grown = false;
        int r;

        for (size_t i = 0; i < e->n_groups; i++) {
                ReuseGroup *g = e->groups[i];

                if ((bank >= reuse_group_n_banks(g) || reuse_group_n_slots(g, bank) < n_slots) &&
                    has_strangers(e))
                        return -EADDRINUSE;

                /* One that was opened later has fewer banks than its service. */
                for (unsigned b = reuse_group_n_banks(g); b < bank; b++) {
                        r = reuse_group_grow(g, b, n_slots);
                        if (r < 0)
                                return r;
                        has_grown = true;
                }
                if (bank < reuse_group_n_banks(g) && reuse_group_n_slots(g, bank) >= n_slots)
                        continue;
                r = reuse_group_grow(g, bank, n_slots);
                if (r < 0)
                        return r;
                has_grown = true;
        }

        return has_grown && e->n_sockets > 0 ? endpoint_watch(e) : 0;
}

int endpoint_refuse(Endpoint *e) {
        int first = 0;

        endpoint_unwatch(e);
        for (size_t i = 0; i < e->n_groups; i++) {
                int r = reuse_group_refuse(e->groups[i]);

                if (r < 0 && first == 0)
                        first = r;
        }

        return first;
}

unsigned endpoint_slot_of(const Endpoint *e, unsigned worker) {
        return e->settings->is_shared ? 0 : worker;
}

void endpoint_put_fds(const Endpoint *e, unsigned bank, unsigned slot, int *fds, size_t *n_fds) {
        for (size_t i = 0; i < e->n_groups; i++)
                fds[(*n_fds)++] = reuse_group_fd(e->groups[i], bank, endpoint_slot_of(e, slot));
}

int endpoint_set_nonblock(const Endpoint *e, unsigned bank, unsigned slot, bool nonblock) {
        for (size_t i = 0; i < e->n_groups; i++) {
                int r = fd_set_nonblock(
                                reuse_group_fd(e->groups[i], bank, endpoint_slot_of(e, slot)),
                                nonblock);

                if (r < 0)
                        return r;
        }

        return 0;
}

unsigned endpoint_queue(const Endpoint *e, unsigned bank, unsigned slot) {
        unsigned n = 0, n_waiting;

        for (size_t i = 0; i < e->n_groups; i++)
                if (reuse_group_queue(e->groups[i], bank, endpoint_slot_of(e, slot), &n_waiting,
                                      NULL) >= 0)
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
