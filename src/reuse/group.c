/* A group: all sockets of one address, and the rule over them.
 *
 * Streams join the kernel's group with listen(), datagrams with bind().  Whoever is opened stays until
 * the group is freed; refusing is not leaving: streams stop listening all together and come back all
 * together, in a new order, with the rule attached to the first before any of them listens; datagrams
 * stay where they are and are deaf.
 *
 * The kernel does not give an attached program back, so that ours is the only copy.
 */

#include "reuse/group.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define FOUNDERS_MAX 3U

int reuse_program_attach(const ReuseProgram *p, int fd) {
        struct sock_fprog program = { .len = (unsigned short) p->n, .filter = p->instructions };

        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0)
                return -errno;

        return 0;
}

int reuse_socket_set_deaf(int fd, bool is_deaf) {
        struct sock_filter drop = { .code = BPF_RET | BPF_K, .k = 0 };
        struct sock_fprog program = { .len = 1, .filter = &drop };
        static const int unused;

        if (is_deaf)
                return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0
                                       ? -errno
                                       : 0;

        if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) < 0 &&
            errno != ENOENT) /* ENOENT: it was not deaf */
                return -errno;

        return 0;
}

int reuse_socket_set_open(int fd, bool is_open) {
        int value = is_open;

        return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) < 0 ? -errno : 0;
}

static bool is_shut(int fd) {
        struct pollfd polled = { .fd = fd };

        return poll(&polled, 1, 0) > 0 && polled.revents & POLLHUP;
}

/* Through a member of the group that is in it before and after.  A socket that somebody has just shut
 * takes a program too, for a group of its own; worse, it cannot listen again then while others do. */
static int attach_through_any(const ReuseGroup *g, const ReuseProgram *program) {
        const ReuseTable *t = &g->table;
        bool is_datagram = g->address.type == SOCK_DGRAM;

        for (unsigned i = 0; i < t->n_joined; i++) {
                int fd = reuse_table_fd_at(t, i), r;

                if (!is_datagram && is_shut(fd))
                        continue;

                r = reuse_program_attach(program, fd);
                if (r < 0 || is_datagram || !is_shut(fd))
                        return r;
        }

        return -ENOTCONN;
}

int reuse_group_apply_rule(ReuseGroup *g, const ReuseRule *rule, int founder_fd) {
        _cleanup_(reuse_program_done) ReuseProgram program = { .n = 0 };
        int r;

        r = reuse_rule_compile(rule, &g->address, &g->table, &program);
        if (r < 0)
                return r;

        r = founder_fd >= 0 ? reuse_program_attach(&program, founder_fd)
                            : attach_through_any(g, &program);
        if (r < 0)
                return r;

        reuse_program_done(&g->program);
        g->program = program;
        program = (ReuseProgram){ .n = 0 };
        return 0;
}

int reuse_group_listen_fd(const ReuseGroup *g, int fd) {
        return reuse_socket_listen(fd, g->backlog);
}

void reuse_group_plan(ReuseTable *t, const ReuseRule *rule, const ReuseJoined *founder) {
        static const bool passes[] = { true, false };

        reuse_table_leave_all(t);
        if (founder)
                reuse_table_join(t, founder->bank, founder->slot);

        for (size_t pass = 0; pass < ELEMENTS_OF(passes); pass++)
                for (unsigned bank = 0; bank < t->n_banks; bank++)
                        for (unsigned slot = 0; slot < t->n_slots[bank]; slot++)
                                if (t->places[bank][slot].index < 0 &&
                                    reuse_rule_names(rule, bank, slot) == passes[pass])
                                        reuse_table_join(t, bank, slot);
}

ReuseGroup *reuse_group_free(ReuseGroup *g) {
        if (!g)
                return NULL;

        reuse_table_done(&g->table);
        reuse_program_done(&g->program);
        for (size_t i = 0; i < g->n_sockopts; i++)
                free((char *) g->sockopts[i].text);
        free(g->sockopts);
        free(g);
        return NULL;
}

const ReuseAddress *reuse_group_address(const ReuseGroup *g) {
        assert(g);
        return &g->address;
}

unsigned reuse_group_n_banks(const ReuseGroup *g) {
        assert(g);
        return g->table.n_banks;
}

unsigned reuse_group_n_slots(const ReuseGroup *g, unsigned bank) {
        assert(g);
        return bank < g->table.n_banks ? g->table.n_slots[bank] : 0;
}

int reuse_group_fd(const ReuseGroup *g, unsigned bank, unsigned slot) {
        const ReusePlace *place = reuse_table_place(&g->table, bank, slot);

        return place ? place->fd : -EBADF;
}

int reuse_group_index(const ReuseGroup *g, unsigned bank, unsigned slot) {
        const ReusePlace *place = reuse_table_place(&g->table, bank, slot);

        return place && place->index >= 0 ? place->index : -ENOENT;
}

size_t reuse_group_members(const ReuseGroup *g, ReuseMember *ret, size_t n_ret) {
        const ReuseTable *t = &g->table;
        size_t n = t->n_joined;

        for (unsigned i = 0; i < t->n_joined && i < n_ret; i++)
                ret[i] = (ReuseMember){ .fd = reuse_table_fd_at(t, i),
                                        .bank = t->joined[i].bank,
                                        .slot = t->joined[i].slot };

        for (unsigned bank = 0; bank < t->n_banks; bank++)
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++) {
                        if (t->places[bank][slot].index >= 0)
                                continue;
                        if (n < n_ret)
                                ret[n] = (ReuseMember){ .fd = t->places[bank][slot].fd,
                                                        .bank = (uint8_t) bank,
                                                        .slot = (uint16_t) slot };
                        n++;
                }

        return n;
}

int reuse_group_set_rule(ReuseGroup *g, const ReuseRule *rule) {
        bool is_unhashed;
        int r;

        assert(g && rule);

        is_unhashed = g->is_refusing && g->address.type == SOCK_STREAM;
        r = reuse_rule_check(rule, g->address.type, &g->table, !is_unhashed);
        if (r >= 0 && !is_unhashed)
                r = reuse_group_apply_rule(g, rule, -1);
        if (r < 0)
                return r;

        g->rule = *rule;
        return 0;
}

const ReuseRule *reuse_group_rule(const ReuseGroup *g) {
        assert(g);
        return &g->rule;
}

bool reuse_group_is_refusing(const ReuseGroup *g) {
        assert(g);
        return g->is_refusing;
}

/* One that does not listen must be left alone: it would be marked as shut all the same, and when it listens
 * again every connection that it accepts is born shut. */
static int shut(int fd) {
        socklen_t size = sizeof(int);
        int listens;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
                return -errno;
        if (listens && shutdown(fd, SHUT_RDWR) < 0 && errno != ENOTCONN)
                return -errno;

        return reuse_socket_set_open(fd, false);
}

/* Streams stop listening.  Returns the first error, after having tried all. */
static int shut_all(const ReuseTable *t) {
        int error = 0;

        for (unsigned bank = 0; bank < t->n_banks; bank++)
                for (unsigned slot = 0; slot < t->n_slots[bank]; slot++) {
                        int r = shut(t->places[bank][slot].fd);

                        error = r < 0 && error >= 0 ? r : error;
                }

        return error;
}

/* Datagrams are dropped, or no more.  The same. */
static int set_all_deaf(const ReuseTable *t, bool are_deaf) {
        int error = 0;

        for (unsigned i = 0; i < t->n_joined; i++) {
                int r = reuse_socket_set_deaf(reuse_table_fd_at(t, i), are_deaf);

                if (r < 0 && error >= 0)
                        error = r;
        }

        return error;
}

int reuse_group_refuse(ReuseGroup *g) {
        assert(g);

        g->is_refusing = true;
        if (g->address.type == SOCK_DGRAM)
                return set_all_deaf(&g->table, true);

        reuse_table_leave_all(&g->table);
        reuse_program_done(&g->program);
        return shut_all(&g->table);
}

static int listen_as_planned(ReuseGroup *g, ReuseJoined *reterr_who) {
        ReuseTable *t = &g->table;
        int r = 0;

        /* all before the first listens: the one that carries the rule could not, beside closed ones */
        for (unsigned i = 0; r >= 0 && i < t->n_joined; i++)
                r = reuse_socket_set_open(reuse_table_fd_at(t, i), true);

        if (r >= 0)
                r = reuse_group_apply_rule(g, &g->rule, reuse_table_fd_at(t, 0));
        for (unsigned i = 0; r >= 0 && i < t->n_joined; i++) {
                *reterr_who = t->joined[i];
                r = reuse_group_listen_fd(g, reuse_table_fd_at(t, i));
        }

        /* again: a founder that was shut while alone has taken group and program with it */
        return r < 0 ? r : reuse_group_apply_rule(g, &g->rule, -1);
}

int reuse_group_listen_streams(ReuseGroup *g) {
        ReuseJoined founder;
        int r;

        reuse_group_plan(&g->table, &g->rule, NULL);
        r = listen_as_planned(g, &founder);

        /* one that carries a rule, by attach_through_any(), has to be the first */
        for (unsigned i = 0; i < FOUNDERS_MAX && r == -EADDRINUSE; i++) {
                (void) shut_all(&g->table);
                reuse_group_plan(&g->table, &g->rule, &founder);
                r = listen_as_planned(g, &founder);
        }

        return r;
}

int reuse_group_listen(ReuseGroup *g) {
        int r;

        assert(g);

        if (!g->is_refusing)
                return 0;

        r = g->address.type == SOCK_DGRAM ? set_all_deaf(&g->table, false)
                                          : reuse_group_listen_streams(g);
        if (r < 0) {
                (void) reuse_group_refuse(g); /* the first error is the one to tell */
                return r;
        }

        g->is_refusing = false;
        return 0;
}

static int queue_of_stream(int fd, unsigned *ret_waiting, unsigned *ret_limit) {
        struct tcp_info info = { .tcpi_state = 0 };
        socklen_t size = sizeof(info);

        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
                return -errno;

        /* the two fields mean this for a listener only */
        *ret_waiting = info.tcpi_state == TCP_LISTEN ? info.tcpi_unacked : 0;
        if (ret_limit)
                *ret_limit = info.tcpi_state == TCP_LISTEN ? info.tcpi_sacked : 0;
        return 0;
}

static int queue_of_datagrams(int fd, unsigned *ret_waiting, unsigned *ret_limit) {
        struct pollfd polled = { .fd = fd, .events = POLLIN };

        if (poll(&polled, 1, 0) < 0)
                return -errno;

        *ret_waiting = polled.revents & POLLIN ? 1 : 0;
        if (ret_limit)
                *ret_limit = 0;
        return 0;
}

int reuse_group_queue(const ReuseGroup *g, unsigned bank, unsigned slot, unsigned *ret_waiting,
                      unsigned *ret_limit) {
        int fd;

        assert(g && ret_waiting);

        fd = reuse_group_fd(g, bank, slot);
        if (fd < 0)
                return fd;

        return g->address.type == SOCK_STREAM ? queue_of_stream(fd, ret_waiting, ret_limit)
                                              : queue_of_datagrams(fd, ret_waiting, ret_limit);
}

void reuse_group_mark(unsigned bank, bool *ret_multicast_loop, bool *ret_multicast_all) {
        assert(ret_multicast_loop && ret_multicast_all);

        /* bank 0 is what every socket has that nobody marked */
        *ret_multicast_loop = !(bank & 1);
        *ret_multicast_all = !(bank & 2);
}

size_t reuse_group_print_rule(const ReuseGroup *g, char *buffer, size_t size_bytes) {
        assert(g);
        return reuse_program_print(&g->program, buffer, size_bytes);
}
