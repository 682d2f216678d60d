/* What the library stands on, tried out where it runs: on loopback, at ports that the kernel picks.  The
 * numbers are those that the tests and the map of the project call the facts by. */

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/group.h"
#include "reuse/socket.h"

#define OTHER_OWNER       ((uid_t) 65534) /* nobody: some uid that is not ours */
#define MEET_TIMEOUT_MSEC 1000

typedef struct Probe {
        const char *name, *text;
        int (*holds)(void); /* 1, 0 or a negative error */
} Probe;

static int open_group(const char *network, const ReuseGroupOptions *options, ReuseGroup **ret) {
        ReuseAddress address;
        int r;

        r = reuse_address_parse(network, "127.0.0.1:0", /* numeric_only= */ true, &address);
        return r < 0 ? r : reuse_group_open(&address, options, ret, NULL);
}

/* Connects without waiting for ever.  Returns the client or a negative error. */
static int visit(const ReuseGroup *g) {
        char text[REUSE_ADDRESS_TEXT_SIZE];
        const ReuseOptions options = { .timeout_usec = MEET_TIMEOUT_MSEC * UINT64_C(1000) };

        (void) reuse_address_format(&g->address, text, sizeof(text));
        return reuse_dial("tcp4", NULL, text, &options);
}

/* Whether a visitor comes to this place, who is taken from there.
 *
 * @ret_server  may be NULL; the accepted socket */
static int meets(const ReuseGroup *g, unsigned bank, unsigned slot, int *ret_server) {
        _cleanup_close_ int client = visit(g), server = -EBADF;
        unsigned waiting;
        int r;

        if (client < 0)
                return client;

        r = reuse_group_queue(g, bank, slot, &waiting, NULL);
        if (r < 0 || waiting == 0)
                return r < 0 ? r : 0;

        server = accept4(reuse_group_fd(g, bank, slot), NULL, NULL, SOCK_CLOEXEC);
        if (server < 0)
                return -errno;
        if (ret_server)
                *ret_server = TAKE_FD(server);
        return 1;
}

static int bound_is_refused(void) {
        const ReuseGroupOptions options = { .is_refusing = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        _cleanup_close_ int client = -EBADF;
        int r;

        r = open_group("tcp4", &options, &g);
        if (r < 0)
                return r;

        client = visit(g);
        return client == -ECONNREFUSED;
}

/* Bank 1 by a rule that was attached before anybody was bound; then bank 0 through any member. */
static int rule_moves_all(void) {
        ReuseRule rule = reuse_rule_init(1, 1);
        const ReuseGroupOptions options = { .n_slots = 2, .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        int r;

        r = open_group("tcp4", &options, &g);
        if (r >= 0)
                r = meets(g, 1, 0, NULL);
        if (r <= 0)
                return r;

        rule = reuse_rule_init(0, 0);
        reuse_rule_set_live(&rule, 0, 1, true);
        r = reuse_group_set_rule(g, &rule);
        return r < 0 ? r : meets(g, 0, 1, NULL);
}

static int last_moves_into_hole(void) {
        const ReuseGroupOptions options = { .n_slots = 2 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        struct pollfd polled = { .fd = -1 };
        int r;

        r = open_group("tcp4", &options, &g);
        if (r < 0)
                return r;

        /* the rule may be met by index 0 and 1; 0 leaves, so that slot 1 of bank 1 is met */
        polled.fd = reuse_group_fd(g, 0, 0);
        if (shutdown(polled.fd, SHUT_RDWR) < 0)
                return -errno;
        if (poll(&polled, 1, 0) < 0)
                return -errno;
        if (!(polled.revents & POLLHUP))
                return 0;

        r = reuse_group_mend(g);
        if (r >= 0) {
                ReuseRule rule = reuse_rule_init(1, 0);

                reuse_rule_set_live(&rule, 1, 1, true);
                r = reuse_group_index(g, 1, 1) == 0 ? reuse_group_set_rule(g, &rule) : -ENOENT;
        }

        return r < 0 ? r : meets(g, 1, 1, NULL);
}

static int owner_keeps_out(void) {
        const ReuseGroupOptions options = { .has_owner = true, .owner = OTHER_OWNER };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        _cleanup_close_ int stranger = -EBADF;
        char text[REUSE_ADDRESS_TEXT_SIZE];
        int r;

        if (geteuid() == OTHER_OWNER)
                return -EPERM;

        r = open_group("tcp4", &options, &g);
        if (r < 0)
                return r;

        stranger = reuse_listen("tcp4", reuse_address_format(&g->address, text, sizeof(text)),
                                NULL);
        return stranger == -EADDRINUSE;
}

static int marks_are_inherited(void) {
        ReuseRule rule = reuse_rule_init(3, 1);
        const ReuseGroupOptions options = { .n_banks = 4, .has_marks = true, .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        _cleanup_close_ int server = -EBADF;
        int loop, all, r;
        socklen_t size = sizeof(int);

        r = open_group("tcp4", &options, &g);
        if (r >= 0)
                r = meets(g, 3, 0, &server);
        if (r <= 0)
                return r;

        if (getsockopt(server, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, &size) < 0 ||
            getsockopt(server, IPPROTO_IP, IP_MULTICAST_ALL, &all, &size) < 0)
                return -errno;

        return loop == 0 && all == 0;
}

static int datagrams_are_steered(void) {
        ReuseRule rule = reuse_rule_init(1, 1);
        const ReuseGroupOptions options = { .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
        _cleanup_close_ int client = -EBADF;
        char text[REUSE_ADDRESS_TEXT_SIZE];
        unsigned waiting;
        int r;

        r = open_group("udp4", &options, &g);
        if (r < 0)
                return r;

        client = reuse_dial("udp4", NULL, reuse_address_format(&g->address, text, sizeof(text)),
                            NULL);
        if (client < 0)
                return client;
        if (send(client, "", 1, MSG_NOSIGNAL) < 0)
                return -errno;

        r = reuse_group_queue(g, 1, 0, &waiting, NULL);
        return r < 0 ? r : waiting > 0;
}

static const Probe probes[] = {
        { "k1", "a bound socket that does not listen refuses", bound_is_refused },
        { "k4", "a rule replaced through any socket moves all new connections", rule_moves_all },
        { "k5", "so it is for datagrams", datagrams_are_steered },
        { "k8", "who is shut is told at once, and the last socket moves into the hole",
          last_moves_into_hole },
        { "k13", "nobody joins a group that belongs to another uid", owner_keeps_out },
        { "marks", "connections inherit the mark of their bank", marks_are_inherited },
};

size_t reuse_facts(ReuseFact *ret, size_t n_ret) {
        assert(ret || n_ret == 0);

        for (size_t i = 0; i < ELEMENTS_OF(probes) && i < n_ret; i++)
                ret[i] = (ReuseFact){ .name = probes[i].name,
                                      .text = probes[i].text,
                                      .holds = probes[i].holds() };

        return ELEMENTS_OF(probes);
}
