#include "daemon/deploy/door.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "daemon/manager.h"
#include "daemon/service/service-sockets.h"
#include "daemon/service/service.h"

#define PORT_RANGE      "/proc/sys/net/ipv4/ip_local_port_range"
#define FIRST_FREE_PORT 1024U

struct DoorTurn {
        Service *service;
        unsigned bank, slot;
        DoorHandler handler;
        void *userdata;
        sd_event_source *grant;
        TAILQ_ENTRY(DoorTurn) line;
};

static int on_grant(sd_event_source *source, void *userdata) {
        DoorTurn *t = userdata;
        int r;

        t->grant = sd_event_source_disable_unref(t->grant);
        r = service_put_rule(t->service);
        t->handler(r, t->userdata);
        return 0;
}

static int grant(DoorTurn *t) {
        return sd_event_add_defer(t->service->manager->event, &t->grant, on_grant, t);
}

int door_turn_new(Service *s, unsigned bank, unsigned slot, DoorHandler handler, void *userdata,
                  DoorTurn **ret) {
        DoorTurn *t;

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;

        *t = (DoorTurn){ .service = s, .bank = bank, .slot = slot };
        t->handler = handler;
        t->userdata = userdata;

        if (TAILQ_EMPTY(&s->door_line)) {
                int r = grant(t);

                if (r < 0) {
                        free(t);
                        return r;
                }
        }

        TAILQ_INSERT_TAIL(&s->door_line, t, line);
        *ret = t;
        return 0;
}

DoorTurn *door_turn_free(DoorTurn *t) {
        Service *s;
        DoorTurn *next;

        if (!t)
                return NULL;

        s = t->service;
        t->grant = sd_event_source_disable_unref(t->grant);
        next = TAILQ_FIRST(&s->door_line) == t ? TAILQ_NEXT(t, line) : NULL;
        TAILQ_REMOVE(&s->door_line, t, line);
        free(t);

        /* Without memory for it the next one waits for its own deadline. */
        if (next)
                (void) grant(next);
        return NULL;
}

void door_put(const Service *s, ReuseRule *rule) {
        const DoorTurn *turn = TAILQ_FIRST(&s->door_line);
        const Generation *checked = service_checked_generation(s);

        if (!turn && !checked)
                return;

        rule->door.is_open = true;
        rule->door.bank = (uint8_t) (turn ? turn->bank : checked->bank);
        rule->door.slot = (uint16_t) (turn ? turn->slot : 0);
        door_ports(&rule->door.bank_port_v6, &rule->door.slot_port_v6);
}

/* The two below the range that the kernel picks from: nobody has one by chance. */
void door_ports(uint16_t *ret_bank_port, uint16_t *ret_slot_port) {
        FILE *file = fopen(PORT_RANGE, "re");
        unsigned first = 0;

        *ret_bank_port = *ret_slot_port = 0;
        if (!file)
                return;

        if (fscanf(file, "%u", &first) == 1 && first >= FIRST_FREE_PORT + 2 &&
            first <= UINT16_MAX) {
                *ret_bank_port = (uint16_t) (first - 1);
                *ret_slot_port = (uint16_t) (first - 2);
        }
        (void) fclose(file);
}

static bool is_v6_only(const ReuseAddress *a) {
        return a->sa.sa_family == AF_INET6 && !a->is_dual_stack;
}

/* The address itself; of a wildcard, one of this machine that the door lets in. */
static const char *nearest(const ReuseAddress *a, char *buffer, size_t size_bytes) {
        bool is_any = a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == htonl(INADDR_ANY)
                                                 : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);

        if (!is_any)
                return reuse_address_format(a, buffer, size_bytes);

        snprintf(buffer, size_bytes, "%s:%u", is_v6_only(a) ? "[::1]" : "127.0.0.1",
                 reuse_address_port(a));
        return buffer;
}

int door_dial(const ReuseAddress *a) {
        const ReuseOptions options = { .is_async = true };
        char from[REUSE_ADDRESS_TEXT_SIZE], to[REUSE_ADDRESS_TEXT_SIZE];
        uint16_t bank_port, slot_port;
        int fd;

        nearest(a, to, sizeof(to));
        if (is_v6_only(a)) {
                door_ports(&bank_port, &slot_port);
                if (slot_port == 0)
                        return -EADDRNOTAVAIL;
                snprintf(from, sizeof(from), "[::1]:%u", slot_port);
        } else
                snprintf(from, sizeof(from), "%s:0", REUSE_DOOR_SLOT_ADDRESS);

        fd = reuse_dial(is_v6_only(a) ? "tcp6" : "tcp4", from, to, &options);
        return fd < 0 ? fd : fd_move_above_stdio(fd);
}

const char *door_describe(const Endpoint *e, char *buffer, size_t size_bytes) {
        char address[REUSE_ADDRESS_TEXT_SIZE], option[64];
        uint16_t bank_port, slot_port;
        ReuseAddress a;

        if (e->n_groups == 0)
                return NULL;

        a = *reuse_group_address(e->groups[0]);
        snprintf(option, sizeof(option), "--interface %s", REUSE_DOOR_BANK_ADDRESS);
        if (is_v6_only(&a)) {
                door_ports(&bank_port, &slot_port);
                if (bank_port == 0)
                        return NULL;
                snprintf(option, sizeof(option), "--interface ::1 --local-port %u", bank_port);
        }

        snprintf(buffer, size_bytes, "%s http://%s/", option,
                 nearest(&a, address, sizeof(address)));
        return buffer;
}
