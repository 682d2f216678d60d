#include "daemon/endpoint/endpoint-change.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/endpoint/endpoint-open.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/endpoint/proc.h"

struct EndpointChange {
        Endpoint *endpoint;  /* borrowed */
        ReuseGroup **groups; /* as the settings say, then those that only banks of before hold */
        bool *are_new;
        size_t n_groups, n_open;
        ReuseGroup **before[REUSE_BANKS_MAX]; /* room, so that nothing can fail later */
        bool has_other_groups;
};

/* ---- what can be changed ---- */

static const ReuseSockopt *find_sockopt(const EndpointSettings *e, const char *name) {
        for (size_t i = 0; i < e->n_sockopts; i++)
                if (strcmp(e->sockopts[i].name, name) == 0)
                        return &e->sockopts[i];

        return NULL;
}

static bool is_same_sockopt(const ReuseSockopt *a, const ReuseSockopt *b) {
        if (!a || !b)
                return a == b;
        if (a->text || b->text)
                return a->text && b->text && strcmp(a->text, b->text) == 0;

        return a->value == b->value;
}

bool endpoint_differs_early(const EndpointSettings *before, const EndpointSettings *now) {
        for (const ReuseSockoptInfo *i = reuse_sockopt_next(NULL); i; i = reuse_sockopt_next(i))
                if (i->only_before_bind &&
                    !is_same_sockopt(find_sockopt(before, i->name), find_sockopt(now, i->name)))
                        return true;

        return false;
}

/* The group of an address of the settings; with port 0 it has one that was picked. */
static ReuseGroup *find_group(const Endpoint *e, const ReuseAddress *address) {
        for (size_t i = 0; i < e->n_groups; i++)
                if (reuse_address_equal(&e->settings->addresses[i], address))
                        return e->groups[i];

        for (size_t i = e->n_groups; i < e->n_open; i++)
                if (reuse_address_equal(reuse_group_address(e->groups[i]), address))
                        return e->groups[i];

        return NULL;
}

bool endpoint_can_change(const Endpoint *e, const EndpointSettings *now) {
        const EndpointSettings *before = e->settings;
        bool any_stays = false;

        if (before->type != now->type || before->flows != now->flows ||
            !is_same_sockopt(find_sockopt(before, "bind_to_device"),
                             find_sockopt(now, "bind_to_device")))
                return false;

        for (size_t i = 0; i < now->n_addresses; i++) {
                if (find_group(e, &now->addresses[i]))
                        any_stays = true;
                else if (endpoint_has_open(e, &now->addresses[i]))
                        return false;
        }

        return any_stays;
}

/* ---- on the side ---- */

static bool is_among(ReuseGroup *const *list, size_t n, const ReuseGroup *g) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == g)
                        return true;

        return false;
}

/* All addresses with port 0 have the same. */
static uint16_t picked_port(const Endpoint *e) {
        for (size_t i = 0; i < e->n_groups; i++)
                if (reuse_address_port(&e->settings->addresses[i]) == 0)
                        return reuse_address_port(reuse_group_address(e->groups[i]));

        return 0;
}

static int fill(EndpointChange *c, const EndpointSettings *now, unsigned n_slots) {
        Endpoint *e = c->endpoint;
        uint16_t port = picked_port(e);

        for (size_t i = 0; i < now->n_addresses; i++) {
                ReuseGroup *g = find_group(e, &now->addresses[i]);
                int r;

                if (!g) {
                        r = endpoint_open_one(e, now, i, n_slots, &port, &g);
                        if (r < 0)
                                return r;
                        c->are_new[c->n_open] = true;
                }
                c->groups[c->n_open++] = g;
        }
        c->n_groups = c->n_open;

        for (size_t i = 0; i < e->n_open; i++)
                if (!is_among(c->groups, c->n_open, e->groups[i]))
                        c->groups[c->n_open++] = e->groups[i];
        return 0;
}

int endpoint_change_new(Endpoint *e, const EndpointSettings *now, unsigned n_slots,
                        EndpointChange **ret) {
        _cleanup_(endpoint_change_freep) EndpointChange *c = calloc(1, sizeof(*c));
        size_t n = e->n_open + now->n_addresses;
        int r;

        if (!c)
                return -ENOMEM;

        c->endpoint = e;
        c->groups = calloc(n, sizeof(ReuseGroup *));
        c->are_new = calloc(n, sizeof(bool));
        if (!c->groups || !c->are_new)
                return -ENOMEM;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++) {
                c->before[bank] = calloc(n, sizeof(ReuseGroup *));
                if (!c->before[bank])
                        return -ENOMEM;
        }

        r = fill(c, now, n_slots);
        if (r < 0)
                return r;

        c->has_other_groups = c->n_groups != e->n_groups ||
                              memcmp(c->groups, e->groups, e->n_groups * sizeof(ReuseGroup *)) != 0;
        *ret = TAKE_PTR(c);
        return 0;
}

EndpointChange *endpoint_change_free(EndpointChange *c) {
        if (!c)
                return NULL;

        for (size_t i = 0; c->groups && i < c->n_open; i++)
                if (c->are_new[i])
                        (void) reuse_group_free(c->groups[i]);
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                free(c->before[bank]);
        free(c->groups);
        free(c->are_new);
        free(c);
        return NULL;
}

/* ---- for good ---- */

/* Remembers what a bank holds that was as the settings said; forgets it if they say so again. */
static void keep_bank(EndpointChange *c, unsigned bank) {
        Endpoint *e = c->endpoint;
        EndpointBank *b = &e->banks[bank];

        if (!b->groups) {
                b->groups = TAKE_PTR(c->before[bank]);
                b->n_groups = e->n_groups;
                memcpy(b->groups, e->groups, e->n_groups * sizeof(ReuseGroup *));
        } else if (b->n_groups == c->n_groups &&
                   memcmp(b->groups, c->groups, c->n_groups * sizeof(ReuseGroup *)) == 0) {
                free(b->groups);
                b->groups = NULL;
        }
}

void endpoint_change_apply(EndpointChange *c) {
        Endpoint *e = c->endpoint;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX && c->has_other_groups; bank++)
                keep_bank(c, bank);

        free(e->groups);
        e->groups = TAKE_PTR(c->groups);
        e->n_groups = c->n_groups;
        e->n_open = c->n_open;
        c->n_open = 0;
        if (e->n_sockets > 0)
                (void) endpoint_watch(e); /* they are counted by group */
}

bool endpoint_is_outdated(const Endpoint *e, unsigned bank) {
        const EndpointBank *b = &e->banks[bank];

        return b->groups || b->is_shared != e->settings->is_shared || b->n_early != e->n_early;
}

/* Datagram sockets stay in the kernel's group as long as anybody holds them. */
static bool is_held(const ReuseGroup *g, unsigned bank) {
        SocketHolder holder = { 0 };
        struct stat st;

        if (reuse_group_address(g)->type != SOCK_DGRAM)
                return false;

        for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                if (fstat(reuse_group_fd(g, bank, slot), &st) < 0)
                        continue;
                holder = (SocketHolder){ .inode = (uint32_t) st.st_ino };
                proc_find_holders(&holder, 1, getpid());
                if (holder.pid > 0)
                        return true;
        }

        return false;
}

static int renew_groups(Endpoint *e, unsigned bank) {
        LogFields fields = { .endpoint = e->settings->name };

        for (size_t i = 0; i < e->n_groups; i++) {
                const char *option = NULL;
                int r;

                if (bank >= reuse_group_n_banks(e->groups[i]))
                        continue;
                r = is_held(e->groups[i], bank) ? -EBUSY : 0;
                if (r >= 0) {
                        endpoint_forget_bank(e, e->groups[i], bank);
                        r = reuse_group_renew(e->groups[i], bank, &option);
                }
                if (r < 0) {
                        log_fields(LOG_ERR, &fields,
                                   "Endpoint %s: sockets with its new options cannot be opened%s%s: %s",
                                   e->settings->name, option ? ": " : "", option ? option : "",
                                   reuse_strerror(r));
                        return r;
                }
        }

        return 0;
}

static void drop_unheld(Endpoint *e) {
        size_t n = e->n_groups;

        for (size_t i = e->n_groups; i < e->n_open; i++) {
                bool held = false;

                for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                        held |= e->banks[bank].groups &&
                                is_among(e->banks[bank].groups, e->banks[bank].n_groups,
                                         e->groups[i]);
                if (held)
                        e->groups[n++] = e->groups[i];
                else
                        (void) endpoint_close_group(e, e->groups[i]);
        }
        e->n_open = n;
}

int endpoint_renew(Endpoint *e, unsigned bank) {
        EndpointBank *b = &e->banks[bank];
        bool is_watched = e->n_sockets > 0;
        int r = 0, q = 0;

        if (e->n_open == 0 || !endpoint_is_outdated(e, bank))
                return 0;

        endpoint_unwatch(e);
        if (b->n_early != e->n_early)
                r = renew_groups(e, bank);
        if (r >= 0) {
                *b = (EndpointBank){ .is_shared = e->settings->is_shared,
                                     .n_early = e->n_early,
                                     .groups = b->groups };
                free(b->groups);
                b->groups = NULL;
                drop_unheld(e);
        }
        if (is_watched)
                q = endpoint_watch(e);

        return r < 0 ? r : q;
}
