/* A group that comes back as descriptors: from the store above us, or over a re-exec.
 *
 * Everything that can be asked of a socket is asked before anything is changed: one wrong descriptor, and
 * a rule would lead visitors somewhere else.  Only their order, the kernel does not tell.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/group.h"

#define MEMBERS_MAX (REUSE_BANKS_MAX * REUSE_SLOTS_MAX)

static int get_int(int fd, int option, int *ret) {
        socklen_t size = sizeof(*ret);

        return getsockopt(fd, SOL_SOCKET, option, ret, &size) < 0 ? -errno : 0;
}

/* TCP or UDP over IP that shares its port and is not connected. */
static int check_socket(int fd, ReuseAddress *ret) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof(peer);
        int protocol, shares, r;

        r = get_int(fd, SO_PROTOCOL, &protocol);
        if (r >= 0)
                r = get_int(fd, SO_REUSEPORT, &shares);
        if (r < 0)
                return r;

        if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
                return -EPROTOTYPE;
        if (!shares)
                return REUSE_EFAILED;
        if (getpeername(fd, (struct sockaddr *) &peer, &size) >= 0)
                return -EISCONN;

        return reuse_address_of_socket(fd, ret);
}

static int check_sockets(const ReuseMember *members, size_t n, ReuseAddress *ret) {
        ReuseAddress first, other;

        for (size_t i = 0; i < n; i++) {
                int r = check_socket(members[i].fd, i == 0 ? &first : &other);

                if (r < 0)
                        return r;
                if (i == 0 || reuse_address_equal(&first, &other))
                        continue;
                return first.type != other.type ? -EPROTOTYPE : -EADDRNOTAVAIL;
        }

        if (reuse_address_port(&first) == 0) /* not bound */
                return -EADDRNOTAVAIL;

        *ret = first;
        return 0;
}

static int compare_cookies(const void *a, const void *b) {
        uint64_t x, y;

        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return (x > y) - (x < y);
}

/* Two descriptors of one socket would make one index two places. */
static int check_different(const ReuseMember *members, size_t n) {
        _cleanup_free_ uint64_t *cookies = calloc(n, sizeof(*cookies));

        if (!cookies)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++) {
                socklen_t size = sizeof(*cookies);

                if (getsockopt(members[i].fd, SOL_SOCKET, SO_COOKIE, cookies + i, &size) < 0)
                        return -errno;
        }

        qsort(cookies, n, sizeof(*cookies), compare_cookies);
        for (size_t i = 1; i < n; i++)
                if (cookies[i] == cookies[i - 1])
                        return -EINVAL;

        return 0;
}

/* Which member is in which place, plus one; 0: none. */
typedef struct Places {
        uint16_t member[REUSE_BANKS_MAX][REUSE_SLOTS_MAX];
} Places;

static int sort_places(const ReuseMember *members, size_t n, Places *ret) {
        *ret = (Places){ .member = { { 0 } } };

        for (size_t i = 0; i < n; i++) {
                const ReuseMember *m = members + i;

                if (m->bank >= REUSE_BANKS_MAX || m->slot >= REUSE_SLOTS_MAX)
                        return -ERANGE;
                if (ret->member[m->bank][m->slot] > 0)
                        return -EINVAL;
                ret->member[m->bank][m->slot] = (uint16_t) (i + 1);
        }

        return 0;
}

/* Lays the members out by their places, each bank from slot 0 without a hole. */
static int fill_table(ReuseTable *t, const ReuseMember *members, size_t n) {
        Places places;
        int r;

        r = sort_places(members, n, &places);
        if (r < 0)
                return r;

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX && places.member[bank][0] > 0; bank++)
                for (unsigned slot = 0; slot < REUSE_SLOTS_MAX; slot++) {
                        unsigned member = places.member[bank][slot];

                        if (member == 0)
                                break;
                        r = reuse_table_add(t, bank, members[member - 1].fd);
                        if (r < 0)
                                return r;
                }

        if (t->n_places != n) /* what stands behind a hole was not reached */
                return -EINVAL;

        for (size_t i = 0; i < n; i++)
                reuse_table_join(t, members[i].bank, members[i].slot);
        return 0;
}

/* Back to the caller: what reuse_group_free() should not close. */
static void disown(ReuseTable *t) {
        for (unsigned bank = 0; bank < t->n_banks; bank++)
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++)
                        t->places[bank][slot].fd = -EBADF;
}

static bool anybody_listens(const ReuseTable *t) {
        for (unsigned i = 0; i < t->n_joined; i++) {
                int listens = 0;

                if (get_int(reuse_table_fd_at(t, i), SO_ACCEPTCONN, &listens) >= 0 && listens)
                        return true;
        }

        return false;
}

/* Into the state that the options ask for, whatever it was: who had them before may have been stopped
 * in the middle of changing it. */
static int bring_into_force(ReuseGroup *g, bool is_refusing) {
        int r;

        if (is_refusing)
                return reuse_group_refuse(g);

        if (g->address.type == SOCK_DGRAM) {
                g->is_refusing = true;
                r = reuse_group_apply_rule(g, &g->rule, -1);
                return r < 0 ? r : reuse_group_listen(g);
        }

        g->is_refusing = !anybody_listens(&g->table);
        if (g->is_refusing) {
                reuse_table_leave_all(&g->table);
                return reuse_group_listen(g);
        }

        r = reuse_group_mend(g);
        return r < 0 ? r : reuse_group_apply_rule(g, &g->rule, -1);
}

static int adopt(ReuseGroup *g, const ReuseMember *members, size_t n,
                 const ReuseGroupOptions *options) {
        int r;

        r = check_sockets(members, n, &g->address);
        if (r >= 0)
                r = check_different(members, n);
        if (r >= 0)
                r = fill_table(&g->table, members, n);
        if (r < 0)
                return r;

        g->rule = reuse_group_first_rule(options, g->table.n_slots[0]);
        r = reuse_rule_check(&g->rule, g->address.type, &g->table, false);
        return r < 0 || options->is_inert ? r : bring_into_force(g, options->is_refusing);
}

int reuse_group_resume(ReuseGroup *g, const ReuseRule *rule) {
        int r;

        assert(g);

        if (rule) {
                r = reuse_rule_check(rule, g->address.type, &g->table, false);
                if (r < 0)
                        return r;
                g->rule = *rule;
        }

        return bring_into_force(g, !rule);
}

int reuse_group_adopt(const ReuseMember *members, size_t n, const ReuseGroupOptions *options,
                      ReuseGroup **ret) {
        static const ReuseGroupOptions defaults;
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        int r;

        assert(ret && (members || n == 0));

        if (n == 0)
                return -EINVAL;
        if (n > MEMBERS_MAX)
                return -ERANGE;

        if (!options)
                options = &defaults;

        r = reuse_group_new(options, &g, NULL);
        if (r < 0)
                return r;

        r = adopt(g, members, n, options);
        if (r < 0) {
                disown(&g->table);
                return r;
        }

        *ret = TAKE_PTR(g);
        return 0;
}
