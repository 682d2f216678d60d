#include "daemon/worker/start-limit.h"

bool start_limit_take(StartLimit *l, uint64_t interval_usec, unsigned burst, uint64_t now_usec) {
        if (interval_usec == 0)
                return true;

        if (l->begun_usec == 0 || now_usec - l->begun_usec >= interval_usec)
                *l = (StartLimit){ .begun_usec = now_usec };

        return ++l->n_starts <= burst;
}
