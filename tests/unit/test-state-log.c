/* The log of what survives us: whoever writes it may be killed in the middle, whoever reads it believes
 * nothing. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/state/state-log.h"
#include "unit.h"

#define FIRST 4096 /* where records begin, and the other half of the file */
#define HALF  (1LL << 40)

/* Of the number of whole records, the last field of the head, which older files end before. */
#define N_WHOLE 32

static void assert_has(const StateLog *l, const char *key, const char *expected) {
        _cleanup_free_ char *text = NULL;
        int r = state_log_get(l, key, &text);

        if (!expected) {
                assert_int_equal(r, -ENOENT);
                return;
        }

        assert_ok(r);
        assert_string_equal(text, expected);
}

static void assert_same(const StateLog *l, const StateLog *expected) {
        assert_int_equal(state_log_n_records(l), state_log_n_records(expected));
        for (size_t i = 0; i < state_log_n_records(l); i++) {
                _cleanup_free_ char *text = NULL;

                assert_string_equal(state_log_key(l, i), state_log_key(expected, i));
                assert_ok(state_log_get(expected, state_log_key(expected, i), &text));
                assert_has(l, state_log_key(l, i), text);
        }
}

/* Returns 0 and a log; or what state_log_open() says, which has to say why. */
static int open_log(int fd, StateLog **ret) {
        _cleanup_free_ char *why = NULL;
        int r;

        r = state_log_open(fd, ret, &why);
        if (r < 0) {
                assert_non_null(why);
                assert_memory_equal(why, "it ", 3);
        }
        return r;
}

/* As a successor reads it. */
static StateLog *read_again(const StateLog *l) {
        StateLog *again = NULL;

        assert_ok(open_log(assert_ok(dup(state_log_fd(l))), &again));
        return again;
}

static void the_last_record_of_a_key_counts(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL, *again = NULL;

        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "b", "1"));
        assert_ok(state_log_put(l, "a", "2"));
        assert_ok(state_log_put(l, "b", "three"));
        assert_ok(state_log_put(l, "c", "4"));
        assert_ok(state_log_remove(l, "c"));
        assert_ok(state_log_remove(l, "never"));
        again = read_again(l);
        for (unsigned i = 0; i < 2; i++) {
                const StateLog *which = i == 0 ? l : again;

                assert_has(which, "a", "2");
                assert_has(which, "b", "three");
                assert_has(which, "c", NULL);
                assert_int_equal(state_log_n_records(which), 2);
                assert_string_equal(state_log_key(which, 0), "a");
                assert_string_equal(state_log_key(which, 1), "b");
        }
        assert_int_equal(state_log_n_garbage(l), state_log_n_garbage(again));
}

static void who_reads_it_can_go_on_writing(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL;

        assert_ok(state_log_new(&l));
        for (unsigned i = 0; i < 100; i++) {
                StateLog *again;
                char text[16];

                snprintf(text, sizeof(text), "%u", i);
                assert_ok(state_log_put(l, "n", text));
                again = read_again(l);
                state_log_free(l);
                l = again;
                assert_has(l, "n", text);
        }
}

static uint8_t *read_bytes(const StateLog *l, size_t n) {
        uint8_t *bytes = malloc(n);

        assert_non_null(bytes);
        assert_int_equal(pread(state_log_fd(l), bytes, n, 0), n);
        return bytes;
}

static void set_mark(const StateLog *l, uint64_t n_whole) {
        assert_int_equal(pwrite(state_log_fd(l), &n_whole, sizeof(n_whole), N_WHOLE),
                         sizeof(n_whole));
}

/* A copy of the first @n bytes, and what is behind it zero; whoever wrote it was killed before he could say
 * that the last of its @n_records is whole. */
static StateLog *cut(const StateLog *l, size_t n, uint64_t n_records) {
        int fd = assert_ok(memfd_create("cut", MFD_CLOEXEC));
        uint8_t *bytes = read_bytes(l, n);
        uint64_t n_whole = n_records - 1;
        StateLog *ret = NULL;

        memcpy(bytes + N_WHOLE, &n_whole, sizeof(n_whole));
        assert_int_equal(pwrite(fd, bytes, n, 0), n);
        free(bytes);
        assert_ok(open_log(fd, &ret));
        return ret;
}

static void a_tail_that_is_torn_at_any_byte_is_not_read(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        struct stat before, after;

        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "key", "before"));
        assert_ok(fstat(state_log_fd(l), &before));
        assert_ok(state_log_put(l, "key", "afterwards"));
        assert_ok(fstat(state_log_fd(l), &after));

        for (off_t n = before.st_size; n <= after.st_size; n++) {
                _cleanup_(state_log_freep) StateLog *again = cut(l, (size_t) n, 2), *third = NULL;

                assert_has(again, "key", n == after.st_size ? "afterwards" : "before");

                /* and what comes next takes its place */
                assert_ok(state_log_put(again, "other", "x"));
                third = read_again(again);
                assert_has(third, "key", n == after.st_size ? "afterwards" : "before");
                assert_has(third, "other", "x");
        }
}

/* Nor a byte of it that is wrong, as whoever is killed leaves no other. */
static void a_tail_that_is_wrong_at_any_byte_is_not_read(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        struct stat before, after;

        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "key", "before"));
        assert_ok(fstat(state_log_fd(l), &before));
        assert_ok(state_log_put(l, "key", "afterwards"));
        assert_ok(fstat(state_log_fd(l), &after));
        set_mark(l, 1);

        for (off_t at = (before.st_size + 7) / 8 * 8; at < after.st_size; at++) {
                _cleanup_(state_log_freep) StateLog *again = NULL;
                uint8_t byte;

                assert_int_equal(pread(state_log_fd(l), &byte, 1, at), 1);
                byte ^= 0x10;
                assert_int_equal(pwrite(state_log_fd(l), &byte, 1, at), 1);
                again = read_again(l);
                assert_has(again, "key", "before");
                byte ^= 0x10;
                assert_int_equal(pwrite(state_log_fd(l), &byte, 1, at), 1);
        }
}

/* What a daemon has at a busy moment, and old records before the true ones. */
static StateLog *make_busy(void) {
        static const char *const keys[] = { "daemon", "config/1", "endpoint/1", "service/2" };
        StateLog *l = NULL;

        assert_ok(state_log_new(&l));
        for (unsigned i = 0; i < 12; i++) {
                char text[80];

                snprintf(text, sizeof(text), "{\"round\":%u,\"text\":\"%.*s\"}", i, (int) i * 3,
                         "abcdefghijklmnopqrstuvwxyz0123456789");
                assert_ok(state_log_put(l, keys[i % 4], text));
        }
        assert_ok(state_log_remove(l, "endpoint/1"));
        return l;
}

/* Either nothing of it mattered, or it is refused: nobody goes on from the past. */
static void assert_same_or_refused(int fd, const StateLog *expected) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        _cleanup_close_ int own = assert_ok(dup(fd));
        int r = open_log(own, &l);

        if (r < 0) {
                assert_true(r == -EBADMSG || r == -EPROTONOSUPPORT);
                return;
        }

        (void) TAKE_FD(own);
        assert_same(l, expected);
}

static void a_byte_that_is_wrong_anywhere_is_seen(void **state) {
        _cleanup_(state_log_freep) StateLog *l = make_busy();
        _cleanup_(state_log_freep) StateLog *expected = read_again(l);
        _cleanup_close_ int fd = assert_ok(memfd_create("wrong", MFD_CLOEXEC));
        struct stat st;
        uint8_t *bytes;

        assert_ok(fstat(state_log_fd(l), &st));
        bytes = read_bytes(l, (size_t) st.st_size);
        assert_int_equal(pwrite(fd, bytes, (size_t) st.st_size, 0), st.st_size);
        for (off_t at = 0; at < st.st_size; at++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        uint8_t byte = bytes[at] ^ (uint8_t) (1U << bit);

                        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
                        assert_same_or_refused(fd, expected);
                        assert_int_equal(pwrite(fd, bytes + at, 1, at), 1);
                }
        free(bytes);
}

static void an_end_that_is_missing_is_seen_wherever_it_begins(void **state) {
        _cleanup_(state_log_freep) StateLog *l = make_busy();
        struct stat st;
        uint8_t *bytes;

        assert_ok(fstat(state_log_fd(l), &st));
        bytes = read_bytes(l, (size_t) st.st_size);
        for (off_t n = 0; n < st.st_size; n++) {
                _cleanup_close_ int fd = assert_ok(memfd_create("short", MFD_CLOEXEC));
                StateLog *again = NULL;

                if (n == N_WHOLE)
                        continue; /* it reads as one that was never begun */
                assert_int_equal(pwrite(fd, bytes, (size_t) n, 0), n);
                assert_int_equal(open_log(fd, &again), -EBADMSG);

                assert_ok(ftruncate(fd, st.st_size)); /* the same length, and zeros */
                if (n > N_WHOLE)
                        assert_int_equal(open_log(fd, &again), -EBADMSG);
        }
        free(bytes);
}

/* Whoever does not know of the number of whole records leaves it as it is, and goes on in the same file. */
static void one_that_is_not_counted_is_read_whole(void **state) {
        _cleanup_(state_log_freep) StateLog *l = make_busy(), *again = NULL, *third = NULL;

        set_mark(l, 3);
        again = read_again(l);
        assert_same(again, l);
        set_mark(l, 0);
        assert_ok(state_log_put(again, "daemon", "counted again"));
        third = read_again(again);
        assert_has(third, "daemon", "counted again");

        set_mark(l, 15); /* there were 13, and one now */
        assert_int_equal(open_log(state_log_fd(l), &third), -EBADMSG);
}

static void what_is_out_of_date_is_thrown_away(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        uint64_t most = 0, blocks = 0;
        char text[1000] = "";

        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "stays", "for ever"));
        memset(text, 'x', sizeof(text) - 10);
        for (unsigned i = 0; i < unit_count(3000, 100000); i++) {
                struct stat st;

                snprintf(text, sizeof(text) - 10, "%u", i);
                text[strlen(text)] = ' '; /* of the same length each time */
                assert_ok(state_log_put(l, "changes", text));
                most = state_log_n_garbage(l) > most ? state_log_n_garbage(l) : most;
                assert_ok(fstat(state_log_fd(l), &st));
                blocks = (uint64_t) st.st_blocks > blocks ? (uint64_t) st.st_blocks : blocks;
                if (i % 100 == 0) {
                        _cleanup_(state_log_freep) StateLog *again = read_again(l);

                        assert_has(again, "changes", text);
                        assert_has(again, "stays", "for ever");
                }
        }

        assert_true(most > 0 && most <= STATE_GARBAGE_MIN + 2048);
        assert_true(blocks * 512 < 4 * STATE_GARBAGE_MIN);
}

/* Both halves of it hold something whole; the eight bytes say which one counts. */
static void before_the_flip_the_first_half_counts(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL, *again = NULL;
        uint8_t garbage[64];

        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "key", "true"));
        memset(garbage, 0xa5, sizeof(garbage));
        assert_int_equal(pwrite(state_log_fd(l), garbage, sizeof(garbage), FIRST + HALF),
                         sizeof(garbage));
        again = read_again(l);
        assert_has(again, "key", "true");
}

static int open_bytes(const void *bytes, size_t n) {
        int fd = assert_ok(memfd_create("bytes", MFD_CLOEXEC)), r;
        StateLog *l = NULL;

        assert_int_equal(pwrite(fd, bytes, n, 0), n);
        r = open_log(fd, &l);
        if (r < 0)
                fd_close(fd);
        state_log_free(l);
        return r;
}

static void what_is_no_log_is_refused(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL, *other = NULL;
        char head[32] = "";
        int fds[2], tmp;

        assert_ok(state_log_new(&l));
        assert_int_equal(pread(state_log_fd(l), head, sizeof(head), 0), sizeof(head));
        assert_ok(open_bytes(head, sizeof(head)));

        assert_int_equal(open_bytes(head, sizeof(head) - 1), -EBADMSG);
        assert_int_equal(open_bytes("", 0), -EBADMSG);
        head[24] = 2; /* there are two halves */
        assert_int_equal(open_bytes(head, sizeof(head)), -EBADMSG);
        head[24] = 0;
        head[16] = STATE_LOG_VERSION + 1;
        assert_int_equal(open_bytes(head, sizeof(head)), -EPROTONOSUPPORT);
        head[0] = 'X';
        assert_int_equal(open_bytes(head, sizeof(head)), -EBADMSG);

        assert_ok(pipe(fds));
        assert_int_equal(open_log(fds[0], &other), -EBADMSG);
        fd_close(fds[0]);
        fd_close(fds[1]);
        tmp = open("/dev/null", O_RDWR | O_CLOEXEC);
        assert_int_equal(open_log(tmp, &other), -EBADMSG);
        fd_close(tmp);
}

static void the_log_of_another_user_is_refused(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL, *other = NULL;

        if (geteuid() != 0)
                unit_skip("needs root");

        assert_ok(state_log_new(&l));
        assert_ok(fchown(state_log_fd(l), 65534, (gid_t) -1));
        assert_int_equal(open_log(state_log_fd(l), &other), -EPERM);
}

/* Nothing is half written: what was true before is. */
static void without_room_nothing_changes(void **state) {
        _cleanup_(state_log_freep) StateLog *l = NULL, *again = NULL;
        char *text = calloc(1, 100000);

        assert_non_null(text);
        memset(text, 'x', 99999);
        assert_ok(state_log_new(&l));
        assert_ok(state_log_put(l, "key", "before"));
        assert_ok(fcntl(state_log_fd(l), F_ADD_SEALS, F_SEAL_GROW));
        assert_true(state_log_put(l, "key", text) < 0);
        assert_has(l, "key", "before");
        again = read_again(l);
        assert_has(again, "key", "before");
        free(text);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(the_last_record_of_a_key_counts),
                UNIT_TEST(who_reads_it_can_go_on_writing),
                UNIT_TEST(a_tail_that_is_torn_at_any_byte_is_not_read),
                UNIT_TEST(a_tail_that_is_wrong_at_any_byte_is_not_read),
                UNIT_TEST(a_byte_that_is_wrong_anywhere_is_seen),
                UNIT_TEST(an_end_that_is_missing_is_seen_wherever_it_begins),
                UNIT_TEST(one_that_is_not_counted_is_read_whole),
                UNIT_TEST(what_is_out_of_date_is_thrown_away),
                UNIT_TEST(before_the_flip_the_first_half_counts),
                UNIT_TEST(what_is_no_log_is_refused),
                UNIT_TEST(the_log_of_another_user_is_refused),
                UNIT_TEST(without_room_nothing_changes),
        };

        return UNIT_RUN(tests);
}
