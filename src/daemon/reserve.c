#include "daemon/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

static struct {
        int fds[RESERVE_MAX];
        unsigned n;
        struct rlimit given;
        bool is_given;
} reserve;

void reserve_raise_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;

        reserve.given = limit;
        reserve.is_given = true;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit); /* then it stays as it is */
}

const struct rlimit *reserve_given_limit(void) {
        return reserve.is_given ? &reserve.given : NULL;
}

void reserve_restore_limit(void) {
        if (reserve.is_given)
                (void) setrlimit(RLIMIT_NOFILE, &reserve.given);
}

/* Each holds a place in our table; what it refers to does not matter, but in the system's table it must
 * hold one, too. */
unsigned reserve_fill(void) {
        while (reserve.n < RESERVE_MAX) {
                int fd = fd_move_above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC));

                if (fd < 0)
                        break;
                reserve.fds[reserve.n++] = fd;
        }

        return reserve.n;
}

void reserve_drop(void) {
        while (reserve.n > 0)
                (void) fd_close(reserve.fds[--reserve.n]);
}

bool reserve_lend(int error) {
        if ((error != -EMFILE && error != -ENFILE) || reserve.n == 0)
                return false;

        reserve_drop();
        return true;
}
