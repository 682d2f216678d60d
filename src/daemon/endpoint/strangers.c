#include "daemon/endpoint/strangers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/endpoint/proc.h"
#include "daemon/endpoint/sockdiag.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/timer.h"

#define EVERY_USEC  (10 * USEC_PER_SEC)
#define SOON_USEC   (50 * USEC_PER_MSEC)
#define RECENT_USEC (100 * USEC_PER_MSEC)
#define TOLD_MAX    64U /* at one look; more are counted, and told when those are gone */

/* One address that we have, by port. */
typedef struct Address {
        uint16_t port;
        Endpoint *endpoint;
        const ReuseAddress *address;
} Address;

typedef struct Known {
        uint32_t inode;
        bool is_there;
        char endpoint[65];
} Known;

struct Strangers {
        Manager *manager; /* borrowed */
        sd_event_source *timer;
        uint64_t looked_usec, due_usec;
        Known known[TOLD_MAX];
        size_t n_known;
};

/* What one look works with. */
typedef struct Look {
        Address *addresses;
        size_t n_addresses;
        uint32_t *inodes; /* ours */
        size_t n_inodes;
        SocketHolder holders[TOLD_MAX]; /* strangers that were not there before */
        Address at[TOLD_MAX];
        Holder who[TOLD_MAX];
        size_t n_holders;
} Look;

static void look_done(Look *l) {
        free(l->addresses);
        free(l->inodes);
}

static int compare_addresses(const void *p, const void *q) {
        const Address *a = p, *b = q;

        return (a->port > b->port) - (a->port < b->port);
}

static int compare_inodes(const void *p, const void *q) {
        const uint32_t *a = p, *b = q;

        return (*a > *b) - (*a < *b);
}

/* ---- what is ours ---- */

static bool is_connected(int fd) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof(peer);

        return getpeername(fd, (struct sockaddr *) &peer, &length) >= 0;
}

static void find_connected(Endpoint *e, const ReuseGroup *g) {
        if (e->settings->type != SOCK_DGRAM)
                return;

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++)
                        e->n_connected += is_connected(reuse_group_fd(g, bank, slot)) ? 1 : 0;
}

static void tell_connected(Bus *bus, Endpoint *e) {
        LogFields fields = { .endpoint = e->settings->name };

        if (e->n_connected > e->n_connected_told) {
                log_fields(LOG_WARNING, &fields,
                           "Endpoint %s: a worker has connected a datagram socket that it shares with us "
                           "(%u of them are by now): who was led to it, and to another that took its "
                           "place, is lost; a program must connect() only sockets of its own.  It is put "
                           "right by taking the endpoint out of the settings, a reload, putting it back, "
                           "and a reload",
                           e->settings->name, e->n_connected);
                bus_tell(bus, "endpoint", e->settings->name, "connected", "");
        }
        e->n_connected_told = e->n_connected;
}

static void add_inodes(Look *l, const ReuseGroup *g) {
        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        struct stat st;

                        if (fstat(reuse_group_fd(g, bank, slot), &st) >= 0)
                                l->inodes[l->n_inodes++] = (uint32_t) st.st_ino;
                }
}

static void each_group(const Manager *m, void (*call)(Look *l, Endpoint *e, const ReuseGroup *g),
                       Look *l) {
        for (size_t i = 0; i < m->n_endpoints; i++)
                for (size_t k = 0; k < m->endpoints[i]->n_open; k++)
                        call(l, m->endpoints[i], m->endpoints[i]->groups[k]);

        /* Such as a reload has given up and somebody still serves. */
        for (size_t i = 0; i < m->n_services; i++)
                for (size_t j = m->services[i]->n_endpoints; j < m->services[i]->n_held; j++)
                        for (size_t k = 0; k < m->services[i]->endpoints[j]->n_open; k++)
                                call(l, m->services[i]->endpoints[j],
                                     m->services[i]->endpoints[j]->groups[k]);
}

static void count_group(Look *l, Endpoint *e, const ReuseGroup *g) {
        l->n_addresses++;
        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                l->n_inodes += reuse_group_n_slots(g, bank);
        e->n_strangers = e->n_connected = 0;
}

static void add_group(Look *l, Endpoint *e, const ReuseGroup *g) {
        const ReuseAddress *address = reuse_group_address(g);

        l->addresses[l->n_addresses++] = (Address){ reuse_address_port(address), e, address };
        add_inodes(l, g);
        find_connected(e, g);
}

static int look_init(const Manager *m, Look *l) {
        each_group(m, count_group, l);
        l->addresses = calloc(l->n_addresses + 1, sizeof(Address));
        l->inodes = calloc(l->n_inodes + 1, sizeof(uint32_t));
        if (!l->addresses || !l->inodes)
                return -ENOMEM;

        l->n_addresses = l->n_inodes = 0;
        each_group(m, add_group, l);
        qsort(l->addresses, l->n_addresses, sizeof(Address), compare_addresses);
        qsort(l->inodes, l->n_inodes, sizeof(uint32_t), compare_inodes);
        return 0;
}

/* ---- who is not ---- */

/* Whether he gets any of our visitors.  At an overlapping address that is so, but may be wanted. */
static bool is_stranger_at(const Address *p, const Holder *h) {
        if (p->address->type != h->address.type || p->port != reuse_address_port(&h->address))
                return false;
        if (sockdiag_is_same_host(p->address, &h->address))
                return true;

        return p->endpoint->settings->is_exclusive && sockdiag_overlaps(p->address, &h->address);
}

static Known *find_known(Strangers *s, uint32_t inode) {
        for (size_t i = 0; i < s->n_known; i++)
                if (s->known[i].inode == inode)
                        return &s->known[i];

        return NULL;
}

static void meet(Strangers *s, Look *l, const Address *p, const Holder *h) {
        Known *known = find_known(s, h->inode);

        p->endpoint->n_strangers++;
        if (known) {
                known->is_there = true;
                return;
        }
        if (s->n_known == TOLD_MAX)
                return;

        s->known[s->n_known] = (Known){ .inode = h->inode, .is_there = true };
        (void) snprintf(s->known[s->n_known].endpoint, sizeof(s->known[0].endpoint), "%s",
                        p->endpoint->settings->name);
        s->n_known++;
        l->holders[l->n_holders] = (SocketHolder){ .inode = h->inode };
        l->at[l->n_holders] = *p;
        l->who[l->n_holders++] = *h;
}

static void look_through(Strangers *s, Look *l, const Holder *holders, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const Holder *h = &holders[i];
                Address key = { .port = reuse_address_port(&h->address) };
                const Address *p;

                p = bsearch(&key, l->addresses, l->n_addresses, sizeof(Address), compare_addresses);
                if (!p ||
                    bsearch(&h->inode, l->inodes, l->n_inodes, sizeof(uint32_t), compare_inodes))
                        continue;

                while (p > l->addresses && p[-1].port == key.port)
                        p--;
                for (; p < l->addresses + l->n_addresses && p->port == key.port; p++)
                        if (is_stranger_at(p, h))
                                meet(s, l, p, h);
        }
}

/* ---- telling ---- */

static void tell_new(Strangers *s, Look *l) {
        char address[REUSE_ADDRESS_TEXT_SIZE], text[160];

        if (l->n_holders > 0)
                proc_find_holders(l->holders, l->n_holders, getpid());

        for (size_t i = 0; i < l->n_holders; i++) {
                const SocketHolder *h = &l->holders[i];
                const char *name = l->at[i].endpoint->settings->name;
                LogFields fields = { .message_id = MESSAGE_STRANGER_FOUND, .endpoint = name };

                reuse_address_format(&l->who[i].address, address, sizeof(address));
                if (h->pid > 0)
                        snprintf(text, sizeof(text), "pid %d (%s) of uid %u", (int) h->pid, h->name,
                                 l->who[i].uid);
                else
                        snprintf(text, sizeof(text), "a process of uid %u", l->who[i].uid);
                log_fields(LOG_WARNING, &fields,
                           "Endpoint %s: %s has a socket at %s that is not ours, and may get visitors; end "
                           "it. Nobody but root could do that if there were a user reuseportd-sockets",
                           name, text, address);
                bus_tell(s->manager->bus, "endpoint", name, "stranger", text);
        }
}

static void forget_gone(Strangers *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n_known; i++) {
                LogFields fields = { .message_id = MESSAGE_STRANGER_GONE,
                                     .endpoint = s->known[i].endpoint };

                if (s->known[i].is_there) {
                        s->known[n++] = s->known[i];
                        continue;
                }
                log_fields(LOG_NOTICE, &fields, "Endpoint %s: the socket that is not ours is gone",
                           s->known[i].endpoint);
                bus_tell(s->manager->bus, "endpoint", s->known[i].endpoint, "stranger gone", "");
        }
        s->n_known = n;
}

void strangers_look(Strangers *s) {
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
        _cleanup_(look_done) Look l = { 0 };

        s->looked_usec = now_usec();
        for (size_t i = 0; i < s->n_known; i++)
                s->known[i].is_there = false;

        if (look_init(s->manager, &l) < 0)
                return;
        for (size_t i = 0; i < s->manager->n_endpoints; i++)
                tell_connected(s->manager->bus, s->manager->endpoints[i]);
        for (size_t i = 0; i < ELEMENTS_OF(types); i++) {
                _cleanup_free_ Holder *found = NULL;
                int n = sockdiag_list_listeners(types[i], &found);

                if (n < 0) {
                        log_debug("Strangers cannot be looked for: %s", strerror(-n));
                        return;
                }
                look_through(s, &l, found, (size_t) n);
        }

        forget_gone(s);
        tell_new(s, &l);
}

static void arm(Strangers *s, uint64_t usec);

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Strangers *s = userdata;

        strangers_look(s);
        arm(s, EVERY_USEC);
        return 0;
}

static void arm(Strangers *s, uint64_t usec) {
        s->due_usec = now_usec() + usec;
        (void) timer_arm(s->manager->event, &s->timer, usec, on_timer, s);
}

void strangers_look_if_old(Strangers *s) {
        if (now_usec() - s->looked_usec >= RECENT_USEC)
                strangers_look(s);
}

void strangers_look_soon(Strangers *s) {
        if (s && s->due_usec > now_usec() + SOON_USEC)
                arm(s, SOON_USEC);
}

int strangers_new(Manager *m, Strangers **ret) {
        Strangers *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;

        s->manager = m;
        arm(s, SOON_USEC);
        *ret = s;
        return 0;
}

Strangers *strangers_free(Strangers *s) {
        if (!s)
                return NULL;

        s->timer = timer_disarm(s->timer);
        free(s);
        return NULL;
}
