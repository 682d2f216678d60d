#include "traffic.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reuse/address.h"
#include "reuse/socket.h"
#include "unit.h"

#define BATCH 100U

void traffic_close(int *fd) {
        static const struct linger reset = { .l_onoff = 1 };

        if (*fd >= 0)
                (void) setsockopt(*fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        *fd = fd_close(*fd);
}

ReuseGroup *traffic_open(const char *network, const char *text, const ReuseGroupOptions *options) {
        ReuseAddress address;
        ReuseGroup *g = NULL;

        assert_ok(reuse_address_parse(network, text, true, &address));
        assert_ok(reuse_group_open(&address, options, &g, NULL));
        return g;
}

ReuseAddress traffic_target(const ReuseGroup *g, bool by_v6) {
        ReuseAddress a = *reuse_group_address(g);

        if (!reuse_address_is_wildcard(&a))
                return a;

        if (a.is_dual_stack && !by_v6)
                a = reuse_address_wildcard(&a, AF_INET);
        if (a.sa.sa_family == AF_INET)
                a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
                a.in6.sin6_addr = in6addr_loopback;
        a.is_dual_stack = false;
        return a;
}

ReuseAddress traffic_source(int family, uint32_t i) {
        ReuseAddress a = { .length = 0 };
        uint32_t host;

        if (family == AF_INET) {
                host = htonl(0x7f000000 + i % 0xfffffe + 1);
                a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = host };
                a.length = sizeof(a.in);
                return a;
        }

        a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
        a.in6.sin6_addr = (struct in6_addr){ .s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
        host = htonl(i);
        memcpy(a.in6.sin6_addr.s6_addr + 4, &host, sizeof(host));
        a.length = sizeof(a.in6);
        return a;
}

bool traffic_own_network(void) {
        return unit_try_own_network() &&
               system("ip -6 route add local 2001:db8::/32 dev lo 2>/dev/null") == 0;
}

int traffic_visit(const ReuseAddress *target, const ReuseAddress *source, uint8_t data) {
        static const int on = 1;
        int fd;

        fd = assert_ok(socket(target->sa.sa_family, target->type | SOCK_CLOEXEC, 0));
        if (source) {
                (void) setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
                if (source->sa.sa_family == AF_INET6)
                        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
                assert_ok(bind(fd, &source->sa, source->length) < 0 ? -errno : 0);
        }

        assert_ok(connect(fd, &target->sa, target->length) < 0 ? -errno : 0);
        if (target->type == SOCK_DGRAM)
                assert_int_equal(send(fd, &data, 1, 0), 1);
        return fd;
}

/* One visitor of one slot, if there is one. */
static bool take_one(int fd, int type, ReuseAddress *ret_from) {
        _cleanup_reset_ int server = -EBADF;
        uint8_t data;

        *ret_from = (ReuseAddress){ .length = sizeof(ret_from->storage) };
        if (type == SOCK_DGRAM)
                return recvfrom(fd, &data, 1, MSG_DONTWAIT, &ret_from->sa, &ret_from->length) == 1;

        server = accept4(fd, &ret_from->sa, &ret_from->length, SOCK_CLOEXEC);
        if (server < 0 && errno != EAGAIN)
                fail_msg("accept: %s", strerror(errno));
        return server >= 0;
}

void traffic_take(const ReuseGroup *g, Hits *hits,
                  void (*on_visitor)(const ReuseAddress *from, unsigned bank, unsigned slot,
                                     void *userdata),
                  void *userdata) {
        ReuseAddress from;

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++)
                        while (take_one(reuse_group_fd(g, bank, slot), reuse_group_address(g)->type,
                                        &from)) {
                                hits->of[bank][slot]++;
                                hits->in_bank[bank]++;
                                hits->total++;
                                if (on_visitor)
                                        on_visitor(&from, bank, slot, userdata);
                        }
}

typedef struct Place {
        unsigned bank, slot;
} Place;

static void on_met(const ReuseAddress *from, unsigned bank, unsigned slot, void *userdata) {
        Place *place = userdata;

        *place = (Place){ bank, slot };
}

void traffic_meet(const ReuseGroup *g, const ReuseAddress *target, const ReuseAddress *source,
                  unsigned *ret_bank, unsigned *ret_slot) {
        _cleanup_reset_ int client = -EBADF;
        Hits hits = { .total = 0 };
        Place place = { 0, 0 };

        client = traffic_visit(target, source, 0);
        traffic_take(g, &hits, on_met, &place);
        assert_int_equal(hits.total, 1);
        *ret_bank = place.bank;
        *ret_slot = place.slot;
}

Hits traffic_visits(const ReuseGroup *g, bool by_v6, bool by_sources, unsigned n) {
        ReuseAddress target = traffic_target(g, by_v6);
        Hits hits = { .total = 0 };
        int clients[BATCH];

        for (unsigned done = 0; done < n;) {
                unsigned batch = 0;

                for (; batch < BATCH && done < n; batch++, done++) {
                        ReuseAddress source = traffic_source(target.sa.sa_family, done);

                        clients[batch] = traffic_visit(&target, by_sources ? &source : NULL, 0);
                }
                traffic_take(g, &hits, NULL, NULL);
                while (batch > 0)
                        traffic_close(clients + --batch);
        }

        assert_int_equal(hits.total, n); /* nobody got lost */
        return hits;
}
