/* How many descriptors a configuration needs in the store above the daemon. */

#include "base/text.h"
#include "settings/load.h"

#define GENERATIONS 2U /* the old one and the new one, while a deploy lasts */
#define PER_WORKER  2U /* its process and its notify socket */

size_t settings_store_need(const Settings *s) {
        size_t n = 1; /* the state */

        for (size_t i = 0; i < s->n_endpoints; i++) {
                const EndpointSettings *e = s->endpoints[i];
                size_t n_slots = e->service && !e->is_shared ? e->service->n_workers : 1;

                n += e->n_addresses * n_slots * (e->service ? GENERATIONS : 1);
        }
        for (size_t i = 0; i < s->n_services; i++)
                n += (size_t) s->services[i]->n_workers * GENERATIONS * PER_WORKER;

        return n;
}

void check_store_need(const Settings *s, Report *report) {
        const DaemonSettings *d = &s->daemon;
        size_t n = settings_store_need(s);
        Place otherwise = { s->files ? s->files[0] : "",
                            1 }; /* what is not a default was said somewhere */

        if ((d->fd_store == FD_STORE_KEEPER || d->fd_store == FD_STORE_SYSTEMD) &&
            n > (size_t) d->store_max)
                report_problem(report, key_place(&d->keys, "fd_store", otherwise),
                               "daemon.store_max",
                               "%d descriptors do not do for this configuration, which needs %zu "
                               "while everything is deployed at once, expected at least that many",
                               d->store_max, n);
}
