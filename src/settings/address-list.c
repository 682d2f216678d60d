#include "settings/address-list.h"

#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define EXPECTED "expected \"PORT\", \":PORT\", \"IP:PORT\" or \"[IP6]:PORT\""

/* Says what is wrong with an address that could not be read. */
static int explain(const Tree *node, const char *text, Report *report) {
        const char *colon = strrchr(text, ':'), *zone = strchr(text, '%');
        char quoted[REPORT_QUOTE_SIZE], name[IF_NAMESIZE];
        uint64_t port;

        report_quote(text, quoted);
        if (text[0] == '/' || text[0] == '@')
                return tree_problem(
                                node, report,
                                "%s is a unix socket, which SO_REUSEPORT cannot share, " EXPECTED,
                                quoted);
        if (!colon)
                return tree_problem(node, report, "%s has no port, " EXPECTED, quoted);
        if (text[0] != '[' && strchr(text, ':') != colon)
                return tree_problem(
                                node, report,
                                "%s is an IPv6 address without brackets, expected \"[IP6]:PORT\"",
                                quoted);
        if (parse_unsigned(colon + 1, UINT16_MAX, &port) < 0)
                return tree_problem(node, report, "%s has no valid port, expected 0 to 65535",
                                    quoted);
        if (zone && text[0] == '[') {
                size_t n = strcspn(zone + 1, "]");

                if (n < sizeof(name)) {
                        memcpy(name, zone + 1, n);
                        name[n] = '\0';
                        if (if_nametoindex(name) == 0)
                                return tree_problem(
                                                node, report,
                                                "%s: no network interface is called so, expected "
                                                "one "
                                                "of this machine after the %%",
                                                quoted);
                }
        }
        if (text[0] != '[' && text[strspn(text, "0123456789.:")])
                return tree_problem(
                                node, report,
                                "%s: host names are refused, since addresses must not depend on "
                                "DNS, "
                                "expected \"IP:PORT\"",
                                quoted);

        return tree_problem(node, report, "%s is not an address, " EXPECTED, quoted);
}

/* Returns 1, or 0 after a report. */
static int read_one(const Tree *node, int type, ReuseAddress *ret, Report *report) {
        const char *network = type == SOCK_STREAM ? "tcp" : "udp";
        char buffer[32];
        const char *text = buffer;

        if (node->kind == TREE_INTEGER) {
                if (node->integer < 0 || node->integer > UINT16_MAX)
                        return tree_problem(node, report,
                                            "%" PRId64 " is not a port, expected 0 to 65535",
                                            node->integer);
                snprintf(buffer, sizeof(buffer), ":%" PRId64, node->integer);
        } else if (node->kind != TREE_STRING)
                return tree_problem(node, report, "this is %s, " EXPECTED,
                                    tree_kind_text(node->kind));
        else if (node->string[0] && !node->string[strspn(node->string, "0123456789")] &&
                 strlen(node->string) < sizeof(buffer) - 1)
                snprintf(buffer, sizeof(buffer), ":%s", node->string);
        else
                text = node->string;

        if (reuse_address_parse(network, text, /* numeric_only= */ true, ret) < 0)
                return explain(node, text, report);

        return 1;
}

int address_list_read(const Tree *node, int type, EndpointSettings *endpoint, Report *report) {
        bool is_list = node->kind == TREE_LIST;
        size_t n = is_list ? node->n_children : 1, n_good = 0;
        _cleanup_free_ ReuseAddress *addresses = NULL;

        if (n == 0)
                return tree_problem(node, report, "an empty list, expected at least one address");

        addresses = calloc(n, sizeof(ReuseAddress));
        if (!addresses)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++)
                if (read_one(is_list ? node->children[i] : node, type, &addresses[n_good], report))
                        n_good++;

        free(endpoint->addresses);
        endpoint->addresses = TAKE_PTR(addresses);
        endpoint->n_addresses = n_good;
        endpoint->type = type;
        return 0;
}
