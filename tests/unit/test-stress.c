/* Nodes that listen and dial from the port they listen on, all with all: what go-reuseport's stress tests
 * do.  Each node's connections share its one port, so that each pair of nodes is one connection. */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reuse/address.h"
#include "unit.h"

#define NODES_MAX 10U

typedef struct Node {
        int listener;
        char address[REUSE_ADDRESS_TEXT_SIZE];
} Node;

static void node_init(Node *node, const char *network, const char *host) {
        char text[64];
        ReuseAddress a;

        (void) snprintf(text, sizeof(text), "%s:0", host);
        node->listener = assert_ok(reuse_listen(network, text, NULL));
        assert_ok(reuse_address_of_socket(node->listener, &a));
        (void) reuse_address_format(&a, node->address, sizeof(node->address));
}

static void transfer(int from, int to, unsigned value) {
        char sent[32], got[32];
        size_t n = (size_t) snprintf(sent, sizeof(sent), "message %u", value), have = 0;

        assert_int_equal(send(from, sent, n, 0), n);
        while (have < n) {
                ssize_t r;

                (void) unit_wait(to, POLLIN);
                r = recv(to, got + have, n - have, 0);
                assert_true(r > 0);
                have += (size_t) r;
        }
        assert_memory_equal(sent, got, n);
}

/* Each node dials all after it, sends @n_messages, and gets each back. */
static void stress(const char *network, const char *host, unsigned n_nodes, unsigned n_messages) {
        Node nodes[NODES_MAX];

        for (unsigned i = 0; i < n_nodes; i++)
                node_init(nodes + i, network, host);

        for (unsigned i = 0; i < n_nodes; i++)
                for (unsigned j = i + 1; j < n_nodes; j++) {
                        _cleanup_close_ int client = -EBADF, server = -EBADF;

                        client = assert_ok(reuse_dial(network, nodes[i].address, nodes[j].address,
                                                      NULL));
                        server = unit_accept(nodes[j].listener);
                        for (unsigned n = 0; n < n_messages; n++) {
                                transfer(client, server, n);
                                transfer(server, client, n);
                        }
                }

        for (unsigned i = 0; i < n_nodes; i++)
                nodes[i].listener = fd_close(nodes[i].listener);
}

static void stress_all(unsigned n_nodes, unsigned n_messages) {
        stress("tcp", "127.0.0.1", n_nodes, n_messages);
        stress("tcp4", "127.0.0.1", n_nodes, n_messages);
        if (access("/proc/net/if_inet6", F_OK) < 0)
                unit_skip("no IPv6 here");
        stress("tcp6", "[::1]", n_nodes, n_messages);
}

/* case 10 */
static void two_nodes_and_a_thousand_messages(void **state) {
        stress_all(2, 1000);
}

/* case 11 */
static void ten_nodes_and_one_message(void **state) {
        stress_all(10, 1);
}

/* case 12 */
static void ten_nodes_and_fifty_messages(void **state) {
        stress_all(10, 50);
}

/* case 18: after all of that, and again, not one descriptor more */
static void nothing_is_left_open(void **state) {
        for (unsigned i = 0; i < 5; i++)
                stress("tcp", "127.0.0.1", 10, 1);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(two_nodes_and_a_thousand_messages),
                UNIT_TEST(ten_nodes_and_one_message),
                UNIT_TEST(ten_nodes_and_fifty_messages),
                UNIT_TEST(nothing_is_left_open),
        };

        return UNIT_RUN(tests);
}
