#include "ctl/taken.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "ctl/client.h"

/* The message's own descriptors go with it. */
static int read_one(sd_bus_message *m, TakenSockets *t) {
        const char *name;
        int fd, r;

        r = sd_bus_message_read(m, "(sh)", &name, &fd);
        if (r <= 0)
                return r;
        if (t->n_fds >= TAKEN_MAX)
                return -E2BIG;

        t->names[t->n_fds] = strdup(name);
        if (!t->names[t->n_fds])
                return -ENOMEM;
        t->fds[t->n_fds] = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (t->fds[t->n_fds] < 0)
                return -errno;

        t->n_fds++;
        return 1;
}

static int read_all(sd_bus_message *m, TakenSockets *t) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sh)");
        while (r > 0)
                r = read_one(m, t);
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : sd_bus_message_read_strv(m, &t->environment);
}

CtlResult taken_ask(Ctl *c, char *const *endpoints, bool for_store, TakenSockets *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        CtlResult result;
        int r;

        *ret = (TakenSockets){ 0 };
        result = client_take(c, endpoints, for_store, &reply);
        if (result != CTL_OK)
                return result;

        r = read_all(reply, ret);
        for (size_t i = 0; i < ret->n_fds && r >= 0 && c->nonblock; i++)
                r = fd_set_nonblock(ret->fds[i], true);
        if (r < 0) {
                ctl_error("the daemon's answer cannot be read: %s", strerror(-r));
                taken_done(ret);
                return CTL_FAILED;
        }

        return CTL_OK;
}

void taken_done(TakenSockets *t) {
        for (size_t i = 0; i < t->n_fds; i++) {
                t->fds[i] = fd_close(t->fds[i]);
                free(t->names[i]);
        }
        t->n_fds = 0;
        t->environment = strv_free(t->environment);
}
