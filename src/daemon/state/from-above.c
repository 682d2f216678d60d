/* What the store above us gives back when the daemon is started again: the log of the one before, and the
 * descriptors that it speaks of. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/state/adoption.h"
#include "daemon/state/again.h"
#include "daemon/why.h"

static int take_all(char *const *names, int n, Legacy *l) {
        l->fds = calloc((size_t) n + 1, sizeof(AdoptedFd));
        if (!l->fds)
                return -ENOMEM;

        for (int i = 0; i < n; i++) {
                AdoptedFd *place = &l->fds[l->n_fds];
                int fd = fd_move_above_stdio(SD_LISTEN_FDS_START + i);

                if (!names || strlen(names[i]) >= STATE_NAME_SIZE) {
                        (void) fd_close(fd); /* none of ours */
                        continue;
                }
                *place = (AdoptedFd){ .fd = fd };
                memcpy(place->name, names[i], strlen(names[i]));
                l->n_fds++;
        }

        return 0;
}

/* Else they would come again to each that follows. */
static int drop_all(char *const *names, int n) {
        for (int i = 0; i < n; i++)
                (void) sd_notifyf(/* unset_environment= */ false, "FDSTOREREMOVE=1\nFDNAME=%s",
                                  names[i]);

        return 0;
}

static bool has_mark(const Legacy *l) {
        for (size_t i = 0; i < l->n_fds; i++)
                if (strcmp(l->fds[i].name, AGAIN_NAME) == 0)
                        return true;

        return false;
}

static bool has_workers(const Legacy *l) {
        for (size_t i = 0; i < l->n_fds; i++)
                if (adopted_fd_is_worker(&l->fds[i]))
                        return true;

        return false;
}

int legacy_from_above(Legacy *ret) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_(legacy_done) Legacy l = { 0 };
        _cleanup_free_ char *why = NULL;
        int n, r, fd;

        n = sd_listen_fds_with_names(/* unset_environment= */ true, &names);
        if (n <= 0)
                return n;

        r = take_all(names, n, &l);
        if (r < 0)
                return r;

        fd = legacy_take_fd(&l, STATE_STORE_NAME);
        if (fd < 0) {
                ret->has_failed = has_mark(&l);
                if (!ret->has_failed)
                        log_warning("%d descriptors were passed to us that are no daemon's before "
                                    "us; they are closed",
                                    n);
                return drop_all(names, n);
        }

        r = state_log_open(fd, &l.log, &why);
        if (r < 0)
                (void) fd_close(fd);
        else if (!state_log_has(l.log, "daemon") && has_workers(&l))
                r = why_say(&why, -EBADMSG, "it has no record of a daemon, and there are workers");
        if (r < 0) {
                *ret = l;
                l = (Legacy){ 0 };
                return legacy_give_up(r, why);
        }

        if (!state_log_has(l.log, "daemon")) {
                log_warning("The daemon before us ended before it had opened anything; we begin anew");
                return drop_all(names, n);
        }

        *ret = l;
        l = (Legacy){ 0 };
        return 1;
}
