/* Descriptors as a store might give them back: any of several sockets, in any places, any order.  What is
 * refused stays the caller's; what is taken is a group whose table is one. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/group.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_MEMBERS_MAX 12U

static ReuseGroup *open_group(const char *network, unsigned n_slots) {
        const ReuseGroupOptions options = { .n_slots = n_slots };
        ReuseAddress address;
        ReuseGroup *g;

        if (reuse_address_parse(network, "127.0.0.1:0", true, &address) < 0 ||
            reuse_group_open(&address, &options, &g, NULL) < 0)
                abort();
        return g;
}

/* The descriptor that a byte stands for: mostly one of the group. */
static int choose(const ReuseGroup *streams, const ReuseGroup *datagrams, uint8_t byte) {
        switch (byte >> 4) {
        case 15:
                return -1;
        case 14:
                return STDIN_FILENO;
        case 13:
                return reuse_group_fd(datagrams, byte & 1, 0);
        case 12:
                return 1000;
        default:
                return reuse_group_fd(streams, byte & 1, byte >> 1 & 3);
        }
}

static void check_table(const ReuseGroup *g, size_t n) {
        unsigned n_places = 0;

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                n_places += reuse_group_n_slots(g, bank);
        if (n_places != n)
                abort();

        for (unsigned bank = 0; bank < reuse_group_n_banks(g); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(g, bank); slot++) {
                        int index = reuse_group_index(g, bank, slot);

                        if (reuse_group_is_refusing(g) && reuse_group_address(g)->type ==
                                                                            SOCK_STREAM
                                            ? index != -ENOENT
                                            : index < 0 || index >= (int) n)
                                abort();
                }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ReuseGroup *streams, *datagrams, *taken = NULL;
        ReuseMember members[N_MEMBERS_MAX];
        ReuseRule rule = reuse_rule_init(0, 1);
        ReuseGroupOptions options = { .rule = &rule };
        size_t n = 0;

        if (size < 2)
                return 0;

        streams = open_group("tcp", 4);
        datagrams = open_group("udp", 1);
        for (unsigned i = 0; i < 8; i++) /* some have been shut meanwhile */
                if (data[0] & (1U << i))
                        (void) shutdown(reuse_group_fd(streams, i & 1, i >> 1), SHUT_RDWR);
        options.is_refusing = data[1] & 1;

        for (size_t at = 2; at + 1 < size && n < N_MEMBERS_MAX; at += 2, n++) {
                int fd = choose(streams, datagrams, data[at]);
                int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

                members[n] = (ReuseMember){ .fd = copy < 0 ? fd : copy,
                                            .bank = data[at + 1] & 7,
                                            .slot = (uint16_t) (data[at + 1] >> 3) };
        }

        if (reuse_group_adopt(members, n, &options, &taken) >= 0) {
                check_table(taken, n);
                (void) reuse_group_free(taken);
        } else
                for (size_t i = 0; i < n; i++)
                        if (members[i].fd > STDERR_FILENO && members[i].fd != 1000)
                                (void) fd_close(members[i].fd); /* asserts that it is open */

        (void) reuse_group_free(streams);
        (void) reuse_group_free(datagrams);
        return 0;
}
