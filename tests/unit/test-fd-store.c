#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/store/fd-message.h"
#include "daemon/store/fd-store.h"
#include "unit.h"

#define NAMES_BYTES 4096

static FdStore *make(void) {
        FdStore *s;

        assert_ok(fd_store_new(/* n_reserved= */ 0, NAMES_BYTES, &s));
        return s;
}

static int file(void) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static void assert_names(const FdStore *s, const char *wanted) {
        char text[256] = "";

        for (size_t i = 0; i < fd_store_n(s); i++) {
                strcat(text, fd_store_name(s, i));
                strcat(text, " ");
        }
        assert_string_equal(text, wanted);
}

static void descriptors_are_kept_in_the_order_in_which_they_came(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();

        assert_int_equal(fd_store_put(s, 9, "b", true, file()), 1);
        assert_int_equal(fd_store_put(s, 9, NULL, true, file()), 1);
        assert_int_equal(fd_store_put(s, 9, "a", true, file()), 1);
        assert_int_equal(fd_store_put(s, 9, "b", true, file()), 1);
        assert_names(s, "b stored a b ");

        assert_int_equal(fd_store_remove(s, "b", SIZE_MAX), 2);
        assert_int_equal(fd_store_remove(s, "b", SIZE_MAX), 0);
        assert_names(s, "stored a ");
        assert_int_equal(fd_store_remove(s, NULL, SIZE_MAX), 1);
        assert_names(s, "a ");
}

static void the_same_open_file_is_kept_once(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        int fd = file(), copy = dup(fd), other, event = eventfd(0, EFD_CLOEXEC), ends[2];
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        other = open(path, O_RDWR | O_CLOEXEC); /* the same file, opened again */
        assert_true(other >= 0 && pipe2(ends, O_CLOEXEC) == 0);

        assert_int_equal(fd_store_put(s, 9, "a", false, fd), 1);
        assert_int_equal(fd_store_put(s, 9, "b", false, copy), 0);
        assert_false(is_open(copy));
        assert_int_equal(fd_store_put(s, 9, "c", false, other), 1);

        /* these have one inode in older kernels */
        assert_int_equal(fd_store_put(s, 9, "d", false, event), 1);
        assert_int_equal(fd_store_put(s, 9, "e", false, eventfd(0, EFD_CLOEXEC)), 1);
        assert_int_equal(fd_store_put(s, 9, "f", false, dup(event)), 0);
        assert_int_equal(fd_store_put(s, 9, "g", false, ends[0]), 1);
        assert_int_equal(fd_store_put(s, 9, "h", false, ends[1]), 1);
        assert_names(s, "a c d e g h ");
}

static void the_oldest_that_is_the_same_is_found_among_many(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        int first = eventfd(0, EFD_CLOEXEC), other = file(), copy;

        assert_int_equal(fd_store_put(s, 999, "a", false, first), 1);
        assert_int_equal(fd_store_find(s, first), -ENOENT); /* but itself */
        for (unsigned i = 0; i < 300; i++)
                assert_int_equal(fd_store_put(s, 999, "b", false, eventfd(0, EFD_CLOEXEC)), 1);
        copy = dup(first);
        assert_int_equal(fd_store_find(s, copy), first);
        assert_int_equal(fd_store_find(s, other), -ENOENT);

        fd_store_drop(s, first);
        assert_false(is_open(first));
        assert_int_equal(fd_store_n(s), 300);
        assert_int_equal(fd_store_find(s, copy), -ENOENT);
        (void) fd_close(copy);
        (void) fd_close(other);
        assert_int_equal(fd_store_find(s, other), -EBADF);
}

static void no_more_are_removed_than_was_asked_for(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();

        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(fd_store_put(s, 99, i % 2 ? "a" : "b", true, file()), 1);
        assert_int_equal(fd_store_remove(s, "a", 3), 3);
        assert_names(s, "b b b b a b a "); /* the oldest have gone */
        assert_int_equal(fd_store_remove(s, "a", 3), 2);
        assert_int_equal(fd_store_remove(s, "a", 3), 0);
}

static void what_is_beyond_the_limit_is_closed_at_once(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        int fd;

        assert_int_equal(fd_store_put(s, 0, "a", true, file()), -ENOSPC);
        for (int i = 0; i < 20; i++)
                assert_int_equal(fd_store_put(s, 20, "a", true, file()), 1);
        fd = file();
        assert_int_equal(fd_store_put(s, 20, "a", true, fd), -ENOSPC);
        assert_false(is_open(fd));
        assert_int_equal(fd_store_n(s), 20);

        fd_store_clear(s);
        assert_int_equal(fd_store_n(s), 0);
}

static void names_that_could_not_be_handed_over_are_refused(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        char name[FD_STORE_NAME_MAX + 2];
        unsigned n = 0;

        memset(name, 'x', sizeof(name));
        name[FD_STORE_NAME_MAX + 1] = '\0';
        assert_false(fd_name_is_valid(name));
        name[FD_STORE_NAME_MAX] = '\0';
        assert_true(fd_name_is_valid(name));
        while (fd_store_put(s, 1000, name, true, file()) == 1)
                n++;
        assert_int_equal(n, NAMES_BYTES / sizeof(name) + 1); /* 16 of 256 bytes */
        assert_int_equal(fd_store_put(s, 1000, "y", true, file()), -E2BIG);

        (void) fd_store_remove(s, name, SIZE_MAX);
        assert_int_equal(fd_store_put(s, 1000, "y", true, file()), 1);

        assert_true(fd_name_is_valid(""));
        assert_true(fd_name_is_valid("a b~"));
        assert_false(fd_name_is_valid("a:b"));
        assert_false(fd_name_is_valid("a\n"));
        assert_false(fd_name_is_valid("\x7f"));
        assert_false(fd_name_is_valid("\xc3\xa9"));
}

static void what_hangs_up_is_dropped_if_it_is_looked_at(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        int looked[2], left[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, looked), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, left), 0);
        assert_int_equal(fd_store_put(s, 9, "file", true, file()), 1); /* it cannot hang up */
        assert_int_equal(fd_store_put(s, 9, "looked", true, looked[0]), 1);
        assert_int_equal(fd_store_put(s, 9, "left", false, left[0]), 1);
        assert_true(fd_store_is_polled(s, 1));
        assert_false(fd_store_is_polled(s, 2));

        assert_int_equal(fd_store_drop_hung(s), 0);
        (void) fd_close(looked[1]);
        (void) fd_close(left[1]);
        assert_true(unit_wait(fd_store_poll_fd(s), POLLIN) & POLLIN);
        assert_int_equal(fd_store_drop_hung(s), 1);
        assert_names(s, "file left ");
        assert_int_equal(fd_store_drop_hung(s), 0);
}

/* Somebody else still holds it, so that the kernel would not forget the watch by itself. */
static void what_was_removed_is_not_watched_any_more(void **state) {
        _cleanup_(fd_store_freep) FdStore *s = make();
        int ends[2], held, number;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        held = dup(ends[0]);
        number = ends[0];
        assert_int_equal(fd_store_put(s, 9, "a", true, ends[0]), 1);
        assert_int_equal(fd_store_remove(s, "a", SIZE_MAX), 1);

        /* another takes its number */
        assert_int_equal(fcntl(held, F_DUPFD_CLOEXEC, 100) >= 0 && close(100) == 0, 1);
        assert_int_equal(dup2(held, number), number);
        (void) fd_close(ends[1]);
        assert_int_equal(fd_store_drop_hung(s), 0);
        assert_int_equal(
                        poll(&(struct pollfd){ .fd = fd_store_poll_fd(s), .events = POLLIN }, 1, 0),
                        0);
        (void) fd_close(held);
        (void) fd_close(number);
}

static uint64_t now_msec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

/* A connection whose end has unsent data and says "wait 30 s for it when I am closed". */
static int make_lingering(int listener, int *ret_peer) {
        const struct linger linger = { .l_onoff = 1, .l_linger = 30 };
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        char data[65536] = "";
        int fd, small = 4096;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &length), 0);
        (void) connect(fd, (struct sockaddr *) &address, length);
        *ret_peer = unit_accept(listener);
        assert_int_equal(setsockopt(*ret_peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
        while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        return fd;
}

static void a_socket_that_lingers_does_not_hold_us(void **state) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), peer;
        uint64_t begun = now_msec();

        assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 1), 0);
        fd_close_foreign(make_lingering(listener, &peer));
        assert_true(now_msec() - begun < 5000);
        (void) fd_close(peer);
        (void) fd_close(listener);
}

/* ---- messages ---- */

static void send_fds(int to, const char *text, size_t length, const int *fds, size_t n_fds) {
        char control[CMSG_SPACE(FD_MESSAGE_FDS_MAX * sizeof(int))] __attribute__((aligned(8)));
        struct iovec part = { (char *) text, length };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                message.msg_control = control;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        assert_int_equal(sendmsg(to, &message, 0), length);
}

static void make_channel(int ends[2]) {
        int one = 1;

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
        assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
}

static void a_message_comes_with_its_descriptors_and_its_sender(void **state) {
        static const char text[] = "FDSTORE=1\nFDNAME=x";
        int ends[2], fds[FD_MESSAGE_FDS_MAX], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FdMessage m;

        make_channel(ends);
        for (size_t i = 0; i < FD_MESSAGE_FDS_MAX; i++)
                fds[i] = null;
        send_fds(ends[1], text, strlen(text), fds, FD_MESSAGE_FDS_MAX);
        assert_int_equal(fd_message_receive(ends[0], &m), 1);
        assert_string_equal(m.text, text);
        assert_int_equal(m.pid, getpid());
        assert_int_equal(m.n_fds, FD_MESSAGE_FDS_MAX);
        assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
        fd_message_done(&m);
        assert_int_equal(fd_message_receive(ends[0], &m), -EAGAIN);

        (void) fd_close(null);
        (void) fd_close(ends[0]);
        (void) fd_close(ends[1]);
}

static void a_message_that_is_looked_at_stays_and_its_text_alone_takes_nothing(void **state) {
        static const char text[] = "FDSTORE=1";
        int ends[2], pipe_ends[2];
        char byte;
        FdMessage m;

        make_channel(ends);
        assert_int_equal(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK), 0);
        send_fds(ends[1], text, strlen(text), &pipe_ends[1], 1);
        (void) fd_close(pipe_ends[1]);

        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(fd_message_peek_text(ends[0], &m), 1);
                assert_string_equal(m.text, text);
                assert_int_equal(m.n_fds, 0);
                assert_int_equal(fd_message_peek(ends[0], &m), 1);
                assert_string_equal(m.text, text);
                assert_int_equal(m.n_fds, 1);
                assert_int_equal(write(m.fds[0], "x", 1), 1);
                fd_message_done(&m);
                assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
                assert_int_equal(read(pipe_ends[0], &byte, 1),
                                 -1); /* it is still held in the queue */
        }
        assert_int_equal(fd_message_receive_text(ends[0], &m), 1);
        assert_string_equal(m.text, text);
        assert_int_equal(m.n_fds, 0);
        assert_int_equal(fd_message_peek(ends[0], &m), -EAGAIN);
        assert_int_equal(read(pipe_ends[0], &byte, 1), 0); /* and nowhere any more */

        (void) fd_close(pipe_ends[0]);
        (void) fd_close(ends[0]);
        (void) fd_close(ends[1]);
}

static void what_is_not_a_message_leaves_nothing_behind(void **state) {
        static char large[FD_MESSAGE_SIZE_BYTES];
        int ends[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FdMessage m;

        make_channel(ends);
        memset(large, 'x', sizeof(large));
        send_fds(ends[1], "", 0, NULL, 0);
        send_fds(ends[1], large, sizeof(large), &null, 1);
        send_fds(ends[1], "a\0b", 3, &null, 1);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(fd_message_receive(ends[0], &m), 0);
        assert_int_equal(fd_message_receive(ends[0], &m), -EAGAIN);

        (void) fd_close(null);
        (void) fd_close(ends[0]);
        (void) fd_close(ends[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(descriptors_are_kept_in_the_order_in_which_they_came),
                UNIT_TEST(the_same_open_file_is_kept_once),
                UNIT_TEST(the_oldest_that_is_the_same_is_found_among_many),
                UNIT_TEST(no_more_are_removed_than_was_asked_for),
                UNIT_TEST(what_is_beyond_the_limit_is_closed_at_once),
                UNIT_TEST(names_that_could_not_be_handed_over_are_refused),
                UNIT_TEST(what_hangs_up_is_dropped_if_it_is_looked_at),
                UNIT_TEST(what_was_removed_is_not_watched_any_more),
                UNIT_TEST(a_socket_that_lingers_does_not_hold_us),
                UNIT_TEST(a_message_comes_with_its_descriptors_and_its_sender),
                UNIT_TEST(a_message_that_is_looked_at_stays_and_its_text_alone_takes_nothing),
                UNIT_TEST(what_is_not_a_message_leaves_nothing_behind),
        };

        return UNIT_RUN(tests);
}
