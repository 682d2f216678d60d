#include "daemon/endpoint/endpoint-adopt.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/endpoint/endpoint-open.h"
#include "daemon/endpoint/endpoint-watch.h"
#include "daemon/manager.h"

int endpoint_new_closed(Manager *manager, const EndpointSettings *settings, size_t n_open,
                        Endpoint **ret) {
        _cleanup_(endpoint_freep) Endpoint *e = NULL;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;

        e->manager = manager;
        e->settings = settings;
        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                e->banks[bank].is_shared = settings->is_shared;
        e->groups = calloc(n_open + settings->n_addresses, sizeof(ReuseGroup *));
        if (!e->groups)
                return -ENOMEM;

        *ret = TAKE_PTR(e);
        return 0;
}

int endpoint_adopt_group(Endpoint *e, const ReuseMember *members, size_t n_members) {
        ReuseGroupOptions options = endpoint_group_options(e->manager, e->settings, 0);
        int r;

        options.is_inert = true;
        r = reuse_group_adopt(members, n_members, &options, &e->groups[e->n_open]);
        if (r >= 0)
                e->n_open++;
        return r;
}

int endpoint_resume(Endpoint *e, const ReuseRule *rule) {
        int first = 0;

        for (size_t i = 0; i < e->n_open; i++) {
                ReuseRule own;
                bool is_open = rule && endpoint_rule_of(e, e->groups[i], rule, &own);
                int r = reuse_group_resume(e->groups[i], is_open ? &own : NULL);

                if (r < 0 && first == 0)
                        first = r;
        }

        return first < 0 || !rule || e->n_open == 0 ? first : endpoint_watch(e);
}
