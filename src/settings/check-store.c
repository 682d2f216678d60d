/* How many descriptors a configuration needs in the store above the daemon. */

#include <stdio.h>

#include "base/text.h"
#include "settings/load.h"

#define GENERATIONS 2U /* the old one and the new one, while a deploy lasts */
#define PER_WORKER  2U /* its process and its notify socket */

size_t settings_store_need_of_daemon(const Settings *s) {
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

size_t settings_store_need(const Settings *s) {
        size_t n = settings_store_need_of_daemon(s);

        for (size_t i = 0; i < s->n_services; i++)
                n += (size_t) s->services[i]->fd_store_max;

        return n;
}

void check_store_need(const Settings *s, Report *report) {
        const DaemonSettings *d = &s->daemon;
        size_t n = settings_store_need(s), n_stored = n - settings_store_need_of_daemon(s);
        Place otherwise = { s->files ? s->files[0] : "",
                            1 }; /* what is not a default was said somewhere */
        char of_workers[128] = "";

        if (n <= (size_t) d->store_max ||
            (d->fd_store != FD_STORE_KEEPER && d->fd_store != FD_STORE_SYSTEMD))
                return;

        if (n_stored > 0)
                snprintf(of_workers, sizeof(of_workers),
                         ", %zu of them for what workers may store by fd_store_max", n_stored);
        report_problem(report, key_place(&d->keys, "fd_store", otherwise), "daemon.store_max",
                       "%d descriptors do not do for this configuration, which needs %zu while "
                       "everything is deployed at once%s, expected at least that many",
                       d->store_max, n, of_workers);
}
