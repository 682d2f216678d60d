#include "daemon/endpoint/connections.h"

#include "daemon/endpoint/sockdiag.h"

int connections_count(const Service *s, uint64_t ret_n[static REUSE_BANKS_MAX]) {
        uint64_t n[REUSE_BANKS_MAX] = { 0 };

        for (size_t i = 0; i < s->n_held; i++) {
                const Endpoint *e = s->endpoints[i];

                for (size_t k = 0; k < e->n_open && e->settings->type == SOCK_STREAM; k++) {
                        int r = sockdiag_count_connections(reuse_group_address(e->groups[k]), n);

                        if (r < 0)
                                return r;
                }
        }

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                ret_n[bank] = n[bank];
        return 0;
}
