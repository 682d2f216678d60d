/* Options of sockets that are open already, and other sockets where that is not enough. */

#include "reuse/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"

typedef struct Options {
        ReuseSockopt *list;
        size_t n;
} Options;

static void options_done(Options *o) {
        for (size_t i = 0; i < o->n; i++)
                free((char *) o->list[i].text);
        free(o->list);
}

static int options_copy(const ReuseSockopt *from, size_t n, Options *ret) {
        _cleanup_(options_done) Options o = { 0 };

        o.list = calloc(n + 1, sizeof(ReuseSockopt));
        if (!o.list)
                return -ENOMEM;

        for (; o.n < n; o.n++) {
                const ReuseSockoptInfo *info = reuse_sockopt_find(from[o.n].name);

                if (!info)
                        return -EINVAL;
                o.list[o.n] = (ReuseSockopt){ .name = info->name, .value = from[o.n].value };
                if (from[o.n].text) {
                        o.list[o.n].text = strdup(from[o.n].text);
                        if (!o.list[o.n].text)
                                return -ENOMEM;
                }
        }

        *ret = o;
        o = (Options){ 0 };
        return 0;
}

static const ReuseSockopt *find(const ReuseSockopt *list, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(list[i].name, name) == 0)
                        return &list[i];

        return NULL;
}

static bool is_same(const ReuseSockopt *a, const ReuseSockopt *b) {
        if (!a || !b || a->value != b->value)
                return false;

        return a->text && b->text ? strcmp(a->text, b->text) == 0 : a->text == b->text;
}

/* Sets on every socket what differs from @before. */
static int set_all(const ReuseGroup *g, const Options *o, const char **reterr_sockopt) {
        for (size_t i = 0; i < o->n; i++) {
                const ReuseSockopt *option = &o->list[i];
                const ReuseSockoptInfo *info = reuse_sockopt_find(option->name);

                if (info->only_before_bind ||
                    is_same(find(g->sockopts, g->n_sockopts, option->name), option))
                        continue;

                for (unsigned bank = 0; bank < g->table.n_banks; bank++)
                        for (unsigned slot = 0; slot < g->table.n_slots[bank]; slot++) {
                                int r = reuse_sockopt_set(reuse_group_fd(g, bank, slot), option,
                                                          NULL);

                                if (r < 0) {
                                        if (reterr_sockopt)
                                                *reterr_sockopt = info->name;
                                        return r;
                                }
                        }
        }

        return 0;
}

/* listen() on a socket that listens changes its backlog and nothing else. */
static int listen_again(const ReuseGroup *g) {
        for (unsigned i = 0; i < g->table.n_joined; i++) {
                int r = reuse_group_listen_fd(g, reuse_table_fd_at(&g->table, i));

                if (r < 0)
                        return r;
        }

        return 0;
}

int reuse_group_configure(ReuseGroup *g, int backlog, const ReuseSockopt *sockopts,
                          size_t n_sockopts, const char **reterr_sockopt) {
        _cleanup_(options_done) Options o = { 0 };
        bool has_other_backlog = g->backlog != backlog;
        Options before;
        int r;

        r = options_copy(sockopts, n_sockopts, &o);
        if (r < 0)
                return r;
        r = set_all(g, &o, reterr_sockopt);
        if (r < 0)
                return r;

        before = (Options){ g->sockopts, g->n_sockopts };
        g->sockopts = o.list;
        g->n_sockopts = o.n;
        g->backlog = backlog;
        o = before;

        return has_other_backlog && !g->is_refusing && g->address.type == SOCK_STREAM
                               ? listen_again(g)
                               : 0;
}

/* Whether a visitor, or somebody at the door, may come there. */
static bool leads_to(const ReuseGroup *g, unsigned bank) {
        if (g->is_refusing && g->address.type == SOCK_STREAM)
                return false;
        if (g->rule.door.is_open && g->rule.door.bank == bank)
                return true;

        for (unsigned slot = 0; slot < g->table.n_slots[bank]; slot++)
                if (reuse_rule_names(&g->rule, bank, slot))
                        return true;

        return false;
}

static int renew_place(ReuseGroup *g, unsigned bank, unsigned slot, const char **reterr_sockopt) {
        ReusePlace *place = reuse_table_place(&g->table, bank, slot);
        _cleanup_close_ int fd = reuse_group_bind_next(g, bank, reterr_sockopt);

        if (fd < 0)
                return fd;

        if (g->address.type == SOCK_STREAM && place->index >= 0) {
                int r = reuse_group_listen_fd(g, fd);

                if (r < 0)
                        return r;
                (void) shutdown(place->fd, SHUT_RDWR); /* else it stays while a copy is held */
        }

        (void) fd_close(place->fd);
        place->fd = TAKE_FD(fd);
        return 0;
}

int reuse_group_renew(ReuseGroup *g, unsigned bank, const char **reterr_sockopt) {
        int r;

        assert(g);

        if (bank >= g->table.n_banks)
                return -ERANGE;
        if (leads_to(g, bank))
                return -EBUSY;

        r = reuse_group_mend(g); /* who is not in the group has no index to leave */
        for (unsigned slot = 0; slot < g->table.n_slots[bank] && r >= 0; slot++)
                r = renew_place(g, bank, slot, reterr_sockopt);

        return r < 0 ? r : 0;
}
