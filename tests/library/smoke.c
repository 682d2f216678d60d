/* The library in a few steps, for a build that cmocka is not there for. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reuse/reuseport.h"

static int check(int r, const char *what) {
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", what, reuse_strerror(r));
                exit(EXIT_FAILURE);
        }
        return r;
}

int main(void) {
        const ReuseGroupOptions options = { .n_banks = 2, .n_slots = 3 };
        char text[REUSE_ADDRESS_TEXT_SIZE];
        ReuseRule rule = reuse_rule_init(1, 3);
        ReuseFact facts[16];
        ReuseAddress address;
        ReuseGroup *g;
        int fd;

        check(reuse_address_parse("tcp", "localhost:0", false, &address), "parse");
        check(reuse_group_open(&address, &options, &g, NULL), "open");
        check(reuse_group_set_rule(g, &rule), "set_rule");
        fd = check(reuse_dial("tcp", NULL,
                              reuse_address_format(reuse_group_address(g), text, sizeof(text)),
                              NULL),
                   "dial");
        (void) close(fd);
        check(close(check(reuse_listen_packet("udp", ":0", NULL), "listen_packet")), "close");
        g = reuse_group_free(g);

        for (size_t i = 0, n = reuse_facts(facts, 16); i < n; i++)
                if (facts[i].holds == 0) {
                        (void) fprintf(stderr, "%s: %s: no\n", facts[i].name, facts[i].text);
                        return EXIT_FAILURE;
                }

        return reuse_available() ? EXIT_SUCCESS : EXIT_FAILURE;
}
