/* How sockets get into a group: opened together, or one by one when it grows.
 *
 * Opening has two parts, so that nobody gets in before everything is ours: all are bound, then all
 * listen.  (Datagrams have no second part.)
 *
 * The first socket is a special one.  It is bound without SO_REUSEPORT, which is set afterwards: the only
 * test without a gap whether anybody else is there, since who tries the same meets our bound socket.  And
 * it carries the rule from before it listens, so that the rule is in force from the first SYN; no other
 * could: the kernel would say EADDRINUSE.
 */

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/group.h"
#include "reuse/socket.h"
#include "reuse/taken.h"

#define PORT_ATTEMPTS_MAX 16U

static int copy_sockopts(ReuseGroup *g, const ReuseSockopt *options, size_t n,
                         const char **reterr_sockopt) {
        if (n == 0)
                return 0;

        g->sockopts = calloc(n, sizeof(*g->sockopts));
        if (!g->sockopts)
                return -ENOMEM;

        for (; g->n_sockopts < n; g->n_sockopts++) {
                const ReuseSockopt *from = options + g->n_sockopts;
                ReuseSockopt *to = g->sockopts + g->n_sockopts;
                const ReuseSockoptInfo *info = reuse_sockopt_find(from->name);

                if (!info) {
                        if (reterr_sockopt)
                                *reterr_sockopt = from->name;
                        return -EINVAL;
                }

                *to = (ReuseSockopt){ .name = info->name, .value = from->value };
                if (from->text) {
                        to->text = strdup(from->text);
                        if (!to->text)
                                return -ENOMEM;
                }
        }

        return 0;
}

int reuse_group_new(const ReuseGroupOptions *options, ReuseGroup **ret,
                    const char **reterr_sockopt) {
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        int r;

        g = calloc(1, sizeof(*g));
        if (!g)
                return -ENOMEM;

        g->backlog = options->backlog;
        g->is_refusing = options->is_refusing;
        g->has_owner = options->has_owner;
        g->owner = options->owner;
        g->has_marks = options->has_marks;

        r = copy_sockopts(g, options->sockopts, options->n_sockopts, reterr_sockopt);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(g);
        return 0;
}

ReuseRule reuse_group_first_rule(const ReuseGroupOptions *options, unsigned n_slots) {
        return options->rule ? *options->rule : reuse_rule_init(0, n_slots);
}

/* Two bits that mean nothing to TCP, are inherited by accepted sockets and shown by sock_diag.  The
 * options of IPv4 carry them on IPv6 sockets too. */
static int set_mark(int fd, unsigned bank) {
        bool loop, all;
        int value;

        reuse_group_mark(bank, &loop, &all);
        value = loop;
        if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &value, sizeof(value)) < 0)
                return -errno;

        value = all;
        if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &value, sizeof(value)) < 0)
                return -errno;

        return 0;
}

int reuse_group_new_socket(const ReuseGroup *g, unsigned bank, ReuseSharing sharing,
                           const char **reterr_sockopt) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_socket_new(&g->address, /* nonblock= */ true);
        if (fd < 0)
                return fd;

        r = reuse_socket_share(fd, g->address.type, sharing);
        if (r >= 0)
                r = reuse_sockopts_apply(fd, g->sockopts, g->n_sockopts, reterr_sockopt);
        if (r >= 0 && g->has_marks && g->address.type == SOCK_STREAM)
                r = set_mark(fd, bank);
        if (r >= 0 && g->is_refusing && g->address.type == SOCK_DGRAM)
                r = reuse_socket_set_deaf(fd, true);
        if (r < 0)
                return r;

        if (g->has_owner && fchown(fd, g->owner, (gid_t) -1) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static int bind_fd(const ReuseGroup *g, int fd) {
        return bind(fd, &g->address.sa, g->address.length) < 0 ? -errno : 0;
}

static int close_if_refusing(const ReuseGroup *g, int fd) {
        bool is_to_listen = g->address.type != SOCK_STREAM || !g->is_refusing;

        return is_to_listen ? 0 : reuse_socket_set_open(fd, false);
}

/* A datagram socket that was bound alone has no group to attach a rule to, until somebody joins it:
 * a deaf one, for a moment. */
static int found_datagram_group(const ReuseGroup *g, const char **reterr_sockopt) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_group_new_socket(g, 0, REUSE_SHARING_FULL, reterr_sockopt);
        if (fd < 0)
                return fd;

        r = reuse_socket_set_deaf(fd, true);
        return r < 0 ? r : bind_fd(g, fd);
}

/* A socket that carries a rule cannot listen beside others that do, so that streams which do not listen
 * yet get theirs when they will. */
static int apply_first_rule(ReuseGroup *g, int fd) {
        if (g->is_refusing && g->address.type == SOCK_STREAM)
                return 0;

        return reuse_group_apply_rule(g, &g->rule, fd);
}

/* Binds the first socket where nobody else is. */
static int bind_exclusive(ReuseGroup *g, int fd, const char **reterr_sockopt) {
        int r;

        r = bind_fd(g, fd);
        if (r < 0)
                return r;

        r = reuse_address_of_socket(fd, &g->address); /* the port, if it was 0 */
        if (r >= 0)
                r = reuse_socket_share(fd, g->address.type, REUSE_SHARING_FULL);
        if (r >= 0 && g->address.type == SOCK_DGRAM)
                r = found_datagram_group(g, reterr_sockopt);
        if (r >= 0)
                r = apply_first_rule(g, fd);

        return r;
}

/* Binds the first socket where others may be at addresses that overlap, so that no rule can be attached
 * before: streams get it when the first of them listens. */
static int bind_beside_others(ReuseGroup *g, int fd) {
        int r;

        if (reuse_address_is_taken(&g->address))
                return -EADDRINUSE;

        r = bind_fd(g, fd);
        if (r >= 0 && g->address.type == SOCK_DGRAM)
                r = reuse_group_apply_rule(g, &g->rule, fd);

        return r;
}

/* A port that is free now.  Port 0 is for the kernel not the port that was asked for: a socket bound
 * by it loses it when it stops listening.  So a scout looks for one. */
static int find_port(ReuseGroup *g, const char **reterr_sockopt) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_group_new_socket(g, 0, REUSE_SHARING_EXCLUSIVE, reterr_sockopt);
        if (fd < 0)
                return fd;

        r = bind_fd(g, fd);
        return r < 0 ? r : reuse_address_of_socket(fd, &g->address);
}

static int bind_first(ReuseGroup *g, bool is_exclusive, ReusePlace *place, unsigned bank,
                      const char **reterr_sockopt) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_group_new_socket(g, bank, REUSE_SHARING_EXCLUSIVE, reterr_sockopt);
        if (fd < 0)
                return fd;

        r = bind_exclusive(g, fd, reterr_sockopt);
        if (r == -EADDRINUSE && !is_exclusive) {
                r = reuse_socket_share(fd, g->address.type, REUSE_SHARING_FULL);
                if (r >= 0)
                        r = bind_beside_others(g, fd);
        }
        if (r >= 0)
                r = close_if_refusing(g, fd);
        if (r < 0)
                return r;

        place->fd = TAKE_FD(fd);
        return 0;
}

/* The first of a group at port 0: nobody else is at a port that is found. */
static int bind_first_anywhere(ReuseGroup *g, ReusePlace *place, unsigned bank,
                               const char **reterr_sockopt) {
        int r = -EADDRINUSE;

        for (unsigned i = 0; i < PORT_ATTEMPTS_MAX && r == -EADDRINUSE; i++) {
                reuse_address_set_port(&g->address, 0);
                r = find_port(g, reterr_sockopt);
                if (r >= 0) /* somebody may have been quicker */
                        r = bind_first(g, /* is_exclusive= */ true, place, bank, reterr_sockopt);
        }

        return r;
}

int reuse_group_bind_next(const ReuseGroup *g, unsigned bank, const char **reterr_sockopt) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = reuse_group_new_socket(g, bank, REUSE_SHARING_FULL, reterr_sockopt);
        if (fd < 0)
                return fd;

        r = bind_fd(g, fd);
        if (r >= 0)
                r = close_if_refusing(g, fd);
        return r < 0 ? r : TAKE_FD(fd);
}

static int bind_all(ReuseGroup *g, bool is_exclusive, const char **reterr_sockopt) {
        ReuseTable *t = &g->table;
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < t->n_joined; i++) {
                unsigned bank = t->joined[i].bank;
                ReusePlace *place = reuse_table_place(t, bank, t->joined[i].slot);

                if (i > 0) {
                        r = reuse_group_bind_next(g, bank, reterr_sockopt);
                        place->fd = r;
                } else if (reuse_address_port(&g->address) == 0)
                        r = bind_first_anywhere(g, place, bank, reterr_sockopt);
                else
                        r = bind_first(g, is_exclusive, place, bank, reterr_sockopt);
        }

        return r;
}

/* Streams begin to listen, or wait for reuse_group_listen(). */
static int start_streams(ReuseGroup *g) {
        ReuseTable *t = &g->table;

        if (g->is_refusing) {
                reuse_table_leave_all(t);
                return 0;
        }

        for (unsigned i = 0; i < t->n_joined; i++) {
                int r = reuse_group_listen_fd(g, reuse_table_fd_at(t, i));

                if (r >= 0 && g->program.n == 0) /* see bind_beside_others() */
                        r = reuse_group_apply_rule(g, &g->rule, reuse_table_fd_at(t, i));
                if (r < 0)
                        return r;
        }

        return 0;
}

static int add_places(ReuseTable *t, unsigned n_banks, unsigned n_slots) {
        for (unsigned bank = 0; bank < n_banks; bank++)
                for (unsigned slot = 0; slot < n_slots; slot++) {
                        int r = reuse_table_add(t, bank, -EBADF);

                        if (r < 0)
                                return r;
                }

        return 0;
}

int reuse_group_open(const ReuseAddress *address, const ReuseGroupOptions *options,
                     ReuseGroup **ret, const char **reterr_sockopt) {
        static const ReuseGroupOptions defaults;
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        const ReuseGroupOptions *o = options ? options : &defaults;
        unsigned n_slots = o->n_slots > 0 ? o->n_slots : 1;
        int r;

        assert(address && ret);

        if (n_slots > REUSE_SLOTS_MAX || o->n_banks > REUSE_BANKS_MAX)
                return -ERANGE;

        r = reuse_group_new(o, &g, reterr_sockopt);
        if (r < 0)
                return r;

        g->address = *address;
        g->rule = reuse_group_first_rule(o, n_slots);
        r = add_places(&g->table, o->n_banks > 0 ? o->n_banks : 2, n_slots);
        if (r >= 0)
                r = reuse_rule_check(&g->rule, address->type, &g->table, false);
        if (r < 0)
                return r;

        reuse_group_plan(&g->table, &g->rule, /* founder= */ NULL);
        r = bind_all(g, o->is_exclusive, reterr_sockopt);
        if (r >= 0 && address->type == SOCK_STREAM)
                r = start_streams(g);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(g);
        return 0;
}

static int grow_by_one(ReuseGroup *g, unsigned bank) {
        _cleanup_close_ int fd = -EBADF;
        bool joins = g->address.type == SOCK_DGRAM || !g->is_refusing;
        int r;

        fd = reuse_group_bind_next(g, bank, NULL);
        if (fd < 0)
                return fd;

        r = reuse_table_add(&g->table, bank, fd);
        if (r < 0)
                return r;

        TAKE_FD(fd);
        if (g->address.type == SOCK_STREAM && joins) {
                r = reuse_group_listen_fd(g, reuse_group_fd(g, bank, g->table.n_slots[bank] - 1));
                if (r < 0) {
                        reuse_table_drop(&g->table, bank);
                        return r;
                }
        }

        if (joins)
                reuse_table_join(&g->table, bank, g->table.n_slots[bank] - 1);
        return 0;
}

int reuse_group_grow(ReuseGroup *g, unsigned bank, unsigned n_slots) {
        unsigned n_before;

        assert(g);

        if (bank > g->table.n_banks || bank >= REUSE_BANKS_MAX || n_slots > REUSE_SLOTS_MAX)
                return -ERANGE;

        n_before = g->table.n_slots[bank];
        while (g->table.n_slots[bank] < n_slots) {
                int r = grow_by_one(g, bank);

                if (r < 0) {
                        while (g->table.n_slots[bank] > n_before)
                                reuse_table_drop(&g->table, bank);
                        return r;
                }
        }

        return 0;
}
