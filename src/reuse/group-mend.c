/* After somebody who shares a listening socket has shut it.
 *
 * The kernel has taken it out of the group and moved the last one into the hole.  If one socket left, or
 * the last ones, we know what is where: the rule is put in force over those who stay, the lost one
 * listens again and is appended, the rule is put in force over all.  Nobody's queue suffers but that of
 * the one that was shut.
 *
 * If several left and several moved, we do not know who moved into which hole; the kernel does not tell,
 * and a wrong guess would send visitors to the wrong bank for ever.  Then we look: each uncertain socket
 * announces a segment size of its own (TCP_MAXSEG) for a moment, and we come in through the slot's door
 * to one index after the other; the size we are told says who is there.  Where nobody can come in, all
 * uncertain ones begin anew, in order, and their queues are reset.  Where somebody looked, one more
 * connection is in the queue, reset by us: who accepts it reads the end at once.
 */

#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/group.h"
#include "reuse/socket.h"

#define ROUNDS_MAX        4U
#define LOOK_TIMEOUT_MSEC 200
#define SEGMENT_BASE      600 /* the kernel takes 88…32767 */

/* Which sockets have left, by the index that they had. */
typedef struct Left {
        ReuseJoined *places;
        unsigned n;
        unsigned first;    /* smallest index */
        unsigned n_movers; /* who stayed but had an index that is gone */
} Left;

static void left_done(Left *left) {
        free(left->places);
}

/* EPOLLHUP is what a socket says that neither listens nor is connected. */
static int find_left(const ReuseTable *t, Left *ret) {
        _cleanup_free_ struct pollfd *polled = calloc(t->n_joined + 1, sizeof(*polled));
        _cleanup_(left_done) Left left = { .places = NULL, .first = UINT32_MAX };

        if (!polled)
                return -ENOMEM;

        for (unsigned i = 0; i < t->n_joined; i++)
                polled[i] = (struct pollfd){ .fd = reuse_table_fd_at(t, i) };
        if (poll(polled, t->n_joined, 0) < 0)
                return errno == EINTR ? -EAGAIN : -errno;

        left.places = calloc(t->n_joined + 1, sizeof(*left.places));
        if (!left.places)
                return -ENOMEM;

        for (unsigned i = 0; i < t->n_joined; i++)
                if (polled[i].revents & POLLHUP) {
                        left.first = i < left.first ? i : left.first;
                        left.places[left.n++] = t->joined[i];
                }
        for (unsigned i = t->n_joined - left.n; i < t->n_joined; i++)
                left.n_movers += !(polled[i].revents & POLLHUP);

        *ret = left;
        left.places = NULL;
        return (int) ret->n;
}

/* Who is not in the group listens again and is appended.  Returns how many, or an error, and then some
 * may still be outside. */
static int come_back(ReuseGroup *g) {
        ReuseTable *t = &g->table;
        int n = 0;

        for (unsigned bank = 0; bank < t->n_banks; bank++)
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++) {
                        int r;

                        if (t->places[bank][slot].index >= 0)
                                continue;

                        r = reuse_group_listen_fd(g, t->places[bank][slot].fd);
                        if (r < 0)
                                return r;
                        reuse_table_join(t, bank, slot);
                        n++;
                }

        return n;
}

/* A client that the slot's door lets in, where the group is reached from this host. */
static int open_looker(const ReuseGroup *g, ReuseAddress *ret_target, uint16_t *ret_port) {
        static const struct linger reset = { .l_onoff = 1 };
        _cleanup_close_ int fd = -EBADF;
        ReuseAddress us;
        bool is_v6 = g->address.sa.sa_family == AF_INET6 && !g->address.is_dual_stack;
        int r;

        r = reuse_address_parse("tcp", is_v6 ? "[::1]:0" : REUSE_DOOR_SLOT_ADDRESS ":0", true, &us);
        if (r < 0)
                return r;

        *ret_target = g->address;
        if (reuse_address_is_wildcard(&g->address)) {
                r = reuse_address_parse("tcp", is_v6 ? "[::1]:0" : "127.0.0.1:0", true, ret_target);
                if (r < 0)
                        return r;
                reuse_address_set_port(ret_target, reuse_address_port(&g->address));
        }

        fd = reuse_socket_new(&us, /* nonblock= */ true);
        if (fd < 0)
                return fd;

        (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        if (bind(fd, &us.sa, us.length) < 0)
                return -errno;

        r = reuse_address_of_socket(fd, &us);
        if (r < 0)
                return r;

        *ret_port = reuse_address_port(&us);
        return TAKE_FD(fd);
}

/* The segment size that the other side announced. */
static int announced_segment(int fd) {
        struct tcp_info info = { .tcpi_state = 0 };
        socklen_t size = sizeof(info);

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
                return -errno;

        /* each segment has a time stamp of 12 bytes in it, if both sides want that */
        return (int) info.tcpi_snd_mss + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12 : 0);
}

/* Comes in at @index; returns what is announced there. */
static int look_at(ReuseGroup *g, unsigned index) {
        _cleanup_close_ int fd = -EBADF;
        ReuseRule rule = g->rule;
        ReuseAddress target;
        struct pollfd polled;
        uint16_t port = 0;
        int r;

        fd = open_looker(g, &target, &port);
        if (fd < 0)
                return fd;

        /* the door is told a place, which the table, right or wrong, makes this index */
        rule.door = (ReuseDoor){ .is_open = true,
                                 .bank = g->table.joined[index].bank,
                                 .slot = g->table.joined[index].slot,
                                 .slot_port_v6 = port };
        r = reuse_group_apply_rule(g, &rule, -1);
        if (r < 0)
                return r;

        if (connect(fd, &target.sa, target.length) < 0 && errno != EINPROGRESS)
                return -errno;

        polled = (struct pollfd){ .fd = fd, .events = POLLOUT };
        if (poll(&polled, 1, LOOK_TIMEOUT_MSEC) <= 0)
                return -ETIMEDOUT;
        if (polled.revents != POLLOUT)
                return -ECONNREFUSED;

        return announced_segment(fd);
}

/* Looks who is where from @first on, each of them announcing its index in the table. */
static int look(ReuseGroup *g, unsigned first) {
        ReuseTable *t = &g->table;
        _cleanup_free_ ReuseJoined *order = calloc(t->n_joined, sizeof(*order));
        _cleanup_free_ bool *is_seen = calloc(t->n_joined, sizeof(*is_seen));

        if (!order || !is_seen)
                return -ENOMEM;

        for (unsigned index = first; index < t->n_joined; index++) {
                int who = look_at(g, index);

                if (who < 0)
                        return who;

                who -= SEGMENT_BASE;
                if (who < (int) first || who >= (int) t->n_joined || is_seen[who])
                        return -ENOTUNIQ; /* not one of them: somebody left just now */
                is_seen[who] = true;
                order[index - first] = t->joined[who];
        }

        reuse_table_reorder(t, first, order);
        return 0;
}

static int announce(const ReuseTable *t, unsigned first, bool is_on) {
        for (unsigned i = first; i < t->n_joined; i++) {
                int size = is_on ? SEGMENT_BASE + (int) i : 0;

                if (setsockopt(reuse_table_fd_at(t, i), IPPROTO_TCP, TCP_MAXSEG, &size,
                               sizeof(size)) < 0)
                        return -errno;
        }

        return 0;
}

/* All from @first on begin anew.  Who leaves from the end on moves nobody before @first. */
static int begin_anew(ReuseGroup *g, unsigned first) {
        ReuseTable *t = &g->table;

        while (t->n_joined > first) {
                const ReuseJoined *last = t->joined + t->n_joined - 1;

                (void) shutdown(reuse_table_fd_at(t, t->n_joined - 1), SHUT_RDWR);
                reuse_table_leave(t, last->bank, last->slot);
        }

        return t->n_joined > 0 ? come_back(g) : reuse_group_listen_streams(g);
}

/* Nobody is spared: for a socket that could not come back because it carries a rule of its own. */
static int begin_all_anew(ReuseGroup *g) {
        (void) reuse_group_refuse(g);
        return reuse_group_listen(g);
}

static int make_certain(ReuseGroup *g, unsigned first) {
        int r;

        r = announce(&g->table, first, true);
        if (r >= 0)
                r = look(g, first);
        (void) announce(&g->table, first, false); /* by the time it fails, it was never set */

        return r < 0 ? begin_anew(g, first) : r;
}

/* What is known so far. */
typedef struct Mend {
        ReuseGroup *group;
        unsigned n_back;   /* who had left and is back */
        unsigned first;    /* smallest index that was left: nobody before it has moved */
        bool is_uncertain; /* who is where from there on */
} Mend;

/* One round: those who have left by now come back.  Returns how many. */
static int mend_round(Mend *m) {
        _cleanup_(left_done) Left left = { .places = NULL };
        ReuseTable *t = &m->group->table;
        int r;

        r = find_left(t, &left);
        if (r < 0 || (r == 0 && t->n_joined == t->n_places))
                return r;

        if (left.n == t->n_joined) { /* nobody stayed: as after refusing */
                reuse_table_leave_all(t);
                m->is_uncertain = false;
                r = reuse_group_listen_streams(m->group);
                return r < 0 ? r : (int) t->n_joined;
        }

        /* who leaves while we are at it left before or after the others came back: nobody knows */
        m->is_uncertain = m->is_uncertain || left.n_movers > 1 || m->n_back > 0;
        m->first = left.first < m->first ? left.first : m->first;
        for (unsigned i = 0; i < left.n; i++)
                reuse_table_leave(t, left.places[i].bank, left.places[i].slot);

        if (!m->is_uncertain) /* a bank may have nobody now: then its visitors have to wait */
                (void) reuse_group_apply_rule(m->group, &m->group->rule, -1);

        return come_back(m->group);
}

int reuse_group_mend(ReuseGroup *g) {
        Mend m = { .group = g, .first = UINT32_MAX };
        int r = 0;

        assert(g);

        if (g->is_refusing || g->address.type != SOCK_STREAM)
                return 0;

        for (unsigned round = 0; round < ROUNDS_MAX; round++) {
                r = mend_round(&m);
                if (r <= 0)
                        break;
                m.n_back += (unsigned) r;
        }

        if (r >= 0 && m.n_back == 0)
                return 0;

        if (r >= 0 && m.is_uncertain)
                r = make_certain(g, m.first);
        if (r == -EADDRINUSE)
                r = begin_all_anew(g);
        if (r >= 0)
                r = reuse_group_apply_rule(g, &g->rule, -1);

        return r < 0 ? r : (int) m.n_back;
}
