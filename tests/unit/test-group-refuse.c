/* A port that refuses is nobody else's. */

#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

#define NOBODY ((uid_t) 65534)

/* What another process gets that binds and listens there with SO_REUSEADDR, as anybody's server does:
 * 0 or an errno. */
static int try_to_listen(const ReuseAddress *a, bool as_nobody) {
        static const int on = 1;
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

                if (as_nobody && setuid(NOBODY) < 0)
                        _exit(255);
                (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
                if (bind(fd, &a->sa, a->length) < 0 || listen(fd, 1) < 0)
                        _exit(errno);
                _exit(0);
        }

        assert_int_equal(assert_ok(waitpid(pid, &status, 0)), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
        return WEXITSTATUS(status);
}

/* The kernel's side of it, fact k19: two that are bound with SO_REUSEADDR do not mind each other, and the
 * first that listens has the port. */
static void a_bound_socket_alone_keeps_nobody_out(void **state) {
        static const int on = 1, off = 0;
        _cleanup_close_ int fd = assert_ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ReuseAddress a;

        assert_ok(reuse_address_parse("tcp4", "127.0.0.1:0", true, &a));
        assert_ok(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
        assert_ok(bind(fd, &a.sa, a.length));
        assert_ok(reuse_address_of_socket(fd, &a));
        assert_int_equal(try_to_listen(&a, false), 0);
        assert_ok(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)));
        assert_int_equal(try_to_listen(&a, false), EADDRINUSE);
}

static void check_closed(const ReuseAddress *a) {
        assert_int_equal(try_to_listen(a, false), EADDRINUSE);
        if (geteuid() == 0)
                assert_int_equal(try_to_listen(a, true), EADDRINUSE);
}

static void check_group(const char *network, const char *address) {
        const ReuseGroupOptions options = { .n_slots = 2, .is_refusing = true };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open(network, address, &options);
        const ReuseAddress *a = reuse_group_address(g);

        for (unsigned round = 0; round < 3; round++) {
                check_closed(a); /* first as one that never listened */
                assert_ok(reuse_group_grow(g, 0, 3 + round));
                assert_ok(reuse_group_renew(g, 1, NULL));
                check_closed(a);
                assert_ok(reuse_group_listen(g));
                check_closed(a);
                assert_int_equal(traffic_visits(g, false, false, 20).total, 20);
                assert_ok(reuse_group_refuse(g));
        }
}

static void a_group_that_refuses_keeps_everybody_out(void **state) {
        check_group("tcp4", "127.0.0.1:0");
        check_group("tcp", ":0");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_bound_socket_alone_keeps_nobody_out),
                UNIT_TEST(a_group_that_refuses_keeps_everybody_out),
        };

        return UNIT_RUN(tests);
}
