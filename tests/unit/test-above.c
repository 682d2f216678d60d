#include "daemon/above.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/parse.h"
#include "unit.h"

/* Whoever stands above: reads when the test says so. */
typedef struct Manager {
        sd_event *event;
        Above *above;
        int fd;
        char path[64];
} Manager;

static void manager_open(Manager *m) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *m = (Manager){ .fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
        snprintf(m->path, sizeof(m->path), "/tmp/test-above.%d", (int) getpid());
        (void) unlink(m->path);
        memcpy(address.sun_path, m->path, strlen(m->path));
        assert_true(m->fd >= 0);
        assert_ok(bind(m->fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0);

        assert_ok(setenv("NOTIFY_SOCKET", m->path, 1));
        assert_ok(sd_event_new(&m->event) < 0 ? -ENOMEM : 0);
        assert_ok(above_new(m->event, &m->above));
        assert_null(getenv("NOTIFY_SOCKET"));
}

static void manager_close(Manager *m) {
        m->above = above_free(m->above);
        m->event = sd_event_unref(m->event);
        m->fd = fd_close(m->fd);
        (void) unlink(m->path);
}

/* Until it takes no more; returns how many it has taken. */
static unsigned fill(const Manager *m) {
        unsigned n = 0;

        while (above_try_unstore(m->above, "nobody") >= 0)
                n++;
        assert_true(n > 0);
        return n;
}

/* The next message, for which the loop turns; "" if there is none in a second. */
static const char *next(const Manager *m) {
        static char text[2048];
        ssize_t n;

        for (unsigned i = 0; (n = recv(m->fd, text, sizeof(text) - 1, 0)) < 0 && i < 10; i++)
                (void) sd_event_run(m->event, USEC_PER_SEC / 10);
        text[n > 0 ? n : 0] = '\0';
        return text;
}

static void what_is_said_to_a_slow_reader_comes_later_in_its_order(void **state) {
        Manager m;
        unsigned n;

        manager_open(&m);
        n = fill(&m);
        above_tell(m.above, "READY=1\nSTATUS=%d endpoints", 3);
        above_tell(m.above, "STOPPING=1");
        for (unsigned i = 0; i < n; i++)
                assert_string_equal(next(&m), "FDSTOREREMOVE=1\nFDNAME=nobody");
        assert_string_equal(next(&m), "READY=1\nSTATUS=3 endpoints");
        assert_string_equal(next(&m), "STOPPING=1");
        above_tell(m.above, "STATUS=gone");
        assert_string_equal(next(&m), "STATUS=gone");
        manager_close(&m);
}

static void what_is_said_next_does_not_overtake(void **state) {
        Manager m;

        manager_open(&m);
        (void) fill(&m);
        above_tell(m.above, "READY=1");
        (void) next(&m); /* there is room for one, and the loop did not turn */
        above_tell(m.above, "STOPPING=1");
        while (strstr(next(&m), "FDSTOREREMOVE"))
                ;
        /* That was READY=1. */
        assert_string_equal(next(&m), "STOPPING=1");
        manager_close(&m);
}

static void who_never_reads_costs_no_more_than_a_few_messages(void **state) {
        Manager m;
        unsigned n, n_told = 0;

        manager_open(&m);
        n = fill(&m);
        for (unsigned i = 0; i < 1000; i++) {
                above_tell(m.above, "WATCHDOG=1");
                above_tell(m.above, "STATUS=%u", i);
        }
        while (n-- > 0)
                (void) next(&m);
        while (*next(&m))
                n_told++;
        assert_in_range(n_told, 2, 16);
        manager_close(&m);
}

static void without_a_socket_nothing_is_said(void **state) {
        sd_event *event = NULL;
        Above *above = NULL;

        assert_ok(unsetenv("NOTIFY_SOCKET"));
        assert_ok(sd_event_new(&event) < 0 ? -ENOMEM : 0);
        assert_ok(above_new(event, &above));
        above_tell(above, "READY=1");
        assert_int_equal(above_unstore(above, "nobody"), -ENOTCONN);
        assert_null(above_free(above));
        sd_event_unref(event);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(what_is_said_to_a_slow_reader_comes_later_in_its_order),
                UNIT_TEST(what_is_said_next_does_not_overtake),
                UNIT_TEST(who_never_reads_costs_no_more_than_a_few_messages),
                UNIT_TEST(without_a_socket_nothing_is_said),
        };

        return UNIT_RUN(tests);
}
