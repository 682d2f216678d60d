#include "daemon/endpoint/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/reserve.h"

/* Bound without listening, as shown since Linux 6.8; include/net/tcp_states.h. */
#define STATE_BOUND_INACTIVE 13

#define REPLY_SIZE_BYTES 32768U /* NLMSG_GOODSIZE is 8 KiB, and a dump uses up to 32 */

typedef struct mnl_socket Netlink;

static void netlink_free(Netlink *n) {
        (void) mnl_socket_close(n);
}
DEFINE_CLEANUP(Netlink, netlink_free)

/* ---- asking ---- */

typedef int (*OnSocket)(const struct inet_diag_msg *m, void *userdata);

/* Who is called with what. */
typedef struct Query {
        OnSocket on_socket;
        void *userdata;
} Query;

static int on_message(const struct nlmsghdr *header, void *userdata) {
        const struct inet_diag_msg *m = mnl_nlmsg_get_payload(header);
        const Query *q = userdata;

        if (mnl_nlmsg_get_payload_len(header) < sizeof(*m) ||
            (m->idiag_family != AF_INET && m->idiag_family != AF_INET6))
                return MNL_CB_OK;
        if (q->on_socket(m, q->userdata) < 0)
                return MNL_CB_ERROR; /* errno is set */

        return MNL_CB_OK;
}

static int try_ask(const struct inet_diag_req_v2 *request, uint16_t flags, const Query *query) {
        _cleanup_(netlink_freep) Netlink *netlink = NULL;
        _Alignas(struct nlmsghdr) char buffer[REPLY_SIZE_BYTES];
        struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
        ssize_t length;
        int r;

        header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
        header->nlmsg_flags = NLM_F_REQUEST | flags;
        memcpy(mnl_nlmsg_put_extra_header(header, sizeof(*request)), request, sizeof(*request));

        netlink = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
        if (!netlink || mnl_socket_sendto(netlink, header, header->nlmsg_len) < 0)
                return -errno;

        do {
                length = mnl_socket_recvfrom(netlink, buffer, sizeof(buffer));
                if (length < 0)
                        return -errno;
                r = mnl_cb_run(buffer, (size_t) length, 0, 0, on_message, (void *) query);
                if (r < 0)
                        return -errno;
        } while (r > MNL_CB_STOP && (flags & NLM_F_DUMP));

        return 0;
}

/* Whoever wonders why there are no descriptors left must still get an answer. */
static int ask(const struct inet_diag_req_v2 *request, uint16_t flags, const Query *query) {
        int r;

        r = try_ask(request, flags, query);
        if (reserve_lend(r)) {
                r = try_ask(request, flags, query);
                (void) reserve_fill();
        }

        return r;
}

static struct inet_diag_req_v2 request_for(const ReuseAddress *address, int family,
                                           uint32_t states) {
        return (struct inet_diag_req_v2){
                .sdiag_family = (uint8_t) family,
                .sdiag_protocol = address->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP,
                .idiag_states = states,
                .id.idiag_sport = htons(reuse_address_port(address)),
        };
}

static uint64_t cookie_of(const struct inet_diag_msg *m) {
        return (uint64_t) m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0];
}

static ReuseAddress address_of(const struct inet_diag_msg *m, int type) {
        ReuseAddress a = { .type = type };

        a.sa.sa_family = m->idiag_family;
        if (m->idiag_family == AF_INET) {
                a.length = sizeof(a.in);
                a.in.sin_port = m->id.idiag_sport;
                memcpy(&a.in.sin_addr, m->id.idiag_src, sizeof(a.in.sin_addr));
        } else {
                a.length = sizeof(a.in6);
                a.in6.sin6_port = m->id.idiag_sport;
                memcpy(&a.in6.sin6_addr, m->id.idiag_src, sizeof(a.in6.sin6_addr));
        }

        return a;
}

static bool is_wildcard(const ReuseAddress *a) {
        return a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == htonl(INADDR_ANY)
                                          : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

static bool is_same_host(const ReuseAddress *a, const ReuseAddress *b) {
        if (a->sa.sa_family != b->sa.sa_family)
                return false;
        if (a->sa.sa_family == AF_INET)
                return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;

        return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

/* ---- holders ---- */

typedef struct HolderSearch {
        const ReuseAddress *address;
        Holder *holders;
        size_t n_holders, n_max;
} HolderSearch;

/* Whether a socket at @b keeps one from @a: the same address, or a wildcard of either.  A wildcard of
 * IPv6 counts for IPv4 too: whether it is dual-stack only its owner knows. */
static bool is_in_the_way(const ReuseAddress *a, const ReuseAddress *b) {
        if (a->sa.sa_family != b->sa.sa_family) {
                const ReuseAddress *six = a->sa.sa_family == AF_INET6 ? a : b;

                return is_wildcard(six) && (six == b || six->is_dual_stack);
        }

        return is_wildcard(a) || is_wildcard(b) || is_same_host(a, b);
}

static int on_holder(const struct inet_diag_msg *m, void *userdata) {
        HolderSearch *s = userdata;
        ReuseAddress a = address_of(m, s->address->type);

        if (reuse_address_port(&a) == reuse_address_port(s->address) &&
            is_in_the_way(s->address, &a) && s->n_holders < s->n_max)
                s->holders[s->n_holders++] = (Holder){
                        .address = a,
                        .uid = m->idiag_uid,
                        .inode = m->idiag_inode,
                        .cookie = cookie_of(m),
                };

        return 0;
}

int sockdiag_find_holders(const ReuseAddress *address, Holder *ret, size_t n_ret) {
        static const int families[] = { AF_INET, AF_INET6 };
        HolderSearch search = { address, ret, 0, n_ret };
        const Query query = { on_holder, &search };
        uint32_t states = address->type == SOCK_STREAM
                                          ? 1U << TCP_LISTEN | 1U << STATE_BOUND_INACTIVE
                                          : 1U << TCP_CLOSE;

        for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
                struct inet_diag_req_v2 request = request_for(address, families[i], states);
                int r;

                r = ask(&request, NLM_F_DUMP, &query);
                if (r < 0)
                        return r;
        }

        return (int) search.n_holders;
}

bool sockdiag_overlaps(const ReuseAddress *a, const ReuseAddress *b) {
        return reuse_address_port(a) == reuse_address_port(b) && is_in_the_way(a, b);
}

bool sockdiag_is_same_host(const ReuseAddress *a, const ReuseAddress *b) {
        return is_same_host(a, b);
}

typedef struct ListenerList {
        int type;
        Holder *found;
        size_t n_found, n_room;
} ListenerList;

static int on_listener(const struct inet_diag_msg *m, void *userdata) {
        ListenerList *l = userdata;

        if (l->n_found == l->n_room) {
                size_t n_room = l->n_room > 0 ? l->n_room * 2 : 64;
                Holder *more = reallocarray(l->found, n_room, sizeof(Holder));

                if (!more) {
                        errno = ENOMEM;
                        return -ENOMEM;
                }
                l->found = more;
                l->n_room = n_room;
        }

        l->found[l->n_found++] = (Holder){
                .address = address_of(m, l->type),
                .uid = m->idiag_uid,
                .inode = m->idiag_inode,
                .cookie = cookie_of(m),
        };
        return 0;
}

int sockdiag_list_listeners(int type, Holder **ret) {
        static const int families[] = { AF_INET, AF_INET6 };
        const ReuseAddress any = { .type = type, .sa.sa_family = AF_INET };
        ListenerList list = { .type = type };
        const Query query = { on_listener, &list };

        for (size_t i = 0; i < ELEMENTS_OF(families); i++) {
                struct inet_diag_req_v2 request = request_for(
                                &any, families[i],
                                type == SOCK_STREAM ? 1U << TCP_LISTEN : 1U << TCP_CLOSE);
                int r = ask(&request, NLM_F_DUMP, &query);

                if (r < 0) {
                        free(list.found);
                        return r;
                }
        }

        *ret = list.found;
        return (int) list.n_found;
}

/* ---- handshakes ---- */

typedef struct HalfOpenSearch {
        const ReuseAddress *address;
        HalfOpen *found;
        size_t n_found, n_room;
} HalfOpenSearch;

static int on_half_open(const struct inet_diag_msg *m, void *userdata) {
        HalfOpenSearch *s = userdata;
        ReuseAddress a = address_of(m, SOCK_STREAM);

        if (m->idiag_state != TCP_SYN_RECV ||
            m->idiag_inode != 0) /* with Fast Open: accepted already */
                return 0;
        if (!is_wildcard(s->address) && !is_same_host(s->address, &a))
                return 0;

        if (s->n_found == s->n_room) {
                size_t n_room = s->n_room > 0 ? s->n_room * 2 : 64;
                HalfOpen *more = reallocarray(s->found, n_room, sizeof(HalfOpen));

                if (!more) {
                        errno = ENOMEM;
                        return -ENOMEM;
                }
                s->found = more;
                s->n_room = n_room;
        }

        s->found[s->n_found++] = (HalfOpen){ cookie_of(m), m->idiag_retrans };
        return 0;
}

int sockdiag_find_half_open(const ReuseAddress *address, HalfOpen **ret) {
        HalfOpenSearch search = { .address = address };
        const Query query = { on_half_open, &search };
        struct inet_diag_req_v2 request;
        int r;

        /* In the family of the listener: IPv4 visitors of a dual-stack one are in the IPv6 dump. */
        request = request_for(address, address->sa.sa_family, 1U << TCP_SYN_RECV);
        r = ask(&request, NLM_F_DUMP, &query);
        if (r < 0) {
                free(search.found);
                return r;
        }

        *ret = search.found;
        return (int) search.n_found;
}

/* ---- connections ---- */

typedef struct ConnectionCount {
        const ReuseAddress *address;
        uint64_t *n;
} ConnectionCount;

/* The socket options of the message that @m is the payload of, or NULL. */
static const struct inet_diag_sockopt *find_sockopt(const struct inet_diag_msg *m) {
        const struct nlmsghdr *header = (const void *) ((const char *) m - MNL_NLMSG_HDRLEN);
        const struct nlattr *attribute;

        mnl_attr_for_each(attribute, header, sizeof(*m)) {
                if (mnl_attr_get_type(attribute) == INET_DIAG_SOCKOPT &&
                    mnl_attr_get_payload_len(attribute) >= sizeof(struct inet_diag_sockopt))
                        return mnl_attr_get_payload(attribute);
        }

        return NULL;
}

static int on_established(const struct inet_diag_msg *m, void *userdata) {
        const ConnectionCount *c = userdata;
        const struct inet_diag_sockopt *options = find_sockopt(m);
        ReuseAddress a = address_of(m, SOCK_STREAM);
        bool loop, all;

        if (!is_wildcard(c->address) && !is_same_host(c->address, &a))
                return 0;

        for (unsigned bank = 0; options && bank < REUSE_BANKS_MAX; bank++) {
                reuse_group_mark(bank, &loop, &all);
                if (loop == options->mc_loop && all == options->mc_all) {
                        c->n[bank]++;
                        return 0;
                }
        }

        c->n[0]++;
        return 0;
}

int sockdiag_count_connections(const ReuseAddress *address, uint64_t n[static REUSE_BANKS_MAX]) {
        ConnectionCount count = { address, n };
        const Query query = { on_established, &count };
        struct inet_diag_req_v2 request;

        request = request_for(address, address->sa.sa_family,
                              1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT);
        return ask(&request, NLM_F_DUMP, &query);
}

/* ---- accepted ---- */

static void put_host(const ReuseAddress *a, __be32 *to) {
        if (a->sa.sa_family == AF_INET)
                memcpy(to, &a->in.sin_addr, sizeof(a->in.sin_addr));
        else
                memcpy(to, &a->in6.sin6_addr, sizeof(a->in6.sin6_addr));
}

/* What the kernel found. */
typedef struct Connection {
        bool is_there;
        uint32_t inode;
} Connection;

/* Where there is no such connection the kernel offers the listener (inet_lookup()). */
static int on_connection(const struct inet_diag_msg *m, void *userdata) {
        Connection *c = userdata;

        c->is_there = m->idiag_state != TCP_LISTEN;
        c->inode = m->idiag_inode;
        return 0;
}

int sockdiag_is_accepted(const ReuseAddress *near, const ReuseAddress *far) {
        Connection found = { 0 };
        const Query query = { on_connection, &found };
        struct inet_diag_req_v2 request;
        int r;

        /* As the server's socket sees it: its source is the far end. */
        request = request_for(far, far->sa.sa_family, ~0U);
        request.id.idiag_dport = htons(reuse_address_port(near));
        put_host(far, request.id.idiag_src);
        put_host(near, request.id.idiag_dst);
        request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
        request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;

        r = ask(&request, 0, &query);
        if (r < 0)
                return r;

        if (!found.is_there)
                return -ENOENT;

        return found.inode != 0;
}
